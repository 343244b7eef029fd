/** Finds an image in local files: drives `wire::Opening`. */

import type { Backend, Opening } from "./backend.js";
import type { BlobStore, ByteSource, Spool } from "./blobs.js";
import { check, localError } from "./failure.js";
import type { Folder } from "./host.js";
import { turns } from "./turn.js";
import type { Descriptor, Pulled, WorkOptions } from "./types.js";

type Step =
  | { need: "bytes"; member?: string; offset: number; len: number }
  | { need: "hash"; member?: string; offset: number; len: number; decoded: boolean }
  | { need: "unpack"; format: string }
  | { need: "choice"; entries: Descriptor[] }
  | { need?: undefined; done: Pulled; warnings?: string[] };

/** Bytes that are read from a file at once. */
const PIECE = 256 << 10;
const PROGRESS_EVERY = 50;

/** What was found. */
export interface Found {
  readonly pulled: Pulled;
  /** A name that the archive has for it. */
  readonly name: string | undefined;
  document(digest: string): Uint8Array | undefined;
  /** Where a blob's bytes are. */
  blob(digest: string): ByteSource | undefined;
  close(): Promise<void>;
}

/** How it is gone about. */
export interface Choice {
  readonly kind?: string | undefined;
  readonly name?: string | undefined;
  readonly platform: string;
  readonly own: string;
}

/** Opens a file or a folder. `close` of what is found closes it too. */
export async function find(
  backend: Backend,
  store: BlobStore,
  from: ByteSource | Folder,
  choice: Choice,
  work: WorkOptions,
  isUnpacked = false,
): Promise<Found> {
  const opening = backend.opening(choice.kind);
  const isFolder = !("read" in from);
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (!isOpen) return;
    isOpen = false;
    opening.free();
    for (const source of isFolder ? from.values() : [from]) await source.close?.();
  };
  const member = (name: string | undefined): ByteSource => {
    const source = isFolder ? from.get(name ?? "") : from;
    if (!source) throw new TypeError(`there is no ${name}`);
    return source;
  };
  const read = async (source: ByteSource, offset: number, length: number): Promise<Uint8Array> => {
    check(backend, work.signal);
    return source.read(offset, length).catch((error: unknown) => {
      throw localError(backend, "reading", error);
    });
  };
  try {
    if (isFolder) for (const [name, source] of from) opening.member(name, source.size);
    else opening.file(from.size);
    let entries: readonly Descriptor[] = [];
    for (;;) {
      const step = JSON.parse(opening.step()) as Step;
      switch (step.need) {
        case "bytes":
          opening.supply(await read(member(step.member), step.offset, step.len));
          break;
        case "hash":
          await hash(backend, opening, step, (offset, length) => read(member(step.member), offset, length), work);
          break;
        case "unpack": {
          // A file may be made of itself, compressed again and again.
          if (isUnpacked) throw localError(backend, "unpacking", new Error("it is compressed more than once"));
          const spool = await unpack(backend, store, member(undefined), work);
          await close();
          return await find(backend, store, spool, choice, work, true);
        }
        case "choice": {
          entries = step.entries;
          opening.choose(choice.name, JSON.stringify({ platform: choice.platform, own: choice.own }));
          break;
        }
        default: {
          const where = (digest: string): ByteSource | undefined => {
            const span = opening.blob(digest);
            if (span === undefined) return undefined;
            const { member: file, offset, len } = JSON.parse(span) as { member?: string; offset: number; len: number };
            return part(member(file), offset, len);
          };
          return {
            pulled: step.done,
            // Which of several names is as good as any.
            name: entries.map((entry) => (entry.digest === step.done.top.digest ? nameOf(entry) : undefined)).find(Boolean),
            document: (digest) => opening.document(digest),
            blob: where,
            close,
          };
        }
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
}

/** Names that listings give (image-spec, `annotations.md`; containerd). */
function nameOf({ annotations }: Descriptor): string | undefined {
  return annotations?.["io.containerd.image.name"] ?? annotations?.["org.opencontainers.image.ref.name"];
}

/** A part of a source as one of its own. */
export function part(source: ByteSource, offset: number, length: number): ByteSource {
  return {
    size: length,
    ...(source.path === undefined ? {} : { path: source.path, offset: (source.offset ?? 0) + offset }),
    read: (at, wanted) => source.read(offset + at, Math.max(0, Math.min(wanted, length - at))),
  };
}

async function hash(
  backend: Backend,
  opening: Opening,
  step: { offset: number; len: number },
  read: (offset: number, length: number) => Promise<Uint8Array>,
  work: WorkOptions,
): Promise<void> {
  const tell = telling(work);
  const others = turns();
  for (let done = 0; done < step.len; ) {
    await others();
    const bytes = await read(step.offset + done, Math.min(PIECE, step.len - done));
    // A file that became shorter: core says what that is.
    if (bytes.length === 0) break;
    for (let taken = 0; taken < bytes.length; ) {
      await others();
      check(backend, work.signal);
      taken += opening.hash(bytes.subarray(taken));
    }
    done += bytes.length;
    tell("check", done, step.len);
  }
}

function telling(work: WorkOptions): (phase: "check" | "unpack", done: number, total?: number) => void {
  let told = -Infinity;
  return (phase, done, total) => {
    const now = performance.now();
    if (!work.onProgress || now - told < PROGRESS_EVERY) return;
    told = now;
    work.onProgress(total === undefined ? { phase, done } : { phase, done, total });
  };
}

/** What fails of files and streams is core's error; what a function of the caller's throws stays what it is. */
function guard(backend: Backend, operation: string): <T>(work: Promise<T>) => Promise<T> {
  return (work) =>
    work.catch((error: unknown) => {
      throw localError(backend, operation, error);
    });
}

/** Decodes a file that is compressed as a whole into one without a name. */
async function unpack(backend: Backend, store: BlobStore, from: ByteSource, work: WorkOptions): Promise<Spool> {
  const guarded = guard(backend, "unpacking");
  const spool = await guarded(store.spool());
  const codec = backend.unpack();
  const tell = telling(work);
  const others = turns();
  try {
    let offset = 0;
    let input: Uint8Array = new Uint8Array(0);
    for (let done = false; !done; ) {
      await others();
      check(backend, work.signal);
      if (input.length === 0 && offset < from.size) {
        input = await guarded(from.read(offset, PIECE));
        offset += input.length;
        // A file that became shorter ends where it ends.
        if (input.length === 0) offset = from.size;
        tell("unpack", offset, from.size);
      }
      const last = offset >= from.size;
      const step = codec.process(input, last);
      input = input.subarray(step.read);
      if (step.output.length > 0) await guarded(spool.append(step.output));
      done = step.done || (last && input.length === 0 && step.read === 0 && step.output.length === 0);
    }
    return spool;
  } catch (error) {
    await spool.close();
    throw error;
  } finally {
    codec.free();
  }
}

/** A stream's bytes in a file without a name. */
export async function spooled(
  backend: Backend,
  store: BlobStore,
  stream: ReadableStream<Uint8Array>,
  work: WorkOptions,
): Promise<Spool> {
  const guarded = guard(backend, "reading");
  const spool = await guarded(store.spool());
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel(work.signal?.reason).catch(() => undefined);
  work.signal?.addEventListener("abort", stop, { once: true });
  const tell = telling(work);
  try {
    for (;;) {
      const { done, value } = await guarded(reader.read());
      check(backend, work.signal);
      if (done) return spool;
      await guarded(spool.append(value));
      tell("unpack", spool.size);
    }
  } catch (error) {
    await reader.cancel(error).catch(() => undefined);
    await spool.close();
    check(backend, work.signal);
    throw error;
  } finally {
    work.signal?.removeEventListener("abort", stop);
  }
}
