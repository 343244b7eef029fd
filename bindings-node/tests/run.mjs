// Packs the packages, installs them in clean folders, and runs every test on what is installed: `npm test`.
//
// WHARFIE_TARBALLS names a folder with tarballs that were packed before.

import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "wharfie-installed-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

let tarballs = process.env.WHARFIE_TARBALLS;
if (!tarballs) {
  tarballs = join(folder, "tarballs");
  const words = [join(here, "..", "build.mjs"), "--pack", tarballs, "--profile", process.env.WHARFIE_PROFILE ?? "dev"];
  execFileSync(process.execPath, words, { stdio: "inherit" });
}

/** A clean folder with these packages in it. */
function install(name, wanted) {
  const where = join(folder, name);
  mkdirSync(where);
  writeFileSync(join(where, "package.json"), '{"private":true}\n');
  const files = readdirSync(tarballs).filter((file) => file.endsWith(".tgz") && wanted(file)).map((file) => join(tarballs, file));
  // Those of other platforms are on no registry yet: npm takes it that optional ones cannot be had.
  execFileSync("npm", ["install", "--no-audit", "--no-fund", "--offline", "--loglevel", "error", ...files], { cwd: where, stdio: "inherit" });
  cpSync(join(here, "../../testdata/sample/sample.oci.tar"), join(where, "sample.tar"));
  return where;
}

const full = install("full", () => true);
const bare = install("bare", (file) => !/-(gnu|musl|darwin)/.test(file));
const runs = [
  ["every case of JavaScript, ES modules", "suite.test.mjs", { WHARFIE_INSTALLED: full }],
  ["every case of JavaScript, CommonJS", "suite.test.mjs", { WHARFIE_INSTALLED: full, WHARFIE_MODULE: "cjs" }],
  ["every case of JavaScript, without the native package", "suite.test.mjs", { WHARFIE_INSTALLED: bare, WHARFIE_EXPECTED: "wasm" }],
  ["what only Node has", "node.test.mjs", { WHARFIE_INSTALLED: full }],
  ["the packages", "package.test.mjs", { WHARFIE_INSTALLED: full, WHARFIE_BARE: bare }],
];
// The command line is in the package: it says what tars have to be.
const command = { WHARFIE_BIN: process.env.WHARFIE_BIN ?? join(full, "node_modules", ".bin", "wharfie") };
let failed = false;
for (const [title, file, env] of runs) {
  console.log(`\n# ${title}`);
  const words = ["--test", "--test-reporter", process.env.WHARFIE_REPORTER ?? "spec", join(here, file)];
  const { status } = spawnSync(process.execPath, words, { stdio: "inherit", env: { ...process.env, ...command, ...env } });
  failed ||= status !== 0;
}
process.exitCode = failed ? 1 : 0;
