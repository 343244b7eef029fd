// A gigabyte under a cap: nothing of the archive's size is ever in memory.

import { ok, test } from "../check.mjs";

test(
  "an archive of a gigabyte, in a worker",
  async ({ wharfie, large }) => {
    const file = await large();
    const worker = new wharfie.ImageWorker();
    const began = performance.now();
    const image = await worker.open(file, { platform: "linux/amd64" });
    const tree = await image.tree();
    ok(tree.count > 1);
    let length = 0;
    let longest = 0;
    let last = performance.now();
    const ticking = setInterval(() => {
      const now = performance.now();
      longest = Math.max(longest, now - last);
      last = now;
    }, 5);
    const reader = image.export().getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) length += part.value.length;
    clearInterval(ticking);
    ok(length > 0.9 * file.size, `${length} bytes`);
    await image.close();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const heap = Math.round((performance.memory?.usedJSHeapSize ?? 0) / 2 ** 20);
    console.log(`# ${file.size >> 20} MB read and exported in ${seconds} s; the page stood still for ${longest.toFixed(0)} ms at most, ${heap} MB of heap`);
    worker.terminate();
  },
  { on: ["large"], seconds: 120 },
);
