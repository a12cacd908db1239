'use strict';

// The real clock and event loop, even if the globals are replaced. Test environments omit some
// functions (jsdom has no setImmediate). Fake clocks (Jest, Vitest, sinon, node:test) replace them,
// some in node:timers too. The functions taken here, when the package is loaded, stay real if a
// fake clock is installed later. If one is already installed, a fallback is used that fake clocks
// do not replace.
//
// Intrinsics of the language are in intrinsics.js.

const { fstat } = require('node:fs');
const process = require('node:process');
const timers = require('node:timers');
const { Promise, uncurry } = require('./intrinsics');
const { HOST } = require('./platform/runtime');

/** @type {(fn: Function) => string} */
const sourceOf = uncurry(Function.prototype.toString);

/** Source text of Node's own functions, which fakes do not contain. */
const SCHEDULES_TICK = /\bqueue\.push\(tickObject\)/;
const SCHEDULES_IMMEDIATE = /\bnew Immediate\(/;
const SCHEDULES_TIMEOUT = /\bnew Timeout\(/;
/**
 * A callback that Node's own functions refuse. A fake may accept and call it, which has no effect.
 */
const NO_CALLBACK = { apply() {}, call() {} };
/** Stack of that refusal. */
const IN_NODE = /^[^\n]*\n\s+at [^\n]*\(node:(?:timers|internal\/process\/task_queues):/;

/**
 * Returns whether a scheduling function is Node's own, or calls that one, as tracing wrappers do.
 *
 * @param {(callback: any) => any} schedule
 * @param {(handle: any) => void} cancel
 * @param {RegExp} own matches the source text of Node's own function
 */
function isReal(schedule, cancel, own) {
  // Bun and Deno have other functions, with other errors.
  if (HOST !== 'Node.js' || own.test(sourceOf(schedule))) return true;
  // This test takes a millisecond.
  try {
    cancel(schedule(NO_CALLBACK));
    return false;
  } catch (error) {
    return IN_NODE.test(String(/** @type {any} */ (error).stack));
  }
}

/**
 * Returns whether a clock runs by itself: a fake clock stands still while JavaScript runs.
 *
 * @param {() => number} clock
 */
function isRunning(clock) {
  const start = clock();
  for (let i = 0; i < 1_000; i++) {
    if (clock() !== start) return true;
  }
  return false;
}

/**
 * Runs a callback in a later turn of the event loop, without timers. Node's file system functions
 * call back in such a turn, and exceptions behave as from setImmediate. The outcome of the call
 * does not matter.
 *
 * @param {() => void} callback
 */
function immediateFallback(callback) {
  fstat(2, () => callback());
}

/**
 * Runs a callback after a delay, by a timer of the engine. An open port keeps the process alive, as
 * a timer of Node would.
 *
 * @param {(...args: any[]) => void} callback
 * @param {number} ms
 * @param {any[]} args
 */
function timeoutFallback(callback, ms, ...args) {
  const { MessageChannel } = require('node:worker_threads');
  const { port1: port } = new MessageChannel();
  port.ref();
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  /** @type {any} */ (Atomics).waitAsync(cell, 0, 0, Math.max(ms, 1)).value.then(() => {
    port.close();
    callback(...args);
  });
  return { unref: () => port.unref() };
}

/** @param {() => void} callback */
function tickFallback(callback) {
  void Promise.resolve().then(callback);
}

const hrtime = process.hrtime.bind(process);
/**
 * The time of `performance.now()`, from another zero. Node takes a millisecond to load the module
 * of that clock, in this process and in each worker.
 */
const fromHrtime = () => {
  const time = hrtime();
  return time[0] * 1e3 + time[1] / 1e6;
};
/** @type {() => number} */
const uptime = process.uptime.bind(process);

module.exports = {
  /** Monotonic time with a fraction (ms). The fallback takes twice as long. */
  now: isRunning(fromHrtime) ? fromHrtime : () => 1_000 * uptime(),
  /** @type {(callback: () => void) => void} */
  nextTick: isReal(process.nextTick, () => {}, SCHEDULES_TICK)
    ? process.nextTick.bind(process)
    : tickFallback,
  /** @type {(callback: () => void) => unknown} */
  setImmediate: isReal(timers.setImmediate, timers.clearImmediate, SCHEDULES_IMMEDIATE)
    ? timers.setImmediate
    : immediateFallback,
  /** @type {(callback: (...args: any[]) => void, ms: number, ...args: any[]) => { unref(): unknown }} */
  setTimeout: isReal(timers.setTimeout, timers.clearTimeout, SCHEDULES_TIMEOUT)
    ? timers.setTimeout
    : timeoutFallback,
};
