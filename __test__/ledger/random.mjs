// All that is random in the ledger comes from one seed, so that a failing run can be repeated.

/** A small seeded generator (mulberry32). */
export class Random {
  #state;

  /** @param {number} seed */
  constructor(seed) {
    this.#state = seed | 0;
  }

  /** @returns {number} from 0 up to, not including, 1 */
  next() {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let z = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Returns a whole number from `min` to `max`. */
  int(min, max) {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  /** @param {number} probability */
  chance(probability) {
    return this.next() < probability;
  }

  /** Returns one of the items. */
  pick(choices) {
    return choices[this.int(0, choices.length - 1)];
  }

  /** Returns one of the keys, each as likely as its value is large. */
  weighted(weights) {
    let left = this.next() * Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    for (const [choice, weight] of Object.entries(weights)) {
      left -= weight;
      if (left < 0) return choice;
    }
    return Object.keys(weights).at(-1);
  }

  /** Returns a mostly small number, up to `max`: every power of two is as likely as the next. */
  skewed(max) {
    return Math.floor((max + 1) ** this.next()) - 1;
  }
}
