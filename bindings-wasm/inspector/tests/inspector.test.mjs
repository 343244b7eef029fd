/** What a user does with the page, in a real browser. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { startRegistry } from "../../tests/registry.mjs";
import { ROOT, files, folder, idle, marks, openPage, pick, picture, saved, settled, trouble, wharfie } from "./page.mjs";

const SAMPLE = join(ROOT, "testdata/sample/sample.oci.tar");

const paths = (page) => page.$$eval("#tree .entry", (all) => all.map((entry) => entry.dataset.path));

test("an archive is shown, verified only when it is, searched, previewed and taken away", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  await picture(page, "welcome");
  await pick(page, SAMPLE);
  assert.equal(await page.textContent("#title"), "sample.oci.tar");
  assert.match(await page.textContent("#subtitle"), /linux\/amd64 · 4 layers/);
  // Documents were hashed to get here; layers were not.
  assert.deepEqual(await marks(page), ["verified", "verified", "verified", ...Array(4).fill("not read yet")]);
  await picture(page, "config");
  await files(page);
  assert.deepEqual(await marks(page), Array(7).fill("verified"));
  const listed = wharfie("ls", "-R", "--json", "sample:").toString();
  assert.match(await page.textContent("#count"), /paths$/);
  assert.ok(listed.includes("etc"));
  await page.fill("#search", "os-release");
  await page.waitForFunction(() => document.querySelectorAll("#tree .entry").length < 4);
  const found = await paths(page);
  assert.ok(found.every((path) => path.includes("os-release")), found.join());
  await page.click(`#tree .entry[data-path="${found[0]}"]`);
  await page.waitForSelector("#preview pre");
  const shown = await page.textContent("#preview pre");
  assert.equal(shown, wharfie("cat", "sample:", found[0]).toString());
  await picture(page, "files");
  const file = await saved(page, () => page.click("#preview .actions button"));
  assert.equal(file.name, found[0].split("/").pop());
  assert.deepEqual(readFileSync(file.path), wharfie("cat", "sample:", found[0]));
  await idle(page);
  const root = await saved(page, () => page.click("#export-tar"));
  assert.ok(readFileSync(root.path).equals(wharfie("export", "sample:", "-o", "-")), "the tar is what the command writes");
  await page.click("#tab-layers");
  await picture(page, "layers");
  const layer = await saved(page, () => page.click('#view-layers tr[data-layer="0"] button:has-text(".tar")'));
  assert.match(layer.name, /^[0-9a-f]{12}\.tar$/);
  await page.click("#tab-raw");
  assert.ok((await page.textContent("#view-raw")).includes("schemaVersion"));
  await picture(page, "documents");
});

test("another platform of the same archive is a choice", async (t) => {
  const { page, close } = await openPage({ colorScheme: "dark" });
  t.after(close);
  await pick(page, SAMPLE);
  await page.selectOption("#structure select", "linux/arm64");
  await page.waitForFunction(() => document.getElementById("subtitle").textContent.startsWith("linux/arm64"));
  await files(page);
  await picture(page, "dark-files");
  const root = await saved(page, () => page.click("#export-tar"));
  assert.ok(readFileSync(root.path).equals(wharfie("export", "--platform", "linux/arm64", "sample:", "-o", "-")));
});

test("archives of every tool and packing open, and their roots are the command's", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  const here = folder(t);
  const archives = ["docker-20.10.24.tar", "podman-4.3.1-docker.tar", "podman-4.3.1-oci.tar", "skopeo-1.9.3-docker.tar", "skopeo-1.9.3-oci.tar", "crane-0.22.1.tar", "crane-0.22.1-legacy.tar", "containerd-store.tar"];
  const all = archives.map((name) => join(ROOT, "testdata/archives", name));
  const packed = join(here, "docker.tar.gz");
  writeFileSync(packed, gzipSync(readFileSync(all[0])));
  all.push(packed);
  const zstd = join(here, "docker.tar.zst");
  if (spawnSync("zstd", ["-q", all[0], "-o", zstd]).status === 0) all.push(zstd);
  for (const archive of all) {
    await pick(page, archive);
    assert.equal(await trouble(page), undefined, archive);
    const root = await saved(page, () => page.click("#export-tar"));
    assert.ok(readFileSync(root.path).equals(wharfie("export", `${archive}`, "-o", "-")), archive);
    await idle(page);
  }
});

test("a layout's folder opens", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  const here = folder(t);
  wharfie("copy", "--all", "sample:", `oci:${here}/layout:v1`);
  await page.setInputFiles("#folder", join(here, "layout"));
  await settled(page);
  assert.equal(await trouble(page), undefined);
  const root = await saved(page, () => page.click("#export-tar"));
  assert.ok(readFileSync(root.path).equals(wharfie("export", "sample:", "-o", "-")));
});

test("what is broken is told with its code, and the page goes on", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  const here = folder(t);
  const whole = readFileSync(SAMPLE);
  const put = (name, bytes) => {
    writeFileSync(join(here, name), bytes);
    return join(here, name);
  };
  const code = async (path) => {
    await page.setInputFiles("#file", path);
    await page.waitForFunction(() => !document.getElementById("trouble").hidden);
    await idle(page);
    const told = await trouble(page);
    await page.click("#trouble .close");
    return told.code;
  };
  assert.equal(await code(put("none.tar", "this is no archive at all")), "invalid_tar");
  assert.equal(await code(put("half.tar", whole.subarray(0, whole.length / 2))), "invalid_tar");
  assert.equal(await code(put("half.tar.gz", gzipSync(whole).subarray(0, 4000))), "corrupt_stream");
  assert.equal(await code(put("empty.tar", Buffer.alloc(1024))), "not_found");
  await picture(page, "trouble");
  // A layer whose bytes were changed: its archive opens, its layers do not hold.
  const changed = Buffer.from(readFileSync(join(ROOT, "testdata/archives/docker-20.10.24.tar")));
  const at = changed.indexOf("etc/two");
  assert.ok(at > 0);
  changed.write("etc/twO", at);
  await page.setInputFiles("#file", put("changed.tar", changed));
  await page.waitForFunction(() => !document.getElementById("trouble").hidden || !document.getElementById("image").hidden);
  await idle(page);
  if ((await trouble(page)) === undefined) {
    await page.click("#verify");
    await page.waitForFunction(() => !document.getElementById("trouble").hidden);
  }
  assert.match((await trouble(page)).code, /^(diff_id|digest)_mismatch$/);
  assert.ok(!(await marks(page)).slice(-1).includes("verified"), "what does not hold is not marked");
  await pick(page, SAMPLE);
  assert.equal(await page.textContent("#title"), "sample.oci.tar");
});

test("it is used by keys alone", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  await pick(page, SAMPLE);
  await page.keyboard.press("3");
  await page.waitForSelector("#tree .entry");
  await idle(page);
  await page.focus("#tree");
  await page.keyboard.press("Home");
  const first = await page.$eval('#tree [aria-selected="true"]', (entry) => entry.dataset.path);
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("ArrowDown");
  const below = await page.$eval('#tree [aria-selected="true"]', (entry) => entry.dataset.path);
  assert.ok(below.startsWith(`${first}/`), `${below} is in ${first}`);
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.$eval('#tree [aria-selected="true"]', (entry) => entry.dataset.path), first);
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "search");
  await page.keyboard.type("passwd");
  await page.waitForFunction(() => /match/.test(document.getElementById("count").textContent));
  await page.keyboard.press("ArrowDown");
  assert.ok((await page.textContent("#preview h3")).includes("passwd"));
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  const before = await theme();
  await page.keyboard.press("t");
  assert.notEqual(await theme(), before);
  await page.keyboard.press("2");
  assert.equal(await page.isVisible("#view-layers"), true);
});

/** Debian's registry, open to other origins or not, with the sample in it. */
async function registry(t, origins) {
  const { address, close } = await startRegistry({ origins });
  t.after(close);
  wharfie("copy", "--all", "sample:", `${address}/team/sample:v1`);
  return `${address}/team/sample:v1`;
}

test("an image on a registry that allows it is pulled, and its root is the command's", async (t) => {
  const name = await registry(t, true);
  const { page, close } = await openPage();
  t.after(close);
  await page.fill("#name", name);
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await trouble(page), undefined);
  assert.equal(await page.textContent("#title"), name);
  assert.deepEqual((await marks(page)).slice(0, 3), Array(3).fill("verified"));
  await picture(page, "registry");
  await files(page);
  assert.deepEqual(await marks(page), Array(7).fill("verified"));
  const root = await saved(page, () => page.click("#export-tar"));
  assert.ok(readFileSync(root.path).equals(wharfie("export", "sample:", "-o", "-")));
  assert.ok(page.url().endsWith(`#${name}`), "the address names the image");
});

test("a registry that allows no other origins is recognised, with the command to copy", async (t) => {
  const name = await registry(t, false);
  const { page, close } = await openPage({ hash: `#${name}` });
  t.after(close);
  await page.waitForFunction(() => !document.getElementById("trouble").hidden, undefined, { timeout: 30_000 });
  const told = await trouble(page);
  assert.equal(told.code, "connection_failed");
  assert.match(told.text, /CORS/);
  assert.equal(await page.textContent("#trouble .command code"), `wharfie save ${name} -o image.tar`);
  await picture(page, "no-cors");
});

test("a name that is wrong is said so before anything is asked", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  await page.fill("#name", "Upper/Case:1");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.getElementById("trouble").hidden);
  assert.equal((await trouble(page)).code, "invalid_reference");
});

test("what fails to open leaves what is shown as it is, its platforms too", async (t) => {
  const { page, close } = await openPage();
  t.after(close);
  await pick(page, SAMPLE);
  await page.fill("#name", "Upper/Case:1");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.getElementById("trouble").hidden);
  await page.selectOption("#structure select", "linux/arm64");
  await page.waitForFunction(() => document.getElementById("subtitle").textContent.startsWith("linux/arm64"));
  assert.equal(await page.textContent("#title"), "sample.oci.tar");
  assert.equal(await trouble(page), undefined);
});

test("what is under way is stopped by Escape, and nothing is saved by halves", async (t) => {
  // A registry that never ends a layer.
  const documents = new Map();
  const waiting = [];
  const { createHash } = await import("node:crypto");
  const digest = (bytes) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  const config = JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digest("x")] } });
  const layer = digest("never");
  const manifest = JSON.stringify({
    schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: digest(config), size: config.length },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layer, size: 1 << 20 }],
  });
  documents.set("/v2/slow/manifests/v1", manifest).set(`/v2/slow/manifests/${digest(manifest)}`, manifest).set(`/v2/slow/blobs/${digest(config)}`, config);
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*");
    if (request.method === "OPTIONS") return response.writeHead(204).end();
    const document = documents.get(request.url);
    if (document) {
      const kind = request.url.includes("manifests") ? "application/vnd.oci.image.manifest.v1+json" : "application/octet-stream";
      response.writeHead(200, { "content-type": kind, "content-length": document.length, "docker-content-digest": digest(document) });
      return response.end(request.method === "HEAD" ? undefined : document);
    }
    if (request.url === `/v2/slow/blobs/${layer}`) {
      response.writeHead(200, { "content-length": 1 << 20 });
      response.write(Buffer.alloc(1000));
      waiting.push(response);
      response.on("close", () => waiting.splice(waiting.indexOf(response), 1));
      return undefined;
    }
    return response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close(() => {}) && server.closeAllConnections());
  const { page, close } = await openPage();
  t.after(close);
  await page.fill("#name", `127.0.0.1:${server.address().port}/slow:v1`);
  await page.keyboard.press("Enter");
  await settled(page);
  let downloads = 0;
  page.on("download", () => downloads++);
  await page.click("#export-tar");
  await page.waitForFunction(() => !document.getElementById("work").hidden);
  for (let tries = 0; waiting.length === 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
  assert.equal(waiting.length, 1, "the layer is on its way");
  await page.keyboard.press("Escape");
  await idle(page);
  for (let tries = 0; waiting.length > 0 && tries < 200; tries++) await new Promise((resolve) => setTimeout(resolve, 25));
  assert.equal(waiting.length, 0, "its connection is dropped");
  assert.equal(await trouble(page), undefined, "who stopped it knows that it was stopped");
  assert.equal(downloads, 0);
  const left = await page.evaluate(async () => {
    const names = [];
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("downloads", { create: true });
    for await (const name of folder.keys()) names.push(name);
    return names;
  });
  assert.deepEqual(left, []);
});
