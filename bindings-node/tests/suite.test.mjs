// The cases that all of JavaScript shares (bindings-wasm/tests), on the package that is installed where WHARFIE_INSTALLED says.
// WHARFIE_MODULE=cjs requires it, WHARFIE_BACKEND=wasm has the other core do it.

import { mkdtempSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, test } from "node:test";

import { parse } from "smol-toml";

import { cases } from "../../bindings-wasm/tests/cases/index.mjs";
import { made } from "../../bindings-wasm/tests/made.mjs";
import { start } from "../../bindings-wasm/tests/server.mjs";
import { stacks } from "../../bindings-wasm/tests/stacks.mjs";
import { testdata, world } from "../../bindings-wasm/tests/world.mjs";
import { imported, installed } from "./installed.mjs";

const packaged = process.env.WHARFIE_MODULE === "cjs" ? createRequire(join(installed, "test.cjs"))("wharfie") : await imported();
const { folder, golden, registry, locked, skipped, close } = await world();
for (const why of skipped) console.log(`SKIPPED ${why}`);
// Nothing of the user's own is read or written.
Object.assign(process.env, { WHARFIE_STORE: join(folder, "own-store"), HOME: folder, XDG_RUNTIME_DIR: folder, DOCKER_CONFIG: folder });
const server = await start();
after(() => {
  close();
  server.close();
});

/** The cases stand on what all hosts have: streams of the web's. */
class Image extends packaged.Image {
  createReadStream(path, options) {
    return Readable.toWeb(super.createReadStream(path, options));
  }
  export(options) {
    return this.exportWeb(options);
  }
}

const host = {
  wharfie: { ...packaged, Image },
  backend: await packaged.load(),
  server,
  golden,
  registry,
  locked,
  testdata,
  made: made(),
  stacks: async () => {
    const { made: piles, others } = stacks();
    if (others > 0) console.log(`SKIPPED ${others} stacks: zstd is not installed, or patterns that are no UTF-8`);
    return piles.map(({ archive, ...one }) => ({ ...one, archive: async () => archive }));
  },
  bytes: async (path) => new Uint8Array(readFileSync(join(testdata, path))),
  corpus: async (path) => parse(readFileSync(join(testdata, path), "utf8"), { integersAsBigInt: false }),
};

test(`the core is ${process.env.WHARFIE_EXPECTED ?? "native"}`, () => {
  const { name, reason } = packaged.backend();
  if (name !== (process.env.WHARFIE_EXPECTED ?? "native")) throw new Error(`${name}: ${reason}`);
});

for (const { name: title, run, on, seconds } of cases) {
  if (on && !on.includes("node")) continue;
  const needs = /command line|debian's registry/.test(title) && !golden.sample;
  test(title, { timeout: seconds * 1000 * 4, skip: needs && "no command line to compare with" }, () =>
    run({ ...host, folder: mkdtempSync(join(folder, "case-")) }),
  );
}
