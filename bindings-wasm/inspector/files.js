/** The merged tree: walked by directories, searched by words, cut down to one layer; and what a file is. */
// @ts-check

import { showPreview } from "./preview.js";
import { byId, chip, counted, make, size } from "./words.js";

/** Rows that are put on the page at once: no directory stops it, however large. */
const PART = 400;
const FOUND = 1000;

/**
 * @typedef {object} Page
 * @property {<T>(what: string, act: (options: any) => Promise<T>) => Promise<T | undefined>} work
 * @property {(name: string, stream: (options: any) => any) => Promise<void>} save
 * @property {(layer: number) => void} showLayer
 * @property {() => void} changed
 */

export class Files {
  /** @type {Page} */ #page;
  /** @type {any} */ #image;
  /** @type {any} */ #tree;
  #open = new Set();
  /** What is on the page, in order. @type {any[]} */ #rows = [];
  #selected = -1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #pause;

  /** @param {Page} page */
  constructor(page) {
    this.#page = page;
    const tree = byId("tree");
    tree.addEventListener("click", (/** @type {MouseEvent} */ event) => {
      const row = /** @type {HTMLElement} */ (event.target).closest(".entry");
      if (row) this.#choose(Number(/** @type {HTMLElement} */ (row).dataset.at), true);
    });
    tree.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    byId("search").addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#list(), 120);
    });
    byId("search").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") {
        tree.focus();
        this.#choose(0, false);
        event.preventDefault();
      }
    });
    byId("of-layer").addEventListener("change", () => this.#list());
  }

  /** @param {any} image */
  show(image) {
    this.#image = image;
    this.#tree = undefined;
    this.#open.clear();
    byId("search").value = "";
    byId("count").textContent = "";
    byId("of-layer").replaceChildren(
      make("option", { value: "", text: "every layer" }),
      ...image.layers.map((/** @type {any} */ _, /** @type {number} */ at) => make("option", { value: at, text: `layer ${at}` })),
    );
    byId("preview").replaceChildren(make("p", { class: "empty-state", text: "Choose a file to look at it." }));
    byId("tree").replaceChildren();
  }

  /** Reads the tree, if that was not done yet. */
  async begin() {
    if (this.#tree || !this.#image) return;
    const image = this.#image;
    const fetched = image.isRemote ? `${size(image.size)} of layers are fetched, and verified.` : "Every layer is read once, and verified.";
    byId("tree").replaceChildren(make("p", { class: "empty-state", text: fetched }));
    const tree = await this.#page.work("Reading layers", (options) => image.tree(options));
    if (image !== this.#image) return;
    if (!tree) {
      const again = make("button", { type: "button", text: "Read the layers", onclick: () => this.begin() });
      byId("tree").replaceChildren(make("p", { class: "empty-state" }, "The layers were not read. ", again));
      return;
    }
    this.#tree = tree;
    this.#list();
    this.#page.changed();
  }

  /** @param {number} layer */
  async ofLayer(layer) {
    await this.begin();
    byId("of-layer").value = String(layer);
    byId("search").value = "";
    this.#list();
  }

  /** Puts on the page what is asked for: the tree, or what matches. */
  #list() {
    if (!this.#tree) return;
    const words = byId("search").value.trim();
    const layer = byId("of-layer").value;
    this.#selected = -1;
    if (words || layer !== "") {
      const found = this.#matching(words, layer === "" ? undefined : Number(layer));
      byId("count").textContent = found.length > FOUND ? `over ${FOUND}` : counted(found.length, "match").replace("matchs", "matches");
      this.#rows = found.slice(0, FOUND).map((entry) => ({ entry, depth: 0, flat: true }));
    } else {
      byId("count").textContent = counted(this.#tree.count, "path");
      this.#rows = [];
      this.#grow("/", 0);
    }
    this.#draw();
  }

  /** @param {string} words @param {number | undefined} layer */
  #matching(words, layer) {
    const found = words ? this.#tree.search(words, layer === undefined ? FOUND + 1 : Number.MAX_SAFE_INTEGER) : this.#tree;
    const kept = [];
    for (const entry of found) {
      if (layer !== undefined && entry.layer !== layer) continue;
      kept.push(entry);
      if (kept.length > FOUND) break;
    }
    return kept;
  }

  /** @param {string | number} of @param {number} depth */
  #grow(of, depth) {
    for (const entry of this.#tree.children(of)) {
      this.#rows.push({ entry, depth, flat: false });
      if (this.#open.has(entry.node)) this.#grow(entry.node, depth + 1);
    }
  }

  #draw(from = 0) {
    const tree = byId("tree");
    if (from === 0) tree.replaceChildren();
    else tree.querySelector(".more")?.remove();
    const rows = this.#rows.slice(from, from + PART).map((row, at) => this.#row(row, from + at));
    tree.append(...rows);
    if (this.#rows.length > from + PART) {
      const left = this.#rows.length - from - PART;
      const more = make("div", { class: "more" }, make("button", { type: "button", text: `${left.toLocaleString("en")} more`, onclick: () => this.#draw(from + PART) }));
      tree.append(more);
    }
    if (this.#rows.length === 0) tree.append(make("p", { class: "empty-state", text: "Nothing is like that." }));
  }

  /** @param {any} row @param {number} at */
  #row({ entry, depth, flat }, at) {
    const isDirectory = entry.type === "directory";
    const isOpen = this.#open.has(entry.node);
    const twist = flat || !isDirectory ? "" : isOpen ? "▾" : "▸";
    const name = make("span", { class: "name", text: flat ? entry.path : entry.name });
    if (entry.linkTarget !== undefined) name.append(make("i", { text: ` → ${entry.linkTarget}` }));
    return make(
      "div",
      {
        class: `entry ${entry.type}`, id: `entry-${at}`, role: "treeitem", "data-at": at, "data-path": entry.path, "--depth": depth,
        "aria-level": depth + 1, "aria-expanded": !flat && isDirectory ? String(isOpen) : undefined, "aria-selected": String(at === this.#selected),
      },
      make("span", { class: "twist", text: twist }),
      name,
      make("span", { class: "size", text: entry.type === "file" ? size(entry.size) : "" }),
      chip(entry.layer),
    );
  }

  /** @param {number} at @param {boolean} act Whether a directory opens and closes by it. */
  #choose(at, act) {
    const row = this.#rows[at];
    if (!row) return;
    const tree = byId("tree");
    if (!tree.querySelector(`#entry-${at}`)) this.#draw(Math.floor(at / PART) * PART);
    tree.querySelector('[aria-selected="true"]')?.setAttribute("aria-selected", "false");
    this.#selected = at;
    if (act && !row.flat && row.entry.type === "directory") this.#toggle(at);
    const shown = tree.querySelector(`#entry-${at}`);
    shown?.setAttribute("aria-selected", "true");
    shown?.scrollIntoView({ block: "nearest" });
    tree.setAttribute("aria-activedescendant", `entry-${at}`);
    void showPreview(byId("preview"), this.#image, row.entry, this.#page);
  }

  /** @param {number} at */
  #toggle(at) {
    const { entry } = this.#rows[at];
    if (!this.#open.delete(entry.node)) this.#open.add(entry.node);
    const selected = this.#selected;
    const scroll = byId("tree").scrollTop;
    const drawn = byId("tree").querySelectorAll(".entry").length;
    this.#rows = [];
    this.#grow("/", 0);
    for (let from = 0; from === 0 || from < drawn; from += PART) this.#draw(from);
    this.#selected = selected;
    byId("tree").scrollTop = scroll;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const row = this.#rows[this.#selected];
    const isDirectory = row?.entry.type === "directory" && !row.flat;
    const isOpen = isDirectory && this.#open.has(row.entry.node);
    switch (event.key) {
      case "ArrowDown":
        this.#choose(Math.min(this.#selected + 1, this.#rows.length - 1), false);
        break;
      case "ArrowUp":
        if (this.#selected <= 0) byId("search").focus();
        else this.#choose(this.#selected - 1, false);
        break;
      case "Home":
        this.#choose(0, false);
        break;
      case "End":
        this.#choose(this.#rows.length - 1, false);
        break;
      case "ArrowRight":
        if (isDirectory && !isOpen) this.#choose(this.#selected, true);
        else if (isOpen) this.#choose(this.#selected + 1, false);
        break;
      case "ArrowLeft":
        if (isOpen) this.#choose(this.#selected, true);
        else if (row && !row.flat) {
          const parent = this.#rows.findIndex((other) => other.entry.node === row.entry.parent);
          if (parent >= 0) this.#choose(parent, false);
        }
        break;
      case "Enter":
      case " ":
        if (row) this.#choose(this.#selected, true);
        break;
      default:
        return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
