'use strict';

/** Of slots, at first; a power of two, as every size of the ring is. */
const SLOTS = 16;

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
  #slots = new Array(SLOTS).fill(undefined);
  #head = 0;
  size = 0;

  /** @param {T} item */
  push(item) {
    if (this.size === this.#slots.length) this.#grow();
    this.#slots[(this.#head + this.size) & (this.#slots.length - 1)] = item;
    this.size += 1;
  }

  /** @returns {T | undefined} the first, which stays */
  peek() {
    return this.#slots[this.#head];
  }

  /** @returns {T | undefined} the first */
  shift() {
    if (this.size === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.size -= 1;
    return item;
  }

  /** @returns {T | undefined} the last */
  pop() {
    if (this.size === 0) return undefined;
    this.size -= 1;
    const at = (this.#head + this.size) & (this.#slots.length - 1);
    const item = this.#slots[at];
    this.#slots[at] = undefined;
    return item;
  }

  #grow() {
    const slots = this.#slots;
    const rest = slots.splice(0, this.#head);
    this.#slots = [...slots, ...rest, ...new Array(this.size).fill(undefined)];
    this.#head = 0;
  }
}

module.exports = { Fifo };
