/** Opens images with the native core. */

import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, normalize, sep } from "node:path";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";

import type {
  BlobStore,
  Credentials,
  CredentialsOption,
  Descriptor,
  FolderEntry,
  ImageSource,
  Pulled,
  RegistryOptions,
  WorkOptions,
} from "wharfie-wasm";
import { internal } from "wharfie-wasm";

import { factsOf, type Fetcher, NativeEngine } from "./engine.js";
import { awaiting, calling, type Image, type Native, type Store } from "./native.js";
import type { OpenOptions } from "./options.js";
import { clientBackend, Staging, StoreBlobs } from "./sink.js";
import { supervised } from "./work.js";

/** Of the host of the driver, whichever core. */
const host = internal.host as internal.Host;
/** The image that is built into native code. */
const SAMPLE = "sample:";
const PROGRESS_EVERY = 50;

/** Where a session's blobs go, and where native code finds them. */
interface Place {
  readonly blobs: BlobStore;
  readonly store: Store;
  /** Where both are not the same. */
  readonly staging?: Staging;
  close(): Promise<void>;
}

export class NativeYard implements internal.Yard {
  readonly #native: Native;
  readonly #backend: internal.ClientBackend;

  constructor(native: Native) {
    this.#native = native;
    this.#backend = clientBackend(native);
  }

  async tags(repository: string, options: RegistryOptions): Promise<string[]> {
    const blobs = new internal.MemoryBlobs();
    const client = new internal.Client(this.#backend, host, blobs, this.#asked(options));
    try {
      return await client.tags(repository, options);
    } finally {
      await client.close();
    }
  }

  async open(source: ImageSource, options: OpenOptions): Promise<NativeEngine> {
    internal.check(this.#backend, options.signal);
    if (typeof source === "string") {
      if (source === SAMPLE) return this.#local(source, options);
      const named = JSON.parse(calling(() => this.#native.source(source))) as { registry?: string };
      return named.registry === undefined ? this.#local(source, options) : this.#remote(named.registry, options);
    }
    if (source instanceof URL && source.protocol === "file:") return this.#local(fileURLToPath(source), options);
    return this.#brought(source, options);
  }

  /** Who is asked for credentials. */
  #asked(options: RegistryOptions): RegistryOptions {
    if (options.credentials !== undefined) return options;
    const credentials: CredentialsOption = async ({ registry, repository }) => {
      const found = await awaiting(() => this.#native.findCredentials(registry, repository));
      return found === null ? undefined : (JSON.parse(found) as Credentials);
    };
    return { ...options, credentials };
  }

  #engine(image: Image, { name }: OpenOptions, closing: () => Promise<void>): NativeEngine {
    return new NativeEngine(this.#native, image, factsOf(image, { name, remote: false }), undefined, closing);
  }

  async #local(name: string, options: OpenOptions): Promise<NativeEngine> {
    return this.#engine(await this.#opened(name, options), options, async () => undefined);
  }

  /** What a name stands for on this machine. */
  #opened(name: string, { platform, name: which, signal, store: named }: OpenOptions): Promise<Image> {
    const store = typeof named === "string" && named !== "memory" ? named : undefined;
    return supervised(this.#native, signal ? { signal } : {}, async (work) => {
      if (which === undefined || name === SAMPLE) return this.#native.Image.openLocal(name, platform, store, work);
      // A name may say what kind of a place it is: the path is what is behind that.
      const { path = name } = JSON.parse(this.#native.source(name)) as { path?: string };
      const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
      if (isFolder) return this.#native.Image.openLocal(`oci:${path}:${which}`, platform, store, work);
      return this.#native.Image.openFile(path, name, which, platform, work);
    });
  }

  /** What comes as bytes: it goes to a temporary file first, since archives are read back and forth. */
  async #brought(source: Exclude<ImageSource, string>, options: OpenOptions): Promise<NativeEngine> {
    const folder = await mkdtemp(join(tmpdir(), "wharfie-"));
    const gone = (): Promise<void> => rm(folder, { recursive: true, force: true });
    try {
      if (Array.isArray(source)) {
        const top = await this.#laidOut(source as readonly (File | FolderEntry)[], folder, options);
        return this.#engine(await this.#opened(top, options), options, gone);
      }
      const path = join(folder, "archive");
      await this.#spooled(source as URL | Blob | Uint8Array | ReadableStream<Uint8Array>, path, options);
      const title = source instanceof URL ? source.href : isFile(source) ? source.name : "image";
      const { platform, name, signal } = options;
      const image = await supervised(this.#native, signal ? { signal } : {}, (work) =>
        this.#native.Image.openFile(path, title, name, platform, work),
      );
      // Where a file that is open may be removed, it is: then nothing is left if this process dies.
      await gone().catch(() => undefined);
      return this.#engine(image, options, gone);
    } catch (error) {
      await gone();
      throw error;
    }
  }

  async #spooled(
    source: URL | Blob | Uint8Array | ReadableStream<Uint8Array>,
    path: string,
    options: OpenOptions,
  ): Promise<void> {
    const { signal, onProgress } = options;
    const most = options.memory ?? Infinity;
    let total = source instanceof Blob ? source.size : source instanceof Uint8Array ? source.length : undefined;
    let stream: Readable;
    // What a function of the caller's threw.
    let own: { readonly error: unknown } | undefined;
    try {
      if (source instanceof Uint8Array) {
        await writeFile(path, source, signal ? { signal } : {});
        return;
      }
      if (source instanceof URL) {
        const init = { ...(signal ? { signal } : {}), ...(options.dispatcher ? { dispatcher: options.dispatcher } : {}) };
        const response = await (options.fetch ?? fetch)(source.href, init as RequestInit);
        if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
        total = Number(response.headers.get("content-length") ?? NaN) || undefined;
        stream = Readable.fromWeb(response.body as never);
      } else if (source instanceof Blob) {
        stream = Readable.fromWeb(source.stream() as never);
      } else {
        stream = Readable.fromWeb(source as never);
      }
      let done = 0;
      let told = -Infinity;
      const counted = new Transform({
        transform(chunk: Uint8Array, _, next) {
          done += chunk.length;
          // Where it goes is a file, and who says how much memory there is means it all the same.
          if (done > most) return next(Object.assign(new Error("full"), { code: "ENOSPC", needed: done - most }));
          if (onProgress && performance.now() - told > PROGRESS_EVERY) {
            told = performance.now();
            try {
              onProgress({ phase: "unpack", done, ...(total === undefined ? {} : { total }) });
            } catch (error) {
              own = { error };
              return next(error as Error);
            }
          }
          next(null, chunk);
        },
      });
      await pipeline(stream, counted, createWriteStream(path), signal ? { signal } : {});
    } catch (error) {
      if (own) throw own.error;
      internal.check(this.#backend, signal);
      throw internal.localError(this.#backend, source instanceof URL ? "fetching the archive" : "reading", error);
    }
  }

  /** The files of a folder that was picked, as one on this disk. */
  async #laidOut(files: readonly (File | FolderEntry)[], folder: string, work: WorkOptions): Promise<string> {
    let top: string | undefined;
    for (const entry of files) {
      internal.check(this.#backend, work.signal);
      const given = "path" in entry && "file" in entry;
      const name = given ? entry.path : entry.webkitRelativePath || entry.name;
      const path = normalize(join(folder, name));
      if (!path.startsWith(folder + sep)) throw new TypeError(`${name} is not in the folder`);
      await mkdir(dirname(path), { recursive: true });
      await pipeline(Readable.fromWeb((given ? entry.file : entry).stream() as never), createWriteStream(path));
      if (/(^|\/)(oci-layout|manifest\.json|index\.json)$/.test(name) && (!top || dirname(path).length < top.length)) {
        top = dirname(path);
      }
    }
    return top ?? folder;
  }

  async #place(options: OpenOptions): Promise<Place> {
    const { store: named, memory } = options;
    if (typeof named === "object" || named === "memory" || (named === undefined && memory !== undefined)) {
      const isOwn = typeof named === "object";
      const blobs = isOwn ? named : new internal.MemoryBlobs(memory);
      const store = await awaiting(() => this.#native.Store.temporary());
      const close = async (): Promise<void> => {
        store.close();
        // A store that the caller made is the caller's to close.
        if (!isOwn) await blobs.close();
      };
      return { blobs, store, staging: new Staging(store, blobs), close };
    }
    if (named === "opfs") throw new TypeError("there is no OPFS in Node: name a directory");
    const store = await awaiting(() => this.#native.Store.open(named));
    const blobs = new StoreBlobs(store);
    const close = async (): Promise<void> => {
      await blobs.close();
      store.close();
    };
    return { blobs, store, close };
  }

  async #remote(reference: string, options: OpenOptions): Promise<NativeEngine> {
    const place = await this.#place(options);
    const client = new internal.Client(this.#backend, host, place.blobs, this.#asked(options));
    const closing = async (): Promise<void> => {
      await client.close();
      await place.close();
    };
    try {
      options.onProgress?.({ phase: "resolve", done: 0 });
      const platform = options.platform ?? "native";
      const pulled = await client.pull(reference, { platform, depth: "config" }, options);
      const { top } = pulled;
      const [chosen] = pulled.images;
      if (place.staging) {
        for (const document of [top, chosen?.manifest, chosen?.config]) {
          const bytes = document && client.documents.get(document.digest);
          if (bytes) await awaiting(() => place.store.putDocument(document.digest, bytes));
        }
      }
      const image = await awaiting(() =>
        this.#native.Image.inStore(reference, place.store, JSON.stringify(top), options.platform),
      );
      const facts = factsOf(image, { pulled, remote: true });
      const fetcher = new RegistryFetcher(client, place, reference, pulled);
      return new NativeEngine(this.#native, image, facts, fetcher, closing);
    } catch (error) {
      await closing();
      throw error;
    }
  }
}

function isFile(source: unknown): source is File {
  return typeof File !== "undefined" && source instanceof File;
}

/** Layers from a registry. */
class RegistryFetcher implements Fetcher {
  readonly #client: internal.Client;
  readonly #place: Place;
  readonly #reference: string;
  readonly #pulled: Pulled;

  constructor(client: internal.Client, place: Place, reference: string, pulled: Pulled) {
    this.#client = client;
    this.#place = place;
    this.#reference = reference;
    this.#pulled = pulled;
  }

  /** By its digest, so that a tag that moves meanwhile changes nothing. */
  #named(digest: string): string {
    const name = this.#reference.replace(/@.*$/, "");
    const colon = name.lastIndexOf(":");
    return `${colon > name.lastIndexOf("/") ? name.slice(0, colon) : name}@${digest}`;
  }

  async all(options: WorkOptions): Promise<void> {
    const { top, images } = this.#pulled;
    const [image] = images;
    await this.#client.pull(this.#named((image?.manifest ?? top).digest), { depth: "layers" }, options);
    const { staging, store } = this.#place;
    if (staging) {
      for (const { digest } of image?.layers ?? []) await staging.bring(digest);
    } else {
      // All of it is there now: `wharfie store ls` lists it.
      await awaiting(() => store.tag(this.#reference, JSON.stringify(top)));
    }
  }

  async one({ digest }: Descriptor, options: WorkOptions): Promise<void> {
    await this.#client.pullBlob(this.#named(digest), options);
    await this.#place.staging?.bring(digest);
  }
}
