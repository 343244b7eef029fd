// Just enough of tar for tests. None of it is ours, so that the judge shares no
// code with the accused.

import { createHash } from "node:crypto";

/** The header of one file; its name as text, or as bytes. */
export function header(name, size, kind = "0") {
  const block = Buffer.alloc(512);
  Buffer.from(name).copy(block, 0, 0, 100);
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
export function image(layers, { name = "test:1", diffIds, blobs = layers, digests, mediaTypes = [], sizes = [] } = {}) {
  diffIds ??= layers.map(digest);
  digests ??= blobs.map(digest);
  const config = Buffer.from(
    JSON.stringify({ architecture: "amd64", os: "linux", config: {}, rootfs: { type: "layers", diff_ids: diffIds } }),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest(config), size: config.length },
      layers: blobs.map((blob, at) => ({
        mediaType: mediaTypes[at] ?? "application/vnd.oci.image.layer.v1.tar",
        digest: digests[at],
        size: sizes[at] ?? blob.length,
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
