// What only Node has, on the package that is installed where WHARFIE_INSTALLED says.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createWriteStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";

import { large, made } from "../../bindings-wasm/tests/made.mjs";
import { start } from "../../bindings-wasm/tests/server.mjs";
import { imported, installed } from "./installed.mjs";

const folder = mkdtempSync(join(tmpdir(), "wharfie-node-"));
// Nothing of the user's own is read or written.
const store = join(folder, "own-store");
Object.assign(process.env, { WHARFIE_STORE: store, HOME: folder, XDG_RUNTIME_DIR: folder, DOCKER_CONFIG: join(folder, "docker") });
const { Image, WharfieError, ERRORS, backend, tags } = await imported();
const server = await start();
after(() => {
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const on = { platform: "linux/amd64" };
let fresh = 0;
/** A folder that nothing else uses. */
const own = (name) => {
  const path = join(folder, `${name}-${fresh++}`);
  mkdirSync(path);
  return path;
};
const command = join(installed, "node_modules", ".bin", "wharfie");
const all = async (readable) => Buffer.concat(await readable.toArray());
const rejected = async (promise) => promise.then(() => assert.fail("it did not fail"), (error) => error);

test("the native core is there", () => {
  assert.deepEqual(backend(), { name: "native" });
});

test("a file is what the command line writes, in every format, whole", async () => {
  const image = await Image.open("sample:", on);
  for (const format of ["tar", "tar.gz", "tar.zst"]) {
    const dir = own("export");
    const [ours, theirs] = [join(dir, `ours.${format}`), join(dir, `theirs.${format}`)];
    const report = await image.exportFile(ours);
    execFileSync(command, ["export", "sample:", "--platform", "linux/amd64", "-o", theirs, "--quiet"]);
    assert.equal(sha256(readFileSync(ours)), sha256(readFileSync(theirs)), format);
    assert.equal(report.bytes, statSync(ours).size);
    assert.ok(report.entries > 30 && report.warnings.length === 0);
    assert.equal(sha256(await all(image.export({ format }))), sha256(readFileSync(theirs)), `${format} as a stream`);
    assert.deepEqual(readdirSync(dir).sort(), [`ours.${format}`, `theirs.${format}`]);
  }
  const web = new Uint8Array(await new Response(image.exportWeb({ format: "tar.gz" })).arrayBuffer());
  assert.equal(sha256(gunzipSync(web)), sha256(await all(image.export())));
  const some = join(own("some"), "some.tar");
  assert.ok((await image.exportFile(some, { include: ["/etc"] })).entries < 10);
  const wrong = await rejected(image.exportFile(some, { include: ["["] }));
  assert.equal(wrong.code, "invalid_pattern");
  await image.close();
});

test("a directory, without root", async () => {
  const image = await Image.open("sample:", on);
  const root = join(own("unpack"), "root");
  const report = await image.unpack(root, { rootless: true });
  assert.ok(report.entries > 30 && existsSync(join(root, "etc/os-release")));
  assert.equal(readFileSync(join(root, "etc/os-release"), "utf8"), await image.readFile("/etc/os-release", "utf8"));
  assert.equal((await rejected(image.unpack(root, { rootless: true }))).code, "already_exists");
  await image.close();
});

test("streams are Node's, begin when they are read, and wait for their reader", async () => {
  const path = join(folder, "large.tar");
  large(path, 256 << 20);
  const image = await Image.open(path, on);
  const stream = image.export();
  assert.ok(stream instanceof Readable);
  await sleep(50);
  assert.equal(stream.readableLength, 0);
  const before = process.memoryUsage().rss;
  let length = 0;
  let most = 0;
  for await (const chunk of stream) {
    assert.ok(chunk.length <= 1 << 20, `${chunk.length} bytes at once`);
    length += chunk.length;
    // A slow reader: the rest waits in native code, not in Node's memory.
    if (length < 4 << 20) await sleep(20);
    most = Math.max(most, process.memoryUsage().rss - before);
  }
  assert.ok(length > 256 << 20);
  // V8 frees what has gone by when it has gathered some 64 MiB of it.
  console.log(`# a stream of ${length >> 20} MiB: ${most >> 20} MiB of memory more, at most`);
  assert.ok(most < 160 << 20, `${most >> 20} MiB more`);
  const file = image.createReadStream("/data/0/0");
  assert.equal((await all(file)).length, 1 << 18);
  const stopped = image.export();
  stopped.on("data", () => stopped.destroy());
  await new Promise((resolve) => stopped.once("close", resolve));
  assert.equal((await rejected(all(image.createReadStream("/nothing")))).code, "path_not_found");
  await image.close();
});

test("a signal stops an export in the middle: no file under the name, nor beside it", async () => {
  const image = await Image.open(join(folder, "large.tar"), on);
  for (const name of ["root.tar", "root.tar.gz"]) {
    const dir = own("stopped");
    const stop = new AbortController();
    const began = performance.now();
    let asked = 0;
    const error = await rejected(
      image.exportFile(join(dir, name), {
        signal: stop.signal,
        onProgress: () => {
          asked ||= performance.now();
          stop.abort(new Error("enough"));
        },
      }),
    );
    assert.equal(error.code, "cancelled");
    assert.equal(error.name, "AbortError");
    assert.equal(error.cause.message, "enough");
    console.log(`# ${name}: seen ${(performance.now() - asked).toFixed(0)} ms after it was asked, ${(asked - began).toFixed(0)} ms in`);
    assert.deepEqual(readdirSync(dir), []);
  }
  const dir = own("stopped");
  const stop = new AbortController();
  const error = await rejected(image.unpack(join(dir, "root"), { rootless: true, signal: stop.signal, onProgress: () => stop.abort() }));
  assert.equal(error.code, "cancelled");
  assert.deepEqual(readdirSync(dir), []);
  const stream = image.export({ signal: AbortSignal.timeout(30) });
  const late = await rejected(
    (async () => {
      for await (const _ of stream) await sleep(5);
    })(),
  );
  assert.equal(late.code, "cancelled");
  await image.close();
});

test("a signal stops a pull in the middle of a blob; the next goes on", async () => {
  const options = { ...on, store: own("store") };
  const first = await Image.open(`${server.open}/slow-node:1`, options);
  const stop = new AbortController();
  const error = await rejected(first.pull({ signal: stop.signal, onProgress: ({ done }) => done > 400_000 && stop.abort() }));
  assert.equal(error.code, "cancelled");
  await first.close();
  const blobs = readdirSync(join(options.store, "blobs", "sha256"));
  for (const name of blobs) assert.equal(sha256(readFileSync(join(options.store, "blobs", "sha256", name))), name);
  const seen = [];
  const second = await Image.open(`${server.open}/good:1`, options);
  await second.pull({ onProgress: ({ done }) => seen.push(done) });
  assert.ok(seen[0] > 300_000, `it began at ${seen[0]}`);
  await second.close();
});

test("the store is the command line's", async () => {
  const image = await Image.open(`${server.open}/good:listed`, on);
  await image.pull();
  await image.close();
  const listed = execFileSync(command, ["store", "ls"], { encoding: "utf8" });
  assert.match(listed, /good:listed/);
  const offline = execFileSync(command, ["cat", "--offline", "--quiet", `${server.open}/good:listed`, "/etc/hello"], { encoding: "utf8" });
  assert.equal(offline, "hello\n");
});

test("two images of one process want one blob: it is fetched once", async () => {
  const options = { ...on, store: own("store") };
  const names = ["slow-twice:1", "slow-twice:2"];
  const images = await Promise.all(names.map((name) => Image.open(`${server.open}/${name}`, options)));
  await Promise.all(images.map((image) => image.pull()));
  for (const image of images) {
    assert.equal((await image.verified()).layers.filter(({ here }) => here).length, image.layers.length);
    await image.close();
  }
});

test("credentials of docker's file, where none are given", async () => {
  const error = await rejected(Image.open(`${server.open}/private:1`, on));
  assert.equal(error.code, "unauthorized");
  mkdirSync(process.env.DOCKER_CONFIG, { recursive: true });
  const auths = { [server.open]: { auth: Buffer.from("user:secret").toString("base64") } };
  writeFileSync(join(process.env.DOCKER_CONFIG, "config.json"), JSON.stringify({ auths }));
  const image = await Image.open(`${server.open}/private:1`, on);
  await image.close();
  assert.equal((await tags(`${server.open}/private`)).length, 25);
  // What is given is what is used.
  const given = { ...on, credentials: { username: "user", password: "guessed" } };
  assert.equal((await rejected(Image.open(`${server.open}/private:1`, given))).code, "unauthorized");
});

const FAULTS = {
  wrong: "digest_mismatch",
  short: ["size_mismatch", "connection_failed", "digest_mismatch", "protocol_violation"],
  dead: "connection_failed",
  missing: "not_found",
  limited: "rate_limited",
  denied: "denied",
  failing: "server_error",
};
for (const [fault, expected] of Object.entries(FAULTS)) {
  test(`a registry that is ${fault}, into the store: ${[expected].flat()[0]}`, async () => {
    const options = { ...on, store: own("store"), retries: 2 };
    const error = await rejected(
      (async () => {
        const image = await Image.open(`${server.open}/${fault}:1`, options);
        await image.pull().finally(() => image.close());
      })(),
    );
    assert.ok([expected].flat().includes(error.code), `${error.code}: ${error.message}`);
    assert.ok(error instanceof ERRORS[error.code] && error instanceof WharfieError);
    const blobs = join(options.store, "blobs", "sha256");
    for (const name of existsSync(blobs) ? readdirSync(blobs) : []) assert.equal(sha256(readFileSync(join(blobs, name))), name);
  });
}
for (const fault of ["cut", "rangeless", "once", "flaky", "token", "expiring", "redirect"]) {
  test(`a registry that is ${fault}, into the store: all the same`, async () => {
    const image = await Image.open(`${server.open}/${fault}-node:1`, { ...on, store: own("store"), retries: 5 });
    await image.pull();
    assert.equal(await image.readFile("/etc/hello", "utf8"), "hello\n");
    assert.equal(sha256(await image.readFile("/data/noise")).length, 64);
    await image.close();
  });
}

test("one file costs no more layers than it takes", async () => {
  const image = await Image.open(`${server.open}/good:1`, { ...on, store: own("store") });
  await image.readFile("/data/noise");
  const { layers } = await image.verified();
  assert.deepEqual(layers.map(({ here }) => here), [false, true]);
  await image.close();
});

test("archives come by a stream of Node's, and nothing is left of them", async () => {
  const before = readdirSync(tmpdir()).filter((name) => name.startsWith("wharfie-")).length;
  const archive = made().wrongDiffId;
  const image = await Image.open(Readable.from([archive.subarray(0, 1000), archive.subarray(1000)]), on);
  const error = await rejected(all(image.export()));
  assert.equal(error.code, "diff_id_mismatch");
  const to = join(own("broken"), "root.tar");
  assert.equal((await rejected(image.exportFile(to))).code, "diff_id_mismatch");
  assert.ok(!existsSync(to));
  await image.close();
  assert.equal(readdirSync(tmpdir()).filter((name) => name.startsWith("wharfie-")).length, before);
});

test("the event loop goes on while a root is exported", async () => {
  const image = await Image.open(join(folder, "large.tar"), on);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  for (const [what, work] of [
    ["a tar to a file", () => image.exportFile(join(own("delay"), "root.tar"))],
    ["a tar as a stream", () => pipeline(image.export(), createWriteStream(join(own("delay"), "root.tar")))],
    ["a tree", () => image.tree()],
  ]) {
    delay.reset();
    delay.enable();
    const began = performance.now();
    await work();
    delay.disable();
    const milliseconds = (nanoseconds) => (nanoseconds / 1e6).toFixed(1);
    console.log(`# ${what}: ${(performance.now() - began).toFixed(0)} ms, the event loop late by ${milliseconds(delay.max)} ms at most, ${milliseconds(delay.percentile(99))} ms in 99 of 100`);
    // The bench says what it is on an idle machine; here it must only not be the whole export.
    assert.ok(delay.max < 500e6, `${delay.max / 1e6} ms`);
  }
  await image.close();
});

test("npx wharfie is the command line: output, status, input, Ctrl-C", async () => {
  assert.match(execFileSync(command, ["--version"], { encoding: "utf8" }), /^wharfie \d/);
  assert.equal(execFileSync(command, ["cat", "sample:", "/etc/motd", "--quiet"], { encoding: "utf8" }).length, 15);
  const run = (words, options = {}) =>
    new Promise((resolve) => {
      const child = spawn(command, words, { stdio: ["pipe", "pipe", "pipe"], ...options });
      const told = { out: 0, err: "" };
      child.stdout.on("data", (chunk) => (told.out += chunk.length));
      child.stderr.on("data", (chunk) => (told.err += chunk));
      child.on("close", (status, signal) => resolve({ status, signal, ...told }));
      options.with?.(child);
    });
  const absent = await run(["inspect", "./nothing.tar"]);
  assert.equal(absent.status, 1);
  assert.match(absent.err, /not found/);
  assert.equal((await run(["inspect"])).status, 2);
  const piped = await run(["export", "sample:", "--platform", "linux/amd64", "-o", "-", "--quiet"]);
  assert.deepEqual([piped.status, piped.out], [0, 124928]);
  const archive = readFileSync(join(installed, "sample.tar"));
  const input = await run(["ls", "oci-archive:-", "--quiet"], { with: (child) => child.stdin.end(archive) });
  assert.deepEqual([input.status, input.err], [0, ""]);
  // More than a pipe holds, for who reads late and from who writes late.
  const shell = (words) => execFileSync("sh", ["-c", words], { encoding: "utf8" }).trim();
  assert.equal(shell(`${command} export sample: --platform linux/amd64 -o - --quiet | (sleep 1; wc -c)`), "124928");
  assert.match(shell(`(sleep 1; cat ${join(installed, "sample.tar")}) | ${command} ls oci-archive:- --quiet`), /etc/);
  const dir = own("interrupted");
  const interrupted = await run(["export", `${server.open}/slow-interrupted:1`, "-o", join(dir, "root.tar")], {
    env: { ...process.env, WHARFIE_STORE: own("store") },
    with: (child) => setTimeout(() => child.kill("SIGINT"), 1500),
  });
  assert.equal(interrupted.status, 130, interrupted.err);
  assert.deepEqual(readdirSync(dir), []);
});

test("a proxy's dispatcher, and a fetch of one's own", async () => {
  const { Agent, fetch: undici } = await import("undici");
  const dispatcher = new Agent();
  let asked = 0;
  const image = await Image.open(`${server.open}/good:1`, {
    ...on,
    dispatcher,
    fetch: (url, init) => {
      asked += init.dispatcher === dispatcher ? 1 : 0;
      return undici(url, init);
    },
  });
  assert.ok(asked > 0);
  await image.close();
  await dispatcher.close();
});
