/** Rows of a merged tree as core packs them (`core/src/wire/table.rs`), and entries made of them when somebody looks. */

import { collect } from "./collect.js";

/** What an entry is. */
export type EntryType = "file" | "directory" | "symlink" | "char" | "block" | "fifo";

const TYPES: readonly EntryType[] = ["file", "directory", "symlink", "char", "block", "fifo"];

/** The cursor behind the last row. */
export const END = 0xffffffff;

const HEAD_BYTES = 16;
const HAS_XATTRS = 1;
const IMPLIED = 2;
const NO_LAYER = 0xffff;

const text = new TextDecoder();

/** One packed part of the tree. */
export class Rows {
  readonly count: number;
  /** Where the next part begins; `END` if there is none. */
  readonly next: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #rowBytes: number;
  readonly #textAt: number;

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#bytes = bytes;
    this.#view = view;
    this.count = view.getUint32(0, true);
    this.next = view.getUint32(4, true);
    this.#rowBytes = view.getUint32(8, true);
    this.#textAt = view.getUint32(12, true);
  }

  #at(row: number): number {
    return HEAD_BYTES + row * this.#rowBytes;
  }

  node(row: number): number {
    return this.#view.getUint32(this.#at(row), true);
  }

  parent(row: number): number {
    return this.#view.getUint32(this.#at(row) + 4, true);
  }

  inode(row: number): number {
    return this.#view.getUint32(this.#at(row) + 8, true);
  }

  layer(row: number): number | undefined {
    const layer = this.#view.getUint16(this.#at(row) + 12, true);
    return layer === NO_LAYER ? undefined : layer;
  }

  type(row: number): EntryType {
    return TYPES[this.#view.getUint8(this.#at(row) + 14)] ?? "file";
  }

  bits(row: number): number {
    return this.#view.getUint8(this.#at(row) + 15);
  }

  mode(row: number): number {
    return this.#view.getUint32(this.#at(row) + 16, true);
  }

  uid(row: number): number {
    return this.#view.getUint32(this.#at(row) + 20, true);
  }

  gid(row: number): number {
    return this.#view.getUint32(this.#at(row) + 24, true);
  }

  /** In milliseconds. */
  mtime(row: number): number {
    const at = this.#at(row);
    return Number(this.#view.getBigInt64(at + 32, true)) * 1000 + this.#view.getUint32(at + 28, true) / 1e6;
  }

  size(row: number): number {
    const at = this.#at(row) + 40;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  /** As bytes: a name need not be UTF-8. */
  rawPath(row: number): Uint8Array {
    return this.#slice(this.#at(row) + 48);
  }

  rawLink(row: number): Uint8Array {
    return this.#slice(this.#at(row) + 56);
  }

  #slice(at: number): Uint8Array {
    const start = this.#textAt + this.#view.getUint32(at, true);
    return this.#bytes.subarray(start, start + this.#view.getUint32(at + 4, true));
  }
}

/** Who opens what an entry holds. */
export interface Opener {
  open(path: string | Uint8Array): Promise<ReadableStream<Uint8Array>>;
}

/**
 * One entry of an image's merged tree. It is a view of a packed row: nothing is decoded before it is asked for.
 *
 * @example
 * ```ts
 * import { Image } from "wharfie-wasm";
 * const image = await Image.open("alpine");
 * for await (const file of image.files("/etc/*.conf")) {
 *   console.log(file.path, file.size, file.mode.toString(8), file.layer);
 * }
 * ```
 */
export class FileEntry {
  readonly #rows: Rows;
  readonly #row: number;
  readonly #opener: Opener;

  /** @internal */
  constructor(rows: Rows, row: number, opener: Opener) {
    this.#rows = rows;
    this.#row = row;
    this.#opener = opener;
  }

  /** The number of the node in the tree: the same for as long as the image is open. */
  get node(): number {
    return this.#rows.node(this.#row);
  }
  /** The node of the directory that it is in. */
  get parent(): number {
    return this.#rows.parent(this.#row);
  }
  get type(): EntryType {
    return this.#rows.type(this.#row);
  }
  /** Absolute: `/etc/passwd`. Bytes that are no UTF-8 are replaced; `rawPath` has them. */
  get path(): string {
    return `/${text.decode(this.#rows.rawPath(this.#row))}`;
  }
  /** Without the leading slash. */
  get rawPath(): Uint8Array {
    return this.#rows.rawPath(this.#row).slice();
  }
  /** The last part of the path; empty for the root. */
  get name(): string {
    const path = this.path;
    return path.slice(path.lastIndexOf("/") + 1);
  }
  /** Of the content, in bytes. */
  get size(): number {
    return this.device ? 0 : this.#rows.size(this.#row);
  }
  /** Permissions with setuid, setgid and sticky: 07777. */
  get mode(): number {
    return this.#rows.mode(this.#row);
  }
  get uid(): number {
    return this.#rows.uid(this.#row);
  }
  get gid(): number {
    return this.#rows.gid(this.#row);
  }
  get mtime(): Date {
    return new Date(this.#rows.mtime(this.#row));
  }
  /** The layer that it comes from, counted from 0 at the bottom; none for a directory that no layer has an entry for. */
  get layer(): number | undefined {
    return this.#rows.layer(this.#row);
  }
  /** The same for two paths that are names of one file. */
  get inode(): number {
    return this.#rows.inode(this.#row);
  }
  /** Major and minor number of a device. */
  get device(): { readonly major: number; readonly minor: number } | undefined {
    if (this.type !== "char" && this.type !== "block") return undefined;
    const both = this.#rows.size(this.#row);
    return { major: Math.floor(both / 2 ** 32), minor: both % 2 ** 32 };
  }
  /** Where a symlink points. */
  get linkTarget(): string | undefined {
    return this.type === "symlink" ? text.decode(this.#rows.rawLink(this.#row)) : undefined;
  }
  /** Its bytes, which need not be UTF-8. */
  get rawLink(): Uint8Array {
    return this.#rows.rawLink(this.#row).slice();
  }
  get hasXattrs(): boolean {
    return (this.#rows.bits(this.#row) & HAS_XATTRS) !== 0;
  }
  /** A directory that no layer has an entry for. */
  get isImplied(): boolean {
    return (this.#rows.bits(this.#row) & IMPLIED) !== 0;
  }

  /** Its content. */
  stream(): Promise<ReadableStream<Uint8Array>> {
    const { path } = this;
    // One that is no UTF-8 has another name than the text says.
    return this.#opener.open(path.includes("\ufffd") ? this.rawPath : path);
  }
  async bytes(): Promise<Uint8Array> {
    return collect(await this.stream());
  }
  async text(): Promise<string> {
    return text.decode(await this.bytes());
  }

  /** What is known of it as a plain object. */
  toJSON(): Record<string, unknown> {
    const { path, type, size, mode, uid, gid, mtime, layer, linkTarget } = this;
    return {
      ...{ path, type, size, mode, uid, gid, mtime },
      ...(layer === undefined ? {} : { layer }),
      ...(linkTarget === undefined ? {} : { linkTarget }),
    };
  }
}
