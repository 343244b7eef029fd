/** Drives core's client machine with `fetch`. The contract is in core/src/client/mod.rs. */

import { keep, nowhere, stored } from "./arriving.js";
import type { ClientBackend, Session } from "./backend.js";
import type { BlobStore, Sink } from "./blobs.js";
import { CancelledError, InternalError, WharfieError } from "./errors.js";
import { cancelled, check, localError, sinkFailure } from "./failure.js";
import { Exchange, type Exchanging, type Receiving, type Start } from "./exchange.js";
import type { Host } from "./host.js";
import type { Credentials, Event, Pulled, RegistryOptions, WorkOptions } from "./types.js";

type Output =
  | ({ output: "event" } & Event)
  | Start
  | { output: "abort"; id: number }
  | { output: "wait"; until: number | null };

/** Blobs that may be under way at once, each with a sink of its own. The machine fetches fewer. */
const OPEN_BLOBS = 32;
const PROGRESS_EVERY = 50;

interface Job {
  readonly resolve: (ok: Readonly<Record<string, unknown>>) => void;
  readonly reject: (error: unknown) => void;
  readonly names: string[];
  readonly work: WorkOptions;
  /** Bytes wanted and there, by blob. */
  readonly sizes: Map<number, number>;
  readonly positions: Map<number, number>;
  told: number;
  /** What ended it that the machine knows nothing of: a function of the caller's that threw. */
  own?: { readonly error: unknown };
}

/** A blob that the machine asks for. */
type Need = Extract<Event, { event: "need" }>;

/** One session with registries: its tokens and what it knows of hosts last as long as it does. */
export class Client {
  readonly #backend: ClientBackend;
  readonly #host: Host;
  readonly #store: BlobStore;
  readonly #options: RegistryOptions;
  readonly #session: Session;
  readonly #origin = performance.now();
  readonly #exchanges = new Map<number, Exchange>();
  readonly #receiving = new Map<number, Receiving>();
  /** Blobs that were asked for, by their digests: who waits for one that comes already counts it. */
  readonly #blobs = new Map<string, { readonly blob: number; readonly size: number }>();
  /** Blobs that wait for one of those to be there or to be given up, and how many sinks are being opened. */
  readonly #waiting: Need[] = [];
  #claiming = 0;
  readonly #jobs = new Map<number, Job>();
  /** What a job's end has to wait for: blobs that get their names. */
  readonly #naming = new Set<Promise<void>>();
  /** Sinks that are given back or get their names, by digest: who wants the same one waits for them. */
  readonly #settling = new Map<string, Promise<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #draining = false;
  /** Whether something was said to the machine while its outputs were gone through. */
  #again = false;
  /** Whether a job ended: what only it wanted can go. */
  #ended = false;
  #closed = false;
  #closing: Promise<void> | undefined;
  #broken: unknown;

  /** The documents that came, by their digests. */
  readonly documents = new Map<string, Uint8Array>();
  /** Blobs that this client saw verified. What merely lies in a store may have rotted there. */
  readonly verified = new Set<string>();

  constructor(backend: ClientBackend, host: Host, store: BlobStore, options: RegistryOptions) {
    this.#backend = backend;
    this.#host = host;
    this.#store = store;
    this.#options = options;
    const { retries, timeout, jobs, insecure, plainHttp } = options;
    this.#session = backend.session(
      JSON.stringify({
        userAgent: host.userAgent,
        seed: Math.floor(Math.random() * 2 ** 32),
        host: host.profile,
        own: host.platform,
        ...(retries === undefined ? {} : { retries }),
        ...(timeout === undefined ? {} : { timeout }),
        ...(jobs === undefined ? {} : { jobs }),
        ...(insecure === undefined ? {} : { insecure }),
        ...(plainHttp === undefined ? {} : { plainHttp }),
      }),
    );
  }

  /** What exchanges have of it. */
  get #exchanging(): Exchanging {
    const isOver = (): boolean => this.#closed || this.#broken !== undefined;
    return {
      backend: this.#backend,
      host: this.#host,
      options: this.#options,
      session: this.#session,
      get isOver() {
        return isOver();
      },
      now: () => this.#now(),
      drain: () => this.#drain(),
      say: (work) => this.#say(work),
      receiving: (blob) => this.#receiving.get(blob),
      position: (blob, position) => this.#position(blob, position),
    };
  }

  #now(): number {
    return Math.floor(performance.now() - this.#origin);
  }

  /** Pulls what a reference names, down to `depth`. */
  async pull(
    reference: string,
    options: { readonly platform?: string | undefined; readonly depth: string },
    work: WorkOptions,
  ): Promise<Pulled> {
    const ok = await this.#run(work, (now) => this.#session.pull(now, reference, JSON.stringify(options)));
    return ok["pulled"] as Pulled;
  }

  /** Brings one blob into the store; the reference ends in its digest. */
  async pullBlob(reference: string, work: WorkOptions): Promise<void> {
    const digest = reference.slice(reference.indexOf("@") + 1);
    await this.#run(work, (now) => this.#session.pullBlob(now, reference), { digest });
  }

  /** The tags of a repository. */
  async tags(repository: string, work: WorkOptions): Promise<string[]> {
    const names: string[] = [];
    await this.#run(work, (now) => this.#session.tags(now, repository, "{}"), { names });
    return names;
  }

  /** Ends it. Partial blobs stay, as far as their store keeps them. */
  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const exchange of this.#exchanges.values()) exchange.abort();
    // The machine may be in the middle of its outputs, or dead: nobody waits for what it would say.
    for (const job of this.#jobs.values()) job.reject(cancelled(this.#backend, undefined));
    this.#jobs.clear();
    for (const blob of this.#receiving.keys()) this.#letGo(blob);
    await Promise.allSettled([...this.#settling.values(), ...this.#naming]);
    this.#session.free();
  }

  async #run(
    work: WorkOptions,
    begin: (now: number) => number,
    { names = [], digest }: { readonly names?: string[]; readonly digest?: string } = {},
  ): Promise<Readonly<Record<string, unknown>>> {
    check(this.#backend, work.signal);
    if (this.#closed) throw new TypeError("the client is closed");
    if (this.#broken) throw this.#broken;
    const id = begin(this.#now());
    const stop = (): void => this.#say(() => this.#session.cancel(this.#now(), id));
    work.signal?.addEventListener("abort", stop, { once: true });
    try {
      return await new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
        this.#jobs.set(id, { resolve, reject, names, work, sizes: new Map(), positions: new Map(), told: -1 });
        if (digest !== undefined) this.#joins(id, digest);
        this.#drain();
      });
    } catch (error) {
      if (error instanceof CancelledError && work.signal?.aborted) throw cancelled(this.#backend, work.signal);
      throw error;
    } finally {
      work.signal?.removeEventListener("abort", stop);
    }
  }

  /** Does what the machine says, until it says to wait. */
  #drain(): void {
    if (this.#closed || this.#broken) return;
    // What is called from in here comes back to the loop below.
    if (this.#draining) {
      this.#again = true;
      return;
    }
    this.#draining = true;
    try {
      for (let waits = false; !waits; ) {
        this.#again = false;
        for (const output of JSON.parse(this.#session.poll()) as Output[]) {
          switch (output.output) {
            case "start":
              this.#begin(output);
              break;
            case "abort":
              this.#exchanges.get(output.id)?.abort();
              break;
            case "event":
              this.#event(output);
              break;
            case "wait":
              this.#wait(output.until);
              waits = !this.#again;
              break;
          }
          // A caller's function may close it, and must not find itself called again.
          if (this.#closed || this.#broken) return;
        }
      }
      if (this.#ended) this.#sweep();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = false;
    }
  }

  /** Tells the machine something where nobody else hears of its failure: a timer, a listener. */
  #say(work: () => void): void {
    if (this.#closed || this.#broken) return;
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
    this.#drain();
  }

  #wait(until: number | null): void {
    clearTimeout(this.#timer);
    if (until === null) return;
    this.#timer = setTimeout(
      () => this.#say(() => this.#session.handleTimeout(this.#now())),
      Math.min(Math.max(until - this.#now(), 0), 2 ** 31 - 1),
    );
  }

  /** A bug, here or in core: everything ends. */
  #fail(error: unknown): void {
    this.#broken ??= error;
    clearTimeout(this.#timer);
    for (const exchange of this.#exchanges.values()) exchange.abort();
    for (const [id, job] of this.#jobs) {
      this.#jobs.delete(id);
      job.reject(error);
    }
  }

  /** Ends jobs with an error of their own; others go on. */
  #end(jobs: Iterable<number>, error: unknown): void {
    for (const id of jobs) {
      const job = this.#jobs.get(id);
      if (!job || job.own) continue;
      job.own = { error };
      this.#session.cancel(this.#now(), id);
    }
    this.#drain();
  }

  /** Blobs that no job wants any more. What is verified is none of them: all events were gone through. */
  #sweep(): void {
    this.#ended = false;
    for (const blob of this.#receiving.keys()) {
      if (this.#session.progress(blob) === undefined) this.#letGo(blob);
    }
    this.#admit();
  }

  /** Opens sinks for blobs that wait, as far as there may be more. */
  #admit(): void {
    while (this.#receiving.size + this.#settling.size + this.#claiming < OPEN_BLOBS) {
      const need = this.#waiting.shift();
      if (!need || this.#closed || this.#broken) return;
      // Nobody may want it any more.
      if (this.#session.progress(need.blob) === undefined) continue;
      this.#claiming++;
      this.#claim(need)
        .catch((error: unknown) => this.#fail(error))
        .finally(() => {
          this.#claiming--;
          this.#admit();
        });
    }
  }

  /** Gives a sink back, once nobody writes to it. */
  #letGo(blob: number): void {
    const receiving = this.#receiving.get(blob);
    if (!receiving) return;
    this.#receiving.delete(blob);
    this.#settle(receiving.digest, receiving.busy.then(() => receiving.sink.release()));
  }

  #begin(start: Start): void {
    const exchange = new Exchange(this.#exchanging, start);
    this.#exchanges.set(start.id, exchange);
    exchange
      .run()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => this.#exchanges.delete(start.id));
  }

  #settle(digest: string, over: Promise<void>): void {
    const before = this.#settling.get(digest);
    const settled: Promise<void> = Promise.allSettled([before, over]).then(() => {
      if (this.#settling.get(digest) === settled) this.#settling.delete(digest);
      this.#admit();
    });
    this.#settling.set(digest, settled);
  }

  #event(event: Event): void {
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      this.#end("job" in event ? [event.job] : this.#jobs.keys(), error);
    }
    if (this.#closed) return;
    switch (event.event) {
      case "need":
        if (event.document) {
          void this.#supply(event).catch((error: unknown) => this.#fail(error));
        } else {
          const { digest, size } = event.descriptor;
          this.#blobs.set(digest, { blob: event.blob, size });
          this.#joins(event.job, digest);
          this.#waiting.push(event);
          this.#admit();
        }
        break;
      case "document": {
        const bytes = this.#session.document(event.document);
        if (bytes) {
          this.documents.set(event.descriptor.digest, bytes);
          this.#later(event.job, keep(this.#store, event.descriptor.digest, bytes));
        }
        break;
      }
      case "described":
        for (const { layers } of event.pulled.images) {
          for (const { digest, size } of layers) this.#joins(event.job, digest, size);
        }
        break;
      case "blob_rewound":
        for (const job of this.#jobs.values()) {
          if (job.positions.has(event.blob)) job.positions.set(event.blob, event.to);
        }
        break;
      case "blob_verified":
        this.verified.add(event.digest);
        this.#verified(event.blob);
        break;
      case "need_credentials":
        void this.#credentials(event).catch((error: unknown) => this.#fail(error));
        break;
      case "listed":
        this.#jobs.get(event.job)?.names.push(...event.names);
        break;
      case "finished":
        this.#finished(event);
        break;
    }
  }

  /** A job waits for a blob that comes already, for another one maybe: only that one heard of it. */
  #joins(job: number, digest: string, size = 0): void {
    const coming = this.#blobs.get(digest);
    // The machine knows whether it still comes.
    if (!coming || this.#session.progress(coming.blob) === undefined) return;
    this.#jobs.get(job)?.sizes.set(coming.blob, coming.size || size);
  }

  /** A document: what is here of an earlier time is as good. */
  async #supply({ blob, descriptor: { digest } }: Need): Promise<void> {
    const known = this.documents.get(digest) ?? (await stored(this.#store, digest));
    if (this.#closed || this.#broken) return;
    if (known) {
      this.documents.set(digest, known);
      this.#session.supply(this.#now(), blob, known);
    } else {
      this.#session.fetch(this.#now(), blob, 0);
    }
    this.#drain();
  }

  /** A blob: it is there, or gets a sink. */
  async #claim({ job, blob, descriptor: { digest, size } }: Need): Promise<void> {
    let sink: Sink | undefined;
    try {
      await this.#settling.get(digest);
      const there = await this.#store.open(digest);
      await there?.close?.();
      const isWhole = there !== undefined && (size <= 0 || there.size === size);
      // A store may know that it has one already: the registry's own is then held against the size that is wrong.
      if (!isWhole) sink = (await this.#store.sink(digest, size > 0 ? size : undefined)) ?? (there && nowhere());
    } catch (error) {
      if (this.#closed || this.#broken) return;
      if (error instanceof WharfieError) {
        const own = this.#jobs.get(job);
        if (own) own.own ??= { error };
      }
      const { failure, needed, detail } = sinkFailure(error);
      this.#session.fetch(this.#now(), blob, 0);
      this.#session.handleSinkFailure(this.#now(), blob, failure, needed, detail);
      return this.#drain();
    }
    // Nobody may want it any more.
    if (this.#closed || this.#broken || this.#session.progress(blob) === undefined) {
      await sink?.release().catch(() => undefined);
      return;
    }
    if (sink) {
      this.#receiving.set(blob, { digest, sink, busy: Promise.resolve() });
      this.#position(blob, sink.have);
      this.#session.fetch(this.#now(), blob, sink.have);
    } else {
      // What need not come is no part of what comes.
      for (const one of this.#jobs.values()) one.sizes.delete(blob);
      this.#session.skip(this.#now(), blob);
    }
    this.#drain();
  }

  async #credentials(question: Extract<Event, { event: "need_credentials" }>): Promise<void> {
    const { credentials } = this.#options;
    const { registry, repository } = question;
    const answer = (found: Credentials | undefined): void => {
      if (this.#closed || this.#broken) return;
      this.#session.credentials(this.#now(), question.id, found && JSON.stringify(found));
    };
    try {
      if (typeof credentials === "function") {
        answer(await credentials(repository === undefined ? { registry } : { registry, repository }));
      } else {
        answer(credentials);
      }
    } catch (error) {
      if (error instanceof InternalError) throw error;
      // The question is still open. Whoever waits for its answer waits on the same registry.
      answer(undefined);
      return this.#end(this.#jobs.keys(), error);
    }
    this.#drain();
  }

  /** A store that cannot keep a document fails whoever wanted it. */
  #later(id: number, keeping: Promise<void>): void {
    const job = this.#jobs.get(id);
    const watched: Promise<void> = keeping
      .catch((cause: unknown) => {
        if (this.#closed || !job) return;
        const error = localError(this.#backend, "keeping a document", cause);
        // It may be over, but for this.
        if (this.#jobs.has(id)) this.#end([id], error);
        else job.own ??= { error };
      })
      .finally(() => this.#naming.delete(watched));
    this.#naming.add(watched);
  }

  #verified(blob: number): void {
    const receiving = this.#receiving.get(blob);
    if (!receiving) return;
    const naming = receiving.busy.then(() => receiving.sink.commit());
    this.#settle(receiving.digest, naming);
    this.#naming.add(naming);
    // Whose job it is waits for it, and hears of it.
    naming.then(
      () => this.#naming.delete(naming),
      () => undefined,
    );
    this.#receiving.delete(blob);
  }

  #finished(event: Extract<Event, { event: "finished" }>): void {
    const job = this.#jobs.get(event.job);
    if (!job) return;
    this.#jobs.delete(event.job);
    this.#ended = true;
    if (job.own) return job.reject(job.own.error);
    if (event.error) return job.reject(WharfieError.of(event.error));
    Promise.all(this.#naming).then(
      () => (job.own ? job.reject(job.own.error) : job.resolve(event.ok ?? {})),
      (error: unknown) => {
        this.#naming.clear();
        job.reject(localError(this.#backend, "naming a blob", error));
      },
    );
  }

  #position(blob: number, position: number): void {
    for (const [id, job] of this.#jobs) {
      if (!job.sizes.has(blob)) continue;
      job.positions.set(blob, position);
      const now = performance.now();
      if (!job.work.onProgress || now - job.told < PROGRESS_EVERY) continue;
      job.told = now;
      const sum = (values: Iterable<number>): number => [...values].reduce((all, one) => all + one, 0);
      try {
        job.work.onProgress({ phase: "fetch", done: sum(job.positions.values()), total: sum(job.sizes.values()) });
      } catch (error) {
        this.#end([id], error);
      }
    }
  }
}
