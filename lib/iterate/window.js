'use strict';

const { now } = require('../clock');

/**
 * The largest window. With tiny tasks no worker waits for the consumer; a larger window only costs
 * memory.
 */
const MAX_LIMIT = 1024;
/**
 * A window is doubled if its tasks took less than GROW_BELOW (ms), and halved if they took more
 * than SHRINK_ABOVE (ms).
 */
const GROW_BELOW = 20;
const SHRINK_ABOVE = 200;

/** The number of tasks that may be in flight between the source and the consumer. */
class Window {
  #isFixed;
  #capacity;
  #done = 0;
  #startedAt = 0;

  /**
   * @param {number | undefined} fixed
   * @param {() => number} capacity the number of tasks that can run at once, which resize() changes
   */
  constructor(fixed, capacity) {
    this.#isFixed = fixed !== undefined;
    this.#capacity = capacity;
    this.limit = fixed ?? this.#min();
  }

  start() {
    this.#startedAt = now();
  }

  /** Counts a completed task. */
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

  /**
   * Two for each running task: while one result is on its way to the consumer, the next task runs.
   */
  #min() {
    return 2 * this.#capacity();
  }
}

module.exports = { Window };
