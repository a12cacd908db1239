'use strict';

// The real clock and the real event loop, whatever has become of the globals. Test environments
// leave some of them out (jsdom has no setImmediate), and fake clocks (Jest, Vitest, sinon,
// node:test) replace them, some in node:timers as well. What is taken here, when the package is
// loaded, stays real if a fake clock is installed later. Where one is installed already, there is a
// substitute that no fake clock knows.
//
// What belongs to the language is in intrinsics.js.

const { fstat } = require('node:fs');
const { performance } = require('node:perf_hooks');
const process = require('node:process');
const timers = require('node:timers');
const { Promise, uncurry } = require('./intrinsics');
const { HOST } = require('./platform/runtime');

/** @type {(fn: Function) => string} */
const sourceOf = uncurry(Function.prototype.toString);

/** What Node's own functions do, which fakes do not. */
const SCHEDULES_TICK = /\bqueue\.push\(tickObject\)/;
const SCHEDULES_IMMEDIATE = /\bnew Immediate\(/;
const SCHEDULES_TIMEOUT = /\bnew Timeout\(/;
/**
 * Node's own functions refuse this as a callback. A fake may take it and call it, and nothing comes
 * of that.
 */
const NO_CALLBACK = { apply() {}, call() {} };
/** The place where they refuse it. */
const IN_NODE = /^[^\n]*\n\s+at [^\n]*\(node:(?:timers|internal\/process\/task_queues):/;

/**
 * Whether a function that schedules is Node's own, or calls that, as those do that tracing puts
 * around it.
 *
 * @param {(callback: any) => any} schedule
 * @param {(handle: any) => void} cancel
 * @param {RegExp} own in the source text of Node's own
 */
function isReal(schedule, cancel, own) {
  // Bun's and Deno's are other functions, with other errors.
  if (HOST !== 'Node.js' || own.test(sourceOf(schedule))) return true;
  // This takes a millisecond.
  try {
    cancel(schedule(NO_CALLBACK));
    return false;
  } catch (error) {
    return IN_NODE.test(String(/** @type {any} */ (error).stack));
  }
}

/**
 * Whether a clock goes on by itself: a fake one stands still while JavaScript runs.
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
 * A later turn of the event loop without a timer. Node's file system calls back in one, and an
 * exception goes the same way as from setImmediate. The outcome of the call does not matter.
 *
 * @param {() => void} callback
 */
function immediateFallback(callback) {
  fstat(2, () => callback());
}

/**
 * The engine's own timer. An open port keeps the process alive for it, as a timer of Node's would.
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

/** @type {() => number} */
const fromPerformance = performance.now.bind(performance);
/** @type {() => number} */
const uptime = process.uptime.bind(process);

module.exports = {
  /** Milliseconds, monotonic, with a fraction. The substitute takes twice as long. */
  now: isRunning(fromPerformance) ? fromPerformance : () => 1_000 * uptime(),
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
