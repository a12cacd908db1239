// Workers are killed at random while many tasks run. What the pool reports of each task is compared
// with a ledger that the workers write by themselves.

import { expect, test } from 'vitest';
import { WorkerCrashedError } from '../index.mjs';
import { Random } from './ledger/random.mjs';
import { fixture, pool, until } from './support/harness.js';
import { ledgerFolder, readLedger } from './support/ledger.js';

/** The seed; BULKHEAD_TEST_SEED=<the seed in a failure's message> repeats that failure. */
const seed = Number(process.env.BULKHEAD_TEST_SEED ?? Date.now() % 2 ** 31);

/**
 * Runs `tasks` tasks of a type, kills `kills` workers meanwhile, and collects what the pool reports
 * of each task.
 */
async function storm({ tasks, kills, type, data, options }) {
  const folder = ledgerFolder();
  const manager = pool({
    worker: fixture('ledger.mjs'),
    argv: [folder],
    restart: { minDelay: 1, maxDelay: 20 },
    ...options,
  });
  const random = new Random(seed);
  // Kills come at points of the progress, not of time: neither too early nor too late.
  const points = Array.from({ length: kills }, () =>
    random.int(0, Math.floor(tasks * 0.95) - 1),
  ).sort((a, b) => a - b);
  const targets = new Set();
  const killed = new Set();
  const results = new Uint8Array(tasks);
  const crashes = new Map();
  const late = [];
  const wrong = [];
  const retries = [];
  const exits = [];
  let settled = 0;

  const strike = () => {
    while (killed.size < kills && points[killed.size] <= settled && targets.size > 0) {
      const pid = random.pick([...targets]);
      targets.delete(pid);
      killed.add(pid);
      process.kill(pid, 'SIGKILL');
    }
  };
  // Some workers are killed as soon as they exist, before they have run anything; the others while
  // they work.
  manager.on('online', ({ pid }) => {
    if (!random.chance(0.2)) return;
    targets.add(pid);
    strike();
  });
  const gone = new Set();
  manager.on('exit', (exit) => {
    targets.delete(exit.pid);
    gone.add(exit.pid);
    exits.push(exit);
  });
  manager.on('result', ({ taskId, result, processedBy }) => {
    results[taskId] += 1;
    if (gone.has(processedBy)) late.push(taskId);
    if (result !== taskId) wrong.push(taskId);
    settled += 1;
    if (!killed.has(processedBy)) targets.add(processedBy);
    strike();
  });
  manager.on('error', (error) => {
    if (error.taskId === undefined) wrong.push(error);
    crashes.set(error.taskId, [...(crashes.get(error.taskId) ?? []), error]);
    settled += 1;
    strike();
  });
  manager.on('retry', (retry) => retries.push(retry));

  for (let id = 0; id < tasks; id += 1) manager.distributeTask({ id, type, data });
  await until(() => settled >= tasks, `${tasks} outcomes, seed ${seed}`, 60_000);
  const { completed, rejected } = await manager.shutdown();
  const { tasks: counters } = manager.stats();
  const ledger = readLedger(folder, tasks);
  return {
    results,
    crashes,
    late,
    wrong,
    retries,
    exits,
    killed,
    completed,
    rejected,
    counters,
    ledger,
  };
}

/** The ids of tasks for which something does not hold. */
function violations(tasks, holds) {
  const found = [];
  for (let id = 0; id < tasks; id += 1) if (!holds(id)) found.push(id);
  return found;
}

/** Checks what holds after every run. */
function check({ tasks, kills, maxStarts, lostPerKill }, storm) {
  const { results, crashes, late, wrong, exits, killed, counters, ledger } = storm;
  const { starts, ends } = ledger;
  const where = `seed ${seed}`;
  const outcomes = (id) => results[id] + (crashes.get(id)?.length ?? 0);
  expect(killed.size, where).toBe(kills);
  expect(
    violations(tasks, (id) => outcomes(id) === 1),
    `not exactly one outcome, ${where}`,
  ).toEqual([]);
  expect(
    violations(tasks, (id) => starts[id] <= maxStarts),
    `started too often, ${where}`,
  ).toEqual([]);
  expect(
    violations(tasks, (id) => results[id] === 0 || ends[id] >= 1),
    `a result without an end, ${where}`,
  ).toEqual([]);
  expect(wrong, `wrong values or errors, ${where}`).toEqual([]);
  expect(late, `results after their worker's exit, ${where}`).toEqual([]);
  for (const [id, [error]] of crashes) {
    expect(error, where).toBeInstanceOf(WorkerCrashedError);
    expect(error, where).toMatchObject({
      taskId: id,
      signal: 'SIGKILL',
      exitCode: null,
      maybeExecuted: true,
    });
    expect(killed, where).toContain(error.pid);
  }
  expect(crashes.size, where).toBeLessThanOrEqual(kills * lostPerKill);
  expect(counters, where).toMatchObject({
    accepted: tasks,
    completed: tasks - crashes.size,
    failed: crashes.size,
    cancelled: 0,
  });
  const crashed = exits.filter(({ reason }) => reason === 'crashed');
  expect(crashed.map(({ pid }) => pid).sort(), where).toEqual([...killed].sort());
  expect(crashed.every(({ signal }) => signal === 'SIGKILL')).toBe(true);
}

test('[B8, L7] 100 000 tasks and 50 kills: each task ends once, none runs twice, and a kill costs at most one', async () => {
  const size = { tasks: 100_000, kills: 50, maxStarts: 1, lostPerKill: 1 };
  const outcome = await storm({ ...size, type: 'plain', data: 0.02, options: {} });
  check(size, outcome);
  const { starts, ends } = outcome.ledger;
  expect(
    violations(size.tasks, (id) => starts[id] === 0 || outcome.results[id] === 0 || ends[id] === 1),
  ).toEqual([]);
  // Tasks that never started ran elsewhere, silently: every task did start.
  expect(violations(size.tasks, (id) => outcome.results[id] === 0 || starts[id] === 1)).toEqual([]);
  expect(outcome.retries).toEqual([]);
}, 90_000);

test('a kill of a worker with several async tasks costs no more than those', async () => {
  const size = { tasks: 10_000, kills: 10, maxStarts: 1, lostPerKill: 4 };
  check(size, await storm({ ...size, type: 'async', options: { concurrency: 4 } }));
}, 60_000);

test('[L6] retries: a task that may have started runs at most three times, and is told its attempt', async () => {
  const size = { tasks: 2_000, kills: 15, maxStarts: 3, lostPerKill: 1 };
  const outcome = await storm({
    ...size,
    type: 'plain',
    data: 1,
    options: { retries: 2, retryDelay: 1 },
  });
  check(size, outcome);
  const { retries, counters, ledger } = outcome;
  expect(counters.retried).toBe(retries.length);
  expect(retries.length, `seed ${seed}`).toBeGreaterThan(0);
  for (const { taskId, attempt, error } of retries) {
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({ taskId, signal: 'SIGKILL' });
    expect([2, 3]).toContain(attempt);
  }
  const again = [...ledger.attempts].filter(([, attempts]) => attempts.length > 1);
  const retried = new Set(retries.map(({ taskId }) => taskId));
  for (const [id, attempts] of again) {
    expect(retried).toContain(id);
    expect(new Set(attempts).size, `attempts of ${id}: ${attempts}`).toBe(attempts.length);
  }
}, 60_000);

test('[A13] a task that kills its worker is retried until it succeeds or its attempts are used up', async () => {
  const folder = ledgerFolder();
  const manager = pool({
    worker: fixture('ledger.mjs'),
    argv: [folder],
    retryDelay: 1,
    restart: { minDelay: 1, maxDelay: 20 },
  });
  const retries = [];
  manager.on('retry', ({ taskId, attempt }) => retries.push([taskId, attempt]));
  const [saved, lost, once] = await Promise.allSettled([
    manager.run({ id: 0, type: 'mortal', data: 2 }, { retries: 2 }),
    manager.run({ id: 1, type: 'mortal', data: 9 }, { retries: 2 }),
    manager.run({ id: 2, type: 'mortal', data: 9 }),
  ]);
  expect(saved).toEqual({ status: 'fulfilled', value: 3 });
  expect(lost.reason).toBeInstanceOf(WorkerCrashedError);
  expect(lost.reason.attempts).toBe(3);
  expect(lost.reason.message).toContain(
    'each of the 3 attempts of the task ended with the death of its worker',
  );
  expect(once.reason).toBeInstanceOf(WorkerCrashedError);
  expect(once.reason.attempts).toBe(1);
  expect(once.reason.message).not.toContain('started');
  const { attempts } = readLedger(folder, 3);
  expect([...attempts].sort()).toEqual([
    [0, [1, 2, 3]],
    [1, [1, 2, 3]],
    [2, [1]],
  ]);
  expect(retries.sort()).toEqual([
    [0, 2],
    [0, 3],
    [1, 2],
    [1, 3],
  ]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 3, completed: 1, failed: 2, retried: 4 });
});
