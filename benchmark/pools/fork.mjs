// A hand-written pool over `child_process.fork`.

import { fork } from 'node:child_process';
import { workerPath } from './paths.mjs';

/** @typedef {import('./catalogue.mjs').Pool} Pool */
/** @typedef {'json' | 'advanced'} Serialization */
/** @typedef {{ i: number, result: unknown }} Reply */

/**
 * Sends every task to the next child at once. This is the strongest baseline.
 *
 * @param {number} workers
 * @param {Serialization} serialization
 * @returns {Pool}
 */
export function forkPool(workers, serialization) {
  /** @type {Map<number, (result: unknown) => void>} */
  const waiting = new Map();
  let last = 0;
  const children = Array.from({ length: workers }, () => {
    const child = start(serialization);
    child.on('message', (/** @type {Reply} */ { i, result }) => {
      const resolve = waiting.get(i);
      waiting.delete(i);
      resolve?.(result);
    });
    return child;
  });
  return {
    run: (task) =>
      new Promise((resolve) => {
        const i = last++;
        waiting.set(i, resolve);
        children[i % workers].send({ i, task });
      }),
    post: (task) => {
      const i = last++;
      children[i % workers].send({ i, task });
    },
    close: () => {
      for (const child of children) child.kill('SIGKILL');
    },
  };
}

/**
 * Keeps a queue on the main thread. A child gets its next task when it has finished one, and a dead
 * child is replaced.
 *
 * @param {number} workers
 * @param {Serialization} serialization
 * @returns {Pool}
 */
export function queuedForkPool(workers, serialization) {
  /** @type {Map<number, (result: unknown) => void>} */
  const waiting = new Map();
  /** @type {{ i: number, task: unknown }[]} */
  let queue = [];
  let head = 0;
  let last = 0;
  let closed = false;
  const slots = Array.from({ length: workers }, () =>
    fill({ child: start(serialization), busy: false }),
  );

  /** @param {{ child: import('node:child_process').ChildProcess, busy: boolean }} slot */
  function fill(slot) {
    slot.child.on('message', (/** @type {Reply} */ { i, result }) => {
      slot.busy = false;
      dispatch();
      const resolve = waiting.get(i);
      waiting.delete(i);
      resolve?.(result);
    });
    slot.child.on('exit', () => {
      if (closed) return;
      slot.child = start(serialization);
      slot.busy = false;
      fill(slot);
      dispatch();
    });
    return slot;
  }

  function dispatch() {
    for (const slot of slots) {
      if (slot.busy || head === queue.length) continue;
      slot.busy = true;
      slot.child.send(queue[head++]);
      if (head > 4096) {
        queue = queue.slice(head);
        head = 0;
      }
    }
  }

  return {
    run: (task) =>
      new Promise((resolve) => {
        const i = last++;
        waiting.set(i, resolve);
        queue.push({ i, task });
        dispatch();
      }),
    post: (task) => {
      queue.push({ i: last++, task });
      dispatch();
    },
    close: () => {
      closed = true;
      for (const { child } of slots) child.kill('SIGKILL');
    },
  };
}

/** @param {Serialization} serialization */
function start(serialization) {
  return fork(workerPath('fork.cjs'), [], { serialization, execArgv: [] });
}
