// The start of a pool, and what it reports about itself while it lives.

import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { PoolBrokenError } from '../index.mjs';
import {
  childrenOf,
  endsWell,
  failure,
  fixture,
  moduleFile,
  pool,
  program,
  record,
  started,
  until,
} from './support/harness.js';

const basic = fixture('basic.mjs');
const announcing = fixture('announcing.mjs');

describe('startWorkers()', () => {
  test('startWorkers() starts minWorkers, and resolves when they are ready', async () => {
    const manager = pool({ worker: basic, minWorkers: 2, maxWorkers: 2 });
    const log = record(manager, ['online']);
    expect(childrenOf()).toEqual([]);
    await expect(manager.startWorkers()).resolves.toBeUndefined();
    expect(log).toHaveLength(2);
    const pids = childrenOf();
    expect(new Set(log.map(([, { pid }]) => pid))).toEqual(new Set(pids));
    expect(manager.workers.map(({ id, state }) => [id, state])).toEqual([
      [1, 'idle'],
      [2, 'idle'],
    ]);
  });

  test('[G3] startWorkers() called again and again starts no more workers', async () => {
    const manager = pool({ worker: basic, minWorkers: 2 });
    const promises = [manager.startWorkers(), manager.startWorkers()];
    expect(promises[1]).toBe(promises[0]);
    await Promise.all(promises);
    const pids = childrenOf();
    await manager.startWorkers();
    await manager.run({ type: 'echo' });
    await manager.startWorkers();
    expect(childrenOf()).toEqual(pids);
    expect(pids).toHaveLength(2);
  });

  test('[G1] startWorkers() may be left out: a task starts the workers', async () => {
    const manager = pool({ worker: basic, minWorkers: 2 });
    manager.distributeTask({ id: 1, type: 'echo', data: 'first' });
    expect((await once(manager, 'result'))[0]).toMatchObject({ taskId: 1, result: 'first' });
    // The pool's minimum of workers start, not only the one that the task needs.
    await manager.startWorkers();
    expect(childrenOf()).toHaveLength(2);
  });

  test('[G1] startWorkers() with minWorkers 0 resolves without any, and tasks still run', async () => {
    const manager = pool({ worker: basic, minWorkers: 0, maxWorkers: 2 });
    await manager.startWorkers();
    expect(manager.workers).toEqual([]);
    await expect(manager.run({ type: 'echo', data: 1 })).resolves.toBe(1);
  });

  test('startWorkers() may be ignored: its failure is an error event, and no unhandled rejection', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      process.on('unhandledRejection', (error) => console.log('unhandled', error));
      const pool = new ProcessManager({ worker: '/nowhere/worker.mjs', maxWorkers: 1 });
      pool.on('error', ({ code }) => console.log(code));
      pool.startWorkers();`;
    expect(await program(source)).toMatchObject(endsWell('ERR_POOL_BROKEN\n'));
    const manager = pool({ worker: '/nowhere/worker.mjs', maxWorkers: 1 });
    const log = record(manager, ['error']);
    expect(await failure(manager.startWorkers())).toBeInstanceOf(PoolBrokenError);
    expect(log).toEqual([['error', expect.any(PoolBrokenError)]]);
  });
});

describe('size', () => {
  test('[W1] a pool has no more workers than tasks need, between minWorkers and maxWorkers', async () => {
    const manager = pool({ worker: announcing, minWorkers: 1, maxWorkers: 3, prefetch: 1 });
    await manager.startWorkers();
    expect(manager.workers).toHaveLength(1);
    const running = [1, 2, 3, 4].map((id) => (id < 4 ? started(manager, id) : null));
    const tasks = [1, 2, 3, 4].map((id) => failure(manager.run({ id, type: 'never' })));
    await Promise.all(running);
    expect(manager.workers.map(({ id, running }) => [id, running])).toEqual([
      [1, [expect.any(Number)]],
      [2, [expect.any(Number)]],
      [3, [expect.any(Number)]],
    ]);
    expect(manager.stats().queue.tasks).toBe(1);
    await manager.terminate();
    await Promise.all(tasks);
  });
});

const NO_TIME = { count: 0, min: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

describe('stats() and workers', () => {
  test('stats() and workers of an unused pool are empty', () => {
    const manager = pool();
    expect(manager.stats()).toEqual({
      tasks: { accepted: 0, completed: 0, failed: 0, cancelled: 0, retried: 0 },
      queue: { tasks: 0, bytes: 0 },
      waitTime: NO_TIME,
      runTime: NO_TIME,
      utilization: 0,
      standby: 0,
      workers: [],
    });
  });

  test('[D17, S1] stats() and workers count what happens to tasks, and what waits and runs', async () => {
    const manager = pool({
      worker: announcing,
      maxWorkers: 1,
      prefetch: 1,
      restart: { minDelay: 1 },
      retryDelay: 1,
    });
    await manager.run({ type: 'echo' });
    await failure(manager.run({ type: 'throw' }));
    await failure(manager.run({ type: 'kill' }, { retries: 1 }));
    const begun = started(manager, 'runs');
    const running = failure(manager.run({ id: 'runs', type: 'never' }));
    await begun;
    const waiting = { id: 'waits', type: 'echo', data: 'x'.repeat(1000) };
    const cancelled = failure(manager.run(waiting));
    const { tasks, queue, workers } = manager.stats();
    expect(tasks).toEqual({ accepted: 5, completed: 1, failed: 2, cancelled: 0, retried: 1 });
    expect(queue.tasks).toBe(1);
    expect(queue.bytes).toBeGreaterThanOrEqual(1000);
    expect(queue.bytes).toBeLessThan(2000);
    expect(workers).toEqual([
      {
        id: 1,
        pid: childrenOf()[0],
        state: 'busy',
        running: ['runs'],
        uptime: expect.any(Number),
        rss: expect.any(Number),
        tasksDone: 0,
        restarts: 2,
      },
    ]);
    expect(workers[0].rss).toBeGreaterThan(10_000_000);
    expect(manager.workers[0].pid).toBe(workers[0].pid);
    expect(manager.cancel('waits')).toBe(true);
    await cancelled;
    expect(manager.stats()).toMatchObject({
      tasks: { cancelled: 1 },
      queue: { tasks: 0, bytes: 0 },
    });
    await manager.terminate();
    await running;
    const { accepted, completed, failed, cancelled: gone } = manager.stats().tasks;
    expect(completed + failed + gone).toBe(accepted);
  });

  test('a worker that is not ready yet is listed as starting', async () => {
    const worker = moduleFile(
      `export const setup = () => new Promise((resolve) => setTimeout(resolve, 100)); export default () => 1;`,
    );
    const manager = pool({ worker, maxWorkers: 1 });
    const start = manager.startWorkers();
    await until(() => manager.workers[0]?.pid, 'a process');
    expect(manager.workers).toMatchObject([
      { id: 1, state: 'starting', running: [], tasksDone: 0, restarts: 0 },
    ]);
    await start;
    expect(manager.workers).toMatchObject([{ id: 1, state: 'idle' }]);
  });
});
