// Tasks that nobody wants any more: before they were accepted, while they wait, while they run, and when it is too late.

import { expect, test } from 'vitest';
import { AbortError } from '../index.mjs';
import { failure, fixture, pool, record, until } from './support/harness.js';

const worker = fixture('stuck.mjs');
const one = { worker, maxWorkers: 1 };

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
const saidIn = (log) => log.filter(([event]) => event === 'message').map(([, message]) => message);
/** Waits until this task has said that it runs. */
const begun = (log, id) => until(() => saidIn(log).some((said) => said.begun === id), `task ${id} begins`);

const reason = new Error('changed my mind');

/** What every cancelled task ends with. */
function expectAbort(error, taskId, cause = reason) {
  expect(error).toBeInstanceOf(AbortError);
  expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', taskId });
  expect(error.cause).toBe(cause);
}

test('with a signal that is aborted already, nothing is accepted', async () => {
  const manager = pool(one);
  const error = await failure(manager.run({ id: 1, type: 'loop' }, { signal: AbortSignal.abort(reason) }));
  expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
  expect(error.cause).toBe(reason);
  expect(() => manager.distributeTask({ type: 'loop' }, { signal: AbortSignal.abort(reason) })).toThrow(AbortError);
  expect(manager.stats().tasks).toMatchObject({ accepted: 0, cancelled: 0 });
});

test('a task that waits never runs', async () => {
  const manager = pool(one);
  const log = record(manager);
  const controller = new AbortController();
  const running = manager.run({ id: 'first', type: 'obeyAndReturn' }, { signal: controller.signal }).catch((e) => e);
  await begun(log, 'first');
  const other = new AbortController();
  const waiting = [2, 3].map((id) => manager.run({ id, type: 'loop' }, { signal: other.signal }).catch((e) => e));
  const untouched = manager.run({ id: 4, type: 'echo', data: 4 });
  other.abort(reason);
  for (const [index, error] of (await Promise.all(waiting)).entries()) expectAbort(error, index + 2);
  controller.abort(reason);
  expectAbort(await running, 'first');
  expect(await untouched).toBe(4);
  await manager.shutdown();
  expect(saidIn(log).map((said) => said.begun)).not.toContain(2);
  expect(saidIn(log).map((said) => said.begun)).not.toContain(3);
  expect(manager.stats().tasks).toMatchObject({ accepted: 4, completed: 1, failed: 0, cancelled: 3 });
});

test('a task that was sent ahead, but has not begun, never runs and costs no worker', async () => {
  const manager = pool({ ...one, prefetch: 8 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  const first = manager.run({ id: 'first', type: 'busy', data: 300 });
  const controller = new AbortController();
  const ahead = [1, 2, 3].map((id) => manager.run({ id, type: 'loop' }, { signal: controller.signal }).catch((e) => e));
  const last = manager.run({ type: 'pid' });
  setImmediate(() => controller.abort(reason));
  for (const [index, error] of (await Promise.all(ahead)).entries()) expectAbort(error, index + 1);
  expect(await first).toBe(300);
  expect(await last).toBe(pid);
  expect(exitsIn(log)).toEqual([]);
  expect(saidIn(log).filter((said) => said.begun !== undefined)).toEqual([]);
});

test('a task that runs is told by ctx.signal, and its worker stays', async () => {
  const manager = pool(one);
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  for (const type of ['obey', 'obeyAndReturn']) {
    const controller = new AbortController();
    const task = manager.run({ id: type, type }, { signal: controller.signal }).catch((error) => error);
    await begun(log, type);
    controller.abort(reason);
    expectAbort(await task, type);
  }
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(saidIn(log)).toContainEqual({ told: 'AbortError', id: 'obeyAndReturn' });
  expect(log.filter(([event]) => ['exit', 'result', 'error'].includes(event))).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 4, completed: 2, failed: 0, cancelled: 2 });
});

test.each([
  ['loop', 'SIGTERM'],
  ['loopAndTrap', 'SIGKILL'],
  ['hang', 'SIGTERM'],
  ['stop', 'SIGTERM'],
])('a task that does not listen costs its worker: %s', async (type, signal) => {
  const manager = pool({ ...one, gracePeriod: 100 });
  const log = record(manager);
  const controller = new AbortController();
  const task = manager.run({ id: 'deaf', type }, { signal: controller.signal }).catch((error) => error);
  await begun(log, 'deaf');
  const { pid } = manager.workers[0];
  controller.abort(reason);
  expectAbort(await task, 'deaf');
  expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
  expect(exitsIn(log)).toEqual([expect.objectContaining({ workerId: 1, pid, signal, reason: 'aborted' })]);
});

test('once the task has ended, nothing happens', async () => {
  const manager = pool(one);
  const log = record(manager, ['error', 'exit']);
  const controller = new AbortController();
  const { signal } = controller;
  const pid = await manager.run({ type: 'pid' }, { signal });
  expect(await failure(manager.run({ type: 'nothing of the kind' }, { signal }))).toBeInstanceOf(TypeError);
  controller.abort(reason);
  expect(manager.cancel('nobody')).toBe(false);
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(log).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ cancelled: 0 });
});

test('without a reason, the cause is the signal’s own', async () => {
  const manager = pool(one);
  const controller = new AbortController();
  const task = failure(manager.run({ type: 'obey' }, { signal: controller.signal }));
  controller.abort();
  const error = await task;
  expect(error.cause).toBe(controller.signal.reason);
  expect(error.cause.name).toBe('AbortError');
  const timeout = await failure(manager.run({ type: 'obey' }, { signal: AbortSignal.timeout(50) }));
  expect(timeout).toMatchObject({ name: 'AbortError', cause: { name: 'TimeoutError' } });
});

test('cancel(id) cancels every task of that id, waiting or running, and says whether there was one', async () => {
  const manager = pool(one);
  const log = record(manager);
  const tasks = [1, 2].map(() => manager.run({ id: 'twin', type: 'obey' }).catch((error) => error));
  manager.distributeTask({ id: 7, type: 'loop' });
  await begun(log, 'twin');
  expect(manager.cancel(7, reason)).toBe(true);
  expect(manager.cancel('twin', reason)).toBe(true);
  for (const error of await Promise.all(tasks)) expectAbort(error, 'twin');
  await until(() => log.some(([event]) => event === 'error'), 'the error event');
  const [, error] = log.find(([event]) => event === 'error');
  expectAbort(error, 7);
  expect(manager.cancel('twin')).toBe(false);
  expect(manager.cancel(7)).toBe(false);
  expect(manager.stats().tasks).toMatchObject({ accepted: 3, cancelled: 3 });
});

test('10 000 tasks on one signal: no warning, every one ends once', async () => {
  const manager = pool({ worker });
  const log = record(manager);
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on('warning', onWarning);
  const controller = new AbortController();
  const stuck = [0, 1].map((id) => manager.run({ id, type: 'loop' }, { signal: controller.signal }).catch((e) => e));
  await Promise.all([begun(log, 0), begun(log, 1)]);
  const waiting = Array.from({ length: 10_000 }, (_, id) =>
    manager.run({ id: id + 2, type: 'echo' }, { signal: controller.signal }).catch((error) => error),
  );
  controller.abort(reason);
  const errors = await Promise.all([...stuck, ...waiting]);
  expect(errors.filter((error) => !(error instanceof AbortError))).toEqual([]);
  expect(new Set(errors.map(({ taskId }) => taskId)).size).toBe(10_002);
  // Warnings come at the next tick.
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 10_002, completed: 0, failed: 0, cancelled: 10_002 });
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
});

test('a task that is cancelled is not retried', async () => {
  const manager = pool({ ...one, retries: 3, retryDelay: 1, gracePeriod: 50 });
  const log = record(manager);
  const controller = new AbortController();
  const task = manager.run({ id: 1, type: 'loop' }, { signal: controller.signal }).catch((error) => error);
  await begun(log, 1);
  controller.abort(reason);
  expectAbort(await task, 1);
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
  expect(saidIn(log).filter((said) => said.begun === 1)).toHaveLength(1);
  expect(log.filter(([event]) => event === 'retry')).toEqual([]);
});

test('a task that waits for its next attempt can be cancelled', async () => {
  const manager = pool({ ...one, retries: 1, retryDelay: 60_000 });
  const log = record(manager);
  const controller = new AbortController();
  const task = manager.run({ id: 1, type: 'hang' }, { signal: controller.signal }).catch((error) => error);
  await begun(log, 1);
  process.kill(manager.workers[0].pid, 'SIGKILL');
  await until(() => log.some(([event]) => event === 'retry'), 'the announcement of a second attempt');
  controller.abort(reason);
  expectAbort(await task, 1);
  expect(manager.stats()).toMatchObject({ queue: { tasks: 0 }, tasks: { accepted: 1, cancelled: 1 } });
});

test('tasks are cancelled from a listener, while others end', async () => {
  const manager = pool({ worker });
  const controllers = Array.from({ length: 200 }, () => new AbortController());
  const outcomes = new Uint8Array(200);
  manager.on('result', ({ taskId }) => {
    outcomes[taskId] += 1;
    // The neighbour may wait, run, or be over.
    controllers[(taskId + 1) % 200].abort(reason);
  });
  manager.on('error', ({ taskId }) => {
    outcomes[taskId] += 1;
  });
  for (const [id, { signal }] of controllers.entries()) manager.distributeTask({ id, type: 'echo' }, { signal });
  await until(() => outcomes.every((count) => count > 0), 'all outcomes');
  await manager.shutdown();
  expect([...outcomes]).toEqual(Array(200).fill(1));
  const { accepted, completed, cancelled } = manager.stats().tasks;
  expect([accepted, completed + cancelled]).toEqual([200, 200]);
});
