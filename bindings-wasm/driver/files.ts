/** Blobs in files, and local files as sources: Node. */

import { constants, type FileHandle, mkdir, mkdtemp, open, readdir, readlink, rename, rm, stat } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";

import { type BlobStore, type ByteSource, noHole, type Sink, type Spool } from "./blobs.js";
import type { Folder } from "./host.js";

/** What a file is called in which a blob comes: the blob's name, who writes it, and this. */
const PARTIAL = ".partial";
/** Who writes one that was given back. */
const LEFT = "left";
/** Of sinks and spools: their names differ. */
let serial = 0;

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

/** Milliseconds after which nobody writes to a file any more, whoever did. */
const ABANDONED = 3_600_000;

/**
 * The file of this process that a blob is written to: one that somebody left, which is gone on with, or a new one. Node has no
 * locks on files: who writes one is in its name, and whoever renames it has it.
 */
async function claim(blob: string, serial: number): Promise<string> {
  const own = `${blob}.${await pidSpace()}-${process.pid}-${serial}${PARTIAL}`;
  const folder = dirname(blob);
  const prefix = `${basename(blob)}.`;
  for (const name of await readdir(folder)) {
    if (!name.startsWith(prefix) || !name.endsWith(PARTIAL)) continue;
    const left = join(folder, name);
    if (!(await isLeft(left, name.slice(prefix.length, -PARTIAL.length)))) continue;
    try {
      await rename(left, own);
      return own;
    } catch (error) {
      // Somebody else was first.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return own;
}

/** Whether nobody writes to it: it was given back, its process is over, or it is old. */
async function isLeft(path: string, writer: string): Promise<boolean> {
  if (writer === LEFT) return true;
  const [space, pid] = writer.split("-");
  if (space === (await pidSpace()) && !isAlive(Number(pid))) return true;
  const there = await stat(path).catch(() => undefined);
  return there !== undefined && Date.now() - there.mtimeMs > ABANDONED;
}

/** Where the numbers of processes mean the same: a container has its own. */
async function pidSpace(): Promise<string> {
  const said = await readlink("/proc/self/ns/pid").catch(() => hostname());
  return said.replace(/[^A-Za-z0-9]/g, "");
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

  async remove(digest: string): Promise<void> {
    await rm(this.#path(digest), { force: true });
  }

  async sink(digest: string): Promise<Sink> {
    const path = this.#path(digest);
    await mkdir(dirname(path), { recursive: true });
    // Who comes second fetches it too, into a file of his own: both end under one name.
    const partial = await claim(path, serial++);
    const file = await open(partial, constants.O_RDWR | constants.O_CREAT, 0o644);
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
        await file.close();
        await rename(partial, path);
      },
      release: async () => {
        await file.close();
        if (end > 0) await rename(partial, `${path}.${LEFT}${PARTIAL}`);
        else await rm(partial, { force: true });
      },
    };
  }

  async spool(): Promise<Spool> {
    const path = join(this.#directory, `.spool-${process.pid}-${Date.now()}-${serial++}`);
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
