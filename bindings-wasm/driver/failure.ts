/** From what JavaScript throws to what core calls it. */

import type { ClientBackend } from "./backend.js";
import { CancelledError, WharfieError } from "./errors.js";
import type { ErrorFacts } from "./types.js";

/** What of core makes hosts' own errors. */
export type Errors = Pick<ClientBackend, "cancelled" | "localError">;

/** The error of an aborted signal. */
export function cancelled(backend: Errors, signal: AbortSignal | undefined): CancelledError {
  const facts = JSON.parse(backend.cancelled()) as ErrorFacts;
  return new CancelledError(facts, { cause: signal?.reason as unknown });
}

/** Fails if the signal is aborted. */
export function check(backend: Errors, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(backend, signal);
}

/** Waits for what others wait for too, unless the signal says so before. */
export async function unless<T>(
  backend: Errors,
  signal: AbortSignal | undefined,
  result: Promise<T>,
): Promise<T> {
  if (!signal) return result;
  // Nobody may be there to hear of it.
  result.catch(() => undefined);
  check(backend, signal);
  let stop: (() => void) | undefined;
  const stopped = new Promise<never>((_, reject) => {
    stop = () => reject(cancelled(backend, signal));
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([result, stopped]);
  } finally {
    if (stop) signal.removeEventListener("abort", stop);
  }
}

/** What went wrong with a file or a store of ours, as core's error. */
export function localError(backend: Errors, operation: string, error: unknown): WharfieError {
  if (error instanceof WharfieError) return error;
  const { failure, needed, detail } = sinkFailure(error);
  const isAbsent = (error as { code?: unknown } | undefined)?.code === "ENOENT";
  const facts = backend.localError(isAbsent ? "absent" : failure, operation, needed, detail);
  return WharfieError.of(JSON.parse(facts) as ErrorFacts, {
    cause: error,
  });
}

/** What a sink's failure is (`client::SinkFailure`). */
export function sinkFailure(error: unknown): { failure: string; needed: number; detail: string } {
  const { code, name, needed, message } = (error ?? {}) as {
    code?: unknown;
    name?: unknown;
    needed?: unknown;
    message?: unknown;
  };
  const detail = typeof message === "string" ? message : String(error);
  const failure =
    code === "ENOSPC" || code === "EDQUOT" || name === "QuotaExceededError"
      ? "no_space"
      : code === "EACCES" || code === "EPERM" || code === "EROFS" || name === "NotAllowedError"
        ? "permission"
        : "io";
  return { failure, needed: typeof needed === "number" ? needed : 0, detail };
}
