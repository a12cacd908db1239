// Workers that reach a limit: of tasks, age or size. Another takes their place, and no task is
// lost.

import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { WorkerCrashedError } from '../index.mjs';
import {
  failure,
  fixture,
  gate,
  isGone,
  moduleFile,
  pool,
  program,
  record,
  shellWorker,
  started,
  until,
} from './support/harness.js';

const LIMITS = fixture('limits.mjs');

/** A worker that starts at once and answers with its pid. */
const SHELL = shellWorker(`echo "{\\"type\\":\\"result\\",\\"id\\":$id,\\"result\\":$$}" >&3`);

/** How often each value occurs. */
function countsOf(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** The events of these workers, in order: `['online', pid]`, `['exit', pid, reason]`. */
function livesOf(log) {
  return log.flatMap(([event, about]) => {
    if (event === 'online') return [['online', about.pid]];
    if (event === 'exit') return [['exit', about.pid, about.reason]];
    return [];
  });
}

describe('maxTasksPerWorker', () => {
  test('[B15, H4, W4] maxTasksPerWorker: no process runs more tasks, none is lost, and the pool does not stall', {
    timeout: 120_000,
  }, async () => {
    // Five hundred processes, of a kind that starts quickly.
    const manager = pool({ worker: SHELL, maxTasksPerWorker: 2, maxWorkers: 2 });
    const log = record(manager, ['error', 'exit', 'online']);
    const pids = await Promise.all(Array.from({ length: 1000 }, (_, id) => manager.run({ id })));
    const counts = countsOf(pids);
    expect(Math.max(...counts.values())).toBe(2);
    expect(counts.size).toBeGreaterThanOrEqual(500);
    await manager.shutdown();
    const exits = log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    expect(countsOf(exits.map(({ reason }) => reason)).get('recycled')).toBeGreaterThanOrEqual(496);
    expect(exits.every(({ tasksDone }) => tasksDone <= 2)).toBe(true);
    expect(exits.every(({ workerId }) => workerId === 1 || workerId === 2)).toBe(true);
  });

  test('maxTasksPerWorker: no process of Node runs more tasks', { timeout: 60_000 }, async () => {
    const manager = pool({ worker: LIMITS, maxTasksPerWorker: 3, maxWorkers: 2 });
    const pids = await Promise.all(
      Array.from({ length: 36 }, (_, id) => manager.run({ id, type: 'pid' })),
    );
    expect([...countsOf(pids).values()].every((count) => count <= 3)).toBe(true);
  });

  test('maxTasksPerWorker does not count tasks that were prefetched and never started', async () => {
    const manager = pool({ worker: LIMITS, maxTasksPerWorker: 4, maxWorkers: 1, prefetch: 8 });
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path });
    const rest = Promise.all(
      Array.from({ length: 11 }, (_, id) => manager.run({ id, type: 'pid' })),
    );
    await begun;
    open();
    const counts = countsOf([await long, ...(await rest)]);
    expect([...counts.values()]).toEqual([4, 4, 4]);
  });

  test('[B15, W7] maxTasksPerWorker: the successor is ready before the last task of the old process has ended', async () => {
    const manager = pool({ worker: LIMITS, maxTasksPerWorker: 1, maxWorkers: 1 });
    const log = record(manager, ['error', 'exit', 'online']);
    const { path, open } = gate();
    const first = manager.run({ type: 'until', data: path });
    const online = () => log.filter(([event]) => event === 'online').length;
    await until(() => online() === 2, 'the successor');
    // The slot is still taken: this task waits for the other one, and not for a process.
    const second = manager.run({ type: 'pid' });
    open();
    const pids = [await first, await second];
    expect(livesOf(log).slice(0, 2)).toEqual(pids.map((pid) => ['online', pid]));
    await until(() => log.some(([event]) => event === 'exit'), 'the old one to leave');
    expect(log.filter(([event]) => event === 'exit')[0][1]).toMatchObject({
      pid: pids[0],
      reason: 'recycled',
      workerId: 1,
      code: 0,
      tasksDone: 1,
    });
  });

  test('maxTasksPerWorker is exact with concurrency > 1', async () => {
    const manager = pool({ worker: LIMITS, maxTasksPerWorker: 5, maxWorkers: 2, concurrency: 3 });
    const pids = await Promise.all(
      Array.from({ length: 40 }, (_, id) => manager.run({ id, type: 'sleep', data: 1 })),
    );
    const counts = countsOf(pids);
    expect(Math.max(...counts.values())).toBeLessThanOrEqual(5);
  });
});

describe('maxWorkerAge', () => {
  test('maxWorkerAge replaces an idle worker, whose successor is online before it leaves', async () => {
    const manager = pool({ worker: LIMITS, maxWorkerAge: 200, maxWorkers: 1 });
    const log = record(manager, ['error', 'exit', 'online']);
    await manager.startWorkers();
    await until(() => log.filter(([event]) => event === 'exit').length >= 2, 'two replacements');
    const lives = livesOf(log);
    const [first, second, third] = lives
      .filter(([event]) => event === 'online')
      .map(([, pid]) => pid);
    const order = (event, pid) => lives.findIndex(([is, of]) => is === event && of === pid);
    expect(order('online', second)).toBeLessThan(order('exit', first));
    expect(order('online', third)).toBeLessThan(order('exit', second));
    const exits = log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
    expect(exits.every(({ reason, workerId }) => reason === 'recycled' && workerId === 1)).toBe(
      true,
    );
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
  });

  test('[W6] maxWorkerAge never cuts off a long task, and there is never a gap', async () => {
    const manager = pool({ worker: LIMITS, maxWorkerAge: 100, maxWorkers: 1, gracePeriod: 50 });
    const log = record(manager, ['error', 'exit', 'online']);
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path });
    await begun;
    await until(() => log.filter(([event]) => event === 'online').length === 2, 'the successor');
    // Longer than any step of the escalation.
    await new Promise((resolve) => setTimeout(resolve, 500));
    const [successor, old] = manager.workers;
    expect([successor.id, old.id, successor.restarts, old.restarts]).toEqual([1, 1, 1, 0]);
    expect([old.state, old.running]).toEqual(['stopping', ['long']]);
    expect(log.filter(([event]) => event === 'exit')).toEqual([]);
    open();
    expect(await long).toBe(old.pid);
    expect(await manager.run({ type: 'pid' })).toBe(successor.pid);
    await until(() => log.some(([event]) => event === 'exit'), 'the old one to leave');
    expect(log.find(([event]) => event === 'exit')[1]).toMatchObject({
      pid: old.pid,
      reason: 'recycled',
      code: 0,
    });
  });

  test('maxWorkerAge: results of both processes of one worker name the process they come from', async () => {
    const manager = pool({ worker: LIMITS, maxWorkerAge: 100, maxWorkers: 1 });
    const log = record(manager, ['result', 'online', 'message']);
    const { path, open } = gate();
    manager.distributeTask({ id: 'long', type: 'until', data: path });
    await until(() => log.filter(([event]) => event === 'online').length === 2, 'the successor');
    open();
    await until(() => log.some(([event]) => event === 'result'), 'the result');
    const [, envelope] = log.find(([event]) => event === 'result');
    expect(envelope.processedBy).toBe(envelope.result);
    const talk = log.filter(([event, message]) => event === 'message' && 'result' in message);
    expect(talk).toEqual([['message', envelope, { id: 1, pid: envelope.result }]]);
  });
});

describe('recycleMemory', () => {
  test('[D11, W5] recycleMemory replaces a worker that leaks after its task, and no task is lost', {
    timeout: 60_000,
  }, async () => {
    const manager = pool({ worker: LIMITS, recycleMemory: '300MB', maxWorkers: 2 });
    const log = record(manager, ['error', 'exit', 'online']);
    const pids = await Promise.all(
      Array.from({ length: 40 }, (_, id) => manager.run({ id, type: 'leak', data: 50 })),
    );
    expect(pids.length).toBe(40);
    await until(() => log.some(([event]) => event === 'exit'), 'a replacement');
    const reasons = log.filter(([event]) => event === 'exit').map(([, { reason }]) => reason);
    expect(new Set(reasons)).toEqual(new Set(['recycled']));
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    expect(new Set(pids).size).toBeGreaterThan(2);
  });

  test('recycleMemory below the size of an idle worker does not replace it again and again', async () => {
    const manager = pool({ worker: LIMITS, recycleMemory: 1, maxWorkers: 1 });
    const log = record(manager, ['exit', 'online']);
    await manager.startWorkers();
    await new Promise((resolve) => setTimeout(resolve, 800));
    expect(livesOf(log).length).toBe(1);
  });
});

describe('maxMemory', () => {
  test('[D11, W8] maxMemory kills a worker beyond it, and the error says so', async () => {
    const manager = pool({ worker: LIMITS, maxMemory: '300 MiB', maxWorkers: 1 });
    const log = record(manager, ['exit']);
    const error = await failure(manager.run({ id: 'large', type: 'swell' }));
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({
      taskId: 'large',
      outOfMemory: true,
      signal: 'SIGKILL',
      phase: 'running',
      reason: 'memory',
      maybeExecuted: true,
      workerId: 1,
    });
    expect(error.rss).toBeGreaterThan(300 * 2 ** 20);
    const limit = 300 * 2 ** 20;
    expect(error.message).toContain(
      `used ${error.rss} bytes of memory, more than maxMemory (${limit}), and was killed by`,
    );
    expect(error).not.toHaveProperty('memoryLimit');
    await until(() => log.length > 0, 'the exit');
    expect(log[0][1]).toMatchObject({ reason: 'memory', signal: 'SIGKILL', pid: error.pid });
    expect(isGone(error.pid)).toBe(true);
    expect(await manager.run({ type: 'pid' })).not.toBe(error.pid);
  });

  test('[D11] maxMemory: retries apply to the task of the killed worker', async () => {
    const manager = pool({
      worker: LIMITS,
      maxMemory: '300MB',
      maxWorkers: 1,
      retries: 1,
      retryDelay: 1,
    });
    const log = record(manager, ['retry']);
    const error = await failure(manager.run({ type: 'swell' }));
    expect(log.length).toBe(1);
    expect(log[0][1].error).toMatchObject({ outOfMemory: true, attempts: 1 });
    expect(error).toMatchObject({ outOfMemory: true, attempts: 2 });
  });

  test('maxMemory: a worker that is too large before it is ready has failed to start', async () => {
    const manager = pool({ worker: LIMITS, maxMemory: 1, restart: { limit: 0, minDelay: 1 } });
    manager.on('error', () => {});
    const error = await failure(manager.startWorkers());
    expect(error).toMatchObject({ code: 'ERR_POOL_BROKEN' });
    expect(error.cause.message).toMatch(/maxMemory \(1\)/);
  });

  test('[H6] maxMemory and recycleMemory have no effect where memory cannot be read, which a warning says', async () => {
    const main = `
      import ProcessManager from 'bulkhead';
      import { execFileSync } from 'node:child_process';
      const quiet = new ProcessManager({ maxWorkers: 1 });
      const limited = new ProcessManager({ maxWorkers: 1, maxMemory: 1, name: 'limited' });
      process.on('warning', ({ code, message }) => console.log(code, message));
      console.log(await limited.run({ data: 'ran' }));
      await limited.shutdown();`;
    const { stdout, stderr, code } = await program(`
      import { execFileSync } from 'node:child_process';
      import { writeFileSync } from 'node:fs';
      writeFileSync(new URL('./inner.mjs', import.meta.url), ${JSON.stringify(main)});
      const hide = 'mount -t tmpfs none /proc && exec "$0" "$1"';
      const inner = new URL('./inner.mjs', import.meta.url).pathname;
      process.stdout.write(execFileSync('unshare', ['-rm', 'sh', '-c', hide, process.execPath, inner]));`);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toMatch(
      /BULKHEAD_NO_MEMORY_LIMITS process pool "limited" cannot apply maxMemory and recycleMemory: /,
    );
    expect(stdout).toMatch(/ran/);
  });
});

describe('replacing a worker', () => {
  test('[B14] a worker whose replacement cannot start serves on', async () => {
    const worker = moduleFile('export default () => process.pid');
    const manager = pool({
      worker,
      maxWorkerAge: 100,
      maxWorkers: 1,
      restart: { limit: 2, minDelay: 1, maxDelay: 20 },
    });
    const log = record(manager, ['error', 'exit', 'online']);
    const pid = await manager.run(0);
    writeFileSync(worker, "throw new Error('broken on disk')");
    const failed = () =>
      log.filter(([event, { reason }]) => event === 'exit' && reason === 'startup').length;
    // More failures than would break a pool in which no worker serves.
    await until(() => failed() > 4, 'failed starts');
    expect(await manager.run(1)).toBe(pid);
    writeFileSync(worker, 'export default () => process.pid');
    await until(
      () => log.some(([event, { reason }]) => event === 'exit' && reason === 'recycled'),
      'a replacement',
    );
    expect(await manager.run(2)).not.toBe(pid);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
  });

  test('[B14] a worker that has run all its tasks and cannot be replaced breaks the pool, and the error says why', async () => {
    const worker = moduleFile('export default () => process.pid');
    const options = {
      worker,
      maxTasksPerWorker: 2,
      maxWorkers: 1,
      restart: { limit: 2, minDelay: 1, maxDelay: 5 },
    };
    const manager = pool(options);
    manager.on('error', () => {});
    await manager.startWorkers();
    writeFileSync(worker, "throw new Error('broken on disk')");
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, (_, id) => manager.run({ id })),
    );
    expect(outcomes.slice(0, 2).map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled']);
    for (const { reason } of outcomes.slice(2)) {
      expect(reason).toMatchObject({ code: 'ERR_POOL_BROKEN', maybeExecuted: false });
      expect(reason.cause.message).toMatch(/broken on disk/);
    }
  });

  test.each(['shutdown', 'terminate'])(
    'a replacement under way does not delay %s()',
    { timeout: 60_000 },
    async (end) => {
      for (let round = 0; round < 4; round++) {
        const manager = pool({
          worker: LIMITS,
          maxTasksPerWorker: 1,
          maxWorkers: 2,
          maxWorkerAge: 50,
        });
        const log = record(manager, ['error', 'exit', 'online']);
        const tasks = Array.from({ length: 6 }, (_, id) => manager.run({ id, type: 'pid' }));
        const settled = Promise.allSettled(tasks);
        await Promise.race(tasks.slice(round, round + 1));
        await manager[end]();
        const outcomes = await settled;
        if (end === 'shutdown')
          expect(outcomes.every(({ status }) => status === 'fulfilled')).toBe(true);
        const [online, exits] = ['online', 'exit'].map((is) =>
          log.filter(([event]) => event === is),
        );
        expect(exits.length).toBeGreaterThanOrEqual(online.length);
        expect(log.filter(([event]) => event === 'error')).toEqual([]);
      }
    },
  );

  test('several workers are replaced one after the other, each with its own number', {
    timeout: 60_000,
  }, async () => {
    const manager = pool({ worker: LIMITS, maxWorkerAge: 300, minWorkers: 3, maxWorkers: 3 });
    const log = record(manager, ['exit', 'online']);
    await manager.startWorkers();
    const ids = () => log.filter(([event]) => event === 'exit').map(([, { workerId }]) => workerId);
    await until(() => new Set(ids()).size === 3, 'all three to be replaced');
    const numbers = log.filter(([event]) => event === 'online').map(([, { id }]) => id);
    expect(new Set(numbers)).toEqual(new Set([1, 2, 3]));
    expect(manager.workers.every(({ id, restarts }) => id >= 1 && id <= 3 && restarts >= 0)).toBe(
      true,
    );
  });
});
