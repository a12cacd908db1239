'use strict';

const { EventEmitter } = require('node:events');

/**
 * An EventEmitter that notices when listeners are added or removed. The class adds no listeners,
 * which users could see or remove. (`once` and `prependOnceListener` call these methods.)
 */
class ObservedEmitter extends EventEmitter {
  #onChange;

  /**
   * @param {(event: string | symbol | undefined) => void} onChange gets the event; undefined: all
   *   events
   */
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
