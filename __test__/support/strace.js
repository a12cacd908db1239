// Faults in system calls, by strace: it makes any call of a thread fail, with any error.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from './harness.js';

/**
 * Returns why nothing can be traced here, or null. In CI that is an error: no such test may be
 * skipped in silence.
 *
 * @returns {Promise<string | null>}
 */
export async function untraceable() {
  let reason = null;
  if (process.platform !== 'linux') reason = 'strace is for Linux';
  else if (spawnSync('strace', ['-V']).error) reason = 'strace is not installed';
  else {
    // Some systems allow only root to trace an ancestor.
    const tracer = await attach(process.pid, []).catch((error) => error);
    if (tracer instanceof Error) reason = tracer.message;
    else await tracer.detach();
  }
  if (reason !== null && process.env.CI) throw new Error(`these tests need strace: ${reason}`);
  return reason;
}

/**
 * Returns the supervisor's thread in a process that has made a pool. Threads name themselves first
 * of all.
 */
export async function supervisorOf(pid = process.pid) {
  const isIt = (id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim() === 'bulkhead';
  return Number(
    await until(() => readdirSync(`/proc/${pid}/task`).find(isIt), 'the thread "bulkhead"'),
  );
}

/**
 * Traces one thread, and no process that it starts, until the trace is stopped.
 *
 * @param {number} thread
 * @param {string[]} options of strace
 */
export async function attach(thread, options) {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-strace-'));
  const log = join(folder, 'log');
  const tracer = spawn('strace', ['-o', log, ...options, '-p', String(thread)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(tracer, 'close');
  let said = '';
  tracer.stderr.setEncoding('utf8').on('data', (text) => {
    said += text;
  });
  const attached = () =>
    said.includes('attached') || tracer.exitCode !== null || tracer.signalCode !== null;
  await until(attached, 'strace to attach');
  if (!said.includes('attached')) {
    rmSync(folder, { recursive: true });
    throw new Error(`strace: ${said}`);
  }
  return {
    /** Detaches from the thread. @returns {Promise<string[]>} the calls that were traced */
    async detach() {
      tracer.kill('SIGINT');
      await closed;
      const calls = readFileSync(log, 'utf8').split('\n');
      rmSync(folder, { recursive: true });
      return calls;
    },
  };
}

/**
 * Returns options of strace by which the `count`th call of that name fails, or all of them without
 * a `count`.
 */
export function failing(call, error, count) {
  const when = count === undefined ? '' : `:when=${count}`;
  return ['-e', `trace=${call}`, '-e', `inject=${call}:error=${error}${when}`];
}

/** Counts how often a fault was injected. */
export function injections(calls) {
  return calls.filter((line) => line.includes('(INJECTED)')).length;
}
