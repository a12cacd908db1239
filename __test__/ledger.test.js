// Whole runs of the ledger, see `ledger/checker.mjs` for what has to hold. Each has a process of its own, whose descriptors
// the nemesis may use up.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describe, planOf } from './ledger/plan.mjs';
import { randomSeed } from './ledger/stage.mjs';
import { root } from './support/harness.js';

/** Of each run; the same seed means another run with another number. */
const TASKS = 20_000;
/** ms. A run takes about ten seconds where nobody else wants the machine. */
const PATIENCE = 600_000;

/** What it printed, and how it ended. */
function ledger(seed) {
  const args = [join(root, 'scripts', 'ledger.mjs'), '--seed', String(seed), '--tasks', String(TASKS)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ printed, code, signal })));
}

/** Between them: one worker and several, both kinds of workers and of serialisation, retries, every way to close, no pidfd. */
const SEEDS = [47, 4, 42, 9, 15];
/** In this one workers are only stopped and continued. */
const CALM = 37;

/** Plays a run, which must hold. */
async function holds(seed) {
  const { printed, code, signal } = await ledger(seed);
  expect({ code, signal }, printed).toEqual({ code: 0, signal: null });
}

test.each(SEEDS.map((seed) => [describe(planOf(seed, TASKS)), seed]))(
  'nothing is lost and nothing is left behind: %s',
  (_, seed) => holds(seed),
  PATIENCE,
);

test(
  'workers that are stopped and continued lose nothing, run nothing twice, and are not killed',
  async () => {
    const { faults, strikes } = planOf(CALM, TASKS);
    expect(faults).toEqual({});
    expect(new Set(strikes.map(({ what }) => what))).toEqual(new Set(['pause', 'block']));
    await holds(CALM);
  },
  PATIENCE,
);

test(
  'nothing is lost and nothing is left behind: a random seed',
  async () => {
    const seed = randomSeed();
    console.log(`node scripts/ledger.mjs --seed ${seed} --tasks ${TASKS}`);
    await holds(seed);
  },
  PATIENCE,
);

test('the fixed seeds cover what there is', () => {
  const plans = SEEDS.map((seed) => planOf(seed, TASKS));
  const values = (of) => new Set(plans.map(of));
  expect(values(({ raw }) => raw)).toEqual(new Set([true, false]));
  expect(values(({ noPidfd }) => noPidfd)).toEqual(new Set([true, false]));
  expect(values(({ close }) => close)).toEqual(new Set(['drain', 'running', 'terminate']));
  expect(values(({ options }) => options.serialization)).toEqual(new Set(['json', 'advanced']));
  expect(values(({ options }) => options.concurrency)).toEqual(new Set([1, 4]));
  expect(values(({ options }) => options.retries)).toEqual(new Set([0, 2]));
  expect(values(({ options }) => options.prefetch)).toEqual(new Set(['auto', 1, 8]));
  expect(values(({ options }) => options.maxWorkers).has(1)).toBe(true);
  // Order is only checked where there is one worker and nothing runs twice.
  expect(
    plans.some(({ options: { maxWorkers, retries, maxTasksPerWorker, maxWorkerAge } }) => {
      return maxWorkers === 1 && retries === 0 && (maxTasksPerWorker ?? maxWorkerAge) === undefined;
    }),
  ).toBe(true);
  expect(values(({ options }) => options.maxTasksPerWorker).size).toBe(2);
  expect(values(({ options }) => options.maxWorkerAge).size).toBe(2);
});
