/** Long work of native code: its progress and its end. */

import type { Progress, WorkOptions } from "wharfie-wasm";
import { internal } from "wharfie-wasm";

import { converted, type Native, type Stream, type Work } from "./native.js";

const PROGRESS_EVERY = 50;

/** Looks after something: aborts it, and tells of it. */
class Watch {
  readonly work: Work;
  readonly #native: Native;
  readonly #options: WorkOptions;
  readonly #stop: () => void;
  readonly #timer: NodeJS.Timeout | undefined;
  /** What a function of the caller's threw. */
  #own: { readonly error: unknown } | undefined;

  constructor(native: Native, options: WorkOptions) {
    internal.check(native, options.signal);
    this.#native = native;
    this.#options = options;
    this.work = new native.Work();
    this.#stop = () => this.work.cancel();
    options.signal?.addEventListener("abort", this.#stop, { once: true });
    if (options.onProgress) this.#timer = setInterval(() => this.#tell(), PROGRESS_EVERY).unref();
  }

  #tell(): void {
    const news = this.#options.onProgress && !this.#own && this.work.news();
    if (!news) return;
    try {
      this.#options.onProgress?.(JSON.parse(news) as Progress);
    } catch (error) {
      this.#own = { error };
      this.work.cancel();
    }
  }

  /** Fails with what a function of the caller's threw. */
  check(): void {
    if (this.#own) throw this.#own.error;
  }

  /** It is over. */
  end(): void {
    clearInterval(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#stop);
    this.#tell();
  }

  /** What it failed with. */
  error(error: unknown): unknown {
    if (this.#own) return this.#own.error;
    const { signal } = this.#options;
    return signal?.aborted ? internal.cancelled(this.#native, signal) : converted(error);
  }
}

/** Does something that takes long. */
export async function supervised<T>(native: Native, options: WorkOptions, begin: (work: Work) => Promise<T>): Promise<T> {
  const watch = new Watch(native, options);
  let ok: T;
  try {
    ok = await begin(watch.work);
  } catch (error) {
    watch.end();
    throw watch.error(error);
  }
  watch.end();
  watch.check();
  return ok;
}

/** A stream of what native threads make. It is stopped when nobody wants it any more, and when the signal says so. */
export async function streamed(
  native: Native,
  options: WorkOptions,
  begin: (work: Work) => Promise<Stream>,
  note: (error: unknown) => void,
): Promise<ReadableStream<Uint8Array>> {
  const watch = new Watch(native, options);
  const failed = (error: unknown): unknown => {
    const said = watch.error(error);
    note(said);
    return said;
  };
  let stream: Stream;
  try {
    stream = await begin(watch.work);
  } catch (error) {
    watch.end();
    throw failed(error);
  }
  const { signal } = options;
  const stop = (): void => stream.close();
  signal?.addEventListener("abort", stop, { once: true });
  const end = (): void => {
    watch.end();
    signal?.removeEventListener("abort", stop);
    stream.close();
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const piece = await stream.next();
          internal.check(native, signal);
          if (piece) {
            controller.enqueue(piece);
          } else {
            end();
            watch.check();
            controller.close();
          }
        } catch (error) {
          end();
          throw failed(error);
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
