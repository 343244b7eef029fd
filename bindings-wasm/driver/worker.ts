/** The worker's side of `ImageWorker`. */

import type { Engine } from "./engine.js";
import { WharfieError } from "./errors.js";
import { theYard } from "./image.js";
import type { Asked, Told } from "./proxy.js";
import type {
  Credentials,
  CredentialsOption,
  CredentialsQuestion,
  Event,
  ExportOptions,
  ImageSource,
  OpenOptions,
  Progress,
  RegistryOptions,
  WorkOptions,
} from "./types.js";
import "./web.js";

const scope = globalThis as unknown as {
  postMessage(message: Told, transfer?: Transferable[]): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Asked>) => void): void;
};

interface Stream {
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Stops what the stream does; the call that opened it is over by then. */
  readonly stop: AbortController;
  /** Whose progress it is now. */
  asking: number;
}

const images = new Map<number, Engine>();
const streams = new Map<number, Stream>();
const stops = new Map<number, AbortController>();
const questions = new Map<number, (found: Credentials | undefined) => void>();
let next = 0;

scope.addEventListener("message", ({ data }) => {
  if ("abort" in data) stops.get(data.abort)?.abort(data.reason);
  else if ("answer" in data) questions.get(data.answer)?.(data.found);
  else void answer(data);
});

async function answer(asked: Extract<Asked, { call: string }>): Promise<void> {
  const { id } = asked;
  const stop = new AbortController();
  stops.set(id, stop);
  try {
    const ok = await act(asked, stop);
    const transfer = ok instanceof Uint8Array && ok.buffer instanceof ArrayBuffer ? [ok.buffer] : [];
    scope.postMessage({ id, ok }, transfer);
  } catch (error) {
    if (error instanceof WharfieError) scope.postMessage({ id, error: error.toJSON() });
    else {
      const { name = "Error", message = String(error) } = (error ?? {}) as Partial<Error>;
      scope.postMessage({ id, plain: { name, message } });
    }
  } finally {
    stops.delete(id);
  }
}

async function act(asked: Extract<Asked, { call: string }>, stop: AbortController): Promise<unknown> {
  const { id, call, given } = asked;
  const number = asked.image ?? -1;
  switch (call) {
    case "open": {
      const said = given[0] as ImageSource | { url: string };
      const source = typeof said === "object" && "url" in said ? new URL(said.url) : said;
      const engine = await theYard().open(source, registry(id, given[1], stop));
      const image = next++;
      images.set(image, engine);
      return { id: image, facts: engine.facts };
    }
    case "tags":
      return theYard().tags(given[0] as string, registry(id, given[1], stop));
    case "read":
      return read(id, number, stop);
    case "cancel": {
      const stream = streams.get(number);
      streams.delete(number);
      stream?.stop.abort();
      await stream?.reader.cancel();
      return undefined;
    }
  }
  const engine = images.get(number);
  if (!engine) throw new TypeError("the image is closed");
  switch (call) {
    case "fetchLayers":
      return engine.fetchLayers(work(() => id, given[0], stop));
    case "layerStates":
      return engine.layerStates();
    case "table": {
      const [cursor, most, pattern, options] = given as [number, number, string | undefined, unknown];
      return engine.table(cursor, most, pattern, work(() => id, options, stop));
    }
    case "content":
      return streamed(id, stop, given[1], (options) => engine.content(given[0] as string | Uint8Array, options));
    case "exported":
      return streamed(id, stop, given[0], (options) => engine.exported({ ...(given[0] as ExportOptions), ...options }));
    case "layer":
      return streamed(id, stop, given[2], (options) => engine.layer(given[0] as number, given[1] as boolean, options));
    case "close":
      images.delete(number);
      return engine.close();
    default:
      throw new TypeError(`nobody here can ${call}`);
  }
}

async function streamed(
  id: number,
  stop: AbortController,
  given: unknown,
  open: (options: WorkOptions) => Promise<ReadableStream<Uint8Array>>,
): Promise<number> {
  const number = next++;
  const asking = { id };
  const stream = await open(work(() => streams.get(number)?.asking ?? asking.id, given, stop));
  streams.set(number, { reader: stream.getReader(), stop, asking: id });
  return number;
}

async function read(id: number, number: number, stop: AbortController): Promise<Uint8Array | undefined> {
  const stream = streams.get(number);
  if (!stream) throw new TypeError("the stream is over");
  stream.asking = id;
  const forward = (): void => stream.stop.abort(stop.signal.reason);
  stop.signal.addEventListener("abort", forward, { once: true });
  try {
    const { done, value } = await stream.reader.read();
    if (!done) return value;
    streams.delete(number);
    return undefined;
  } catch (error) {
    streams.delete(number);
    throw error;
  } finally {
    stop.signal.removeEventListener("abort", forward);
  }
}

function work(id: () => number, given: unknown, stop: AbortController): WorkOptions {
  const { onProgress } = (given ?? {}) as { onProgress?: boolean };
  return {
    signal: stop.signal,
    ...(onProgress ? { onProgress: (progress: Progress) => scope.postMessage({ id: id(), progress }) } : {}),
  };
}

function registry(id: number, given: unknown, stop: AbortController): OpenOptions & RegistryOptions {
  const { onProgress, onEvent, credentials, ...rest } = (given ?? {}) as Record<string, unknown>;
  const ask = (question: CredentialsQuestion): Promise<Credentials | undefined> =>
    new Promise((resolve) => {
      const number = next++;
      questions.set(number, (found) => {
        questions.delete(number);
        resolve(found);
      });
      scope.postMessage({ id, ask: number, question });
    });
  return {
    ...(rest as OpenOptions),
    signal: stop.signal,
    ...(onProgress ? { onProgress: (progress: Progress) => scope.postMessage({ id, progress }) } : {}),
    ...(onEvent ? { onEvent: (event: Event) => scope.postMessage({ id, event }) } : {}),
    ...(credentials === undefined ? {} : { credentials: credentials === true ? ask : (credentials as CredentialsOption) }),
  };
}
