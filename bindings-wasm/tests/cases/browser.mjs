// What only a browser has: registries that do not let other origins in, workers, OPFS.

import { all, equal, failure, ok, sha256, test } from "../check.mjs";

const on = ["browser"];

test(
  "a registry without CORS is recognised as far as it can be",
  async ({ wharfie, server }) => {
    const error = await failure(wharfie.Image.open(`${server.shut}/good:1`, { retries: 0, platform: "linux/amd64" }));
    equal(error.code, "connection_failed");
    ok(error.hint, "there is a hint");
  },
  { on },
);

test(
  "an image in a worker is the same image",
  async ({ wharfie, bytes, golden, server }) => {
    const worker = new wharfie.ImageWorker();
    const seen = [];
    const image = await worker.open(new Blob([await bytes("sample/sample.oci.tar")]), { platform: "linux/amd64" });
    const tree = await image.tree({ onProgress: (progress) => seen.push(progress) });
    ok(tree.count > 5 && tree.children("/").length > 2);
    equal(await sha256(await all(image.export({ onProgress: (progress) => seen.push(progress) }))), golden.sample);
    ok(seen.some(({ phase }) => phase === "write"), JSON.stringify(seen));
    equal((await failure(image.readFile("/none"))).name, "PathNotFoundError");
    await image.close();
    const stop = new AbortController();
    const remote = await worker.open(`${server.open}/slow-worker:1`, { platform: "linux/amd64" });
    const error = await failure(
      remote.pull({ signal: stop.signal, onProgress: ({ done }) => done > 0 && stop.abort("enough") }),
    );
    equal([error.code, error.cause], ["cancelled", "enough"]);
    await remote.close();
    let asked = 0;
    const secret = await worker.open(`${server.open}/private:1`, {
      platform: "linux/amd64",
      credentials: () => {
        asked++;
        return { username: "user", password: "secret" };
      },
    });
    await secret.pull();
    ok(asked > 0, "nobody asked");
    await secret.close();
    equal(await worker.tags(`${server.open}/good`), await wharfie.tags(`${server.open}/good`));
    worker.terminate();
    ok((await failure(image.tree())) instanceof Error);
  },
  { on, seconds: 60 },
);

test(
  "a compressed archive goes through OPFS in a worker, and leaves nothing behind",
  async ({ wharfie, bytes }) => {
    const worker = new wharfie.ImageWorker();
    const packed = new Blob([await bytes("archives/skopeo-1.9.3-oci.tar")]).stream().pipeThrough(new CompressionStream("gzip"));
    const file = new Blob([await all(packed)]);
    const image = await worker.open(file, { platform: "linux/amd64", store: "opfs" });
    ok((await image.tree()).count > 1);
    await image.close();
    const home = await (await navigator.storage.getDirectory()).getDirectoryHandle("wharfie");
    const left = [];
    for await (const name of (await home.getDirectoryHandle("spool")).keys()) left.push(name);
    equal(left, []);
    worker.terminate();
  },
  { on },
);

test(
  "OPFS: blobs stay for the next time, and a partial one is gone on with",
  async ({ wharfie, server }) => {
    const options = { platform: "linux/amd64", store: "opfs", retries: 2 };
    await wharfie.OpfsBlobs.clear();
    const worker = new wharfie.ImageWorker();
    const stop = new AbortController();
    const first = await worker.open(`${server.open}/slow-opfs:1`, options);
    const error = await failure(
      first.pull({ signal: stop.signal, onProgress: ({ done }) => done > 400_000 && stop.abort() }),
    );
    equal(error.code, "cancelled");
    await first.close();
    const progress = [];
    const second = await worker.open(`${server.open}/good:1`, options);
    await second.pull({ onProgress: ({ done }) => progress.push(done) });
    ok(progress[0] > 300_000, `it began at ${progress[0]}`);
    await second.close();
    const third = await worker.open(`${server.open}/good:1`, options);
    equal((await third.verified()).layers.map(({ here }) => here), [true, true]);
    equal((await all(third.export())).length > 3 << 20, true);
    await third.close();
    worker.terminate();
    await wharfie.OpfsBlobs.clear();
  },
  { on, seconds: 60 },
);
