/** One exchange of the client machine: a request, its response, and where the bytes of that go. */

import { Gathered, MOST, pieces } from "./arriving.js";
import type { ClientBackend, NativeSink, Session } from "./backend.js";
import type { Sink } from "./blobs.js";
import { sinkFailure } from "./failure.js";
import type { Host } from "./host.js";
import type { RegistryOptions } from "./types.js";

/** A request, as the machine says it. */
export interface Start {
  output: "start";
  id: number;
  method: string;
  url: string;
  headers: [string, string][];
  body?: { len: number };
  reach: "any" | "no_loopback_or_link_local";
  tls: "verify" | "accept_any";
}

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

/** A blob that comes, whichever jobs want it. */
export interface Receiving {
  readonly digest: string;
  readonly sink: Sink;
  /** The last exchange that wrote to the sink, and whatever else does. */
  busy: Promise<void>;
}

/** What an exchange has of its client. */
export interface Exchanging {
  readonly backend: ClientBackend;
  readonly host: Host;
  readonly options: RegistryOptions;
  readonly session: Session;
  /** Closed, or broken: nothing is said to the machine any more. */
  readonly isOver: boolean;
  now(): number;
  /** Does what the machine says. */
  drain(): void;
  /** Tells the machine something where nobody else hears of its failure. */
  say(work: () => void): void;
  receiving(blob: number): Receiving | undefined;
  /** So much of a blob is there. */
  position(blob: number, position: number): void;
}

/** What a sink threw, apart from what the machine did. */
class SinkError {
  readonly error: unknown;
  constructor(error: unknown) {
    this.error = error;
  }
}

async function sinking<T>(work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new SinkError(error);
  }
}

/** One request and its response. */
export class Exchange {
  readonly #client: Exchanging;
  readonly #start: Start;
  readonly #stop = new AbortController();

  constructor(client: Exchanging, start: Start) {
    this.#client = client;
    this.#start = start;
  }

  /** Nobody wants it any more. */
  abort(): void {
    this.#stop.abort();
  }

  /** From its beginning to its end. */
  async run(): Promise<void> {
    const start = this.#start;
    const { id } = start;
    const { signal } = this.#stop;
    let response: Response;
    try {
      if (!(await this.#mayReach(start))) {
        if (!signal.aborted) this.#failed(id, "forbidden", "the address is on this machine or link");
        return;
      }
      response = await this.#send(start, signal);
    } catch (error) {
      if (signal.aborted || this.#client.isOver) return;
      const { failure, detail } = this.#client.host.failure(error, false);
      this.#failed(id, failure, detail);
      return;
    }
    if (signal.aborted || this.#client.isOver) {
      await response.body?.cancel().catch(() => undefined);
      return;
    }
    const headers: string[] = [];
    response.headers.forEach((value, name) => headers.push(name, value));
    // Where somebody follows redirects for us, the last place is the one that answered.
    const ended = response.redirected ? response.url : undefined;
    const plan = JSON.parse(this.#client.session.handleHead(this.#client.now(), id, response.status, headers, ended)) as Plan;
    if (plan.plan === "store") {
      const receiving = this.#client.receiving(plan.blob);
      if (!receiving) throw new TypeError("a blob that nobody asked for");
      const before = receiving.busy;
      const written = before.then(() => this.#receive(id, response, plan, receiving, signal));
      // Who writes next waits until this one does no more.
      receiving.busy = written.catch(() => undefined);
      this.#client.drain();
      await written;
      return;
    }
    this.#client.drain();
    if (plan.plan === "discard") {
      const length = Number(response.headers.get("content-length") ?? Infinity);
      if (length <= DRAINED) await response.arrayBuffer().catch(() => undefined);
      else await response.body?.cancel().catch(() => undefined);
      return;
    }
    await this.#feed(id, response, signal);
  }

  /** A page's own HTTP says nothing of addresses: there the URL has to do. */
  async #mayReach({ reach, url }: Start): Promise<boolean> {
    if (reach === "any") return true;
    return this.#client.backend.reachAllows(reach, url, (await this.#client.host.addresses?.(url)) ?? []);
  }

  #send(start: Start, signal: AbortSignal): Promise<Response> {
    const headers = start.headers.filter(([name]) => !this.#client.host.withholds.includes(name.toLowerCase()));
    headers.push(...Object.entries(this.#client.host.adds));
    const body = start.body && this.#client.session.body(start.id);
    const init: RequestInit & { dispatcher?: unknown } = {
      method: start.method,
      headers,
      redirect: this.#client.host.redirect,
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal,
    };
    // A view of nobody's memory but its own.
    if (body) init.body = body.slice() as Uint8Array<ArrayBuffer>;
    if (this.#client.options.dispatcher !== undefined) init.dispatcher = this.#client.options.dispatcher;
    return (this.#client.options.fetch ?? fetch)(start.url, init);
  }

  #failed(id: number, failure: string, detail: string): void {
    this.#client.session.handleFailure(this.#client.now(), id, failure, detail);
    this.#client.drain();
  }

  /** The chunks of a body; `undefined` when it broke and that has been said. */
  async #chunk(
    id: number,
    reader: ReadableStreamDefaultReader<Uint8Array>,
    signal: AbortSignal,
  ): Promise<ReadableStreamReadResult<Uint8Array> | { broken: () => void } | undefined> {
    try {
      const read = await reader.read();
      return signal.aborted || this.#client.isOver ? undefined : read;
    } catch (error) {
      if (signal.aborted || this.#client.isOver) return undefined;
      const { failure, detail } = this.#client.host.failure(error, true);
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
        this.#client.session.handleEnd(this.#client.now(), id);
        return this.#client.drain();
      }
      for (const piece of pieces(read.value)) {
        if (this.#client.session.handleBody(this.#client.now(), id, piece)) continue;
        this.#client.drain();
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
    if (signal.aborted || this.#client.isOver) {
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
        await sinking(() => sink.truncate(plan.offset));
        native = await this.#client.session.takeSink?.(id, sink);
        if (native) return;
        for (let at = plan.hashed; at < plan.offset; ) {
          const bytes = await sinking(() => sink.read(at, Math.min(MOST, plan.offset - at)));
          if (bytes.length === 0 || this.#client.isOver) break;
          this.#client.session.replay(id, bytes);
          at += bytes.length;
        }
      });
      for (;;) {
        const read = reader ? await this.#chunk(id, reader, signal) : { done: true as const, value: undefined };
        if (!read || "broken" in read || read.done) {
          await sinking(() => gathered.flush());
          await this.#finish(native);
          if (!read) return;
          if ("broken" in read) return read.broken();
          this.#client.session.handleEnd(this.#client.now(), id);
          return this.#client.drain();
        }
        let chunk = read.value;
        if (skip > 0) {
          const dropped = Math.min(skip, chunk.length);
          chunk = chunk.subarray(dropped);
          skip -= dropped;
          if (chunk.length === 0) {
            this.#client.session.handleStored(this.#client.now(), id, 0);
            continue;
          }
        }
        for (const piece of pieces(chunk)) {
          let goesOn: boolean;
          if (native) {
            const to = native;
            await sinking(() => {
              const waits = to.write(piece);
              return waits && this.#reading(id, () => waits);
            });
            goesOn = this.#client.session.handleStored(this.#client.now(), id, piece.length);
          } else {
            gathered.add(piece);
            if (gathered.length >= GATHERED) await this.#reading(id, () => sinking(() => gathered.flush()));
            goesOn = this.#client.session.handleBody(this.#client.now(), id, piece);
          }
          position += piece.length;
          if (goesOn) continue;
          await sinking(() => gathered.flush());
          await this.#finish(native);
          this.#client.drain();
          await reader?.cancel().catch(() => undefined);
          return;
        }
        this.#client.position(blob, position);
      }
    } catch (error) {
      await reader?.cancel().catch(() => undefined);
      await this.#finish(native).catch(() => undefined);
      if (this.#client.isOver) return;
      if (error instanceof SinkError) {
        // Of an exchange that was aborted too: the machine counts on what it was told is there.
        const { failure, needed, detail } = sinkFailure(error.error);
        this.#client.session.handleSinkFailure(this.#client.now(), blob, failure, needed, detail);
        this.#client.drain();
      } else if (!signal.aborted) throw error;
    }
  }

  /** Has native code give the hasher back. The machine goes on only then, also where the exchange ended long ago. */
  async #finish(native: NativeSink | undefined): Promise<void> {
    if (!native) return;
    try {
      await sinking(() => native.finish(this.#client.now()));
    } finally {
      this.#client.drain();
    }
  }

  /** Does something that keeps a body waiting: if it takes long, the machine is told that nobody reads. */
  async #reading<T>(id: number, work: () => Promise<T>): Promise<T> {
    let told = false;
    const slow = setTimeout(() => {
      told = true;
      this.#client.say(() => this.#client.session.handleReading(this.#client.now(), id, false));
    }, SLOW_SINK);
    try {
      return await work();
    } finally {
      clearTimeout(slow);
      if (told) this.#client.say(() => this.#client.session.handleReading(this.#client.now(), id, true));
    }
  }
}
