// A worker dies at each fail point, in each way there is (see "Fail points" in
// CONTRIBUTING.md). What the pool reports of its tasks is compared with what the workers wrote
// down.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { WorkerCrashedError } from '../index.mjs';
import { failure, fixture, moduleFile, pool, record, until } from './support/harness.js';
import { ledgerFolder, readLedger } from './support/ledger.js';

const WAYS = {
  SIGKILL: { exitCode: null, signal: 'SIGKILL' },
  SIGSEGV: { exitCode: null, signal: 'SIGSEGV' },
  abort: { exitCode: null, signal: 'SIGABRT' },
  'exit-0': { exitCode: 0, signal: null },
  'exit-1': { exitCode: 1, signal: null },
};

const TASKS = 12;
/** More than can outlive a worker that has not written it. */
const LARGE = 200_000;
/**
 * Raw bytes in V8's format, behind their line: fewer would be text in it, and more would go through
 * shared memory.
 */
const RAW = 8_000;

/**
 * Where a worker dies, and what comes of it: `lost` is how often the task at hand was started and
 * ended where that is an error (its `phase` is the error's), and null where no task is lost.
 */
const PHASES = {
  start: { reason: 'startup', lost: null },
  idle: { lost: null },
  read: { nth: 2, lost: null },
  'before-claim': { nth: 4, lost: null },
  'after-claim': { nth: 4, lost: { starts: 0, ends: 0, phase: 'running' } },
  task: { nth: 4, lost: { starts: 1, ends: 0, phase: 'running' } },
  'write:1': { nth: 4, type: 'listed', size: LARGE, lost: { starts: 1, ends: 1, phase: 'result' } },
  'write:half': {
    nth: 4,
    type: 'listed',
    size: LARGE,
    lost: { starts: 1, ends: 1, phase: 'result' },
  },
  'write:last': {
    nth: 4,
    type: 'listed',
    size: LARGE,
    lost: { starts: 1, ends: 1, phase: 'result' },
  },
  result: { nth: 4, size: LARGE, lost: null },
  stop: { reason: 'shutdown', lost: null },
};

/** The environment that makes exactly one worker of a pool die like this. */
function failPointOf(folder, phase, way, nth = 1) {
  const token = join(folder, 'token');
  writeFileSync(token, '');
  const env = {
    ...process.env,
    BULKHEAD_FAIL_POINT: `${phase} ${way} ${nth}`,
    BULKHEAD_FAIL_POINT_TOKEN: token,
  };
  return { env, token };
}

/** Makes a pool of one worker of `fixtures/ledger.mjs`. `argv`: the folder of its ledger first. */
function poolOf(env, argv, options) {
  return pool({
    worker: fixture('ledger.mjs'),
    argv,
    env,
    maxWorkers: 1,
    stdio: 'ignore',
    restart: { minDelay: 1, maxDelay: 20 },
    ...options,
  });
}

/**
 * Runs some tasks in a pool, has one worker die, and collects what the pool and the workers report.
 */
async function run(phase, way, { nth, size = 1, type = 'sized', options } = {}) {
  const folder = ledgerFolder();
  const ledger = ledgerFolder();
  const { env, token } = failPointOf(folder, phase, way, nth);
  const manager = poolOf(env, [ledger], options);
  const exits = [];
  const strays = [];
  manager.on('exit', (exit) => exits.push(exit));
  manager.on('error', (error) => strays.push(error));
  // A worker that has to die before its first task does.
  if (phase === 'idle') {
    await manager.startWorkers();
    await until(() => exits.length === 1, 'the idle worker dies');
  }
  const tasks = Array.from({ length: TASKS }, (_, id) => manager.run({ id, type, data: size }));
  const outcomes = await Promise.allSettled(tasks);
  const report = await manager.shutdown();
  expect(existsSync(token), 'nothing has died').toBe(false);
  expect(strays).toEqual([]);
  const counters = manager.stats().tasks;
  const lost = outcomes.flatMap(({ status, reason }, id) =>
    status === 'rejected' ? [[id, reason]] : [],
  );
  expect(counters).toMatchObject({
    accepted: TASKS,
    completed: TASKS - lost.length,
    failed: lost.length,
    cancelled: 0,
  });
  return { outcomes, lost, exits, report, retried: counters.retried, ...readLedger(ledger, TASKS) };
}

/** Checks every task that has ended well: it ran once, to its end, and returned this. */
function expectWell({ outcomes, starts, ends }, size = 1) {
  for (const [id, { status, value }] of outcomes.entries()) {
    if (status === 'fulfilled')
      expect([value.length, starts[id], ends[id]], `task ${id}`).toEqual([size, 1, 1]);
  }
}

/** Checks that exactly one task is lost, by a death of this kind in this phase. */
function expectLost({ lost, starts, ends }, { exitCode, signal }, got) {
  expect(lost).toHaveLength(1);
  const [[id, error]] = lost;
  expect(error).toBeInstanceOf(WorkerCrashedError);
  expect(error).toMatchObject({
    taskId: id,
    exitCode,
    signal,
    phase: got.phase,
    maybeExecuted: true,
  });
  expect([starts[id], ends[id]]).toEqual([got.starts, got.ends]);
}

describe.each(Object.entries(PHASES))('a worker that dies in the phase "%s"', (phase, expected) => {
  test.each(Object.entries(WAYS))(
    '[B2, B3, B4, B5, B6, B7, E21] a worker that dies at a fail point by %s has the documented effect on its tasks',
    async (way, how) => {
      const { lost, size, nth, type, reason = 'crashed' } = expected;
      const seen = await run(phase, way, { nth, size, type });
      expectWell(seen, size);
      if (lost === null) expect(seen.lost).toEqual([]);
      else expectLost(seen, how, lost);
      const [died, ...others] = seen.exits;
      expect(died).toMatchObject({ code: how.exitCode, signal: how.signal, reason });
      if (phase === 'stop') expect(others).toEqual([]);
      else
        expect(others).toEqual([
          expect.objectContaining({ code: 0, signal: null, reason: 'shutdown' }),
        ]);
      expect(seen.report.killed).toBe(0);
    },
  );
});

describe('a worker that dies while it writes', () => {
  const cuts = [
    ['write:1', 'SIGKILL'],
    ['write:half', 'exit-0'],
    ['write:last', 'abort'],
  ];

  test.each(cuts)(
    '[B5, E21] a worker that dies while it writes small results (%s) loses none of them',
    async (phase, way) => {
      for (const serialization of ['json', 'advanced']) {
        // With a task ahead, the worker may write results while it runs that task, and lose it.
        const options = { serialization, prefetch: 1 };
        const seen = await run(phase, way, { nth: 4, options });
        expect(seen.lost).toEqual([]);
        expectWell(seen);
      }
    },
  );

  test.each(cuts)(
    '[B5] a worker that dies while it writes large raw bytes or text (%s) loses none of them',
    async (phase, way) => {
      for (const serialization of ['json', 'advanced']) {
        const seen = await run(phase, way, { nth: 4, size: LARGE, options: { serialization } });
        expect(seen.lost).toEqual([]);
        expectWell(seen, LARGE);
      }
    },
  );

  test.each(cuts)(
    '[B5] a worker that dies while it writes raw bytes (%s) loses the task that they are the result of',
    async (phase, way) => {
      const seen = await run(phase, way, {
        nth: 4,
        size: RAW,
        options: { serialization: 'advanced' },
      });
      expectLost(seen, WAYS[way], { starts: 1, ends: 1, phase: 'result' });
      expectWell(seen, RAW);
    },
  );
});

test('[B6] raw bytes that are written completely are a result, even if the worker dies next', async () => {
  const seen = await run('result', 'exit-0', {
    nth: 4,
    size: RAW,
    options: { serialization: 'advanced' },
  });
  expect(seen.lost).toEqual([]);
  expectWell(seen, RAW);
});

test.each([
  // A claimed task counts as an attempt, although none of its code ran.
  ['after-claim', [2]],
  ['task', [1, 2]],
  ['write:half', [1, 2]],
])(
  '[B3] with retries, a task that is lost in the phase "%s" runs again',
  async (phase, attempts) => {
    const options = { retries: 1, retryDelay: 1 };
    const seen = await run(phase, 'SIGKILL', { nth: 4, type: 'listed', size: LARGE, options });
    expect(seen.lost).toEqual([]);
    expect(seen.retried).toBe(1);
    const told = [...seen.attempts.values()].filter((attempt) => attempt.join() !== '1');
    expect(told).toEqual([attempts]);
    expect(seen.attempts.size).toBe(TASKS);
  },
);

describe('a worker that dies while it reads a large task', () => {
  test.each([
    // More than goes through shared memory.
    ['20 MB of text', 20, 3, (size) => 'x'.repeat(size)],
    ['20 MB of bytes', 20, 3, (size) => Buffer.alloc(size, 'x')],
    ['100 MB of bytes, while they are written', 100, 12, (size) => Buffer.alloc(size, 'x')],
  ])(
    '[B2, B10] a worker that dies while it reads a large task (%s) has not started it: another runs it, silently',
    async (_, megabytes, nth, make) => {
      const ledger = ledgerFolder();
      // One read brings far less than half of it.
      const { env, token } = failPointOf(ledgerFolder(), 'read', 'SIGKILL', nth);
      const options = { maxMessageSize: 128 << 20, restart: { minDelay: 1 } };
      const manager = poolOf(env, [ledger], options);
      const log = record(manager, ['error', 'retry', 'exit']);
      const data = make(megabytes * 1_000_000);
      expect(await manager.run({ id: 0, type: 'weigh', data })).toBe(data.length);
      expect(existsSync(token), 'nothing has died').toBe(false);
      expect(log.map(([event, { signal }]) => [event, signal])).toEqual([['exit', 'SIGKILL']]);
      const { starts, ends } = readLedger(ledger, 1);
      expect([...starts, ...ends]).toEqual([1, 1]);
    },
  );
});

describe('a worker that dies while it holds results', () => {
  /** Short enough for several to fit into the time for which a result may wait (ms). */
  const DURATION = '0.6';

  /** Keeps many tasks waiting until the worker that has to die is dead. Returns their outcomes. */
  async function saturate(way, { data, type = 'brief', options } = {}) {
    const ledger = ledgerFolder();
    const { env, token } = failPointOf(ledgerFolder(), 'hold', way, 3);
    const manager = poolOf(env, [ledger, DURATION], options);
    const log = record(manager, ['error', 'retry', 'exit']);
    const died = new Promise((resolve) => manager.once('exit', resolve));
    let dead = false;
    died.then(() => {
      dead = true;
    });
    let id = 0;
    const values = [];
    const lane = async () => {
      while (!dead) {
        const task = manager.run({ id: id++, type, data });
        values.push(await task.catch((error) => error.message));
      }
    };
    await Promise.all(Array.from({ length: 200 }, lane));
    expect(existsSync(token), 'nothing has died').toBe(false);
    const ended = type === 'brief' ? { completed: id, failed: 0 } : { completed: 0, failed: id };
    expect(manager.stats().tasks).toMatchObject({ accepted: id, retried: 0, ...ended });
    const { starts, ends } = readLedger(ledger, id);
    expect([...starts].filter((count) => count !== 1)).toEqual([]);
    expect([...ends].filter((count) => count !== 1)).toEqual([]);
    await manager.shutdown();
    expect(log.map(([event, { reason }]) => [event, reason])).toEqual([
      ['exit', 'crashed'],
      ['exit', 'shutdown'],
    ]);
    return values;
  }

  test.each(Object.keys(WAYS))(
    '[B6, E21] a worker that dies by %s while it holds results loses none, and none runs again',
    async (way) => {
      for (const value of await saturate(way, { data: 1 })) expect(value).toBe('x');
    },
  );

  test('[B6, E21] a worker that dies while it holds results that fill the journal loses none of them', async () => {
    const size = 30_000;
    for (const value of await saturate('SIGKILL', { data: size })) expect(value).toHaveLength(size);
  });

  test('[B6] a worker that dies while it holds errors loses none of them', async () => {
    const values = await saturate('SIGKILL', { type: 'failing' });
    for (const value of values) expect(value).toBe('on purpose');
  });
});

test('[B7] a worker that dies while the pool shuts down costs its task, and nothing else', async () => {
  const ledger = ledgerFolder();
  const { env, token } = failPointOf(ledgerFolder(), 'task', 'abort', 4);
  const manager = poolOf(env, [ledger], { restart: { minDelay: 1 } });
  const tasks = Array.from({ length: TASKS }, (_, id) =>
    manager.run({ id, type: 'sized', data: 1 }),
  );
  const [report, ...outcomes] = await Promise.all([
    manager.shutdown(),
    ...tasks.map((task) => task.catch((error) => error.signal)),
  ]);
  expect(existsSync(token), 'nothing has died').toBe(false);
  expect(report).toEqual({ completed: TASKS - 1, rejected: 1, killed: 0 });
  expect(outcomes.sort()).toEqual(['SIGABRT', ...Array(TASKS - 1).fill('x')]);
  const { starts, ends } = readLedger(ledger, TASKS);
  expect([...starts]).toEqual(Array(TASKS).fill(1));
  expect(ends.reduce((sum, count) => sum + count)).toBe(TASKS - 1);
});

test('[B3] one of several workers that dies leaves the others running, and they run the tasks it held', async () => {
  const options = { minWorkers: 3, maxWorkers: 3, prefetch: 4 };
  const seen = await run('before-claim', 'SIGSEGV', { nth: 2, type: 'sized', options });
  expect(seen.lost).toEqual([]);
  expectWell(seen);
  const reasons = seen.exits.map(({ reason }) => reason);
  expect(reasons.filter((reason) => reason !== 'shutdown')).toEqual(['crashed']);
  // The two others, and the one in the dead worker's place if the tasks took that long.
  expect(reasons.length - 1).toBeOneOf([2, 3]);
});

test('an invalid BULKHEAD_FAIL_POINT is an error, and an empty one is none', async () => {
  const start = (env) => {
    const manager = pool({
      env: { ...process.env, ...env },
      stdio: 'ignore',
      restart: { limit: 0, minDelay: 1 },
    });
    manager.on('error', () => {});
    return manager.startWorkers();
  };
  const error = await failure(start({ BULKHEAD_FAIL_POINT: 'nowhere SIGKILL' }));
  expect(error).toMatchObject({ name: 'PoolBrokenError' });
  expect(error.cause.stderr).toContain(
    'BULKHEAD_FAIL_POINT="nowhere SIGKILL": there is no phase "nowhere"',
  );
  await start({});
});

test.each([
  ['a handler', '() => process.pid'],
  ['an async handler', 'async () => process.pid'],
])(
  'a worker with %s looks in vain for a task once, and not after each lone one',
  async (_, source) => {
    const { env, token } = failPointOf(ledgerFolder(), 'idle', 'exit-0', 2);
    const worker = moduleFile(`export default ${source};`);
    const own = pool({ worker, env, maxWorkers: 1 });
    const pids = new Set();
    for (let i = 0; i < 10; i++) pids.add(await own.run(i));
    expect(pids.size).toBe(1);
    expect(existsSync(token)).toBe(true);
  },
);
