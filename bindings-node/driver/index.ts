/**
 * Container images without a container engine.
 *
 * @packageDocumentation
 */

// What is named here stands before what is of the same name there.
/** @internal */
export { core as load } from "./image.js";
export { backend, type CommonMembers, Image, tags } from "./image.js";
export type { ExportOptions, ExportReport, OpenOptions, UnpackOptions, UnpackReport } from "./options.js";
export * from "wharfie-wasm";
