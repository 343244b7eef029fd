// The page that the cases run on.

import * as wharfie from "/dist/web.js";
import { cases } from "/tests/cases/index.mjs";

const json = async (path) => (await fetch(path)).json();
const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
const made = { layout: [] };
for (const name of await json("/made.json")) made[name] = await bytes(`/made/${name}`);
for (const [path, text] of await json("/made/layout.json")) {
  made.layout.push([path, Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
}
const host = {
  wharfie,
  made,
  backend: await wharfie.load(),
  server: await json("/servers.json"),
  ...(await json("/host.json")),
  bytes: (path) => bytes(`/testdata/${path}`),
  stacks: async () => (await json("/stacks.json")).map((one, at) => ({ ...one, archive: () => bytes(`/stacks/${at}.tar`) })),
  large: async () => document.querySelector("#large").files[0],
  corpus: (path) => json(`/corpus/${path}`),
};

globalThis.run = async (name) => {
  try {
    await cases.find((one) => one.name === name).run(host);
    return undefined;
  } catch (error) {
    return `${error?.code ?? ""} ${error?.stack ?? error}`;
  }
};
