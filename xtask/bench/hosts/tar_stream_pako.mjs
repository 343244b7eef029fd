// What npm scripts do today: fetch for the registry, pako for gzip, tar-stream for the layers, whiteouts by hand. It checks no
// digest, and holds each layer in memory as clients made so do.
import { createWriteStream } from "node:fs";
import { once } from "node:events";
import { pipeline } from "node:stream/promises";
import * as pako from "pako";
import tar from "tar-stream";

const [image, output] = process.argv.slice(2);
const [, host, repository, tag] = /^([^/]+)\/(.+):([^:]+)$/.exec(image);
const accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
const at = (path) => `http://${host}/v2/${repository}/${path}`;
const manifest = await (await fetch(at(`manifests/${tag}`), { headers: { accept } })).json();

const members = new Map();
const drop = (name, itself) => {
  const below = name ? `${name}/` : "";
  for (const known of [...members.keys()]) if (known.startsWith(below)) members.delete(known);
  if (itself) members.delete(name);
};
for (const layer of manifest.layers) {
  const packed = new Uint8Array(await (await fetch(at(`blobs/${layer.digest}`))).arrayBuffer());
  const extract = tar.extract();
  const added = new Map();
  extract.on("entry", (header, stream, next) => {
    const chunks = [];
    stream.on("data", (chunk) => chunks.push(chunk));
    stream.on("end", () => {
      const name = header.name.replace(/^\.\//, "").replace(/\/$/, "");
      const cut = name.lastIndexOf("/");
      const [folder, base] = [cut < 0 ? "" : name.slice(0, cut), name.slice(cut + 1)];
      if (base === ".wh..wh..opq") drop(folder, false);
      else if (base.startsWith(".wh.")) drop(folder ? `${folder}/${base.slice(4)}` : base.slice(4), true);
      else added.set(name, [header, Buffer.concat(chunks)]);
      next();
    });
  });
  const done = once(extract, "finish");
  const inflate = new pako.Inflate();
  inflate.onData = (chunk) => extract.write(chunk);
  inflate.push(packed, true);
  extract.end();
  await done;
  for (const [name, member] of added) members.set(name, member);
}
const pack = tar.pack();
const written = pipeline(pack, createWriteStream(output));
for (const [header, content] of members.values()) {
  await new Promise((resolve, reject) => pack.entry(header, content, (error) => (error ? reject(error) : resolve())));
}
pack.finalize();
await written;
