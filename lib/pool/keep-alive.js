'use strict';

// Whether a pool keeps the process alive, and itself from being collected: while somebody waits for
// it.

/**
 * Pools that are waited for. The native side holds its callback, but the callback holds the pool
 * only weakly: a pool that nobody can reach and nobody waits for is collected, and its workers end
 * with it.
 *
 * @type {Set<object>}
 */
const awaited = new Set();

class KeepAlive {
  #native;
  #owner;
  #held = false;
  #calls = 0;
  #tasks = 0;
  /** What the user said last: nothing, `ref()` or `unref()`. @type {'auto' | 'ref' | 'unref'} */
  #mode = 'auto';

  /**
   * @param {{ ref(): void, unref(): void }} native
   * @param {object} owner the pool
   */
  constructor(native, owner) {
    this.#native = native;
    this.#owner = owner;
  }

  /** @param {number} count of unsettled tasks; need only be told when it becomes, or ceases to be, 0 */
  tasks(count) {
    this.#tasks = count;
    this.#update();
  }

  /** A promise was given away that the process must wait for, whatever `unref()` says. */
  hold() {
    this.#calls += 1;
    this.#update();
  }

  /** One of these is settled. */
  release() {
    this.#calls -= 1;
    this.#update();
  }

  ref() {
    this.#mode = 'ref';
    this.#update();
  }

  unref() {
    this.#mode = 'unref';
    this.#update();
  }

  /** The pool is closed: there is nothing left to wait for. */
  end() {
    this.#mode = 'auto';
    this.#calls = 0;
    this.#tasks = 0;
    this.#update();
  }

  #update() {
    const wanted =
      this.#calls > 0 || this.#mode === 'ref' || (this.#mode === 'auto' && this.#tasks > 0);
    // Unsettled tasks have listeners to reach even when the process need not wait for them.
    if (wanted || this.#tasks > 0) awaited.add(this.#owner);
    else awaited.delete(this.#owner);
    if (wanted === this.#held) return;
    this.#held = wanted;
    if (wanted) this.#native.ref();
    else this.#native.unref();
  }
}

module.exports = { KeepAlive };
