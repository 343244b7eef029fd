/** Options and reports that only Node has. */

import type { BlobStore, CredentialsOption, ExportOptions as CommonExportOptions, OpenOptions as CommonOptions } from "wharfie-wasm";

/** How an image is opened. */
export interface OpenOptions extends CommonOptions {
  /**
   * Where blobs are kept: a directory, `memory`, or a store of your own. Left out, it is the store that the command line has
   * too, so that nothing is fetched twice (`WHARFIE_STORE`, else `wharfie/store` in the user's cache directory). Without the
   * native package it is a temporary directory.
   */
  readonly store?: string | BlobStore;
  /**
   * Left out, docker's and podman's credential files and helpers are asked, as the command line does; without the native
   * package nobody is.
   */
  readonly credentials?: CredentialsOption;
}

/** How a root is exported. */
export interface ExportOptions extends Omit<CommonExportOptions, "format"> {
  /** `tar` where it is left out; for a file, what its name ends in. Only native code has `tar.zst`. */
  readonly format?: "tar" | "tar.gz" | "tar.zst";
  /** Of the compression, in native code. With one, nothing is copied from layers as it is. */
  readonly level?: number;
}

/** How a root is unpacked. The order means nothing there. */
export interface UnpackOptions extends Omit<CommonExportOptions, "format" | "order"> {
  /**
   * For everybody who is not root: owners are left to the user and recorded in `user.rootlesscontainers`, devices become
   * empty files.
   */
  readonly rootless?: boolean;
}

/** What an export to a file came to. */
export interface ExportReport {
  /** Names in the tar. */
  readonly entries: number;
  /** Of the tar, uncompressed. */
  readonly tarBytes: number;
  /** Of the file. */
  readonly bytes: number;
  readonly seconds: number;
  /** What was odd about the layers. */
  readonly warnings: readonly string[];
}

/** What an unpacking came to. */
export interface UnpackReport {
  readonly entries: number;
  /** Of content, each file counted once. */
  readonly bytes: number;
  readonly seconds: number;
  /** Owners that were recorded instead of given. */
  readonly recordedOwners: number;
  readonly warnings: readonly string[];
}
