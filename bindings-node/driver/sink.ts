/** The native content store, as the driver wants a store of blobs. */

import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import type { BlobStore, ByteSource, Sink, Spool } from "wharfie-wasm";
import { internal } from "wharfie-wasm";

import { awaiting, calling, type Intake, type Native, type Session, type Store, type Writer } from "./native.js";

type DriverSession = internal.Session;
type NativeSink = internal.NativeSink;
type ClientBackend = internal.ClientBackend;

/** Milliseconds after which it is looked whether somebody else has fetched a blob. */
const OTHERS = 100;

/** What a sink's own failure is for the driver: its `code` is one of the system's. */
function sinkError(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('{"detail":')) return error;
  const { sink, needed, detail } = JSON.parse(error.message) as { sink: string; needed: number; detail: string };
  const code = sink === "no_space" ? "ENOSPC" : sink === "permission" ? "EACCES" : "EIO";
  return Object.assign(new Error(detail), { code, needed });
}

/** A way into the native store. What an exchange brings goes to a `Writer`; documents come whole. */
export class StoreSink implements Sink {
  readonly intake: Intake;
  readonly #store: Store;
  readonly #digest: string;
  readonly #size: number | undefined;
  #document: Uint8Array | undefined;

  constructor(store: Store, digest: string, size: number | undefined, intake: Intake) {
    this.#store = store;
    this.#digest = digest;
    this.#size = size;
    this.intake = intake;
  }

  get have(): number {
    return this.intake.position;
  }
  /** A writer cuts it where it begins. */
  async truncate(): Promise<void> {}
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    if (offset !== 0) throw new TypeError("only documents are written here, and they come whole");
    this.#document = bytes;
  }
  async read(): Promise<Uint8Array> {
    throw new TypeError("what is there is read again by its writer");
  }

  async commit(): Promise<void> {
    const document = this.#document;
    if (document) {
      await this.intake.release();
      await awaiting(() => this.#store.putDocument(this.#digest, document));
    } else {
      await awaiting(() => this.intake.commit(this.#size ?? this.intake.position));
    }
  }

  release(): Promise<void> {
    return this.intake.release();
  }
}

/** A native store. It stays when it is closed. */
export class StoreBlobs implements BlobStore {
  readonly store: Store;
  #closed = false;

  constructor(store: Store) {
    this.store = store;
  }

  async open(digest: string): Promise<ByteSource | undefined> {
    const size = calling(() => this.store.has(digest));
    if (size === null) return undefined;
    // Whoever reads it is the driver, and it wants a document: one that has rotted is as good as none.
    return {
      size,
      path: calling(() => this.store.blobPath(digest)),
      offset: 0,
      read: async (offset, length) => {
        const document = await awaiting(() => this.store.readDocument(digest));
        if (!document) throw new Error("it cannot be read");
        return document.subarray(offset, offset + length);
      },
    };
  }

  async sink(digest: string, size: number | undefined): Promise<Sink | undefined> {
    for (;;) {
      const claimed = await awaiting(() => this.store.claim(digest, size ?? 0));
      if (typeof claimed === "number") return undefined;
      if (claimed !== null) return new StoreSink(this.store, digest, size, claimed);
      if (this.#closed) throw new Error("the store is closed");
      await sleep(OTHERS);
    }
  }

  put(digest: string, document: Uint8Array): Promise<void> {
    return awaiting(() => this.store.putDocument(digest, document));
  }

  async spool(): Promise<Spool> {
    throw new TypeError("archives are unpacked by native code");
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

/** Brings what a store of the caller's own has to where native code reads: into a temporary one. */
export class Staging {
  readonly store: Store;
  readonly #from: BlobStore;
  readonly #under = new Map<string, Promise<void>>();

  constructor(store: Store, from: BlobStore) {
    this.store = store;
    this.#from = from;
  }

  /** Has a blob be there. */
  bring(digest: string): Promise<void> {
    let under = this.#under.get(digest);
    if (!under) {
      under = this.#copy(digest).finally(() => this.#under.delete(digest));
      this.#under.set(digest, under);
    }
    return under;
  }

  async #copy(digest: string): Promise<void> {
    if (calling(() => this.store.has(digest)) !== null) return;
    const source = await this.#from.open(digest);
    if (!source) throw new TypeError("a blob that was fetched is not in the store");
    const path = calling(() => this.store.blobPath(digest));
    await mkdir(dirname(path), { recursive: true });
    const partial = `${path}.staged`;
    const file = await open(partial, "w");
    try {
      for (let at = 0; at < source.size; ) {
        const bytes = await source.read(at, Math.min(256 << 10, source.size - at));
        if (bytes.length === 0) throw new Error("a store's blob is shorter than it says");
        await file.writeFile(bytes);
        at += bytes.length;
      }
      await file.close();
      await rename(partial, path);
    } catch (error) {
      await file.close().catch(() => undefined);
      await rm(partial, { force: true });
      throw error;
    } finally {
      await source.close?.();
    }
  }
}

/** Core's client machine, in native code. */
export function clientBackend(native: Native): ClientBackend {
  return {
    session: (options) => session(native, options),
    cancelled: () => native.cancelled(),
    localError: (failure, operation, needed, reason) => native.localError(failure, operation, needed, reason),
    reachAllows: (reach, url, addresses) => calling(() => native.reachAllows(reach, url, addresses)),
  };
}

function session(native: Native, options: string): DriverSession {
  const raw = calling(() => new native.Session(options));
  const more = {
    takeSink: (id: number, sink: Sink) => takeSink(raw, id, sink),
    free: () => undefined,
  };
  const methods = new Map<PropertyKey, unknown>(Object.entries(more));
  return new Proxy(raw, {
    get: (target, name) => {
      let method = methods.get(name);
      if (!method) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        method = (...given: unknown[]): unknown =>
          calling(() => (value as (...all: unknown[]) => unknown).apply(target, given)) ?? undefined;
        methods.set(name, method);
      }
      return method;
    },
  }) as unknown as DriverSession;
}

async function takeSink(session: Session, id: number, sink: Sink): Promise<NativeSink | undefined> {
  if (!(sink instanceof StoreSink)) return undefined;
  const writer = await session.writeBy(id, sink.intake);
  return writer ? writing(writer) : NOWHERE;
}

/** The exchange was aborted meanwhile. */
const NOWHERE: NativeSink = { write: () => undefined, finish: async () => undefined };

function writing(writer: Writer): NativeSink {
  return {
    write: (bytes) => {
      try {
        const waits = writer.write(bytes);
        if (waits) return waits.catch((error: unknown) => Promise.reject(sinkError(error)));
      } catch (error) {
        throw sinkError(error);
      }
    },
    finish: (now) => writer.finish(now).catch((error: unknown) => Promise.reject(sinkError(error))),
  };
}
