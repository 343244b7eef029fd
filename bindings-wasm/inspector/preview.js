/** One entry: what is known of it, its text, and its bytes to take away. */
// @ts-check

import { chip, make, permissions, size, step } from "./words.js";

/** Bytes of text that are shown. */
const MOST = 256 << 10;
/** Bytes shown of what is no text. */
const DUMPED = 512;

/** Counts the files chosen: what comes late is of a file that is not looked at any more. */
let turn = 0;

/** @param {HTMLElement} place @param {any} image @param {any} entry @param {import("./files.js").Page} page */
export async function showPreview(place, image, entry, page) {
  const mine = ++turn;
  const facts = make("dl", { class: "facts" });
  const add = (/** @type {string} */ name, /** @type {any} */ ...value) => facts.append(make("dt", { text: name }), make("dd", {}, ...value));
  const made = entry.layer === undefined ? undefined : image.layers[entry.layer];
  add("Kind", entry.device ? `${entry.type} device ${entry.device.major}:${entry.device.minor}` : entry.type);
  if (entry.type === "file") add("Size", `${size(entry.size)} (${entry.size.toLocaleString("en")} bytes)`);
  if (entry.linkTarget !== undefined) add("Leads to", make("code", { text: entry.linkTarget }));
  add("Permissions", make("code", { text: `${permissions(entry.type, entry.mode)}  ${entry.mode.toString(8).padStart(4, "0")}` }), ` owner ${entry.uid}:${entry.gid}`);
  if (!entry.isImplied) add("Changed", `${entry.mtime.toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC")}`);
  if (entry.hasXattrs) add("Attributes", "has extended attributes");
  if (made) {
    add("From", chip(entry.layer), " ", make("button", { class: "link", type: "button", text: step(made.createdBy) || `layer ${entry.layer}`, onclick: () => page.showLayer(entry.layer) }));
  } else {
    add("From", "no layer has an entry for it: files below it imply it");
  }
  const head = make("h3", { text: entry.path });
  place.replaceChildren(head, facts);
  if (entry.type !== "file") return;
  const name = entry.name || "file";
  const save = make("button", { type: "button", text: "Save", onclick: () => page.save(name, (options) => image.createReadStream(entry.path, options)) });
  const shown = make("div", {}, make("p", { class: "dim", text: "Reading …" }));
  place.append(make("div", { class: "actions" }, save), shown);
  if (entry.size === 0) {
    shown.replaceChildren(make("p", { class: "dim", text: "It is empty." }));
    return;
  }
  try {
    const bytes = await beginning(image.createReadStream(entry.path), MOST);
    if (mine !== turn) return;
    shown.replaceChildren(...content(bytes, entry.size));
  } catch (error) {
    if (mine === turn) shown.replaceChildren(make("p", { class: "trouble", text: /** @type {any} */ (error).message }));
  }
}

/** @param {ReadableStream<Uint8Array>} stream @param {number} most */
async function beginning(stream, most) {
  const reader = stream.getReader();
  /** @type {Uint8Array[]} */
  const chunks = [];
  let length = 0;
  while (length < most) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
  }
  void reader.cancel().catch(() => {});
  const bytes = new Uint8Array(Math.min(length, most));
  let at = 0;
  for (const chunk of chunks) {
    const part = chunk.subarray(0, bytes.length - at);
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** @param {Uint8Array} bytes @param {number} whole */
function content(bytes, whole) {
  const text = asText(bytes, bytes.length < whole);
  if (text === undefined) {
    return [
      make("p", { class: "dim", text: `It is no text; its first ${Math.min(DUMPED, bytes.length)} bytes:` }),
      make("pre", { text: dump(bytes.subarray(0, DUMPED)) }),
    ];
  }
  const cut = bytes.length < whole ? [make("p", { class: "dim", text: `The first ${size(bytes.length)} of ${size(whole)}:` })] : [];
  return [...cut, make("pre", { text })];
}

/** @param {Uint8Array} bytes @param {boolean} isCut @returns {string | undefined} */
function asText(bytes, isCut) {
  if (bytes.subarray(0, 8192).includes(0)) return undefined;
  try {
    // A character at the end may be cut in two.
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: isCut });
  } catch {
    return undefined;
  }
}

/** @param {Uint8Array} bytes */
function dump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    const shown = row.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : "·")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${shown}`);
  }
  return lines.join("\n");
}
