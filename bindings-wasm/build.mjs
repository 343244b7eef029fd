// Builds the package: `node build.mjs [--debug]`, called by `cargo xtask build-wasm`. What it needs is in package.json.
//
// WHARFIE_WASM: the module that cargo made; WHARFIE_BINDGEN: the generator (xtask/bindgen). Both are built if they are not named.

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
const dist = join(here, "dist");
const cargo = process.env.CARGO ?? "cargo";
const bin = (name) => join(here, "node_modules", ".bin", name);

function run(program, words, options = {}) {
  execFileSync(program, words, { cwd: root, stdio: "inherit", ...options });
}

/** Panics say where they are: not by the paths of whoever builds, which are long, and nobody's business. */
function flags() {
  const crates = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const sysroot = execFileSync(process.env.RUSTC ?? "rustc", ["--print", "sysroot"], { cwd: root, encoding: "utf8" }).trim();
  const library = join(sysroot, "lib", "rustlib", "src", "rust");
  const renamed = [crates, library].map((path) => `--remap-path-prefix=${path}=`);
  return ["-C", "target-feature=+simd128", ...renamed];
}

function module() {
  if (process.env.WHARFIE_WASM) return process.env.WHARFIE_WASM;
  run(cargo, ["build", "-p", "wharfie-wasm", "--target", "wasm32-unknown-unknown", "--profile", "wasm"], {
    env: { ...process.env, CARGO_TARGET_DIR: target, CARGO_ENCODED_RUSTFLAGS: flags().join("\x1f") },
  });
  return join(target, "wasm32-unknown-unknown/wasm/wharfie_wasm.wasm");
}

function bindgen() {
  if (process.env.WHARFIE_BINDGEN) return process.env.WHARFIE_BINDGEN;
  const own = join(target, "bindgen");
  run(cargo, ["build", "--quiet", "--manifest-path", "xtask/bindgen/Cargo.toml"], {
    env: { ...process.env, CARGO_TARGET_DIR: own },
  });
  return join(own, "debug", process.platform === "win32" ? "bindgen.exe" : "bindgen");
}

/**
 * The generated module keeps its one instance in variables of its own. A panic ends an instance, so that there must be
 * others: all of it becomes the body of a function that makes one.
 */
function factory(generated) {
  const names = [...generated.matchAll(/^export (?:class|function) (\w+)/gm)].map(([, name]) => name);
  const begin = generated.indexOf("async function __wbg_load");
  const end = generated.lastIndexOf("export {");
  const init = generated.indexOf("function initSync", begin);
  const after = generated.indexOf("async function __wbg_init", init);
  if ([begin, end, init, after].some((at) => at < 0)) throw new Error("wasm-bindgen writes other glue now");
  const body = (generated.slice(0, begin) + generated.slice(init, after)).replace(/^export (class|function)/gm, "$1");
  return `// Made by build.mjs of what wasm-bindgen made.
export function instantiate(module) {
${body}
initSync({ module });
const kill = () => { wasm = new Proxy({}, { get: () => () => undefined }); };
return { ${names.join(", ")}, kill };
}
`;
}

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, "cjs"), { recursive: true });

const made = join(target, "wasm-glue");
rmSync(made, { recursive: true, force: true });
run(bindgen(), [module(), "wharfie", made]);
writeFileSync(join(here, "driver", "glue.js"), factory(readFileSync(join(made, "wharfie.js"), "utf8")));
const wasm = join(dist, "wharfie.wasm");
if (process.argv.includes("--debug")) cpSync(join(made, "wharfie_bg.wasm"), wasm);
else {
  // Functions that are called once are worth a place of their own to gzip: inlined they are far from what they resemble.
  const levels = process.env.WHARFIE_WASM_OPT?.split(" ") ?? ["-Os", "--converge", "--one-caller-inline-max-function-size", "10"];
  const features = ["--enable-simd", "--enable-bulk-memory", "--enable-nontrapping-float-to-int"];
  const more = ["--enable-sign-ext", "--enable-mutable-globals", "--enable-reference-types", "--enable-multivalue"];
  run(bin("wasm-opt"), [...levels, ...features, ...more, join(made, "wharfie_bg.wasm"), "-o", wasm]);
}

// Names stay: classes of errors are known by them.
const common = { bundle: true, minifyWhitespace: true, minifySyntax: true, target: "es2022", keepNames: false, legalComments: "none", logLevel: "warning" };
const entry = (name) => join(here, "driver", `${name}.ts`);
await esbuild.build({ ...common, entryPoints: [entry("node")], outfile: join(dist, "node.js"), format: "esm", platform: "node" });
await esbuild.build({
  ...common,
  entryPoints: [entry("node")],
  outfile: join(dist, "cjs", "node.js"),
  format: "cjs",
  platform: "node",
  define: { "import.meta.url": "importMetaUrl" },
  banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(require("node:path").join(__dirname, "..", "node.js")).href;' },
});
// What a page and its worker share is fetched once.
await esbuild.build({
  ...common,
  entryPoints: [entry("web"), entry("worker")],
  outdir: dist,
  chunkNames: "shared",
  splitting: true,
  format: "esm",
  platform: "browser",
});

run(bin("tsc"), ["-p", join(here, "driver")]);
rmSync(join(dist, "types", "worker.d.ts"), { force: true });
cpSync(join(dist, "types"), join(dist, "cjs", "types"), { recursive: true });
writeFileSync(join(dist, "cjs", "package.json"), '{"type":"commonjs"}\n');
cpSync(join(here, "driver", "glue.d.ts"), join(dist, "types", "glue.d.ts"));
cpSync(join(here, "driver", "glue.d.ts"), join(dist, "cjs", "types", "glue.d.ts"));

const shared = readdirSync(dist).filter((name) => name.startsWith("shared"));
for (const name of ["wharfie.wasm", "node.js", "cjs/node.js", "web.js", "worker.js", ...shared]) {
  const path = join(dist, name);
  if (!existsSync(path)) throw new Error(`${name} was not built`);
  const bytes = readFileSync(path);
  console.log(`${name.padEnd(18)} ${String(bytes.length).padStart(8)} bytes, ${String(gzipSync(bytes, { level: 9 }).length).padStart(7)} gzip`);
}
