'use strict';

const { Promise } = require('../intrinsics');
const { Fifo } = require('./fifo');

/** @typedef {{ resolve: (result: IteratorResult<any>) => void, reject: (error: unknown) => void }} Read */

/** Calls of an iterator's `next()` that wait for a value, in the order of the calls. */
class PendingReads {
  /** @type {Fifo<Read>} */
  #reads = new Fifo();

  get size() {
    return this.#reads.size;
  }

  /** @returns {Promise<IteratorResult<any>>} of a new call */
  add() {
    return new Promise((resolve, reject) => this.#reads.push({ resolve, reject }));
  }

  /**
   * Resolves the first call.
   *
   * @param {unknown} value
   * @returns {boolean} false: no call waits
   */
  resolve(value) {
    const read = this.#reads.shift();
    read?.resolve({ done: false, value });
    return read !== undefined;
  }

  /**
   * Rejects the first call.
   *
   * @param {unknown} error
   * @returns {boolean} false: no call waits
   */
  reject(error) {
    const read = this.#reads.shift();
    read?.reject(error);
    return read !== undefined;
  }

  /** Ends all calls: there are no more values. */
  end() {
    for (let read = this.#reads.shift(); read !== undefined; read = this.#reads.shift())
      read.resolve({ done: true, value: undefined });
  }
}

module.exports = { PendingReads };
