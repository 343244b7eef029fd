/** What differs between Node and a browser, beside core. */

import type { Backend } from "./backend.js";
import type { BlobStore, ByteSource } from "./blobs.js";
import type { OpenOptions } from "./types.js";

/** A folder that was opened: its files by their paths in it. */
export type Folder = ReadonlyMap<string, ByteSource>;

/** Why a request failed, as core asks (`client::Failure`). */
export type Failure = "dns" | "refused" | "unreachable" | "tls" | "certificate" | "broken" | "forbidden" | "unknown";

/** One host. */
export interface Host {
  readonly backend: () => Promise<Backend>;
  /** What its HTTP hides (`client::HostProfile`). */
  readonly profile: Readonly<Record<string, unknown>>;
  readonly redirect: RequestRedirect;
  /** Fields that it must not send, in lower case. */
  readonly withholds: readonly string[];
  /** Fields that it has to add. */
  readonly adds: Readonly<Record<string, string>>;
  readonly userAgent: string;
  /** The platform of an image where nobody says one. */
  readonly platform: string;
  /** Why `fetch` failed; `begun` if there was a head. */
  failure(error: unknown, begun: boolean): { failure: Failure; detail: string };
  /** What a name resolves to, where that can be known before it is asked. */
  addresses?(url: string): Promise<string[]>;
  store(options: OpenOptions): Promise<BlobStore>;
  /** A local file or folder. Fails with what the system says. */
  openPath?(path: string): Promise<ByteSource | Folder>;
}
