/** wharfie-wasm in a browser: on a page, or in a Worker. */

import { MemoryBlobs } from "./memory.js";
import { hasOpfs, OpfsBlobs } from "./opfs.js";
import type { Backend } from "./backend.js";
import type { BlobStore } from "./blobs.js";
import type { Host } from "./host.js";
import { setYard } from "./image.js";
import { LocalYard } from "./local.js";
import type { OpenOptions } from "./types.js";
import { WasmBackend } from "./wasm.js";

export * from "./index.js";
export { OpfsBlobs } from "./opfs.js";
export { ImageWorker } from "./proxy.js";

/** What a module can be made of. */
export type WasmSource = URL | string | Response | BufferSource | WebAssembly.Module;

let given: WasmSource | undefined;
let backend: Promise<Backend> | undefined;

/**
 * Says where `wharfie.wasm` is, before the first image is opened: for bundlers that do not follow
 * `new URL("./wharfie.wasm", import.meta.url)`.
 *
 * @example
 * ```ts
 * import { useWasm } from "wharfie-wasm/web";
 * useWasm(new URL("/assets/wharfie.wasm", location.href));
 * ```
 */
export function useWasm(source: WasmSource): void {
  given = source;
  backend = undefined;
}

async function compile(source: WasmSource): Promise<WebAssembly.Module> {
  if (source instanceof WebAssembly.Module) return source;
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return WebAssembly.compile(source as BufferSource);
  const response = source instanceof Response ? source : await fetch(source);
  if (!response.ok) throw new TypeError(`${response.url}: status ${response.status}`);
  // A server that does not know the type is no reason to fail.
  const isTyped = response.headers.get("content-type")?.startsWith("application/wasm") ?? false;
  return isTyped ? WebAssembly.compileStreaming(response) : WebAssembly.compile(await response.arrayBuffer());
}

/** Core, loaded once. @internal */
export function load(): Promise<Backend> {
  backend ??= compile(given ?? new URL("./wharfie.wasm", import.meta.url))
    .then((module) => new WasmBackend(module))
    .catch((error: unknown) => {
      backend = undefined;
      throw error;
    });
  return backend;
}

async function store({ store: named, memory }: OpenOptions): Promise<BlobStore> {
  if (typeof named === "object") return named;
  if (named === "opfs") return OpfsBlobs.open();
  if (named !== undefined && named !== "memory") throw new TypeError(`there is no store "${named}" in a browser`);
  if (named === undefined && memory === undefined && (await hasOpfs())) return OpfsBlobs.open();
  return new MemoryBlobs(memory);
}

const host: Host = {
  backend: load,
  profile: {
    redirectsHidden: true,
    headers: "exposed",
    decodesContentEncoding: true,
    streamsRequestBody: false,
    maxParallel: 6,
    opaqueFailures: true,
  },
  redirect: "follow",
  // A page may not say who it is, and trying to costs a preflight.
  withholds: ["user-agent", "accept-encoding"],
  adds: {},
  userAgent: "wharfie-wasm",
  platform: "linux/amd64",
  failure: (error, begun) => ({
    failure: begun ? "broken" : "unknown",
    detail: error instanceof Error ? error.message : String(error),
  }),
  store,
};

setYard(new LocalYard(host));
