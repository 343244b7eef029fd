/** Work that several callers wait for. */

import type { ClientBackend } from "./backend.js";
import { cancelled, check } from "./failure.js";

interface Under<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  waiting: number;
  isDone: boolean;
}

/** Done once, for whoever asks. Each caller may give up; the work stops when all of them have, and is begun anew after that. */
export class Shared<T> {
  #under: Under<T> | undefined;

  async join(
    backend: ClientBackend,
    signal: AbortSignal | undefined,
    begin: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    check(backend, signal);
    const under = (this.#under ??= this.#begin(begin));
    under.waiting++;
    let follow: (() => void) | undefined;
    const stopped = new Promise<never>((_, reject) => {
      follow = () => reject(cancelled(backend, signal));
      signal?.addEventListener("abort", follow, { once: true });
    });
    try {
      return await Promise.race([under.result, stopped]);
    } finally {
      if (follow) signal?.removeEventListener("abort", follow);
      under.waiting--;
      if (under.waiting === 0 && !under.isDone) {
        if (this.#under === under) this.#under = undefined;
        under.stop.abort(signal?.reason);
      }
    }
  }

  #begin(begin: (signal: AbortSignal) => Promise<T>): Under<T> {
    const stop = new AbortController();
    const under: Under<T> = { result: begin(stop.signal), stop, waiting: 0, isDone: false };
    under.result.then(
      () => (under.isDone = true),
      () => {
        if (this.#under === under) this.#under = undefined;
      },
    );
    return under;
  }

  /** What came of it, or comes of it: nothing where nobody asked. */
  get result(): Promise<T> | undefined {
    return this.#under?.result;
  }
}
