// The end of a pool: gracefully, under a deadline, at once; and what becomes of its tasks and
// workers.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PoolClosedError } from '../index.mjs';
import {
  childrenOf,
  failure,
  fixture,
  isGone,
  moduleFile,
  pool,
  program,
  project,
  record,
  started,
  until,
} from './support/harness.js';

const basic = fixture('basic.mjs');
const announcing = fixture('announcing.mjs');
const outcomes = (log, event) =>
  log.filter(([name]) => name === event).map(([, { taskId }]) => taskId);

describe('shutdown()', () => {
  test('[W10] shutdown() finishes every accepted task, stops all workers, and reports', async () => {
    const manager = pool({ worker: basic });
    const log = record(manager);
    for (let id = 0; id < 200; id++)
      manager.distributeTask({ id, type: id === 7 ? 'throw' : 'echo' });
    const promised = manager.run({ type: 'sleep', data: 20 });
    const report = await manager.shutdown();
    expect(report).toEqual({ completed: 200, rejected: 1, killed: 0 });
    await expect(promised).resolves.toBe(20);
    expect(outcomes(log, 'result')).toHaveLength(199);
    expect(outcomes(log, 'error')).toEqual([7]);
    const exits = log.filter(([event]) => event === 'exit');
    expect(exits.every(([, { reason, pid }]) => reason === 'shutdown' && isGone(pid))).toBe(true);
    expect(manager.workers).toEqual([]);
    expect(manager.stats()).toMatchObject({
      tasks: { accepted: 201, completed: 200, failed: 1, cancelled: 0 },
      queue: { tasks: 0, bytes: 0 },
    });
  });

  test('shutdown() reports the tasks that ended since it was called', async () => {
    const manager = pool({ worker: basic });
    for (let i = 0; i < 5; i++) await manager.run({ type: 'echo' });
    const last = manager.run({ type: 'sleep', data: 100 });
    expect(await manager.shutdown()).toEqual({ completed: 1, rejected: 0, killed: 0 });
    await last;
  });

  test('[G2, G6] shutdown() refuses new tasks at once, by distributeTask(), run(), exec(), ready() and startWorkers()', async () => {
    const manager = pool({ worker: basic, maxWorkers: 1 });
    const running = manager.run({ type: 'sleep', data: 50 });
    const closing = manager.shutdown();
    const actions = [
      () => manager.distributeTask({ id: 1 }),
      () => manager.run({ id: 1 }),
      () => manager.exec(() => 1),
      () => manager.ready(),
      () => manager.startWorkers(),
    ];
    const refusals = async () => {
      for (const action of actions) {
        const error = await failure(action);
        expect(error).toBeInstanceOf(PoolClosedError);
        expect(error.code).toBe('ERR_POOL_CLOSED');
        expect(error.message).toContain('closed');
        // The summary leaves out a task that was never accepted.
        expect(error).not.toHaveProperty('maybeExecuted');
      }
    };
    await refusals();
    expect(() => manager.distributeTask({ id: 1 })).toThrow(PoolClosedError);
    await expect(running).resolves.toBe(50);
    await closing;
    await refusals();
    expect(manager.cancel(1)).toBe(false);
    expect(manager.ref().unref()).toBe(manager);
    expect(manager.stats().tasks.accepted).toBe(1);
  });

  test('[G4] shutdown() returns one promise, however often it is called', async () => {
    const manager = pool({ worker: basic });
    const running = manager.run({ type: 'sleep', data: 20 });
    const [first, second] = [manager.shutdown(), manager.shutdown({ timeout: 10_000 })];
    expect(second).toBe(first);
    expect(await first).toEqual({ completed: 1, rejected: 0, killed: 0 });
    await running;
    expect(manager.shutdown()).toBe(first);
    expect(manager.terminate()).toBe(first);
  });

  test('[G4, G6] shutdown() of a pool that never started resolves at once, and starts nothing', async () => {
    const manager = pool();
    const log = record(manager);
    expect(await manager.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 0 });
    expect(log).toEqual([]);
    expect(manager.workers).toEqual([]);
    expect(await failure(() => manager.distributeTask({ data: 1 }))).toBeInstanceOf(
      PoolClosedError,
    );
    expect(await failure(manager.startWorkers())).toBeInstanceOf(PoolClosedError);
  });

  test('[G5] shutdown() during the start rejects startWorkers(), 20 times', async () => {
    for (let i = 0; i < 20; i++) {
      const manager = pool({ minWorkers: 2 });
      const log = record(manager);
      const start = failure(manager.startWorkers());
      // Before, while and after the processes are spawned.
      for (let turns = 0; turns < i; turns++) await new Promise(setImmediate);
      expect(await manager.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 0 });
      expect(await start).toBeInstanceOf(PoolClosedError);
      expect(log.filter(([event]) => event === 'error')).toEqual([]);
    }
  });

  test('[G5] shutdown() and terminate() during the start leave no process behind, 20 times', async () => {
    for (let i = 0; i < 20; i++) {
      const manager = pool({ minWorkers: 2 });
      const log = record(manager, ['error']);
      const start = failure(manager.startWorkers());
      for (let turns = 0; turns < i; turns++) await new Promise(setImmediate);
      expect(await manager.terminate()).toMatchObject({ completed: 0, rejected: 0 });
      expect(await start).toBeInstanceOf(PoolClosedError);
      expect(childrenOf()).toEqual([]);
      expect(log).toEqual([]);
    }
  });

  test('[G5] shutdown() during the start still finishes the tasks that were given', async () => {
    const manager = pool({ worker: basic, minWorkers: 2 });
    manager.startWorkers();
    const tasks = [1, 2, 3].map((data) => manager.run({ type: 'echo', data }));
    expect(await manager.shutdown()).toEqual({ completed: 3, rejected: 0, killed: 0 });
    expect(await Promise.all(tasks)).toEqual([1, 2, 3]);
  });

  test('shutdown() with a timeout kills what still runs', async () => {
    const manager = pool({ worker: announcing, maxWorkers: 1, prefetch: 1, gracePeriod: 50 });
    const log = record(manager);
    const running = started(manager, 'runs');
    manager.distributeTask({ id: 'runs', type: 'loop' });
    manager.distributeTask({ id: 'waits', type: 'echo' });
    await running;
    const [{ pid }] = manager.workers;
    expect(await manager.shutdown({ timeout: 50 })).toEqual({
      completed: 0,
      rejected: 2,
      killed: 1,
    });
    const errors = log.filter(([event]) => event === 'error').map(([, error]) => error);
    expect(errors.every((error) => error instanceof PoolClosedError)).toBe(true);
    expect(
      Object.fromEntries(errors.map(({ taskId, maybeExecuted }) => [taskId, maybeExecuted])),
    ).toEqual({
      runs: true,
      waits: false,
    });
    expect(isGone(pid)).toBe(true);
    expect(log.at(-1)).toEqual([
      'exit',
      expect.objectContaining({ pid, signal: 'SIGKILL', reason: 'shutdown' }),
    ]);
  });

  test('shutdown() with a timeout that nothing exceeds kills nothing, and ends early', async () => {
    const manager = pool({ worker: basic });
    const task = manager.run({ type: 'sleep', data: 20 });
    const started = performance.now();
    expect(await manager.shutdown({ timeout: 60_000 })).toEqual({
      completed: 1,
      rejected: 0,
      killed: 0,
    });
    expect(performance.now() - started).toBeLessThan(30_000);
    await task;
  });

  test("[T9] shutdown() with drain: 'running' drops what waits", async () => {
    const manager = pool({ worker: announcing, maxWorkers: 1, prefetch: 1 });
    const log = record(manager, ['result', 'error']);
    const running = started(manager, 'runs');
    manager.distributeTask({ id: 'runs', type: 'sleep', data: 100 });
    for (let id = 0; id < 10; id++) manager.distributeTask({ id, type: 'echo' });
    await running;
    expect(await manager.shutdown({ drain: 'running' })).toEqual({
      completed: 1,
      rejected: 10,
      killed: 0,
    });
    expect(outcomes(log, 'result')).toEqual(['runs']);
    const dropped = log.filter(([event]) => event === 'error').map(([, error]) => error);
    expect(dropped.map(({ code, maybeExecuted }) => [code, maybeExecuted])).toEqual(
      Array.from({ length: 10 }, () => ['ERR_POOL_CLOSED', false]),
    );
  });

  test('shutdown() may become stricter, and never more lenient', async () => {
    const manager = pool({ worker: announcing, maxWorkers: 1, prefetch: 1, gracePeriod: 50 });
    const begun = started(manager, 'runs');
    const running = failure(manager.run({ id: 'runs', type: 'never' }));
    const waiting = failure(manager.run({ type: 'echo' }));
    await begun;
    const closing = manager.shutdown();
    manager.shutdown({ drain: 'running' });
    expect(await waiting).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: false });
    manager.shutdown({ timeout: 50 });
    manager.shutdown({ timeout: 1_000_000 });
    expect(await running).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: true });
    expect(await closing).toMatchObject({ completed: 0, rejected: 2 });
  });

  test('shutdown() rejects wrong options, and closes nothing', async () => {
    const manager = pool();
    for (const options of [
      null,
      7,
      { timeout: -1 },
      { timeout: '1' },
      { drain: 'none' },
      { timeOut: 1 },
    ]) {
      const error = await failure(manager.shutdown(options));
      expect(error.code).toMatch(/^ERR_(INVALID_ARG_TYPE|INVALID_ARG_VALUE|OUT_OF_RANGE)$/);
    }
    await expect(manager.run({ data: 'open' })).resolves.toBe('open');
  });

  test('[G7] shutdown() may be called in a result listener, after tasks given in the same one', async () => {
    const manager = pool({ worker: basic });
    const log = record(manager, ['result', 'error']);
    const report = await new Promise((resolve) => {
      manager.once('result', () => {
        manager.distributeTask({ id: 'last', type: 'echo' });
        resolve(manager.shutdown());
        expect(() => manager.distributeTask({ id: 'too late' })).toThrow(PoolClosedError);
      });
      for (let id = 0; id < 20; id++) manager.distributeTask({ id, type: 'echo' });
    });
    expect(report.rejected).toBe(0);
    expect(new Set(outcomes(log, 'result'))).toEqual(new Set([...Array(20).keys(), 'last']));
    expect(outcomes(log, 'error')).toEqual([]);
  });

  test.each(['shutdown', 'terminate'])(
    '[XC1] %s() in a message listener: the outcomes behind it in the same batch arrive',
    async (close) => {
      const manager = pool({ worker: basic, maxWorkers: 1 });
      const log = record(manager, ['result', 'error', 'exit']);
      let report;
      let nested;
      manager.once('message', () => {
        report = manager[close]();
        nested = failure(manager.run({ type: 'echo' }));
      });
      const awaited = Array.from({ length: 10 }, (_, id) =>
        manager.run({ id, type: 'echo', data: id }),
      );
      manager.distributeTask({ id: 'announced', type: 'echo' });
      // Nothing is read until all of them have ended.
      const nap = new Int32Array(new SharedArrayBuffer(4));
      const end = performance.now() + 20_000;
      while (manager.stats().tasks.completed < 11 && performance.now() < end)
        Atomics.wait(nap, 0, 0, 1);
      expect(await Promise.all(awaited)).toEqual([...Array(10).keys()]);
      expect(await nested).toBeInstanceOf(PoolClosedError);
      expect(await report).toMatchObject({ rejected: 0 });
      expect(outcomes(log, 'result')).toEqual(['announced']);
      expect(log.filter(([event]) => event === 'error')).toEqual([]);
      expect(log.at(-1)[0]).toBe('exit');
    },
  );

  test('[W9] shutdown() lets a worker tear down after its last task, without an event', async () => {
    const folder = project({});
    const worker = moduleFile(`
      import { appendFileSync } from 'node:fs';
      const note = (text) => appendFileSync(${JSON.stringify(join(folder, 'ledger'))}, text + '\\n');
      export default async (task) => { await null; note('task ' + task.id); };
      export async function teardown({ workerId }) {
        note('teardown of ' + workerId + ' begins');
        await new Promise((resolve) => setTimeout(resolve, 50));
        note('and ends');
      }`);
    const manager = pool({ worker, maxWorkers: 1 });
    for (let id = 0; id < 3; id++) manager.distributeTask({ id });
    expect(await manager.shutdown()).toEqual({ completed: 3, rejected: 0, killed: 0 });
    expect(readFileSync(join(folder, 'ledger'), 'utf8')).toBe(
      'task 0\ntask 1\ntask 2\nteardown of 1 begins\nand ends\n',
    );
  });

  test('a teardown that fails gives the worker the exit code 1, and has no other effect', async () => {
    const worker = moduleFile(`
      export default () => 'done';
      export function teardown() { throw new Error('teardown is broken'); }`);
    const manager = pool({ worker, maxWorkers: 1, stdio: 'pipe' });
    const log = record(manager);
    let stderr = '';
    manager.on('stderr', (chunk) => {
      stderr += chunk;
    });
    await manager.run(1);
    expect(await manager.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 0 });
    expect(log.at(-1)).toEqual(['exit', expect.objectContaining({ code: 1, reason: 'shutdown' })]);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    expect(stderr).toContain('teardown is broken');
  });

  test('[C2] a worker that ignores every request to stop is killed after the grace period', async () => {
    const worker = moduleFile(`
      process.on('SIGTERM', () => {});
      export default () => process.pid;
      export const teardown = () => new Promise(() => setInterval(() => {}, 1000));`);
    const manager = pool({ worker, maxWorkers: 1, gracePeriod: 100 });
    const log = record(manager, ['exit']);
    const pid = await manager.run(1);
    expect(await manager.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 1 });
    expect(log).toEqual([
      ['exit', expect.objectContaining({ pid, code: null, signal: 'SIGKILL', reason: 'shutdown' })],
    ]);
    expect(isGone(pid)).toBe(true);
  });

  test('shutdown() kills the child processes of a worker', async () => {
    const worker = moduleFile(`
      import { spawn } from 'node:child_process';
      export default () => spawn('sleep', ['60'], { stdio: 'ignore' }).pid;`);
    const manager = pool({ worker, maxWorkers: 1 });
    const pid = await manager.run(1);
    expect(isGone(pid)).toBe(false);
    await manager.shutdown();
    await until(() => isGone(pid), `gone: ${pid}`);
  });
});

describe('terminate()', () => {
  test('terminate() kills at once, and everything unsettled ends with PoolClosedError', async () => {
    const manager = pool({ worker: announcing, maxWorkers: 2, minWorkers: 2, prefetch: 1 });
    const log = record(manager, ['error', 'exit']);
    const both = Promise.all([started(manager, 'looping'), started(manager, 'waiting')]);
    manager.distributeTask({ id: 'looping', type: 'loop' });
    manager.distributeTask({ id: 'waiting', type: 'never' });
    for (let id = 0; id < 5; id++) manager.distributeTask({ id, type: 'echo' });
    const promised = failure(manager.run({ type: 'echo' }));
    await both;
    expect(await manager.terminate()).toEqual({ completed: 0, rejected: 8, killed: 2 });
    const errors = log.filter(([event]) => event === 'error').map(([, error]) => error);
    expect(errors.every((error) => error instanceof PoolClosedError)).toBe(true);
    expect(new Map(errors.map(({ taskId, maybeExecuted }) => [taskId, maybeExecuted]))).toEqual(
      new Map([['looping', true], ['waiting', true], ...[0, 1, 2, 3, 4].map((id) => [id, false])]),
    );
    expect(await promised).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: false });
    expect(
      log.filter(([event]) => event === 'exit').map(([, { signal, reason }]) => [signal, reason]),
    ).toEqual([
      ['SIGKILL', 'shutdown'],
      ['SIGKILL', 'shutdown'],
    ]);
  });

  test('[G4] terminate() may be called on a pool that never started, twice, or during shutdown()', async () => {
    expect(await pool().terminate()).toEqual({ completed: 0, rejected: 0, killed: 0 });

    const manager = pool({ worker: announcing, maxWorkers: 1 });
    const begun = started(manager, 1);
    const task = failure(manager.run({ id: 1, type: 'never' }));
    await begun;
    const closing = manager.shutdown();
    expect(manager.terminate()).toBe(closing);
    expect(manager.terminate()).toBe(closing);
    expect(await closing).toMatchObject({ completed: 0, rejected: 1, killed: 1 });
    expect(await task).toBeInstanceOf(PoolClosedError);
  });
});

test('[W11] await using shuts down at the end of the block', async () => {
  const symbol = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose');
  const manager = pool({ worker: basic });
  const tasks = [manager.run({ type: 'echo', data: 1 }), manager.run({ type: 'sleep', data: 20 })];
  await expect(manager[symbol]()).resolves.toBeUndefined();
  expect(await Promise.all(tasks)).toEqual([1, 20]);
  expect(() => manager.distributeTask({ id: 1 })).toThrow(PoolClosedError);
});

test('[G2] a task given after the listeners were told of the last exit is refused, and nothing hangs', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 1 });
    pool.distributeTask({ id: 1, data: 1 });
    pool.on('result', () => {});
    pool.on('exit', () => {
      try {
        pool.distributeTask({ id: 2 });
      } catch ({ code }) {
        console.log(code);
      }
    });
    pool.shutdown();`;
  expect(await program(source)).toMatchObject({ code: 0, stdout: 'ERR_POOL_CLOSED\n', stderr: '' });
});

test('[XC13] a pool has closed every descriptor of its own when shutdown() or terminate() resolves', async () => {
  const { code, stdout, stderr } = await program(`
    import { readdirSync, readlinkSync } from 'node:fs';
    import ProcessManager from 'bulkhead';
    const open = () => readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [fd + ' ' + readlinkSync('/proc/self/fd/' + fd)];
      } catch {
        return []; // The one by which the folder was read.
      }
    });
    const cycle = async (round) => {
      const pool = new ProcessManager({ maxWorkers: 2, stdio: ['inherit', 'pipe', 'ignore'][round % 3] });
      await Promise.all([pool.run({ data: 1 }), pool.run({ data: 2 })]);
      await (round % 2 === 0 ? pool.shutdown() : pool.terminate());
    };
    // Descriptors made for the first pool of a process stay: the supervisor's own.
    await cycle(0);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const own = new Set(open());
    const left = [];
    for (let round = 0; round < 20; round += 1) {
      await cycle(round);
      left.push(...open().filter((fd) => !own.has(fd)));
    }
    console.log(JSON.stringify(left));`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual([]);
});
