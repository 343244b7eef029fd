/** What Wharfie's package with the native core is made of beside that: the same driver over another core. */

export type * from "./backend.js";
export type * from "./blobs.js";
export { Client } from "./client.js";
export type * from "./engine.js";
export { cancelled, check, localError } from "./failure.js";
export { openPath } from "./files.js";
export type * from "./host.js";
export { Image, type Yard } from "./image.js";
export { LocalYard } from "./local.js";
export { MemoryBlobs } from "./memory.js";
export { host, load } from "./node.js";
export { Shared } from "./shared.js";
export { FileEntry } from "./table.js";
