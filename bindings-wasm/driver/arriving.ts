/** What comes over the network on its way into a store. */

import type { BlobStore, Sink } from "./blobs.js";

/** The most that core is given in one call. */
export const MOST = 256 << 10;

/** Small chunks that go into a sink together. */
export class Gathered {
  readonly #sink: Sink;
  #offset: number;
  #chunks: Uint8Array[] = [];
  length = 0;

  constructor(sink: Sink, offset: number) {
    this.#sink = sink;
    this.#offset = offset;
  }

  add(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.length += chunk.length;
  }

  async flush(): Promise<void> {
    const [first] = this.#chunks;
    if (!first) return;
    let all = first;
    if (this.#chunks.length > 1) {
      all = new Uint8Array(this.length);
      let at = 0;
      for (const chunk of this.#chunks) {
        all.set(chunk, at);
        at += chunk.length;
      }
    }
    const offset = this.#offset;
    this.#offset += all.length;
    this.#chunks = [];
    this.length = 0;
    await this.#sink.write(offset, all);
  }
}

/** A chunk in parts that core takes in one call. */
export function* pieces(chunk: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < chunk.length; at += MOST) yield chunk.subarray(at, at + MOST);
}

/** A document that the store has from an earlier time. */
export async function stored(store: BlobStore, digest: string): Promise<Uint8Array | undefined> {
  const source = await store.open(digest).catch(() => undefined);
  if (!source) return undefined;
  try {
    // One that cannot be read is as good as none: it is fetched again.
    return source.size > 8 << 20 ? undefined : await source.read(0, source.size).catch(() => undefined);
  } finally {
    await source.close?.();
  }
}

/** A way to nowhere, for what is fetched only to be held against its descriptor. */
export function nowhere(): Sink {
  const nothing = async (): Promise<void> => undefined;
  return { have: 0, truncate: nothing, write: nothing, read: async () => new Uint8Array(0), commit: nothing, release: nothing };
}

/** Keeps a document under its digest. */
export async function keep(store: BlobStore, digest: string, bytes: Uint8Array): Promise<void> {
  if (store.put) return store.put(digest, bytes);
  const there = await store.open(digest);
  if (there) return there.close?.();
  const sink = await store.sink(digest, bytes.length);
  if (!sink) return;
  try {
    await sink.truncate(0);
    await sink.write(0, bytes);
  } catch (error) {
    await sink.release().catch(() => undefined);
    throw error;
  }
  await sink.commit();
}
