// What the tests stand on beside the package: a registry of Debian's, and what the native command line makes of the sample.
//
// WHARFIE_BIN names the command line (the chores build it); without it, and without docker-registry, the cases that need them are
// skipped, and say so.

import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const testdata = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "testdata");
const sample = join(testdata, "sample/sample.oci.tar");

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

function has(program) {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

export async function world() {
  const folder = mkdtempSync(join(tmpdir(), "wharfie-js-"));
  const skipped = [];
  const wharfie = process.env.WHARFIE_BIN;
  const golden = {};
  if (wharfie) {
    const tar = join(folder, "sample.tar");
    execFileSync(wharfie, ["export", `oci-archive:${sample}`, "--platform", "linux/amd64", "-o", tar, "--quiet"], {
      env: { ...process.env, XDG_CACHE_HOME: folder, HOME: folder },
    });
    golden.sample = createHash("sha256").update(readFileSync(tar)).digest("hex");
  } else skipped.push("WHARFIE_BIN is not set: tars are not compared with those of the command line");
  let registry;
  let close = () => undefined;
  if (wharfie && has("docker-registry")) {
    const port = await freePort();
    const config = join(folder, "registry.yml");
    writeFileSync(
      config,
      `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${folder}/registry}}
http:
  addr: 127.0.0.1:${port}
  headers:
    Access-Control-Allow-Origin: ['*']
    Access-Control-Allow-Methods: ['GET, HEAD, OPTIONS']
    Access-Control-Allow-Headers: ['Authorization, Accept, Range']
    Access-Control-Expose-Headers: ['Docker-Content-Digest, Content-Length, Content-Range, Link, WWW-Authenticate']
`,
    );
    const server = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
    close = () => server.kill();
    registry = `127.0.0.1:${port}`;
    for (let tries = 0; ; tries++) {
      if (await fetch(`http://${registry}/v2/`).then(({ ok }) => ok, () => false)) break;
      if (tries > 100) throw new Error("docker-registry does not answer");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    execFileSync(wharfie, ["copy", `oci-archive:${sample}`, `docker://${registry}/sample:1`, "--all", "--quiet"], {
      env: { ...process.env, XDG_CACHE_HOME: folder, HOME: folder },
    });
  } else if (wharfie) skipped.push("docker-registry is not installed");
  return {
    folder,
    golden,
    registry,
    skipped,
    close: () => {
      close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
