// resize() changes the number of workers while the pool works.

import { describe, expect, test } from 'vitest';
import { failure, fixture, gate, pool, record, started } from './support/harness.js';

const LIMITS = fixture('limits.mjs');

function ids(manager) {
  return manager.workers.map(({ id }) => id);
}

describe('resize()', () => {
  test('[W2] resize() to a larger size resolves when all its workers are ready', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    await manager.startWorkers();
    await manager.resize({ minWorkers: 4 });
    expect(manager.workers.map(({ id, state }) => [id, state])).toEqual(
      [1, 2, 3, 4].map((id) => [id, 'idle']),
    );
    const pids = await Promise.all(
      Array.from({ length: 4 }, () => manager.run({ type: 'sleep', data: 50 })),
    );
    expect(new Set(pids).size).toBe(4);
  });

  test('[W2] resize() to a smaller size finishes what runs, takes back what waits, and loses nothing', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 4, prefetch: 8 });
    const log = record(manager, ['exit', 'error']);
    await manager.startWorkers();
    const gates = Array.from({ length: 4 }, () => gate());
    const begun = gates.map((_, id) => started(manager, id));
    const long = gates.map(({ path }, id) => manager.run({ id, type: 'until', data: path }));
    await Promise.all(begun);
    const rest = Array.from({ length: 40 }, () => manager.run({ type: 'pid' }));
    const resized = manager.resize({ maxWorkers: 1 });
    for (const { open } of gates) open();
    await Promise.all([...long, ...rest]);
    await resized;
    expect(ids(manager)).toEqual([1]);
    expect(await manager.run({ type: 'pid' })).toBe(manager.workers[0].pid);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    const exits = log
      .filter(([event]) => event === 'exit')
      .map(([, { workerId, reason, code }]) => [workerId, reason, code]);
    expect(exits.sort()).toEqual([2, 3, 4].map((id) => [id, 'idle', 0]));
  });

  test('resize() two hundred times under load: every task ends once, with its own result', {
    timeout: 120_000,
  }, async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 2 });
    let going = true;
    let done = 0;
    const load = async () => {
      while (going) {
        expect(Number.isInteger(await manager.run({ type: 'pid' }))).toBe(true);
        done++;
      }
    };
    const loads = Array.from({ length: 20 }, load);
    for (let i = 0; i < 200; i++)
      await manager.resize({ minWorkers: 1 + (i % 3), maxWorkers: 1 + (i % 3) });
    going = false;
    await Promise.all(loads);
    expect(manager.stats().tasks).toMatchObject({ accepted: done, completed: done, failed: 0 });
    expect(ids(manager)).toEqual([1, 2]);
  });

  test('resize() of a pool that has not started only sets the size', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    await manager.resize({ minWorkers: 3, maxWorkers: 3 });
    expect(manager.workers).toEqual([]);
    await manager.startWorkers();
    expect(ids(manager)).toEqual([1, 2, 3]);
  });

  test('resize() with one bound adjusts the other, and what is left out stays', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 2, maxWorkers: 2 });
    await manager.startWorkers();
    await manager.resize({ maxWorkers: 1 });
    expect(ids(manager)).toEqual([1]);
    await manager.resize({ minWorkers: 2 });
    expect(ids(manager)).toEqual([1, 2]);
    await manager.resize({});
    expect(ids(manager)).toEqual([1, 2]);
  });

  test('overlapping resize() all resolve when the last is complete', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    await manager.startWorkers();
    await Promise.all(
      [4, 1, 3].map((size) => manager.resize({ minWorkers: size, maxWorkers: size })),
    );
    expect(ids(manager)).toEqual([1, 2, 3]);
  });

  test('maxQueue: 0 follows the size of resize()', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1, maxQueue: 0 });
    const { path, open } = gate();
    const first = manager.run({ type: 'until', data: path });
    expect((await failure(manager.run({ type: 'pid' }))).code).toBe('ERR_QUEUE_FULL');
    await manager.resize({ maxWorkers: 2 });
    await manager.run({ type: 'pid' });
    open();
    await first;
  });

  test('resize() refuses wrong sizes by name, and changes nothing', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    await manager.startWorkers();
    const wrong = [
      [undefined, 'ERR_INVALID_ARG_TYPE', 'size'],
      [3, 'ERR_INVALID_ARG_TYPE', 'size'],
      [{ maxWorkers: 0 }, 'ERR_OUT_OF_RANGE', 'size.maxWorkers'],
      [{ minWorkers: -1 }, 'ERR_OUT_OF_RANGE', 'size.minWorkers'],
      [{ minWorkers: 3, maxWorkers: 2 }, 'ERR_OUT_OF_RANGE', 'size.minWorkers'],
      [{ workers: 3 }, 'ERR_INVALID_ARG_VALUE', 'size.workers'],
    ];
    for (const [size, code, name] of wrong) {
      const error = await failure(manager.resize(size));
      expect(error.code, String(error)).toBe(code);
      expect(error.message).toContain(name);
    }
    expect(ids(manager)).toEqual([1]);
  });

  test('resize() of a pool that closes, or is closed, rejects', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    await manager.startWorkers();
    const resized = failure(manager.resize({ minWorkers: 2 }));
    await manager.terminate();
    expect((await resized).code).toBe('ERR_POOL_CLOSED');
    expect((await failure(manager.resize({ minWorkers: 2 }))).code).toBe('ERR_POOL_CLOSED');
  });
});
