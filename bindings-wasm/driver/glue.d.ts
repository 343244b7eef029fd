/** What wasm-bindgen makes of `bindings-wasm/src`, as a function that makes instances (`build.mjs`). */

import type { Opening, Session } from "./backend.js";

/** A machine that asks for bytes of blobs. */
export interface Machine {
  /** -1: done; -2: again; -3: feed what `source`, `offset` and `len` say; more than 0: so many bytes to `take`. */
  step(): number;
  readonly source: number;
  readonly offset: number;
  readonly len: number;
  feed(source: number, offset: number, bytes: Uint8Array): number;
  free(): void;
}

export interface Reader extends Machine {
  take(length: number): Uint8Array<ArrayBuffer>;
}

export interface Stack extends Machine {
  want(layer: number | undefined): void;
  have(layer: number, size: number, verified: boolean): void;
  known(layer: number): boolean;
  table(from: number, most: number, pattern: string | undefined): Uint8Array<ArrayBuffer>;
  find(path: Uint8Array): number | undefined;
  read(path: Uint8Array): Reader & { readonly size: number };
  readLayer(layer: number): Reader & { readonly size: number };
  export(format: string): Reader & { tarBytes(): number };
}

/** Holds what goes out against its digest. */
export interface Verifier {
  update(bytes: Uint8Array): void;
  finish(): void;
  free(): void;
}

export interface RawUnpack {
  process(input: Uint8Array, last: boolean): Uint8Array<ArrayBuffer>;
  readonly read: number;
  readonly done: boolean;
  free(): void;
}

export interface Glue {
  readonly Session: new (options: string) => Session;
  readonly Opening: new (kind: string | undefined) => Opening;
  readonly Unpack: new () => RawUnpack;
  readonly Verifier: new (layer: number, digest: string, size: number) => Verifier;
  readonly Stack: new (layers: string, diffIds: string | undefined, options: string) => Stack;
  describe(name: string, top: string, manifest: Uint8Array, config?: Uint8Array, index?: Uint8Array): string;
  source(name: string): string;
  reachAllows(reach: string, url: string, addresses: string[]): boolean;
  probe(list: string, input: string): string;
  errorCodes(): string[];
  cancelled(): string;
  localError(failure: string, operation: string, needed: number, reason: string): string;
  internal(reason: string): string;
  lastPanic(): string | undefined;
  panicForTest(message: string): void;
  /** Makes every call do nothing: what is left of it may still be collected. */
  kill(): void;
}

export function instantiate(module: WebAssembly.Module): Glue;
