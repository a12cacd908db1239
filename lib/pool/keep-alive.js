'use strict';

// Decides whether a pool keeps the process alive, and keeps the pool from being collected while the
// program waits for a result.

/**
 * Pools with pending results. The native side holds the pool only weakly, through its callback. A
 * pool that is neither reachable nor in this set is collected, and its workers end.
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
  /** The last call of the user: none, `ref()` or `unref()`. @type {'auto' | 'ref' | 'unref'} */
  #mode = 'auto';

  /**
   * @param {{ ref(): void, unref(): void }} native
   * @param {object} owner the pool
   */
  constructor(native, owner) {
    this.#native = native;
    this.#owner = owner;
  }

  /** @param {number} count of unsettled tasks; only a change from or to 0 matters */
  tasks(count) {
    this.#tasks = count;
    this.#update();
  }

  /** Keeps the process alive for a promise of the pool, even after `unref()`. */
  hold() {
    this.#calls += 1;
    this.#update();
  }

  /** Ends one `hold()`: its promise is settled. */
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

  /** Ends all waiting: the pool is closed. */
  end() {
    this.#mode = 'auto';
    this.#calls = 0;
    this.#tasks = 0;
    this.#update();
  }

  #update() {
    const wanted =
      this.#calls > 0 || this.#mode === 'ref' || (this.#mode === 'auto' && this.#tasks > 0);
    // Unsettled tasks must reach their listeners even if the process need not wait for them.
    if (wanted || this.#tasks > 0) awaited.add(this.#owner);
    else awaited.delete(this.#owner);
    if (wanted === this.#held) return;
    this.#held = wanted;
    if (wanted) this.#native.ref();
    else this.#native.unref();
  }
}

module.exports = { KeepAlive };
