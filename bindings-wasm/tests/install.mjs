// Packs a package and installs it in a clean folder: `node install.mjs PACKAGE FOLDER`, PACKAGE being the folder that has its package.json.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const [from, to] = process.argv.slice(2).map((path) => resolve(path));
rmSync(to, { recursive: true, force: true });
mkdirSync(to, { recursive: true });
const npm = (words, cwd) => execFileSync("npm", words, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
const [{ filename, size, unpackedSize }] = JSON.parse(npm(["pack", "--json", "--pack-destination", to], from));
writeFileSync(join(to, "package.json"), '{"name":"consumer","private":true}\n');
npm(["install", "--no-audit", "--no-fund", "--ignore-scripts", join(to, filename)], to);
console.log(`${filename}: ${size} bytes packed, ${unpackedSize} unpacked, installed in ${to}`);
