// The packages as people install them: ES modules, CommonJS, TypeScript, the README, every example, and without native code.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { start } from "../../bindings-wasm/tests/server.mjs";
import { installed } from "./installed.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const home = mkdtempSync(join(tmpdir(), "wharfie-package-"));
const env = { ...process.env, WHARFIE_STORE: join(home, "store"), HOME: home, DOCKER_CONFIG: home };
after(() => rmSync(home, { recursive: true, force: true }));

function node(words, more = {}) {
  return execFileSync(process.execPath, words, { cwd: installed, encoding: "utf8", env: { ...env, ...more } });
}

test("ES modules and CommonJS have the same names", () => {
  const names = (text) => JSON.parse(text).sort();
  const esm = names(node(["--input-type=module", "-e", 'import * as w from "wharfie"; console.log(JSON.stringify(Object.keys(w)))']));
  const cjs = names(node(["-e", 'console.log(JSON.stringify(Object.keys(require("wharfie"))))']));
  assert.deepEqual(cjs.filter((name) => name !== "__esModule" && name !== "default"), esm.filter((name) => name !== "default"));
  for (const name of ["Image", "WharfieError", "tags", "NotFoundError", "backend"]) assert.ok(esm.includes(name), name);
});

test("nothing runs when it is installed, and there is a package for each platform", () => {
  const read = (name) => JSON.parse(readFileSync(join(installed, "node_modules", name, "package.json"), "utf8"));
  for (const name of readdirSync(join(installed, "node_modules")).filter((one) => one.startsWith("wharfie"))) {
    assert.equal(read(name).scripts, undefined, name);
  }
  const { optionalDependencies, dependencies, version } = read("wharfie");
  assert.deepEqual(dependencies, { "wharfie-wasm": version });
  assert.ok(Object.keys(optionalDependencies).length >= 6 && optionalDependencies["wharfie-linux-x64-gnu"] === version);
});

const CONSUMER = `import { backend, ERRORS, type ExportReport, Image, NotFoundError, type Progress, tags, WharfieError } from "wharfie";
import type { Readable } from "node:stream";

const options = { platform: "linux/amd64", onProgress: (progress: Progress): void => void progress.done };
const image = await Image.open("sample:", options);
for await (const file of image.files("/etc/**")) console.log(file.path.length, file.size + 1, file.type === "file");
const text: string = await image.readFile("/etc/os-release", "utf8");
const bytes: Uint8Array = await image.readFile("/etc/os-release");
const stream: Readable = image.createReadStream("/etc/os-release");
const root: Readable = image.export({ format: "tar.zst", signal: new AbortController().signal });
const web: ReadableStream<Uint8Array> = image.exportWeb();
const report: ExportReport | undefined = await image.exportFile("/dev/null", { format: "tar" });
const layer: ReadableStream<Uint8Array> | undefined = await image.layers[0]?.open();
try {
  await Image.open("./nothing.tar");
} catch (error) {
  if (error instanceof NotFoundError) console.log(error.code, error.hint?.length, error.facts["what"]);
  else if (error instanceof WharfieError) throw error;
}
const names: Promise<string[]> | undefined = text === "" ? tags("alpine", { credentials: { username: "a", password: "b" } }) : undefined;
export function refused(): void {
  // @ts-expect-error there is no such format
  image.export({ format: "zip" });
  // @ts-expect-error it is for nobody to make one
  new Image({});
}
console.log(text.length, bytes.length, backend().name, Object.keys(ERRORS).length, names, typeof report, web.locked, layer?.locked);
stream.destroy();
root.destroy();
await image.close();
`;

test("strict TypeScript takes it, from a project of its own, in both kinds of modules", () => {
  const tsc = join(here, "..", "node_modules", ".bin", "tsc");
  for (const [name, type, module] of [["consumer.mts", "module", "nodenext"], ["consumer.ts", "module", "bundler"]]) {
    writeFileSync(join(installed, name), CONSUMER);
    writeFileSync(
      join(installed, "tsconfig.json"),
      JSON.stringify({
        compilerOptions: {
          target: "es2022", module: module === "bundler" ? "esnext" : module, moduleResolution: module, strict: true, noUncheckedIndexedAccess: true,
          exactOptionalPropertyTypes: true, noPropertyAccessFromIndexSignature: true, skipLibCheck: false, outDir: "consumer",
          lib: ["es2022", "dom", "dom.iterable", "dom.asynciterable", "esnext.disposable"], types: ["node"], typeRoots: [join(here, "..", "node_modules", "@types")],
        },
        files: [name],
      }),
    );
    execFileSync(tsc, ["-p", installed], { stdio: "inherit" });
    assert.ok(type);
  }
  assert.match(node(["consumer/consumer.mjs"]), /native/);
  writeFileSync(join(installed, "consumer.cts"), 'import { Image } from "wharfie";\nvoid Image.open("sample:").then((image) => image.close());\n');
  writeFileSync(join(installed, "tsconfig.json"), readFileSync(join(installed, "tsconfig.json"), "utf8").replace("consumer.ts", "consumer.cts").replace("esnext", "nodenext").replace('"bundler"', '"nodenext"'));
  execFileSync(tsc, ["-p", installed], { stdio: "inherit" });
  node(["consumer/consumer.cjs"]);
});

/** Examples name images of the world; here they get the sample's archive and a registry of ours. */
function local(code, server) {
  return code
    .replaceAll('"alpine"', '"sample:"')
    .replaceAll("docker-archive:image.tar.gz", "oci-archive:sample.tar")
    .replaceAll("image.tar.gz", "sample.tar")
    .replaceAll('"ghcr.io/nobody/nothing"', `"${server.open}/absent:1"`)
    .replaceAll('"docker.io/library/alpine"', `"${server.open}/good"`);
}

function examples(text) {
  return [...text.matchAll(/```(?:ts|js)\n([\s\S]*?)```/g)].map(([, code]) => code.replace(/^ *\* ?/gm, ""));
}

test("the README's lines, and every example, run when they are pasted", async () => {
  const server = await start();
  const types = join(installed, "node_modules", "wharfie", "dist", "types");
  const readme = examples(readFileSync(join(installed, "node_modules", "wharfie", "README.md"), "utf8"));
  const documented = readdirSync(types).flatMap((name) => examples(readFileSync(join(types, name), "utf8")));
  assert.ok(readme.length > 1 && documented.length > 6, `${readme.length} and ${documented.length} examples`);
  const { execFile } = await import("node:child_process");
  const { promisify } = await import("node:util");
  const dir = mkdtempSync(join(installed, "examples-"));
  const { cpSync } = await import("node:fs");
  cpSync(join(installed, "sample.tar"), join(dir, "sample.tar"));
  for (const [at, code] of [...readme, ...documented].entries()) {
    const file = join(dir, `example-${at}.mjs`);
    writeFileSync(file, local(code.replaceAll("]!", "]"), server));
    await promisify(execFile)(process.execPath, [file], { cwd: dir, env }).catch((error) => {
      throw new Error(`${code}\n${error.stderr}`);
    });
    for (const name of readdirSync(dir)) if (!/^example|^sample/.test(name)) rmSync(join(dir, name), { recursive: true });
  }
  server.close();
});

test("WHARFIE_BACKEND says which core", () => {
  const ask = ["-e", 'console.log(require("wharfie").backend().name)'];
  assert.equal(node(ask, { WHARFIE_BACKEND: "wasm" }).trim(), "wasm");
  assert.equal(node(ask, { WHARFIE_BACKEND: "native" }).trim(), "native");
  assert.throws(() => node(ask, { WHARFIE_BACKEND: "other", NODE_NO_WARNINGS: "1" }));
});

test("without the native package: the other core, and it says why", () => {
  const bare = process.env.WHARFIE_BARE;
  assert.ok(bare, "WHARFIE_BARE names no folder");
  const script = `const { backend, Image } = require("wharfie");
    (async () => {
      const image = await Image.open("oci-archive:sample.tar", { platform: "linux/amd64" });
      const report = await image.exportFile("bare.tar.gz");
      const why = await image.unpack("root").catch((error) => error.message);
      console.log(JSON.stringify([backend(), await image.readFile("/etc/motd", "utf8"), report ?? null, why]));
      await image.close();
    })();`;
  const told = execFileSync(process.execPath, ["-e", script], { cwd: bare, encoding: "utf8", env });
  const [{ name, reason }, motd, report, why] = JSON.parse(told);
  assert.equal(name, "wasm");
  assert.match(reason, /wharfie-linux-x64-gnu/);
  assert.equal(motd.length, 15);
  assert.equal(report, null);
  assert.match(why, /native package/);
  const command = join(bare, "node_modules", ".bin", "wharfie");
  assert.throws(() => execFileSync(command, ["--version"], { stdio: "pipe" }), /native package/);
});
