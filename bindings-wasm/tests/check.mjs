// Cases that run on any host: a list of names and functions, and the few assertions they need.

export const cases = [];

/** A case. `on`: the hosts that have what it needs (`node`, `browser`); all of them if it is left out. */
export function test(name, run, { on, seconds = 30 } = {}) {
  cases.push({ name, run, on, seconds });
}

export function equal(actual, expected, what = "") {
  const [one, other] = [stable(actual), stable(expected)];
  if (one !== other) throw new Error(`${what}\n  is       ${one.slice(0, 2000)}\n  expected ${other.slice(0, 2000)}`);
}

export function ok(value, what) {
  if (!value) throw new Error(what ?? "does not hold");
}

/** JSON with sorted keys. */
function stable(value) {
  const sorted = (_, inner) =>
    inner && typeof inner === "object" && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([one], [other]) => (one < other ? -1 : 1)))
      : inner === undefined
        ? null
        : inner;
  return JSON.stringify(value, sorted) ?? "undefined";
}

/** The error of what has to fail. */
export async function failure(promise) {
  let value;
  try {
    value = await promise;
  } catch (error) {
    return error;
  }
  throw new Error(`it did not fail: ${stable(value).slice(0, 300)}`);
}

export async function sha256(bytes) {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(hash)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function all(stream) {
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
