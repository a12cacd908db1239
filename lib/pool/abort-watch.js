'use strict';

// Abort signals that pools and maps listen to. Each signal gets one listener in this thread,
// whatever the number of tasks, maps and pools that share the signal: Node.js warns of a leak
// beyond ten.
//
// The methods and getters of a signal are user code. What they throw must harm no task.

const { rethrow } = require('../errors/rethrow');

/** @typedef {{ aborted(reason: unknown): void }} AbortListener */

/** @type {WeakMap<AbortSignal, AbortWatch>} */
const watches = new WeakMap();

/** A signal and its listeners. The watch listens to the signal only while there are listeners. */
class AbortWatch {
  #signal;
  /** Listeners by their owner. @type {Map<object, AbortListener>} */
  #listeners = new Map();
  #onAbort = () => {
    const reason = this.#reason();
    for (const [owner, listener] of [...this.#listeners]) {
      // An earlier listener may have removed this one.
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
   * @param {object} owner which has no listener on this signal yet
   * @param {AbortListener} listener
   * @throws what the signal's own method throws; the listener is not added then
   */
  add(owner, listener) {
    if (this.#listeners.size === 0) this.#signal.addEventListener('abort', this.#onAbort);
    this.#listeners.set(owner, listener);
  }

  /**
   * Removes a listener. Never throws, because tasks are being settled.
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
 * @returns {AbortWatch} the one watch of this signal
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
