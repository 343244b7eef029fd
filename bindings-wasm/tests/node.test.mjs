// The cases in Node, on the package that is installed where WHARFIE_JS says: an installed one, not the source tree. `load` is how
// a case gets at core itself.

import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { pathToFileURL } from "node:url";

import { parse } from "smol-toml";

import { cases } from "./cases/index.mjs";
import { made } from "./made.mjs";
import { start } from "./server.mjs";
import { stacks } from "./stacks.mjs";
import { testdata, world } from "./world.mjs";

const installed = process.env.WHARFIE_JS ?? join(testdata, "..", "bindings-wasm");
const name = process.env.WHARFIE_JS_NAME ?? "wharfie-wasm";
const resolved = createRequire(join(installed, "nothing.js"));
const packaged = process.env.WHARFIE_JS ? join(installed, "node_modules", name) : installed;
const manifest = JSON.parse(readFileSync(join(packaged, "package.json"), "utf8"));
const entry = manifest.exports["."].node ?? manifest.exports["."];
const wharfie =
  process.env.WHARFIE_JS_MODULE === "cjs"
    ? resolved(name)
    : await import(pathToFileURL(join(packaged, entry.import.default ?? entry.import)).href);

const server = await start();
const { folder, golden, registry, locked, skipped, close } = await world();
for (const why of skipped) console.log(`SKIPPED ${why}`);
after(() => {
  close();
  server.close();
});

const host = {
  wharfie,
  backend: await wharfie.load(),
  server,
  golden,
  registry,
  locked,
  testdata,
  made: made(),
  stacks: async () => {
    const { made, others } = stacks();
    if (others > 0) console.log(`SKIPPED ${others} stacks: zstd is not installed, or patterns that are no UTF-8`);
    return made.map(({ archive, ...one }) => ({ ...one, archive: async () => archive }));
  },
  bytes: async (path) => new Uint8Array(readFileSync(join(testdata, path))),
  corpus: async (path) => parse(readFileSync(join(testdata, path), "utf8"), { integersAsBigInt: false }),
};

for (const { name: title, run, on, seconds } of cases) {
  if (on && !on.includes("node")) continue;
  const needs = /command line|debian's registry/.test(title) && !golden.sample;
  test(title, { timeout: seconds * 1000 * 4, skip: needs && "no command line to compare with" }, () =>
    run({ ...host, folder: mkdtempSync(join(folder, "case-")) }),
  );
}
