/** The whole merged tree for somebody who walks about in it: children of a directory, search by name. */

import type { Engine } from "./engine.js";
import { END, FileEntry, type Opener, Rows } from "./table.js";
import type { WorkOptions } from "./types.js";

const PART = 4096;
const NONE = -1;
const text = new TextDecoder();

/**
 * The tree of an image, kept as core's packed rows (about 100 bytes an entry) with an index of who is in which directory.
 *
 * @example
 * ```ts
 * import { Image } from "wharfie-wasm";
 * const image = await Image.open("alpine");
 * const tree = await image.tree();
 * for (const entry of tree.children("/etc")) console.log(entry.name, entry.size);
 * console.log(tree.search("passwd", 10).map((entry) => entry.path));
 * ```
 */
export class Tree {
  readonly #parts: Rows[];
  readonly #opener: Opener;
  /** Where each entry is: its part and its row there. */
  readonly #places: Float64Array;
  /** By node number: which entry it is. */
  readonly #byNode = new Map<number, number>();
  readonly #firstChild: Int32Array;
  readonly #nextSibling: Int32Array;
  readonly #top: number[] = [];
  #byPath: Map<string, number> | undefined;

  /** Reads the whole tree. @internal */
  static async read(engine: Engine, opener: Opener, options: WorkOptions): Promise<Tree> {
    const parts: Rows[] = [];
    for (let cursor = 0; cursor !== END; ) {
      const rows = new Rows(await engine.table(cursor, PART, undefined, options));
      parts.push(rows);
      cursor = rows.next;
    }
    return new Tree(parts, opener);
  }

  private constructor(parts: Rows[], opener: Opener) {
    this.#parts = parts;
    this.#opener = opener;
    const count = parts.reduce((sum, part) => sum + part.count, 0);
    this.#places = new Float64Array(count);
    this.#firstChild = new Int32Array(count).fill(NONE);
    this.#nextSibling = new Int32Array(count).fill(NONE);
    let entry = 0;
    parts.forEach((rows, part) => {
      for (let row = 0; row < rows.count; row++, entry++) {
        this.#places[entry] = part * 2 ** 20 + row;
        this.#byNode.set(rows.node(row), entry);
      }
    });
    const lastChild = new Int32Array(count).fill(NONE);
    for (let entry = 0; entry < count; entry++) {
      const [rows, row] = this.#place(entry);
      const parent = this.#byNode.get(rows.parent(row));
      if (parent === undefined || parent === entry) {
        this.#top.push(entry);
      } else {
        const last = lastChild[parent] as number;
        if (last === NONE) this.#firstChild[parent] = entry;
        else this.#nextSibling[last] = entry;
        lastChild[parent] = entry;
      }
    }
  }

  /** How many entries there are. */
  get count(): number {
    return this.#places.length;
  }

  #place(entry: number): [Rows, number] {
    const place = this.#places[entry] as number;
    const part = Math.floor(place / 2 ** 20);
    return [this.#parts[part] as Rows, place - part * 2 ** 20];
  }

  #entry(entry: number): FileEntry {
    const [rows, row] = this.#place(entry);
    return new FileEntry(rows, row, this.#opener);
  }

  #path(entry: number): string {
    const [rows, row] = this.#place(entry);
    return text.decode(rows.rawPath(row));
  }

  #find(path: string): number | undefined {
    if (!this.#byPath) {
      const byPath = new Map<string, number>();
      for (let entry = 0; entry < this.count; entry++) byPath.set(this.#path(entry), entry);
      this.#byPath = byPath;
    }
    return this.#byPath.get(path.replace(/^\/+|\/+$/g, ""));
  }

  /** The entry at a path (no links are followed), or of a node's number. */
  entry(at: string | number): FileEntry | undefined {
    const entry = typeof at === "number" ? this.#byNode.get(at) : this.#find(at);
    return entry === undefined ? undefined : this.#entry(entry);
  }

  /** What is in a directory, given as its path or its node's number, in the order of names. The root is `/`. */
  children(of: string | number = "/"): FileEntry[] {
    const children: FileEntry[] = [];
    const entry = typeof of === "number" ? this.#byNode.get(of) : this.#find(of);
    if (entry === undefined || (this.#path(entry) === "" && this.#firstChild[entry] === NONE)) {
      // The root has a row only where a layer has an entry for it.
      const isRoot = typeof of === "string" && /^\/*$/.test(of);
      return isRoot || entry !== undefined
        ? this.#top.filter((top) => this.#path(top) !== "").map((top) => this.#entry(top))
        : children;
    }
    for (let child = this.#firstChild[entry] as number; child !== NONE; child = this.#nextSibling[child] as number) {
      children.push(this.#entry(child));
    }
    return children;
  }

  /** Whether anything is in this directory. */
  hasChildren(node: number): boolean {
    const entry = this.#byNode.get(node);
    return entry !== undefined && this.#firstChild[entry] !== NONE;
  }

  /** The entries whose path holds these words, in whatever case, at most so many. */
  search(words: string, most = 100): FileEntry[] {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const found: FileEntry[] = [];
    for (let entry = 0; entry < this.count && found.length < most; entry++) {
      const path = `/${this.#path(entry)}`.toLowerCase();
      if (wanted.length > 0 && wanted.every((word) => path.includes(word))) found.push(this.#entry(entry));
    }
    return found;
  }

  /** Every entry. */
  *[Symbol.iterator](): IterableIterator<FileEntry> {
    for (let entry = 0; entry < this.count; entry++) yield this.#entry(entry);
  }
}
