// Tasks are cancelled before they are accepted, while they wait, while they run, and too late.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { setMaxListeners } from 'node:events';
import { describe, expect, test } from 'vitest';
import { AbortError } from '../index.mjs';
import { failure, fixture, pool, record, until } from './support/harness.js';

const worker = fixture('stuck.mjs');
const one = { worker, maxWorkers: 1 };

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
const saidIn = (log) => log.filter(([event]) => event === 'message').map(([, message]) => message);
/** Waits until this task has reported that it runs. */
const begun = (log, id) =>
  until(() => saidIn(log).some((said) => said.begun === id), `task ${id} begins`);

const reason = new Error('changed my mind');

/** The error of every cancelled task. */
function expectAbort(error, taskId, cause = reason) {
  expect(error).toBeInstanceOf(AbortError);
  expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', taskId });
  expect(error.cause).toBe(cause);
}

test('[G25] a task with an aborted signal is not accepted', async () => {
  const manager = pool(one);
  const error = await failure(
    manager.run({ id: 1, type: 'loop' }, { signal: AbortSignal.abort(reason) }),
  );
  expect(error).toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
  expect(error.cause).toBe(reason);
  expect(() =>
    manager.distributeTask({ type: 'loop' }, { signal: AbortSignal.abort(reason) }),
  ).toThrow(AbortError);
  expect(manager.stats().tasks).toMatchObject({ accepted: 0, cancelled: 0 });
});

test('[G25, L1] a waiting task whose signal aborts never runs', async () => {
  const manager = pool(one);
  const log = record(manager);
  const controller = new AbortController();
  const running = manager
    .run({ id: 'first', type: 'obeyAndReturn' }, { signal: controller.signal })
    .catch((e) => e);
  await begun(log, 'first');
  const other = new AbortController();
  const waiting = [2, 3].map((id) =>
    manager.run({ id, type: 'loop' }, { signal: other.signal }).catch((e) => e),
  );
  const untouched = manager.run({ id: 4, type: 'echo', data: 4 });
  other.abort(reason);
  for (const [index, error] of (await Promise.all(waiting)).entries())
    expectAbort(error, index + 2);
  controller.abort(reason);
  expectAbort(await running, 'first');
  expect(await untouched).toBe(4);
  await manager.shutdown();
  expect(saidIn(log).map((said) => said.begun)).not.toContain(2);
  expect(saidIn(log).map((said) => said.begun)).not.toContain(3);
  expect(manager.stats().tasks).toMatchObject({
    accepted: 4,
    completed: 1,
    failed: 0,
    cancelled: 3,
  });
});

test('[G25] a prefetched task whose signal aborts never runs, and costs no worker', async () => {
  const manager = pool({ ...one, prefetch: 8 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  const first = manager.run({ id: 'first', type: 'busy', data: 300 });
  const controller = new AbortController();
  const ahead = [1, 2, 3].map((id) =>
    manager.run({ id, type: 'loop' }, { signal: controller.signal }).catch((e) => e),
  );
  const last = manager.run({ type: 'pid' });
  setImmediate(() => controller.abort(reason));
  for (const [index, error] of (await Promise.all(ahead)).entries()) expectAbort(error, index + 1);
  expect(await first).toBe(300);
  expect(await last).toBe(pid);
  expect(exitsIn(log)).toEqual([]);
  expect(saidIn(log).filter((said) => said.begun !== undefined)).toEqual([]);
});

test('[G25, L1, L2] a running task whose signal aborts is told by ctx.signal, and its worker stays', async () => {
  const manager = pool(one);
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  for (const type of ['obey', 'obeyAndReturn']) {
    const controller = new AbortController();
    const task = manager
      .run({ id: type, type }, { signal: controller.signal })
      .catch((error) => error);
    await begun(log, type);
    controller.abort(reason);
    expectAbort(await task, type);
  }
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(saidIn(log)).toContainEqual({ told: 'AbortError', id: 'obeyAndReturn' });
  expect(log.filter(([event]) => ['exit', 'result', 'error'].includes(event))).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({
    accepted: 4,
    completed: 2,
    failed: 0,
    cancelled: 2,
  });
});

test.each([
  ['loop', 'SIGTERM'],
  ['loopAndTrap', 'SIGKILL'],
  ['hang', 'SIGTERM'],
  ['stop', 'SIGTERM'],
])('[G25] a running task that ignores its abort costs its worker: %s', async (type, signal) => {
  const manager = pool({ ...one, gracePeriod: 100 });
  const log = record(manager);
  const controller = new AbortController();
  const task = manager
    .run({ id: 'deaf', type }, { signal: controller.signal })
    .catch((error) => error);
  await begun(log, 'deaf');
  const { pid } = manager.workers[0];
  controller.abort(reason);
  expectAbort(await task, 'deaf');
  expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
  expect(exitsIn(log)).toEqual([
    expect.objectContaining({ workerId: 1, pid, signal, reason: 'aborted' }),
  ]);
});

test('[G25] a signal that aborts after its task has ended has no effect', async () => {
  const manager = pool(one);
  const log = record(manager, ['error', 'exit']);
  const controller = new AbortController();
  const { signal } = controller;
  const pid = await manager.run({ type: 'pid' }, { signal });
  expect(await failure(manager.run({ type: 'nothing of the kind' }, { signal }))).toBeInstanceOf(
    TypeError,
  );
  controller.abort(reason);
  expect(manager.cancel('unknown')).toBe(false);
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(log).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ cancelled: 0 });
});

test('aborting without a reason gives an AbortError whose cause is the signal’s own reason', async () => {
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

test('cancel(id) cancels every task of that id, waiting or running, and returns whether there was one', async () => {
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

test('[H7] 10 000 tasks on one signal end once each, without a warning', async () => {
  const manager = pool({ worker });
  const log = record(manager);
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on('warning', onWarning);
  const controller = new AbortController();
  const stuck = [0, 1].map((id) =>
    manager.run({ id, type: 'loop' }, { signal: controller.signal }).catch((e) => e),
  );
  await Promise.all([begun(log, 0), begun(log, 1)]);
  const waiting = Array.from({ length: 10_000 }, (_, id) =>
    manager
      .run({ id: id + 2, type: 'echo' }, { signal: controller.signal })
      .catch((error) => error),
  );
  controller.abort(reason);
  const errors = await Promise.all([...stuck, ...waiting]);
  expect(errors.filter((error) => !(error instanceof AbortError))).toEqual([]);
  expect(new Set(errors.map(({ taskId }) => taskId)).size).toBe(10_002);
  // Warnings come at the next tick.
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({
    accepted: 10_002,
    completed: 0,
    failed: 0,
    cancelled: 10_002,
  });
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
});

test('[XC11] one signal for twenty pools and as many maps has at most one listener, and causes no warning', async () => {
  const warnings = [];
  const onWarning = (warning) => warnings.push(warning);
  process.on('warning', onWarning);
  const controller = new AbortController();
  const { signal } = controller;
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  let listeners = 0;
  let most = 0;
  signal.addEventListener = (...args) => {
    most = Math.max(++listeners, most);
    addEventListener.apply(signal, args);
  };
  signal.removeEventListener = (...args) => {
    listeners -= 1;
    removeEventListener.apply(signal, args);
  };
  // Node's own warning; newer versions do not warn for a signal unless asked to.
  setMaxListeners(10, signal);
  const manager = pool(one);
  const pools = Array.from({ length: 20 }, () => pool(one));
  const tasks = pools.map((each) => failure(each.run({ type: 'echo' }, { signal })));
  const maps = pools.map(() => failure(manager.map([{ type: 'loop' }], { signal }).next()));
  await new Promise(setImmediate);
  expect([listeners, most]).toEqual([1, 1]);
  controller.abort(reason);
  for (const error of await Promise.all([...tasks, ...maps])) {
    expect(error).toBeInstanceOf(AbortError);
    expect(error.cause).toBe(reason);
  }
  await new Promise(setImmediate);
  process.off('warning', onWarning);
  expect(warnings).toEqual([]);
  expect([listeners, most]).toEqual([0, 1]);
});

describe('a signal that aborts while its task is accepted', () => {
  const add = EventTarget.prototype.addEventListener;

  test.each([
    [
      'a getter of the task',
      ({ abort }) => ({
        data: {
          get value() {
            return abort();
          },
        },
      }),
    ],
    ['a toJSON() of the task', ({ abort }) => ({ data: { toJSON: abort } })],
    [
      'the id of the task',
      ({ abort }) => ({
        get id() {
          abort();
          return 1;
        },
      }),
    ],
    [
      'the type of the task',
      ({ abort }) => ({
        get type() {
          abort();
          return 'loop';
        },
      }),
    ],
    [
      'the name of its onProgress',
      ({ abort, options }) => {
        options.onProgress = Object.defineProperty(() => {}, 'name', { get: abort });
      },
    ],
    [
      'its own addEventListener()',
      ({ abort, options: { signal } }) => {
        signal.addEventListener = (...args) => {
          add.apply(signal, args);
          abort();
        };
      },
    ],
    [
      'its own addEventListener(), which then hears nothing',
      ({ abort, options: { signal } }) => {
        signal.addEventListener = abort;
      },
    ],
    ['a subscriber of bulkhead:pool:open', ({ abort, on }) => on('bulkhead:pool:open', abort)],
    ['a subscriber of bulkhead:task:start', ({ abort, on }) => on('bulkhead:task:start', abort)],
  ])('[G25, XC12] a task whose signal is aborted by %s is cancelled', async (_, arrange) => {
    const manager = pool(one);
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const subscribed = [];
    const on = (channel, subscriber) => {
      subscribe(channel, subscriber);
      subscribed.push(() => unsubscribe(channel, subscriber));
    };
    const members = arrange({ abort: () => controller.abort(reason), options, on });
    const task = Object.defineProperties(
      { type: 'loop' },
      Object.getOwnPropertyDescriptors(members ?? {}),
    );
    const error = await failure(manager.run(task, options));
    for (const unsubscribed of subscribed) unsubscribed();
    expect(error).toBeInstanceOf(AbortError);
    expect(error.cause).toBe(reason);
    expect(await manager.shutdown()).toMatchObject({ completed: 0, killed: 0 });
    expect(manager.stats().tasks).toMatchObject({ completed: 0, failed: 0 });
  });

  test('[XC12] a map() whose signal is aborted by its source is cancelled, and closes the source', async () => {
    const manager = pool(one);
    const controller = new AbortController();
    let closed = 0;
    const source = {
      [Symbol.iterator]() {
        controller.abort(reason);
        return {
          next: () => ({ value: { type: 'loop' }, done: false }),
          return: () => {
            closed += 1;
            return {};
          },
        };
      },
    };
    const results = manager.map(source, { signal: controller.signal });
    const error = await failure(results.next());
    expect(error).toBeInstanceOf(AbortError);
    expect(error.cause).toBe(reason);
    expect(await results.next()).toEqual({ done: true, value: undefined });
    expect(closed).toBe(1);
    expect(manager.stats().tasks.accepted).toBe(0);
  });
});

describe('a signal whose own methods throw', () => {
  const thrown = new Error('mine');
  const mine = () => {
    throw thrown;
  };

  test('[XC1] a signal that throws while a task is accepted: nothing is accepted, and the pool serves on', async () => {
    const manager = pool(one);
    const like = {
      aborted: false,
      reason: undefined,
      addEventListener: mine,
      removeEventListener: mine,
    };
    expect(await failure(manager.run({ type: 'loop' }, { signal: like }))).toBe(thrown);
    expect(await failure(() => manager.distributeTask({ type: 'loop' }, { signal: like }))).toBe(
      thrown,
    );
    expect(await failure(manager.stream({ type: 'loop' }, { signal: like }).next())).toBe(thrown);
    const onProgress = Object.defineProperty(() => {}, 'length', { get: mine });
    expect(await failure(() => manager.distributeTask({ type: 'loop' }, { onProgress }))).toBe(
      thrown,
    );
    let returned = 0;
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ value: 1, done: false }),
        return: () => {
          returned += 1;
          return {};
        },
      }),
    };
    expect(await failure(manager.map(source, { signal: like }).next())).toBe(thrown);
    expect(returned).toBe(1);
    expect(manager.stats().tasks.accepted).toBe(0);
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
  });

  test('[XC1] a signal that cannot be unsubscribed from is refused', async () => {
    const manager = pool(one);
    const signal = { aborted: false, reason: undefined, addEventListener() {} };
    for (const call of [
      () => manager.run(1, { signal }),
      () => manager.map([1], { signal }).next(),
    ]) {
      const error = await failure(call());
      expect(error).toMatchObject({ name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' });
      expect(error.message).toContain('"options.signal" property must be an AbortSignal');
      expect(error.message).toContain('removeEventListener()');
    }
  });
});

test('a cancelled task is not retried', async () => {
  const manager = pool({ ...one, retries: 3, retryDelay: 1, gracePeriod: 50 });
  const log = record(manager);
  const controller = new AbortController();
  const task = manager
    .run({ id: 1, type: 'loop' }, { signal: controller.signal })
    .catch((error) => error);
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
  const task = manager
    .run({ id: 1, type: 'hang' }, { signal: controller.signal })
    .catch((error) => error);
  await begun(log, 1);
  process.kill(manager.workers[0].pid, 'SIGKILL');
  await until(
    () => log.some(([event]) => event === 'retry'),
    'the announcement of a second attempt',
  );
  controller.abort(reason);
  expectAbort(await task, 1);
  expect(manager.stats()).toMatchObject({
    queue: { tasks: 0 },
    tasks: { accepted: 1, cancelled: 1 },
  });
});

test('[G7] a listener may cancel tasks while others end', async () => {
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
  for (const [id, { signal }] of controllers.entries())
    manager.distributeTask({ id, type: 'echo' }, { signal });
  await until(() => outcomes.every((count) => count > 0), 'all outcomes');
  await manager.shutdown();
  expect([...outcomes]).toEqual(Array(200).fill(1));
  const { accepted, completed, cancelled } = manager.stats().tasks;
  expect([accepted, completed + cancelled]).toEqual([200, 200]);
});
