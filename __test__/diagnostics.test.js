// Messages of pools, workers and tasks on node:diagnostics_channel.

import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { AbortError, PoolClosedError, TaskTimeoutError, WorkerCrashedError } from '../index.mjs';
import { failure, fixture, moduleFile, pool, program, root, started } from './support/harness.js';

const TASKS = ['bulkhead:task:start', 'bulkhead:task:retry', 'bulkhead:task:end'];
const OTHERS = [
  'bulkhead:pool:open',
  'bulkhead:pool:close',
  'bulkhead:worker:online',
  'bulkhead:worker:exit',
];

const basic = fixture('basic.mjs');

const cleanups = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** All that is published, in order: `[channel, message, copy of the message at that time]`. */
function listen(channels = [...TASKS, ...OTHERS]) {
  const log = [];
  for (const channel of channels)
    on(channel, (message, name) => log.push([name, message, { ...message }]));
  return log;
}

function on(channel, subscriber) {
  subscribe(channel, subscriber);
  cleanups.push(() => unsubscribe(channel, subscriber));
}

const of = (log, channel) => log.filter(([name]) => name === `bulkhead:${channel}`);

describe('channels of a pool and its workers', () => {
  test('open, online, exit and close carry the pool itself and its name', async () => {
    const log = listen(OTHERS);
    const manager = pool({ worker: basic, maxWorkers: 1, name: 'watched' });
    expect(log).toEqual([]);
    await manager.startWorkers();
    const pid = await manager.run({ type: 'pid' });
    await manager.shutdown();
    const about = { pool: manager, poolName: 'watched' };
    expect(log.map(([name, message]) => [name, message])).toEqual([
      ['bulkhead:pool:open', about],
      ['bulkhead:worker:online', { ...about, workerId: 1, pid }],
      [
        'bulkhead:worker:exit',
        {
          ...about,
          workerId: 1,
          pid,
          code: 0,
          signal: null,
          reason: 'shutdown',
          uptime: expect.any(Number),
          tasksDone: 1,
        },
      ],
      ['bulkhead:pool:close', about],
    ]);
    expect(log[0][1].pool).toBe(manager);
  });

  test('a pool that never opened publishes no close', async () => {
    const log = listen();
    await pool().shutdown();
    expect(log).toEqual([]);
  });

  test('a pool that a subscriber closes when it opens accepts no task', async () => {
    const manager = pool({ worker: basic });
    on('bulkhead:pool:open', () => manager.terminate());
    expect(await failure(manager.run({ type: 'echo' }))).toBeInstanceOf(PoolClosedError);
    expect(await manager.shutdown()).toMatchObject({ completed: 0, rejected: 0 });
  });
});

describe('channels of a task', () => {
  test('[S7] a task has one message from start to end, whose fields are filled in as they become known', async () => {
    const log = listen(TASKS);
    const manager = pool({ worker: basic, maxWorkers: 1, name: 'named' });
    const pid = await manager.run({ id: 'a', type: 'pid' });
    const start = {
      pool: manager,
      poolName: 'named',
      taskId: 'a',
      trace: undefined,
      attempt: undefined,
      outcome: undefined,
      workerId: undefined,
      pid: undefined,
      waitTime: undefined,
      runTime: undefined,
      error: undefined,
    };
    const end = {
      ...start,
      attempt: 1,
      outcome: 'completed',
      workerId: 1,
      pid,
      waitTime: expect.any(Number),
      runTime: expect.any(Number),
    };
    expect(log.map(([name, , copy]) => [name, copy])).toEqual([
      ['bulkhead:task:start', start],
      ['bulkhead:task:end', end],
    ]);
    expect(log[1][1]).toBe(log[0][1]);
    expect(Object.keys(log[1][1])).toEqual(Object.keys(start));
  });

  test('a task starts and ends once by every way of submitting it, and tasks of one id are distinct', async () => {
    const log = listen(TASKS);
    const manager = pool({ worker: basic });
    manager.on('error', () => {});
    manager.distributeTask({ id: 'twin', type: 'echo', data: 1 });
    manager.distributeTask({ id: 'twin', type: 'throw' });
    const others = [
      manager.run({ id: 'twin', type: 'echo', data: 2 }),
      manager.exec((a) => a, [3]),
    ];
    for await (const result of manager.map([{ id: 'twin', type: 'echo', data: 4 }]))
      others.push(result);
    for await (const value of manager.stream({ id: 'twin', type: 'echo', data: [5, 6] }))
      others.push(value);
    expect(await Promise.all(others)).toEqual([2, 3, 4, 5, 6]);
    await manager.shutdown();
    const starts = of(log, 'task:start').map(([, message]) => message);
    const ends = of(log, 'task:end').map(([, message]) => message);
    expect(new Set(starts).size).toBe(starts.length);
    expect(new Set(ends)).toEqual(new Set(starts));
    expect(ends.length).toBe(starts.length);
    expect(ends.filter(({ outcome }) => outcome === 'failed')).toHaveLength(1);
    expect(ends.filter(({ taskId }) => taskId === 'twin')).toHaveLength(5);
  });

  test('a task is published in its caller’s async context, before its caller learns of its end', async () => {
    const storage = new AsyncLocalStorage();
    const order = [];
    on('bulkhead:task:start', () => order.push(storage.getStore()));
    on('bulkhead:task:end', () => order.push('end'));
    const manager = pool({ worker: basic });
    manager.on('result', () => order.push('result'));
    storage.run('context', () => manager.distributeTask({ type: 'echo' }));
    await manager.shutdown();
    expect(order).toEqual(['context', 'end', 'result']);
  });

  test('a refused task is not published as started', async () => {
    const log = listen(TASKS);
    const manager = pool({ worker: basic });
    expect(await failure(manager.run(() => {}))).toMatchObject({ code: 'ERR_SERIALIZATION' });
    expect(await failure(manager.run({}, { signal: AbortSignal.abort() }))).toMatchObject({
      code: 'ABORT_ERR',
    });
    expect(log).toEqual([]);
  });

  test('a task whose handler fails is published with the error that its caller gets', async () => {
    const log = listen(['bulkhead:task:end']);
    const manager = pool({ worker: basic, maxWorkers: 1 });
    const error = await failure(manager.run({ id: 1, type: 'throw' }));
    const [[, message]] = log;
    expect(message).toMatchObject({
      outcome: 'failed',
      taskId: 1,
      workerId: 1,
      pid: error.pid,
      attempt: 1,
    });
    expect(message.error).toBe(error);
  });

  test('a task that times out, is cancelled or is left by a closed pool is published with its error', async () => {
    const log = listen(['bulkhead:task:end']);
    const manager = pool({ worker: fixture('stuck.mjs'), maxWorkers: 1, gracePeriod: 50 });
    const controller = new AbortController();
    const overdue = await failure(manager.run({ id: 'overdue', type: 'hang' }, { timeout: 20 }));
    expect(overdue).toBeInstanceOf(TaskTimeoutError);
    const running = manager.run({ id: 'running', type: 'obey' }).catch((error) => error);
    const waiting = manager.run({ id: 'waiting', type: 'echo' }, { signal: controller.signal });
    controller.abort();
    expect(await failure(waiting)).toBeInstanceOf(AbortError);
    await manager.terminate();
    expect(await running).toBeInstanceOf(PoolClosedError);
    const ends = Object.fromEntries(log.map(([, message]) => [message.taskId, message]));
    expect(ends.overdue).toMatchObject({
      outcome: 'failed',
      workerId: 1,
      pid: overdue.pid,
      attempt: 1,
    });
    expect(ends.overdue.runTime).toBeGreaterThan(10);
    expect(ends.waiting).toMatchObject({
      outcome: 'cancelled',
      attempt: undefined,
      runTime: undefined,
    });
    expect(ends.waiting.workerId).toBeUndefined();
    expect(ends.running).toMatchObject({ outcome: 'failed', error: await running });
  });

  test('a retried task is published with the coming attempt and what ended the last', async () => {
    const log = listen(TASKS);
    const worker = moduleFile(`
      export default (task, { attempt }) => {
        if (attempt === 1) process.kill(process.pid, 'SIGKILL');
        return attempt;
      };`);
    const manager = pool({
      worker,
      maxWorkers: 1,
      retries: 1,
      retryDelay: 1,
      restart: { minDelay: 1 },
    });
    expect(await manager.run({ id: 'again' })).toBe(2);
    expect(log.map(([name]) => name)).toEqual(TASKS);
    const [[, message], [, retried, retry], [, ended, end]] = log;
    expect(retried).toBe(message);
    expect(ended).toBe(message);
    expect(retry).toMatchObject({ taskId: 'again', attempt: 2, outcome: undefined });
    expect(retry.error).toBeInstanceOf(WorkerCrashedError);
    expect(end).toMatchObject({ attempt: 2, outcome: 'completed', error: undefined });
  });
});

describe('subscribers', () => {
  test('subscribers may come late, and go early', async () => {
    const manager = pool({ worker: fixture('announcing.mjs'), maxWorkers: 1 });
    const early = listen(['bulkhead:task:start']);
    const begun = started(manager, 'watched');
    const watched = manager.run({ id: 'watched', type: 'sleep', data: 1 });
    await begun;
    for (const cleanup of cleanups.splice(0)) cleanup();
    await watched;
    const unwatched = manager.run({ id: 'unwatched', type: 'echo', data: 1 });
    const late = listen(['bulkhead:task:end']);
    await unwatched;
    expect(early.map(([, { taskId }]) => taskId)).toEqual(['watched']);
    expect(late.map(([, { taskId, outcome }]) => [taskId, outcome])).toEqual([
      ['unwatched', 'completed'],
    ]);
    expect(late[0][1]).not.toBe(early[0][1]);
  });

  test('a subscriber may cancel the task that it is told of', async () => {
    const manager = pool({ worker: fixture('stuck.mjs'), maxWorkers: 1 });
    on('bulkhead:task:start', ({ pool, taskId }) => pool.cancel(taskId, 'not now'));
    const controller = new AbortController();
    const { signal } = controller;
    expect(await failure(manager.run({ id: 1, type: 'obey' }))).toMatchObject({
      code: 'ABORT_ERR',
      cause: 'not now',
    });
    on('bulkhead:task:start', () => controller.abort('not that'));
    const error = await failure(manager.run({ id: 2, type: 'obey' }, { signal }));
    expect(error).toMatchObject({ code: 'ABORT_ERR', cause: 'not now' });
  });

  test('a subscriber that throws costs no task its outcome', async () => {
    const { code, stdout, stderr } = await program(`
      import { subscribe } from 'node:diagnostics_channel';
      import ProcessManager from 'bulkhead';

      let thrown = 0;
      process.on('uncaughtException', (error) => {
        if (error.message !== 'of a subscriber') throw error;
        thrown += 1;
      });
      const channels = ['pool:open', 'pool:close', 'worker:online', 'worker:exit', 'task:start', 'task:end'];
      for (const name of channels) {
        subscribe('bulkhead:' + name, () => {
          throw new Error('of a subscriber');
        });
      }
      const pool = new ProcessManager({ maxWorkers: 1 });
      const tasks = Array.from({ length: 100 }, (_, data) => pool.run({ data }));
      const results = await Promise.all(tasks);
      const { completed } = pool.stats().tasks;
      await pool.shutdown();
      await new Promise(setImmediate);
      console.log(JSON.stringify({ results: results.length, completed, thrown }));`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ results: 100, completed: 100, thrown: 204 });
  });
});

describe('the programs of docs/observability.md', () => {
  const page = readFileSync(join(root, 'docs/observability.md'), 'utf8');
  const blocks = [...page.matchAll(/^```js\n([\s\S]*?)^```/gm)].map(([, text]) => text);

  test('the first program of docs/observability.md prints the spans of two tasks', async () => {
    const { code, stdout, stderr } = await program(blocks[0]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /name: 'primes a',\s+parent: '00-4bf9\w+-\w+-01',\s+outcome: 'completed'/,
    );
    expect(stdout).toMatch(/name: 'primes 1',\s+parent: undefined,\s+outcome: 'failed'/);
  });

  test('the worker of docs/observability.md knows its trace', async () => {
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const manager = pool({ worker: moduleFile(blocks[1]), maxWorkers: 1 });
    expect(await manager.run({ id: 5 }, { trace })).toEqual({ trace, taskId: 5, attempt: 1 });
  });

  test('docs/observability.md lists every channel that exists, and no other', async () => {
    const source = readFileSync(join(root, 'lib/pool/diagnostics.js'), 'utf8');
    const namesIn = (text) => [...new Set(text.match(/bulkhead:\w+:\w+/g))].sort();
    expect(namesIn(page)).toEqual(namesIn(source));
    expect(namesIn(page)).toEqual([...TASKS, ...OTHERS].sort());
  });
});
