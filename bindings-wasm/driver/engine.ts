/**
 * What stands behind an `Image`: here on this thread, in a Worker, or in native code. All three speak in documents,
 * packed tables and streams of bytes, so that no object per entry crosses a thread.
 */

import type { Description, Descriptor, ExportOptions, Pulled, Verified, WorkOptions } from "./types.js";

/** All that is known once an image is open. It can be cloned to another thread. */
export interface ImageFacts {
  readonly description: Description;
  readonly pulled: Pulled;
  /** The documents' bytes, exactly as they were. */
  readonly manifest: Uint8Array;
  readonly config?: Uint8Array;
  readonly index?: Uint8Array;
  readonly top: Descriptor;
  /** Whether the image is on a registry, so that layers are fetched when they are needed. */
  readonly remote: boolean;
}

/** What is known about one layer's bytes. */
export interface LayerState {
  /** The blob against its digest. */
  readonly digest: Verified;
  /** Its content against the config's `diff_id`. */
  readonly diffId: Verified;
  /** Whether the blob is here. */
  readonly here: boolean;
}

/** One open image. */
export interface Engine {
  readonly facts: ImageFacts;
  /** Fetches the layers that are not here. */
  fetchLayers(options: WorkOptions): Promise<void>;
  /** The state of every layer, bottom first, as of now. */
  layerStates(): Promise<readonly LayerState[]>;
  /**
   * Rows of the merged tree (`wire::table`), from a cursor on; 0 begins. The last has the cursor `0xffffffff`. `pattern`
   * is one of core's (gitignore's words).
   */
  table(cursor: number, most: number, pattern: string | undefined, options: WorkOptions): Promise<Uint8Array>;
  /** The content of a regular file; links are followed. A name that is no UTF-8 is given as its bytes. */
  content(path: string | Uint8Array, options: WorkOptions): Promise<ReadableStream<Uint8Array>>;
  /** The flattened root. The stream fails where a digest or `diff_id` does not hold, before its end. */
  exported(options: ExportOptions): Promise<ReadableStream<Uint8Array>>;
  /** The blob of a layer as it is (`decoded: false`) or its tar. */
  layer(index: number, decoded: boolean, options: WorkOptions): Promise<ReadableStream<Uint8Array>>;
  /** Into a directory that appears whole or not at all; where the host can. */
  unpack?(directory: string, options: WorkOptions): Promise<void>;
  close(): Promise<void>;
}
