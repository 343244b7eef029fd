/** The config as people read it, and the documents as they are. */
// @ts-check

import { copy, digestButton, make, step } from "./words.js";

/** @param {HTMLElement} place @param {any} image */
export function showConfig(place, image) {
  const run = image.summary.config ?? {};
  const facts = make("dl", { class: "facts" });
  const add = (/** @type {string} */ name, /** @type {any} */ value) => {
    if (value === undefined || value === null || value === "" || value === false) return;
    facts.append(make("dt", { text: name }), make("dd", {}, value));
  };
  const words = (/** @type {string[] | undefined} */ list) => list?.length ? make("code", { text: list.map(quoted).join(" ") }) : undefined;
  const lines = (/** @type {Node[]} */ list) => (list.length ? make("ul", {}, ...list.map((line) => make("li", {}, line))) : undefined);
  add("Platform", image.platform);
  add("Created", image.summary.created && moment(image.summary.created));
  add("Author", image.summary.author);
  add("Entrypoint", words(run.Entrypoint));
  add("Command", words(run.Cmd));
  add("Working directory", run.WorkingDir && make("code", { text: run.WorkingDir }));
  add("User", make("code", { text: run.User || "root" }));
  add("Ports", lines(Object.keys(run.ExposedPorts ?? {}).map((port) => make("code", { text: port }))));
  add("Volumes", lines(Object.keys(run.Volumes ?? {}).map((volume) => make("code", { text: volume }))));
  add("Environment", lines((run.Env ?? []).map((/** @type {string} */ entry) => pair(entry))));
  add("Labels", lines(Object.entries(run.Labels ?? {}).map(([key, value]) => pair(`${key}=${value}`))));
  add("Stop signal", run.StopSignal);
  add("Health check", words(run.Healthcheck?.Test));
  add("Shell", words(run.Shell));
  const annotations = Object.entries(image.description.annotations ?? {});
  add("Annotations", lines(annotations.map(([key, value]) => pair(`${key}=${value}`))));
  const history = make("table", { class: "steps" }, make("tr", {}, make("th", { text: "Layer" }), make("th", { text: "Step" }), make("th", { text: "When" })));
  for (const entry of image.history) {
    history.append(
      make(
        "tr",
        { class: entry.emptyLayer ? "empty" : undefined },
        make("td", { class: "number", text: entry.layer ?? "–" }),
        make("td", { class: "command", text: step(entry.createdBy) || entry.comment || "" }),
        make("td", { class: "dim", text: entry.created ? moment(entry.created) : "" }),
      ),
    );
  }
  place.replaceChildren(make("h2", { text: "How it runs" }), facts);
  if (image.history.length > 0) place.append(make("h2", { text: "How it was made" }), history);
}

/** @param {HTMLElement} place @param {any} image */
export function showDocuments(place, image) {
  const { manifest, config, index } = image.raw;
  const documents = /** @type {[string, string, Uint8Array | undefined][]} */ ([
    ["Index", image.digest, index],
    ["Manifest", image.manifestDigest, manifest],
    ["Config", image.configDigest, config],
  ]);
  place.replaceChildren(
    ...documents
      .filter(([, , raw]) => raw)
      .map(([name, digest, raw]) => {
        const text = new TextDecoder().decode(raw);
        return make(
          "section",
          { class: "document" },
          make(
            "div",
            { class: "head" },
            make("b", { text: name }),
            make("button", { type: "button", text: "Copy", onclick: () => copy(text) }),
            make("span", { class: "dim", text: `${raw?.length.toLocaleString("en")} bytes; copied as they are, shown indented` }),
          ),
          digestButton(digest),
          make("pre", { class: "json", text: indented(text) }),
        );
      }),
  );
}

/** @param {string} text */
function indented(text) {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2);
  } catch {
    return text;
  }
}

/** @param {string} word */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

/** @param {string} entry */
function pair(entry) {
  const at = entry.indexOf("=");
  const [key, value] = at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
  return make("span", { class: "mono" }, make("span", { class: "key", text: key }), `=${value}`);
}

/** @param {string} when */
function moment(when) {
  const date = new Date(when);
  return Number.isNaN(date.getTime()) ? when : date.toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" }) + " UTC";
}
