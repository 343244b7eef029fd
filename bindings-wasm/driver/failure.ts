/** From what JavaScript throws to what core calls it. */

import type { ClientBackend } from "./backend.js";
import { CancelledError, WharfieError } from "./errors.js";
import type { ErrorFacts } from "./types.js";

/** The error of an aborted signal. */
export function cancelled(backend: ClientBackend, signal: AbortSignal | undefined): CancelledError {
  const facts = JSON.parse(backend.cancelled()) as ErrorFacts;
  return new CancelledError(facts, { cause: signal?.reason as unknown });
}

/** Fails if the signal is aborted. */
export function check(backend: ClientBackend, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelled(backend, signal);
}

/** What went wrong with a file or a store of ours, as core's error. */
export function localError(backend: ClientBackend, operation: string, error: unknown): WharfieError {
  if (error instanceof WharfieError) return error;
  const { failure, needed, detail } = sinkFailure(error);
  return WharfieError.of(JSON.parse(backend.localError(failure, operation, needed, detail)) as ErrorFacts, {
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
