// Workers die, in every way and at every moment: what their tasks, the pool and its listeners are
// told.

import { describe, expect, test } from 'vitest';
import { WorkerCrashedError } from '../index.mjs';
import {
  childrenOf,
  failure,
  fixture,
  isGone,
  pool,
  processState,
  record,
  until,
} from './support/harness.js';

const worker = fixture('crash.mjs');
const restart = { minDelay: 1, maxDelay: 20 };
/** Keeps the output of dying workers off our own standard error. */
const quiet = { worker, restart, stdio: 'ignore' };

/** The ways to die, and what the pool knows of each. */
const WAYS = [
  ['SIGKILL', { exitCode: null, signal: 'SIGKILL' }],
  ['SIGSEGV', { exitCode: null, signal: 'SIGSEGV' }],
  ['abort', { exitCode: null, signal: 'SIGABRT' }],
  ['exit(0)', { exitCode: 0, signal: null }],
  ['exit(1)', { exitCode: 1, signal: null }],
  ['an uncaught exception', { exitCode: 1, signal: null }],
  ['an unhandled rejection', { exitCode: 1, signal: null }],
];

/** Waits until that number of tasks have reported that they run. */
const begun = (log, count) =>
  until(
    () => log.filter(([event, said]) => event === 'message' && said === 'begun').length === count,
    'tasks begin',
  );

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);

describe.each(WAYS)('%s', (way, { exitCode, signal }) => {
  test('[B1] a worker that dies idle costs no task', async () => {
    const manager = pool({ ...quiet, maxWorkers: 1 });
    const log = record(manager);
    await manager.run({ type: 'later', data: way });
    const [exit] = await until(() => exitsIn(log).length > 0 && exitsIn(log), 'an exit');
    expect(exit).toEqual({
      workerId: 1,
      pid: expect.any(Number),
      code: exitCode,
      signal,
      reason: 'crashed',
      uptime: expect.any(Number),
      tasksDone: 1,
    });
    const pid = await manager.run({ type: 'pid' });
    expect(pid).not.toBe(exit.pid);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    expect(manager.stats().tasks).toMatchObject({ accepted: 2, completed: 2, failed: 0 });
  });

  test('[B4, B12, L8, P1, P3] a worker that dies in a task fails that task only', async () => {
    const manager = pool({ ...quiet, maxWorkers: 1 });
    const log = record(manager);
    const pid = await manager.run({ type: 'pid' });
    const [error, ...others] = await Promise.all([
      failure(manager.run({ id: 'fatal', type: 'during', data: way })),
      ...[1, 2, 3].map((data) => manager.run({ type: 'echo', data })),
    ]);
    expect(error).toBeInstanceOf(WorkerCrashedError);
    expect(error).toMatchObject({
      name: 'WorkerCrashedError',
      code: 'ERR_WORKER_CRASHED',
      taskId: 'fatal',
      workerId: 1,
      pid,
      exitCode,
      signal,
      phase: 'running',
      reason: 'crashed',
      maybeExecuted: true,
      outOfMemory: false,
      stderr: expect.any(String),
    });
    expect(error.uptime).toBeGreaterThan(0);
    expect(error.rss).toBeGreaterThan(1 << 20);
    const how = signal === null ? `exited with code ${exitCode}` : `was killed by ${signal}`;
    const words = way.startsWith('an un') ? '; stderr: RangeError: thrown without a catch' : '';
    expect(error.message.replace(/; stderr: (?!RangeError).*/, '')).toBe(
      `worker 1 (pid ${pid}) ${how} while running task "fatal"; the task may have been executed${words}`,
    );
    expect(others).toEqual([1, 2, 3]);
    await until(() => exitsIn(log).length > 0, 'an exit');
    expect(exitsIn(log)).toEqual([
      expect.objectContaining({ pid, code: exitCode, signal, reason: 'crashed' }),
    ]);
  });

  test('[B6, D2] a worker that dies right after a result does not take the result along', async () => {
    const manager = pool({ ...quiet, maxWorkers: 1 });
    const log = record(manager);
    const sizes = [1, 200_000, 4_000_000];
    for (const [index, size] of sizes.entries()) {
      manager.distributeTask({ id: size, type: 'after', data: { way, size } });
      // A task given already could be at the worker before it dies.
      await until(() => exitsIn(log).length > index, 'an exit');
    }
    const outcomes = log.filter(([event]) => ['result', 'error', 'exit'].includes(event));
    // Each result comes first, and then the exit of its worker.
    expect(outcomes.map(([event]) => event)).toEqual(sizes.flatMap(() => ['result', 'exit']));
    for (const [index, size] of sizes.entries()) {
      const [[, { taskId, result, processedBy }], [, exit]] = outcomes.slice(2 * index);
      expect([taskId, result.length]).toEqual([size, size]);
      expect(exit).toMatchObject({ pid: processedBy, code: exitCode, signal, tasksDone: 1 });
    }
  });
});

test('[B4, P1] a worker that exits in the synchronous part of its handler has crashed', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  for (const [way, fields] of WAYS) {
    // Here these two are errors of the handler, or come later.
    if (way.startsWith('an un')) continue;
    expect(await failure(manager.run({ type: 'at', data: way }))).toMatchObject({
      name: 'WorkerCrashedError',
      ...fields,
    });
  }
  expect(await manager.run({ type: 'echo', data: 'still here' })).toBe('still here');
});

test('[B12, D1, P2] process.exit(0) behind a message of 1 MB: the message arrives, the task fails, the pool serves on', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager);
  manager.distributeTask({ id: 7, type: 'sendThenExit', data: 1 << 20 });
  await until(() => exitsIn(log).length > 0, 'the exit');
  expect(log.map(([event]) => event).slice(0, 4)).toEqual(['online', 'message', 'error', 'exit']);
  const [, [, message], [, error]] = log;
  expect(message.big).toHaveLength(1 << 20);
  expect(error).toMatchObject({
    name: 'WorkerCrashedError',
    taskId: 7,
    exitCode: 0,
    signal: null,
    maybeExecuted: true,
  });
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
});

test.each(['SIGKILL', 'abort', 'an uncaught exception'])(
  '[B13] a finaliser that ends the worker (%s) after its result does not take the result along',
  async (way) => {
    const manager = pool({ ...quiet, maxWorkers: 1, execArgv: ['--expose-gc'] });
    const log = record(manager, ['exit', 'error']);
    expect(await manager.run({ id: 1, type: 'finalise', data: way })).toBe('done');
    await until(() => exitsIn(log).length === 1, 'the finaliser runs');
    expect(exitsIn(log)).toEqual([expect.objectContaining({ reason: 'crashed', tasksDone: 1 })]);
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
    expect(log).toHaveLength(1);
  },
);

test('[D3] a worker that closes or replaces the descriptors it was started with serves on', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const pid = await manager.run({ type: 'pid' });
  expect(await manager.run({ type: 'close' })).toEqual([3, 4]);
  expect(await Promise.all([1, 2, 3].map((data) => manager.run({ type: 'echo', data })))).toEqual([
    1, 2, 3,
  ]);
  const large = 'x'.repeat(1_000_000);
  expect((await manager.run({ type: 'echo', data: large })) === large).toBe(true);
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(await manager.shutdown()).toMatchObject({ killed: 0 });
});

test('[B5] half a result counts as none', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const log = record(manager, ['error']);
  const error = await failure(manager.run({ type: 'within' }));
  expect(error).toMatchObject({
    name: 'WorkerCrashedError',
    phase: 'result',
    signal: 'SIGKILL',
    maybeExecuted: true,
  });
  expect(error.message).toContain('was killed by SIGKILL while writing the result of task');
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
  expect(log).toEqual([]);
});

test('[B2] a task that was written only in part runs at the next worker, silently', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const log = record(manager, ['error', 'retry', 'exit']);
  const pid = await manager.run({ type: 'pid' });
  // The worker reads no more, and the channel itself holds far less than this.
  process.kill(pid, 'SIGSTOP');
  const data = 'x'.repeat(20_000_000);
  const tasks = [
    manager.run({ type: 'echo', data }),
    manager.run({ type: 'echo', data: Buffer.from(data) }),
  ];
  await until(() => manager.workers[0].state === 'busy', 'the first task is being written');
  process.kill(pid, 'SIGKILL');
  const [text, bytes] = await Promise.all(tasks);
  expect(text === data && bytes.equals(Buffer.from(data))).toBe(true);
  expect(log.map(([event]) => event)).toEqual(['exit']);
});

test('[D2, P7] an exception thrown behind a result costs neither that result nor the tasks that follow', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const log = record(manager, ['exit']);
  const tasks = [manager.run({ type: 'after', data: { way: 'an uncaught exception', size: 1 } })];
  for (let data = 0; data < 200; data += 1) tasks.push(manager.run({ type: 'echo', data }));
  const [first, ...others] = await Promise.all(tasks);
  expect(first).toBe('x');
  expect(others).toEqual(Array.from(others, (_, index) => index));
  expect(exitsIn(await until(() => log.length > 0 && log, 'an exit'))).toHaveLength(1);
});

test.each(['SIGKILL', 'SIGSEGV', 'abort', 'exit(1)'])(
  '%s takes no task along that had ended before',
  async (way) => {
    // All tasks are at the worker before the first one runs.
    const manager = pool({ ...quiet, maxWorkers: 1, prefetch: 64 });
    for (let round = 0; round < 3; round += 1) {
      const ended = Array.from({ length: 40 }, (_, data) => manager.run({ type: 'echo', data }));
      const fatal = failure(manager.run({ id: 'fatal', type: 'at', data: way }));
      const behind = Array.from({ length: 10 }, (_, data) => manager.run({ type: 'echo', data }));
      expect(await Promise.all(ended)).toHaveLength(40);
      expect(await fatal).toMatchObject({ name: 'WorkerCrashedError', taskId: 'fatal' });
      expect(await Promise.all(behind)).toHaveLength(10);
    }
  },
);

test('[B4, L11] a WorkerCrashedError has the end of the worker’s standard error', async () => {
  for (const stdio of ['ignore', 'pipe']) {
    const manager = pool({ worker, restart, maxWorkers: 1, stdio });
    const error = await failure(manager.run({ type: 'during', data: 'an uncaught exception' }));
    expect(error.stderr).toContain('RangeError: thrown without a catch');
    expect(error.stderr).toContain('crash.mjs');
    expect(error.stderr.length).toBeLessThanOrEqual(8 * 1024);
  }
});

test('[C10, L10] a worker that runs out of heap is reported with outOfMemory: true', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1, execArgv: ['--max-old-space-size=30'] });
  const error = await failure(manager.run({ id: 1, type: 'outOfMemory' }));
  expect(error).toMatchObject({ name: 'WorkerCrashedError', outOfMemory: true });
  expect(error.message).toMatch(
    /ran out of memory and was killed by SIG\w+ while running task 1;.*heap out of memory$/,
  );
  expect(error.stderr).toContain('heap out of memory');
  expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
});

test('[C10] a worker that only prints about memory is not reported as out of memory', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const text =
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\nMemoryError\n';
  for (const way of ['SIGKILL', 'SIGSEGV', 'exit(0)']) {
    const error = await failure(manager.run({ type: 'sayThenDie', data: { text, way } }));
    expect(error).toMatchObject({ name: 'WorkerCrashedError', outOfMemory: false, stderr: text });
    expect(error.message).not.toContain('ran out');
  }
});

test('[B4] the message of a WorkerCrashedError is one line, for any output and any task id', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const text = `\x1b[31mError: ${'very '.repeat(100)}\r\x07bad\x1b[0m\n`;
  const error = await failure(
    manager.run({
      id: `a\n${'b'.repeat(1_000)}`,
      type: 'sayThenDie',
      data: { text, way: 'exit(1)' },
    }),
  );
  expect(error.message).toMatch(
    /^worker 1 \(pid \d+\) exited with code 1 while running task "a\\nb{62}…"; .*; stderr: Error: (?:very )+/,
  );
  expect(error.message.length).toBeLessThan(500);
  expect(error.stderr).toBe(text);
});

test('[B9] all workers killed at once are replaced, and the queue is served', async () => {
  const manager = pool({ ...quiet, minWorkers: 3, maxWorkers: 3 });
  const log = record(manager, ['message', 'exit']);
  await manager.startWorkers();
  const running = [1, 2, 3].map(() => manager.run({ type: 'hang' }));
  const waiting = Array.from({ length: 50 }, (_, data) => manager.run({ type: 'echo', data }));
  await begun(log, 3);
  const pids = manager.workers.map(({ pid }) => pid);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  const outcomes = await Promise.allSettled(running);
  expect(outcomes.map(({ reason }) => reason?.name)).toEqual(Array(3).fill('WorkerCrashedError'));
  expect(outcomes.map(({ reason }) => reason.pid).sort()).toEqual([...pids].sort());
  expect(await Promise.all(waiting)).toEqual(Array.from(waiting, (_, index) => index));
  await until(
    () => exitsIn(log).length === 3 && manager.workers.every(({ state }) => state === 'idle'),
    'three new workers',
  );
  expect(manager.workers.map(({ id, restarts }) => [id, restarts])).toEqual([
    [1, 1],
    [2, 1],
    [3, 1],
  ]);
});

test.each([1, 2, 5, 13])(
  '[B8] %i workers that kill each other: every task ends once, and the pool outlives it',
  async (count) => {
    const manager = pool({ ...quiet, minWorkers: count, maxWorkers: count });
    await manager.startWorkers();
    const rounds = count > 5 ? 3 : 8;
    const crashed = [];
    for (let round = 0; round < rounds; round += 1) {
      const pids = manager.workers.flatMap(({ pid, state }) =>
        state === 'starting' || pid === null ? [] : [pid],
      );
      // Each worker kills all workers, itself included, after a delay that differs from round to
      // round.
      const delays = Array.from({ length: count }, (_, index) => (index * (round + 1)) % 5);
      const tasks = delays.map((delay) => manager.run({ type: 'kill', data: { pids, delay } }));
      for (const { status, value, reason } of await Promise.allSettled(tasks)) {
        if (status === 'fulfilled') expect(value).toBe('alive');
        else crashed.push(reason);
      }
    }
    expect(crashed.length).toBeGreaterThan(0);
    for (const error of crashed)
      expect(error).toMatchObject({ name: 'WorkerCrashedError', signal: 'SIGKILL' });
    const { accepted, completed, failed } = manager.stats().tasks;
    expect([accepted, completed + failed, failed]).toEqual([
      rounds * count,
      rounds * count,
      crashed.length,
    ]);
    expect(await manager.run({ type: 'echo', data: 'over' })).toBe('over');
  },
);

describe('child processes of a worker', () => {
  test('[D7] a child process of a worker is killed when the worker dies, and does not delay its end', async () => {
    const manager = pool({ ...quiet, maxWorkers: 1 });
    const log = record(manager);
    const error = await failure(manager.run({ type: 'grandchildThenDie' }));
    expect(error).toMatchObject({ name: 'WorkerCrashedError', signal: 'SIGKILL' });
    const [, { grandchild }] = log.find(([event]) => event === 'message');
    await until(() => isGone(grandchild), `grandchild ${grandchild} gone`);
  });

  test("[D8, D9] a child process that left the worker's group lives on, and delays nothing by what it keeps open", async () => {
    const manager = pool({ ...quiet, maxWorkers: 1, stdio: 'pipe' });
    const log = record(manager);
    const error = await failure(manager.run({ type: 'daemonThenDie' }));
    const [, { daemon }] = log.find(([event, said]) => event === 'message' && said.daemon);
    try {
      expect(error).toMatchObject({ name: 'WorkerCrashedError', signal: 'SIGKILL' });
      await until(() => exitsIn(log).length > 0, 'the exit');
      // The child has the worker's standard output, standard error and channel open for a thousand
      // seconds.
      expect(processState(daemon)).toBe('S');
      expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
      await manager.shutdown();
      expect(processState(daemon)).toBe('S');
    } finally {
      process.kill(daemon, 'SIGKILL');
    }
    await until(() => isGone(daemon), 'the daemon is gone');
  });

  test('[D7] a child process of a worker is killed when the pool shuts down', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const grandchild = await manager.run({ type: 'grandchild' });
    expect(isGone(grandchild)).toBe(false);
    await manager.shutdown();
    await until(() => isGone(grandchild), `grandchild ${grandchild} gone`);
  });
});

describe.each([
  ['SIGTERM', false],
  ['SIGKILL', true],
])('a worker that closes its channel and lives on', (signal, trap) => {
  test(`[D3] a worker that closes its channel is ended by ${signal}, and replaced`, async () => {
    const manager = pool({ worker, maxWorkers: 1, gracePeriod: 50 });
    const log = record(manager, ['exit']);
    const error = await failure(manager.run({ type: 'disconnect', data: { trap } }));
    expect(error).toMatchObject({
      name: 'WorkerCrashedError',
      signal,
      maybeExecuted: true,
      channelClosed: true,
    });
    expect(error.message).toContain(
      `) closed its channel and was terminated by ${signal} while running task 1`,
    );
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
    expect(exitsIn(log)).toEqual([expect.objectContaining({ signal, reason: 'crashed' })]);
  });
});

describe('while the parent’s event loop is blocked', () => {
  const cell = new Int32Array(new SharedArrayBuffer(4));
  /** Does the same as `until`, but lets nothing else run. */
  const untilBlocking = (condition) => {
    for (let i = 0; i < 2_000; i += 1) {
      if (condition()) return true;
      Atomics.wait(cell, 0, 0, 5);
    }
    return false;
  };

  test("[B11] a worker that dies while the parent's event loop is blocked is reaped and replaced", async () => {
    const manager = pool({ ...quiet, maxWorkers: 1 });
    const log = record(manager);
    const before = childrenOf();
    const pid = await manager.run({ type: 'pid' });
    const task = failure(manager.run({ type: 'hang' }));
    await begun(log, 1);
    process.kill(pid, 'SIGKILL');
    expect(untilBlocking(() => processState(pid) === null)).toBe(true);
    const fresh = () => childrenOf().filter((child) => child !== pid && !before.includes(child));
    expect(untilBlocking(() => fresh().length === 1)).toBe(true);
    expect(log.filter(([event]) => event === 'exit')).toEqual([]);
    expect(await task).toMatchObject({ name: 'WorkerCrashedError', pid, signal: 'SIGKILL' });
    expect(await manager.run({ type: 'pid' })).toBe(fresh()[0]);
  });

  test.each(['exit(0)', 'SIGKILL'])(
    '[B6, B11] the result of a worker that died while the parent was blocked arrives before its exit (%s)',
    async (way) => {
      const manager = pool({ ...quiet, maxWorkers: 1 });
      const log = record(manager, ['result', 'error', 'exit']);
      const pid = await manager.run({ type: 'pid' });
      manager.distributeTask({ id: 1, type: 'after', data: { way, size: 200_000 } });
      expect(untilBlocking(() => processState(pid) === null)).toBe(true);
      expect(log).toEqual([]);
      await until(() => exitsIn(log).length === 1, 'the exit');
      expect(log.map(([event]) => event)).toEqual(['result', 'exit']);
    },
  );
});

test('[A13] a task that kills its worker again and again does not stop the other tasks', async () => {
  const manager = pool({ ...quiet });
  const poisoned = Array.from({ length: 4 }, () =>
    failure(manager.run({ type: 'at', data: 'SIGKILL' })),
  );
  const sound = Array.from({ length: 40 }, (_, data) => manager.run({ type: 'echo', data }));
  expect(await Promise.all(sound)).toHaveLength(40);
  for (const error of await Promise.all(poisoned))
    expect(error).toMatchObject({ name: 'WorkerCrashedError' });
  expect(manager.stats().tasks).toMatchObject({ accepted: 44, completed: 40, failed: 4 });
});
