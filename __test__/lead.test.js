// JavaScript's thread reads the replies to lone short tasks itself. Whatever happens while it does,
// or while it is blocked and cannot, every task ends as if the supervisor had read.

import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, test } from 'vitest';
import { failure, fixture, isGone, PROC, pool, program, record, until } from './support/harness.js';
import { descriptors, ledChannels } from './support/proc.mjs';

const worker = fixture('stuck.mjs');
const crashing = fixture('basic.mjs');
const cell = new Int32Array(new SharedArrayBuffer(4));

const block = (ms) => Atomics.wait(cell, 0, 0, ms);

/**
 * Runs lone tasks until JavaScript's thread leads `count` workers. Returns a function that tells
 * how many it leads.
 */
async function lead(manager, count = 1) {
  await manager.run({ type: 'echo', data: 0 });
  const led = ledChannels();
  const deadline = Date.now() + 20_000;
  do {
    const tasks = Array.from({ length: count }, (_, data) => manager.run({ type: 'echo', data }));
    expect(await Promise.all(tasks)).toEqual([...tasks.keys()]);
    if (Date.now() > deadline) throw new Error('JavaScript does not lead');
  } while (led() < count);
  return led;
}

/** The part of a program that makes a `pool` and runs lone tasks until it is led. */
const LEAD = `
    const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
    await pool.run({ type: 'echo', data: 1 });
    const led = ledChannels();
    while (led() === 0) await pool.run({ type: 'echo', data: 1 });`;

/** Does the same as `until`, but lets nothing else run. */
function untilBlocking(condition, patience = 10_000) {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > patience) throw new Error('waited in vain');
    block(1);
  }
}

test('lead: lone short tasks are led, and an idle pool is not for long', async () => {
  const manager = pool({ worker });
  const before = descriptors();
  const led = await lead(manager);
  await until(() => led() === 0, 'the supervisor has taken over');
  // Two workers, each with its channel, its page, its process and its output.
  expect(descriptors() - before).toBeLessThanOrEqual(2 * 6);
});

test('lead: tasks of a millisecond are not led', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const led = await lead(manager);
  for (let round = 0; round < 5; round++) await manager.run({ type: 'busy', data: 2 });
  for (let round = 0; round < 50; round++) {
    await manager.run({ type: 'busy', data: 1 });
    expect(led()).toBe(0);
  }
});

test('lead: a queue of tasks is not led', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const led = await lead(manager);
  const tasks = Array.from({ length: 20_000 }, (_, data) => manager.run({ type: 'echo', data }));
  await tasks[10_000];
  expect(led()).toBe(0);
  expect(await Promise.all(tasks)).toEqual([...tasks.keys()]);
});

test('lead: a task ends while the main thread that leads is blocked, and the next one is sent', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  for (let round = 0; round < 20; round++) {
    await lead(manager);
    const done = manager.stats().tasks.completed;
    const tasks = [1, 2, 3].map((data) => manager.run({ type: 'echo', data }));
    untilBlocking(() => manager.stats().tasks.completed === done + 3);
    expect(await Promise.all(tasks)).toEqual([1, 2, 3]);
  }
});

test('lead: a task that ends in time does not time out because the main thread is blocked', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  for (let round = 0; round < 5; round++) {
    await lead(manager);
    const task = manager.run({ type: 'echo', data: round }, { timeout: 100 });
    block(300);
    expect(await task).toBe(round);
  }
});

test('lead: a task times out while the main thread that leads is blocked', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const pid = await manager.run({ type: 'pid' });
  await lead(manager);
  const task = failure(manager.run({ type: 'loop' }, { timeout: 100 }));
  untilBlocking(() => isGone(pid));
  expect((await task).name).toBe('TaskTimeoutError');
});

test('lead: a worker that dies while it is led costs only its task', async () => {
  const manager = pool({ worker: crashing, maxWorkers: 1 });
  for (const type of ['kill', 'exit', 'kill']) {
    await lead(manager);
    expect((await failure(manager.run({ type }))).name).toBe('WorkerCrashedError');
    expect(await manager.run({ type: 'echo', data: type })).toBe(type);
  }
});

test('lead: a worker that dies idle while it is led is replaced', async () => {
  const manager = pool({ worker: crashing, maxWorkers: 1 });
  const log = record(manager, ['exit']);
  const pid = await manager.run({ type: 'pid' });
  await lead(manager);
  process.kill(pid, 'SIGKILL');
  await until(() => log.length === 1, 'its exit');
  expect(await manager.run({ type: 'pid' })).not.toBe(pid);
});

test.each(['shutdown', 'terminate'])('lead: %s() ends a pool that is led', async (end) => {
  const manager = pool({ worker });
  const led = await lead(manager);
  const task = manager.run({ type: 'echo', data: 7 });
  // The reply waits in the channel.
  block(20);
  await manager[end]();
  expect(await task).toBe(7);
  expect(led()).toBe(0);
});

test('lead: a reply that JavaScript has not read yet comes before the end of its task', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  for (let round = 0; round < 20; round++) {
    await lead(manager);
    const abort = new AbortController();
    const task = manager.run({ type: 'echo', data: round }, { signal: abort.signal });
    const end = performance.now() + 1;
    while (performance.now() < end);
    abort.abort();
    // The task may have ended or not, but the pool goes on in either case.
    await task.catch((error) => expect(error.name).toBe('AbortError'));
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
  }
});

test('lead: many pools of one process are led side by side', async () => {
  const pools = Array.from({ length: 6 }, () => pool({ worker, maxWorkers: 1 }));
  await Promise.all(pools.map((manager) => manager.startWorkers()));
  const led = ledChannels();
  const deadline = Date.now() + 20_000;
  do {
    await Promise.all(pools.map((manager) => manager.run({ type: 'echo', data: 1 })));
  } while (led() < 2 && Date.now() < deadline);
  expect(Date.now()).toBeLessThan(deadline);
  await Promise.all(pools.map((manager) => manager.shutdown()));
  expect(led()).toBe(0);
});

test('lead: events have the async context of the pool, and promises that of their call', async () => {
  const storage = new AsyncLocalStorage();
  const manager = storage.run('pool', () => pool({ worker, maxWorkers: 1 }));
  const contexts = new Set();
  manager.on('result', () => contexts.add(storage.getStore()));
  await lead(manager);
  for (let round = 0; round < 10; round++) {
    await storage.run(round, async () => {
      await manager.run({ type: 'echo', data: round });
      expect(storage.getStore()).toBe(round);
    });
    const ended = new Promise((resolve) => manager.once('result', resolve));
    storage.run('caller', () => manager.distributeTask({ type: 'echo', data: round }));
    await ended;
  }
  expect(contexts.size).toBe(1);
});

test('lead: a program ends as soon as its results are there', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    import { ledChannels } from ${PROC};
    ${LEAD}
    pool.run({ type: 'echo', data: 'last' }).then(console.log);`;
  expect(await program(source)).toMatchObject({ code: 0, stdout: 'last\n', stderr: '' });
});

test('lead: a pool is collected while it is led, and leaves nothing behind', async () => {
  const source = `
    import { setTimeout as sleep } from 'node:timers/promises';
    import ProcessManager from 'bulkhead';
    import { childrenOf, descriptors, ledChannels } from ${PROC};
    const warm = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
    await warm.run({ type: 'echo', data: 1 });
    await warm.shutdown();
    await sleep(50);
    const before = descriptors();
    process.on('warning', () => {});
    await (async () => {
      ${LEAD}
    })();
    const end = Date.now() + 20_000;
    while ((childrenOf().length > 0 || descriptors() > before) && Date.now() < end) {
      globalThis.gc();
      await sleep(5);
    }
    console.log(childrenOf().length, descriptors() - before);`;
  const { code, stdout } = await program(source, {
    nodeArgs: ['--expose-gc', '--no-warnings'],
  });
  expect({ code, stdout }).toEqual({ code: 0, stdout: '0 0\n' });
});

test('lead: a thread that is terminated while it leads leaves nothing behind', async () => {
  const thread = `
    import { parentPort } from 'node:worker_threads';
    import ProcessManager from 'bulkhead';
    import { ledChannels } from ${PROC};
    ${LEAD}
    parentPort.postMessage('leads');
    for (;;) await pool.run({ type: 'echo', data: 1 });`;
  const main = `
    import { once } from 'node:events';
    import { setTimeout as sleep } from 'node:timers/promises';
    import { Worker } from 'node:worker_threads';
    import { childrenOf, descriptors } from ${PROC};
    const counts = [];
    for (let round = 0; round < 8; round++) {
      const worker = new Worker(new URL('./thread.mjs', import.meta.url));
      await once(worker, 'message');
      await worker.terminate();
      const end = Date.now() + 20_000;
      while (childrenOf().length > 0 && Date.now() < end) await sleep(5);
      counts.push(descriptors());
    }
    // The first round starts the supervisor.
    const grown = counts.at(-1) - counts[1];
    console.log(JSON.stringify([childrenOf().length, grown]));`;
  const result = await program(main, { files: { 'thread.mjs': thread }, timeout: 60_000 });
  expect(result).toMatchObject({ code: 0, stdout: '[0,0]\n', stderr: '' });
});
