// Runs that must end well a thousand times in a row: exits, terminated threads and shutdowns at bad
// moments. repeat.test.js makes a few of them, scripts/repeat.mjs as many as it is told. Each run
// is a process of its own, or one of several in a process. It fails by a crash, a wrong exit code,
// a hang, output on standard error, or a process that stays behind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { outputOf } from './output.mjs';
import { childrenOf, descriptors, threads } from './proc.mjs';

/**
 * Programs in `fixtures/repeat/`, and the number of runs that one process makes.
 *
 * @type {Record<string, { file: string, together: number }>}
 */
export const SCENARIOS = {
  'process.exit() in a result listener': { file: 'exit.mjs', together: 1 },
  'a thread with a busy pool is terminated': { file: 'threads.mjs', together: 25 },
  'a pool is shut down while it starts': { file: 'starts.mjs', together: 25 },
  'a thread loads the addon after another has left it': { file: 'reload.mjs', together: 25 },
};

/** Runs at a time in one process. */
const LANES = 4;
/** Time after which a process counts as hung, and which its children may outlive it (ms). */
const PATIENCE = 120_000;
const AFTERLIFE = 10_000;
/** A variable in the environment of everything that a run starts. */
const MARK = 'BULKHEAD_REPEAT';

/**
 * @param {string} name of a scenario
 * @param {number} runs
 * @param {object} [options]
 * @param {number} [options.parallel] processes at a time
 * @param {(done: number) => void} [options.onProgress]
 * @returns {Promise<string[]>} what went wrong
 */
export async function repeat(name, runs, { parallel = 2, onProgress } = {}) {
  const { file, together } = SCENARIOS[name];
  /** @type {string[]} */
  const failures = [];
  let next = 0;
  let done = 0;
  const lane = async () => {
    while (next < runs) {
      const first = next;
      const count = Math.min(together, runs - first);
      next += count;
      const failure = await attempt(file, first, count);
      if (failure !== null) failures.push(`run ${first} of ${name}: ${failure}`);
      done += count;
      onProgress?.(done);
    }
  };
  await Promise.all(Array.from({ length: parallel }, lane));
  return failures;
}

/**
 * Runs one process. Resolves with what is wrong, or null.
 *
 * @param {string} file
 * @param {number} first
 * @param {number} count
 */
async function attempt(file, first, count) {
  const program = fileURLToPath(new URL(`../fixtures/repeat/${file}`, import.meta.url));
  const mark = `${process.pid}.${file}.${first}`;
  const code = (first * 37) % 256;
  const child = spawn(process.execPath, [program, first, count, code].map(String), {
    env: { ...process.env, [MARK]: mark },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { output, closed } = outputOf(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  const [exitCode, signal] = await once(child, 'exit');
  clearTimeout(timer);
  const left = await leftOver(mark);
  if (left.length > 0) return `processes left: ${left}`;
  // The standard streams close when the last process that has them is gone.
  await closed;
  const { stdout, stderr } = output;
  const seen = JSON.stringify({ exitCode, signal, stdout, stderr });
  if (signal !== null || exitCode !== code) return `exit code ${code} was asked for: ${seen}`;
  return stderr === '' && stdout === `done ${count}\n` ? null : seen;
}

/**
 * Returns the processes with this mark that are still there after some time.
 *
 * @param {string} mark
 */
async function leftOver(mark) {
  const deadline = Date.now() + AFTERLIFE;
  for (;;) {
    const left = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isMarked(name, mark));
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(5);
  }
}

/**
 * @param {string} pid
 * @param {string} mark
 */
function isMarked(pid, mark) {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`.includes(`\0${MARK}=${mark}\0`);
  } catch {
    return false; // Gone, or not ours to look at.
  }
}

/**
 * Makes that number of runs in a program, some at a time.
 *
 * @param {number} first
 * @param {number} runs
 * @param {(run: number) => Promise<void>} body
 */
export async function inLanes(first, runs, body) {
  let next = first;
  const lane = async () => {
    while (next < first + runs) {
      const run = next;
      next += 1;
      await body(run);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/**
 * Waits, in a program, until there are no more children than these, and descriptors and threads as
 * in the beginning.
 *
 * @param {{ descriptors: number, threads: number }} bounds
 * @param {number} children
 */
export async function nothingLeft(bounds, children) {
  const deadline = Date.now() + AFTERLIFE;
  for (;;) {
    const now = nothingLeft.bounds();
    // The supervisor's own come with the first pool and stay; a leak would come with each pool.
    const isFine =
      now.children <= children &&
      now.descriptors <= bounds.descriptors + 10 &&
      now.threads <= bounds.threads + 10;
    if (isFine) return;
    if (Date.now() > deadline)
      throw new Error(`left behind: ${JSON.stringify({ bounds, now, children })}`);
    await sleep(5);
  }
}

nothingLeft.bounds = () => {
  return { children: childrenOf().length, descriptors: descriptors(), threads: threads().length };
};
