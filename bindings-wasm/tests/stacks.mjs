// The cases of `testdata/stacks` (its README has their form) as archives, with what they must show. Node makes them; a browser gets them
// from the server.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

import { parse } from "smol-toml";

import { digest, image } from "./tar.mjs";
import { testdata } from "./world.mjs";

const folder = join(testdata, "stacks");
const MODES = { dir: 0o755, symlink: 0o777 };
const FLAGS = { link: "1", symlink: "2", char: "3", block: "4", dir: "5", fifo: "6" };
const TYPES = { dir: "directory", symlink: "symlink", char: "char", block: "block", fifo: "fifo" };
const PLAIN = ["pax", "global", "long_name", "long_link", "flag", "magic", "stated", "sum", "put", "bytes", "zeros"];
const OPTIONS = ["limits", "include", "exclude", "uid_map", "gid_map", "keep_directory_symlink"];

/** The options of a case, as an export has them; nothing for patterns that no string can say. */
function options(one) {
  const chosen = {};
  for (const name of OPTIONS.filter((option) => option in one)) {
    const camel = name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
    const isPattern = name === "include" || name === "exclude";
    chosen[camel] = isPattern ? one[name].map((text) => raw(text).toString()) : one[name];
    if (isPattern && chosen[camel].some((text, at) => !Buffer.from(text).equals(raw(one[name][at])))) return undefined;
  }
  return chosen;
}

/** `\xNN` to a byte, `\\` to a backslash. */
function raw(text) {
  const bytes = Buffer.from(text);
  const out = [];
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] !== 0x5c) out.push(bytes[at]);
    else if (bytes[at + 1] === 0x5c) out.push(bytes[++at]);
    else {
      out.push(parseInt(bytes.toString("latin1", at + 2, at + 4), 16));
      at += 3;
    }
  }
  return Buffer.from(out);
}

const repeated = (bytes, times) => Buffer.concat(Array(times).fill(bytes));
const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
const octal = (value, digits) => `${value.toString(8).padStart(digits, "0")}\0`;

function content(entry) {
  let data = Buffer.concat([repeated(raw(entry.data ?? ""), entry.repeat ?? 1), ...(entry.holds ?? []).map(written)]);
  if (entry.size !== undefined) data = Buffer.concat([data, Buffer.alloc(entry.size - data.length)]);
  for (const [at, text, times] of entry.data_at ?? []) repeated(raw(text), times).copy(data, at);
  return data;
}

const target = (entry) => repeated(raw(entry.link ?? ""), entry.repeat ?? 1);

function header(flag, name, size, fields, total) {
  const block = Buffer.alloc(512);
  const put = (at, field) => (Buffer.isBuffer(field) ? field.copy(block, at) : block.write(field, at, "latin1"));
  put(0, name.subarray(0, 100));
  put(100, "0000644\0");
  put(124, octal(size, 11));
  put(257, "ustar\x0000");
  put(156, flag);
  for (const [at, field] of fields) put(at, field);
  if (total === undefined) {
    put(148, " ".repeat(8));
    total = block.reduce((sum, byte) => sum + byte, 0);
  }
  put(148, `${total.toString(8).padStart(6, "0")}\0 `);
  return block;
}

function record(text) {
  const rest = text.length + 2;
  let length = rest;
  while (rest + String(length).length !== length) length++;
  return Buffer.concat([Buffer.from(`${length} `), text, Buffer.from("\n")]);
}

function extension(flag, name, data) {
  const fields = "LK".includes(flag) ? [[257, "ustar  \0"]] : [];
  return Buffer.concat([header(flag, Buffer.from(name), data.length, fields), padded(data)]);
}

function written(entry) {
  if (PLAIN.some((key) => key in entry)) return told(entry);
  const path = raw(entry.path);
  const link = target(entry);
  const kind = entry.type;
  const data = kind === undefined ? content(entry) : Buffer.alloc(0);
  const records = [];
  if (path.length > 100) records.push(Buffer.concat([Buffer.from("path="), path]));
  if (link.length > 100) records.push(Buffer.concat([Buffer.from("linkpath="), link]));
  let seconds = entry.mtime ?? 1000;
  const nanos = entry.nanos ?? 0;
  if (nanos || seconds < 0 || seconds >= 2 ** 33) {
    const all = BigInt(seconds) * 10n ** 9n + BigInt(nanos);
    const size = all < 0n ? -all : all;
    const text = `mtime=${all < 0n ? "-" : ""}${size / 10n ** 9n}.${String(size % 10n ** 9n).padStart(9, "0")}`;
    records.push(Buffer.from(text));
    seconds = 0;
  }
  const fields = [
    [100, octal(entry.mode ?? MODES[kind] ?? 0o644, 7)],
    [136, octal(seconds, 11)],
    [157, link.subarray(0, 100)],
  ];
  for (const [at, key] of [[108, "uid"], [116, "gid"]]) {
    const number = entry[key] ?? 0;
    if (number >= 1 << 21) records.push(Buffer.from(`${key}=${number}`));
    fields.push([at, octal(number < 1 << 21 ? number : 0, 7)]);
  }
  for (const [key, value] of Object.entries(entry.xattrs ?? {})) {
    records.push(Buffer.concat([Buffer.from("SCHILY.xattr."), raw(key), Buffer.from("="), raw(value)]));
  }
  if (kind === "char" || kind === "block") fields.push([329, octal(entry.major ?? 0, 7)], [337, octal(entry.minor ?? 0, 7)]);
  const out = [];
  if (records.length > 0) {
    out.push(extension("x", "PaxHeaders/x", Buffer.concat([Buffer.from("hdrcharset=BINARY"), ...records].map(record))));
  }
  out.push(header(FLAGS[kind] ?? "0", path, data.length, fields), padded(data));
  return Buffer.concat(out);
}

/** One that is written as it says. */
function told(entry) {
  const out = [];
  for (const [flag, key] of [["x", "pax"], ["g", "global"]]) {
    if (key in entry) out.push(extension(flag, "PaxHeaders/x", Buffer.concat(entry[key].map((text) => record(raw(text))))));
  }
  for (const [flag, key] of [["L", "long_name"], ["K", "long_link"]]) {
    if (key in entry) out.push(extension(flag, "././@LongLink", Buffer.concat([raw(entry[key]), Buffer.alloc(1)])));
  }
  if (entry.path || "flag" in entry) {
    const kind = entry.type;
    const data = content(entry);
    const fields = [
      [100, octal(entry.mode ?? MODES[kind] ?? 0o644, 7)],
      [108, octal(entry.uid ?? 0, 7)],
      [116, octal(entry.gid ?? 0, 7)],
      [136, octal(entry.mtime ?? 1000, 11)],
      [157, target(entry)],
      [257, { gnu: "ustar  \0", v7: Buffer.alloc(8) }[entry.magic] ?? "ustar\x0000"],
    ];
    if (kind === "char" || kind === "block") fields.push([329, octal(entry.major ?? 0, 7)], [337, octal(entry.minor ?? 0, 7)]);
    for (const [at, text] of entry.put ?? []) fields.push([at, raw(text)]);
    const flag = "flag" in entry ? raw(entry.flag) : (FLAGS[kind] ?? "0");
    out.push(header(flag, raw(entry.path ?? ""), entry.stated ?? data.length, fields, entry.sum), padded(data));
  }
  return Buffer.concat([...out, raw(entry.bytes ?? ""), Buffer.alloc(entry.zeros ?? 0)]);
}

function blob(layer) {
  if (typeof layer === "string") return readFileSync(join(folder, layer));
  const said = Array.isArray(layer) ? { entries: layer } : layer;
  const data = said.blob
    ? readFileSync(join(folder, said.blob))
    : Buffer.concat([...(said.entries ?? []).map(written), Buffer.alloc(said.end ?? 1024)]);
  return data.subarray(0, data.length - (said.cut ?? 0));
}

const isZstd = (bytes) => bytes.readUInt32LE(0) === 0xfd2fb528 || (bytes[1] === 0x2a && bytes[2] === 0x4d && bytes[3] === 0x18);
const isGzip = (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** A layer's tar, where it can be had. */
function plain(bytes) {
  try {
    if (isGzip(bytes)) return gunzipSync(bytes);
    if (bytes.length > 4 && isZstd(bytes)) return execFileSync("zstd", ["-dcq"], { input: bytes, stdio: ["pipe", "pipe", "ignore"] });
  } catch {
    return undefined;
  }
  return bytes;
}

function mediaType(bytes) {
  const kind = isGzip(bytes) ? "+gzip" : bytes.length > 4 && isZstd(bytes) ? "+zstd" : "";
  return `application/vnd.oci.image.layer.v1.tar${kind}`;
}

function shown(entry, byPath) {
  const one = entry.same === undefined ? entry : byPath.get(entry.same);
  const kind = one.type;
  const isDevice = kind === "char" || kind === "block";
  return {
    path: raw(entry.path).toString("hex"),
    type: TYPES[kind] ?? "file",
    mode: one.mode ?? MODES[kind] ?? 0o644,
    uid: one.uid ?? 0,
    gid: one.gid ?? 0,
    seconds: one.mtime ?? (one.implied ? 0 : 1000),
    size: kind === undefined ? content(one).length : 0,
    link: kind === "symlink" ? target(one).toString("hex") : "",
    device: isDevice ? `${one.major ?? 0}:${one.minor ?? 0}` : "",
    xattrs: Object.keys(one.xattrs ?? {}).length > 0,
    content: kind === undefined && entry.same === undefined ? digest(content(one)) : "",
    same: entry.same === undefined ? "" : raw(entry.same).toString("hex"),
  };
}

/** Every case, and how many could not be made: patterns that are no UTF-8, and layers of zstd where there is no zstd. */
export function stacks() {
  const made = [];
  let others = 0;
  const hasZstd = ["/usr/bin/zstd", "/bin/zstd", "/usr/local/bin/zstd"].some(existsSync);
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".toml")).sort()) {
    for (const one of parse(readFileSync(join(folder, file), "utf8")).case) {
      const blobs = one.layers.map(blob);
      const chosen = options(one);
      if (!chosen || (!hasZstd && blobs.some((bytes) => plain(bytes) === undefined))) {
        others++;
        continue;
      }
      const said = one.layers.map((layer) => (typeof layer === "object" && !Array.isArray(layer) ? layer : {}));
      const digests = blobs.map((bytes, at) => said[at].digest ?? digest(bytes));
      // Of what cannot be decoded nobody comes as far as to compare it.
      const right = blobs.map((bytes) => digest(plain(bytes) ?? bytes));
      const diffIds = (one.diff_ids ?? blobs.map(() => "layer")).map((text, at) =>
        text === "layer" ? right[at] : text === "blob" ? digests[at] : text,
      );
      const mediaTypes = blobs.map((bytes, at) => said[at].media_type ?? mediaType(bytes));
      const sizes = blobs.map((bytes, at) => said[at].size ?? bytes.length);
      const { archive } = image(blobs, { diffIds, digests, mediaTypes, sizes });
      const byPath = new Map((one.tree ?? []).map((entry) => [entry.path, entry]));
      made.push({
        name: `${file.slice(0, -5)}: ${one.name}`,
        archive,
        expected: {
          options: chosen,
          error: one.error,
          limit: one.limit,
          place: one.at ? { layer: one.at[0] } : one.place && { layer: one.place.layer, byte: one.place.byte },
          tree: one.tree?.map((entry) => shown(entry, byPath)),
        },
      });
    }
  }
  return { made, others };
}
