/** Core's errors as classes: one for each code. The texts are core's; nothing is said here. */

import type { ErrorFacts, Place } from "./types.js";

/**
 * Something remote or inside an image went wrong.
 *
 * @example
 * ```ts
 * import { Image, WharfieError, NotFoundError } from "wharfie-wasm";
 * try {
 *   await Image.open("ghcr.io/nobody/nothing");
 * } catch (error) {
 *   if (error instanceof NotFoundError) console.error("no such image");
 *   else if (error instanceof WharfieError) console.error(error.code, error.facts, error.hint);
 *   else throw error;
 * }
 * ```
 */
export class WharfieError extends Error {
  /** A stable `snake_case` word, the same in every language. */
  readonly code: string;
  /** The particulars, by name: `expected` and `actual` of `digest_mismatch`, say. */
  readonly facts: Readonly<Record<string, string | number>>;
  /** Where it happened. */
  readonly place: Place;
  /** What can be done about it. */
  readonly hint: string | undefined;

  constructor(facts: ErrorFacts, options?: ErrorOptions) {
    super(facts.message, options);
    this.name = new.target.name;
    this.code = facts.code;
    this.facts = facts.facts;
    this.place = facts.place;
    this.hint = facts.hint;
  }

  /** The error as plain data, for another thread or a log. */
  toJSON(): ErrorFacts {
    const { code, message, facts, place, hint } = this;
    return hint === undefined ? { code, message, facts, place } : { code, message, facts, place, hint };
  }

  /** The error of these facts, in the class of its code. */
  static of(facts: ErrorFacts, options?: ErrorOptions): WharfieError {
    const Class = (ERRORS as Readonly<Record<string, typeof WharfieError>>)[facts.code] ?? WharfieError;
    return new Class(facts, options);
  }
}

/** A reference that cannot be read. */
export class InvalidReferenceError extends WharfieError {}
/** A digest that cannot be read. */
export class InvalidDigestError extends WharfieError {}
/** A well-formed digest of an algorithm that nobody here can compute. */
export class UnsupportedDigestError extends WharfieError {}
/** A URL that cannot be read, or that clients would read differently. */
export class InvalidUrlError extends WharfieError {}
/** A platform that cannot be read. */
export class InvalidPlatformError extends WharfieError {}
/** No manifest of the index fits. */
export class PlatformNotFoundError extends WharfieError {}
/** A manifest, index or config that cannot be read. */
export class InvalidDocumentError extends WharfieError {}
/** A media type that this operation has no use for. */
export class UnsupportedMediaTypeError extends WharfieError {}
/** An artifact where an image is needed. */
export class NotAnImageError extends WharfieError {}
/** Bytes that are not what their digest promised. */
export class DigestMismatchError extends WharfieError {}
/** A layer whose blob is right and whose content is not what the config promises (L23). */
export class DiffIdMismatchError extends WharfieError {}
/** More or fewer bytes than the descriptor promised. */
export class SizeMismatchError extends WharfieError {}
/** A cap of `Limits` was reached. */
export class LimitExceededError extends WharfieError {}
/** No such repository, tag, manifest or blob. */
export class NotFoundError extends WharfieError {}
/** The registry wants credentials, or refuses those that it got. */
export class UnauthorizedError extends WharfieError {}
/** Known, and not allowed. */
export class DeniedError extends WharfieError {}
/** Too many requests, and no retries left. */
export class RateLimitedError extends WharfieError {}
/** The server failed, and no retries are left. */
export class ServerError extends WharfieError {}
/** The server refuses a request, for none of the reasons that have a kind of their own. */
export class RequestRefusedError extends WharfieError {}
/** The registry has no such operation, or does not offer it. */
export class UnsupportedOperationError extends WharfieError {}
/** A response that the protocol does not allow. */
export class ProtocolViolationError extends WharfieError {}
/** A challenge with no scheme that we can answer. */
export class UnsupportedChallengeError extends WharfieError {}
/** A redirect, realm or upload location that we refuse to follow. */
export class ForbiddenTargetError extends WharfieError {}
/** Too many redirects, or a loop. */
export class RedirectLoopError extends WharfieError {}
/** No connection could be made, or it broke too often. */
export class ConnectionFailedError extends WharfieError {}
/** Nothing came for too long, too often. */
export class TimedOutError extends WharfieError {}
/** The certificate is not trusted. */
export class UntrustedCertificateError extends WharfieError {}
/** The caller stopped it. It is what an aborted signal rejects with. */
export class CancelledError extends WharfieError {
  constructor(facts: ErrorFacts, options?: ErrorOptions) {
    super(facts, options);
    // Who handles `fetch` knows it by this name.
    this.name = "AbortError";
  }
}
/** The disk is full. */
export class NoSpaceError extends WharfieError {}
/** Reading or writing locally failed. */
export class LocalIoError extends WharfieError {}
/** Not allowed by the local system. */
export class PermissionDeniedError extends WharfieError {}
/** Something is there already, and must not be overwritten. */
export class AlreadyExistsError extends WharfieError {}
/** Another process uses it. */
export class BusyError extends WharfieError {}
/** Offline, and not in the store. */
export class OfflineError extends WharfieError {}
/** A compressed stream that cannot be decoded. */
export class CorruptStreamError extends WharfieError {}
/** A compression that nobody here can decode. */
export class UnsupportedCompressionError extends WharfieError {}
/** A tar that cannot be read, or only in more than one way (L1, L11, L18, L21, L22). */
export class InvalidTarError extends WharfieError {}
/** A name or link that climbs above the root (L1), or loops (L3). */
export class InvalidPathError extends WharfieError {}
/** A hard link to nothing, to itself or to a directory (L12). */
export class InvalidHardLinkError extends WharfieError {}
/** The config and the layers do not agree (L23). */
export class LayerCountMismatchError extends WharfieError {}
/** The file system that a tree is to be written to cannot hold it (L28). */
export class UnsupportedByTargetError extends WharfieError {}
/** A path that an image does not have. */
export class PathNotFoundError extends WharfieError {}
/** A path of an image that is no regular file, where one is needed. */
export class NotAFileError extends WharfieError {}
/** An option or a combination of options that makes no sense. */
export class InvalidOptionError extends WharfieError {}
/** A file of settings that cannot be read, or says what makes no sense. The place has its path. */
export class InvalidSettingsError extends WharfieError {}
/** The user's settings forbid this registry or repository (`blocked` in registries.conf). */
export class RegistryBlockedError extends WharfieError {}
/** A short name that may stand for several images. */
export class AmbiguousNameError extends WharfieError {}
/** A pattern for paths that cannot be read. */
export class InvalidPatternError extends WharfieError {}
/** A map of owners that cannot be read, or makes no sense. */
export class InvalidIdMapError extends WharfieError {}
/** An owner or a group that the map of owners does not cover. */
export class UnmappedIdError extends WharfieError {}
/** Two images that come to one name where they are imported. */
export class NameConflictError extends WharfieError {}
/** A name that nothing could be listed under. */
export class UnusableNameError extends WharfieError {}
/** A name of a transport that is known and not supported. */
export class UnsupportedTransportError extends WharfieError {}
/** A credential helper, credential file or the like that does not work. */
export class CredentialSourceError extends WharfieError {}
/** An invariant of ours that did not hold. Please report it. */
export class InternalError extends WharfieError {}

/** The class of each code. */
export const ERRORS = {
  invalid_reference: InvalidReferenceError,
  invalid_digest: InvalidDigestError,
  unsupported_digest: UnsupportedDigestError,
  invalid_url: InvalidUrlError,
  invalid_platform: InvalidPlatformError,
  platform_not_found: PlatformNotFoundError,
  invalid_document: InvalidDocumentError,
  unsupported_media_type: UnsupportedMediaTypeError,
  not_an_image: NotAnImageError,
  digest_mismatch: DigestMismatchError,
  diff_id_mismatch: DiffIdMismatchError,
  size_mismatch: SizeMismatchError,
  limit_exceeded: LimitExceededError,
  not_found: NotFoundError,
  unauthorized: UnauthorizedError,
  denied: DeniedError,
  rate_limited: RateLimitedError,
  server_error: ServerError,
  request_refused: RequestRefusedError,
  unsupported_operation: UnsupportedOperationError,
  protocol_violation: ProtocolViolationError,
  unsupported_challenge: UnsupportedChallengeError,
  forbidden_target: ForbiddenTargetError,
  redirect_loop: RedirectLoopError,
  connection_failed: ConnectionFailedError,
  timed_out: TimedOutError,
  untrusted_certificate: UntrustedCertificateError,
  cancelled: CancelledError,
  no_space: NoSpaceError,
  local_io: LocalIoError,
  permission_denied: PermissionDeniedError,
  already_exists: AlreadyExistsError,
  busy: BusyError,
  offline: OfflineError,
  corrupt_stream: CorruptStreamError,
  unsupported_compression: UnsupportedCompressionError,
  invalid_tar: InvalidTarError,
  invalid_path: InvalidPathError,
  invalid_hard_link: InvalidHardLinkError,
  layer_count_mismatch: LayerCountMismatchError,
  unsupported_by_target: UnsupportedByTargetError,
  path_not_found: PathNotFoundError,
  not_a_file: NotAFileError,
  invalid_option: InvalidOptionError,
  invalid_settings: InvalidSettingsError,
  registry_blocked: RegistryBlockedError,
  ambiguous_name: AmbiguousNameError,
  invalid_pattern: InvalidPatternError,
  invalid_id_map: InvalidIdMapError,
  unmapped_id: UnmappedIdError,
  name_conflict: NameConflictError,
  unusable_name: UnusableNameError,
  unsupported_transport: UnsupportedTransportError,
  credential_source: CredentialSourceError,
  internal: InternalError,
} as const;

/** Every code there is. */
export type ErrorCode = keyof typeof ERRORS;
