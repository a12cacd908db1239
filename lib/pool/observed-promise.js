'use strict';

// Promises that may be ignored, and know whether they are.

const { Promise } = require('../intrinsics');

const { then } = Promise.prototype;

/**
 * Knows whether anything waits for it: `await`, `then()` and its like, `Promise.all()`.
 *
 * @template T
 * @extends {Promise<T>}
 */
class ObservedPromise extends Promise {
  #isObserved = false;

  get isObserved() {
    return this.#isObserved;
  }

  // What is derived from it is as usual.
  static get [Symbol.species]() {
    return Promise;
  }

  /**
   * `await` calls this too, as it does for all promises of a class of their own.
   *
   * @type {Promise<T>['then']}
   */
  // biome-ignore lint/suspicious/noThenProperty: a promise has it
  then(onFulfilled, onRejected) {
    this.#isObserved = true;
    return super.then(onFulfilled, onRejected);
  }
}

/**
 * @template T
 * @param {Promise<T>} promise whose rejection is never an unhandled one from now on. This does not count as seen
 */
function ignorable(promise) {
  then.call(promise, undefined, () => {});
  return promise;
}

module.exports = { ObservedPromise, ignorable };
