/** How things are said and put on the page. */
// @ts-check

/**
 * Makes an element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] `class`, `text`, `on…` and any attribute; those that are undefined or false are left out.
 * @param {...(Node | string | undefined | null | false)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false || value === null) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== undefined && child !== null && child !== false).map((child) => /** @type {Node | string} */ (child)));
  return element;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} B` : `${bytes < 10 ? bytes.toFixed(2) : bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

/** @param {number} count @param {string} what */
export const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;

/** A digest that is copied when it is clicked. @param {string} digest */
export function digestButton(digest) {
  const button = make("button", { class: "digest", type: "button", title: `${digest}\nClick to copy`, text: digest });
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    await copy(digest);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = digest), 900);
  });
  return button;
}

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that is not served over https has no clipboard; the selection has.
    const area = make("textarea", { class: "hidden" });
    /** @type {HTMLTextAreaElement} */ (area).value = text;
    document.body.append(area);
    /** @type {HTMLTextAreaElement} */ (area).select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Whether bytes are what their digest says: only what was computed is `verified`. @param {string | undefined} state */
export function mark(state) {
  const text = state === "verified" ? "verified" : state === "failed" ? "wrong" : "not read yet";
  return make("span", { class: `mark ${state ?? "unknown"}`, text, title: state === "verified" ? "Computed from the bytes, and equal" : undefined });
}

/** The colour of a layer. @param {number | undefined} layer */
export const hue = (layer) => (layer === undefined ? undefined : `var(--hue-${layer % 8})`);

/** @param {number | undefined} layer */
export const chip = (layer) =>
  layer === undefined
    ? make("span", { class: "chip", text: "–", title: "No layer has an entry for this directory" })
    : make("span", { class: "chip", "--hue": hue(layer), text: layer, title: `Layer ${layer}` });

/** A build step as people write it. @param {string | undefined} command */
export function step(command) {
  if (!command) return "";
  return command
    .replace(/^\/bin\/sh -c #\(nop\)\s*/, "")
    .replace(/^\/bin\/sh -c\s+/, "RUN ")
    .replace(/\s*# buildkit$/, "")
    .replace(/\s+&&\s+/g, " \\\n  && ");
}

/** `rwxr-xr-x` and the kind in front of it. @param {string} type @param {number} mode */
export function permissions(type, mode) {
  const kinds = /** @type {Record<string, string>} */ ({ directory: "d", symlink: "l", char: "c", block: "b", fifo: "p" });
  const bit = (/** @type {number} */ shift, /** @type {string} */ letter) => ((mode >> shift) & 1 ? letter : "-");
  const special = (/** @type {number} */ exec, /** @type {number} */ flag, /** @type {string} */ letter) => {
    const has = (mode >> flag) & 1;
    if (!has) return bit(exec, "x");
    return (mode >> exec) & 1 ? letter : letter.toUpperCase();
  };
  return (kinds[type] ?? "-") +
    bit(8, "r") + bit(7, "w") + special(6, 11, "s") +
    bit(5, "r") + bit(4, "w") + special(3, 10, "s") +
    bit(2, "r") + bit(1, "w") + special(0, 9, "t");
}
