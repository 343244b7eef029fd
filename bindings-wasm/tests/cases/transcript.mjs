// One transcript of `testdata/transcripts/client.toml`, whose head says what its lines mean. A host without threads gives payload to
// `handleBody`, so what the transcript has as `stored` and `hashed` is one call here, made when both are known.

import { equal } from "../check.mjs";

export function step(backend, name, steps) {
  const session = backend.session(JSON.stringify({ seed: 0, userAgent: "wharfie" }));
  const outputs = [];
  let now = 0;
  let answer;
  const blobOf = new Map();
  const plans = new Map();
  /** Of a blob: the text that its hasher was given ahead of the call that says that it is stored. */
  const hashed = new Map();
  /** Exchanges whose bytes are known and whose hasher is still out: what is said of them waits. */
  const open = new Map();

  const drain = () => {
    const fresh = JSON.parse(session.poll());
    if (outputs.at(-1)?.output === "wait") outputs.pop();
    outputs.push(...fresh);
  };
  const next = () => {
    drain();
    const output = outputs[0];
    if (output.output !== "wait") outputs.shift();
    return show(output);
  };
  const store = (id, text, length) => {
    const { blob, offset, hashed: from } = plans.get(id);
    const bytes = new TextEncoder().encode(text);
    const body = bytes.subarray(bytes.length - length);
    if (offset > from) session.replay(id, bytes.subarray(0, bytes.length - length));
    plans.set(id, { blob, offset: offset + length, hashed: offset + length });
    return session.handleBody(now, id, body) ? "continue" : "stop";
  };

  const input = (line, rest) => {
    const [, word, tail] = /^(\S+) ?(.*)$/s.exec(line);
    const [, first, after] = /^(\S*) ?(.*)$/s.exec(tail);
    const id = Number(first);
    switch (word) {
      case "pull":
        return void session.pull(now, first, JSON.stringify({ depth: after }));
      case "blob":
        return void session.pullBlob(now, first);
      case "tags":
        return void session.tags(now, first, "{}");
      case "head": {
        const [status, ...fields] = after.split(" | ");
        const headers = fields.flatMap((field) => [field.slice(0, field.indexOf(": ")), field.slice(field.indexOf(": ") + 2)]);
        const plan = JSON.parse(session.handleHead(now, id, Number(status), headers, undefined));
        if (plan.plan === "store") {
          plans.set(id, plan);
          blobOf.set(plan.blob, id);
        }
        answer = plan.plan === "store" ? `store ${plan.blob} ${plan.offset} ${plan.skip}` : plan.plan;
        return;
      }
      case "body":
        answer = session.handleBody(now, id, new TextEncoder().encode(after)) ? "continue" : "stop";
        return;
      case "stored": {
        const { blob } = plans.get(id);
        const length = Number(after);
        if (hashed.has(blob)) {
          answer = store(id, hashed.get(blob), length);
          hashed.delete(blob);
          return;
        }
        const later = rest.find((other) => other.startsWith(`< hashed ${blob} `));
        answer = store(id, later.slice(`< hashed ${blob} `.length), length);
        open.set(blob, []);
        return;
      }
      case "hashed":
        if (open.has(id)) {
          const waiting = open.get(id);
          open.delete(id);
          for (const said of waiting) input(said, rest);
        } else hashed.set(id, after);
        return;
      case "end":
      case "failure": {
        const blob = plans.get(id)?.blob;
        if (open.has(blob)) return void open.get(blob).push(line);
        if (word === "end") session.handleEnd(now, id);
        else session.handleFailure(now, id, after, "");
        return;
      }
      case "fetch":
        return session.fetch(now, id, Number(after));
      case "skip":
        return session.skip(now, id);
      case "cancel":
        return session.cancel(now, id);
      case "timeout":
        return session.handleTimeout(now);
      case "timeout-due": {
        drain();
        now = outputs[0].until;
        outputs.length = 0;
        return session.handleTimeout(now);
      }
      case "credentials": {
        const [username, password] = after.split(" ");
        return session.credentials(now, id, password === undefined ? undefined : JSON.stringify({ username, password }));
      }
      default:
        throw new Error(`no input: ${line}`);
    }
  };

  steps.forEach((line, at) => {
    const rest = steps.slice(at + 1);
    if (line.startsWith("@ ")) now = Number(line.slice(2));
    else if (line.startsWith("< ")) input(line.slice(2), rest);
    else if (line.startsWith("= ")) equal(answer, line.slice(2), `${name}: ${line}`);
    // Nothing is waited for while a hasher is out; here none ever is.
    else if (!(open.size > 0 && line.startsWith("> wait"))) equal(next(), line.slice(2), `${name}: ${line}`);
  });
  session.free();
}

function show(output) {
  switch (output.output) {
    case "wait":
      return `wait ${output.until ?? "never"}`;
    case "abort":
      return `abort ${output.id}`;
    case "start": {
      const field = (name) => output.headers.find(([one]) => one.toLowerCase() === name)?.[1];
      const scheme = field("authorization")?.split(" ")[0];
      const parts = [`start ${output.id} ${output.method} ${output.url}`];
      if (scheme) parts.push(`authorization=${scheme}`);
      if (field("range")) parts.push(`range=${field("range")}`);
      if (output.tls === "accept_any") parts.push("insecure");
      return parts.join(" ");
    }
  }
  const { descriptor } = output;
  switch (output.event) {
    case "resolved":
    case "document":
      return `${output.event} ${descriptor.digest} ${descriptor.size}`;
    case "need":
      return `need ${output.blob} ${descriptor.digest}${output.document ? " document" : ""}`;
    case "blob_verified":
      return `verified ${output.blob} ${output.digest} ${output.size}`;
    case "blob_rewound":
      return `rewound ${output.blob} ${output.to} ${output.reason.code}`;
    case "need_credentials":
      return `need-credentials ${output.id} ${output.registry} ${output.repository ?? "-"}`;
    case "token_issued":
      return `token ${output.registry} ${output.scope} ${output.expiresIn * 1000}`;
    case "retrying":
      return `retrying ${output.blob ?? "-"} ${output.host} ${output.attempt} ${output.reason.code}`;
    case "listed":
      return `listed ${output.names.join(" ")}`;
    case "finished":
      return `finished ${output.job} ${output.error ? output.error.code : end(output.ok)}`;
    default:
      return JSON.stringify(output);
  }
}

function end(ok) {
  return ok.kind === "listed" ? `listed ${ok.names}` : ok.kind;
}
