// Builds what is published, under `npm/`: `wharfie`, and a package with native code for each platform that was built.
//
//   node build.mjs [--profile NAME] [--target TRIPLE] [--pack DIR]
//
// Without a target it is this machine's own. WHARFIE_NODE names a library that cargo made already. `--pack` leaves the
// tarballs in a folder, wharfie-wasm's among them, which has to be built (bindings-wasm/build.mjs).

import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import * as esbuild from "esbuild";

import { platforms } from "./platforms.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..");
const out = join(here, "npm");
const cargoTarget = process.env.CARGO_TARGET_DIR ?? join(root, "target");

function option(name) {
  const at = process.argv.indexOf(name);
  return at < 0 ? undefined : process.argv[at + 1];
}

function run(program, words, options = {}) {
  return execFileSync(program, words, { cwd: root, stdio: "inherit", ...options });
}

const profile = option("--profile") ?? "release";
const target = option("--target");
const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const common = {
  version,
  license: "MIT OR Apache-2.0",
  repository: { type: "git", url: "git+https://github.com/wharfie/wharfie.git", directory: "bindings-node" },
  engines: { node: ">=20" },
};

function write(folder, facts) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), `${JSON.stringify(facts, null, 2)}\n`);
  for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) copyFileSync(join(root, license), join(folder, license));
}

function own() {
  const musl = process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
  const libc = process.platform === "linux" ? (musl ? "musl" : "glibc") : undefined;
  return platforms.find(({ os, cpu, libc: of }) => os === process.platform && cpu === process.arch && of === libc);
}

/** The package with native code. */
function native() {
  const platform = target ? platforms.find((one) => one.target === target) : own();
  if (!platform) throw new Error("there is no package for this platform");
  let library = process.env.WHARFIE_NODE;
  if (!library) {
    const words = ["build", "-p", "wharfie-node", "--profile", profile];
    if (target) words.push("--target", target);
    run(process.env.CARGO ?? "cargo", words, { env: { ...process.env, CARGO_TARGET_DIR: cargoTarget } });
    library = join(cargoTarget, target ?? "", profile === "dev" ? "debug" : profile, platform.file);
  }
  const name = `wharfie-${platform.name}`;
  const folder = join(out, name);
  const file = `wharfie.${platform.name}.node`;
  rmSync(folder, { recursive: true, force: true });
  write(folder, {
    name,
    description: `The native part of wharfie for ${platform.name}`,
    ...common,
    os: [platform.os],
    cpu: [platform.cpu],
    ...(platform.libc ? { libc: [platform.libc] } : {}),
    main: file,
    files: [file],
  });
  writeFileSync(join(folder, "README.md"), `# ${name}\n\nThe native part of [wharfie](https://www.npmjs.com/package/wharfie) for ${platform.name}. Install that.\n`);
  copyFileSync(library, join(folder, file));
  return folder;
}

/** The package that people install. */
async function main() {
  const folder = join(out, "wharfie");
  const dist = join(folder, "dist");
  rmSync(folder, { recursive: true, force: true });
  write(folder, {
    name: "wharfie",
    description: "Container images without a container engine: pull, verify, look into, flatten and unpack OCI and Docker images",
    keywords: ["oci", "docker", "container", "image", "registry", "rootfs"],
    ...common,
    type: "module",
    sideEffects: false,
    files: ["dist"],
    bin: { wharfie: "dist/command.js" },
    main: "./dist/cjs/index.js",
    module: "./dist/index.js",
    types: "./dist/types/index.d.ts",
    exports: {
      ".": {
        import: { types: "./dist/types/index.d.ts", default: "./dist/index.js" },
        require: { types: "./dist/cjs/types/index.d.ts", default: "./dist/cjs/index.js" },
      },
      "./package.json": "./package.json",
    },
    dependencies: { "wharfie-wasm": version },
    optionalDependencies: Object.fromEntries(platforms.map(({ name }) => [`wharfie-${name}`, version])),
  });
  copyFileSync(join(here, "README.md"), join(folder, "README.md"));
  const entry = (name) => join(here, "driver", `${name}.ts`);
  const options = { bundle: true, target: "es2022", legalComments: "none", logLevel: "warning", platform: "node", external: ["wharfie-wasm"] };
  for (const name of ["index", "command"]) {
    await esbuild.build({ ...options, entryPoints: [entry(name)], outfile: join(dist, `${name}.js`), format: "esm" });
  }
  await esbuild.build({
    ...options,
    entryPoints: [entry("index")],
    outfile: join(dist, "cjs", "index.js"),
    format: "cjs",
    define: { "import.meta.url": "importMetaUrl" },
    banner: { js: 'const importMetaUrl = require("node:url").pathToFileURL(__filename).href;' },
  });
  const types = join(dist, "types");
  run(join(here, "node_modules", ".bin", "tsc"), [
    "-p", join(here, "driver"), "--noEmit", "false", "--emitDeclarationOnly", "--rootDir", root, "--outDir", join(out, "types"),
  ]);
  // What nobody can name is not for them.
  for (const name of ["index", "image", "options"]) {
    mkdirSync(types, { recursive: true });
    copyFileSync(join(out, "types", "bindings-node", "driver", `${name}.d.ts`), join(types, `${name}.d.ts`));
  }
  rmSync(join(out, "types"), { recursive: true });
  cpSync(types, join(dist, "cjs", "types"), { recursive: true });
  writeFileSync(join(dist, "cjs", "package.json"), '{"type":"commonjs"}\n');
  return folder;
}

const folders = [await main(), native()];
const tarballs = option("--pack");
if (tarballs) {
  mkdirSync(tarballs, { recursive: true });
  const wasm = join(root, "bindings-wasm");
  if (!existsSync(join(wasm, "dist", "wharfie.wasm"))) throw new Error("bindings-wasm is not built");
  for (const folder of [wasm, ...folders]) {
    run("npm", ["pack", "--silent", "--pack-destination", resolve(tarballs)], { cwd: folder });
  }
}
