'use strict';

// What only the worker needs of ../intrinsics.js, and all of that.

const { performance } = require('node:perf_hooks');
const intrinsics = require('../intrinsics');

/** @type {(promise: Promise<unknown>, onValue: (value: unknown) => void, onThrown: (thrown: unknown) => void) => unknown} */
const onSettled = Function.prototype.call.bind(Promise.prototype.then);

/** @type {(event: string, ...args: unknown[]) => boolean} */
const emit = /** @type {any} */ (process.emit).bind(process);

module.exports = {
  ...intrinsics,
  AbortController,
  DOMException,
  PromiseClass: Promise,
  /** @type {(iterable: Iterable<any>) => any[]} */
  arrayFrom: Array.from.bind(Array),
  emit,
  /** @type {(code: number) => never} */
  exit: process.exit.bind(process),
  /** @type {(event: string) => number} */
  listenerCount: process.listenerCount.bind(process),
  max: Math.max,
  nextTick: process.nextTick.bind(process),
  /** Milliseconds, monotonic, with a fraction. */
  now: performance.now.bind(performance),
  onSettled,
  /** @type {(value: any) => Promise<any>} */
  promiseOf: Promise.resolve.bind(Promise),
  round: Math.round,
  setImmediate,
  toStringTag: /** @type {typeof Symbol.toStringTag} */ (Symbol.toStringTag),
};
