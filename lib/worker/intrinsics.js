'use strict';

// The intrinsics of ../intrinsics.js, and those that only the worker needs.

const process = require('node:process');
const intrinsics = require('../intrinsics');

const { Promise } = intrinsics;

/** @type {(promise: Promise<unknown>, onValue: (value: unknown) => void, onThrown: (thrown: unknown) => void) => unknown} */
const onSettled = Function.prototype.call.bind(Promise.prototype.then);

/** Used for user code only. If they are missing, only tasks that use their signal fail. */
const { AbortController, DOMException } = globalThis;

/** @type {(event: string, ...args: unknown[]) => boolean} */
const emit = /** @type {any} */ (process.emit).bind(process);

module.exports = {
  ...intrinsics,
  AbortController,
  DOMException,
  /** @type {(iterable: Iterable<any>) => any[]} */
  arrayFrom: Array.from.bind(Array),
  emit,
  /** @type {(code: number) => never} */
  exit: process.exit.bind(process),
  /** @type {(event: string) => number} */
  listenerCount: process.listenerCount.bind(process),
  max: Math.max,
  onSettled,
  /** @type {(value: any) => Promise<any>} */
  promiseOf: Promise.resolve.bind(Promise),
  round: Math.round,
  toStringTag: /** @type {typeof Symbol.toStringTag} */ (Symbol.toStringTag),
};
