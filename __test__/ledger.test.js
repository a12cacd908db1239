// Whole runs of the ledger; `ledger/checker.mjs` lists what has to hold. Each has a process of its
// own, whose descriptors the nemesis may use up.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describe, planOf } from './ledger/plan.mjs';
import { randomSeed } from './ledger/stage.mjs';
import { root } from './support/harness.js';

/** Tasks of a long run, and of a short one; another number makes another run of the same seed. */
const LONG = 20_000;
const SHORT = 5_000;
/** Time limit (ms). A long run takes about ten seconds on an idle machine. */
const PATIENCE = 600_000;

/** The output of a run, and how it ended. */
function ledger(seed, tasks) {
  const args = [
    join(root, 'scripts', 'ledger.mjs'),
    '--seed',
    String(seed),
    '--tasks',
    String(tasks),
  ];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
  });
  return new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ printed, code, signal })),
  );
}

/**
 * Seeds and numbers of tasks. Together they have one worker and several, both kinds of workers and
 * of serialisation, retries, every way to close, and no pidfd.
 */
const RUNS = [
  [42, LONG],
  [509, SHORT],
  [1939, SHORT],
  [1589, SHORT],
  [476, SHORT],
];
/** A run in which workers are only stopped and continued. */
const CALM = 37;

/** Plays a run, and checks it. */
async function holds(seed, tasks) {
  const { printed, code, signal } = await ledger(seed, tasks);
  expect({ code, signal }, printed).toEqual({ code: 0, signal: null });
}

test.each(RUNS.map(([seed, tasks]) => [describe(planOf(seed, tasks)), seed, tasks]))(
  'nothing is lost and nothing is left behind: %s',
  (_, seed, tasks) => holds(seed, tasks),
  PATIENCE,
);

test(
  '[C4, D6] workers that are stopped and continued lose nothing, run nothing twice, and are not killed',
  async () => {
    const { faults, strikes } = planOf(CALM, SHORT);
    expect(faults).toEqual({});
    expect(new Set(strikes.map(({ what }) => what))).toEqual(new Set(['pause', 'block']));
    await holds(CALM, SHORT);
  },
  PATIENCE,
);

test(
  '[B8, H11] nothing is lost and nothing is left behind: a random seed',
  async () => {
    const seed = randomSeed();
    console.log(`node scripts/ledger.mjs --seed ${seed} --tasks ${SHORT}`);
    await holds(seed, SHORT);
  },
  PATIENCE,
);

test('the fixed seeds cover every option and fault', () => {
  const plans = RUNS.map(([seed, tasks]) => planOf(seed, tasks));
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
