/** Long work on a thread that is not ours alone. */

/** Milliseconds after which others on this thread get their turn. */
export const TURN = 8;

/** Lets whatever else there is on this thread go first. */
export const turn: () => Promise<void> = ((): (() => Promise<void>) => {
  const { setImmediate } = globalThis as { setImmediate?: (work: () => void) => unknown };
  if (setImmediate) return () => new Promise((resolve) => void setImmediate(resolve));
  // A timer of a browser waits four milliseconds, a message does not.
  const channel = new MessageChannel();
  const waiting: (() => void)[] = [];
  channel.port1.onmessage = () => waiting.shift()?.();
  return () =>
    new Promise((resolve) => {
      waiting.push(resolve);
      channel.port2.postMessage(undefined);
    });
})();

/** Lets others go first, where enough time has gone by since they last did. */
export function turns(): () => Promise<void> {
  let began = performance.now();
  return async () => {
    if (performance.now() - began <= TURN) return;
    await turn();
    began = performance.now();
  };
}
