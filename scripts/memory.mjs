// Memory over time, for the soaks.

const MEBIBYTE = 1024 * 1024;

/** Factor by which the last third may exceed the second. */
const GROWTH = 0.05;

/** Samples of some memory, one a second. */
export class Memory {
  #samples = [];
  #timer;

  /** @param {() => number | undefined} look returns bytes; undefined: unknown at the moment */
  constructor(look) {
    this.#timer = setInterval(() => {
      const bytes = look();
      if (bytes !== undefined) this.#samples.push(bytes);
    }, 1000);
  }

  /**
   * Stops sampling. Returns the means of three parts of the time (MiB), and whether the memory
   * grows.
   */
  verdict() {
    clearInterval(this.#timer);
    const size = Math.floor(this.#samples.length / 3);
    const mean = (samples) =>
      samples.reduce((sum, rss) => sum + rss, 0) / samples.length / MEBIBYTE;
    const thirds = [0, 1, 2].map((part) =>
      mean(this.#samples.slice(part * size, (part + 1) * size)),
    );
    const growth = thirds[2] / thirds[1] - 1;
    const text = `${thirds.map((mean) => mean.toFixed(1)).join(', ')}: ${(growth * 100).toFixed(1)} %`;
    return { text, grows: !(growth <= GROWTH) };
  }
}

/** Resident memory of this process, after a garbage collection. Needs --expose-gc. */
export function ownMemory() {
  globalThis.gc();
  try {
    return process.memoryUsage.rss();
  } catch (error) {
    // Some ledger runs exhaust the descriptors, and then no file can be opened.
    if (error.code !== 'EMFILE') throw error;
    return undefined;
  }
}
