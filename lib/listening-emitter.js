'use strict';

const { EventEmitter } = require('node:events');

/**
 * An EventEmitter that notices when listeners come and go, without listeners of its own that users could see or remove.
 * (`once` and its like go through these methods.)
 */
class ListeningEmitter extends EventEmitter {
  /**
   * For subclasses: listeners of `event`, or of every event, have been added or removed.
   *
   * @param {string | symbol | undefined} _event
   */
  listenersChanged(_event) {}

  /** @param {string | symbol} event @param {(...args: any[]) => void} listener */
  on(event, listener) {
    super.on(event, listener);
    this.listenersChanged(event);
    return this;
  }

  /** @param {string | symbol} event @param {(...args: any[]) => void} listener */
  addListener(event, listener) {
    return this.on(event, listener);
  }

  /** @param {string | symbol} event @param {(...args: any[]) => void} listener */
  prependListener(event, listener) {
    super.prependListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  /** @param {string | symbol} event @param {(...args: any[]) => void} listener */
  removeListener(event, listener) {
    super.removeListener(event, listener);
    this.listenersChanged(event);
    return this;
  }

  /** @param {string | symbol} event @param {(...args: any[]) => void} listener */
  off(event, listener) {
    return this.removeListener(event, listener);
  }

  /** @param {string | symbol} [event] */
  removeAllListeners(event) {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this.listenersChanged(event);
    return this;
  }
}

module.exports = { ListeningEmitter };
