// Real images on Debian's registry: here they are what the command line says of them.

import { all, equal, failure, ok, sha256, test } from "../check.mjs";

const on = { platform: "linux/amd64" };

/** An entry in one line; `tests/world.mjs` makes the same of what the command line lists. */
function line({ path, type, mode, uid, gid, size, mtime, layer, linkTarget, device }) {
  const octal = mode.toString(8).padStart(4, "0");
  return [path, type, octal, uid, gid, size, mtime.getTime(), layer, linkTarget, device?.major, device?.minor].join(" ");
}

async function isDebian(image, { tar, tree }) {
  equal(await sha256(await all(image.export())), tar, "the tar");
  let at = 0;
  for await (const file of image.files()) equal(line(file), tree[at++], "the tree");
  equal(at, tree.length, "entries");
}

test("debian's registry: the sample is the same image and the same tar", async ({ wharfie, golden, registry }) => {
  if (!registry) return;
  const image = await wharfie.Image.open(`${registry}/sample:1`, on);
  equal(await sha256(await all(image.export())), golden.sample);
  await image.close();
  equal(await wharfie.tags(`${registry}/sample`), ["1"]);
});

test(
  "debian's registry: Debian itself, its tar and its tree",
  async ({ wharfie, golden, registry }) => {
    if (!golden.debian) return;
    const image = await wharfie.Image.open(`${registry}/debian:1`, on);
    await isDebian(image, golden.debian);
    await image.close();
  },
  { seconds: 60 },
);

test(
  "debian's registry: Debian itself, in a worker",
  async ({ wharfie, golden, registry }) => {
    if (!golden.debian) return;
    const worker = new wharfie.ImageWorker();
    const image = await worker.open(`${registry}/debian:1`, on);
    await isDebian(image, golden.debian);
    await image.close();
    worker.terminate();
    await wharfie.OpfsBlobs.clear();
  },
  { on: ["browser"], seconds: 60 },
);

test("debian's registry, where it wants a login", async ({ wharfie, golden, locked }) => {
  if (!locked) return;
  const { registry, credentials } = locked;
  const name = `${registry}/sample:1`;
  const refused = async (given) => {
    const error = await failure(wharfie.Image.open(name, { ...on, store: "memory", ...given }));
    equal([error.code, error instanceof wharfie.ERRORS.unauthorized], ["unauthorized", true], error.message);
  };
  await refused({});
  await refused({ credentials: () => undefined });
  await refused({ credentials: { ...credentials, password: "guessed" } });
  await refused({ credentials: { ...credentials, username: "nobody" } });
  const asked = [];
  for (const given of [credentials, (question) => (asked.push(question.registry), credentials)]) {
    const image = await wharfie.Image.open(name, { ...on, store: "memory", credentials: given });
    equal(await sha256(await all(image.export())), golden.locked, "the tar");
    await image.close();
  }
  ok(asked.length > 0 && asked.every((one) => one === registry), asked.join());
  equal(await wharfie.tags(`${registry}/sample`, { credentials }), ["1"]);
});
