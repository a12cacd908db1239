// Memory over time, for the soaks.

const MEBIBYTE = 1024 * 1024;

/** By how much the last third may exceed the second. */
const GROWTH = 0.05;

/** The memory of processes, read once a second. */
export class Memory {
  #samples = [];
  #timer;

  /** @param {() => number | undefined} look in bytes; undefined: it cannot be seen right now */
  constructor(look) {
    this.#timer = setInterval(() => {
      const bytes = look();
      if (bytes !== undefined) this.#samples.push(bytes);
    }, 1000);
  }

  /** Stops looking. The means of three parts of the time, in MiB, and whether it grows. */
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

/** Resident memory of this process, without what is garbage. Needs --expose-gc. */
export function ownMemory() {
  globalThis.gc();
  try {
    return process.memoryUsage.rss();
  } catch (error) {
    // To be asked for a file while there are none to be had is part of some games.
    if (error.code !== 'EMFILE') throw error;
    return undefined;
  }
}
