// Workers that send more than this process takes: they wait, and other workers do not.

import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { failure, fixture, pool, program } from './support/harness.js';

const { BatchReader } = createRequire(import.meta.url)('../lib/pool/rows.js');
const FLOOD = fixture('flood.mjs');
const quiet = { worker: FLOOD, maxWorkers: 2 };
const MEBIBYTE = 2 ** 20;

/**
 * Blocks this thread until that number of tasks have ended in the pool. Their results cannot have
 * been read yet.
 */
function blockUntilEnded(manager, count) {
  const ended = () => {
    const { completed, failed, cancelled } = manager.stats().tasks;
    return completed + failed + cancelled;
  };
  while (ended() < count);
}

function block(span) {
  const end = performance.now() + span;
  while (performance.now() < end);
}

describe('a worker that sends messages without end', () => {
  test('[D5] a flood of messages does not delay what another worker sends', async () => {
    const manager = pool(quiet);
    await manager.startWorkers();
    let heard = 0;
    manager.on('message', (message) => {
      heard += 'n' in message ? 1 : 0;
    });
    const flood = failure(manager.run({ type: 'messages' }));
    await new Promise((resolve) => manager.once('message', resolve));
    // Enough time for the worker to send as much as it can.
    block(1_000);
    const others = Array.from({ length: 5 }, (_, data) => manager.run({ type: 'echo', data }));
    blockUntilEnded(manager, 5);
    const before = heard;
    expect(await Promise.all(others)).toEqual([0, 1, 2, 3, 4]);
    // Two batches, and what was in transit.
    expect(heard - before).toBeLessThan(4 * 1024);
    await manager.terminate();
    expect(await flood).toMatchObject({ code: 'ERR_POOL_CLOSED' });
    // All of its earlier messages, in order.
    expect(heard).toBeGreaterThan(0);
  });

  test("all messages of a flooding worker that dies, and its retry, come before its task's next result", async () => {
    const manager = pool({ ...quiet, minWorkers: 2, retries: 1, retryDelay: 0, stdio: 'ignore' });
    await manager.startWorkers();
    const told = [];
    manager.on('message', (message) => {
      if ('n' in message) told.push(message.n);
    });
    manager.on('retry', ({ attempt }) => told.push(`retry ${attempt}`));
    manager.on('result', ({ result }) => told.push(`result ${result}`));
    manager.distributeTask({ type: 'dies', data: 5_000 });
    blockUntilEnded(manager, 1);
    await new Promise((resolve) => manager.once('result', resolve));
    expect(told).toEqual([...Array(5_000).keys(), 'retry 2', 'result 2']);
  });

  test('[D5] a flood of messages and one of unread progress both keep their order', async () => {
    const manager = pool(quiet);
    const seen = [];
    manager.on('progress', (value) => seen.push(value));
    const controller = new AbortController();
    const flood = failure(manager.run({ type: 'progress' }, { signal: controller.signal }));
    await new Promise((resolve) => manager.once('progress', resolve));
    block(500);
    controller.abort();
    expect(await flood).toMatchObject({ code: 'ABORT_ERR' });
    expect(seen.length).toBeGreaterThan(1024);
    expect(seen.every((value, index) => value === index)).toBe(true);
  });

  test('[D5] a flood of messages takes bounded memory, although the main thread is blocked most of the time', async () => {
    const { code, stdout, stderr } = await program(
      `
      import ProcessManager from 'bulkhead';
      const manager = new ProcessManager(${JSON.stringify({ worker: FLOOD, minWorkers: 3, maxWorkers: 3 })});
      let heard = 0;
      manager.on('message', () => heard++);
      await manager.startWorkers();
      const floods = [1, 2].map(() => manager.run({ type: 'messages' }).catch(({ code }) => code));
      while (heard === 0) await new Promise(setImmediate);
      const before = process.memoryUsage.rss();
      let most = before;
      for (let round = 0; round < 15; round++) {
        for (const end = performance.now() + 300; performance.now() < end; );
        const echoed = await manager.run({ type: 'echo', data: round });
        if (echoed !== round) throw new Error(echoed);
        most = Math.max(most, process.memoryUsage.rss());
      }
      const asked = performance.now();
      const report = await manager.shutdown({ timeout: 100 });
      console.log(JSON.stringify({ grown: most - before, heard, report, floods: await Promise.all(floods) }));`,
      { timeout: 60_000 },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { grown, heard, report, floods } = JSON.parse(stdout);
    expect(heard).toBeGreaterThan(0);
    // Two budgets of 16 MiB, and room for garbage in the heap.
    expect(grown).toBeLessThan(200 * MEBIBYTE);
    expect(floods).toEqual(['ERR_POOL_CLOSED', 'ERR_POOL_CLOSED']);
    expect(report).toEqual({ completed: 0, rejected: 2, killed: 3 });
  }, 90_000);
});

test('[G26] more outcomes at once than one batch holds all arrive', async () => {
  const manager = pool({ ...quiet, maxWorkers: 1 });
  const controller = new AbortController();
  const running = failure(manager.run({ type: 'progress' }, { signal: controller.signal }));
  await new Promise((resolve) => manager.once('progress', resolve));
  const waiting = Array.from({ length: 5_000 }, (_, data) =>
    failure(manager.run({ type: 'echo', data })),
  );
  await manager.terminate();
  expect(await running).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: true });
  for (const error of await Promise.all(waiting)) {
    expect(error).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: false });
  }
});

describe('a worker that prints without end', () => {
  test.each([
    ['to standard output, without a listener,', { fd: 1, size: 1024 }, false],
    ['to standard error, without a listener,', { fd: 2, size: 1024 }, false],
    ['to standard output, with a listener,', { fd: 1, size: 1024 }, true],
  ])(
    '[D4] a flood of output %s is read, takes bounded memory, and the result arrives',
    async (_title, data, listens) => {
      const { code, stdout, stderr } = await program(
        `
        import ProcessManager from 'bulkhead';
        const options = ${JSON.stringify({ worker: FLOOD, minWorkers: 2, maxWorkers: 2, stdio: 'pipe' })};
        const manager = new ProcessManager(options);
        let heard = 0;
        if (${listens}) for (const stream of ['stdout', 'stderr']) manager.on(stream, ({ length }) => { heard += length; });
        await manager.startWorkers();
        const before = process.memoryUsage.rss();
        let most = before;
        const watch = setInterval(() => { most = Math.max(most, process.memoryUsage.rss()); }, 5);
        const printed = manager.run({ type: 'print', data: ${JSON.stringify(data)} });
        const echoed = await manager.run({ type: 'echo', data: 'meanwhile' });
        const result = await printed;
        clearInterval(watch);
        await manager.shutdown();
        console.log(JSON.stringify({ grown: most - before, heard, result, echoed }));`,
        { timeout: 90_000 },
      );
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { grown, heard, result, echoed } = JSON.parse(stdout);
      expect([result, echoed]).toEqual([data.size, 'meanwhile']);
      expect(heard).toBe(listens ? data.size * MEBIBYTE : 0);
      // The output is five times as large.
      expect(grown).toBeLessThan(200 * MEBIBYTE);
    },
    120_000,
  );
});

test('large results arrive one after the other, each unchanged', async () => {
  const manager = pool(quiet);
  const results = await Promise.all(
    Array.from({ length: 12 }, () => manager.run({ type: 'large', data: 20 })),
  );
  for (const result of results) expect(result.equals(Buffer.alloc(20 * MEBIBYTE, 1))).toBe(true);
}, 60_000);

describe('a batch whose rows take long', () => {
  const ROWS = 300;

  test.each([
    ['in their listeners', (spend) => spend()],
    ['in code behind an await', (spend) => void Promise.resolve().then(spend)],
  ])(
    '[G26] a batch whose rows take long (%s) is delivered over many turns, and no other is taken meanwhile',
    async (_, deliver) => {
      const rows = [];
      /** The turn of the event loop in which each row was delivered. */
      const turns = [];
      let turn = 0;
      const batches = new BatchReader(
        (_, value) => {
          rows.push(value);
          turns.push(turn);
          deliver(() => block(1));
        },
        () => {},
      );
      const values = Array.from({ length: ROWS }, (_, index) => index);
      let drained = 0;
      batches.attach({
        drain: () => {
          drained += 1;
          if (drained === 1) return [ROWS, JSON.stringify(values), [], []];
          expect(rows).toHaveLength(ROWS);
          return drained === 2 ? [2, '["next","last"]', [], []] : null;
        },
        rearm: () => drained < 2,
      });
      batches.onBatch();
      while (drained < 2 || rows.length < ROWS + 2) {
        await new Promise((resolve) => setImmediate(resolve));
        turn += 1;
      }
      expect(rows).toEqual([...values, 'next', 'last']);
      // Rows of a millisecond: in the end one in each turn.
      expect(new Set(turns.slice(-100)).size).toBeGreaterThan(40);
    },
  );
});
