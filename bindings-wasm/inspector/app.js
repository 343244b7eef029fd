/** The page: what is open, what is under way, which view is shown. Images are read by a Worker, never here. */
// @ts-check

import { ImageWorker } from "./wharfie/web.js";
import { download, sweep } from "./download.js";
import { Files } from "./files.js";
import { showConfig, showDocuments } from "./documents.js";
import { showLayers } from "./layers.js";
import { SignIn, mayHelp } from "./signin.js";
import { dropped, picked } from "./sources.js";
import { showStructure } from "./structure.js";
import { byId, copy, counted, make, size } from "./words.js";

const VIEWS = ["config", "layers", "files", "raw"];
const PHASES = /** @type {Record<string, string>} */ ({
  resolve: "Asking the registry",
  fetch: "Fetching",
  unpack: "Unpacking the archive",
  check: "Checking digests",
  read: "Reading layers",
  write: "Writing the root",
});

/** @type {import("./wharfie/web.js").ImageWorker | undefined} */
let worker;
/** @type {any} */
let image;
/**
 * What an image is opened from; `registry` is the one that asked who the user is (none that did not could be told), `given` what
 * it was answered.
 * @typedef {{ source: any, name: string, platform: string, registry?: string, given?: import("./signin.js").Given }} Origin
 */
/** What it was opened from, to open it once more: for another platform, as somebody else. @type {Origin | undefined} */
let opened;
/** @type {AbortController | undefined} */
let underWay;
const signIn = new SignIn();
const files = new Files({ work, save, showLayer, changed: refresh });

/**
 * Does something long: one thing at a time, with progress and a way to stop it.
 * @template T
 * @param {string} what
 * @param {(options: { signal: AbortSignal, onProgress: (progress: any) => void, onEvent: (event: any) => void }) => Promise<T>} act
 * @param {Origin} [origin] Of the image that it is done to.
 * @returns {Promise<T | undefined>} Nothing if it failed, which is told, or was stopped.
 */
async function work(what, act, origin = opened) {
  underWay?.abort();
  signIn.close();
  const mine = (underWay = new AbortController());
  const { signal } = mine;
  showTrouble(undefined);
  showProgress(what, {});
  let last = 0;
  try {
    return await act({
      signal,
      onProgress: (progress) => {
        const now = performance.now();
        if (mine !== underWay || (now - last < 60 && progress.done !== progress.total)) return;
        last = now;
        showProgress(what, progress);
      },
      onEvent: (event) => {
        if (event.event === "warning") note(event.warning.message ?? event.warning.kind);
        if (event.event === "retrying") note(`${event.reason.message}: trying again in ${event.delay.toFixed(1)} s`, "retry");
      },
    });
  } catch (error) {
    if (mine === underWay && !signal.aborted) {
      showTrouble(error, origin);
      if (origin?.registry !== undefined && mayHelp(error)) signIn.failed(error, origin.registry, origin.given, () => reopen(origin));
    }
    return undefined;
  } finally {
    if (mine === underWay) {
      underWay = undefined;
      forget((line) => line.classList.contains("retry"));
      byId("work").hidden = true;
      document.title = image ? `${image.reference} · Wharfie inspector` : "Wharfie inspector";
      refresh();
    }
  }
}

/** @param {string} what @param {{ phase?: string, done?: number, total?: number }} progress */
function showProgress(what, { phase, done = 0, total }) {
  const bar = byId("work-bar");
  const text = phase ? (PHASES[phase] ?? phase) : what;
  const amount = total ? ` ${size(done)} of ${size(total)}` : done ? ` ${size(done)}` : " …";
  byId("work-text").textContent = text + amount;
  if (total) {
    bar.max = total;
    bar.value = done;
    document.title = `${Math.floor((100 * done) / total)} % · Wharfie inspector`;
  } else {
    bar.removeAttribute("value");
  }
  byId("work").hidden = false;
}

/** @param {any} error @param {Origin} [origin] */
function showTrouble(error, origin) {
  const place = byId("trouble");
  place.replaceChildren();
  place.hidden = !error;
  if (!error) return;
  const name = origin && typeof origin.source === "string" ? origin.source : undefined;
  place.dataset.code = error.code ?? "unexpected";
  place.append(
    make("button", { class: "close quiet", type: "button", text: "✕", "aria-label": "Dismiss", onclick: () => showTrouble(undefined) }),
    make("h2", { text: error.code ? error.code.replaceAll("_", " ") : "unexpected" }),
    make("p", { text: error.message ?? String(error) }),
  );
  // Core's hint names the command with IMAGE in it; here it is known which. Of what was typed here the command knows nothing.
  if (error.hint && !origin?.given) place.append(make("p", { text: `hint: ${name ? error.hint.replaceAll("IMAGE", name) : error.hint}` }));
  const registry = origin?.registry;
  if (registry !== undefined && mayHelp(error)) {
    const text = origin?.given && error.code === "denied" ? "Sign in as another user…" : "Sign in…";
    place.append(make("button", { class: "main", type: "button", text, onclick: () => signIn.show(registry, () => reopen(origin)) }));
  }
  if (name && ["connection_failed", "unauthorized", "denied", "forbidden_target"].includes(error.code)) {
    const command = `wharfie save ${name} -o image.tar`;
    place.append(
      make("div", { class: "command" }, make("code", { text: command }), make("button", { type: "button", text: "Copy", onclick: () => copy(command) })),
    );
  }
}

/** @param {string} text @param {"warning" | "retry" | "good"} [kind] */
function note(text, kind = "warning") {
  const notes = byId("notes");
  if ([...notes.children].some((line) => line.textContent === text)) return;
  const line = make("div", { class: kind, text });
  notes.append(line);
  notes.hidden = false;
  if (kind === "good") setTimeout(() => forget((known) => known === line), 6000);
}

/** @param {(line: Element) => boolean} which */
function forget(which) {
  const notes = byId("notes");
  for (const line of [...notes.children]) if (which(line)) line.remove();
  notes.hidden = notes.children.length === 0;
}

/** @param {any} source @param {string} name @param {string} [platform] */
async function open(source, name, platform = byId("platform").value.trim()) {
  forget(() => true);
  /** @type {Origin} */
  const origin = { source, name, platform };
  const credentials = (/** @type {{ registry: string }} */ { registry }) => {
    origin.registry = registry;
    origin.given = signIn.credentials(registry);
    return origin.given;
  };
  worker ??= new ImageWorker();
  const own = worker;
  const next = await work(
    `Opening ${name}`,
    (options) => own.open(source, { ...options, credentials, ...(platform ? { platform } : {}) }),
    origin,
  );
  if (!next) return;
  opened = origin;
  image?.close().catch(() => {});
  image = next;
  byId("welcome").hidden = true;
  byId("image").hidden = false;
  const remote = typeof source === "string";
  history.replaceState(null, "", remote ? `#${encodeURI(source)}` : location.pathname);
  byId("title").textContent = remote ? image.reference : name;
  byId("subtitle").textContent =
    `${image.platform ?? "no platform"} · ${counted(image.layers.length, "layer")}, ${size(image.size)}`;
  byId("platforms").replaceChildren(...image.platforms.map((/** @type {string} */ each) => make("option", { value: each })));
  byId("platform").value = image.platform ?? "";
  document.title = `${byId("title").textContent} · Wharfie inspector`;
  showConfig(byId("view-config"), image);
  showDocuments(byId("view-raw"), image);
  files.show(image);
  show("config");
  await refresh();
}

/** Says again what is verified by now. */
async function refresh() {
  if (!image) return;
  const verified = await image.verified().catch(() => undefined);
  if (!verified) return;
  showStructure(byId("structure"), image, verified, { platform: (platform) => reopen(opened, platform), layer: showLayer, document: () => show("raw") });
  showLayers(byId("view-layers"), image, verified, { save, files: showFilesOf });
}

/** @param {Origin | undefined} origin @param {string} [platform] */
function reopen(origin, platform = origin?.platform) {
  if (origin) void open(origin.source, origin.name, platform);
}

/** @param {number} layer */
function showLayer(layer) {
  show("layers");
  const row = byId("view-layers").querySelector(`[data-layer="${layer}"]`);
  row?.scrollIntoView({ block: "center" });
  row?.classList.add("lit");
  setTimeout(() => row?.classList.remove("lit"), 1500);
}

/** @param {number} layer */
function showFilesOf(layer) {
  show("files");
  void files.ofLayer(layer);
}

/**
 * @param {string} name
 * @param {(options: any) => any} stream
 */
async function save(name, stream) {
  const done = await work(`Saving ${name}`, ({ signal, onProgress }) =>
    download((options) => stream({ ...options, onProgress }), name, { signal }),
  );
  if (done) note(`${name}: saved, every digest on the way verified`, "good");
}

/** @param {string} view */
function show(view) {
  for (const each of VIEWS) {
    const chosen = each === view;
    byId(`view-${each}`).hidden = !chosen;
    byId(`tab-${each}`).setAttribute("aria-selected", String(chosen));
    byId(`tab-${each}`).tabIndex = chosen ? 0 : -1;
  }
  if (view === "files") void files.begin();
}

/** @param {string} end */
function rootName(end) {
  const last = /** @type {string} */ (byId("title").textContent).split("/").pop() ?? "image";
  return `${last.replace(/\.(tar|tgz|tar\.\w+)$/, "").replace(/[^\w.-]+/g, "-")}-root${end}`;
}

byId("ask").addEventListener("submit", (/** @type {Event} */ event) => {
  event.preventDefault();
  const name = byId("name").value.trim();
  // A platform that was shown for another image is not asked for.
  if (name) void open(name, name, opened?.source === name || !image ? undefined : "");
});
byId("pick-file").addEventListener("click", () => byId("file").click());
byId("pick-folder").addEventListener("click", () => byId("folder").click());
byId("drop").addEventListener("click", () => byId("file").click());
byId("drop").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
  if (event.key === "Enter" || event.key === " ") byId("file").click();
});
byId("file").addEventListener("change", () => {
  const file = byId("file").files[0];
  byId("file").value = "";
  if (file) void open(file, file.name, "");
});
byId("folder").addEventListener("change", () => {
  const folder = picked(byId("folder").files);
  byId("folder").value = "";
  if (folder.source.length > 0) void open(folder.source, folder.name, "");
});
byId("cancel").addEventListener("click", () => underWay?.abort());
byId("verify").addEventListener("click", () =>
  work("Verifying", async (options) => {
    for await (const _ of image.files(undefined, options)) break;
    await image.tree(options);
  }),
);
byId("export-tar").addEventListener("click", () => save(rootName(".tar"), (options) => image.export({ ...options, format: "tar" })));
byId("export-gz").addEventListener("click", () => save(rootName(".tar.gz"), (options) => image.export({ ...options, format: "tar.gz" })));

for (const view of VIEWS) {
  byId(`tab-${view}`).addEventListener("click", () => show(view));
  byId(`tab-${view}`).addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (step === 0) return;
    const next = VIEWS[(VIEWS.indexOf(view) + step + VIEWS.length) % VIEWS.length] ?? view;
    show(next);
    byId(`tab-${next}`).focus();
  });
}

let depth = 0;
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  window.addEventListener(kind, (plain) => {
    const event = /** @type {DragEvent} */ (plain);
    event.preventDefault();
    depth += kind === "dragenter" ? 1 : kind === "dragleave" ? -1 : 0;
    if (kind === "drop") depth = 0;
    byId("veil").hidden = depth <= 0;
    if (kind === "drop" && event.dataTransfer) {
      void dropped(event.dataTransfer).then((found) => found && open(found.source, found.name, ""));
    }
  });
}

window.addEventListener("keydown", (event) => {
  // A dialog has its own keys.
  if (byId("signin").open) return;
  if (event.key === "Escape") {
    underWay?.abort();
    return;
  }
  const target = /** @type {HTMLElement} */ (event.target);
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view && image) show(view);
  else if (event.key === "o") byId("file").click();
  else if (event.key === "g") byId("name").focus();
  else if (event.key === "t") changeTheme();
  else if (event.key === "/" && image) {
    show("files");
    byId("search").focus();
  } else return;
  event.preventDefault();
});

/** @param {string} theme */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}
function changeTheme() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(next);
  try {
    localStorage.setItem("theme", next);
  } catch {
    // It is not kept then.
  }
}
const dark = matchMedia("(prefers-color-scheme: dark)");
/** @returns {string | null} */
const kept = () => {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
};
setTheme(kept() ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => kept() === null && setTheme(dark.matches ? "dark" : "light"));
byId("theme").addEventListener("click", changeTheme);

void sweep();
const asked = decodeURI(location.hash.slice(1));
if (asked) {
  byId("name").value = asked;
  void open(asked, asked);
}
