'use strict';

/** Of slots, at first; a power of two, as every size of the ring is. */
const INITIAL_CAPACITY = 16;

/**
 * A queue in a ring of slots, which grows when it is full. A queue that is never empty, as an array
 * would have to be moved again and again.
 *
 *   [ c | d |   |   | a | b ]
 *             ▲       ▲
 *             tail    head
 *
 * @template T
 */
class Fifo {
  /** @type {(T | undefined)[]} */
  #ring = new Array(INITIAL_CAPACITY).fill(undefined);
  #head = 0;
  size = 0;

  /** @param {T} item */
  push(item) {
    if (this.size === this.#ring.length) this.#grow();
    this.#ring[(this.#head + this.size) & (this.#ring.length - 1)] = item;
    this.size += 1;
  }

  /** @returns {T | undefined} the first, which stays */
  peek() {
    return this.#ring[this.#head];
  }

  /** @returns {T | undefined} the first */
  shift() {
    if (this.size === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.size -= 1;
    return item;
  }

  /** @returns {T | undefined} the last */
  pop() {
    if (this.size === 0) return undefined;
    this.size -= 1;
    const at = (this.#head + this.size) & (this.#ring.length - 1);
    const item = this.#ring[at];
    this.#ring[at] = undefined;
    return item;
  }

  #grow() {
    const ring = this.#ring;
    const rest = ring.splice(0, this.#head);
    this.#ring = [...ring, ...rest, ...new Array(this.size).fill(undefined)];
    this.#head = 0;
  }
}

module.exports = { Fifo };
