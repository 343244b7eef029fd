/** The native part: what `src/*.rs` gives, and which package of this platform it is in. */

import { createRequire } from "node:module";
import { arch, env, platform, report } from "node:process";

import { WharfieError } from "wharfie-wasm";

/** Something long that is under way. */
export interface Work {
  cancel(): void;
  /** `{phase, done, total}` as JSON, if it has come on since this was asked last. */
  news(): string | null;
}

export interface Store {
  close(): void;
  blobPath(digest: string): string;
  has(digest: string): number | null;
  claim(digest: string, size: number): Promise<number | Intake | null>;
  readDocument(digest: string): Promise<Uint8Array | null>;
  putDocument(digest: string, document: Uint8Array): Promise<void>;
  tag(reference: string, top: string): Promise<void>;
}

export interface Intake {
  readonly position: number;
  commit(size: number): Promise<void>;
  release(): Promise<void>;
}

export interface Writer {
  write(chunk: Uint8Array): Promise<void> | null;
  finish(now: number): Promise<void>;
}

/** `wire::Session`: `Session` of the driver, but for what is absent being `null`. */
export interface Session {
  writeBy(id: number, intake: Intake): Promise<Writer | null>;
}

export interface Stream {
  next(): Promise<Uint8Array | null>;
  close(): void;
}

export interface Tree {
  table(from: number, most: number, pattern?: string): Promise<Uint8Array>;
}

export interface Image {
  readonly description: string;
  readonly pulled: string;
  readonly listedName: string | null;
  readonly manifest: Uint8Array;
  readonly config: Uint8Array | null;
  readonly index: Uint8Array | null;
  close(): void;
  missing(): Promise<number[]>;
  isPlain(layer: number): boolean;
  view(work: Work): Promise<Tree>;
  read(path: string | Uint8Array, work: Work): Promise<number | Stream>;
  layer(layer: number, decoded: boolean): Promise<Stream>;
  exportFile(path: string, options: string, work: Work): Promise<string>;
  exportStream(options: string, work: Work): Promise<Stream>;
  unpack(path: string, options: string, work: Work): Promise<string>;
}

export interface Native {
  readonly Work: new () => Work;
  readonly Store: { open(directory?: string): Promise<Store>; temporary(): Promise<Store> };
  readonly Session: new (options: string) => Session;
  readonly Image: {
    openLocal(name: string, platform: string | undefined, store: string | undefined, work: Work): Promise<Image>;
    openFile(path: string, name: string, reference: string | undefined, platform: string | undefined, work: Work): Promise<Image>;
    inStore(name: string, store: Store, top: string, platform?: string): Promise<Image>;
  };
  source(name: string): string;
  reachAllows(reach: string, url: string, addresses: string[]): boolean;
  probe(list: string, input: string): string;
  errorCodes(): string[];
  cancelled(): string;
  localError(failure: string, operation: string, needed: number, reason: string): string;
  findCredentials(registry: string, repository?: string): Promise<string | null>;
  checkUnpack(options: string): void;
  run(words: string[]): number;
  version(): string;
}

/** What the native package of this machine is called. */
export function packageName(): string {
  if (platform !== "linux") return `wharfie-${platform}-${arch}${platform === "win32" ? "-gnu" : ""}`;
  // Without this a report looks up the names of this machine's addresses.
  (report as { excludeNetwork?: boolean } | undefined) && ((report as { excludeNetwork?: boolean }).excludeNetwork = true);
  const { header } = (report?.getReport() ?? {}) as { header?: { glibcVersionRuntime?: string } };
  return `wharfie-linux-${arch}-${header && header.glibcVersionRuntime === undefined ? "musl" : "gnu"}`;
}

/** The native part, or why there is none. */
export type Found = { readonly native: Native; readonly reason?: undefined } | { readonly native?: undefined; readonly reason: string };

let found: Found | undefined;

/** Loads it, once. `WHARFIE_BACKEND` says which core is wanted: `native`, or `wasm`. */
export function load(): Found {
  return (found ??= look());
}

function look(): Found {
  const wanted = env["WHARFIE_BACKEND"];
  if (wanted === "wasm") return { reason: "WHARFIE_BACKEND is wasm" };
  if (wanted !== undefined && wanted !== "" && wanted !== "native") {
    throw new TypeError(`WHARFIE_BACKEND is ${JSON.stringify(wanted)}, not "native" or "wasm"`);
  }
  const name = packageName();
  try {
    const native = createRequire(import.meta.url)(name) as Native;
    return { native };
  } catch (error) {
    const reason = `${name}: ${error instanceof Error ? error.message.split("\n")[0] : String(error)}`;
    if (wanted === "native") throw new Error(`the native package is not there: ${reason}`, { cause: error });
    return { reason };
  }
}

/** What native code threw: core's errors come as the JSON of their facts. */
export function converted(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.startsWith('{"code":')) return error;
  return WharfieError.of(JSON.parse(error.message) as ConstructorParameters<typeof WharfieError>[0]);
}

/** Calls native code. */
export function calling<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw converted(error);
  }
}

/** Waits for native code. */
export async function awaiting<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw converted(error);
  }
}
