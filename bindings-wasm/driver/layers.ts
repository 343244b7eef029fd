/** The merged view of layers where core's planner has no threads: drives `core::stack`. */

import type { Backend, LayerBytes, LayerSource, LayersView } from "./backend.js";
import type { ByteSource } from "./blobs.js";
import type { LayerState } from "./engine.js";
import { WharfieError } from "./errors.js";
import { check, localError, unless } from "./failure.js";
import type { Machine, Reader, Stack, Verifier } from "./glue.js";
import { turn, TURN } from "./turn.js";
import type { ExportOptions, Verified, WorkOptions } from "./types.js";

const DONE = -1;
const WORKING = -2;
/** What core takes at once. */
const PIECE = 256 << 10;
/** What is read from a blob at once. */
const READ = 1 << 20;
const PROGRESS_EVERY = 50;
/** What is said of a blob that is not what its digest says. */
const ROTTEN: readonly string[] = ["digest_mismatch", "size_mismatch"];
const utf8 = new TextEncoder();

/** A blob that is read forwards as a rule: the next part is on its way while this one is worked on. */
class Ahead {
  readonly #source: ByteSource;
  #at = 0;
  #bytes = new Uint8Array(0);
  #next: { at: number; bytes: Promise<Uint8Array> } | undefined;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#at || offset >= this.#at + this.#bytes.length) {
      const next = this.#next?.at === offset ? this.#next.bytes : this.#source.read(offset, Math.min(READ, length));
      this.#next = undefined;
      this.#bytes = (await next) as Uint8Array<ArrayBuffer>;
      this.#at = offset;
      const after = offset + this.#bytes.length;
      if (length > this.#bytes.length && this.#bytes.length > 0) {
        const bytes = this.#source.read(after, Math.min(READ, offset + length - after));
        // Who never asks for it never hears of it.
        bytes.catch(() => undefined);
        this.#next = { at: after, bytes };
      }
    }
    return this.#bytes.subarray(offset - this.#at, offset - this.#at + Math.min(PIECE, length));
  }
}

/** Layers that are read, merged and exported on this thread, a piece at a time. */
export class MergedLayers implements LayersView {
  readonly #backend: Backend;
  readonly #make: (options: string) => Stack;
  readonly #verifier: (index: number, digest: string, size: number) => Verifier;
  readonly #stack: Stack;
  readonly #layers: readonly LayerSource[];
  readonly #bytes: LayerBytes;
  readonly #wrap: <T extends object>(raw: T) => T;
  readonly #sources: (ByteSource | undefined)[];
  /** Layers of which core knows how long they are and whether they are verified. */
  readonly #told = new Set<number>();
  readonly #failed = new Map<number, string>();
  /** Layers whose blobs had rotted and were removed. */
  readonly #gone = new Set<number>();
  readonly #streams = new Set<() => void>();
  readonly #others = new Set<MergedLayers>();
  /** Who goes on with the stack waits for whoever does. */
  #turn: Promise<unknown> = Promise.resolve();
  #known = false;
  #closed = false;

  constructor(
    backend: Backend,
    make: (options: string) => Stack,
    verifier: (index: number, digest: string, size: number) => Verifier,
    layers: readonly LayerSource[],
    bytes: LayerBytes,
    wrap: <T extends object>(raw: T) => T,
  ) {
    this.#backend = backend;
    this.#make = make;
    this.#verifier = verifier;
    this.#stack = make("{}");
    this.#layers = layers;
    this.#bytes = bytes;
    this.#wrap = wrap;
    this.#sources = layers.map(() => undefined);
  }

  states(): Omit<LayerState, "here">[] {
    return this.#layers.map((layer, index) => {
      if (!this.#closed && this.#stack.known(index)) {
        const diffId: Verified = layer.diffId === undefined ? "unknown" : "verified";
        return { digest: "verified", diffId };
      }
      const code = this.#failed.get(index);
      if (code === "diff_id_mismatch") return { digest: "verified", diffId: "failed" };
      if (code === "digest_mismatch" || code === "size_mismatch") return { digest: "failed", diffId: "unknown" };
      return { digest: "unknown", diffId: "unknown" };
    });
  }

  async table(cursor: number, most: number, pattern: string | undefined, work: WorkOptions): Promise<Uint8Array> {
    await this.#index(undefined, work);
    return this.#stack.table(cursor, most, pattern);
  }

  async content(path: string | Uint8Array, work: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    const name = typeof path === "string" ? utf8.encode(path) : path;
    const reader = await this.#alone(work, async () => {
      for (let before: number | undefined; ; ) {
        const needed = this.#stack.find(name);
        if (needed === undefined) return this.#wrap(this.#stack.read(name));
        // It would be asked for for ever.
        if (needed === before) throw new TypeError(`layer ${needed} was read and is not known`);
        before = needed;
        await this.#drive(needed, work);
      }
    });
    return this.#stream(reader, work);
  }

  async exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>> {
    const { format = "tar", signal, onProgress, ...merging } = options;
    if (Object.keys(merging).length > 0) return this.#merged(merging, options);
    await this.#index(undefined, options);
    const reader = this.#wrap(this.#stack.export(format));
    return this.#stream(reader, options, onProgress && format === "tar" ? reader.tarBytes() : undefined);
  }

  /** An export of a tree that is merged otherwise: of a view of its own, which goes with the stream. */
  async #merged(merging: object, options: ExportOptions): Promise<ReadableStream<Uint8Array>> {
    const make = (): Stack => this.#make(JSON.stringify(merging));
    const other = new MergedLayers(this.#backend, make, this.#verifier, this.#layers, this.#bytes, this.#wrap);
    this.#others.add(other);
    const { format, signal, onProgress } = options;
    const work = { ...(signal ? { signal } : {}), ...(onProgress ? { onProgress } : {}) };
    let reader: ReadableStreamDefaultReader<Uint8Array>;
    const end = async (): Promise<void> => {
      this.#others.delete(other);
      await other.close();
    };
    try {
      reader = (await other.exported({ ...work, ...(format ? { format } : {}) })).getReader();
    } catch (error) {
      await end();
      throw error;
    }
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            const { done, value } = await reader.read();
            if (!done) return controller.enqueue(value);
            controller.close();
          } catch (error) {
            await end();
            throw error;
          }
          await end();
        },
        cancel: async (reason) => {
          await reader.cancel(reason);
          await end();
        },
      },
      { highWaterMark: 0 },
    );
  }

  async layer(index: number, decoded: boolean, work: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    await this.#index(index, work);
    if (decoded) return this.#stream(this.#wrap(this.#stack.readLayer(index)), work);
    return this.#blob(index, work);
  }

  /** A layer's blob as it is: it was verified when it was indexed, and is again on its way out. */
  async #blob(index: number, work: WorkOptions): Promise<ReadableStream<Uint8Array>> {
    const source = await this.#source(index, work);
    this.#open();
    const verifier = this.#verifier(index, this.#layers[index]?.digest ?? "", source.size);
    let offset = 0;
    return this.#chunks(
      work,
      async () => {
        const bytes = offset < source.size ? await this.#guarded(source.read(offset, PIECE)) : new Uint8Array(0);
        this.#open();
        offset += bytes.length;
        if (bytes.length > 0) verifier.update(bytes);
        else verifier.finish();
        return bytes.length > 0 ? bytes : undefined;
      },
      () => verifier.free(),
      source.size,
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const end of [...this.#streams]) end();
    for (const other of this.#others) await other.close();
    await this.#turn;
    this.#stack.free();
  }

  #open(): void {
    if (this.#closed) throw new TypeError("the image is closed");
  }

  /** One at a time. */
  #alone<T>(work: WorkOptions, task: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => {
      this.#open();
      check(this.#backend, work.signal);
      return task();
    });
    this.#turn = mine.catch(() => undefined);
    return unless(this.#backend, work.signal, mine);
  }

  /** Reads one layer, or all of them. */
  async #index(layer: number | undefined, work: WorkOptions): Promise<void> {
    this.#open();
    if (this.#known || (layer !== undefined && this.#stack.known(layer))) return;
    await this.#alone(work, () => this.#drive(layer, work));
    if (layer === undefined) this.#known = true;
  }

  async #drive(layer: number | undefined, work: WorkOptions): Promise<void> {
    this.#stack.want(layer);
    try {
      for (const gone of this.#gone) await this.#renew(gone, work);
      await this.#steps(layer, work);
    } catch (error) {
      if (error instanceof WharfieError && error.place.layer !== undefined) {
        await this.#note(error.place.layer, error.code);
      }
      throw error;
    }
  }

  /** Remembers what is wrong with a layer. A blob that has rotted where it is kept is in nobody's way the next time. */
  async #note(layer: number, code: string): Promise<void> {
    this.#failed.set(layer, code);
    if (!ROTTEN.includes(code) || this.#closed || !(await this.#bytes.discard(layer))) return;
    this.#sources[layer] = undefined;
    this.#gone.add(layer);
  }

  /** Has another copy of a blob: what was read of the one before is void. */
  async #renew(layer: number, work: WorkOptions): Promise<void> {
    const { size } = await this.#source(layer, work);
    this.#open();
    this.#stack.have(layer, size, this.#layers[layer]?.verified ?? false);
    this.#gone.delete(layer);
    this.#failed.delete(layer);
  }

  async #steps(layer: number | undefined, work: WorkOptions): Promise<void> {
    const aheads = new Map<number, Ahead>();
    const total = this.#layers.reduce((sum, { size }, at) => sum + (layer === undefined || layer === at ? size : 0), 0);
    const positions = new Map<number, number>();
    let told = -Infinity;
    let began = performance.now();
    for (;;) {
      this.#open();
      check(this.#backend, work.signal);
      const now = performance.now();
      if (now - began > TURN) {
        await turn();
        began = performance.now();
        continue;
      }
      const step = this.#stack.step();
      if (step === DONE) return;
      if (step === WORKING) continue;
      const { source } = this.#stack;
      if (!this.#told.has(source)) {
        const { size } = await this.#source(source, work);
        this.#open();
        this.#told.add(source);
        this.#stack.have(source, size, this.#layers[source]?.verified ?? false);
        continue;
      }
      const { offset, len } = this.#stack;
      let ahead = aheads.get(source);
      if (!ahead) {
        ahead = new Ahead(await this.#source(source, work));
        aheads.set(source, ahead);
      }
      await this.#feed(this.#stack, ahead, source, offset, len);
      positions.set(source, offset);
      if (work.onProgress && now - told > PROGRESS_EVERY) {
        told = now;
        work.onProgress({ phase: "read", done: [...positions.values()].reduce((sum, one) => sum + one, 0), total });
      }
    }
  }

  async #feed(machine: Machine, ahead: Ahead, source: number, offset: number, len: number): Promise<void> {
    const bytes = await this.#guarded(ahead.read(offset, len));
    this.#open();
    machine.feed(source, offset, bytes);
  }

  /** Asked anew until there is one: whoever asked first may have given up. */
  async #source(index: number, work: WorkOptions): Promise<ByteSource> {
    return (this.#sources[index] ??= await this.#bytes.open(index, work));
  }

  async #guarded<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      throw localError(this.#backend, "reading", error);
    }
  }

  #stream(reader: Reader, work: WorkOptions, total?: number): ReadableStream<Uint8Array> {
    const aheads = new Map<number, Ahead>();
    let began = performance.now();
    return this.#chunks(
      work,
      async () => {
        for (;;) {
          if (performance.now() - began > TURN) {
            await turn();
            this.#open();
            check(this.#backend, work.signal);
            began = performance.now();
          }
          const step = reader.step();
          if (step > 0) return reader.take(step);
          if (step === DONE) return undefined;
          if (step === WORKING) continue;
          const { source, offset, len } = reader;
          let ahead = aheads.get(source);
          if (!ahead) {
            ahead = new Ahead(await this.#source(source, work));
            aheads.set(source, ahead);
            this.#open();
          }
          await this.#feed(reader, ahead, source, offset, len);
        }
      },
      () => reader.free(),
      total,
    );
  }

  /** A stream of what `next` gives, until it gives nothing. */
  #chunks(
    work: WorkOptions,
    next: () => Promise<Uint8Array | undefined>,
    end: () => void,
    total: number | undefined,
  ): ReadableStream<Uint8Array> {
    let done = 0;
    let told = -Infinity;
    let over = false;
    const finish = (): void => {
      if (over) return;
      over = true;
      this.#streams.delete(finish);
      end();
    };
    this.#streams.add(finish);
    return new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          try {
            this.#open();
            check(this.#backend, work.signal);
            const chunk = await next();
            this.#open();
            if (chunk === undefined) {
              finish();
              controller.close();
              return;
            }
            done += chunk.length;
            controller.enqueue(chunk);
            const now = performance.now();
            if (work.onProgress && now - told > PROGRESS_EVERY) {
              told = now;
              work.onProgress(total === undefined ? { phase: "write", done } : { phase: "write", done, total });
            }
          } catch (error) {
            finish();
            throw error;
          }
        },
        cancel: finish,
      },
      { highWaterMark: 0 },
    );
  }
}
