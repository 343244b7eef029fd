/** Images in a Worker, with the same face as images here. */

import type { Engine, ImageFacts, LayerState } from "./engine.js";
import { WharfieError } from "./errors.js";
import { Image } from "./image.js";
import type {
  Credentials,
  CredentialsQuestion,
  ErrorFacts,
  Event,
  ExportOptions,
  ImageSource,
  OpenOptions,
  Progress,
  RegistryOptions,
  WorkOptions,
} from "./types.js";

/** What the page says to the worker. @internal */
export type Asked =
  | { readonly id: number; readonly call: string; readonly image?: number; readonly given: readonly unknown[] }
  | { readonly abort: number; readonly reason?: string }
  | { readonly answer: number; readonly found: Credentials | undefined };

/** What the worker says to the page. @internal */
export type Told =
  | { readonly id: number; readonly ok: unknown }
  | { readonly id: number; readonly error: ErrorFacts }
  | { readonly id: number; readonly plain: { readonly name: string; readonly message: string } }
  | { readonly id: number; readonly progress: Progress }
  | { readonly id: number; readonly event: Event }
  | { readonly id: number; readonly ask: number; readonly question: CredentialsQuestion };

interface Call {
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
  readonly options: RegistryOptions;
}

/**
 * A Worker that opens images, so that a page stays awake whatever they are. The images have the same methods as those of
 * `Image.open`; bytes come over without being copied.
 *
 * @example
 * ```ts
 * import { ImageWorker } from "wharfie-wasm/web";
 * const worker = new ImageWorker();
 * const stop = new AbortController();
 * const image = await worker.open("ghcr.io/org/image:tag", { signal: stop.signal, onProgress: console.log });
 * const tree = await image.tree();
 * console.log(tree.children("/").map((entry) => entry.name));
 * worker.terminate();
 * ```
 */
export class ImageWorker {
  readonly #worker: Worker;
  readonly #calls = new Map<number, Call>();
  /** Whom to ask for credentials and tell of events when the layers of an open image are fetched. */
  readonly #openers = new Map<number, RegistryOptions>();
  #next = 0;
  #broken: Error | undefined;

  /** Starts one. Give the URL of `wharfie-wasm/worker` where a bundler moved it, or a Worker of your own that runs it. */
  constructor(worker?: URL | string | Worker) {
    this.#worker =
      worker === undefined ? begin() : worker instanceof Worker ? worker : new Worker(worker, { type: "module" });
    this.#worker.addEventListener("message", ({ data }: MessageEvent<Told>) => this.#told(data));
    this.#worker.addEventListener("error", (event) => {
      this.#fail(new Error(event.message || "the worker did not start"));
    });
  }

  /** As `Image.open`. `fetch`, `dispatcher` and a `store` that is an object do not go to another thread. */
  async open(source: ImageSource, options: OpenOptions = {}): Promise<Image> {
    const transfer = source instanceof ReadableStream ? [source] : [];
    const given = source instanceof URL ? { url: source.href } : source;
    const opener = this.#next;
    const opening = this.ask<{ id: number; facts: ImageFacts }>("open", undefined, [given, plain(options)], options, transfer);
    const forget = (): void => void this.#openers.delete(opener);
    const { id, facts } = await opening.catch((error: unknown) => {
      forget();
      throw error;
    });
    return new Image(new RemoteEngine(this, id, facts, forget));
  }

  /** As `tags`. */
  tags(repository: string, options: RegistryOptions = {}): Promise<string[]> {
    return this.ask("tags", undefined, [repository, plain(options)], options);
  }

  /** Ends it, with all that it has under way. */
  terminate(): void {
    this.#worker.terminate();
    this.#fail(new Error("the worker was terminated"));
  }

  /** Has the worker do something. @internal */
  ask<T>(
    call: string,
    image: number | undefined,
    given: readonly unknown[],
    options: RegistryOptions,
    transfer: readonly unknown[] = [],
  ): Promise<T> {
    if (this.#broken) return Promise.reject(this.#broken);
    const id = this.#next++;
    const { signal } = options;
    return new Promise<T>((resolve, reject) => {
      const stop = (): void => this.#worker.postMessage({ abort: id, reason: String(signal?.reason) } satisfies Asked);
      const over = (): void => {
        this.#calls.delete(id);
        signal?.removeEventListener("abort", stop);
      };
      if (call === "open") this.#openers.set(id, options);
      this.#calls.set(id, {
        options,
        resolve: (value) => {
          over();
          resolve(value);
        },
        reject: (error) => {
          over();
          // The reason that was given here, not a copy of it.
          const isStopped = error instanceof WharfieError && error.code === "cancelled" && signal?.aborted;
          reject(isStopped ? WharfieError.of(error.toJSON(), { cause: signal.reason }) : error);
        },
      });
      const asked: Asked = image === undefined ? { id, call, given } : { id, call, image, given };
      try {
        this.#worker.postMessage(asked, transfer as Transferable[]);
      } catch (error) {
        over();
        reject(error);
        return;
      }
      if (signal?.aborted) stop();
      else signal?.addEventListener("abort", stop, { once: true });
    });
  }

  #told(told: Told): void {
    const call = this.#calls.get(told.id);
    const options = this.#openers.get(told.id) ?? call?.options;
    if ("event" in told) options?.onEvent?.(told.event);
    else if ("ask" in told) void this.#credentials(told.ask, told.question, options);
    else if (!call) return;
    else if ("progress" in told) call.options.onProgress?.(told.progress);
    else if ("ok" in told) call.resolve(told.ok as never);
    else if ("error" in told) call.reject(WharfieError.of(told.error));
    else {
      const error = new Error(told.plain.message);
      error.name = told.plain.name;
      call.reject(error);
    }
  }

  async #credentials(ask: number, question: CredentialsQuestion, options?: RegistryOptions): Promise<void> {
    const { credentials } = options ?? {};
    let found: Credentials | undefined;
    try {
      found = typeof credentials === "function" ? await credentials(question) : credentials;
    } catch {
      // Who fails to say who he is, is nobody.
    }
    this.#worker.postMessage({ answer: ask, found } satisfies Asked);
  }

  #fail(error: Error): void {
    this.#broken = error;
    for (const call of [...this.#calls.values()]) call.reject(error);
  }
}

/** The worker of this package. */
function begin(): Worker {
  try {
    return new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  } catch (error) {
    // A page may not run another origin's worker, but its own that imports the other's code.
    if (!(error instanceof DOMException)) throw error;
    const url = new URL("./worker.js", import.meta.url).href;
    const own = new Blob([`import ${JSON.stringify(url)};`], { type: "text/javascript" });
    return new Worker(URL.createObjectURL(own), { type: "module" });
  }
}

/** The options that can be cloned. */
function plain(options: OpenOptions & WorkOptions): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (name === "signal" || name === "fetch" || name === "dispatcher") continue;
    if (typeof value === "function") kept[name] = true;
    else if (name !== "store" || typeof value === "string") kept[name] = value as unknown;
  }
  return kept;
}

/** An image that is in a worker. */
class RemoteEngine implements Engine {
  readonly facts: ImageFacts;
  readonly #worker: ImageWorker;
  readonly #image: number;
  readonly #forget: () => void;

  constructor(worker: ImageWorker, image: number, facts: ImageFacts, forget: () => void) {
    this.#worker = worker;
    this.#forget = forget;
    this.#image = image;
    this.facts = facts;
  }

  fetchLayers(options: WorkOptions): Promise<void> {
    return this.#worker.ask("fetchLayers", this.#image, [plain(options)], options);
  }
  layerStates(): Promise<readonly LayerState[]> {
    return this.#worker.ask("layerStates", this.#image, [], {});
  }
  table(cursor: number, most: number, pattern: string | undefined, options: WorkOptions): Promise<Uint8Array> {
    return this.#worker.ask("table", this.#image, [cursor, most, pattern, plain(options)], options);
  }
  content(path: string | Uint8Array, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#stream("content", [path, plain(options)], options);
  }
  exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#stream("exported", [plain(options)], options);
  }
  layer(index: number, decoded: boolean, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#stream("layer", [index, decoded, plain(options)], options);
  }
  async close(): Promise<void> {
    await this.#worker.ask("close", this.#image, [], {});
    this.#forget();
  }

  /** A stream of which each chunk is asked for when it is wanted: not every browser can send a stream. */
  async #stream(call: string, given: unknown[], options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    const stream = await this.#worker.ask<number>(call, this.#image, given, options);
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          const chunk = await this.#worker.ask<Uint8Array | undefined>("read", stream, [], options);
          if (chunk) controller.enqueue(chunk);
          else controller.close();
        },
        cancel: async () => {
          await this.#worker.ask("cancel", stream, [], {});
        },
      },
      { highWaterMark: 0 },
    );
  }
}
