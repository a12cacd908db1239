'use strict';

const { now } = require('../clock');

/** What tiny tasks need so that no worker waits for the consumer; more only takes memory. */
const DEEPEST = 1024;
/**
 * ms. A window that was done within the first is made twice as deep; one that took longer than the
 * second, half as deep.
 */
const QUICK = 20;
const SLOW = 200;

/** How many tasks may be on their way from the source to the consumer. */
class Window {
  #isFixed;
  #capacity;
  #done = 0;
  #since = 0;

  /**
   * @param {number | undefined} fixed
   * @param {() => number} capacity tasks that can run at once; a pool may be resized
   */
  constructor(fixed, capacity) {
    this.#isFixed = fixed !== undefined;
    this.#capacity = capacity;
    this.limit = fixed ?? this.#least();
  }

  start() {
    this.#since = now();
  }

  /** A task was done. */
  count() {
    this.#done += 1;
    if (this.#done < this.limit || this.#isFixed) return;
    const end = now();
    const elapsed = end - this.#since;
    let { limit } = this;
    if (elapsed < QUICK) limit = Math.min(2 * limit, DEEPEST);
    else if (elapsed > SLOW) limit = Math.floor(limit / 2);
    this.limit = Math.max(limit, this.#least());
    this.#done = 0;
    this.#since = end;
  }

  /** While one of them is on its way to the consumer, the next one runs. */
  #least() {
    return 2 * this.#capacity();
  }
}

module.exports = { Window };
