/** Long work of native code: its progress and its end. */

import type { Progress, WorkOptions } from "wharfie-wasm";
import { internal } from "wharfie-wasm";

import { awaiting, converted, type Native, type Stream, type Work } from "./native.js";

const PROGRESS_EVERY = 50;

/** Looks after something: aborts it, and tells of it. */
class Watch {
  readonly work: Work;
  readonly #native: Native;
  readonly #options: WorkOptions;
  readonly #stop: () => void;
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(native: Native, options: WorkOptions) {
    internal.check(internalBackend(native), options.signal);
    this.#native = native;
    this.#options = options;
    this.work = new native.Work();
    this.#stop = () => this.work.cancel();
    options.signal?.addEventListener("abort", this.#stop, { once: true });
    if (options.onProgress) this.#timer = setInterval(() => this.#tell(), PROGRESS_EVERY).unref();
  }

  #tell(): void {
    const news = this.#options.onProgress && this.work.news();
    if (news) this.#options.onProgress?.(JSON.parse(news) as Progress);
  }

  /** It is over. */
  end(): void {
    clearInterval(this.#timer);
    this.#options.signal?.removeEventListener("abort", this.#stop);
    this.#tell();
  }

  /** What it failed with. */
  error(error: unknown): unknown {
    const { signal } = this.#options;
    return signal?.aborted ? internal.cancelled(internalBackend(this.#native), signal) : converted(error);
  }
}

function internalBackend(native: Native): internal.ClientBackend {
  return native as unknown as internal.ClientBackend;
}

/** Does something that takes long. */
export async function supervised<T>(native: Native, options: WorkOptions, begin: (work: Work) => Promise<T>): Promise<T> {
  const watch = new Watch(native, options);
  try {
    return await begin(watch.work);
  } catch (error) {
    throw watch.error(error);
  } finally {
    watch.end();
  }
}

/** A stream of what native threads make. It is stopped when nobody wants it any more, and when the signal says so. */
export async function streamed(
  native: Native,
  options: WorkOptions,
  begin: (work: Work) => Promise<Stream>,
): Promise<ReadableStream<Uint8Array>> {
  const watch = new Watch(native, options);
  let stream: Stream;
  try {
    stream = await begin(watch.work);
  } catch (error) {
    watch.end();
    throw watch.error(error);
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
          internal.check(internalBackend(native), signal);
          if (piece) {
            controller.enqueue(piece);
          } else {
            end();
            controller.close();
          }
        } catch (error) {
          end();
          throw watch.error(error);
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}

/** Waits for what cannot be stopped, unless the signal says so before. */
export async function unless<T>(native: Native, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const backend = internalBackend(native);
  internal.check(backend, signal);
  if (!signal) return awaiting(work);
  let stop: (() => void) | undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(internal.cancelled(backend, signal));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([awaiting(work), stopped]);
  } finally {
    if (stop) signal.removeEventListener("abort", stop);
  }
}
