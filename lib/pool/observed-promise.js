'use strict';

// Promises that may be ignored, and know whether they are observed.

const { Promise } = require('../intrinsics');

const { then } = Promise.prototype;

/**
 * A promise that knows whether the program waits for it with `await`, `then()`, `catch()`,
 * `finally()` or `Promise.all()`.
 *
 * @template T
 * @extends {Promise<T>}
 */
class ObservedPromise extends Promise {
  #isObserved = false;

  get isObserved() {
    return this.#isObserved;
  }

  // Derived promises are plain promises.
  static get [Symbol.species]() {
    return Promise;
  }

  /**
   * `await` calls this method as well, because the class is not Promise itself.
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
 * @param {Promise<T>} promise whose rejection never counts as unhandled from now on; the promise
 *   does not count as observed
 */
function ignorable(promise) {
  then.call(promise, undefined, () => {});
  return promise;
}

module.exports = { ObservedPromise, ignorable };
