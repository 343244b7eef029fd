// What the tests stand on beside the package: registries of Debian's, and what the native command line makes of what is on them.
//
// WHARFIE_BIN names the command line (the chores build it); without it, and without docker-registry, the cases that need them are
// skipped, and say so.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { missing, openOrigins, startRegistry } from "./registry.mjs";

export const testdata = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "testdata");
const sample = `oci-archive:${join(testdata, "sample/sample.oci.tar")}`;
const fixtures = process.env.WHARFIE_FIXTURES ?? join(testdata, "../target/fixtures");
const debian = join(fixtures, "debian-1/layout");
const amd64 = ["--platform", "linux/amd64"];
const credentials = { username: "ship", password: "wright" };

async function sha256(path) {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest("hex");
}

/** What `ls --json` says of an entry, in the words of `cases/debian.mjs`. */
function entry(line) {
  const { path, type, mode, uid, gid, mtime, layer, link, device, size } = JSON.parse(line);
  return [`/${path}`, type, mode, uid, gid, size, Date.parse(mtime), layer, link, device?.major, device?.minor].join(" ");
}

export async function world() {
  const folder = mkdtempSync(join(tmpdir(), "wharfie-js-"));
  const open = [];
  const close = () => {
    for (const each of open) each.close();
    rmSync(folder, { recursive: true, force: true });
  };
  const stand = { folder, golden: {}, skipped: [], close };
  try {
    await furnish(stand, open);
  } catch (error) {
    // A registry outlives who started it.
    close();
    throw error;
  }
  return stand;
}

/** Puts up what this machine can have; what is to be closed goes to `open`. */
async function furnish(stand, open) {
  const { folder, golden, skipped } = stand;
  const binary = process.env.WHARFIE_BIN;
  if (!binary) {
    skipped.push("WHARFIE_BIN is not set: tars are not compared with those of the command line");
    return;
  }
  // Not waited for in the way of this process: it asks the proxy that runs here.
  const wharfie = async (...words) => {
    const env = { ...process.env, XDG_CACHE_HOME: folder, HOME: folder, WHARFIE_STORE: join(folder, "command-store") };
    return (await promisify(execFile)(binary, [...words, "--quiet"], { env, maxBuffer: 1 << 28 })).stdout;
  };
  /** What its root's tar hashes to. */
  const exported = async (...words) => {
    const tar = join(folder, "exported.tar");
    await wharfie("export", ...words, "-o", tar);
    const found = await sha256(tar);
    rmSync(tar);
    return found;
  };
  golden.sample = await exported(sample, ...amd64);
  if (missing("docker-registry").length > 0) {
    skipped.push("docker-registry is not installed");
    return;
  }
  const plain = await startRegistry({ origins: true });
  open.push(plain);
  stand.registry = plain.address;
  await wharfie("copy", sample, `docker://${plain.address}/sample:1`, "--all");
  if (existsSync(join(debian, "index.json"))) {
    const name = `${plain.address}/debian:1`;
    await wharfie("copy", `oci:${debian}:bookworm`, `docker://${name}`);
    const listed = await wharfie("ls", "--recursive", "--json", name, ...amd64);
    const tree = listed.trim().split("\n").map(entry);
    golden.debian = { tar: await exported(name, ...amd64), tree };
  } else skipped.push("the Debian image: `cargo xtask fixtures` makes it");
  if (missing("htpasswd").length === 0) {
    const { username, password } = credentials;
    const locked = await startRegistry({ users: [[username, password]] });
    open.push(locked);
    const proxy = await openOrigins(locked.address);
    open.push(proxy);
    const creds = `${username}:${password}`;
    await wharfie("copy", sample, `docker://${locked.address}/sample:1`, "--all", "--creds", creds);
    golden.locked = await exported(`${proxy.address}/sample:1`, "--creds", creds, ...amd64);
    stand.locked = { registry: proxy.address, credentials };
  } else skipped.push("a registry that wants a login: htpasswd is not installed");
}
