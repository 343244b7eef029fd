/** Opens images on this thread: puts client, archives and layers together. */

import { find, type Found, spooled } from "./archive.js";
import type { Backend, LayersView } from "./backend.js";
import type { BlobStore, ByteSource } from "./blobs.js";
import { Client } from "./client.js";
import type { Engine, ImageFacts, LayerState } from "./engine.js";
import { check, localError } from "./failure.js";
import type { Folder, Host } from "./host.js";
import type { Yard } from "./image.js";
import { blobSource } from "./opfs.js";
import { Shared } from "./shared.js";
import type {
  Description,
  Descriptor,
  ExportOptions,
  FolderEntry,
  ImageSource,
  OpenOptions,
  Pulled,
  RegistryOptions,
  WorkOptions,
} from "./types.js";

/** A place on this machine, or a registry's reference, as `wire::source` says it. */
type Named =
  | { registry: string }
  | { registry?: undefined; kind?: string; path: string; reference?: string };

/** Opens images here, with what this host has. */
export class LocalYard implements Yard {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async tags(repository: string, options: RegistryOptions): Promise<string[]> {
    const backend = await this.#host.backend();
    const store = await this.#host.store({ store: "memory" });
    const client = new Client(backend, this.#host, store, options);
    try {
      return await client.tags(repository, options);
    } finally {
      await client.close();
      await store.close();
    }
  }

  async open(source: ImageSource, options: OpenOptions): Promise<Engine> {
    const backend = await this.#host.backend();
    check(backend, options.signal);
    const named = typeof source === "string" ? (JSON.parse(backend.source(source)) as Named) : undefined;
    const isOwn = typeof options.store === "object";
    const store = await this.#host.store(options).catch((error: unknown) => {
      throw localError(backend, "opening the store", error);
    });
    // A store that the caller made is the caller's to close.
    const closing = async (): Promise<void> => {
      if (!isOwn) await store.close();
    };
    try {
      if (named?.registry !== undefined) return await this.#remote(backend, store, closing, named.registry, options);
      return await this.#local(backend, store, closing, source, named, options);
    } catch (error) {
      await closing();
      throw error;
    }
  }

  async #remote(
    backend: Backend,
    store: BlobStore,
    closing: () => Promise<void>,
    reference: string,
    options: OpenOptions,
  ): Promise<Engine> {
    const client = new Client(backend, this.#host, store, options);
    try {
      const platform = options.platform ?? "native";
      options.onProgress?.({ phase: "resolve", done: 0 });
      const pulled = await client.pull(reference, { platform, depth: "config" }, options);
      const document = (digest: string): Uint8Array | undefined => client.documents.get(digest);
      const facts = describe(backend, reference, pulled, document, true);
      return new Remote(backend, store, closing, client, facts);
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  async #local(
    backend: Backend,
    store: BlobStore,
    closing: () => Promise<void>,
    source: ImageSource,
    named: Exclude<Named, { registry: string }> | undefined,
    options: OpenOptions,
  ): Promise<Engine> {
    const from = await this.#source(backend, store, source, named, options);
    const own = this.#host.platform;
    const name = options.name ?? named?.reference;
    const choice = { kind: named?.kind, name, platform: options.platform ?? "native", own };
    const found = await find(backend, store, from, choice, options);
    try {
      const facts = describe(
        backend,
        found.name ?? titleOf(source),
        found.pulled,
        (digest) => found.document(digest),
        false,
      );
      return new Local(backend, closing, found, facts);
    } catch (error) {
      await found.close();
      throw error;
    }
  }

  async #source(
    backend: Backend,
    store: BlobStore,
    source: ImageSource,
    named: { path: string } | undefined,
    options: OpenOptions,
  ): Promise<ByteSource | Folder> {
    const openPath = async (path: string): Promise<ByteSource | Folder> => {
      if (!this.#host.openPath) throw new TypeError("there are no paths in a browser: give a File");
      return this.#host.openPath(path).catch((error: unknown) => {
        throw localError(backend, "opening the image", error);
      });
    };
    if (named) return openPath(named.path);
    if (typeof source === "string") throw new TypeError("a name that means nothing");
    if (source instanceof URL) {
      if (source.protocol === "file:") return openPath(decodeURIComponent(source.pathname));
      const init: RequestInit = options.signal ? { signal: options.signal } : {};
      const response = await (options.fetch ?? fetch)(source.href, init).catch((error: unknown) => {
        check(backend, options.signal);
        throw localError(backend, "fetching the archive", error);
      });
      if (!response.ok || !response.body) {
        throw localError(backend, "fetching the archive", new Error(`status ${response.status}`));
      }
      return spooled(backend, store, response.body, options);
    }
    if (source instanceof Blob) return blobSource(source);
    if (source instanceof Uint8Array) {
      return { size: source.length, read: async (offset, length) => source.subarray(offset, offset + length) };
    }
    if (source instanceof ReadableStream) return spooled(backend, store, source, options);
    return folderOf(source);
  }
}

/** The members of a folder that was picked or dropped, without the folder's own name. */
function folderOf(files: readonly (File | FolderEntry)[]): Folder {
  const entries = files.map((entry) =>
    "path" in entry && "file" in entry
      ? { path: entry.path, file: entry.file }
      : { path: entry.webkitRelativePath || entry.name, file: entry },
  );
  const clean = entries.map(({ path, file }) => ({ path: path.replace(/^\/+/, ""), file }));
  const [first] = clean;
  const top = first && first.path.includes("/") ? first.path.slice(0, first.path.indexOf("/") + 1) : "";
  // A layout has files of its own at its top: if nothing is there, all of it is in the folder that was picked.
  const isWithin = top !== "" && clean.every(({ path }) => path.startsWith(top));
  return new Map(clean.map(({ path, file }) => [isWithin ? path.slice(top.length) : path, blobSource(file)]));
}

/** What a local image is called that has no name. */
function titleOf(source: ImageSource): string {
  if (typeof source === "string") return source;
  if (source instanceof URL) return source.href;
  if (typeof File !== "undefined" && source instanceof File) return source.name;
  return "image";
}

function describe(
  backend: Backend,
  name: string,
  pulled: Pulled,
  document: (digest: string) => Uint8Array | undefined,
  remote: boolean,
): ImageFacts {
  const { top } = pulled;
  const [image] = pulled.images;
  const topBytes = document(top.digest);
  const manifest = image ? (document(image.manifest.digest) ?? topBytes) : topBytes;
  if (!manifest) throw new TypeError("a pull without its manifest");
  const index = image && image.manifest.digest !== top.digest ? topBytes : undefined;
  const config = image?.config && document(image.config.digest);
  const { mediaType, digest, size } = top;
  const text = backend.describe(name, JSON.stringify({ mediaType, digest, size }), manifest, config, index);
  const description = JSON.parse(text) as Description;
  return {
    description,
    pulled,
    manifest,
    top,
    remote,
    ...(config ? { config } : {}),
    ...(index ? { index } : {}),
  };
}

/** The layers as a view wants them: what the manifest says, with the config's `diff_id`s. */
function layersOf(facts: ImageFacts): { descriptors: readonly Descriptor[]; diffIds: (string | undefined)[] } {
  const descriptors = facts.pulled.images[0]?.layers ?? [];
  return { descriptors, diffIds: facts.description.layers.map((layer) => layer.diffId) };
}

/** What both kinds of images have: layers that are merged. */
abstract class Layered implements Engine {
  readonly facts: ImageFacts;
  protected readonly backend: Backend;
  protected readonly descriptors: readonly Descriptor[];
  readonly #view: LayersView;
  readonly #closing: () => Promise<void>;

  constructor(backend: Backend, closing: () => Promise<void>, facts: ImageFacts, verified: (digest: string) => boolean) {
    this.backend = backend;
    this.facts = facts;
    this.#closing = closing;
    const { descriptors, diffIds } = layersOf(facts);
    this.descriptors = descriptors;
    const layers = descriptors.map((descriptor, index) => {
      const diffId = diffIds[index];
      return {
        ...descriptor,
        get verified() {
          return verified(descriptor.digest);
        },
        ...(diffId === undefined ? {} : { diffId }),
      };
    });
    this.#view = backend.layers(layers, facts.description.diffIds, {
      open: (index, work) => this.bytes(index, work),
      discard: (index) => this.discard(index),
    });
    if (this.#view.unpack) this.unpack = (directory, work) => this.#view.unpack?.(directory, work) ?? Promise.resolve();
  }

  unpack?: (directory: string, options: WorkOptions) => Promise<void>;

  /** The blob of a layer; it is fetched if it has to be. */
  protected abstract bytes(index: number, work: WorkOptions): Promise<ByteSource>;
  /** As `LayerBytes` wants it. */
  protected abstract discard(index: number): Promise<boolean>;
  protected abstract here(index: number): Promise<boolean>;
  /** Ends what is under way: who waits for it goes on at once. */
  protected abstract stop(): Promise<void>;
  /** Nobody reads any more. */
  protected abstract end(): Promise<void>;
  abstract fetchLayers(options: WorkOptions): Promise<void>;

  async layerStates(): Promise<readonly LayerState[]> {
    const states = this.#view.states();
    return Promise.all(states.map(async (state, index) => ({ ...state, here: await this.here(index) })));
  }

  async table(cursor: number, most: number, pattern: string | undefined, options: WorkOptions): Promise<Uint8Array> {
    await this.fetchLayers(options);
    return this.#view.table(cursor, most, pattern, options);
  }

  async content(path: string | Uint8Array, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    return this.#view.content(path, options);
  }

  async exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>> {
    await this.fetchLayers(options);
    return this.#view.exported(options);
  }

  async layer(index: number, decoded: boolean, options: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    if (!this.descriptors[index]) throw new RangeError(`there is no layer ${index}`);
    return this.#view.layer(index, decoded, options);
  }

  async close(): Promise<void> {
    const closing = this.#view.close();
    await this.stop();
    await closing;
    await this.end();
    await this.#closing();
  }
}

/** An image in files. */
class Local extends Layered {
  readonly #found: Found;

  constructor(backend: Backend, closing: () => Promise<void>, found: Found, facts: ImageFacts) {
    super(backend, closing, facts, () => false);
    this.#found = found;
  }

  protected override async bytes(index: number): Promise<ByteSource> {
    const source = this.#found.blob(this.descriptors[index]?.digest ?? "");
    if (!source) throw new TypeError("core found a blob and does not know where");
    return source;
  }
  protected override async discard(): Promise<boolean> {
    return false;
  }
  protected override async here(): Promise<boolean> {
    return true;
  }
  protected override async stop(): Promise<void> {}
  protected override end(): Promise<void> {
    return this.#found.close();
  }
  override async fetchLayers(): Promise<void> {}
}

/** An image on a registry. */
class Remote extends Layered {
  readonly #client: Client;
  readonly #store: BlobStore;
  readonly #open = new Map<string, Shared<ByteSource>>();
  readonly #all = new Shared<void>();
  #closed = false;

  constructor(
    backend: Backend,
    store: BlobStore,
    closing: () => Promise<void>,
    client: Client,
    facts: ImageFacts,
  ) {
    super(backend, closing, facts, (digest) => client.verified.has(digest));
    this.#client = client;
    this.#store = store;
  }

  /** The image by its digest, so that a tag that moves meanwhile changes nothing. */
  #named(digest: string): string {
    const name = this.facts.description.name.replace(/@.*$/, "");
    const colon = name.lastIndexOf(":");
    return `${colon > name.lastIndexOf("/") ? name.slice(0, colon) : name}@${digest}`;
  }

  protected override bytes(index: number, work: WorkOptions): Promise<ByteSource> {
    const digest = this.descriptors[index]?.digest ?? "";
    let source = this.#open.get(digest);
    if (!source) {
      source = new Shared();
      this.#open.set(digest, source);
    }
    return source.join(this.backend, work.signal, (signal) => this.#fetched(index, digest, { ...work, signal }));
  }

  async #fetched(index: number, digest: string, work: WorkOptions): Promise<ByteSource> {
    let there = await this.#store.open(digest);
    if (!there) {
      // One that lies elsewhere is found by the manifest only.
      const isElsewhere = (this.descriptors[index]?.urls ?? []).length > 0;
      if (!isElsewhere) await this.#client.pullBlob(this.#named(digest), work);
      else await this.fetchLayers(work);
      there = await this.#store.open(digest);
    }
    if (!there) throw new TypeError("a blob that was fetched is not in the store");
    return there;
  }

  protected override async discard(index: number): Promise<boolean> {
    const digest = this.descriptors[index]?.digest ?? "";
    // What this client saw verified is not made better by fetching it again.
    if (this.#closed || !this.#store.remove || this.#client.verified.has(digest)) return false;
    const source = await this.#open.get(digest)?.result?.catch(() => undefined);
    this.#open.delete(digest);
    await source?.close?.();
    await this.#store.remove(digest);
    this.#all.forget();
    return true;
  }

  protected override async here(index: number): Promise<boolean> {
    const there = this.#closed ? undefined : await this.#store.open(this.descriptors[index]?.digest ?? "");
    await there?.close?.();
    return there !== undefined;
  }

  override fetchLayers(options: WorkOptions): Promise<void> {
    return this.#all.join(this.backend, options.signal, (signal) => this.#fetchAll({ ...options, signal }));
  }

  async #fetchAll(options: WorkOptions): Promise<void> {
    const digest = this.facts.pulled.images[0]?.manifest.digest ?? this.facts.top.digest;
    await this.#client.pull(this.#named(digest), { depth: "layers" }, options);
  }

  protected override stop(): Promise<void> {
    this.#closed = true;
    return this.#client.close();
  }
  protected override async end(): Promise<void> {
    for (const { result } of this.#open.values()) await (await result?.catch(() => undefined))?.close?.();
  }
}
