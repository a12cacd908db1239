'use strict';

const { now } = require('../clock');

/** What tiny tasks need so that no worker waits for the consumer; more only takes memory. */
const MAX_LIMIT = 1024;
/**
 * ms. A window that was done within the first is made twice as deep; one that took longer than the
 * second, half as deep.
 */
const GROW_BELOW = 20;
const SHRINK_ABOVE = 200;

/** How many tasks may be on their way from the source to the consumer. */
class Window {
  #isFixed;
  #capacity;
  #done = 0;
  #startedAt = 0;

  /**
   * @param {number | undefined} fixed
   * @param {() => number} capacity tasks that can run at once; a pool may be resized
   */
  constructor(fixed, capacity) {
    this.#isFixed = fixed !== undefined;
    this.#capacity = capacity;
    this.limit = fixed ?? this.#min();
  }

  start() {
    this.#startedAt = now();
  }

  /** A task was done. */
  taskDone() {
    this.#done += 1;
    if (this.#done < this.limit || this.#isFixed) return;
    const end = now();
    const elapsed = end - this.#startedAt;
    let { limit } = this;
    if (elapsed < GROW_BELOW) limit = Math.min(2 * limit, MAX_LIMIT);
    else if (elapsed > SHRINK_ABOVE) limit = Math.floor(limit / 2);
    this.limit = Math.max(limit, this.#min());
    this.#done = 0;
    this.#startedAt = end;
  }

  /** While one of them is on its way to the consumer, the next one runs. */
  #min() {
    return 2 * this.#capacity();
  }
}

module.exports = { Window };
