/** The inspector in a real Chromium, served as any folder is. */

import { spawnSync } from "node:child_process";
import { createReadStream, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
/** The repository. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".wasm": "application/wasm" };

/** Debian's Chromium, or whichever `CHROMIUM` names. */
export function browserPath() {
  const known = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
  return known.find((path) => path && existsSync(path));
}

/** Serves the page on a free port of this machine. */
export async function serve() {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://here").pathname)).replace(/^(\.\.[/\\])+/, "");
    const file = path.startsWith("/wharfie/") ? join(DIST, path.slice("/wharfie/".length)) : join(HERE, path === "/" ? "index.html" : path);
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return { url: `http://127.0.0.1:${port}/`, close: () => new Promise((resolve) => server.close(resolve)) };
}

/** A browser with the page open. What the page's console says of errors fails the test at `close`. */
export async function openPage({ colorScheme = "light", hash = "" } = {}) {
  const site = await serve();
  const browser = await chromium.launch({ executablePath: browserPath(), args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1360, height: 850 }, colorScheme, acceptDownloads: true });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  // Its dialog is the user's: the other way of saving is the one that a test can follow.
  await page.addInitScript(() => delete window.showSaveFilePicker);
  await page.goto(site.url + hash);
  return {
    page,
    site,
    errors,
    async close() {
      await browser.close();
      await site.close();
      if (errors.length > 0) throw new Error(`the page failed: ${errors.join("; ")}`);
    },
  };
}

/** A folder that goes with the test. */
export function folder(test) {
  const path = mkdtempSync(join(tmpdir(), "wharfie-inspector-"));
  test.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** The native command, whose output is what the page's has to equal. */
export function wharfie(...args) {
  const binary = process.env.WHARFIE_BIN;
  if (!binary) throw new Error("WHARFIE_BIN names the native command");
  const done = spawnSync(binary, args, { encoding: "buffer", maxBuffer: 1 << 30 });
  if (done.status !== 0) throw new Error(`wharfie ${args.join(" ")}: ${done.stderr}`);
  return done.stdout;
}

/** Waits until nothing is under way. */
export async function idle(page) {
  await page.waitForFunction(() => document.getElementById("work").hidden, undefined, { timeout: 120_000 });
}

/** Picks an archive, and waits until it is open or has failed. */
export async function pick(page, ...files) {
  await page.setInputFiles("#file", ...files);
  await settled(page);
}

export async function settled(page) {
  await page.waitForFunction(() => !document.getElementById("image").hidden || !document.getElementById("trouble").hidden, undefined, { timeout: 60_000 });
  await idle(page);
}

/** The code of what is shown as wrong; nothing if nothing is. */
export function trouble(page) {
  return page.evaluate(() => {
    const place = document.getElementById("trouble");
    return place.hidden ? undefined : { code: place.dataset.code, text: place.innerText };
  });
}

/** Clicks, and gives the file that is saved by it. */
export async function saved(page, click) {
  const [download] = await Promise.all([page.waitForEvent("download", { timeout: 120_000 }), click()]);
  return { name: download.suggestedFilename(), path: await download.path() };
}
