// Blobs where they are kept: what has rotted, two that want one, stores that fail.

import { all, equal, failure, ok, test } from "../check.mjs";

const quick = { retries: 2, platform: "linux/amd64" };
const LARGE = 3 << 20;

test(
  "a blob that has rotted in the store is an error once, and another is fetched the next time",
  async ({ wharfie, server, folder }) => {
    const { chmod, readdir, readFile, stat, writeFile } = await import("node:fs/promises");
    const { join } = await import("node:path");
    const store = join(folder, "store");
    const first = await wharfie.Image.open(`${server.open}/good:1`, { ...quick, store });
    await first.pull();
    await first.close();
    const blobs = join(store, "blobs", "sha256");
    let victim;
    for (const name of await readdir(blobs)) if ((await stat(join(blobs, name))).size > 1 << 20) victim = join(blobs, name);
    const sound = await readFile(victim);
    const rotten = Buffer.from(sound);
    rotten[rotten.length >> 1] ^= 1;
    await chmod(victim, 0o644);
    await writeFile(victim, rotten);
    const image = await wharfie.Image.open(`${server.open}/good:1`, { ...quick, store });
    const error = await failure(all(image.export()));
    equal([error.code, error.place.layer], ["digest_mismatch", 1], error.message);
    equal((await image.verified()).layers[1].digest, "failed");
    ok((await all(image.export())).length > LARGE);
    equal((await image.verified()).layers[1].digest, "verified");
    ok((await readFile(victim)).equals(sound), "it is sound again");
    await image.close();
  },
  { on: ["node"] },
);

test("two images that want one blob at once, of one store", async ({ wharfie, server }) => {
  const store = new wharfie.MemoryBlobs();
  const images = await Promise.all([0, 1].map(() => wharfie.Image.open(`${server.open}/brisk:1`, { ...quick, store })));
  await Promise.all(images.map((image) => image.pull()));
  for (const image of images) equal((await image.readFile("/data/noise")).length, LARGE);
  for (const image of images) await image.close();
  await store.close();
  equal(store.used, 0);
});

test("a store that cannot keep a document fails whoever wants the image", async ({ wharfie, server }) => {
  const memory = new wharfie.MemoryBlobs();
  const store = {
    open: (digest) => memory.open(digest),
    sink: (digest, size) => memory.sink(digest, size),
    spool: () => memory.spool(),
    close: () => memory.close(),
    put: async () => {
      throw Object.assign(new Error("full"), { code: "ENOSPC" });
    },
  };
  const error = await failure(wharfie.Image.open(`${server.open}/good:1`, { ...quick, store }));
  equal(error.code, "no_space", error.message);
});

test("an image of more layers than are fetched at once", async ({ wharfie, server }) => {
  const image = await wharfie.Image.open(`${server.open}/many:1`, { ...quick, store: "memory" });
  const seen = [];
  await image.pull({ onProgress: ({ done, total }) => seen.push([done, total]) });
  ok(seen.every(([done, total]) => done <= total), JSON.stringify(seen));
  const tree = await image.tree();
  equal(tree.children("/many").length, 100);
  equal(await image.readFile("/many/57", "utf8"), "layer 57\n");
  await image.close();
});

test("a name that is no UTF-8 is opened by its bytes", async ({ wharfie, made }) => {
  const image = await wharfie.Image.open(made.odd);
  const found = [];
  for await (const file of image.files("/odd/*")) found.push([file.name, [...file.rawPath].at(-1), await file.text()]);
  equal(found, [
    ["caf\ufffd", 0xe9, "one\n"],
    ["caf\ufffd", 0xea, "other\n"],
  ]);
  await image.close();
});

test("a layer, its tar and its blob, and what has rotted since it was read", async ({ wharfie, made }) => {
  const { Image } = wharfie;
  const image = await Image.open(made.odd);
  const tar = await all(await image.layers[0].open());
  const blob = await all(await image.layers[0].open({ decoded: false }));
  equal([tar.length, blob.length], [image.layers[0].size, image.layers[0].size]);
  equal(new TextDecoder().decode(tar.subarray(0, 7)), "odd/caf");
  await image.close();
});

test(
  "a function that throws while an archive is unpacked or read ends that with what it threw",
  async ({ wharfie, bytes }) => {
    const thrown = new Error("mine");
    const archive = await bytes("archives/docker-20.10.24.tar");
    const packed = await new Response(new Blob([archive]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer();
    const onProgress = () => {
      throw thrown;
    };
    const streamed = () => new Blob([archive]).stream();
    ok((await failure(wharfie.Image.open(streamed(), { onProgress, name: "app:1" }))) === thrown, "a stream");
    if ((await wharfie.load()).name === "wasm") {
      ok((await failure(wharfie.Image.open(new Uint8Array(packed), { onProgress, name: "app:1" }))) === thrown, "a packed one");
    }
    const image = await wharfie.Image.open(archive, { name: "app:1" });
    ok((await failure(all(image.export({ onProgress })))) === thrown, "an export");
    ok((await all(image.export())).length > 0, "and it goes on");
    await image.close();
  },
);
