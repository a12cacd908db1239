'use strict';

const { EventEmitter } = require('node:events');

/**
 * An EventEmitter that notices when listeners come and go, without listeners of its own that users
 * could see or remove. (`once` and its like go through these methods.)
 */
class ObservedEmitter extends EventEmitter {
  #onChange;

  /** @param {(event: string | symbol | undefined) => void} onChange undefined: of any event */
  constructor(onChange) {
    super();
    this.#onChange = onChange;
  }

  /** @param {any} event @param {(...args: any[]) => void} listener */
  on(event, listener) {
    super.on(event, listener);
    this.#onChange(event);
    return this;
  }

  /** @param {any} event @param {(...args: any[]) => void} listener */
  addListener(event, listener) {
    return this.on(event, listener);
  }

  /** @param {any} event @param {(...args: any[]) => void} listener */
  prependListener(event, listener) {
    super.prependListener(event, listener);
    this.#onChange(event);
    return this;
  }

  /** @param {any} event @param {(...args: any[]) => void} listener */
  removeListener(event, listener) {
    super.removeListener(event, listener);
    this.#onChange(event);
    return this;
  }

  /** @param {any} event @param {(...args: any[]) => void} listener */
  off(event, listener) {
    return this.removeListener(event, listener);
  }

  /** @param {any} [event] */
  removeAllListeners(event) {
    if (event === undefined) super.removeAllListeners();
    else super.removeAllListeners(event);
    this.#onChange(event);
    return this;
  }
}

module.exports = { ObservedEmitter };
