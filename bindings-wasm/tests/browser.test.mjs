// The cases in a real Chromium: CHROMIUM names it, or it is where Debian has it. The page, the package and the test data come from
// one server of ours.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";
import { parse } from "smol-toml";

import { cases } from "./cases/index.mjs";
import { large, made } from "./made.mjs";
import { start } from "./server.mjs";
import { stacks } from "./stacks.mjs";
import { testdata, world } from "./world.mjs";

const executablePath = process.env.CHROMIUM ?? ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find(existsSync);
if (!executablePath) throw new Error("there is no Chromium: name it by CHROMIUM");
const installed = process.env.WHARFIE_JS && join(process.env.WHARFIE_JS, "node_modules", "wharfie-wasm");
const site = installed ?? join(testdata, "..", "bindings-wasm");

const folder = join(testdata, "../bindings-wasm/tests/cases");
const json = (value) => Buffer.from(JSON.stringify(value));
const corpora = ["references", "platforms", "digests", "sources", "media-types", "challenges", "manifests", "archives", "transcripts/client"];
const extra = new Map([
  ["/page.html", Buffer.from(`<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>wharfie</title><input type="file" id="large"><script type="module" src="/page.mjs"></script>`)],
  ["/page.mjs", readFileSync(join(testdata, "../bindings-wasm/tests/page.mjs"))],
  ["/tests/check.mjs", readFileSync(join(testdata, "../bindings-wasm/tests/check.mjs"))],
  ...readdirSync(folder).map((name) => [`/tests/cases/${name}`, readFileSync(join(folder, name))]),
  ...corpora.map((name) => [`/corpus/${name}.toml`, json(parse(readFileSync(join(testdata, `${name}.toml`), "utf8")))]),
]);
const things = made();
for (const [name, bytes] of Object.entries(things)) if (name !== "layout") extra.set(`/made/${name}`, bytes);
extra.set("/made.json", json(Object.keys(things).filter((name) => name !== "layout")));
extra.set("/made/layout.json", json(things.layout.map(([name, bytes]) => [name, bytes.toString("base64")])));

const { made: piles } = stacks();
piles.forEach(({ archive }, at) => extra.set(`/stacks/${at}.tar`, archive));
extra.set("/stacks.json", json(piles.map(({ name, expected }) => ({ name, expected }))));

let server;
let browser;
let page;
let stand;

before(async () => {
  stand = await world();
  for (const why of stand.skipped) console.log(`SKIPPED ${why}`);
  extra.set("/host.json", json({ golden: stand.golden, registry: stand.registry, locked: stand.locked }));
  server = await start({ extra, site });
  extra.set("/servers.json", json({ open: server.open, shut: server.shut }));
  await open();
});

async function open() {
  browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-background-networking", "--enable-precise-memory-info"] });
  page = await browser.newPage();
  page.on("pageerror", (error) => console.log(`page: ${error.stack ?? error}`));
  page.on("console", (message) => message.text().startsWith("#") && console.log(message.text()));
  await page.goto(`http://${server.open}/page.html`);
  await page.waitForFunction(() => globalThis.run, undefined, { timeout: 60_000 });
}

after(async () => {
  await browser?.close();
  server?.close();
  stand?.close();
});

for (const { name, on, seconds } of cases) {
  if (on && !on.includes("browser")) continue;
  test(name, { timeout: seconds * 4000 }, async (context) => {
    if (/command line|debian's registry/.test(name) && !stand.golden.sample) return context.skip("no command line to compare with");
    const failed = await page.evaluate((title) => globalThis.run(title), name);
    if (failed) throw new Error(failed);
  });
}

/** The most that any process of this browser ever held, in MB. */
function peak() {
  const peaks = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        const isOurs = readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("--type=renderer");
        return isOurs ? Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) : 0;
      } catch {
        return 0;
      }
    });
  return Math.round(Math.max(0, ...peaks) / 1024);
}

// WHARFIE_LARGE: bytes of the archive, 0 for none.
const bytes = Number(process.env.WHARFIE_LARGE ?? 2 ** 30);
const CAP = 768;

test("a gigabyte in a worker, under a cap on memory", { skip: bytes === 0 && "WHARFIE_LARGE is 0", timeout: 600_000 }, async () => {
  const path = join(stand.folder, "large.tar");
  large(path, bytes);
  // What the other cases held is nothing to this one.
  await browser.close();
  await open();
  await page.setInputFiles("#large", path);
  const failed = await page.evaluate((title) => globalThis.run(title), cases.find(({ on }) => on?.includes("large")).name);
  if (failed) throw new Error(failed);
  const most = peak();
  console.log(`# a renderer held ${most} MB at most`);
  if (most > CAP) throw new Error(`${most} MB for an archive of ${bytes >> 20} MB`);
});
