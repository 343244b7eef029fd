/** Bytes to a file of the user's, never held in memory as a whole. */
// @ts-check

/**
 * Saves a stream under a name: into the file that the user picks where the browser has such a dialog, else through a file
 * in the page's own storage, which the browser then downloads. A stream that fails leaves nothing.
 * @param {(options: { signal: AbortSignal }) => ReadableStream<Uint8Array> | Promise<ReadableStream<Uint8Array>>} open
 * @param {string} name
 * @param {{ signal: AbortSignal, onBytes?: (bytes: number) => void }} options
 * @returns {Promise<boolean>} Whether it was saved; not if the user thought better of it.
 */
export async function download(open, name, { signal, onBytes }) {
  const picker = /** @type {any} */ (window).showSaveFilePicker;
  let handle;
  if (picker) {
    try {
      handle = await picker.call(window, { suggestedName: name });
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return false;
      // A page in a frame may not ask: it goes the other way.
    }
  }
  let written = 0;
  const counted = new TransformStream({
    transform(chunk, controller) {
      written += chunk.length;
      onBytes?.(written);
      controller.enqueue(chunk);
    },
  });
  const stream = (await open({ signal })).pipeThrough(counted);
  if (handle) {
    // What is written becomes the file when it is closed; aborted, the file stays as it was.
    await stream.pipeTo(await handle.createWritable(), { signal });
    return true;
  }
  const kept = await keep(stream, name, signal);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(kept.file);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads from it after the click has returned, and says nothing when it has.
  setTimeout(() => {
    URL.revokeObjectURL(link.href);
    kept.drop();
  }, 10 * 60_000);
  return true;
}

/**
 * @param {ReadableStream<Uint8Array>} stream @param {string} name @param {AbortSignal} signal
 * @returns {Promise<{ file: Blob, drop: () => void }>}
 */
async function keep(stream, name, signal) {
  let folder;
  try {
    folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("downloads", { create: true });
  } catch {
    // No storage (a private window of some browsers): memory is all there is.
    const file = new Blob([await new Response(stream).blob()], { type: "application/octet-stream" });
    return { file, drop: () => {} };
  }
  const own = `${crypto.randomUUID()}-${name}`;
  const handle = await folder.getFileHandle(own, { create: true });
  const drop = () => void folder.removeEntry(own).catch(() => {});
  try {
    await stream.pipeTo(await handle.createWritable(), { signal });
    // Of no kind: else the browser adds an ending to the name. The bytes stay where they are.
    return { file: new Blob([await handle.getFile()], { type: "application/octet-stream" }), drop };
  } catch (error) {
    drop();
    throw error;
  }
}

/** Takes away what earlier visits left. */
export async function sweep() {
  try {
    await (await navigator.storage.getDirectory()).removeEntry("downloads", { recursive: true });
  } catch {
    // There is nothing, or no storage.
  }
}
