'use strict';

// What the worker's own loop runs on, taken before any user code: a handler that stubs process.exit, patches JSON or
// installs fake timers must not change how its own result travels.

const { performance } = require('node:perf_hooks');

module.exports = {
  emit: process.emit.bind(process),
  exit: process.exit.bind(process),
  hasOwn: Object.hasOwn,
  isArray: Array.isArray,
  listenerCount: process.listenerCount.bind(process),
  nextTick: process.nextTick.bind(process),
  /** Milliseconds, monotonic, with a fraction. */
  now: performance.now.bind(performance),
  parse: JSON.parse,
  round: Math.round,
  setImmediate,
  stringify: JSON.stringify,
  then: Function.prototype.call.bind(Promise.prototype.then),
};
