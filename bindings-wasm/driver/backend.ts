/**
 * What the driver drives: core, as WebAssembly here or as native code in the Node package. Both are thin shells over
 * `core::wire`, whose docs say what each call means; JSON crosses as text, bulk bytes as views.
 *
 * A call fails with a `WharfieError` for what is core's `Error`, and with anything else for a bug of a driver.
 */

import type { LayerState } from "./engine.js";
import type { ByteSource, Sink } from "./blobs.js";
import type { Descriptor, ExportOptions, WorkOptions } from "./types.js";

/** The client machine (`wire::Session`). Times are milliseconds of one monotonic clock. */
export interface Session {
  pull(now: number, reference: string, options: string): number;
  pullBlob(now: number, reference: string): number;
  tags(now: number, repository: string, options: string): number;
  cancel(now: number, job: number): void;
  /** Bytes of a blob that are in its sink, while anybody wants it. */
  progress(blob: number): number | undefined;
  poll(): string;
  body(id: number): Uint8Array | undefined;
  document(number: number): Uint8Array | undefined;
  /** `headers` are names and values in turn; `ended` is the URL where a redirect led that the host followed. */
  handleHead(now: number, id: number, status: number, headers: string[], ended: string | undefined): string;
  replay(id: number, bytes: Uint8Array): void;
  handleBody(now: number, id: number, bytes: Uint8Array): boolean;
  handleStored(now: number, id: number, length: number): boolean;
  handleEnd(now: number, id: number): void;
  handleFailure(now: number, id: number, failure: string, detail: string): void;
  handleSinkFailure(now: number, blob: number, failure: string, needed: number, detail: string): void;
  handleReading(now: number, id: number, reading: boolean): void;
  handleTimeout(now: number): void;
  fetch(now: number, blob: number, have: number): void;
  skip(now: number, blob: number): void;
  supply(now: number, blob: number, bytes: Uint8Array): void;
  credentials(now: number, id: number, found: string | undefined): void;
  /**
   * Only where native code writes and hashes off this thread: taken between `handleHead`, which answered `store`, and the
   * first byte. The driver then gives chunks to it instead of `handleBody`, and tells `handleStored`. `undefined` for a sink
   * that native code knows nothing of.
   */
  takeSink?(id: number, sink: Sink): Promise<NativeSink | undefined>;
  free(): void;
}

/** A file that native code writes and hashes. */
export interface NativeSink {
  write(bytes: Uint8Array): Promise<void> | void;
  /** Flushes, and brings the hasher back to the session (`handle_hashed`): poll after it. */
  finish(now: number): Promise<void>;
}

/** Finds the images of a local file or folder (`wire::Opening`). */
export interface Opening {
  file(length: number): void;
  member(name: string, length: number): void;
  step(): string;
  supply(bytes: Uint8Array): void;
  /** Answers how many it took. */
  hash(bytes: Uint8Array): number;
  choose(name: string | undefined, options: string): void;
  document(digest: string): Uint8Array | undefined;
  blob(digest: string): string | undefined;
  free(): void;
}

/** Decodes one stream (`wire::Unpack`). */
export interface Unpack {
  /** Takes from `input` and gives `output`; `last` says that nothing comes behind this input. */
  process(input: Uint8Array, last: boolean): Unpacked;
  free(): void;
}

/** What one call did. */
export interface Unpacked {
  /** Bytes of the input that it took. */
  readonly read: number;
  readonly output: Uint8Array;
  /** Whether that was the last of it. */
  readonly done: boolean;
}

/** One layer, as a view wants it: its descriptor, and what is known of it. */
export interface LayerSource extends Descriptor {
  readonly diffId?: string;
  /** Whether its blob was verified when it was fetched into a store of ours: as of when it is asked. */
  readonly verified: boolean;
}

/** The merged view of an image's layers. */
export interface LayersView {
  states(): readonly Omit<LayerState, "here">[];
  table(cursor: number, most: number, pattern: string | undefined, work: WorkOptions): Promise<Uint8Array>;
  content(path: string | Uint8Array, work: WorkOptions): Promise<ReadableStream<Uint8Array>>;
  exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>>;
  layer(index: number, decoded: boolean, work: WorkOptions): Promise<ReadableStream<Uint8Array>>;
  unpack?(directory: string, work: WorkOptions): Promise<void>;
  close(): Promise<void>;
}

/** Where a view reads layers' blobs. */
export interface LayerBytes {
  /** It is asked when the layer is needed first, and may fetch it then. */
  open(index: number, work: WorkOptions): Promise<ByteSource>;
  /** What is there is not what its digest says. Answers whether it is gone: then `open` has another. */
  discard(index: number): Promise<boolean>;
}

/** What the client needs of core. */
export type ClientBackend = Pick<Backend, "session" | "cancelled" | "localError" | "reachAllows">;

/** Core. */
export interface Backend {
  readonly name: "wasm" | "native";
  session(options: string): Session;
  opening(kind: string | undefined): Opening;
  unpack(): Unpack;
  /** `diffIds`: those that the config lists, where it lists any by its kind (schema 1 does not). */
  layers(layers: readonly LayerSource[], diffIds: readonly string[] | undefined, bytes: LayerBytes): LayersView;
  /** `wire::describe`; documents as bytes, the top as JSON. */
  describe(name: string, top: string, manifest: Uint8Array, config?: Uint8Array, index?: Uint8Array): string;
  /** What a user's name for an image means (`wire::source`). */
  source(name: string): string;
  /** Whether a request may go where it leads (`wire::reach_allows`). */
  reachAllows(reach: string, url: string, addresses: string[]): boolean;
  /** What the corpus in `testdata/` asks. */
  probe(kind: string, input: string): string;
  errorCodes(): string[];
  /** Errors that hosts make themselves, as JSON. */
  cancelled(): string;
  localError(failure: string, operation: string, needed: number, reason: string): string;
}
