// Runs the rounds of a measure. Each round measures every pool once, in turn, in a fresh process,
// so that other load on the machine affects all of them alike.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { measuredEnvironment } from './machine.mjs';
import { measures } from './measures/catalogue.mjs';
import { descendants, kill } from './proc.mjs';

/**
 * @typedef {import('./measures/types.mjs').Figures} Figures
 * @typedef {{ figures?: Figures, error?: string }} Run one run; without both fields: no run in this
 *   round
 * @typedef {{ pool: string, runs: Run[] }} Row one run for each round
 * @typedef {object} Settings
 * @property {number} rounds
 * @property {number} workers
 * @property {boolean} quick
 */

const script = fileURLToPath(new URL('measure.mjs', import.meta.url));

/**
 * @param {string} test
 * @param {string[]} names of the pools
 * @param {Settings} settings
 * @param {(text: string) => void} progress
 * @returns {Promise<Row[]>}
 */
export async function compare(test, names, settings, progress) {
  /** @type {Row[]} */
  const rows = names.map((pool) => ({ pool, runs: [] }));
  for (let round = 0; round < settings.rounds; round++) {
    for (const { pool, runs } of rows) {
      progress(`${test}: round ${round + 1} of ${settings.rounds}, ${pool}`);
      // Two failures show that the pool cannot do this, and each may take a minute.
      const gaveUp = runs.filter((run) => run.error !== undefined).length >= 2;
      runs.push(gaveUp ? {} : await measureOnce(test, pool, settings));
    }
  }
  progress('');
  return rows;
}

/**
 * @param {string} test
 * @param {string} pool
 * @param {Settings} settings
 * @returns {Promise<Run>}
 */
async function measureOnce(test, pool, { workers, quick }) {
  const { limit = 60, pinned = false, flags = [] } = measures[test];
  const args = [...flags, script, test, pool, String(workers), quick ? 'quick' : 'full'];
  const command = pinned
    ? ['taskset', '-c', '0', process.execPath, ...args]
    : [process.execPath, ...args];
  const child = spawn(command[0], command.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: measuredEnvironment(),
  });
  let output = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk;
  });
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    complaints = (complaints + chunk).slice(-2000);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    const pid = Number(child.pid);
    kill([...descendants(pid), pid]); // together: a dead parent's children can no longer be found
  }, limit * 1000);
  const closed = once(child, 'close').catch(() => {}); // an error is what `exit` ends with, too
  /** @type {(number | string | null)[] | Error} */
  const ended = await once(child, 'exit').catch((error) => error);
  clearTimeout(timer);
  if (child.pid) kill([-child.pid]); // its process group: what it left behind, however it ended
  // The output is complete then, unless another process holds the pipes.
  await Promise.race([closed, sleep(1000, undefined, { ref: false })]);
  const line = output
    .split('\n')
    .find((text) => text.startsWith('{"figures"') || text.startsWith('{"error"'));
  child.stdout.destroy();
  child.stderr.destroy();
  if (line !== undefined) return JSON.parse(line);
  if (late) return { error: `no result within ${limit} s` };
  if (ended instanceof Error) return { error: ended.message };
  const said = complaints.split('\n');
  const words = said.find((text) => text.includes('Error')) ?? said[0];
  return { error: `ended with ${ended[1] ?? ended[0]}: ${words}` };
}
