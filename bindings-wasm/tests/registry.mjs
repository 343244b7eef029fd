// Debian's docker-registry on this machine, and a proxy that lets pages of other origins ask one that wants a login.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as ask } from "node:http";
import { createServer as createSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream";

const METHODS = ["GET", "HEAD", "OPTIONS"];
const ALLOWED = ["Authorization", "Accept", "Range"];
const EXPOSED = ["Docker-Content-Digest", "Content-Length", "Content-Range", "Link", "WWW-Authenticate"];

const freePort = () =>
  new Promise((resolve) => {
    const socket = createSocket().listen(0, "127.0.0.1", () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });

/** Which of these programs this machine has not. */
export const missing = (...programs) =>
  programs.filter((program) => spawnSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" }).status !== 0);

/** Starts one: `origins` has it allow those of other pages, `users` (`[["name", "password"], …]`) has it want a login. */
export async function startRegistry({ origins = false, users = [] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "wharfie-registry-"));
  const address = `127.0.0.1:${await freePort()}`;
  const list = (words) => `['${words.join(", ")}']`;
  const config = [
    "version: 0.1",
    "log: {level: error, accesslog: {disabled: true}}",
    `storage: {filesystem: {rootdirectory: ${folder}/data}}`,
    "http:",
    `  addr: "${address}"`,
  ];
  if (origins) {
    config.push(
      "  headers:",
      "    Access-Control-Allow-Origin: ['*']",
      `    Access-Control-Allow-Methods: ${list(METHODS)}`,
      `    Access-Control-Allow-Headers: ${list(ALLOWED)}`,
      `    Access-Control-Expose-Headers: ${list(EXPOSED)}`,
    );
  }
  if (users.length > 0) {
    // bcrypt is all that the registry reads.
    const lines = users.map(([name, password]) => execFileSync("htpasswd", ["-Bbn", name, password], { encoding: "utf8" }).trim());
    writeFileSync(join(folder, "htpasswd"), `${lines.join("\n")}\n`);
    config.push(`auth: {htpasswd: {realm: harbour, path: ${folder}/htpasswd}}`);
  }
  writeFileSync(join(folder, "config.yml"), `${config.join("\n")}\n`);
  const server = spawn("docker-registry", ["serve", join(folder, "config.yml")], { stdio: "ignore" });
  const close = () => {
    server.kill();
    rmSync(folder, { recursive: true, force: true });
  };
  for (let tries = 0; ; tries++) {
    const status = await fetch(`http://${address}/v2/`).then((answer) => answer.status, () => undefined);
    if (status === (users.length > 0 ? 401 : 200)) break;
    if (tries > 100) {
      close();
      throw new Error("docker-registry does not answer as it ought to");
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { address, close };
}

/**
 * A proxy before a registry that wants a login: that one answers a browser's preflights with 401, as they bring no credentials,
 * and so no page ever gets to it. The proxy answers them, and passes everything else through as it comes.
 */
export async function openOrigins(registry) {
  const [hostname, port] = registry.split(":");
  const headers = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": METHODS.join(", "),
    "access-control-allow-headers": ALLOWED.join(", "),
    "access-control-expose-headers": EXPOSED.join(", "),
  };
  const server = createServer((request, response) => {
    if (request.method === "OPTIONS") return response.writeHead(204, headers).end();
    const { method, url: path } = request;
    const passed = ask({ hostname, port, method, path, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, { ...answer.headers, ...headers });
      pipeline(answer, response, () => undefined);
    });
    passed.on("error", () => (response.headersSent ? response.destroy() : response.writeHead(502, headers).end()));
    response.on("close", () => passed.destroy());
    return pipeline(request, passed, () => undefined);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
