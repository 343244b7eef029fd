// Images in files.

import { all, equal, failure, ok, sha256, test } from "../check.mjs";

test("archives as tools write them", async ({ wharfie, bytes, corpus }) => {
  const { archive: cases } = await corpus("archives.toml");
  ok(cases.length > 5, "no cases");
  for (const one of cases) {
    const image = await wharfie.Image.open(new Blob([await bytes(`archives/${one.file}`)]), { platform: "linux/amd64" });
    equal(image.configDigest, one.config, `${one.file}: config`);
    equal(image.layers.map((layer) => layer.diffId), one.layers, `${one.file}: layers`);
    if (one.manifest) equal(image.manifestDigest, one.manifest, `${one.file}: manifest`);
    const named = one.names.length === 0 || one.names.some((name) => name.endsWith(image.reference) || image.reference.endsWith(name));
    ok(named, `${one.file}: ${image.reference} is none of ${one.names}`);
    equal(await image.readFile("/etc/one", "utf8"), "one\n", one.file);
    const paths = [];
    for await (const file of image.files()) paths.push(file.path);
    equal(paths, ["/", "/etc", "/etc/one", "/etc/two"], one.file);
    const { layers, manifest } = await image.verified();
    equal([manifest, ...layers.map(({ digest, diffId }) => [digest, diffId])], ["verified", ["verified", "verified"], ["verified", "verified"]]);
    await image.close();
  }
});

test("an archive has several images, and one is chosen", async ({ wharfie, bytes }) => {
  const { Image } = wharfie;
  const file = new Blob([await bytes("archives/docker-20.10.24.tar")]);
  const image = await Image.open(file, { platform: "linux/amd64", name: "app:also" });
  equal(image.layers.length, 2);
  await image.close();
  equal((await failure(Image.open(file, { name: "nothing:here" }))).code, "not_found");
});

test("the sample's root is the same tar as that of the command line", async ({ wharfie, bytes, golden }) => {
  const image = await wharfie.Image.open(new Blob([await bytes("sample/sample.oci.tar")]), { platform: "linux/amd64" });
  const tar = await all(image.export());
  equal(await sha256(tar), golden.sample, "tar");
  const packed = await all(image.export({ format: "tar.gz" }));
  const unpacked = await all(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")));
  equal(await sha256(unpacked), golden.sample, "tar.gz");
  await image.close();
});

test("one file, a tree, a search, a layer", async ({ wharfie, bytes }) => {
  const image = await wharfie.Image.open(new Blob([await bytes("sample/sample.oci.tar")]), { platform: "linux/amd64" });
  const tree = await image.tree();
  const tops = tree.children("/").map((entry) => entry.path);
  ok(tops.includes("/etc") && tops.includes("/usr"), tops.join(" "));
  const etc = tree.entry("/etc");
  equal([etc.type, tree.children(etc.node).map((entry) => entry.path)], ["directory", tree.children("/etc").map((entry) => entry.path)]);
  const matched = [];
  for await (const file of image.files("/etc/**")) matched.push(file.path);
  ok(matched.length > 0 && matched.every((path) => path.startsWith("/etc/")), matched.join(" "));
  const file = [...tree].find((entry) => entry.type === "file" && entry.size > 0);
  equal((await file.bytes()).length, file.size);
  equal(await image.readFile(file.path), await all(image.createReadStream(file.path)));
  ok(tree.search(file.name.toUpperCase()).some((entry) => entry.path === file.path), "search");
  equal((await failure(image.readFile("/no/such/file"))).code, "path_not_found");
  equal((await failure(image.readFile("/etc"))).code, "not_a_file");
  equal((await failure(image.files("[").next())).code, "invalid_pattern");
  for (const layer of image.layers) {
    equal(`sha256:${await sha256(await all(await layer.open()))}`, layer.diffId);
    equal(`sha256:${await sha256(await all(await layer.open({ decoded: false })))}`, layer.digest);
  }
  ok(image.summary.os === "linux" && image.config.rootfs.diff_ids.length === image.layers.length);
  await image.close();
  ok((await failure(image.readFile(file.path))) instanceof Error, "a closed image is closed");
});

test("a compressed archive, a stream, bytes, a folder", async ({ wharfie, bytes, made }) => {
  const { Image } = wharfie;
  const plain = await bytes("archives/skopeo-1.9.3-oci.tar");
  const packed = await all(new Blob([plain]).stream().pipeThrough(new CompressionStream("gzip")));
  const folder = made.layout.map(([path, file]) => ({ path: `picked/${path}`, file: new Blob([file]) }));
  for (const source of [new Blob([packed]), new Blob([packed]).stream(), plain, folder]) {
    const image = await Image.open(source, { platform: "linux/amd64" });
    ok(image.layers.length > 0 && (await image.tree()).count > 1);
    await image.close();
  }
});

test("broken archives say what is wrong with them", async ({ wharfie, bytes, made }) => {
  const { Image } = wharfie;
  const open = async (file) => {
    const image = await Image.open(new Blob([file]), { platform: "linux/amd64" });
    try {
      return await all(image.export());
    } finally {
      await image.close();
    }
  };
  const plain = await bytes("archives/skopeo-1.9.3-oci.tar");
  const packed = await all(new Blob([plain]).stream().pipeThrough(new CompressionStream("gzip")));
  const cases = {
    "cut in two": [plain.subarray(0, plain.length >> 1), ["invalid_tar", "not_found", "corrupt_stream"]],
    "cut gzip": [packed.subarray(0, packed.length >> 1), ["corrupt_stream"]],
    nothing: [new Uint8Array(0), ["not_found", "invalid_tar", "not_an_image"]],
    "no archive": [new TextEncoder().encode("hello, this is not a tar at all".repeat(100)), ["invalid_tar"]],
    "wrong blob": [made.wrongBlob, ["digest_mismatch"]],
    "wrong diff_id": [made.wrongDiffId, ["diff_id_mismatch"]],
    "too few diff_ids": [made.fewDiffIds, ["layer_count_mismatch"]],
  };
  for (const [name, [file, codes]] of Object.entries(cases)) {
    const error = await failure(open(file));
    ok(codes.includes(error.code), `${name}: ${error.code ?? error}: ${error.message}`);
    ok(error instanceof wharfie.ERRORS[error.code], name);
  }
});

test("what is wrong with a layer is said of that layer", async ({ wharfie, made }) => {
  const image = await wharfie.Image.open(new Blob([made.wrongDiffId]), { platform: "linux/amd64" });
  const error = await failure(image.tree());
  equal([error.code, error.place.layer], ["diff_id_mismatch", 0]);
  equal((await image.verified()).layers[0], { digest: "verified", diffId: "failed", here: true });
  await image.close();
});

test("a cap on memory is kept and says so", async ({ wharfie, bytes }) => {
  const plain = await bytes("archives/skopeo-1.9.3-oci.tar");
  const packed = new Blob([plain]).stream().pipeThrough(new CompressionStream("gzip"));
  const error = await failure(wharfie.Image.open(packed, { store: "memory", memory: 200 }));
  equal([error.code, error.name], ["no_space", "NoSpaceError"]);
});

test("a panic is an error, and the next image opens", async ({ wharfie, bytes, backend }) => {
  if (backend.name !== "wasm") return;
  const file = new Blob([await bytes("archives/skopeo-1.9.3-oci.tar")]);
  const before = await wharfie.Image.open(file, { platform: "linux/amd64" });
  const error = await failure((async () => backend.panicForTest("on purpose"))());
  equal(error.code, "internal");
  ok(error.message.includes("on purpose"), error.message);
  equal((await failure(before.tree())).code, "internal", "what was open is lost");
  const after = await wharfie.Image.open(file, { platform: "linux/amd64" });
  ok((await after.tree()).count > 1);
  await after.close();
});
