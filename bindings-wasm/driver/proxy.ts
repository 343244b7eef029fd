/** Images in a Worker, with the same face as images here. */

import { Image } from "./image.js";
import type { ImageSource, OpenOptions, RegistryOptions } from "./types.js";

/**
 * A Worker that opens images, so that a page stays awake whatever they are. The images have the same methods as those of
 * `Image.open`; bytes come over without being copied.
 *
 * @example
 * ```ts
 * import { ImageWorker } from "wharfie-wasm/web";
 * const worker = new ImageWorker();
 * const stop = new AbortController();
 * const image = await worker.open("ghcr.io/org/image:tag", { signal: stop.signal, onProgress: console.log });
 * const tree = await image.tree();
 * console.log(tree.children("/").map((entry) => entry.name));
 * worker.terminate();
 * ```
 */
export declare class ImageWorker {
  /** Starts one. Give the URL of `wharfie-wasm/worker` where a bundler moved it, or a Worker of your own that runs it. */
  constructor(worker?: URL | string | Worker);
  /** As `Image.open`. `fetch`, `dispatcher` and a `store` that is an object do not go to another thread. */
  open(source: ImageSource, options?: OpenOptions): Promise<Image>;
  /** As `tags`. */
  tags(repository: string, options?: RegistryOptions): Promise<string[]>;
  /** Ends it, with all that it has under way. */
  terminate(): void;
}
