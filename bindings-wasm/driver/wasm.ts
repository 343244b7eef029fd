/** Core as WebAssembly. */

import type { Backend, LayerBytes, LayerSource, LayersView, Opening, Session, Unpack } from "./backend.js";
import { InternalError, WharfieError } from "./errors.js";
import { type Glue, instantiate, type Stack, type Verifier } from "./glue.js";
import { MergedLayers } from "./layers.js";
import type { ErrorFacts } from "./types.js";

/**
 * An instance of the module, until it dies. Core does not panic on input; should it, or should memory run out, that is an
 * `internal` error of whatever was under way, nothing of this instance is used again, and the next image gets a new one.
 */
class Instance {
  readonly #module: WebAssembly.Module;
  readonly glue: Glue;
  dead: WharfieError | undefined;

  constructor(module: WebAssembly.Module) {
    this.#module = module;
    this.glue = instantiate(module);
  }

  call<T>(work: () => T): T {
    if (this.dead) throw this.dead;
    try {
      return work();
    } catch (error) {
      if (typeof error === "string") throw WharfieError.of(JSON.parse(error) as ErrorFacts);
      // A trap, or a stack that ran over; anything else is an exception that wasm-bindgen threw in order.
      if (!(error instanceof WebAssembly.RuntimeError) && !(error instanceof RangeError)) throw error;
      throw this.#die(error);
    }
  }

  #die(error: Error): WharfieError {
    let reason = error.message;
    try {
      reason = this.glue.lastPanic() ?? reason;
    } catch {
      // It is past speaking.
    }
    this.glue.kill();
    const facts = JSON.parse(instantiate(this.#module).internal(reason)) as ErrorFacts;
    this.dead = new InternalError(facts, { cause: error });
    return this.dead;
  }

  /** An object of this instance whose calls fail as core's do. */
  wrap<T extends object>(raw: T): T {
    const methods = new Map<PropertyKey, unknown>();
    return new Proxy(raw, {
      get: (target, name) => {
        const known = methods.get(name);
        if (known !== undefined) return known;
        const value: unknown = this.dead && name !== "free" ? undefined : Reflect.get(target, name, target);
        if (this.dead) return name === "free" ? () => undefined : () => this.call(() => undefined);
        if (typeof value !== "function") return value;
        const method = (...given: unknown[]): unknown => {
          if (name === "free" && this.dead) return undefined;
          return this.call(() => (value as (...all: unknown[]) => unknown).apply(target, given));
        };
        methods.set(name, method);
        return method;
      },
    });
  }
}

/** The backend of a compiled module. */
export class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly #module: WebAssembly.Module;
  #instance: Instance;

  constructor(module: WebAssembly.Module) {
    this.#module = module;
    this.#instance = new Instance(module);
  }

  #now(): Instance {
    if (this.#instance.dead) this.#instance = new Instance(this.#module);
    return this.#instance;
  }

  #call<T>(work: (glue: Glue) => T): T {
    const instance = this.#now();
    return instance.call(() => work(instance.glue));
  }

  #make<T extends object>(work: (glue: Glue) => T): T {
    const instance = this.#now();
    return instance.wrap(instance.call(() => work(instance.glue)));
  }

  session(options: string): Session {
    return this.#make((glue) => new glue.Session(options));
  }

  opening(kind: string | undefined): Opening {
    return this.#make((glue) => new glue.Opening(kind));
  }

  unpack(): Unpack {
    const raw = this.#make((glue) => new glue.Unpack());
    return {
      process: (input, last) => {
        const output = raw.process(input, last);
        return { read: raw.read, output, done: raw.done };
      },
      free: () => raw.free(),
    };
  }

  layers(layers: readonly LayerSource[], diffIds: readonly string[] | undefined, bytes: LayerBytes): LayersView {
    const descriptors = layers.map(({ mediaType, digest, size, verified }) => ({ mediaType, digest, size, verified }));
    const ids = diffIds && JSON.stringify(diffIds);
    const instance = this.#now();
    const make = (options: string): Stack =>
      instance.wrap(instance.call(() => new instance.glue.Stack(JSON.stringify(descriptors), ids, options)));
    const verifier = (index: number, digest: string, size: number): Verifier =>
      instance.wrap(instance.call(() => new instance.glue.Verifier(index, digest, size)));
    return new MergedLayers(this, make, verifier, layers, bytes, (raw) => instance.wrap(raw));
  }

  describe(name: string, top: string, manifest: Uint8Array, config?: Uint8Array, index?: Uint8Array): string {
    return this.#call((glue) => glue.describe(name, top, manifest, config, index));
  }
  source(name: string): string {
    return this.#call((glue) => glue.source(name));
  }
  reachAllows(reach: string, url: string, addresses: string[]): boolean {
    return this.#call((glue) => glue.reachAllows(reach, url, addresses));
  }
  probe(list: string, input: string): string {
    return this.#call((glue) => glue.probe(list, input));
  }
  errorCodes(): string[] {
    return this.#call((glue) => glue.errorCodes());
  }
  cancelled(): string {
    return this.#call((glue) => glue.cancelled());
  }
  localError(failure: string, operation: string, needed: number, reason: string): string {
    return this.#call((glue) => glue.localError(failure, operation, needed, reason));
  }
  /** @internal */
  panicForTest(message: string): void {
    this.#call((glue) => glue.panicForTest(message));
  }
}
