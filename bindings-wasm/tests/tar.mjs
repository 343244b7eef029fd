// Just enough of tar for tests: members of an archive, and archives of members. None of it is ours, so that the judge shares no
// code with the accused.

import { createHash } from "node:crypto";

/** The files of an archive, by name. */
export function members(bytes) {
  const found = new Map();
  const text = (at, length) => Buffer.from(bytes.buffer, bytes.byteOffset + at, length).toString().replace(/\0.*$/s, "");
  for (let at = 0; at + 512 <= bytes.length && bytes[at] !== 0; ) {
    const size = parseInt(text(at + 124, 12).trim(), 8);
    const kind = String.fromCharCode(bytes[at + 156]);
    const name = [text(at + 345, 155), text(at, 100)].filter(Boolean).join("/");
    if (kind === "0" || kind === "\0") found.set(name, bytes.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return found;
}

/** The header of one file. */
export function header(name, size, kind = "0") {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100);
  block.write("0000644\0", 100);
  block.write("0000000\0", 108);
  block.write("0000000\0", 116);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(kind, 156);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** An archive of these files. */
export function archive(files) {
  const parts = [];
  for (const [name, bytes] of files) {
    parts.push(header(name, bytes.length), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

export function digest(bytes) {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** An OCI archive of an image with these layers (uncompressed tars): its bytes and what is in it. */
export function image(layers, { name = "test:1", diffIds = layers.map(digest), blobs = layers, digests = blobs.map(digest) } = {}) {
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest(config), size: config.length },
      layers: blobs.map((blob, at) => ({
        mediaType: "application/vnd.oci.image.layer.v1.tar",
        digest: digests[at],
        size: blob.length,
      })),
    }),
  );
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [
        {
          mediaType: "application/vnd.oci.image.manifest.v1+json",
          digest: digest(manifest),
          size: manifest.length,
          annotations: { "org.opencontainers.image.ref.name": name },
        },
      ],
    }),
  );
  const path = (of) => `blobs/${of.replace(":", "/")}`;
  const files = new Map([
    ["oci-layout", Buffer.from('{"imageLayoutVersion":"1.0.0"}')],
    ["index.json", index],
    [path(digest(manifest)), manifest],
    [path(digest(config)), config],
    ...blobs.map((blob, at) => [path(digests[at]), blob]),
  ]);
  return {
    files,
    get archive() {
      return archive(files);
    },
  };
}
