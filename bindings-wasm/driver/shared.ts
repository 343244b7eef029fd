/** Work that several callers wait for. */

import { check, type Errors, unless } from "./failure.js";

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
    backend: Errors,
    signal: AbortSignal | undefined,
    begin: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    check(backend, signal);
    const under = (this.#under ??= this.#begin(begin));
    under.waiting++;
    try {
      return await unless(backend, signal, under.result);
    } finally {
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

  /** What came of it holds no longer: who asks next has it done anew. */
  forget(): void {
    if (this.#under?.isDone) this.#under = undefined;
  }

  /** What came of it, or comes of it: nothing where nobody asked. */
  get result(): Promise<T> | undefined {
    return this.#under?.result;
  }
}
