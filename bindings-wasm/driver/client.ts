/** Drives core's client machine with `fetch`. The contract is in core/src/client/mod.rs. */

import { Gathered, keep, MOST, pieces, stored } from "./arriving.js";
import type { ClientBackend, NativeSink, Session } from "./backend.js";
import type { BlobStore, Sink } from "./blobs.js";
import { CancelledError, WharfieError } from "./errors.js";
import { cancelled, check, localError, sinkFailure } from "./failure.js";
import type { Host } from "./host.js";
import type { Credentials, Descriptor, Event, Pulled, RegistryOptions, WorkOptions } from "./types.js";

type Output =
  | ({ output: "event" } & Event)
  | {
      output: "start";
      id: number;
      method: string;
      url: string;
      headers: [string, string][];
      body?: { len: number };
      reach: "any" | "no_loopback_or_link_local";
      tls: "verify" | "accept_any";
    }
  | { output: "abort"; id: number }
  | { output: "wait"; until: number | null };

type Start = Extract<Output, { output: "start" }>;

type Plan =
  | { plan: "discard" }
  | { plan: "feed" }
  | { plan: "store"; blob: number; offset: number; skip: number; hashed: number };

/** Bytes of a body that is not wanted and is read to its end all the same, so that its connection lives. */
const DRAINED = 16 << 10;
/** Bytes that go into a sink at once. */
const GATHERED = 256 << 10;
/** Milliseconds that a sink may take before core is told that nobody reads. */
const SLOW_SINK = 1000;
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
}

interface Receiving {
  readonly digest: string;
  readonly sink: Sink;
  readonly job: number;
  /** The last exchange that wrote to the sink, and whatever else does. */
  busy: Promise<void>;
  done: boolean;
}

/** One session with registries: its tokens and what it knows of hosts last as long as it does. */
export class Client {
  readonly #backend: ClientBackend;
  readonly #host: Host;
  readonly #store: BlobStore;
  readonly #options: RegistryOptions;
  readonly #session: Session;
  readonly #origin = performance.now();
  readonly #exchanges = new Map<number, AbortController>();
  readonly #receiving = new Map<number, Receiving>();
  readonly #jobs = new Map<number, Job>();
  /** What a job's end has to wait for: blobs that get their names. */
  readonly #naming = new Set<Promise<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #draining = false;
  #closed = false;
  #broken: unknown;

  /** The documents that came, by their digests. */
  readonly documents = new Map<string, Uint8Array>();

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
    await this.#run(work, (now) => this.#session.pullBlob(now, reference));
  }

  /** The tags of a repository. */
  async tags(repository: string, work: WorkOptions): Promise<string[]> {
    const names: string[] = [];
    await this.#run(work, (now) => this.#session.tags(now, repository, "{}"), names);
    return names;
  }

  /** Ends it. Partial blobs stay, as far as their store keeps them. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const id of this.#jobs.keys()) this.#session.cancel(this.#now(), id);
    this.#drain();
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const exchange of this.#exchanges.values()) exchange.abort();
    await Promise.all([...this.#receiving.values()].map((receiving) => receiving.busy));
    this.#session.free();
  }

  async #run(
    work: WorkOptions,
    begin: (now: number) => number,
    names: string[] = [],
  ): Promise<Readonly<Record<string, unknown>>> {
    check(this.#backend, work.signal);
    if (this.#broken) throw this.#broken;
    const id = begin(this.#now());
    const stop = (): void => {
      this.#session.cancel(this.#now(), id);
      this.#drain();
    };
    work.signal?.addEventListener("abort", stop, { once: true });
    try {
      return await new Promise<Readonly<Record<string, unknown>>>((resolve, reject) => {
        this.#jobs.set(id, { resolve, reject, names, work, sizes: new Map(), positions: new Map(), told: -1 });
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
    // What is called from in here comes back to the loop below.
    if (this.#draining || this.#closed) return;
    this.#draining = true;
    try {
      for (let waits = false; !waits; ) {
        for (const output of JSON.parse(this.#session.poll()) as Output[]) {
          switch (output.output) {
            case "start":
              void this.#exchange(output).catch((error: unknown) => this.#fail(error));
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
              this.#again = false;
              break;
          }
        }
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#draining = false;
    }
  }

  /** Whether something was answered while outputs were gone through. */
  #again = false;

  #answered(): void {
    if (this.#draining) this.#again = true;
    else this.#drain();
  }

  #wait(until: number | null): void {
    clearTimeout(this.#timer);
    if (until === null) return;
    this.#timer = setTimeout(
      () => {
        this.#session.handleTimeout(this.#now());
        this.#drain();
      },
      Math.min(Math.max(until - this.#now(), 0), 2 ** 31 - 1),
    );
  }

  /** A bug, here or in core: everything ends. */
  #fail(error: unknown): void {
    this.#broken = error;
    clearTimeout(this.#timer);
    for (const exchange of this.#exchanges.values()) exchange.abort();
    for (const [id, job] of this.#jobs) {
      this.#jobs.delete(id);
      job.reject(error);
    }
  }

  #event(event: Event): void {
    switch (event.event) {
      case "need":
        void this.#need(event.job, event.blob, event.descriptor, event.document).catch((error: unknown) =>
          this.#fail(error),
        );
        break;
      case "document": {
        const bytes = this.#session.document(event.document);
        if (bytes) {
          this.documents.set(event.descriptor.digest, bytes);
          this.#later(keep(this.#store, event.descriptor.digest, bytes));
        }
        break;
      }
      case "blob_rewound":
        for (const job of this.#jobs.values()) {
          if (job.positions.has(event.blob)) job.positions.set(event.blob, event.to);
        }
        break;
      case "blob_verified":
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
    this.#options.onEvent?.(event);
  }

  async #need(job: number, blob: number, descriptor: Descriptor, document: boolean): Promise<void> {
    const { digest, size } = descriptor;
    if (document) {
      const known = this.documents.get(digest) ?? (await stored(this.#store, digest));
      if (this.#closed) return;
      if (known) {
        this.documents.set(digest, known);
        this.#session.supply(this.#now(), blob, known);
      } else {
        this.#session.fetch(this.#now(), blob, 0);
      }
      this.#answered();
      return;
    }
    let sink: Sink | undefined;
    try {
      const there = await this.#store.open(digest);
      if (there) await there.close?.();
      else sink = await this.#store.sink(digest, size > 0 ? size : undefined);
      if (this.#closed) return;
      if (sink) {
        this.#receiving.set(blob, { digest, sink, job, busy: Promise.resolve(), done: false });
        this.#jobs.get(job)?.sizes.set(blob, size);
        this.#position(blob, sink.have);
        this.#session.fetch(this.#now(), blob, sink.have);
      } else {
        this.#session.skip(this.#now(), blob);
      }
    } catch (error) {
      if (this.#closed) return;
      if (error instanceof WharfieError) throw error;
      const { failure, needed, detail } = sinkFailure(error);
      this.#session.fetch(this.#now(), blob, 0);
      this.#session.handleSinkFailure(this.#now(), blob, failure, needed, detail);
    }
    this.#answered();
  }

  async #credentials(question: Extract<Event, { event: "need_credentials" }>): Promise<void> {
    const { credentials } = this.#options;
    const { registry, repository } = question;
    let found: Credentials | undefined;
    if (typeof credentials === "function") {
      found = await credentials(repository === undefined ? { registry } : { registry, repository });
    } else {
      found = credentials;
    }
    if (this.#closed) return;
    this.#session.credentials(this.#now(), question.id, found && JSON.stringify(found));
    this.#answered();
  }

  #later(naming: Promise<void>): void {
    const watched: Promise<void> = naming.catch(() => undefined).finally(() => this.#naming.delete(watched));
    this.#naming.add(watched);
  }

  #verified(blob: number): void {
    const receiving = this.#receiving.get(blob);
    if (!receiving) return;
    receiving.done = true;
    const naming = receiving.busy.then(() => receiving.sink.commit());
    receiving.busy = naming.catch(() => undefined);
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
    const unfinished = [...this.#receiving].filter(([, receiving]) => receiving.job === event.job);
    const over = unfinished.map(async ([blob, receiving]) => {
      // Another job may want it and go on with it.
      if (event.error) {
        this.#receiving.delete(blob);
        await receiving.busy;
        await receiving.sink.release().catch(() => undefined);
      }
    });
    Promise.all([...this.#naming, ...over]).then(
      () => (event.error ? job.reject(WharfieError.of(event.error)) : job.resolve(event.ok ?? {})),
      (error: unknown) => {
        this.#naming.clear();
        job.reject(localError(this.#backend, "naming a blob", error));
      },
    );
  }

  #position(blob: number, position: number): void {
    for (const job of this.#jobs.values()) {
      if (!job.sizes.has(blob)) continue;
      job.positions.set(blob, position);
      const now = performance.now();
      if (!job.work.onProgress || now - job.told < PROGRESS_EVERY) continue;
      job.told = now;
      const sum = (values: Iterable<number>): number => [...values].reduce((all, one) => all + one, 0);
      job.work.onProgress({ phase: "fetch", done: sum(job.positions.values()), total: sum(job.sizes.values()) });
    }
  }

  /** One request and its response. */
  async #exchange(start: Start): Promise<void> {
    const { id } = start;
    const stop = new AbortController();
    this.#exchanges.set(id, stop);
    try {
      await this.#round(start, stop.signal);
    } finally {
      this.#exchanges.delete(id);
    }
  }

  async #round(start: Start, signal: AbortSignal): Promise<void> {
    const { id } = start;
    let response: Response;
    try {
      if (start.reach !== "any" && this.#host.mayReach && !(await this.#host.mayReach(start.url))) {
        if (!signal.aborted) this.#failed(id, "forbidden", "");
        return;
      }
      response = await this.#send(start, signal);
    } catch (error) {
      if (signal.aborted || this.#closed) return;
      const { failure, detail } = this.#host.failure(error, false);
      this.#failed(id, failure, detail);
      return;
    }
    if (signal.aborted || this.#closed) {
      await response.body?.cancel().catch(() => undefined);
      return;
    }
    const headers: string[] = [];
    response.headers.forEach((value, name) => headers.push(name, value));
    // Where somebody follows redirects for us, the last place is the one that answered.
    const ended = response.redirected ? response.url : undefined;
    const plan = JSON.parse(this.#session.handleHead(this.#now(), id, response.status, headers, ended)) as Plan;
    if (plan.plan === "store") {
      const receiving = this.#receiving.get(plan.blob);
      if (!receiving) throw new TypeError("a blob that nobody asked for");
      const before = receiving.busy;
      const written = before.then(() => this.#receive(id, response, plan, receiving, signal));
      // Who writes next waits until this one does no more.
      receiving.busy = written.catch(() => undefined);
      this.#drain();
      await written;
      return;
    }
    this.#drain();
    if (plan.plan === "discard") {
      const length = Number(response.headers.get("content-length") ?? Infinity);
      if (length <= DRAINED) await response.arrayBuffer().catch(() => undefined);
      else await response.body?.cancel().catch(() => undefined);
      return;
    }
    await this.#feed(id, response, signal);
  }

  #send(start: Start, signal: AbortSignal): Promise<Response> {
    const headers = start.headers.filter(([name]) => !this.#host.withholds.includes(name.toLowerCase()));
    headers.push(...Object.entries(this.#host.adds));
    const body = start.body && this.#session.body(start.id);
    const init: RequestInit & { dispatcher?: unknown } = {
      method: start.method,
      headers,
      redirect: this.#host.redirect,
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal,
    };
    // A view of nobody's memory but its own.
    if (body) init.body = body.slice() as Uint8Array<ArrayBuffer>;
    if (this.#options.dispatcher !== undefined) init.dispatcher = this.#options.dispatcher;
    return (this.#options.fetch ?? fetch)(start.url, init);
  }

  #failed(id: number, failure: string, detail: string): void {
    this.#session.handleFailure(this.#now(), id, failure, detail);
    this.#drain();
  }

  /** The chunks of a body; `undefined` when it broke and that has been said. */
  async #chunk(
    id: number,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ReadableStreamReadResult<Uint8Array> | { broken: () => void } | undefined> {
    try {
      const read = await reader.read();
      return signal.aborted || this.#closed ? undefined : read;
    } catch (error) {
      if (signal.aborted || this.#closed) return undefined;
      const { failure, detail } = this.#host.failure(error, true);
      return { broken: () => this.#failed(id, failure, detail) };
    }
  }

  async #feed(id: number, response: Response, signal: AbortSignal): Promise<void> {
    const reader = response.body?.getReader();
    for (;;) {
      const read = reader ? await this.#chunk(id, reader, signal) : { done: true as const, value: undefined };
      if (!read) return;
      if ("broken" in read) return read.broken();
      if (read.done) {
        this.#session.handleEnd(this.#now(), id);
        return this.#drain();
      }
      for (const piece of pieces(read.value)) {
        if (this.#session.handleBody(this.#now(), id, piece)) continue;
        this.#drain();
        await reader?.cancel().catch(() => undefined);
        return;
      }
    }
  }

  /** Payload into its sink. */
  async #receive(
    id: number,
    response: Response,
    plan: Extract<Plan, { plan: "store" }>,
    receiving: Receiving,
    signal: AbortSignal,
  ): Promise<void> {
    if (signal.aborted || this.#closed) {
      await response.body?.cancel().catch(() => undefined);
      return;
    }
    const { blob } = plan;
    const { sink } = receiving;
    const reader = response.body?.getReader();
    const gathered = new Gathered(sink, plan.offset);
    let native: NativeSink | undefined;
    let { skip } = plan;
    let position = plan.offset;
    try {
      await this.#reading(id, async () => {
        await sink.truncate(plan.offset);
        native = await this.#session.takeSink?.(id, sink);
        if (native) return;
        for (let at = plan.hashed; at < plan.offset; ) {
          const bytes = await sink.read(at, Math.min(MOST, plan.offset - at));
          if (bytes.length === 0 || this.#closed) break;
          this.#session.replay(id, bytes);
          at += bytes.length;
        }
      });
      for (;;) {
        const read = reader ? await this.#chunk(id, reader, signal) : { done: true as const, value: undefined };
        if (!read || "broken" in read || read.done) {
          await gathered.flush();
          if (native) await native.finish(this.#now());
          if (!read) return;
          if ("broken" in read) return read.broken();
          this.#session.handleEnd(this.#now(), id);
          return this.#drain();
        }
        let chunk = read.value;
        if (skip > 0) {
          const dropped = Math.min(skip, chunk.length);
          chunk = chunk.subarray(dropped);
          skip -= dropped;
          if (chunk.length === 0) {
            this.#session.handleStored(this.#now(), id, 0);
            continue;
          }
        }
        for (const piece of pieces(chunk)) {
          let goesOn: boolean;
          if (native) {
            const to = native;
            const waits = to.write(piece);
            if (waits) await this.#reading(id, () => waits);
            goesOn = this.#session.handleStored(this.#now(), id, piece.length);
          } else {
            gathered.add(piece);
            if (gathered.length >= GATHERED) await this.#reading(id, () => gathered.flush());
            goesOn = this.#session.handleBody(this.#now(), id, piece);
          }
          position += piece.length;
          if (goesOn) continue;
          await gathered.flush();
          if (native) await native.finish(this.#now());
          this.#drain();
          await reader?.cancel().catch(() => undefined);
          return;
        }
        this.#position(blob, position);
      }
    } catch (error) {
      await reader?.cancel().catch(() => undefined);
      if (native) await native.finish(this.#now()).catch(() => undefined);
      if (signal.aborted || this.#closed) return;
      if (error instanceof WharfieError || error instanceof TypeError) throw error;
      const { failure, needed, detail } = sinkFailure(error);
      this.#session.handleSinkFailure(this.#now(), blob, failure, needed, detail);
      this.#drain();
    }
  }

  /** Does something that keeps a body waiting: if it takes long, the machine is told that nobody reads. */
  async #reading<T>(id: number, work: () => Promise<T>): Promise<T> {
    let told = false;
    const slow = setTimeout(() => {
      if (this.#closed) return;
      told = true;
      this.#session.handleReading(this.#now(), id, false);
      this.#drain();
    }, SLOW_SINK);
    try {
      return await work();
    } finally {
      clearTimeout(slow);
      if (told && !this.#closed) {
        this.#session.handleReading(this.#now(), id, true);
        this.#drain();
      }
    }
  }
}
