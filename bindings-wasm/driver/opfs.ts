/** Blobs in the browser's own file system of this origin (OPFS). Only in a dedicated Worker, where it has synchronous access. */

import { type BlobStore, type ByteSource, Full, noHole, type Sink, type Spool } from "./blobs.js";

/** What TypeScript's library of the page does not have: it is a worker's. */
interface AccessHandle {
  read(buffer: Uint8Array, options: { at: number }): number;
  write(buffer: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}
type AccessibleFile = FileSystemFileHandle & {
  createSyncAccessHandle?: () => Promise<AccessHandle>;
  move?: (folder: FileSystemDirectoryHandle, name: string) => Promise<void>;
};

const FOLDER = "wharfie";
const PARTIAL = "partial";
const BLOBS = "blobs";
const SPOOL = "spool";

/** Whether there is such a thing here. */
export async function hasOpfs(): Promise<boolean> {
  if (typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === "undefined") return false;
  if (!globalThis.navigator?.storage?.getDirectory) return false;
  try {
    await navigator.storage.getDirectory();
    return typeof FileSystemFileHandle !== "undefined" && "createSyncAccessHandle" in FileSystemFileHandle.prototype;
  } catch {
    return false;
  }
}

function fileName(digest: string): string {
  return digest.replace(":", "-");
}

/** Writes all of it, or says that there is no room. */
function writeAll(handle: AccessHandle, offset: number, bytes: Uint8Array): void {
  const written = handle.write(bytes, { at: offset });
  if (written < bytes.length) throw new Full(bytes.length - written);
}

function readFrom(handle: AccessHandle, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const read = handle.read(bytes, { at: offset });
  return read === length ? bytes : bytes.subarray(0, read);
}

/**
 * A store in OPFS. Verified blobs stay for the next time, and so does what came of others, to be gone on with; unpacked
 * archives do not. `OpfsBlobs.clear()` empties it.
 *
 * @example
 * ```ts
 * // In a Worker:
 * import { Image, OpfsBlobs } from "wharfie-wasm/web";
 * const image = await Image.open("ghcr.io/org/image:tag", { store: await OpfsBlobs.open() });
 * ```
 */
export class OpfsBlobs implements BlobStore {
  readonly #blobs: FileSystemDirectoryHandle;
  readonly #partial: FileSystemDirectoryHandle;
  readonly #spools: FileSystemDirectoryHandle;
  readonly #open = new Set<AccessHandle>();
  readonly #temporary = new Set<string>();

  static async open(): Promise<OpfsBlobs> {
    const root = await navigator.storage.getDirectory();
    const home = await root.getDirectoryHandle(FOLDER, { create: true });
    const [blobs, partial, spools] = await Promise.all(
      [BLOBS, PARTIAL, SPOOL].map((name) => home.getDirectoryHandle(name, { create: true })),
    );
    const store = new OpfsBlobs(
      blobs as FileSystemDirectoryHandle,
      partial as FileSystemDirectoryHandle,
      spools as FileSystemDirectoryHandle,
    );
    await store.#sweep();
    return store;
  }

  /** Removes everything of ours from this origin. */
  static async clear(): Promise<void> {
    const root = await navigator.storage.getDirectory();
    await root.removeEntry(FOLDER, { recursive: true }).catch(() => undefined);
  }

  private constructor(
    blobs: FileSystemDirectoryHandle,
    partial: FileSystemDirectoryHandle,
    spools: FileSystemDirectoryHandle,
  ) {
    this.#blobs = blobs;
    this.#partial = partial;
    this.#spools = spools;
  }

  /** What a page that was closed left behind: files that nobody has open can be removed. */
  async #sweep(): Promise<void> {
    const sweep = async (folder: FileSystemDirectoryHandle, isOver: (name: string) => boolean): Promise<void> => {
      const names: string[] = [];
      for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
      await Promise.all(names.filter(isOver).map((name) => folder.removeEntry(name).catch(() => undefined)));
    };
    await sweep(this.#spools, () => true);
    // Second ones of a blob: nobody would go on with them.
    await sweep(this.#partial, (name) => name.split("-").length > 2);
  }

  async #handle(folder: FileSystemDirectoryHandle, name: string): Promise<AccessHandle> {
    const file = (await folder.getFileHandle(name, { create: true })) as AccessibleFile;
    if (!file.createSyncAccessHandle) throw new TypeError("OPFS has synchronous access in a dedicated Worker only");
    const handle = await file.createSyncAccessHandle();
    this.#open.add(handle);
    return handle;
  }

  #shut(handle: AccessHandle): void {
    if (this.#open.delete(handle)) handle.close();
  }

  async open(digest: string): Promise<ByteSource | undefined> {
    try {
      const file = await (await this.#blobs.getFileHandle(fileName(digest))).getFile();
      return blobSource(file);
    } catch {
      return undefined;
    }
  }

  async sink(digest: string): Promise<Sink> {
    const final = fileName(digest);
    let name = final;
    const handle = await this.#handle(this.#partial, name).catch((error: unknown) => {
      // Another tab writes it: this one fetches it too, into a file of its own.
      if ((error as Error).name !== "NoModificationAllowedError") throw error;
      name = `${final}-${Math.random().toString(36).slice(2)}`;
      return this.#handle(this.#partial, name);
    });
    return {
      have: handle.getSize(),
      truncate: async (size) => {
        noHole(size, handle.getSize());
        if (size < handle.getSize()) handle.truncate(size);
      },
      write: async (offset, bytes) => {
        noHole(offset, handle.getSize());
        writeAll(handle, offset, bytes);
      },
      read: async (offset, length) => readFrom(handle, offset, length),
      commit: async () => {
        handle.flush();
        this.#shut(handle);
        const file = (await this.#partial.getFileHandle(name)) as AccessibleFile;
        if (!file.move) throw new TypeError("this browser cannot rename files in OPFS");
        await file.move(this.#blobs, final);
      },
      release: async () => {
        this.#shut(handle);
        if (name !== final) await this.#partial.removeEntry(name).catch(() => undefined);
      },
    };
  }

  async remove(digest: string): Promise<void> {
    await this.#blobs.removeEntry(fileName(digest)).catch((error: unknown) => {
      if ((error as Error).name !== "NotFoundError") throw error;
    });
  }

  async spool(): Promise<Spool> {
    const name = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const handle = await this.#handle(this.#spools, name);
    this.#temporary.add(name);
    let size = 0;
    return {
      get size() {
        return size;
      },
      append: async (bytes) => {
        writeAll(handle, size, bytes);
        size += bytes.length;
      },
      read: async (offset, length) => readFrom(handle, offset, Math.max(0, Math.min(length, size - offset))),
      close: async () => {
        this.#shut(handle);
        this.#temporary.delete(name);
        await this.#spools.removeEntry(name).catch(() => undefined);
      },
    };
  }

  async close(): Promise<void> {
    for (const handle of [...this.#open]) this.#shut(handle);
    for (const name of this.#temporary) await this.#spools.removeEntry(name).catch(() => undefined);
  }
}

/** The bytes of a `Blob`, a `File` among them. */
export function blobSource(blob: Blob): ByteSource {
  return {
    size: blob.size,
    read: async (offset, length) => new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer()),
  };
}
