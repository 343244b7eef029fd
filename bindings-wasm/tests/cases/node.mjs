// What only Node has: paths, directories, resuming from the disk.

import { all, equal, failure, ok, sha256, test } from "../check.mjs";

const on = ["node"];

test(
  "paths and the names of transports",
  async ({ wharfie, testdata, folder, made }) => {
    const { Image } = wharfie;
    const { mkdir, writeFile } = await import("node:fs/promises");
    const { dirname, join } = await import("node:path");
    const { pathToFileURL } = await import("node:url");
    const layout = join(folder, "layout");
    for (const [name, bytes] of made.layout) {
      await mkdir(dirname(join(layout, name)), { recursive: true });
      await writeFile(join(layout, name), bytes);
    }
    const docker = join(testdata, "archives/docker-20.10.24.tar");
    for (const source of [
      docker,
      `docker-archive:${docker}`,
      `docker-archive:${docker}:app:1`,
      pathToFileURL(docker),
      layout,
      `oci:${layout}`,
      `oci-archive:${join(testdata, "archives/podman-4.3.1-oci.tar")}`,
    ]) {
      const image = await Image.open(source, { platform: "linux/amd64" });
      ok((await image.tree()).count > 1, String(source));
      await image.close();
    }
    equal((await failure(Image.open("/no/such/file.tar"))).code, "not_found");
    equal((await failure(Image.open("docker-daemon:app:1"))).code, "unsupported_transport");
    equal((await failure(Image.open("docker.io/Upper/case:1"))).code, "invalid_reference");
  },
  { on },
);

test(
  "a store on the disk: blobs under their digests, and a partial one is gone on with",
  async ({ wharfie, folder, server }) => {
    const { mkdir, readdir, stat } = await import("node:fs/promises");
    const { join } = await import("node:path");
    const { Image } = wharfie;
    const store = join(folder, "store");
    await mkdir(store);
    const options = { store, platform: "linux/amd64", retries: 2 };
    const stop = new AbortController();
    const first = await Image.open(`${server.open}/slow-store:1`, options);
    const stopping = first.pull({
      signal: stop.signal,
      onProgress: ({ done }) => done > 400_000 && stop.abort(),
    });
    equal((await failure(stopping)).code, "cancelled");
    await first.close();
    const blobs = join(store, "blobs", "sha256");
    // Where it is, is the store's matter.
    const partial = (await readdir(store, { recursive: true })).filter((name) => name.endsWith(".partial"));
    equal(partial.length, 1, "partial blobs");
    const { size } = await stat(join(store, partial[0]));
    ok(size > 300_000, `${size} bytes`);
    const progress = [];
    const second = await Image.open(`${server.open}/good:1`, options);
    await second.pull({ onProgress: ({ done }) => progress.push(done) });
    ok(progress[0] >= size, `it began at ${progress[0]}`);
    await second.close();
    const names = await readdir(blobs);
    ok(names.every((name) => /^[0-9a-f]{64}$/.test(name)), names.join(" "));
    const { readFile } = await import("node:fs/promises");
    for (const name of names) equal(await sha256(await readFile(join(blobs, name))), name);
    // All of it is there now: nothing is asked of a registry but what the tag stands for.
    const third = await Image.open(`${server.open}/good:1`, options);
    equal((await third.verified()).layers.map(({ here }) => here), [true, true]);
    await third.close();
  },
  { on },
);

test(
  "opening a packed archive of gigabytes is stopped at the next piece",
  async ({ wharfie, folder }) => {
    const { randomFillSync } = await import("node:crypto");
    const { writeFile } = await import("node:fs/promises");
    const { join } = await import("node:path");
    const { gzipSync } = await import("node:zlib");
    const { header } = await import("../tar.mjs");
    const path = join(folder, "endless.tar.gz");
    // Of one piece again and again: four gigabytes that are a hundred megabytes or so here.
    const piece = Buffer.alloc(64 << 20);
    for (let at = 0; at < piece.length; at += 64 << 10) randomFillSync(piece, at, 1 << 10);
    const packed = gzipSync(piece, { level: 1 });
    const pieces = Array.from({ length: 64 }, () => packed);
    await writeFile(path, Buffer.concat([gzipSync(header("layer.tar", 64 * piece.length)), ...pieces]));
    const stop = new AbortController();
    const opening = failure(wharfie.Image.open(path, { signal: stop.signal }));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const began = performance.now();
    stop.abort();
    equal((await opening).code, "cancelled");
    ok(performance.now() - began < 1500, "it went on to the end");
  },
  { on },
);

test(
  "a fetch of one's own, and a dispatcher that is handed on",
  async ({ wharfie, server }) => {
    const seen = [];
    const dispatcher = {};
    const image = await wharfie.Image.open(`${server.open}/good:1`, {
      platform: "linux/amd64",
      dispatcher,
      fetch: (url, init) => {
        seen.push([new URL(url).pathname, init.dispatcher === dispatcher]);
        return fetch(url, { ...init, dispatcher: undefined });
      },
    });
    ok(seen.length > 0 && seen.every(([, handed]) => handed), JSON.stringify(seen));
    await image.close();
  },
  { on },
);

test(
  "nothing holds the event loop for long",
  async ({ wharfie, server }) => {
    const image = await wharfie.Image.open(`${server.open}/good:1`, { platform: "linux/amd64" });
    await image.pull();
    let longest = 0;
    let last = performance.now();
    const ticking = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 1);
    await all(image.export());
    clearInterval(ticking);
    console.log(`# the longest turn of the event loop: ${longest.toFixed(1)} ms`);
    // The bench says what it is on an idle machine; here it must only not be the whole export.
    ok(longest < 500, `${longest} ms`);
    await image.close();
  },
  { on },
);
