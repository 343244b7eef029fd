// A registry that misbehaves on purpose, the files of the tests, and the page that a browser runs them on. `start()` answers
// two origins: one that lets other origins in (CORS), and one that does not.

import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { archive, digest, image } from "./tar.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "..", "..");

const TYPES = { ".js": "text/javascript", ".mjs": "text/javascript", ".html": "text/html", ".wasm": "application/wasm", ".json": "application/json" };

/** A body that no one has seen before, in pieces. */
function noise(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    bytes[at] = state >> 16;
  }
  return bytes;
}

/** The image that misbehaving repositories have: a small layer and one of 3 MB. */
function subject() {
  const small = archive([["etc/hello", Buffer.from("hello\n")]]);
  const large = archive([["data/noise", noise(3 << 20)]]);
  const blobs = [gzipSync(small), gzipSync(large)];
  const { files } = image([small, large], { blobs, digests: blobs.map(digest) });
  return files;
}

/** An image of a hundred layers. */
function many() {
  const layers = Array.from({ length: 100 }, (_, at) => archive([[`many/${at}`, Buffer.from(`layer ${at}\n`)]]));
  return image(layers).files;
}

export async function start(options = {}) {
  const files = options.files ?? subject();
  const hundred = many();
  const manyTop = JSON.parse(hundred.get("index.json")).manifests[0];
  for (const [name, bytes] of hundred) if (name.startsWith("blobs/")) files.set(name, bytes);
  const index = JSON.parse(files.get("index.json"));
  const top = index.manifests[0];
  const blob = (of) => files.get(`blobs/${of.replace(":", "/")}`);
  const manifest = JSON.parse(blob(top.digest));
  const largest = manifest.layers.reduce((one, other) => (one.size > other.size ? one : other)).digest;
  // The same image, its large layer said to be shorter than it is.
  const shorter = { ...manifest, layers: manifest.layers.map((layer) => (layer.digest === largest ? { ...layer, size: layer.size - 7 } : layer)) };
  const missized = Buffer.from(JSON.stringify(shorter));
  files.set(`blobs/${digest(missized).replace(":", "/")}`, missized);
  /** How often what was asked, by key. */
  const counts = new Map();
  const count = (key) => {
    counts.set(key, (counts.get(key) ?? 0) + 1);
    return counts.get(key);
  };
  const log = [];
  const tokens = new Map();

  function send(response, status, headers, body) {
    response.writeHead(status, { "content-length": body?.length ?? 0, ...headers });
    response.end(body);
  }
  const problem = (response, status, code, headers = {}) =>
    send(response, status, { "content-type": "application/json", ...headers }, Buffer.from(JSON.stringify({ errors: [{ code, message: code }] })));

  /** A body, or the part of it that is asked for. */
  function payload(request, response, bytes, { ranges = true, type = "application/octet-stream", cut } = {}) {
    const range = ranges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const first = range ? Number(range[1]) : 0;
    const last = range && range[2] ? Number(range[2]) : bytes.length - 1;
    const body = bytes.subarray(first, last + 1);
    const headers = { "content-type": type, "content-length": body.length };
    if (range) headers["content-range"] = `bytes ${first}-${last}/${bytes.length}`;
    response.writeHead(range ? 206 : 200, headers);
    if (request.method === "HEAD") return response.end();
    if (cut === undefined || cut >= body.length) return response.end(body);
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  }

  /** `/v2/FAULT/…`: what the repository is called says what is wrong with it. */
  function registry(request, response, path, origin, query) {
    const found = /^\/v2\/([^/]+)\/(manifests|blobs|tags)\/(.+)$/.exec(path);
    if (!found) return path === "/v2/" ? send(response, 200, {}) : problem(response, 404, "NAME_UNKNOWN");
    const [, repository, kind, name] = found;
    const fault = repository.replace(/-.*$/, "");
    const key = `${repository} ${kind} ${name}`;
    if (fault === "token" || fault === "expiring") {
      const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
      const left = tokens.get(bearer);
      if (!(left > 0)) {
        const challenge = `Bearer realm="${origin}/token",service="test",scope="repository:${repository}:pull"`;
        return problem(response, 401, "UNAUTHORIZED", { "www-authenticate": challenge });
      }
      tokens.set(bearer, left - 1);
    }
    if (fault === "private") {
      const expected = `Basic ${Buffer.from("user:secret").toString("base64")}`;
      if (request.headers.authorization !== expected) {
        return problem(response, 401, "UNAUTHORIZED", { "www-authenticate": 'Basic realm="test"' });
      }
    }
    if (fault === "limited") return problem(response, 429, "TOOMANYREQUESTS", { "retry-after": "3600" });
    if (fault === "denied") return problem(response, 403, "DENIED");
    if (fault === "failing") return problem(response, 500, "UNKNOWN");
    if (fault === "flaky" && count(key) === 1) return problem(response, 503, "UNAVAILABLE");
    if (kind === "tags") {
      const all = Array.from({ length: 25 }, (_, at) => `v${at}`);
      const from = query.get("last") ? all.indexOf(query.get("last")) + 1 : 0;
      const page = all.slice(from, from + 10);
      const headers = { "content-type": "application/json" };
      if (from + 10 < all.length) headers.link = `</v2/${repository}/tags/list?last=${page.at(-1)}&n=10>; rel="next"`;
      return send(response, 200, headers, Buffer.from(JSON.stringify({ name: repository, tags: page })));
    }
    if (fault === "absent") return problem(response, 404, kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN");
    const named = fault === "missized" ? missized : blob((fault === "many" ? manyTop : top).digest);
    const bytes = kind === "manifests" && !name.startsWith("sha256:") ? named : blob(name);
    if (!bytes) return problem(response, 404, kind === "blobs" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN");
    if (kind === "manifests") {
      if (fault === "garbled") return send(response, 200, { "content-type": manifest.mediaType }, Buffer.from("{not json"));
      return payload(request, response, bytes, { type: manifest.mediaType, ranges: false });
    }
    const isLarge = name === largest;
    if (fault === "missing" && isLarge) return problem(response, 404, "BLOB_UNKNOWN");
    if (fault === "redirect") {
      return send(response, 307, { location: `${origin}/cdn/${name}` });
    }
    if (fault === "loop") return send(response, 307, { location: path });
    if (fault === "wrong" && isLarge) {
      const wrong = Buffer.from(bytes);
      wrong[wrong.length >> 1] ^= 1;
      return payload(request, response, wrong);
    }
    if (fault === "once" && isLarge && count(key) === 1) {
      const wrong = Buffer.from(bytes);
      wrong[wrong.length >> 1] ^= 1;
      return payload(request, response, wrong);
    }
    if (fault === "short" && isLarge) return payload(request, response, bytes.subarray(0, -10));
    if (fault === "cut" && isLarge) return payload(request, response, bytes, { cut: 700_000 });
    if (fault === "rangeless" && isLarge && count(key) < 3) {
      return payload(request, response, bytes, { ranges: false, cut: 1_500_000 });
    }
    if (fault === "dead" && isLarge) return payload(request, response, bytes, { cut: 0 });
    if (fault === "silent" && isLarge) {
      const range = /^bytes=(\d+)-/.exec(request.headers.range ?? "");
      const headers = range ? { "content-range": `bytes ${range[1]}-${bytes.length - 1}/${bytes.length}` } : {};
      const body = bytes.subarray(Number(range?.[1] ?? 0));
      response.writeHead(range ? 206 : 200, { "content-length": body.length, ...headers });
      // Not a byte more, however often it is asked for.
      return range ? response.flushHeaders() : response.write(body.subarray(0, 1 << 20));
    }
    if ((fault === "slow" || fault === "brisk") && isLarge) {
      response.writeHead(200, { "content-length": bytes.length });
      let at = 0;
      const drip = setInterval(() => {
        response.write(bytes.subarray(at, (at += fault === "slow" ? 16384 : 131072)));
        if (at >= bytes.length) response.end();
      }, 50);
      response.on("close", () => {
        clearInterval(drip);
        log.push(`closed ${repository}`);
      });
      return;
    }
    return payload(request, response, bytes);
  }

  function local(request, response, path) {
    const safe = normalize(decodeURIComponent(path)).replace(/^(\.\.[/\\])+/, "");
    const from = safe.startsWith("/testdata/") ? root : (options.site ?? join(here, ".."));
    const file = join(from, safe);
    if (!existsSync(file) || !statSync(file).isFile()) return problem(response, 404, "NO_SUCH_FILE");
    const headers = { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": statSync(file).size };
    response.writeHead(200, headers);
    createReadStream(file).pipe(response);
  }

  function serve(isOpen) {
    const server = createServer((request, response) => {
      const origin = `http://127.0.0.1:${server.address().port}`;
      const url = new URL(request.url, origin);
      if (isOpen) {
        response.setHeader("access-control-allow-origin", "*");
        response.setHeader("access-control-allow-headers", "Authorization, Accept, Range, Content-Type");
        response.setHeader("access-control-allow-methods", "GET, HEAD, POST, OPTIONS");
        response.setHeader("access-control-expose-headers", "Content-Length, Content-Range, Docker-Content-Digest, Link, Location, Retry-After, WWW-Authenticate");
      }
      if (request.method === "OPTIONS") return send(response, isOpen ? 204 : 405, {});
      const path = url.pathname;
      if (path.startsWith("/v2/")) return registry(request, response, path, origin, url.searchParams);
      if (path.startsWith("/cdn/")) return payload(request, response, blob(path.slice(5)));
      if (path === "/token") {
        const token = `token-${tokens.size}`;
        const repository = /repository:([^:]+):/.exec(url.searchParams.get("scope") ?? "")?.[1] ?? "";
        tokens.set(token, repository.startsWith("expiring") ? 2 : 1000);
        const body = Buffer.from(JSON.stringify({ token, expires_in: 300 }));
        return send(response, 200, { "content-type": "application/json" }, body);
      }
      if (path === "/log") return send(response, 200, {}, Buffer.from(JSON.stringify(log)));
      if (options.extra?.has(path)) return send(response, 200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }, options.extra.get(path));
      return local(request, response, path);
    });
    return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
  }

  const servers = await Promise.all([serve(true), serve(false)]);
  const [open, shut] = servers.map((server) => `127.0.0.1:${server.address().port}`);
  return {
    open,
    shut,
    close: () => {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}
