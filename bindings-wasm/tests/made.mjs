// Files that tests need and that no tool writes.

import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";

import { archive, digest, header, image } from "./tar.mjs";

export function made() {
  const layer = archive([["etc/hello", Buffer.from("hello\n")]]);
  const other = archive([["etc/other", Buffer.from("other\n")]]);
  const right = image([layer, other]);
  const wrong = Buffer.from(layer);
  wrong[600] ^= 1;
  return {
    layout: [...right.files],
    // Two names that a reader of text takes for one.
    odd: image([archive([[Buffer.from("odd/caf\xe9", "latin1"), Buffer.from("one\n")], [Buffer.from("odd/caf\xea", "latin1"), Buffer.from("other\n")]])]).archive,
    wrongBlob: image([layer], { blobs: [wrong], digests: [digest(layer)] }).archive,
    wrongDiffId: image([layer], { diffIds: [digest(other)] }).archive,
    fewDiffIds: image([layer, other], { diffIds: [digest(layer)] }).archive,
  };
}

/** Writes an OCI archive whose one layer has some thousand files and this many bytes. */
export function large(path, bytes) {
  const piece = Buffer.alloc(1 << 18);
  for (let at = 0, state = 7; at < piece.length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    piece[at] = state >> 16;
  }
  const count = Math.ceil(bytes / piece.length);
  const entries = function* () {
    for (let at = 0; at < count; at++) {
      yield header(`data/${at % 64}/${at}`, piece.length);
      piece.writeUInt32LE(at);
      yield piece;
    }
    yield Buffer.alloc(1024);
  };
  const hash = createHash("sha256");
  for (const part of entries()) hash.update(part);
  const layer = `sha256:${hash.digest("hex")}`;
  const size = count * (piece.length + 512) + 1024;
  // The documents of an image, with a layer that only says how long it is.
  const { files } = image([{ length: size }], { diffIds: [layer], digests: [layer] });
  const file = openSync(path, "w");
  for (const [name, content] of files) {
    writeSync(file, header(name, content.length));
    if (name.endsWith(layer.slice(7))) {
      for (const part of entries()) writeSync(file, part);
    } else writeSync(file, Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]));
  }
  writeSync(file, Buffer.alloc(512 - (size % 512) + 1024));
  closeSync(file);
}
