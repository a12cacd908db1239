// The events of a pool: which ones, with what, in which order and in which context.

import { AsyncLocalStorage } from 'node:async_hooks';
import { EventEmitter, on, once } from 'node:events';
import { expect, test } from 'vitest';
import { WorkerCrashedError } from '../index.mjs';
import {
  failure,
  fixture,
  gate,
  moduleFile,
  pool,
  program,
  record,
  started,
  until,
} from './support/harness.js';

const basic = fixture('basic.mjs');

/** Waits until the pool has emitted the event that many times. */
function emitted(log, event, count = 1) {
  return until(() => log.filter(([name]) => name === event).length >= count, `${count} x ${event}`);
}

test('a pool is an EventEmitter, and counts only the listeners of its user', () => {
  const manager = pool();
  expect(manager).toBeInstanceOf(EventEmitter);
  expect(manager.eventNames()).toEqual([]);
  const listener = () => {};
  manager.on('result', listener).once('result', listener).prependListener('exit', listener);
  expect(manager.listenerCount('result')).toBe(2);
  expect(manager.listeners('result')).toEqual([listener, listener]);
  manager.off('result', listener).removeAllListeners('exit');
  expect(manager.listenerCount('result')).toBe(1);
  manager.removeAllListeners();
  expect(manager.eventNames()).toEqual([]);
});

test('result carries the envelope and how the task fared', async () => {
  const manager = pool({ worker: basic, maxWorkers: 1, prefetch: 1 });
  const log = record(manager, ['result']);
  await manager.startWorkers();
  manager.distributeTask({ id: 'slow', type: 'sleep', data: 100 });
  manager.distributeTask({ id: 'behind', type: 'echo', data: null });
  await manager.shutdown();
  expect(
    log.map(([, envelope]) => [Object.keys(envelope), envelope.taskId, envelope.result]),
  ).toEqual([
    [['taskId', 'result', 'processedBy'], 'slow', 100],
    [['taskId', 'result', 'processedBy'], 'behind', null],
  ]);
  const [[, , slow], [, , behind]] = log;
  expect(slow).toEqual({
    workerId: 1,
    attempt: 1,
    waitTime: expect.any(Number),
    runTime: expect.any(Number),
  });
  // The timer of the handler may fire a little early, as any timer.
  expect(slow.runTime).toBeGreaterThan(90);
  expect(slow.runTime).toBeLessThan(10_000);
  expect(behind.waitTime).toBeGreaterThan(90);
  expect(behind.runTime).toBeGreaterThanOrEqual(0);
  expect(behind.runTime).toBeLessThan(90);
});

test('run() emits neither result nor error', async () => {
  const manager = pool({ worker: basic });
  const log = record(manager, ['result', 'error']);
  await manager.run({ type: 'echo', data: 1 });
  await failure(manager.run({ type: 'throw' }));
  await manager.shutdown();
  expect(log).toEqual([]);
});

test('online and exit frame the life of a worker, and exit comes after all its results', async () => {
  const manager = pool({ worker: basic, maxWorkers: 2 });
  const log = record(manager);
  await manager.startWorkers();
  for (let id = 0; id < 50; id++) manager.distributeTask({ id, type: 'echo' });
  await manager.shutdown();

  expect(log.filter(([event]) => event === 'result')).toHaveLength(50);
  for (const workerId of [1, 2]) {
    const own = log.filter(([, first, second]) =>
      [first.workerId, first.id, second?.workerId].includes(workerId),
    );
    const results = own.filter(([event]) => event === 'result').length;
    const [, { pid }] = own.find(([event]) => event === 'online');
    expect(own[0]).toEqual(['online', { id: workerId, pid }]);
    expect(own.at(-1)).toEqual([
      'exit',
      {
        workerId,
        pid,
        code: 0,
        signal: null,
        reason: 'shutdown',
        uptime: expect.any(Number),
        tasksDone: results,
      },
    ]);
    expect(own.at(-1)[1].uptime).toBeGreaterThan(0);
  }
});

test('[L9] exit says how a crashed worker ended, and comes after the error of its task', async () => {
  const manager = pool({ worker: basic, maxWorkers: 1 });
  const log = record(manager, ['online', 'result', 'error', 'exit']);
  manager.distributeTask({ id: 1, type: 'echo', data: 'before' });
  manager.distributeTask({ id: 2, type: 'kill', data: 'SIGKILL' });
  await emitted(log, 'online', 2);
  manager.distributeTask({ id: 3, type: 'exit', data: 7 });
  await emitted(log, 'exit', 2);
  const events = log.map(([event]) => event);
  expect(events.slice(0, 4)).toEqual(['online', 'result', 'error', 'exit']);
  const [first, second] = log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
  expect(first).toMatchObject({
    workerId: 1,
    code: null,
    signal: 'SIGKILL',
    reason: 'crashed',
    tasksDone: 1,
  });
  expect(second).toMatchObject({
    workerId: 1,
    code: 7,
    signal: null,
    reason: 'crashed',
    tasksDone: 0,
  });
  expect(second.pid).not.toBe(first.pid);
  expect(
    log.filter(([event]) => event === 'error').map(([, error]) => [error.taskId, error.pid]),
  ).toEqual([
    [2, first.pid],
    [3, second.pid],
  ]);
});

test('[T15] progress comes before the result, in order, with the task that reports it', async () => {
  const worker = moduleFile(`
    export default async function (task, { progress, taskId }) {
      progress(0);
      await null;
      progress({ half: taskId });
      progress(undefined);
      return 'done';
    }`);
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager, ['progress', 'result']);
  manager.distributeTask({ id: 'x' });
  await manager.run({ id: 'y' });
  await manager.shutdown();
  const about = (taskId) => ({ taskId, workerId: 1 });
  expect(log).toEqual([
    ['progress', 0, about('x')],
    ['progress', { half: 'x' }, about('x')],
    ['progress', undefined, about('x')],
    ['result', { taskId: 'x', result: 'done', processedBy: expect.any(Number) }, expect.anything()],
    ['progress', 0, about('y')],
    ['progress', { half: 'y' }, about('y')],
    ['progress', undefined, about('y')],
  ]);
});

test("[T15] onProgress receives what its task reports, in the caller's async context, beside the event", async () => {
  const worker = moduleFile(`
    export default (task, { progress }) => { for (let i = 0; i < 3; i++) progress([task.id, i]); };
    export async function* values(task, { progress }) { progress('before'); yield 1; progress('after'); }`);
  const manager = pool({ worker, maxWorkers: 1 });
  const storage = new AsyncLocalStorage();
  const heard = [];
  const onProgress = (...args) => heard.push([storage.getStore(), ...args]);
  const events = record(manager, ['progress']);
  await Promise.all([
    storage.run('a', () => manager.run({ id: 1 }, { onProgress })),
    storage.run('b', () => manager.run({ id: 2 }, { onProgress })),
    manager.run({ id: 3 }),
  ]);
  const told = (store, id) => [0, 1, 2].map((i) => [store, [id, i], { taskId: id, workerId: 1 }]);
  expect(heard).toEqual([...told('a', 1), ...told('b', 2)]);
  expect(events.length).toBe(9);
  heard.length = 0;
  for await (const _ of manager.stream({ id: 4 }, { handler: 'values', onProgress }));
  expect(heard.map(([, value]) => value)).toEqual(['before', 'after']);
  // A settled task is not kept: its ticket belongs to another now.
  await manager.run({ id: 5 });
  expect(heard.length).toBe(2);
  expect(await failure(manager.run({ id: 6 }, { onProgress: 'x' }))).toMatchObject({
    code: 'ERR_INVALID_ARG_TYPE',
  });
});

test('onProgress that throws is an uncaught exception, and costs no task its outcome', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 1 });
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    const onProgress = () => { throw new Error('mine'); };
    console.log(await pool.run({ id: 1 }, { onProgress }));
    await pool.shutdown();
  `;
  const files = {
    'worker.mjs': 'export default (_, { progress }) => { progress(1); return "done"; };',
  };
  const { stdout, code } = await program(source, { files });
  expect([stdout.trim().split('\n').sort(), code]).toEqual([['done', 'uncaught mine'], 0]);
});

test('drain is emitted once, after a task was refused and there is room again', async () => {
  const manager = pool({ worker: basic, maxWorkers: 1, maxQueue: 1, prefetch: 1 });
  const log = record(manager, ['drain', 'result']);
  await manager.startWorkers();
  const { path, open } = gate();
  manager.distributeTask({ id: 'runs', type: 'until', data: path });
  manager.distributeTask({ id: 'waits', type: 'echo' });
  for (let i = 0; i < 3; i++) {
    const error = await failure(() => manager.distributeTask({ id: 'refused', type: 'echo' }));
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', limit: 1 });
  }
  const drained = once(manager, 'drain');
  open();
  await drained;
  manager.distributeTask({ id: 'again', type: 'echo' });
  await manager.shutdown();
  expect(log.filter(([event]) => event === 'drain')).toEqual([['drain']]);
  expect(log.filter(([event]) => event === 'result').map(([, { taskId }]) => taskId)).toEqual([
    'runs',
    'waits',
    'again',
  ]);
});

test('drain is not emitted where no task was refused', async () => {
  const manager = pool({ worker: basic, maxWorkers: 1, maxQueue: 1, prefetch: 1 });
  const log = record(manager, ['drain']);
  await manager.startWorkers();
  manager.distributeTask({ type: 'sleep', data: 20 });
  manager.distributeTask({ type: 'echo' });
  await manager.ready();
  await manager.shutdown();
  expect(log).toEqual([]);
});

test('retry says which task starts again, which attempt it is, and why', async () => {
  const worker = moduleFile(`
    export default (task, { attempt }) => (attempt < task.needs ? process.kill(process.pid, 'SIGKILL') : attempt);`);
  const manager = pool({
    worker,
    maxWorkers: 1,
    retries: 2,
    retryDelay: 1,
    restart: { minDelay: 1 },
  });
  const log = record(manager, ['retry', 'result', 'error']);
  manager.distributeTask({ id: 'twice', needs: 3 });
  await manager.shutdown();
  const retry = (attempt) => [
    'retry',
    { taskId: 'twice', attempt, error: expect.any(WorkerCrashedError) },
  ];
  expect(log).toEqual([
    retry(2),
    retry(3),
    [
      'result',
      { taskId: 'twice', result: 3, processedBy: expect.any(Number) },
      expect.objectContaining({ attempt: 3 }),
    ],
  ]);
  expect(log[0][1].error).toMatchObject({
    signal: 'SIGKILL',
    maybeExecuted: true,
    taskId: 'twice',
  });
  expect(manager.stats().tasks).toMatchObject({ accepted: 1, completed: 1, failed: 0, retried: 2 });
});

test('[W18] stdout and stderr carry what workers print, with stdio "pipe"', async () => {
  const worker = moduleFile(`
    export default (task) => {
      console.log('out', task.id, 'ö');
      console.error('err', task.id);
    };`);
  const manager = pool({ worker, maxWorkers: 1, stdio: 'pipe' });
  const heard = { stdout: [], stderr: [] };
  const workers = [];
  for (const event of ['stdout', 'stderr']) {
    manager.on(event, (chunk, worker) => {
      expect(chunk).toBeInstanceOf(Buffer);
      heard[event].push(chunk);
      workers.push(worker);
    });
  }
  const online = once(manager, 'online');
  for (let id = 0; id < 3; id++) manager.distributeTask({ id });
  const exit = once(manager, 'exit');
  const [info] = await online;
  await manager.shutdown();
  await exit;
  expect(Buffer.concat(heard.stdout).toString()).toBe('out 0 ö\nout 1 ö\nout 2 ö\n');
  expect(Buffer.concat(heard.stderr).toString()).toBe('err 0\nerr 1\nerr 2\n');
  expect(new Set(workers.map(({ id }) => id))).toEqual(new Set([info.id]));
  expect(new Set(workers.map(({ pid }) => pid))).toEqual(new Set([info.pid]));
});

test('a flood without a listener with stdio "pipe" delays no worker', async () => {
  const worker = moduleFile(`
    export default () => {
      for (let i = 0; i < 64; i++) process.stdout.write('x'.repeat(65_536));
      return 'written';
    };`);
  const manager = pool({ worker, maxWorkers: 1, stdio: 'pipe' });
  await expect(manager.run(1)).resolves.toBe('written');
  let bytes = 0;
  manager.on('stdout', (chunk) => {
    bytes += chunk.length;
  });
  await expect(manager.run(2)).resolves.toBe('written');
  // Output under way when the worker is asked to stop arrives as well.
  await manager.shutdown();
  expect(bytes).toBeGreaterThanOrEqual(64 * 65_536);
});

test('events.once and events.on work with a pool', async () => {
  const manager = pool({ worker: basic, maxWorkers: 1 });
  manager.distributeTask({ id: 1, type: 'echo', data: 'first' });
  const [first] = await once(manager, 'result');
  expect(first.result).toBe('first');

  manager.distributeTask({ id: 2, type: 'throw', data: 'oops' });
  await expect(once(manager, 'result')).rejects.toThrow('oops');

  const controller = new AbortController();
  const results = on(manager, 'result', { signal: controller.signal });
  for (let id = 0; id < 5; id++) manager.distributeTask({ id, type: 'echo', data: id });
  const seen = [];
  const error = await failure(async () => {
    for await (const [envelope] of results) {
      seen.push(envelope.result);
      if (seen.length === 5) controller.abort();
    }
  });
  expect(error.name).toBe('AbortError');
  expect(seen.sort()).toEqual([0, 1, 2, 3, 4]);
});

test('a listener may be added after the task was given', async () => {
  const manager = pool({ worker: fixture('limits.mjs'), maxWorkers: 1 });
  const { path, open } = gate();
  const begun = started(manager, 1);
  manager.distributeTask({ id: 1, type: 'until', data: path });
  await begun;
  const log = record(manager, ['result', 'message']);
  open();
  await manager.shutdown();
  expect(log.map(([event, { taskId }]) => [event, taskId])).toEqual([
    ['message', 1],
    ['result', 1],
  ]);
});

test('[G9] a listener that throws is an uncaughtException, and costs no other task its outcome', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 2 });
    const caught = [];
    process.on('uncaughtException', (error, origin) => caught.push([error.message, origin]));
    const seen = new Set();
    pool.on('message', ({ taskId }) => {
      if (taskId === 3) throw new Error('in message');
    });
    pool.on('result', ({ taskId }) => {
      seen.add(taskId);
      if (taskId % 100 === 0) throw new Error('in result');
    });
    pool.on('exit', () => { throw new Error('in exit'); });
    for (let id = 0; id < 1000; id++) pool.distributeTask({ id, data: id });
    const report = await pool.shutdown();
    await new Promise(setImmediate);
    const count = (text) => caught.filter(([message]) => message === text).length;
    console.log(JSON.stringify({
      seen: seen.size, completed: report.completed, result: count('in result'), message: count('in message'),
      exit: count('in exit'), origins: [...new Set(caught.map(([, origin]) => origin))],
    }));`;
  const { code, stdout, stderr } = await program(source);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({
    seen: 1000,
    completed: 1000,
    result: 10,
    message: 1,
    exit: 2,
    origins: ['uncaughtException'],
  });
});

test('[G9] a failed task of distributeTask() without a listener ends the process, as with any emitter', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 1, worker: new URL('./worker.mjs', import.meta.url) });
    pool.distributeTask({ id: 1 });`;
  const files = { 'worker.mjs': `export default () => { throw new TypeError('unheard'); }` };
  const { code, stderr } = await program(source, { files });
  expect(code).toBe(1);
  expect(stderr).toContain('TypeError: unheard');
});

test('[S4] each task keeps the async context it was given in', async () => {
  const manager = pool({ worker: basic, maxWorkers: 2 });
  const storage = new AsyncLocalStorage();
  const heard = [];
  manager.on('result', ({ taskId }) => heard.push([taskId, storage.getStore()]));
  manager.on('error', ({ taskId }) => heard.push([taskId, storage.getStore()]));
  const names = Array.from({ length: 40 }, (_, index) => `context ${index}`);
  for (const [index, name] of names.entries()) {
    storage.run(name, () =>
      manager.distributeTask({ id: name, type: index % 2 === 0 ? 'echo' : 'throw' }),
    );
  }
  manager.distributeTask({ id: 'none', type: 'echo' });
  const awaited = names.map((name) =>
    storage.run(name, async () => {
      await manager.run({ type: 'echo' });
      const after = storage.getStore();
      await manager.run({ type: 'throw' }).catch(() => {});
      return [after, storage.getStore()];
    }),
  );
  expect(await Promise.all(awaited)).toEqual(names.map((name) => [name, name]));
  await manager.shutdown();
  const contexts = Object.fromEntries(heard);
  expect(contexts).toEqual({
    ...Object.fromEntries(names.map((name) => [name, name])),
    none: undefined,
  });
});

test('retry comes before the result of the next attempt, whatever its worker had sent before it died', async () => {
  // More than a worker's share of one batch.
  const worker = moduleFile(`
    export default (task, { progress, attempt }) => {
      if (attempt > 1) return attempt;
      for (let i = 0; i < 3000; i++) progress(i);
      process.kill(process.pid, 'SIGKILL');
      for (;;);
    };`);
  const manager = pool({
    worker,
    minWorkers: 2,
    maxWorkers: 2,
    retries: 1,
    retryDelay: 1,
    restart: { minDelay: 1000 },
  });
  await manager.ready();
  const log = record(manager, ['progress', 'retry', 'result', 'error']);
  manager.distributeTask({ id: 1 });
  // Nothing is delivered until all of it has happened.
  const nap = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + 20_000;
  while (manager.stats().tasks.completed === 0 && performance.now() < end)
    Atomics.wait(nap, 0, 0, 1);
  await manager.shutdown();
  expect(log.map(([event]) => event)).toEqual([...Array(3000).fill('progress'), 'retry', 'result']);
});

test('progress and retry of a task come in its async context', async () => {
  const worker = moduleFile(`
    export default (task, { progress, attempt }) => {
      progress('here');
      if (attempt === 1) process.kill(process.pid, 'SIGKILL');
    };`);
  const manager = pool({
    worker,
    maxWorkers: 1,
    retries: 1,
    retryDelay: 1,
    restart: { minDelay: 1 },
  });
  const storage = new AsyncLocalStorage();
  const heard = [];
  for (const event of ['progress', 'retry', 'result'])
    manager.on(event, () => heard.push([event, storage.getStore()]));
  storage.run('mine', () => manager.distributeTask({ id: 1 }));
  await manager.shutdown();
  expect(heard).toEqual([
    ['progress', 'mine'],
    ['retry', 'mine'],
    ['progress', 'mine'],
    ['result', 'mine'],
  ]);
});
