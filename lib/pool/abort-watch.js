'use strict';

// Abort signals that pools and maps listen to. Each signal gets one listener in this thread,
// however many tasks, maps and pools share it: Node warns of a leak beyond ten.
//
// A signal is the user's. What its methods and getters throw must harm no task.

const { rethrow } = require('../errors/rethrow');

/** @typedef {{ aborted(reason: unknown): void }} AbortListener */

/** @type {WeakMap<AbortSignal, AbortWatch>} */
const watches = new WeakMap();

/**
 * A signal and what listens to it. It has its listener on the signal only while there is something.
 */
class AbortWatch {
  #signal;
  /** By whose it is. @type {Map<object, AbortListener>} */
  #listeners = new Map();
  #onAbort = () => {
    const reason = this.#reason();
    for (const [owner, listener] of [...this.#listeners]) {
      // The listener of another may have removed this one.
      if (this.#listeners.get(owner) !== listener) continue;
      try {
        listener.aborted(reason);
      } catch (error) {
        rethrow(error);
      }
    }
  };

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.#signal = signal;
  }

  /**
   * @param {object} owner
   * @returns {AbortListener | undefined} its listener
   */
  get(owner) {
    return this.#listeners.get(owner);
  }

  /**
   * @param {object} owner which has no listener here yet
   * @param {AbortListener} listener
   * @throws what the signal's own method throws; then nothing was added
   */
  add(owner, listener) {
    if (this.#listeners.size === 0) this.#signal.addEventListener('abort', this.#onAbort);
    this.#listeners.set(owner, listener);
  }

  /**
   * Never throws: this is called while tasks are settled.
   *
   * @param {object} owner
   */
  delete(owner) {
    if (!this.#listeners.delete(owner) || this.#listeners.size > 0) return;
    try {
      this.#signal.removeEventListener('abort', this.#onAbort);
    } catch (error) {
      rethrow(error);
    }
  }

  #reason() {
    try {
      return this.#signal.reason;
    } catch (error) {
      rethrow(error);
      return undefined;
    }
  }
}

/**
 * @param {AbortSignal} signal
 * @returns {AbortWatch} the only one of this signal
 */
function watchOf(signal) {
  let watch = watches.get(signal);
  if (watch === undefined) {
    watch = new AbortWatch(signal);
    watches.set(signal, watch);
  }
  return watch;
}

module.exports = { watchOf };
