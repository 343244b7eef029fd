/** Files and folders that are dropped or picked. */
// @ts-check

/** @typedef {{ path: string, file: Blob }} FolderEntry */

/**
 * What was dropped: one file, or a folder's files. Must be called while the event is handled.
 * @param {DataTransfer} transfer
 * @returns {Promise<{ name: string, source: File | FolderEntry[] } | undefined>}
 */
export function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  const files = [...transfer.files];
  return (async () => {
    const folder = entries.find((entry) => entry.isDirectory);
    if (folder) {
      /** @type {FolderEntry[]} */
      const found = [];
      await walk(/** @type {FileSystemDirectoryEntry} */ (folder), "", found);
      return { name: folder.name, source: found };
    }
    const file = files[0];
    return file && { name: file.name, source: file };
  })();
}

/** @param {FileSystemDirectoryEntry} folder @param {string} path @param {FolderEntry[]} found */
async function walk(folder, path, found) {
  const reader = folder.createReader();
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return;
    for (const entry of batch) {
      const own = path ? `${path}/${entry.name}` : entry.name;
      if (entry.isDirectory) {
        await walk(/** @type {FileSystemDirectoryEntry} */ (entry), own, found);
      } else {
        const file = await new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
        found.push({ path: own, file });
      }
    }
  }
}

/** What a folder's input holds. @param {FileList} files */
export function picked(files) {
  const all = [...files];
  const name = all[0]?.webkitRelativePath.split("/")[0] ?? "folder";
  return { name, source: all.map((file) => ({ path: file.webkitRelativePath.split("/").slice(1).join("/"), file })) };
}
