/** Blobs in files, and local files as sources: Node. */

import { constants, type FileHandle, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type BlobStore, type ByteSource, noHole, type Sink, type Spool } from "./blobs.js";
import type { Folder } from "./host.js";

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let read = 0;
  while (read < length) {
    const { bytesRead } = await file.read(bytes, read, length - read, offset + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return read === length ? bytes : bytes.subarray(0, read);
}

async function writeAt(file: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}

/** Takes a lock, which is a file with the number of the process that holds it; one that a dead process left is taken over. */
async function acquire(lock: string): Promise<boolean> {
  for (let tries = 0; tries < 2; tries++) {
    try {
      await writeFile(lock, String(process.pid), { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await readFile(lock, "utf8").catch(() => ""));
    if (holder > 0 && isAlive(holder)) return false;
    await rm(lock, { force: true });
  }
  return false;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** A file to read from. It is opened when it is first read. */
export function fileSource(path: string, size: number): ByteSource {
  let file: Promise<FileHandle> | undefined;
  return {
    size,
    path,
    offset: 0,
    read: async (offset, length) => {
      file ??= open(path, constants.O_RDONLY);
      return readAt(await file, offset, Math.max(0, Math.min(length, size - offset)));
    },
    close: async () => {
      const opened = file;
      file = undefined;
      await (await opened?.catch(() => undefined))?.close();
    },
  };
}

/** A local file, or a folder with all that is in it. */
export async function openPath(path: string): Promise<ByteSource | Folder> {
  const there = await stat(path);
  if (!there.isDirectory()) return fileSource(path, there.size);
  const members = new Map<string, ByteSource>();
  const walk = async (folder: string, prefix: string): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const below = join(folder, entry.name);
      if (entry.isDirectory()) await walk(below, `${prefix}${entry.name}/`);
      else if (entry.isFile() || entry.isSymbolicLink()) {
        const file = await stat(below).catch(() => undefined);
        if (file?.isFile()) members.set(prefix + entry.name, fileSource(below, file.size));
      }
    }
  };
  await walk(path, "");
  return members;
}

/**
 * A store in a directory, laid out as the blobs of an OCI layout: `blobs/sha256/…`. A blob has its name only when it is
 * verified; what came of others stays beside them, to be gone on with.
 *
 * @example
 * ```ts
 * import { FileBlobs, Image } from "wharfie-wasm";
 * const image = await Image.open("alpine", { store: await FileBlobs.open("./cache") });
 * ```
 */
export class FileBlobs implements BlobStore {
  readonly #directory: string;
  readonly #isTemporary: boolean;
  #spools = 0;

  /** In this directory, or in a temporary one that goes when the store is closed. */
  static async open(directory?: string): Promise<FileBlobs> {
    const isTemporary = directory === undefined;
    const home = directory ?? (await mkdtemp(join(tmpdir(), "wharfie-")));
    await mkdir(home, { recursive: true });
    return new FileBlobs(home, isTemporary);
  }

  private constructor(directory: string, isTemporary: boolean) {
    this.#directory = directory;
    this.#isTemporary = isTemporary;
  }

  #path(digest: string): string {
    const [algorithm, hex] = digest.split(":");
    return join(this.#directory, "blobs", algorithm ?? "", hex ?? "");
  }

  async open(digest: string): Promise<ByteSource | undefined> {
    const path = this.#path(digest);
    const there = await stat(path).catch(() => undefined);
    return there?.isFile() ? fileSource(path, there.size) : undefined;
  }

  async sink(digest: string): Promise<Sink> {
    const path = this.#path(digest);
    await mkdir(join(path, ".."), { recursive: true });
    const lock = `${path}.lock`;
    const isOurs = await acquire(lock);
    // Who comes second fetches it too, into a file of his own: both end under one name.
    const partial = isOurs ? `${path}.partial` : `${path}.${process.pid}-${this.#spools++}.partial`;
    const over = async (): Promise<void> => {
      if (isOurs) await rm(lock, { force: true });
    };
    const file = await open(partial, constants.O_RDWR | constants.O_CREAT, 0o644).catch(async (error: unknown) => {
      await over();
      throw error;
    });
    const { size } = await file.stat();
    let end = size;
    return {
      have: size,
      path: partial,
      truncate: async (to) => {
        noHole(to, end);
        await file.truncate(to);
        end = to;
      },
      write: async (offset, bytes) => {
        noHole(offset, end);
        await writeAt(file, offset, bytes);
        end = Math.max(end, offset + bytes.length);
      },
      read: (offset, length) => readAt(file, offset, length),
      commit: async () => {
        try {
          await file.close();
          await rename(partial, path);
        } finally {
          await over();
        }
      },
      release: async () => {
        await file.close();
        // Nobody would look for it under that name.
        if (!isOurs) await rm(partial, { force: true });
        await over();
      },
    };
  }

  async spool(): Promise<Spool> {
    const path = join(this.#directory, `.spool-${process.pid}-${Date.now()}-${this.#spools++}`);
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    let size = 0;
    return {
      path,
      offset: 0,
      get size() {
        return size;
      },
      append: async (bytes) => {
        await writeAt(file, size, bytes);
        size += bytes.length;
      },
      read: (offset, length) => readAt(file, offset, Math.max(0, Math.min(length, size - offset))),
      close: async () => {
        await file.close();
        await rm(path, { force: true });
      },
    };
  }

  async close(): Promise<void> {
    if (this.#isTemporary) await rm(this.#directory, { recursive: true, force: true });
  }
}
