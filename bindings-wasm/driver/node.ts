/** wharfie-wasm in Node. */

import { lookup } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { arch } from "node:process";

import { FileBlobs, openPath } from "./files.js";
import { MemoryBlobs } from "./memory.js";
import type { Backend } from "./backend.js";
import type { BlobStore } from "./blobs.js";
import type { Failure, Host } from "./host.js";
import { setYard } from "./image.js";
import { LocalYard } from "./local.js";
import type { OpenOptions } from "./types.js";
import { WasmBackend } from "./wasm.js";

export * from "./index.js";
export { FileBlobs } from "./files.js";

/** What `wharfie`, the package with the native core, is made of beside that. It changes with every version. @internal */
export * as internal from "./internal.js";

let backend: Promise<Backend> | undefined;

/** Core, loaded once. @internal */
export function load(): Promise<Backend> {
  backend ??= readFile(new URL("./wharfie.wasm", import.meta.url))
    .then((bytes) => WebAssembly.compile(bytes))
    .then((module) => new WasmBackend(module));
  return backend;
}

/** Node's words for processors, in Go's. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", arm: "arm", ppc64: "ppc64le" };

const REASONS: readonly (readonly [RegExp, Failure])[] = [
  [/^(ENOTFOUND|EAI_|ENODATA)/, "dns"],
  [/^ECONNREFUSED/, "refused"],
  [/^(EHOSTUNREACH|ENETUNREACH|ENETDOWN|EADDRNOTAVAIL|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)/, "unreachable"],
  [/^(DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|CERT_|ERR_TLS_CERT|HOSTNAME_MISMATCH)/, "certificate"],
  [/^(EPROTO|ERR_SSL|ERR_TLS)/, "tls"],
  [/^(ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET|UND_ERR_|HPE_|ERR_HTTP2|ERR_STREAM)/, "broken"],
];

/** Why Node's `fetch` failed. What a `fetch` of somebody else's says is found in the same places. */
export function failure(error: unknown, begun: boolean): { failure: Failure; detail: string } {
  let detail = error instanceof Error ? error.message : String(error);
  for (let cause = error, depth = 0; cause && depth < 6; depth++) {
    const { code, errors, message, cause: below } = cause as {
      code?: unknown;
      errors?: unknown[];
      message?: unknown;
      cause?: unknown;
    };
    if (typeof message === "string" && message !== "") detail = message;
    if (typeof code === "string") {
      const found = REASONS.find(([pattern]) => pattern.test(code));
      if (found) return { failure: begun ? "broken" : found[1], detail };
    }
    // Several addresses were tried.
    cause = below ?? errors?.[0];
  }
  return { failure: begun ? "broken" : "unknown", detail };
}

async function addresses(url: string): Promise<string[]> {
  const name = new URL(url).hostname.replace(/^\[|\]$/g, "");
  if (isIP(name)) return [name];
  // Whoever asks it hears why it has none.
  const found = await lookup(name, { all: true }).catch(() => []);
  return found.map(({ address }) => address);
}

async function store({ store: named, memory }: OpenOptions): Promise<BlobStore> {
  if (typeof named === "object") return named;
  if (named === "memory" || (named === undefined && memory !== undefined)) return new MemoryBlobs(memory);
  if (named === "opfs") throw new TypeError("there is no OPFS in Node: name a directory");
  return FileBlobs.open(named);
}

/** Node, with whichever core. @internal */
export const host: Omit<Host, "backend"> = {
  profile: { decodesContentEncoding: true, streamsRequestBody: true },
  redirect: "manual",
  withholds: [],
  // Else Node asks for what it decodes, and lengths are not those of the blob.
  adds: { "accept-encoding": "identity" },
  userAgent: "wharfie",
  platform: `linux/${ARCHITECTURES[arch] ?? arch}`,
  failure,
  addresses,
  store,
  openPath,
};

setYard(new LocalYard({ ...host, backend: load }));
