/** An image, as Node has it: streams of Node's, files and directories. */

import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

import type { Image as CommonImage, ImageSource, RegistryOptions, WorkOptions } from "wharfie-wasm";
import { internal } from "wharfie-wasm";

import { NativeEngine } from "./engine.js";
import { load } from "./native.js";
import { clientBackend } from "./sink.js";
import type { ExportOptions, ExportReport, OpenOptions, UnpackOptions, UnpackReport } from "./options.js";
import { NativeYard } from "./yard.js";

/** What an image has on every host. */
export type CommonMembers = Omit<CommonImage, "export" | "createReadStream" | "unpack">;

const Common = internal.Image as unknown as new (...engine: never[]) => CommonMembers;

let yard: internal.Yard | undefined;

function theYard(): internal.Yard {
  if (yard) return yard;
  const { native } = load();
  yard = native ? new NativeYard(native) : new internal.LocalYard({ ...internal.host, backend: internal.load });
  return yard;
}

/** Which core does the work here, and if it is not the native one, why. */
export function backend(): { readonly name: "native" | "wasm"; readonly reason?: string } {
  const { native, reason } = load();
  return native ? { name: "native" } : { name: "wasm", ...(reason === undefined ? {} : { reason }) };
}

/** Core itself: for tests. @internal */
export async function core(): Promise<unknown> {
  const { native } = load();
  return native ? { name: "native", ...native, ...clientBackend(native) } : internal.load();
}

/**
 * The tags of a repository.
 *
 * @example
 * ```ts
 * import { tags } from "wharfie";
 * console.log(await tags("docker.io/library/alpine"));
 * ```
 */
export function tags(repository: string, options: RegistryOptions = {}): Promise<string[]> {
  return theYard().tags(repository, options);
}

/**
 * An image that was opened: its documents are here and verified; layers are fetched and read when they are needed.
 *
 * @example
 * ```ts
 * import { Image } from "wharfie";
 * const image = await Image.open("alpine", { platform: "linux/arm64" });
 * console.log(image.digest, image.config.config, image.layers.length);
 * console.log(await image.readFile("/etc/os-release", "utf8"));
 * await image.close();
 * ```
 */
export class Image extends Common {
  readonly #engine: internal.Engine;

  /** @internal */
  constructor(engine: internal.Engine) {
    super(engine as never);
    this.#engine = engine;
  }

  /**
   * Opens an image: by the name that it has on a registry (`alpine`, `ghcr.io/org/image:tag`), by a path (`./image.tar`,
   * `oci:DIR`, `docker-archive:FILE`; compressed or not), or from a `Blob` or a stream of an archive.
   *
   * @example
   * ```ts
   * import { openAsBlob } from "node:fs";
   * import { Image } from "wharfie";
   * const stop = new AbortController();
   * const image = await Image.open("docker-archive:image.tar.gz", { signal: stop.signal });
   * const same = await Image.open(await openAsBlob("image.tar.gz"));
   * console.log(image.platforms, same.digest === image.digest);
   * ```
   */
  static async open(source: ImageSource | Readable, options: OpenOptions = {}): Promise<Image> {
    const given = source instanceof Readable ? (Readable.toWeb(source) as ReadableStream<Uint8Array>) : source;
    return new this(await theYard().open(given, options));
  }

  /**
   * The content of one file; links are followed. It begins when it is first read from.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie";
   * const image = await Image.open("alpine");
   * image.createReadStream("/etc/passwd").pipe(process.stdout);
   * ```
   */
  createReadStream(path: string, options: WorkOptions = {}): Readable {
    return readable(options, (own) => this.#engine.content(path, own));
  }

  /**
   * The flattened root. A tar is what `wharfie export` writes, byte for byte. It begins when it is first read from, and
   * fails before its end where any digest does not hold.
   *
   * @example
   * ```ts
   * import { createWriteStream } from "node:fs";
   * import { pipeline } from "node:stream/promises";
   * import { Image } from "wharfie";
   * const image = await Image.open("alpine");
   * await pipeline(image.export({ format: "tar.gz" }), createWriteStream("root.tar.gz"));
   * ```
   */
  export(options: ExportOptions = {}): Readable {
    return readable(options, (own) => this.#engine.exported(own as object));
  }

  /**
   * The same as a stream of the web's.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie";
   * const image = await Image.open("alpine");
   * const response = new Response(image.exportWeb(), { headers: { "content-type": "application/x-tar" } });
   * ```
   */
  exportWeb(options: ExportOptions = {}): ReadableStream<Uint8Array> {
    return commonExport.call(this, options);
  }

  /**
   * The flattened root in a file, which appears whole and verified under its name or not at all. The format is that of the
   * name: `.tar`, `.tar.gz`, `.tgz`, `.tar.zst`.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie";
   * const image = await Image.open("alpine");
   * const { entries, bytes } = await image.exportFile("root.tar.gz", { exclude: ["/usr/share/man"] });
   * console.log(entries, bytes);
   * ```
   */
  async exportFile(path: string, options: ExportOptions = {}): Promise<ExportReport | undefined> {
    if (this.#engine instanceof NativeEngine) return (await this.#engine.exportedTo(path, options)) as ExportReport;
    // Without native code: beside it, and renamed.
    const format = options.format ?? (/\.(tar\.gz|tgz)$/i.test(path) ? "tar.gz" : "tar");
    const partial = `${path}.partial-${process.pid}-${Date.now()}`;
    try {
      await pipeline(this.export({ ...options, format }), createWriteStream(partial, { flags: "wx" }));
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
    return undefined;
  }

  /**
   * The merged root in a directory, which appears whole or not at all. Who is not root says `rootless`. Only the native
   * package has it.
   *
   * @example
   * ```ts
   * import { Image } from "wharfie";
   * const image = await Image.open("alpine");
   * await image.unpack("rootfs", { rootless: process.getuid?.() !== 0 });
   * ```
   */
  async unpack(directory: string, options: UnpackOptions = {}): Promise<UnpackReport> {
    if (this.#engine instanceof NativeEngine) return (await this.#engine.unpacked(directory, options)) as UnpackReport;
    throw new TypeError(`unpacking takes the native package: ${load().reason ?? "it is not loaded"}`);
  }
}

const commonExport = internal.Image.prototype.export as unknown as (
  this: Image,
  options: ExportOptions,
) => ReadableStream<Uint8Array>;

/** A stream of Node's, of one that is opened when somebody reads. Nothing is read ahead of who takes it. */
function readable<T extends WorkOptions>(options: T, open: (options: T) => Promise<ReadableStream<Uint8Array>>): Readable {
  const { signal } = options;
  const own = new AbortController();
  let reader: Promise<ReadableStreamDefaultReader<Uint8Array>> | undefined;
  const stream = new Readable({
    highWaterMark: 0,
    read() {
      if (signal?.aborted) own.abort(signal.reason);
      reader ??= open({ ...options, signal: own.signal }).then((opened) => opened.getReader());
      reader
        .then((from) => from.read())
        .then(
          ({ done, value }) => this.push(done ? null : value),
          (error: unknown) => this.destroy(error as Error),
        );
    },
    destroy(error, done) {
      signal?.removeEventListener("abort", stop);
      if (!reader) return done(error);
      // It may still be opening: that stops too.
      own.abort(error);
      reader
        .then((from) => from.cancel(error))
        .catch(() => undefined)
        .finally(() => done(error));
    },
  });
  // Who waits with reading hears of it too: reading says what it came to.
  const stop = (): void => {
    own.abort(signal?.reason);
    stream.read(0);
  };
  signal?.addEventListener("abort", stop, { once: true });
  return stream;
}
