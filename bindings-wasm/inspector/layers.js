/** The layers: their sizes, what made them, and what of them is verified. */
// @ts-check

import { chip, digestButton, hue, make, mark, size, step } from "./words.js";

/**
 * @param {HTMLElement} place @param {any} image @param {any} verified
 * @param {{ save: (name: string, stream: (options: any) => any) => void, files: (layer: number) => void }} go
 */
export function showLayers(place, image, verified, go) {
  const most = Math.max(1, ...image.layers.map((/** @type {any} */ layer) => layer.size));
  const table = make(
    "table",
    { class: "steps" },
    make("tr", {}, ...["", "Made by", "Digests", "Size", ""].map((text) => make("th", { text }))),
  );
  image.layers.forEach((/** @type {any} */ layer, /** @type {number} */ at) => {
    const state = verified.layers[at] ?? {};
    const name = `${layer.digest.replace(/^sha\d+:/, "").slice(0, 12)}.tar`;
    table.append(
      make(
        "tr",
        { "data-layer": at, "--hue": hue(at) },
        make("td", {}, chip(at)),
        make("td", { class: "command", text: step(layer.createdBy) || layer.comment || "nothing is said of it" }),
        make(
          "td",
          {},
          make("div", { class: "row" }, "blob ", mark(state.digest)),
          digestButton(layer.digest),
          layer.diffId && make("div", { class: "row" }, "content ", mark(state.diffId)),
          layer.diffId && digestButton(layer.diffId),
          make("span", { class: "dim mono", text: layer.mediaType.replace(/^application\/vnd\./, "") }),
        ),
        make(
          "td",
          { class: "number" },
          layer.size ? size(layer.size) : "?",
          make("div", { class: "share", "--hue": hue(at), "--share": layer.size / most }),
        ),
        make(
          "td",
          { class: "number" },
          make("button", { type: "button", text: "Files", title: "The files of the merged root that come from here", onclick: () => go.files(at) }),
          " ",
          make("button", {
            type: "button",
            text: ".tar",
            title: "Save the layer's own tar",
            onclick: () => go.save(name, (options) => layer.open(options)),
          }),
        ),
      ),
    );
  });
  place.replaceChildren(make("h2", { text: "Layers, the lowest first" }), table);
}
