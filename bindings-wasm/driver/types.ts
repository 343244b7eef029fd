/** The words that cross between core and a host, as TypeScript has them. */

/** Names a document or a blob (image-spec, descriptor). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  /** In bytes; 0 where a registry does not say it. */
  readonly size: number;
  /** `os/arch[/variant]`. */
  readonly platform?: string;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What a pull takes of one image. */
export interface PulledImage {
  readonly manifest: Descriptor;
  readonly platform?: string;
  readonly config?: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** What a pull came to. */
export interface Pulled {
  readonly top: Descriptor;
  readonly images: readonly PulledImage[];
  /** Bytes that came over the network. */
  readonly received: number;
}

/** One step that went into an image. */
export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly comment?: string;
  readonly author?: string;
  readonly emptyLayer: boolean;
  /** The layer that it made, counted from 0 at the bottom. */
  readonly layer?: number;
}

/** What is known of a layer without reading it. */
export interface LayerFacts {
  readonly digest: string;
  readonly size: number;
  readonly mediaType: string;
  /** The digest of its uncompressed tar, as the config says. */
  readonly diffId?: string;
  /** The command that made it. */
  readonly createdBy?: string;
  readonly created?: string;
  readonly comment?: string;
}

/** What core says of an image: `wire::describe`. */
export interface Description {
  readonly name: string;
  readonly digest: string;
  readonly mediaType: string;
  readonly platform?: string;
  /** Of the index, where there is one. */
  readonly platforms?: readonly string[];
  readonly artifactType?: string;
  readonly subject?: Descriptor;
  readonly manifestDigest: string;
  readonly configDigest?: string;
  /** Bytes of all layers, compressed. */
  readonly size: number;
  readonly layers: readonly LayerFacts[];
  /** As the config lists them; they ought to be as many as the layers. */
  readonly diffIds?: readonly string[];
  readonly history: readonly HistoryEntry[];
  /** The config in readable form: user, env, entrypoint, command, …. */
  readonly summary?: Readonly<Record<string, unknown>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An error as core tells it: `wire::error_json`. */
export interface ErrorFacts {
  /** A stable `snake_case` word. */
  readonly code: string;
  /** What happened, with its place. */
  readonly message: string;
  readonly facts: Readonly<Record<string, string | number>>;
  readonly place: Place;
  /** What can be done about it, where there is something. */
  readonly hint?: string;
}

/** Where it happened, as far as that is known. */
export interface Place {
  readonly image?: string;
  readonly blob?: string;
  /** Counted from 0 at the bottom. */
  readonly layer?: number;
  readonly entry?: string;
  /** In the uncompressed layer, or in the document. */
  readonly byte?: number;
  readonly url?: string;
  readonly path?: string;
}

/** Something that is no failure and ought to be said. */
export interface Warning {
  readonly kind: string;
  readonly [fact: string]: unknown;
}

/** What core tells on the way; the same in every language. */
export type Event =
  | { readonly event: "resolved"; readonly job: number; readonly descriptor: Descriptor }
  | { readonly event: "answered"; readonly job: number; readonly endpoint: string }
  | {
      readonly event: "chosen";
      readonly job: number;
      readonly wanted: string;
      readonly taken?: string;
      readonly descriptor: Descriptor;
      readonly others: readonly string[];
    }
  | { readonly event: "need"; readonly job: number; readonly blob: number; readonly descriptor: Descriptor; readonly document: boolean }
  | { readonly event: "document"; readonly job: number; readonly blob: number; readonly descriptor: Descriptor; readonly document: number }
  | { readonly event: "described"; readonly job: number; readonly pulled: Pulled }
  | { readonly event: "blob_rewound"; readonly blob: number; readonly to: number; readonly reason: ErrorFacts }
  | { readonly event: "blob_verified"; readonly blob: number; readonly digest: string; readonly size: number }
  | {
      readonly event: "need_credentials";
      readonly id: number;
      readonly registry: string;
      readonly repository?: string;
      readonly standsFor?: string;
    }
  | { readonly event: "token_issued"; readonly registry: string; readonly scope: string; readonly expiresIn: number }
  | {
      readonly event: "retrying";
      readonly blob?: number;
      readonly host: string;
      readonly attempt: number;
      readonly delay: number;
      readonly reason: ErrorFacts;
    }
  | { readonly event: "warning"; readonly job: number; readonly warning: Warning }
  | { readonly event: "listed"; readonly job: number; readonly names: readonly string[] }
  | { readonly event: "finished"; readonly job: number; readonly ok?: Readonly<Record<string, unknown>>; readonly error?: ErrorFacts };

/** How far something has come. */
export interface Progress {
  /**
   * `resolve` asks which image is meant, `fetch` brings blobs, `unpack` decodes a compressed archive, `check` hashes what
   * a file holds, `read` goes through layers, `write` makes a tar.
   */
  readonly phase: "resolve" | "fetch" | "unpack" | "check" | "read" | "write";
  /** Bytes so far. */
  readonly done: number;
  /** Bytes of the whole, where that is known. */
  readonly total?: number;
}

/** Who the user is at a registry. */
export type Credentials =
  | { readonly username: string; readonly password: string }
  /** What `docker login` keeps in the place of a password. */
  | { readonly identityToken: string }
  /** A bearer token that the registry itself takes. */
  | { readonly registryToken: string };

/** A registry's question for credentials. */
export interface CredentialsQuestion {
  readonly registry: string;
  readonly repository?: string;
}

/** Credentials for every registry that asks, or who is asked for them. `undefined` means that there are none. */
export type CredentialsOption =
  | Credentials
  | ((question: CredentialsQuestion) => Credentials | undefined | Promise<Credentials | undefined>);

/** Whether bytes are what their digest says. `failed` is never the state of bytes that were handed out as an image's own. */
export type Verified = "unknown" | "verified" | "failed";

/** What a registry is asked with. */
export interface RegistryOptions {
  /**
   * Stops everything. What was started then rejects with a `CancelledError`: its `name` is `AbortError`, as that of `fetch`,
   * its `code` is `cancelled`, as in every language, and its `cause` is `signal.reason`.
   */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  /** Everything that core tells: retries, warnings, which platform was chosen. */
  readonly onEvent?: (event: Event) => void;
  readonly credentials?: CredentialsOption;
  /**
   * In the place of the global `fetch`. Node's own knows no proxies and no CAs of one's own: give one that does (undici's
   * with `dispatcher`, say).
   */
  readonly fetch?: (input: string, init: RequestInit) => Promise<Response>;
  /** Handed on to `fetch` as it is: undici's `Agent` or `ProxyAgent`. */
  readonly dispatcher?: unknown;
  /**
   * Registries (`host:port`) that may be asked by plain http where https does not answer; `true` for all. Certificates are
   * `fetch`'s to check: for those that nobody vouches for give `dispatcher` (undici's `new Agent({ connect: { rejectUnauthorized:
   * false } })`). A page's own `fetch` takes no such thing.
   */
  readonly insecure?: readonly string[] | true;
  /** Registries that speak plain http and nothing else. */
  readonly plainHttp?: readonly string[];
  /** Failures in a row without progress before it is given up; 5. */
  readonly retries?: number;
  /** Seconds to wait for an answer, or for the next byte of one. */
  readonly timeout?: number;
  /** Blobs fetched at once; 6. */
  readonly jobs?: number;
}

/** How an image is opened. */
export interface OpenOptions extends RegistryOptions {
  /**
   * `os/arch[/variant]`, parts that are missing being this machine's. Left out, it is linux on this machine's processor
   * (`linux/amd64` in a browser).
   */
  readonly platform?: string;
  /** Which of an archive's images: a name that it has there, or `@N` for the one at a place. */
  readonly name?: string;
  /**
   * Where blobs and unpacked archives are kept: `memory`, `opfs` (browsers), a directory laid out as an OCI layout's
   * blobs (Node), or a store of your own. Left out: OPFS in a browser's worker, a temporary directory in Node, else memory.
   */
  readonly store?: string | import("./blobs.js").BlobStore;
  /** Bytes that memory may hold where blobs are kept there; 512 MiB. Beyond them it is `no_space`. */
  readonly memory?: number;
}

/** What an image is opened from. */
export type ImageSource =
  | string
  | URL
  | Blob
  | Uint8Array
  | ReadableStream<Uint8Array>
  | readonly File[]
  | FolderEntry[];

/** A file of a folder: what `webkitdirectory` or a drop gives, with its path in there. */
export interface FolderEntry {
  /** `/`-separated, without the folder's own name or with it. */
  readonly path: string;
  readonly file: Blob;
}

/** How a root is exported. */
export interface ExportOptions {
  /** `tar` where it is left out. */
  readonly format?: "tar" | "tar.gz";
  /** Only paths that one of these patterns matches, with the directories above them: gitignore's words. */
  readonly include?: readonly string[];
  /** None that one of these matches. */
  readonly exclude?: readonly string[];
  /** Follows symlinks of lower layers that lead to directories, as `wharfie export --keep-directory-symlink`. */
  readonly keepDirectorySymlink?: boolean;
  /** `stream` where it is left out: top layer first. `canonical` is sorted by path. */
  readonly order?: "stream" | "canonical";
  /** Ranges `CONTAINER:HOST:SIZE` for owners. */
  readonly uidMap?: readonly string[];
  /** The same for groups. */
  readonly gidMap?: readonly string[];
  /** Caps on layers and trees, by core's names (`entries`, `total_bytes`, `ratio`, …). */
  readonly limits?: Readonly<Record<string, number>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

/** How something long is gone about. */
export interface WorkOptions {
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}
