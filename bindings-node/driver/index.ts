/**
 * Container images without a container engine.
 *
 * @packageDocumentation
 */

// What is named here stands before what is of the same name there.
export { backend, type CommonMembers, Image, tags } from "./image.js";
export type { ExportOptions, ExportReport, OpenOptions, Selection, UnpackOptions, UnpackReport } from "./options.js";
export * from "wharfie-wasm";
