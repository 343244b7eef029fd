/** Where blobs are kept: what a host has instead of a disk, or its disk. */

/** What a blob's bytes are read from. Reads may be side by side. */
export interface ByteSource {
  readonly size: number;
  /** Exactly the bytes from `offset` on, or fewer at the end. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** The file and where in it they are, where it is one that native code can open. */
  readonly path?: string;
  /** Of `path`. */
  readonly offset?: number;
  close?(): Promise<void>;
}

/** What a blob that is not verified yet is written to. */
export interface Sink {
  /** Bytes that are there from an earlier time: they are hashed again before anything goes on. */
  readonly have: number;
  /** Cuts it there. */
  truncate(size: number): Promise<void>;
  /** Appends at `offset`, which is where it ends. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** What was written. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** All of it is there and right: from now on the store has it under its digest. */
  commit(): Promise<void>;
  /** It stays as it is, to be gone on with, unless the store forgets what is not verified. */
  release(): Promise<void>;
  /** The file it writes to, where native code can do the writing. */
  readonly path?: string;
}

/**
 * A place for blobs by their digests. Nothing stands under a digest before it was verified.
 *
 * A store of your own may fail with an error whose `code` is `ENOSPC` or whose `name` is `QuotaExceededError`: it becomes
 * `no_space`, as on every host.
 */
export interface BlobStore {
  /** The blob, if it is there. */
  open(digest: string): Promise<ByteSource | undefined>;
  /** Begins or goes on with one. `undefined` if it came meanwhile: somebody else fetched it. */
  sink(digest: string, size: number | undefined): Promise<Sink | undefined>;
  /** Forgets a blob that turned out not to be what its digest says, so that whoever wants it next has it fetched anew. */
  remove?(digest: string): Promise<void>;
  /** A document, verified. It takes the place of one that rotted. A store that has no such thing is given it as any blob. */
  put?(digest: string, document: Uint8Array): Promise<void>;
  /** A file without a name, for an archive that has to be unpacked: it is gone when it is closed. */
  spool(): Promise<Spool>;
  /** Gives back what only this session needed. */
  close(): Promise<void>;
}

/** What is written begins where what is there ends: anything else would leave a hole, and that is never committed. */
export function noHole(offset: number, end: number): void {
  if (offset > end) throw new RangeError(`${offset} is beyond the end, which is at ${end}`);
}

/** A file without a name. */
export interface Spool extends ByteSource {
  readonly size: number;
  append(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** There is no more room: what stores throw. */
export class Full extends Error {
  override readonly name = "QuotaExceededError";
  /** Bytes that it would take. */
  readonly needed: number;
  constructor(needed: number) {
    super("full");
    this.needed = needed;
  }
}
