/** An open image in native code. */

import type { Descriptor, ImageFacts, LayerState, Pulled, Verified, WorkOptions } from "wharfie-wasm";
import { internal, WharfieError } from "wharfie-wasm";

import { awaiting, calling, type Image, type Native, type Stream, type Tree, type Work } from "./native.js";
import type { ExportOptions, UnpackOptions } from "./options.js";
import { streamed, supervised } from "./work.js";

/** Brings layers that are not here. */
export interface Fetcher {
  /** All of them. */
  all(options: WorkOptions): Promise<void>;
  /** One, which is a blob of the repository like any other. */
  one(layer: Descriptor, options: WorkOptions): Promise<void>;
}

/** What native code is told of options. */
const WORDS = [
  "format",
  "level",
  "rootless",
  "include",
  "exclude",
  "keepDirectorySymlink",
  "order",
  "uidMap",
  "gidMap",
  "limits",
] as const;

function words(options: ExportOptions & UnpackOptions): string {
  return JSON.stringify(Object.fromEntries(WORDS.map((name) => [name, options[name]])));
}

/** What is known of an image, by `name` or what its archive calls it. */
export function factsOf(image: Image, { pulled, name, remote }: { pulled?: Pulled; name?: string | undefined; remote: boolean }): ImageFacts {
  const found = pulled ?? (JSON.parse(image.pulled) as Pulled);
  const { manifest, config, index } = image;
  const description = JSON.parse(image.description) as ImageFacts["description"];
  return {
    description: remote ? description : { ...description, name: name ?? image.listedName ?? description.name },
    pulled: found,
    manifest,
    top: found.top,
    remote,
    ...(config ? { config } : {}),
    ...(index ? { index } : {}),
  };
}

export class NativeEngine implements internal.Engine {
  readonly facts: ImageFacts;
  readonly #native: Native;
  readonly #image: Image;
  readonly #fetcher: Fetcher | undefined;
  readonly #closing: () => Promise<void>;
  readonly #failed = new Map<number, string>();
  readonly #tree = new internal.Shared<Tree>();
  readonly #all = new internal.Shared<void>();
  /** Whether every layer was read to its end, and held. */
  #known = false;
  #closed = false;

  constructor(native: Native, image: Image, facts: ImageFacts, fetcher: Fetcher | undefined, closing: () => Promise<void>) {
    this.#native = native;
    this.#image = image;
    this.facts = facts;
    this.#fetcher = fetcher;
    this.#closing = closing;
  }

  get #layers(): readonly Descriptor[] {
    return this.facts.pulled.images[0]?.layers ?? [];
  }

  #open(): void {
    if (this.#closed) throw new TypeError("the image is closed");
  }

  /** Remembers what was wrong with which layer. */
  readonly #note = (error: unknown): void => {
    if (!(error instanceof WharfieError) || error.place.layer === undefined) return;
    this.#failed.set(error.place.layer, error.code);
    // Native code removes a blob that has rotted in the store: what is missing is to be looked at again.
    this.#all.forget();
  };

  async #noting<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      this.#note(error);
      throw error;
    }
  }

  /** A stream, whose failure is remembered too. */
  #streamed(options: WorkOptions, begin: (work: Work) => Promise<Stream>): Promise<ReadableStream<Uint8Array>> {
    return streamed(this.#native, options, begin, this.#note);
  }

  fetchLayers(options: WorkOptions): Promise<void> {
    this.#open();
    const fetcher = this.#fetcher;
    if (!fetcher) return Promise.resolve();
    return this.#all.join(this.#native, options.signal, async (signal) => {
      const missing = await awaiting(() => this.#image.missing());
      if (missing.length > 0) await fetcher.all({ ...options, signal });
      for (const layer of missing) this.#failed.delete(layer);
    });
  }

  async layerStates(): Promise<readonly LayerState[]> {
    const missing = new Set(this.#closed ? [] : await awaiting(() => this.#image.missing()).catch(() => []));
    return this.#layers.map((_, index) => {
      const here = !missing.has(index);
      const code = this.#failed.get(index);
      if (code === "diff_id_mismatch") return { digest: "verified", diffId: "failed", here };
      if (code === "digest_mismatch" || code === "size_mismatch") return { digest: "failed", diffId: "unknown", here };
      const hasDiffId = this.facts.description.layers[index]?.diffId !== undefined;
      const diffId: Verified = this.#known && hasDiffId ? "verified" : "unknown";
      // What came from a registry has its name only when it was right.
      return { digest: this.#known || (this.facts.remote && here) ? "verified" : "unknown", diffId, here };
    });
  }

  async table(cursor: number, most: number, pattern: string | undefined, options: WorkOptions): Promise<Uint8Array> {
    await this.fetchLayers(options);
    const tree = await this.#tree.join(this.#native, options.signal, async (signal) => {
      const view = supervised(this.#native, { ...options, signal }, (work) => this.#image.view(work));
      const found = await this.#noting(view);
      this.#known = true;
      return found;
    });
    return awaiting(() => tree.table(cursor, most, pattern));
  }

  async content(path: string | Uint8Array, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    this.#open();
    for (let before: number | undefined; ; ) {
      let layer: number | undefined;
      const stream = await this.#streamed(options, async (work) => {
        const read = await this.#image.read(path, work);
        if (typeof read !== "number") return read;
        layer = read;
        return { next: async () => null, close: () => undefined };
      });
      if (layer === undefined) return stream;
      // One that was fetched and is asked for again is not what the manifest says it is: so says who fetches by the manifest.
      if (layer === before) {
        await this.#fetcher?.all(options);
        throw new TypeError(`layer ${layer} was fetched and is not there`);
      }
      before = layer;
      await this.#fetch(layer, options);
    }
  }

  async #fetch(layer: number, options: WorkOptions): Promise<void> {
    const descriptor = this.#layers[layer];
    if (!descriptor || !this.#fetcher) throw new RangeError(`there is no layer ${layer}`);
    if (this.#image.isPlain(layer)) await this.#fetcher.one(descriptor, options);
    else await this.fetchLayers(options);
  }

  async exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>> {
    await this.fetchLayers(options);
    return this.#streamed(options, (work) => this.#image.exportStream(words(options), work));
  }

  /** Into a file that appears whole or not at all. Answers the report. */
  async exportedTo(path: string, options: ExportOptions): Promise<unknown> {
    await this.fetchLayers(options);
    const report = await this.#noting(
      supervised(this.#native, options, (work) => this.#image.exportFile(path, words(options), work)),
    );
    return JSON.parse(report) as unknown;
  }

  async layer(index: number, decoded: boolean, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    this.#open();
    if (!this.#layers[index]) throw new RangeError(`there is no layer ${index}`);
    if (this.#fetcher && (await awaiting(() => this.#image.missing())).includes(index)) await this.#fetch(index, options);
    return this.#streamed(options, () => this.#image.layer(index, decoded));
  }

  async unpack(directory: string, options: UnpackOptions): Promise<void> {
    await this.unpacked(directory, options);
  }

  /** Answers the report. */
  async unpacked(directory: string, options: UnpackOptions): Promise<unknown> {
    calling(() => this.#native.checkUnpack(words(options)));
    await this.fetchLayers(options);
    const report = await this.#noting(
      supervised(this.#native, options, (work) => this.#image.unpack(directory, words(options), work)),
    );
    return JSON.parse(report) as unknown;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    // Its files are let go before the folder that they are in.
    this.#image.close();
    await this.#closing();
  }
}
