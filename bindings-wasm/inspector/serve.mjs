// The inspector as a folder for any web server: `node serve.mjs` serves it on this machine, `node serve.mjs DIR` puts it there.

import { cpSync, createReadStream, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = fileURLToPath(new URL("../dist/", import.meta.url));
/** What the page needs of the package. */
const PARTS = ["web.js", "worker.js", "shared.js", "wharfie.wasm"];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".wasm": "application/wasm" };

/** The page's own files. */
const own = () => readdirSync(here).filter((name) => /\.(html|js|css|svg)$/.test(name));

/** Where a path of the page's is on this disk; nothing for what is none of its. */
export function find(path) {
  const name = normalize(path === "/" ? "/index.html" : path).slice(1);
  const part = name.startsWith("wharfie/") ? name.slice("wharfie/".length) : undefined;
  const file = part === undefined ? (own().includes(name) ? join(here, name) : undefined) : PARTS.includes(part) ? join(dist, part) : undefined;
  return file && existsSync(file) && statSync(file).isFile() ? file : undefined;
}

/** Serves the page; answers the server and the page's address. */
export async function serve(port = 0) {
  const server = createServer((request, response) => {
    const file = find(decodeURIComponent(new URL(request.url, "http://here").pathname));
    if (!file) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    createReadStream(file).pipe(response);
  });
  await new Promise((done, failed) => server.once("error", failed).listen(port, "127.0.0.1", done));
  return { server, url: `http://127.0.0.1:${server.address().port}/` };
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const folder = process.argv[2];
  if (folder === undefined) {
    const { url } = await serve();
    console.log(`${url}   (Ctrl-C ends it)`);
  } else {
    mkdirSync(join(folder, "wharfie"), { recursive: true });
    for (const name of own()) cpSync(join(here, name), join(folder, name));
    for (const name of PARTS) cpSync(join(dist, name), join(folder, "wharfie", name));
    console.log(resolve(folder));
  }
}
