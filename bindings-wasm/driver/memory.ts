/** Blobs in memory, up to a cap. */

import { type BlobStore, type ByteSource, Full, noHole, type Sink, type Spool } from "./blobs.js";

/** What memory may hold where nobody says it: 512 MiB. */
export const MEMORY = 512 * 2 ** 20;

/** Bytes that are added together and given back. */
class Room {
  used = 0;
  readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  take(bytes: number): void {
    if (this.used + bytes > this.most) throw new Full(this.used + bytes - this.most);
    this.used += bytes;
  }

  give(bytes: number): void {
    this.used -= bytes;
  }
}

/** Bytes in pieces, so that nothing is copied when they grow. */
class Pieces {
  readonly #room: Room;
  #pieces: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  size = 0;

  constructor(room: Room) {
    this.#room = room;
  }

  append(bytes: Uint8Array): void {
    this.#room.take(bytes.length);
    this.#pieces.push({ at: this.size, bytes: bytes.slice() });
    this.size += bytes.length;
  }

  truncate(size: number): void {
    while (this.size > size) {
      const last = this.#pieces.pop();
      if (!last) break;
      const keep = Math.max(size - last.at, 0);
      if (keep > 0) this.#pieces.push({ at: last.at, bytes: last.bytes.slice(0, keep) });
      this.#room.give(last.bytes.length - keep);
      this.size = last.at + keep;
    }
  }

  read(offset: number, length: number): Uint8Array {
    const end = Math.min(offset + length, this.size);
    if (offset >= end) return new Uint8Array(0);
    // The piece that has the first byte.
    let low = 0;
    for (let high = this.#pieces.length - 1; low < high; ) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle]?.at ?? Infinity) <= offset) low = middle;
      else high = middle - 1;
    }
    const first = this.#pieces[low];
    if (first && end <= first.at + first.bytes.length) return first.bytes.subarray(offset - first.at, end - first.at);
    const all = new Uint8Array(end - offset);
    for (let piece = low; piece < this.#pieces.length; piece++) {
      const { at, bytes } = this.#pieces[piece] as { at: number; bytes: Uint8Array };
      if (at >= end) break;
      const from = Math.max(offset - at, 0);
      all.set(bytes.subarray(from, Math.min(end - at, bytes.length)), at + from - offset);
    }
    return all;
  }
}

/**
 * A store that forgets everything when it is closed, and holds no more than its cap: more is `no_space`.
 *
 * @example
 * ```ts
 * import { Image, MemoryBlobs } from "wharfie-wasm";
 * const image = await Image.open("alpine", { store: new MemoryBlobs(64 * 2 ** 20) });
 * ```
 */
export class MemoryBlobs implements BlobStore {
  readonly #room: Room;
  readonly #blobs = new Map<string, Pieces>();
  readonly #partial = new Map<string, Pieces>();

  constructor(most: number = MEMORY) {
    this.#room = new Room(most);
  }

  /** Bytes that it holds. */
  get used(): number {
    return this.#room.used;
  }

  async open(digest: string): Promise<ByteSource | undefined> {
    const pieces = this.#blobs.get(digest);
    return pieces && { size: pieces.size, read: async (offset, length) => pieces.read(offset, length) };
  }

  async sink(digest: string, size: number | undefined): Promise<Sink> {
    // Whoever comes second begins with nothing: each writes into pieces of his own.
    const pieces = this.#partial.get(digest) ?? new Pieces(this.#room);
    this.#partial.delete(digest);
    const giveBack = async (): Promise<void> => {
      const other = this.#partial.get(digest);
      // The one that has come farther stays.
      const [kept, gone] = other && other.size > pieces.size ? [other, pieces] : [pieces, other];
      gone?.truncate(0);
      this.#partial.set(digest, kept);
    };
    // What is known not to fit is not fetched.
    const needed = this.#room.used + (size ?? 0) - pieces.size - this.#room.most;
    if (needed > 0) {
      await giveBack();
      throw new Full(needed);
    }
    return {
      have: pieces.size,
      truncate: async (to) => {
        noHole(to, pieces.size);
        pieces.truncate(to);
      },
      write: async (offset, bytes) => {
        noHole(offset, pieces.size);
        pieces.truncate(offset);
        pieces.append(bytes);
      },
      read: async (offset, length) => pieces.read(offset, length),
      commit: async () => {
        // Who was first has it: readers hold its pieces.
        if (this.#blobs.has(digest)) pieces.truncate(0);
        else this.#blobs.set(digest, pieces);
      },
      release: giveBack,
    };
  }

  async remove(digest: string): Promise<void> {
    this.#blobs.get(digest)?.truncate(0);
    this.#blobs.delete(digest);
  }

  async spool(): Promise<Spool> {
    const pieces = new Pieces(this.#room);
    return {
      get size() {
        return pieces.size;
      },
      append: async (bytes) => pieces.append(bytes),
      read: async (offset, length) => pieces.read(offset, length),
      close: async () => pieces.truncate(0),
    };
  }

  async close(): Promise<void> {
    for (const pieces of [...this.#blobs.values(), ...this.#partial.values()]) pieces.truncate(0);
    this.#blobs.clear();
    this.#partial.clear();
  }
}
