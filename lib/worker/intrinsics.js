'use strict';

// What the worker's own loop runs on, taken before any user code: a handler that stubs process.exit, patches JSON or
// installs fake timers must not change how its own result travels.

const { performance } = require('node:perf_hooks');

/** @type {(promise: Promise<unknown>, onValue: (value: unknown) => void, onThrown: (thrown: unknown) => void) => unknown} */
const onSettled = Function.prototype.call.bind(Promise.prototype.then);

/** @type {(event: string, ...args: unknown[]) => boolean} */
const emit = /** @type {any} */ (process.emit).bind(process);

module.exports = {
  emit,
  /** @type {(code: number) => never} */
  exit: process.exit.bind(process),
  hasOwn: Object.hasOwn,
  isArray: Array.isArray,
  /** @type {(event: string) => number} */
  listenerCount: process.listenerCount.bind(process),
  nextTick: process.nextTick.bind(process),
  /** Milliseconds, monotonic, with a fraction. */
  now: performance.now.bind(performance),
  onSettled,
  parse: JSON.parse,
  round: Math.round,
  setImmediate,
  stringify: JSON.stringify,
};
