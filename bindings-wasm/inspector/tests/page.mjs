/** The inspector in a real Chromium, served as any folder is. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { serve } from "../serve.mjs";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Debian's Chromium, or whichever `CHROMIUM` names. */
export function browserPath() {
  const known = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
  return known.find((path) => path && existsSync(path));
}

/** Keeps a picture of the page for people to look at, in the folder that `SCREENSHOTS` names. */
export async function picture(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
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
    errors,
    async close() {
      await browser.close();
      await new Promise((done) => site.server.close(done));

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

export const marks = (page) => page.$$eval("#structure .mark", (all) => all.map((mark) => mark.textContent));

/** The files view, its tree read. */
export async function files(page) {
  await page.click("#tab-files");
  await page.waitForSelector("#tree .entry", { timeout: 60_000 });
  await idle(page);
}
