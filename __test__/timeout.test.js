// Tasks that take too long, and what becomes of them, of their workers, and of other tasks.

import { expect, test } from 'vitest';
import { TaskTimeoutError } from '../index.mjs';
import { failure, fixture, isGone, pool, processState, record, until } from './support/harness.js';

const worker = fixture('stuck.mjs');

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
const saidIn = (log) => log.filter(([event]) => event === 'message').map(([, message]) => message);

test('[C1, L3, P4] timeout ends a synchronous loop: TaskTimeoutError, a new worker on the slot, and the next task is served', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  const error = await failure(manager.run({ id: 'stuck', type: 'loop' }, { timeout: 200 }));
  expect(error).toBeInstanceOf(TaskTimeoutError);
  expect(error).toMatchObject({
    name: 'TaskTimeoutError',
    code: 'ERR_TASK_TIMEOUT',
    timeout: 200,
    taskId: 'stuck',
    workerId: 1,
    pid,
  });
  expect(error.message).toContain('200 ms');
  const next = await manager.run({ type: 'pid' });
  expect(next).not.toBe(pid);
  expect(isGone(pid)).toBe(true);
  expect(exitsIn(log)).toEqual([
    expect.objectContaining({
      workerId: 1,
      pid,
      code: null,
      signal: 'SIGTERM',
      reason: 'timeout',
      tasksDone: 1,
    }),
  ]);
  expect(manager.workers).toEqual([expect.objectContaining({ id: 1, pid: next, restarts: 1 })]);
  expect(manager.stats().tasks).toMatchObject({
    accepted: 3,
    completed: 2,
    failed: 1,
    cancelled: 0,
  });
});

test.each(['loopAndTrap', 'awaitAndTrap'])(
  '[C2, D17, L4, P5] timeout kills a worker that traps SIGTERM: %s',
  async (type) => {
    const manager = pool({ worker, maxWorkers: 1, gracePeriod: 100 });
    const log = record(manager);
    const error = await failure(manager.run({ type }, { timeout: 200 }));
    expect(error).toBeInstanceOf(TaskTimeoutError);
    expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
    expect(exitsIn(log)).toEqual([
      expect.objectContaining({ pid: error.pid, signal: 'SIGKILL', reason: 'timeout' }),
    ]);
    // The worker was asked to stop first.
    if (type === 'awaitAndTrap') expect(saidIn(log)).toContain('SIGTERM');
  },
);

test('a TaskTimeoutError does not wait for the worker’s end', async () => {
  const manager = pool({ worker, maxWorkers: 1, gracePeriod: 1_000 });
  const log = record(manager);
  const { pid } = await failure(manager.run({ type: 'loopAndTrap' }, { timeout: 100 }));
  expect(isGone(pid)).toBe(false);
  expect(exitsIn(log)).toEqual([]);
  await until(() => exitsIn(log).length === 1, 'the exit');
});

test('[C3] timeout ends the task of a worker that is stopped in the middle of it', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager);
  const error = await failure(manager.run({ type: 'stop' }, { timeout: 200 }));
  expect(error).toBeInstanceOf(TaskTimeoutError);
  expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
  expect(exitsIn(log)).toEqual([expect.objectContaining({ pid: error.pid, reason: 'timeout' })]);
});

test('[C3, D6] a task sent to a worker that was stopped while idle has not started, and another worker runs it', async () => {
  const manager = pool({ worker, maxWorkers: 1, gracePeriod: 200 });
  const log = record(manager, ['exit', 'retry']);
  const pid = await manager.run({ type: 'pid' });
  process.kill(pid, 'SIGSTOP');
  const other = await manager.run({ type: 'pid' }, { timeout: 200 });
  expect(other).not.toBe(pid);
  expect(exitsIn(log)).toEqual([expect.objectContaining({ pid, reason: 'timeout' })]);
  expect(log.map(([event]) => event)).toEqual(['exit']);
});

test('a worker that is stopped for a moment loses nothing and runs nothing twice', async () => {
  const manager = pool({ worker, maxWorkers: 1, taskTimeout: 10_000 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  for (let round = 0; round < 10; round += 1) {
    const tasks = Array.from({ length: 50 }, (_, data) => manager.run({ type: 'echo', data }));
    process.kill(pid, 'SIGSTOP');
    await until(() => processState(pid) === 'T', 'the worker is stopped');
    process.kill(pid, 'SIGCONT');
    expect(await Promise.all(tasks)).toEqual(Array.from(tasks, (_, index) => index));
  }
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(log.filter(([event]) => ['exit', 'retry', 'error'].includes(event))).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 502, completed: 502 });
});

test('a handler that honours ctx.signal at its timeout keeps its worker', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  for (const type of ['obey', 'obeyAndReturn']) {
    // Its late answer is dropped.
    const error = await failure(manager.run({ id: type, type }, { timeout: 100 }));
    expect(error).toBeInstanceOf(TaskTimeoutError);
    expect(error).toMatchObject({ taskId: type, pid });
    expect(await manager.run({ type: 'pid' })).toBe(pid);
  }
  expect(saidIn(log)).toContainEqual({ told: 'TimeoutError', id: 'obeyAndReturn' });
  expect(exitsIn(log)).toEqual([]);
  expect(log.filter(([event]) => event === 'error' || event === 'result')).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 5, completed: 3, failed: 2 });
});

test('taskTimeout of the pool applies to tasks that have no timeout of their own', async () => {
  const manager = pool({ worker, maxWorkers: 2, taskTimeout: 150 });
  const patient = manager.run({ type: 'sleep', data: 600 }, { timeout: 0 });
  const error = await failure(manager.run({ type: 'obey' }));
  expect(error).toMatchObject({ name: 'TaskTimeoutError', timeout: 150 });
  expect(await failure(manager.run({ type: 'obey' }, { timeout: 50 }))).toMatchObject({
    timeout: 50,
  });
  expect(await patient).toBe(600);
});

test('an overdue task of distributeTask() is an error event', async () => {
  const manager = pool({ worker, maxWorkers: 1, taskTimeout: 100 });
  const log = record(manager, ['error', 'result']);
  manager.distributeTask({ id: 5, type: 'obey' });
  await until(() => log.length > 0, 'the error');
  expect(log).toEqual([
    ['error', expect.objectContaining({ name: 'TaskTimeoutError', taskId: 5, timeout: 100 })],
  ]);
});

test('timeout does not count the time in the queue', async () => {
  const manager = pool({ worker, maxWorkers: 1, taskTimeout: 1_000 });
  const tasks = Array.from({ length: 10 }, () => manager.run({ type: 'busy', data: 150 }));
  expect(await Promise.all(tasks)).toEqual(Array(10).fill(150));
});

test('an overdue task is not retried; a task beside it, which dies with the worker, is', async () => {
  const manager = pool({ worker, maxWorkers: 1, concurrency: 2, retryDelay: 1 });
  const log = record(manager);
  const overdue = failure(
    manager.run({ id: 'overdue', type: 'hang' }, { timeout: 300, retries: 3 }),
  );
  const beside = manager.run({ id: 'beside', type: 'hangAtFirst' }, { retries: 1 });
  expect(await overdue).toBeInstanceOf(TaskTimeoutError);
  expect(await beside).toBe(2);
  const retries = log
    .filter(([event]) => event === 'retry')
    .map(([, { taskId, attempt }]) => [taskId, attempt]);
  expect(retries).toEqual([['beside', 2]]);
  expect(saidIn(log).filter((said) => said.begun === 'overdue')).toHaveLength(1);
  expect(exitsIn(log)).toEqual([expect.objectContaining({ reason: 'timeout' })]);
});

test('[B4] a task that dies with the worker of an overdue one gets an error that says so', async () => {
  const manager = pool({ worker, maxWorkers: 1, concurrency: 2 });
  const log = record(manager);
  const overdue = failure(manager.run({ id: 'overdue', type: 'hang' }, { timeout: 300 }));
  const beside = failure(manager.run({ id: 'beside', type: 'hang' }));
  await until(() => saidIn(log).length === 2, 'both run');
  expect(await overdue).toBeInstanceOf(TaskTimeoutError);
  const error = await beside;
  expect(error).toMatchObject({
    name: 'WorkerCrashedError',
    taskId: 'beside',
    signal: 'SIGTERM',
    phase: 'stopping',
    reason: 'timeout',
    maybeExecuted: true,
  });
  expect(error.message).toContain('while being stopped (timeout) with task "beside" still running');
});

test('[T19] short tasks do not wait behind a long one', async () => {
  const manager = pool({ worker, maxWorkers: 2 });
  await manager.startWorkers();
  // The pool has learnt that this handler is quick, and prefetches its tasks.
  await Promise.all(Array.from({ length: 500 }, () => manager.run({ type: 'busy', data: 0 })));
  const order = [];
  const tasks = [manager.run({ type: 'busy', data: 1_000 }).then(() => order.push('long'))];
  for (let i = 0; i < 50; i += 1)
    tasks.push(manager.run({ type: 'busy', data: 0 }).then(() => order.push('short')));
  await Promise.all(tasks);
  expect(order.indexOf('long')).toBe(50);
});

test('[C1] many overdue tasks each fail, and every worker is replaced', async () => {
  const manager = pool({ worker, maxWorkers: 2, taskTimeout: 100, gracePeriod: 50 });
  const errors = await Promise.all(
    Array.from({ length: 6 }, () => failure(manager.run({ type: 'loop' }))),
  );
  for (const error of errors) expect(error).toBeInstanceOf(TaskTimeoutError);
  expect(new Set(errors.map(({ pid }) => pid)).size).toBe(6);
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
});

test('[XC14] workers that are sound are not killed for short time limits, even with gracePeriod: 0', async () => {
  const manager = pool({ maxWorkers: 2, gracePeriod: 0 });
  const log = record(manager, ['exit']);
  await manager.startWorkers();
  const tasks = Array.from({ length: 200 }, (_, data) => manager.run({ data }, { timeout: 1 }));
  const outcomes = await Promise.allSettled(tasks);
  const overdue = outcomes
    .filter(({ status }) => status === 'rejected')
    .map(({ reason }) => reason.name);
  expect(new Set(overdue)).toEqual(new Set(overdue.length === 0 ? [] : ['TaskTimeoutError']));
  await manager.shutdown();
  // A worker with an overdue task has no grace; no other is killed.
  const killed = log.filter(([, { reason }]) => reason !== 'shutdown');
  expect(killed.length).toBeLessThanOrEqual(overdue.length);
});
