// The option key: tasks of one key go to one worker.

import { describe, expect, test } from 'vitest';
import { failure, fixture, gate, pool, record, started, until } from './support/harness.js';

const LIMITS = fixture('limits.mjs');

/** The worker that runs tasks of these keys: `{ workerId, pid }` by key. */
async function homes(manager, keys) {
  const who = await Promise.all(keys.map((key) => manager.run({ type: 'who' }, { key })));
  return new Map(keys.map((key, i) => [key, who[i]]));
}

const KEYS = Array.from({ length: 64 }, (_, i) => `customer ${i}`);

describe('key', () => {
  test('[T17] tasks of one key run in one worker, and the keys are spread over all', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 4, maxWorkers: 4 });
    const first = await homes(manager, KEYS);
    for (let round = 0; round < 5; round++) expect(await homes(manager, KEYS)).toEqual(first);
    const counts = [1, 2, 3, 4].map(
      (id) => [...first.values()].filter(({ workerId }) => workerId === id).length,
    );
    // Binomial with a mean of 16: less than 4 has a probability of 1 in 10 000, and the hash is
    // fixed.
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(4);
  });

  test('keys have the same workers in another pool of the same size', async () => {
    const [a, b] = [1, 2].map(() => pool({ worker: LIMITS, minWorkers: 3, maxWorkers: 3 }));
    const ids = (found) => [...found.values()].map(({ workerId }) => workerId);
    expect(ids(await homes(a, KEYS))).toEqual(ids(await homes(b, KEYS)));
  });

  test('a task with a key waits for its worker while others run on, and tasks of a key keep their order', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 2, maxWorkers: 2 });
    const found = await homes(manager, KEYS);
    const [here] = KEYS;
    const there = KEYS.find((key) => found.get(key).workerId !== found.get(here).workerId);
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path }, { key: here });
    await begun;
    const ends = [];
    const waiting = [1, 2, 3].map((n) =>
      manager.run({ type: 'who' }, { key: here }).then((who) => ends.push([n, who])),
    );
    for (let i = 0; i < 20; i++)
      expect(await manager.run({ type: 'who' }, { key: there })).toEqual(found.get(there));
    for (let i = 0; i < 20; i++)
      expect((await manager.run({ type: 'who' })).pid).toBe(found.get(there).pid);
    expect(ends).toEqual([]);
    open();
    await Promise.all([long, ...waiting]);
    expect(ends).toEqual([1, 2, 3].map((n) => [n, found.get(here)]));
  });

  test('a task with a key starts the worker that its key belongs to, where there is none', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 0, maxWorkers: 4 });
    const found = await homes(manager, KEYS.slice(0, 1));
    expect(manager.workers.map(({ id }) => id)).toEqual([found.get(KEYS[0]).workerId]);
  });

  test('[T17] a worker that dies leaves its keys to its successor, which runs what had not started', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 2, maxWorkers: 2 });
    const found = await homes(manager, KEYS);
    const [key] = KEYS;
    const log = record(manager, ['lost-key', 'exit']);
    const begun = started(manager, 'dies');
    const dies = failure(manager.run({ id: 'dies', type: 'until', data: gate().path }, { key }));
    const waits = manager.run({ type: 'who' }, { key });
    await begun;
    process.kill(found.get(key).pid, 'SIGKILL');
    expect((await dies).code).toBe('ERR_WORKER_CRASHED');
    const { workerId, pid } = await waits;
    expect([workerId, pid === found.get(key).pid]).toEqual([found.get(key).workerId, false]);
    await until(() => log.some(([event]) => event === 'exit'), 'the exit');
    const mine = KEYS.filter((other) => found.get(other).workerId === workerId);
    expect(log.slice(0, mine.length)).toEqual(
      mine.sort().map((lost) => ['lost-key', { key: lost, workerId }]),
    );
    expect(log[mine.length][0]).toBe('exit');
  });

  test('resize() moves only the keys that a new worker wins, and those of one that is removed', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 3, maxWorkers: 3 });
    const before = await homes(manager, KEYS);
    await manager.resize({ minWorkers: 4 });
    const after = await homes(manager, KEYS);
    for (const key of KEYS) {
      const { workerId } = after.get(key);
      expect(workerId === before.get(key).workerId || workerId === 4, key).toBe(true);
    }
    expect([...after.values()].some(({ workerId }) => workerId === 4)).toBe(true);
    await manager.resize({ maxWorkers: 3 });
    expect(await homes(manager, KEYS)).toEqual(before);
  });

  test('tasks that wait for a worker that resize() removes go to another', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 2, maxWorkers: 2 });
    const found = await homes(manager, KEYS);
    const key = KEYS.find((key) => found.get(key).workerId === 2);
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path }, { key });
    await begun;
    const waits = manager.run({ type: 'who' }, { key });
    const resized = manager.resize({ maxWorkers: 1 });
    expect((await waits).workerId).toBe(1);
    open();
    await Promise.all([long, resized]);
  });

  test('a task with a key has its priority among all tasks of its worker', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1, priorityAgeing: Infinity });
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path });
    await begun;
    const ends = [];
    const tasks = [
      ['c', {}],
      ['d', { key: 'k' }],
      ['b', { key: 'k', priority: 1 }],
      ['a', { priority: 2 }],
    ].map(([name, options]) => manager.run({ type: 'pid' }, options).then(() => ends.push(name)));
    open();
    await Promise.all([long, ...tasks]);
    expect(ends).toEqual(['a', 'b', 'c', 'd']);
  });

  test.each([
    ['', 'ERR_INVALID_ARG_VALUE'],
    [7, 'ERR_INVALID_ARG_TYPE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
  ])('the key %j is refused by name', async (key, code) => {
    const manager = pool({ worker: LIMITS });
    const error = await failure(manager.run({ type: 'pid' }, { key }));
    expect(error).toMatchObject({ code, message: expect.stringContaining('options.key') });
  });
});

describe('idleTimeout', () => {
  test('[W1] idleTimeout ends workers above minWorkers after that time, and not before', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 1, maxWorkers: 3, idleTimeout: 30 });
    const log = record(manager, ['exit']);
    await Promise.all(Array.from({ length: 12 }, () => manager.run({ type: 'sleep', data: 60 })));
    await until(() => log.length === 2, 'two of three leave');
    expect(log.map(([, { reason, code }]) => [reason, code])).toEqual([
      ['idle', 0],
      ['idle', 0],
    ]);
    expect(manager.workers.length).toBe(1);
  });

  test('idleTimeout with minWorkers 0 leaves no worker', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 0, maxWorkers: 2, idleTimeout: 0 });
    await manager.run({ type: 'pid' });
    await until(() => manager.workers.length === 0, 'the worker leaves');
    await manager.run({ type: 'pid' });
  });
});
