/** Images that want a login, in a real browser: Debian's registry, behind a proxy that lets the page ask it. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { test } from "node:test";
import { missing, openOrigins, startRegistry } from "../../tests/registry.mjs";
import { files, marks, openPage, picture, saved, settled, trouble, wharfie } from "./page.mjs";

const USER = "ship";
const PASSWORD = "wright-of-the-wharf";
const lacking = missing("docker-registry", "htpasswd");
const skip = lacking.length > 0 && `not installed: ${lacking.join(", ")}`;

/** The sample on a registry with a login: its name for the page, and its root as the command line has it. */
async function locked(t) {
  const registry = await startRegistry({ users: [[USER, PASSWORD]] });
  t.after(registry.close);
  const proxy = await openOrigins(registry.address);
  t.after(proxy.close);
  const creds = ["--creds", `${USER}:${PASSWORD}`];
  wharfie("copy", "--all", "sample:", `${registry.address}/team/sample:v1`, ...creds);
  const root = wharfie("export", `${registry.address}/team/sample:v1`, "--platform", "linux/amd64", ...creds, "-o", "-");
  return { registry: proxy.address, name: `${proxy.address}/team/sample:v1`, root };
}

async function ask(page, name) {
  await page.fill("#name", name);
  await page.keyboard.press("Enter");
}

const asked = (page) => page.waitForSelector("#signin[open]", { timeout: 30_000 });
const focused = (page) => page.evaluate(() => document.activeElement.id);
const refused = (page) => page.waitForSelector("#signin[open] #signin-why:not([hidden])", { timeout: 30_000 });

for (const colorScheme of ["light", "dark"]) {
  test(`a private image: who is wrong is told, who is right gets the command's root (${colorScheme}, keys alone)`, { skip }, async (t) => {
    const { registry, name, root } = await locked(t);
    const { page, close } = await openPage({ colorScheme });
    t.after(close);
    await ask(page, name);
    await asked(page);
    assert.equal((await trouble(page)).code, "unauthorized");
    assert.match(await page.textContent("#signin-title"), new RegExp(`Sign in to ${registry}$`));
    assert.equal(await focused(page), "signin-user");
    assert.equal(await page.isVisible("#signin-why"), false);
    await picture(page, `signin-${colorScheme}`);
    await page.keyboard.type(USER);
    await page.keyboard.press("Tab");
    await page.keyboard.type("guessed");
    await page.keyboard.press("Enter");
    await refused(page);
    assert.doesNotMatch((await trouble(page)).text, /auth explain/, "the command knows nothing of what was typed here");
    assert.match(await page.textContent("#signin-why"), /credentials/);
    assert.equal(await focused(page), "signin-password");
    assert.deepEqual(await page.$$eval("#signin input", (all) => all.map(({ value }) => value)), [USER, ""]);
    await picture(page, `signin-refused-${colorScheme}`);
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => !document.getElementById("image").hidden, undefined, { timeout: 30_000 });
    await settled(page);
    assert.equal(await trouble(page), undefined);
    assert.equal(await page.textContent("#title"), name);
    await files(page);
    assert.deepEqual(await marks(page), Array(7).fill("verified"));
    const tar = await saved(page, () => page.click("#export-tar"));
    assert.ok(readFileSync(tar.path).equals(root), "the tar is what the command writes");
    // Another platform of it is another opening, and nobody is asked again.
    await page.selectOption("#structure select", "linux/arm64");
    await page.waitForFunction(() => document.getElementById("subtitle").textContent.startsWith("linux/arm64"));
    assert.equal(await page.isVisible("#signin"), false);
  });
}

test("what was typed is in the page's memory and nowhere else: a reload forgets it", { skip }, async (t) => {
  const { name } = await locked(t);
  const { page, close } = await openPage();
  t.after(close);
  assert.deepEqual(
    await page.$$eval("#signin input", (all) => all.map(({ type, autocomplete }) => [type, autocomplete])),
    [["text", "username"], ["password", "current-password"]],
  );
  await ask(page, name);
  await asked(page);
  assert.match(await page.textContent("#signin-kept"), /memory/);
  await page.fill("#signin-user", USER);
  await page.fill("#signin-password", PASSWORD);
  await page.keyboard.press("Enter");
  await settled(page);
  assert.equal(await trouble(page), undefined);
  const kept = await page.evaluate(async () => {
    const databases = await indexedDB.databases();
    return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href, databases, document.documentElement.outerHTML]);
  });
  assert.ok(!kept.includes(PASSWORD));
  assert.equal(await page.inputValue("#signin-password"), "");
  await page.reload();
  await asked(page);
  assert.equal(await page.inputValue("#signin-user"), "");
});

test("the dialog is left by Escape or its button, and comes back when it is asked for", { skip }, async (t) => {
  const { name } = await locked(t);
  const { page, close } = await openPage();
  t.after(close);
  const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
  await ask(page, name);
  await asked(page);
  await page.keyboard.type(USER);
  // The page's own keys are not the dialog's.
  await page.focus("#signin-cancel");
  const before = await theme();
  await page.keyboard.press("t");
  assert.equal(await theme(), before);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#signin", { state: "hidden" });
  assert.equal(await focused(page), "name");
  assert.equal((await trouble(page)).code, "unauthorized");
  assert.equal(await page.textContent("#trouble .command code"), `wharfie save ${name} -o image.tar`);
  await picture(page, "signin-left");
  await page.focus("#trouble .main");
  await page.keyboard.press("Enter");
  await asked(page);
  assert.equal(await page.inputValue("#signin-user"), USER);
  assert.equal(await focused(page), "signin-password");
  await page.click("#signin-cancel");
  assert.equal(await page.isVisible("#signin"), false);
  // An empty form is not sent.
  await page.click("#trouble .main");
  await page.keyboard.press("Enter");
  assert.equal(await page.isVisible("#signin"), true);
});

test("who may not is asked who else he is; a registry that asks nobody is not signed in to", async (t) => {
  // Debian's registry knows no accounts that may less than others.
  const may = `Basic ${Buffer.from(`master:${PASSWORD}`).toString("base64")}`;
  const server = createServer((request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "Authorization, Accept, Range");
    response.setHeader("access-control-expose-headers", "WWW-Authenticate");
    const answer = (status, code) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ errors: [{ code }] }));
    if (request.method === "OPTIONS") return response.writeHead(204).end();
    if (request.url.startsWith("/v2/closed/")) return answer(403, "DENIED");
    if (!request.headers.authorization) {
      response.setHeader("www-authenticate", 'Basic realm="harbour"');
      return answer(401, "UNAUTHORIZED");
    }
    return request.headers.authorization === may ? answer(404, "MANIFEST_UNKNOWN") : answer(403, "DENIED");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close(() => {}) && server.closeAllConnections());
  const registry = `127.0.0.1:${server.address().port}`;
  const { page, close } = await openPage({ colorScheme: "dark" });
  t.after(close);
  const code = async (expected) => {
    await page.waitForFunction((wanted) => document.getElementById("trouble").dataset.code === wanted, expected);
    await settled(page);
  };
  await ask(page, `${registry}/closed:v1`);
  await code("denied");
  assert.equal(await page.$("#trouble .main"), null, "there is nothing to sign in to");
  assert.equal(await page.isVisible("#signin"), false);
  await ask(page, `${registry}/open:v1`);
  await asked(page);
  const sign = async (user) => {
    await page.fill("#signin-user", user);
    await page.fill("#signin-password", PASSWORD);
    await page.keyboard.press("Enter");
  };
  await sign(USER);
  await code("denied");
  assert.equal(await page.isVisible("#signin"), false, "the registry knows who it is: the dialog does not insist");
  assert.match(await page.textContent("#trouble .main"), /another user/);
  await picture(page, "signin-denied");
  await page.click("#trouble .main");
  assert.equal(await page.inputValue("#signin-user"), USER);
  await sign("master");
  await code("not_found");
});
