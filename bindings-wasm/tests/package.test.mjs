// The package as its users get it: packed, installed in a clean folder, imported by ES modules, by `require`, by TypeScript under the
// strictest settings, and without a bundler by a page (the browser suite). WHARFIE_JS: the folder that it is installed in.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import assert from "node:assert/strict";

import { testdata } from "./world.mjs";

const installed = process.env.WHARFIE_JS;
const name = process.env.WHARFIE_JS_NAME ?? "wharfie-wasm";
const sample = join(testdata, "sample/sample.oci.tar");
const skip = !installed && "WHARFIE_JS is not set";

const use = (how) => `
const { Image, WharfieError, NotFoundError } = ${how};
(async () => {
  const image = await Image.open(process.argv[2], { platform: "linux/amd64" });
  let bytes = 0;
  for await (const chunk of image.export()) bytes += chunk.length;
  const files = [];
  for await (const file of image.files("/etc/**")) files.push(file.path);
  const error = await image.readFile("/none").catch((error) => error);
  console.log(JSON.stringify({ layers: image.layers.length, bytes, files: files.length, code: error.code, is: error instanceof WharfieError }));
  await image.close();
})();
`;

function run(file, text) {
  writeFileSync(join(installed, file), text);
  const said = JSON.parse(execFileSync(process.execPath, [file, sample], { cwd: installed, encoding: "utf8" }));
  assert.ok(said.layers > 0 && said.bytes > 0 && said.files > 0, JSON.stringify(said));
  assert.deepEqual([said.code, said.is], ["path_not_found", true]);
}

test("ES modules", { skip }, () => run("esm.mjs", use(`await import("${name}")`)));

test("CommonJS", { skip }, () => run("cjs.cjs", use(`require("${name}")`)));

const source = `
import { createWriteStream } from "node:fs";
import { type FileEntry, Image, NotFoundError, type OpenOptions, tags, WharfieError, type ErrorCode, MemoryBlobs } from "${name}";

export async function all(reference: string, signal: AbortSignal): Promise<string[]> {
  const options: OpenOptions = { platform: "linux/arm64", signal, credentials: ({ registry }) => ({ username: registry, password: "p" }), store: new MemoryBlobs() };
  const image = await Image.open(reference, options);
  const paths: string[] = [];
  for await (const file of image.files("/etc/**")) paths.push((file satisfies FileEntry).path);
  const text: string = await image.readFile("/etc/os-release", "utf8");
  const bytes: Uint8Array = await image.readFile("/etc/os-release");
  const tree = await image.tree();
  const names: string[] = tree.children("/").map((entry) => entry.name);
  const sizes: number[] = image.layers.map((layer) => layer.size);
  const stream: ReadableStream<Uint8Array> = image.export({ format: "tar.gz" });
  await stream.cancel();
  await image.close();
  void createWriteStream;
  return [...paths, ...names, text, String(bytes.length), String(sizes), ...(await tags("alpine"))];
}

export function code(error: unknown): ErrorCode | undefined {
  if (error instanceof NotFoundError) return "not_found";
  // @ts-expect-error There is no such option.
  void Image.open("a", { plattform: "linux/amd64" });
  return error instanceof WharfieError ? (error.code as ErrorCode) : undefined;
}
`;

for (const [kind, module, file] of [["an ES module", "nodenext", "esm.mts"], ["CommonJS", "nodenext", "cjs.cts"], ["a bundler's input", "bundler", "bundled.ts"]]) {
  test(`strict TypeScript, as ${kind}`, { skip }, () => {
    writeFileSync(join(installed, file), source);
    const config = {
      compilerOptions: {
        ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true, noEmit: true, skipLibCheck: false },
        ...(module === "bundler" ? { module: "esnext", moduleResolution: "bundler" } : { module, moduleResolution: module }),
        ...{ target: "es2022", lib: ["es2022", "dom", "dom.iterable", "dom.asynciterable", "esnext.disposable"], types: ["node"], typeRoots: [join(testdata, "../bindings-wasm/node_modules/@types")] },
      },
      files: [file],
    };
    writeFileSync(join(installed, `tsconfig.${file}.json`), JSON.stringify(config));
    const tsc = join(testdata, "../bindings-wasm/node_modules/.bin/tsc");
    try {
      execFileSync(tsc, ["-p", `tsconfig.${file}.json`], { cwd: installed, encoding: "utf8" });
    } catch (error) {
      assert.fail(error.stdout);
    }
  });
}

test("there is no script that runs at install, and everything that is exported is there", { skip }, () => {
  const manifest = JSON.parse(readFileSync(join(installed, "node_modules", name, "package.json"), "utf8"));
  assert.equal(manifest.scripts?.postinstall ?? manifest.scripts?.install, undefined);
  const paths = JSON.stringify(manifest.exports).match(/\.\/[^"]*\.(?:js|d\.ts|wasm|json|node)/g);
  for (const path of new Set(paths)) assert.ok(readFileSync(join(installed, "node_modules", name, path)).length > 0, path);
});
