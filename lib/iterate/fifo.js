'use strict';

/**
 * The first capacity of the ring. Every capacity is a power of two, so that an index wraps by a
 * mask.
 */
const INITIAL_CAPACITY = 16;

/**
 * A queue in a ring buffer, which grows when full. An array that is never empty would have to be
 * shifted as a whole.
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

  /** @returns {T | undefined} the first item, which stays in the queue */
  peek() {
    return this.#ring[this.#head];
  }

  /** @returns {T | undefined} the first item */
  shift() {
    if (this.size === 0) return undefined;
    const item = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#ring.length - 1);
    this.size -= 1;
    return item;
  }

  /** @returns {T | undefined} the last item */
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
