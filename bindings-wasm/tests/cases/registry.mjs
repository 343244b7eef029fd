// Images on registries: one that is right, and one that misbehaves.

import { all, equal, failure, ok, test } from "../check.mjs";

const quick = { retries: 2, platform: "linux/amd64", store: "memory" };

/** Pulls everything of a repository of the misbehaving registry. */
async function pull(host, repository, { signal, onProgress, ...options } = {}) {
  const work = { signal, onProgress };
  const image = await host.wharfie.Image.open(`${host.server.open}/${repository}:1`, { ...quick, ...options, ...work });
  try {
    await image.pull(work);
    return (await all(image.export(work))).length;
  } finally {
    await image.close();
  }
}

test("a pull, with progress", async (host) => {
  const seen = [];
  const events = [];
  const image = await host.wharfie.Image.open(`${host.server.open}/good:1`, {
    ...quick,
    onProgress: (progress) => seen.push(progress),
    onEvent: ({ event }) => events.push(event),
  });
  ok(image.isRemote && image.reference === `${host.server.open}/good:1`, image.reference);
  equal((await image.verified()).layers.map(({ here }) => here), [false, false]);
  await image.pull({ onProgress: (progress) => seen.push(progress) });
  equal(await image.readFile("/etc/hello", "utf8"), "hello\n");
  equal((await image.verified()).layers.map(({ here }) => here), [true, true]);
  const tree = await image.tree();
  equal(tree.search("noise").map(({ path, layer }) => [path, layer]), [["/data/noise", 1]]);
  ok(seen.some(({ phase }) => phase === "fetch") && seen.every(({ done, total = Infinity }) => done <= total), JSON.stringify(seen));
  ok(events.includes("resolved") && events.includes("blob_verified"), events.join(" "));
  await image.close();
});

test("tags, over several pages", async ({ wharfie, server }) => {
  const tags = await wharfie.tags(`${server.open}/good`);
  equal([tags.length, tags[0], tags.at(-1)], [25, "v0", "v24"]);
});

for (const repository of ["good", "redirect", "cut", "rangeless", "once", "flaky", "token", "expiring"]) {
  test(`a registry that is ${repository} is pulled from all the same`, async (host) => {
    ok((await pull(host, repository, { retries: 5 })) > 3 << 20);
  });
}

const CODES = {
  absent: "not_found",
  missing: "not_found",
  denied: "denied",
  limited: "rate_limited",
  failing: "server_error",
  garbled: "invalid_document",
  wrong: "digest_mismatch",
  private: "unauthorized",
};

for (const [repository, code] of Object.entries(CODES)) {
  test(`a registry that is ${repository}: ${code}`, async (host) => {
    const error = await failure(pull(host, repository));
    equal([error.code, error instanceof host.wharfie.ERRORS[code]], [code, true], error.message);
  });
}

test("a registry that falls silent in the middle of a blob: timed_out", async (host) => {
  const error = await failure(pull(host, "silent", { timeout: 1, retries: 1 }));
  equal(error.code, "timed_out", error.message);
});

test("a layer whose size is not what its manifest says: size_mismatch, whether it is there or not", async (host) => {
  const image = await host.wharfie.Image.open(`${host.server.open}/missized:1`, quick);
  equal((await failure(image.pull())).code, "size_mismatch");
  equal((await failure(image.readFile("/data/noise"))).code, "size_mismatch");
  equal((await failure(image.readFile("/data/noise"))).code, "size_mismatch");
  equal((await failure(image.pull())).code, "size_mismatch");
  await image.close();
});

test("a function of the caller's that throws ends its own job with what it threw, and nothing else", async (host) => {
  const thrown = new Error("mine");
  const fail = () => {
    throw thrown;
  };
  ok((await failure(pull(host, "good", { onEvent: fail }))) === thrown, "onEvent");
  const finished = (event) => event.event === "finished" && fail();
  ok((await failure(pull(host, "good", { onEvent: finished }))) === thrown, "onEvent, at the end");
  ok((await failure(pull(host, "private", { credentials: fail }))) === thrown, "credentials");
  ok((await failure(pull(host, "private", { credentials: async () => fail() }))) === thrown, "credentials, later");
  const image = await host.wharfie.Image.open(`${host.server.open}/brisk:1`, quick);
  ok((await failure(image.pull({ onProgress: fail }))) === thrown, "onProgress");
  equal((await image.readFile("/data/noise")).length, 3 << 20);
  await image.close();
});

test("of two that wait for one blob, one gives up", async (host) => {
  const image = await host.wharfie.Image.open(`${host.server.open}/brisk:1`, quick);
  const stop = new AbortController();
  const pulling = image.pull({
    signal: stop.signal,
    onProgress: ({ phase, done }) => phase === "fetch" && done > 500_000 && stop.abort(),
  });
  const reading = image.readFile("/data/noise");
  equal((await failure(pulling)).code, "cancelled");
  equal((await reading).length, 3 << 20);
  await image.close();
});

test("of two that ask for the same, the first gives up, or the second does", async (host) => {
  for (const which of [0, 1]) {
    const image = await host.wharfie.Image.open(`${host.server.open}/brisk:1`, quick);
    const stops = [new AbortController(), new AbortController()];
    const began = performance.now();
    const pulls = stops.map(({ signal }) => image.pull({ signal }));
    setTimeout(() => stops[which].abort(), 100);
    equal((await failure(pulls[which])).code, "cancelled");
    ok(performance.now() - began < 700, "it waited for the other");
    await pulls[1 - which];
    equal((await image.readFile("/data/noise")).length, 3 << 20);
    await image.close();
  }
});

test("a stream that is cancelled while it opens stops what that takes", async (host) => {
  const image = await host.wharfie.Image.open(`${host.server.open}/slow-opening:1`, quick);
  const reader = image.export().getReader();
  const reading = reader.read();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await reader.cancel();
  equal((await reading).done, true);
  for (let tries = 0; ; tries++) {
    const log = await (await fetch(`http://${host.server.open}/log`)).json();
    if (log.includes("closed slow-opening")) break;
    ok(tries < 50, "the connection stays open");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await image.close();
});

test("closed while a blob comes: what is under way ends, and it can be closed again", async (host) => {
  const image = await host.wharfie.Image.open(`${host.server.open}/slow-closed:1`, quick);
  let closing;
  const pulling = failure(image.pull({ onProgress: () => (closing ??= image.close()) }));
  equal((await pulling).code, "cancelled");
  await closing;
  await image.close();
  await failure(image.pull());
});

test("credentials, given or asked for", async (host) => {
  // A browser does not show what is asked for unless the registry exposes it; this one does.
  ok((await pull(host, "private", { credentials: { username: "user", password: "secret" } })) > 0);
  const questions = [];
  const credentials = async (question) => {
    questions.push(question);
    return { username: "user", password: "secret" };
  };
  ok((await pull(host, "private", { credentials })) > 0);
  equal(questions.map(({ registry }) => registry), [host.server.open]);
  const wrong = await failure(pull(host, "private", { credentials: { username: "user", password: "guessed" } }));
  equal(wrong.code, "unauthorized");
});

test("a connection that nobody takes: connection_failed", async (host) => {
  const error = await failure(host.wharfie.Image.open("127.0.0.1:9/none:1", { ...quick, retries: 0 }));
  equal(error.code, "connection_failed");
  ok(typeof error.facts.reason === "string" && error.hint, JSON.stringify(error));
});

test("cancelled in the middle of a blob", async (host) => {
  const stop = new AbortController();
  const began = performance.now();
  const pulling = pull(host, "slow-cancelled", {
    signal: stop.signal,
    onProgress: ({ phase, done }) => phase === "fetch" && done > 0 && stop.abort(new Error("enough")),
  });
  const error = await failure(pulling);
  equal([error.code, error.name, error.cause?.message], ["cancelled", "AbortError", "enough"]);
  ok(performance.now() - began < 5000, "it took too long");
  // The connection is let go.
  for (let tries = 0; ; tries++) {
    const log = await (await fetch(`http://${host.server.open}/log`)).json();
    if (log.includes("closed slow-cancelled")) break;
    ok(tries < 50, "the connection stays open");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test("cancelled before it begins, while a tar is written, while layers are read", async (host) => {
  const { Image } = host.wharfie;
  const stopped = AbortSignal.abort();
  equal((await failure(Image.open(`${host.server.open}/good:1`, { ...quick, signal: stopped }))).code, "cancelled");
  const image = await Image.open(`${host.server.open}/good:1`, quick);
  equal((await failure(image.tree({ signal: stopped }))).code, "cancelled");
  const stop = new AbortController();
  const reader = image.export({ signal: stop.signal }).getReader();
  ok((await reader.read()).value.length > 0);
  stop.abort();
  equal(
    (await failure(
      (async () => {
        while (!(await reader.read()).done);
      })(),
    )).code,
    "cancelled",
  );
  ok((await image.tree()).count > 2, "and it goes on");
  await image.close();
});

test("a blob that does not fit under the cap is not fetched", async (host) => {
  const error = await failure(pull(host, "good", { memory: 1 << 20 }));
  equal(error.code, "no_space");
});
