/** An image, as JavaScript has it. What it does is done by the `Engine` behind it. */

import { collect } from "./collect.js";
import type { Engine, ImageFacts, LayerState } from "./engine.js";
import { CancelledError } from "./errors.js";
import { END, FileEntry, type Opener, Rows } from "./table.js";
import { Tree } from "./tree.js";
import type {
  Description,
  Descriptor,
  ExportOptions,
  HistoryEntry,
  ImageSource,
  LayerFacts,
  OpenOptions,
  RegistryOptions,
  Verified,
  WorkOptions,
} from "./types.js";

const utf8 = new TextDecoder();
/** Rows of a table that cross at once. */
const PART = 2048;

/** Opens images: on this thread, in a Worker, in native code. */
export interface Yard {
  open(source: ImageSource, options: OpenOptions): Promise<Engine>;
  tags(repository: string, options: RegistryOptions): Promise<string[]>;
}

let yard: Yard | undefined;

/** Says who opens images here: each entry point of a package does, once. @internal */
export function setYard(here: Yard): void {
  yard = here;
}

/** Who opens images here. @internal */
export function theYard(): Yard {
  if (!yard) throw new TypeError("import wharfie from its package, not from one of its parts");
  return yard;
}

/**
 * The tags of a repository.
 *
 * @example
 * ```ts
 * import { tags } from "wharfie-wasm";
 * console.log(await tags("docker.io/library/alpine"));
 * ```
 */
export function tags(repository: string, options: RegistryOptions = {}): Promise<string[]> {
  return theYard().tags(repository, options);
}

/** One layer of an image. */
export class Layer implements LayerFacts {
  readonly #engine: Engine;
  /** Counted from 0 at the bottom. */
  readonly index: number;
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
  declare readonly diffId?: string;
  declare readonly createdBy?: string;
  declare readonly created?: string;
  declare readonly comment?: string;

  /** @internal */
  constructor(engine: Engine, index: number, facts: LayerFacts) {
    this.#engine = engine;
    this.index = index;
    this.digest = facts.digest;
    this.size = facts.size;
    this.mediaType = facts.mediaType;
    Object.assign(this, facts);
  }

  /**
   * The layer's tar, or with `{ decoded: false }` its blob as it is. The stream fails at its end where the digest or the
   * `diff_id` does not hold.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie-wasm";
   * const image = await Image.open("alpine");
   * const tar = await image.layers[0]!.open();
   * for await (const chunk of tar) console.log(chunk.length);
   * ```
   */
  open(options: WorkOptions & { readonly decoded?: boolean } = {}): Promise<ReadableStream<Uint8Array>> {
    return this.#engine.layer(this.index, options.decoded ?? true, options);
  }
}

/**
 * An image that was opened: its documents are here and verified; layers are fetched and read when they are needed.
 *
 * @example
 * ```ts
 * import { Image } from "wharfie-wasm";
 * const image = await Image.open("alpine", { platform: "linux/arm64" });
 * console.log(image.digest, image.config.config, image.layers.length);
 * console.log(await image.readFile("/etc/os-release", "utf8"));
 * await image.close();
 * ```
 */
export class Image {
  readonly #engine: Engine;
  readonly #facts: ImageFacts;
  readonly #layers: readonly Layer[];
  readonly #opener: Opener;
  #tree: Promise<Tree> | undefined;
  #documents: { manifest?: unknown; config?: unknown; index?: unknown } = {};

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine;
    this.#facts = engine.facts;
    this.#layers = engine.facts.description.layers.map((layer, index) => new Layer(engine, index, layer));
    this.#opener = { open: (path) => engine.content(path, {}) };
  }

  /**
   * Opens an image: by the name that it has on a registry, or from an archive (`docker save`, `podman save`, an OCI
   * archive, compressed or not), a folder (an OCI layout, `dir:`), or a stream of an archive. In Node a path or
   * `oci:DIR`, `docker-archive:FILE` and the like is one too.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie-wasm";
   * const input = document.querySelector<HTMLInputElement>("input[type=file]")!;
   * const image = await Image.open(input.files![0]!, { onProgress: ({ done, total }) => console.log(done, total) });
   * console.log(image.reference, image.platforms);
   * ```
   */
  static async open(source: ImageSource, options: OpenOptions = {}): Promise<Image> {
    return new Image(await theYard().open(source, options));
  }

  /** What it is called: a whole reference for an image on a registry, what its archive says else. */
  get reference(): string {
    return this.#facts.description.name;
  }
  /** Of the document that the name names: the index, where there is one, else the manifest. */
  get digest(): string {
    return this.#facts.description.digest;
  }
  get manifestDigest(): string {
    return this.#facts.description.manifestDigest;
  }
  get configDigest(): string | undefined {
    return this.#facts.description.configDigest;
  }
  get mediaType(): string {
    return this.#facts.description.mediaType;
  }
  /** The manifest, as its JSON says. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  get manifest(): any {
    return (this.#documents.manifest ??= JSON.parse(utf8.decode(this.#facts.manifest)));
  }
  /** The config, as its JSON says. */
  get config(): any {
    const { config } = this.#facts;
    return config && (this.#documents.config ??= JSON.parse(utf8.decode(config)));
  }
  /** The index, where there is one. */
  get index(): any {
    const { index } = this.#facts;
    return index && (this.#documents.index ??= JSON.parse(utf8.decode(index)));
  }
  /** Exactly the bytes that the digests are over. */
  get raw(): { readonly manifest: Uint8Array; readonly config?: Uint8Array; readonly index?: Uint8Array } {
    const { manifest, config, index } = this.#facts;
    return { manifest, ...(config ? { config } : {}), ...(index ? { index } : {}) };
  }
  get platform(): string | undefined {
    return this.#facts.description.platform;
  }
  /** Those that the index has; its own where there is none. */
  get platforms(): readonly string[] {
    const { platforms, platform } = this.#facts.description;
    return platforms ?? (platform === undefined ? [] : [platform]);
  }
  /** Bottom first. */
  get layers(): readonly Layer[] {
    return this.#layers;
  }
  get history(): readonly HistoryEntry[] {
    return this.#facts.description.history;
  }
  /** The config for people: user, environment, entrypoint, command, ports, labels, …. */
  get summary(): Readonly<Record<string, unknown>> {
    return this.#facts.description.summary ?? {};
  }
  /** Bytes of all layers, compressed. */
  get size(): number {
    return this.#facts.description.size;
  }
  /** All of it as plain data. */
  get description(): Description {
    return this.#facts.description;
  }
  /** The descriptor of what the name names. */
  get top(): Descriptor {
    return this.#facts.top;
  }
  /** Whether its layers are fetched from a registry when they are needed. */
  get isRemote(): boolean {
    return this.#facts.remote;
  }

  /**
   * What is known of each digest as of now. Documents are verified before an image opens; layers when they have been read.
   */
  async verified(): Promise<{
    readonly index?: Verified;
    readonly manifest: Verified;
    readonly config?: Verified;
    readonly layers: readonly LayerState[];
  }> {
    const { index, config } = this.#facts;
    return {
      ...(index ? { index: "verified" as const } : {}),
      manifest: "verified",
      ...(config ? { config: "verified" as const } : {}),
      layers: await this.#engine.layerStates(),
    };
  }

  /** Fetches all layers now: everything else then needs no network. */
  async pull(options: WorkOptions = {}): Promise<void> {
    await this.#engine.fetchLayers(options);
  }

  /**
   * The entries of the merged tree, those that a pattern matches if one is given: gitignore's words, as with
   * `wharfie export --include`.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie-wasm";
   * const image = await Image.open("alpine");
   * for await (const file of image.files("/etc/**")) console.log(file.path, file.size);
   * ```
   */
  async *files(pattern?: string, options: WorkOptions = {}): AsyncIterableIterator<FileEntry> {
    for (let cursor = 0; cursor !== END; ) {
      const rows = new Rows(await this.#engine.table(cursor, PART, pattern, options));
      for (let row = 0; row < rows.count; row++) yield new FileEntry(rows, row, this.#opener);
      cursor = rows.next;
    }
  }

  /** The whole tree, to walk about in. It is read once. */
  async tree(options: WorkOptions = {}): Promise<Tree> {
    while (this.#tree) {
      try {
        return await this.#tree;
      } catch (error) {
        // That whoever asked first gave up is nothing to others.
        if (!(error instanceof CancelledError) || options.signal?.aborted) throw error;
      }
    }
    this.#tree = Tree.read(this.#engine, this.#opener, options).catch((error: unknown) => {
      this.#tree = undefined;
      throw error;
    });
    return this.#tree;
  }

  /** The content of one file; links are followed. With `"utf8"` as text. */
  readFile(path: string, options?: WorkOptions): Promise<Uint8Array>;
  readFile(path: string, encoding: "utf8" | "utf-8", options?: WorkOptions): Promise<string>;
  async readFile(
    path: string,
    encoding?: "utf8" | "utf-8" | WorkOptions,
    options?: WorkOptions,
  ): Promise<Uint8Array | string> {
    const given = typeof encoding === "object" ? encoding : (options ?? {});
    const stream = await this.#engine.content(path, given);
    const bytes = await collect(stream);
    return typeof encoding === "string" ? utf8.decode(bytes) : bytes;
  }

  /** The content of one file as a stream. It begins when it is first read from. */
  createReadStream(path: string, options: WorkOptions = {}): ReadableStream<Uint8Array> {
    return later(options, (own) => this.#engine.content(path, own));
  }

  /**
   * The flattened root. A tar is what `wharfie export` writes, byte for byte; a tar.gz holds the same tar. It begins when it
   * is first read from, and fails before its end where any digest does not hold.
   *
   * @example
   * ```ts
   * import { createWriteStream } from "node:fs";
   * import { Writable } from "node:stream";
   * import { Image } from "wharfie-wasm";
   * const image = await Image.open("alpine");
   * await image.export({ format: "tar.gz" }).pipeTo(Writable.toWeb(createWriteStream("root.tar.gz")));
   * ```
   */
  export(options: ExportOptions = {}): ReadableStream<Uint8Array> {
    return later(options, (own) => this.#engine.exported(own));
  }

  /** Into a directory that appears whole or not at all. Only where there are directories: Node with the native package. */
  async unpack(directory: string, options: WorkOptions = {}): Promise<void> {
    if (!this.#engine.unpack) throw new TypeError("this host has no directories to unpack into");
    await this.#engine.unpack(directory, options);
  }

  /** Gives back what it holds. What reads from it fails. */
  async close(): Promise<void> {
    this.#tree = undefined;
    await this.#engine.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** A stream that is opened when somebody reads. */
function later<T extends WorkOptions>(
  options: T,
  open: (options: T) => Promise<ReadableStream<Uint8Array>>,
): ReadableStream<Uint8Array> {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  // Whoever gives up while it opens stops what that takes.
  const stop = new AbortController();
  const { signal } = options;
  const follow = (): void => stop.abort(signal?.reason);
  const end = (): void => signal?.removeEventListener("abort", follow);
  let opening: Promise<ReadableStream<Uint8Array>> | undefined;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          if (!opening) {
            if (signal?.aborted) follow();
            else signal?.addEventListener("abort", follow, { once: true });
            opening = open({ ...options, signal: stop.signal });
          }
          reader ??= (await opening).getReader();
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          controller.close();
        } catch (error) {
          end();
          throw error;
        }
        end();
      },
      async cancel(reason) {
        end();
        if (reader) return reader.cancel(reason);
        stop.abort(reason);
        // It may have been opened all the same.
        await opening?.then((stream) => (reader ?? stream).cancel(reason)).catch(() => undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
