/** What every host has. */

export { Image, Layer, tags } from "./image.js";
export { type EntryType, FileEntry } from "./table.js";
export { Tree } from "./tree.js";
export { MemoryBlobs } from "./memory.js";
export type { BlobStore, ByteSource, Sink, Spool } from "./blobs.js";
export type { ImageFacts, LayerState } from "./engine.js";
export * from "./errors.js";
export type * from "./types.js";
