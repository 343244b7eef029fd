// What `testdata/` says that every host must agree on.

import { equal, ok, test } from "../check.mjs";
import { step } from "./transcript.mjs";

/** The lists that `core::wire::probe` knows, and the fields of a case that are what is asked. */
const LISTS = {
  "references.good": ["input"],
  "references.bad": ["input"],
  "platforms.good": ["input"],
  "platforms.bad": ["input"],
  "platforms.choice": ["wanted", "offered"],
  "digests.of": ["text"],
  "digests.bad": ["input"],
  "sources.case": ["input"],
  "media-types.case": ["input"],
  "challenges.case": ["name", "fields"],
  "manifests.case": ["name", "content_type", "body"],
};

for (const [list, inputs] of Object.entries(LISTS)) {
  test(`corpus: ${list}`, async ({ backend, corpus }) => {
    const [file, name] = list.split(".");
    const cases = (await corpus(`${file}.toml`))[name];
    ok(cases.length > 0, "no cases");
    for (const one of cases) {
      const answer = JSON.parse(backend.probe(list, JSON.stringify(one)));
      const expected = Object.fromEntries(Object.entries(one).filter(([field]) => !inputs.includes(field)));
      if (expected.reason !== undefined) {
        ok(answer.reason?.includes(expected.reason), `${JSON.stringify(one)}: ${answer.reason}`);
        delete expected.reason;
        delete answer.reason;
      }
      equal(answer, expected, `${list}: ${JSON.stringify(one).slice(0, 200)}`);
    }
  });
}

test("corpus: transcripts of the client machine, to the letter", async ({ backend, corpus }) => {
  const cases = (await corpus("transcripts/client.toml")).case;
  ok(cases.length > 3, "no cases");
  for (const { name, steps } of cases) step(backend, name, steps);
});

test("every code of core has a class, and no class is without a code", async ({ backend, wharfie }) => {
  const codes = backend.errorCodes();
  equal([...codes].sort(), Object.keys(wharfie.ERRORS).sort());
  for (const code of codes) {
    const error = wharfie.WharfieError.of({ code, message: "m", facts: { a: 1 }, place: {}, hint: "h" });
    ok(error instanceof wharfie.ERRORS[code] && error instanceof wharfie.WharfieError && error instanceof Error, code);
    equal([error.code, error.message, error.facts, error.hint], [code, "m", { a: 1 }, "h"]);
  }
  equal(wharfie.WharfieError.of({ code: "cancelled", message: "", facts: {}, place: {} }).name, "AbortError");
});
