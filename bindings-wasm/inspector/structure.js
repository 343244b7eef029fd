/** The chain from the name to the layers, and what of it is verified. */
// @ts-check

import { digestButton, hue, make, mark, size, step } from "./words.js";

/**
 * @param {HTMLElement} place @param {any} image @param {any} verified
 * @param {{ platform: (platform: string) => void, layer: (layer: number) => void, document: () => void }} go
 */
export function showStructure(place, image, verified, go) {
  const item = (/** @type {string} */ what, /** @type {string} */ digest, /** @type {string} */ state, /** @type {any} */ ...more) =>
    make(
      "li",
      {},
      make("div", { class: "row" }, make("b", {}, make("button", { class: "link", type: "button", text: what, onclick: go.document })), mark(state)),
      digestButton(digest),
      ...more,
    );
  const items = [];
  if (verified.index) {
    const choose = make("select", { "aria-label": "Platform" });
    for (const platform of image.platforms) {
      choose.append(make("option", { value: platform, text: platform, selected: platform === image.platform }));
    }
    choose.addEventListener("change", () => go.platform(/** @type {HTMLSelectElement} */ (choose).value));
    items.push(item("Index", image.digest, verified.index, image.platforms.length > 1 && choose));
  }
  items.push(item("Manifest", image.manifestDigest, verified.manifest));
  if (image.configDigest) items.push(item("Config", image.configDigest, verified.config ?? "unknown"));
  image.layers.forEach((/** @type {any} */ layer, /** @type {number} */ at) => {
    const state = verified.layers[at] ?? {};
    const both = state.digest === "failed" || state.diffId === "failed" ? "failed"
      : state.digest === "verified" && (state.diffId === "verified" || !layer.diffId) ? "verified" : "unknown";
    items.push(
      make(
        "li",
        { class: "layer", "--hue": hue(at) },
        make(
          "div",
          { class: "row" },
          make("b", { title: step(layer.createdBy) }, make("button", { class: "link", type: "button", text: `Layer ${at}`, onclick: () => go.layer(at) })),
          make("span", { class: "dim", text: layer.size ? size(layer.size) : "" }),
          mark(both),
        ),
        digestButton(layer.digest),
      ),
    );
  });
  place.replaceChildren(...items);
}
