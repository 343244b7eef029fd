// The hard stacks of `testdata/stacks`: every rule of layers, as JavaScript shows it.

import { all, equal, failure, ok, sha256, test } from "../check.mjs";

const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

test(
  "stacks: every rule of layers",
  async ({ wharfie, stacks }) => {
    const cases = await stacks();
    ok(cases.length > 200, `only ${cases.length} cases`);
    const wrong = [];
    for (const one of cases) {
      try {
        await run(wharfie, one);
      } catch (error) {
        wrong.push(`${one.name}: ${error.message}`);
      }
    }
    console.log(`# ${cases.length} stacks`);
    ok(wrong.length === 0, `${wrong.length} of ${cases.length}:\n${wrong.slice(0, 20).join("\n")}`);
  },
  { seconds: 120 },
);

async function run(wharfie, { archive, expected }) {
  const open = async () => wharfie.Image.open(new Blob([await archive()]), { platform: "linux/amd64", store: "memory" });
  const { options } = expected;
  const isChosen = Object.keys(options).length > 0;
  if (expected.error) {
    const error = await failure(
      (async () => {
        const image = await open();
        try {
          return (await all(image.export(options))).length;
        } finally {
          await image.close();
        }
      })(),
    );
    equal(error.code, expected.error, error.message);
    if (expected.limit) equal(error.facts.limit, expected.limit);
    for (const key of ["layer", "byte"]) {
      if (expected.place?.[key] !== undefined) equal(error.place[key], expected.place[key], key);
    }
    return;
  }
  let image = await open();
  if (isChosen) {
    // What is chosen shows in the tar alone: that, as an image of one layer.
    const tar = await all(image.export(options));
    await image.close();
    image = await wharfie.Image.open(new Blob([await ofOneLayer(tar)]), { platform: "linux/amd64", store: "memory" });
  }
  try {
    const found = new Map();
    for await (const file of image.files()) found.set(hex(file.rawPath), file);
    // The root is listed always, and shown only where a layer has an entry for it.
    if (!expected.tree.some(({ path }) => path === "")) found.delete("");
    equal([...found.keys()].sort(), expected.tree.map(({ path }) => path).sort(), "paths");
    for (const entry of expected.tree) {
      const file = found.get(entry.path);
      const { path, type, mode, uid, gid, seconds, size, link, device, xattrs, content, same } = entry;
      const is = {
        ...{ path, type: file.type, mode: file.mode, uid: file.uid, gid: file.gid },
        seconds: Math.floor(file.mtime.getTime() / 1000),
        size: file.size,
        link: file.type === "symlink" ? hex(file.rawLink) : "",
        device: file.device ? `${file.device.major}:${file.device.minor}` : "",
        xattrs: file.hasXattrs,
      };
      equal(is, { path, type, mode, uid, gid, seconds, size, link, device, xattrs }, file.path);
      if (same) equal(file.inode, found.get(same).inode, `${file.path}: another name`);
      // A path that is no UTF-8 cannot be named by a string.
      if (content && isText(file)) equal(`sha256:${await sha256(await file.bytes())}`, content, file.path);
    }
    ok((await all(image.export())).length >= 1024);
  } finally {
    await image.close();
  }
}

/** A docker-archive of one layer. */
async function ofOneLayer(tar) {
  const encoder = new TextEncoder();
  const config = encoder.encode(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [`sha256:${await sha256(tar)}`] } }),
  );
  const manifest = encoder.encode(JSON.stringify([{ Config: "config.json", RepoTags: [], Layers: ["layer.tar"] }]));
  const parts = [];
  for (const [name, bytes] of [["layer.tar", tar], ["config.json", config], ["manifest.json", manifest]]) {
    const block = new Uint8Array(512);
    const put = (at, text) => block.set(encoder.encode(text), at);
    put(0, name);
    put(100, "0000644\0");
    put(124, `${bytes.length.toString(8).padStart(11, "0")}\0`);
    put(148, " ".repeat(8));
    put(156, "0");
    put(257, "ustar\x0000");
    put(148, `${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `);
    parts.push(block, bytes, new Uint8Array((512 - (bytes.length % 512)) % 512));
  }
  return new Uint8Array(await new Blob([...parts, new Uint8Array(1024)]).arrayBuffer());
}

function isText(file) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(file.rawPath);
    return true;
  } catch {
    return false;
  }
}
