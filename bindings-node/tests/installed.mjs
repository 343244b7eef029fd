// Where the packages are installed that are tested: a folder of its own, with nothing of the source tree.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export const installed = process.env.WHARFIE_INSTALLED;
if (!installed) throw new Error("WHARFIE_INSTALLED names no folder: run `npm test`");

/** The package as an ES module. */
export function imported() {
  const folder = join(installed, "node_modules", "wharfie");
  const { exports } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  return import(pathToFileURL(join(folder, exports["."].import.default)).href);
}
