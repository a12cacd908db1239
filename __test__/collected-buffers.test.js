// Has V8 collect Buffers early: their memory is reused while it is warm. A program that keeps its
// Buffers pays next to nothing, and no Buffer ever changes.

import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { program } from './support/harness.js';

const require = createRequire(import.meta.url);
const { Recycler } = require('../lib/platform/recycler.js');

const MEBIBYTE = 1024 * 1024;

/** Counts the collections of the young generation that were asked for, as those of a recycler. */
const COUNTER = `
  import { PerformanceObserver, constants } from 'node:perf_hooks';
  import { setImmediate as turn } from 'node:timers/promises';
  const { NODE_PERFORMANCE_GC_FLAGS_FORCED: FORCED, NODE_PERFORMANCE_GC_MINOR: MINOR } = constants;
  const entries = [];
  const observer = new PerformanceObserver((list) => entries.push(...list.getEntries()));
  observer.observe({ entryTypes: ['gc'] });
  async function collections() {
    // Entries arrive in a later turn of the event loop.
    await turn();
    await turn();
    entries.push(...observer.takeRecords());
    return entries.filter(({ detail }) => detail.kind === MINOR && detail.flags & FORCED).length;
  }`;

const WORKER = `
  ${COUNTER}
  const kept = [];
  let most = 0;
  const look = () => { most = Math.max(most, process.memoryUsage().external); };
  export const handlers = {
    echo: ({ data }) => { look(); return data; },
    keep: ({ data }) => { kept.push(data); return kept.length; },
    numbers: async () => ({ collections: await collections(), most, gc: typeof globalThis.gc }),
  };`;

/** A program with a pool. Its \`main\` prints JSON. */
const source = (main, options = '') => `
  ${COUNTER}
  import ProcessManager from 'bulkhead';
  const MEBIBYTE = 1024 * 1024;
  const worker = new URL('./worker.mjs', import.meta.url);
  const pool = new ProcessManager({ worker, maxWorkers: 1, ${options} });
  /** Bytes that differ from one number to the next. */
  const pattern = (number) => Buffer.alloc(MEBIBYTE, 'mark ' + number + ' of many, ');
  let most = 0;
  async function trip(data) {
    const back = await pool.run({ type: 'echo', data });
    most = Math.max(most, process.memoryUsage().external);
    return back;
  }
  ${main}
  await pool.shutdown();`;

async function play(text, options = {}) {
  const { code, stdout, stderr } = await program(text, {
    ...options,
    files: { 'worker.mjs': WORKER, ...options.files },
    timeout: 60_000,
  });
  expect({ code, stderr: options.warns ? '' : stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

const ECHOES = `
  const data = pattern(0);
  for (let i = 0; i < 200; i++) await trip(data);
  const inWorker = await pool.run({ type: 'numbers' });
  const here = { collections: await collections(), most, gc: typeof globalThis.gc };
  console.log(JSON.stringify({ here, inWorker }));`;

/** V8 collects by itself when 64 MiB have piled up. */
function expectEarly({ collections, most }) {
  expect(collections).toBeGreaterThan(2);
  expect(collections).toBeLessThan(60);
  expect(most).toBeLessThan(56 * MEBIBYTE);
}

describe('large Buffers', () => {
  test.each([
    ['a plain program', {}],
    ['--frozen-intrinsics', { nodeArgs: ['--frozen-intrinsics'], warns: true }],
    ['a worker thread', { inThread: true }],
  ])('are collected early in both processes: %s', async (_, { inThread, ...options }) => {
    const text = source(ECHOES);
    const thread = `import { Worker } from 'node:worker_threads'; new Worker(new URL('./thread.mjs', import.meta.url));`;
    const { here, inWorker } = inThread
      ? await play(thread, { files: { 'thread.mjs': text } })
      : await play(text, options);
    expectEarly(here);
    expectEarly(inWorker);
    expect([here.gc, inWorker.gc]).toEqual(['undefined', 'undefined']);
  });

  test('have one recycler for all pools of a thread', async () => {
    const { here } = await play(
      source(`
        const others = [1, 2].map(() => new ProcessManager({ worker, maxWorkers: 1 }));
        const data = pattern(0);
        for (let i = 0; i < 60; i++) {
          await trip(data);
          for (const other of others) await other.run({ type: 'echo', data });
        }
        const here = { collections: await collections(), most };
        for (const other of others) await other.shutdown();
        console.log(JSON.stringify({ here }));`),
    );
    expectEarly(here);
  });

  test('are left to V8 with collectBuffers: false', async () => {
    const { here, inWorker } = await play(source(ECHOES, 'collectBuffers: false'));
    expect(here.collections).toBe(0);
    expectEarly(inWorker);
  });

  test('that the program keeps cost few collections', async () => {
    const { here, inWorker } = await play(
      source(`
        const data = pattern(0);
        const kept = [];
        for (let i = 0; i < 200; i++) kept.push(await trip(data));
        for (let i = 0; i < 100; i++) await pool.run({ type: 'keep', data });
        const inWorker = await pool.run({ type: 'numbers' });
        console.log(JSON.stringify({ here: { collections: await collections() }, inWorker }));`),
    );
    // After 8 MiB, and 16, 32 and 64 MiB more.
    expect(here.collections).toBeGreaterThan(0);
    expect(here.collections).toBeLessThanOrEqual(5);
    expect(inWorker.collections).toBeLessThanOrEqual(30);
  });

  test('keep their bytes, however long the program holds them', async () => {
    const { wrong, here } = await play(
      source(`
        const held = new Map();
        let wrong = 0;
        for (let i = 0; i < 300; i++) {
          const back = await trip(pattern(i));
          if (!back.equals(pattern(i))) wrong++;
          if (i % 3 > 0) held.set(i, back);
          // Some are held for a few trips, some for many, some to the end.
          for (const [number, buffer] of held) {
            if (number % 5 === 0 || (i - number) * 7 < number) continue;
            if (!buffer.equals(pattern(number))) wrong++;
            held.delete(number);
          }
        }
        for (const [number, buffer] of held) if (!buffer.equals(pattern(number))) wrong++;
        console.log(JSON.stringify({ wrong, here: { collections: await collections() } }));`),
    );
    expect(wrong).toBe(0);
    expect(here.collections).toBeGreaterThan(0);
  });

  test('small Buffers cause no collection', async () => {
    const { here } = await play(
      source(`
        const data = Buffer.alloc(8 * 1024);
        await Promise.all(Array.from({ length: 4_000 }, () => trip(data)));
        console.log(JSON.stringify({ here: { collections: await collections() } }));`),
    );
    expect(here.collections).toBe(0);
  });
});

test.each([
  ['', 'undefined'],
  ['--expose-gc', 'function'],
])('new contexts have gc as before, with the flag %o', async (flag, type) => {
  const { before, after } = await play(
    source(`
      const { runInNewContext } = await import('node:vm');
      const before = runInNewContext('typeof gc');
      const data = pattern(0);
      for (let i = 0; i < 50; i++) await trip(data);
      console.log(JSON.stringify({ before, after: runInNewContext('typeof gc') }));`),
    { nodeArgs: flag === '' ? [] : [flag] },
  );
  expect([before, after]).toEqual([type, type]);
});

describe('Recycler', () => {
  /**
   * A recycler over a heap that is counted here. A collection frees the part `returns` of the new
   * bytes, which come back when `late` further MiB have been handed out.
   */
  function simulated(returns, late = 0) {
    const heap = { bytes: 0, fresh: 0, handedOut: 0, returns, collected: [] };
    let freed = [];
    const collect = () => {
      heap.collected.push(heap.handedOut);
      freed.push({ at: heap.handedOut + late, bytes: heap.fresh * heap.returns });
      heap.fresh = 0;
    };
    const recycler = new Recycler(
      () => heap.bytes,
      () => collect,
    );
    heap.handOut = (mebibytes) => {
      for (let i = 0; i < mebibytes; i++) {
        if (recycler.isDue) recycler.recycle();
        for (const { at, bytes } of freed) if (at <= heap.handedOut) heap.bytes -= bytes;
        freed = freed.filter(({ at }) => at > heap.handedOut);
        heap.bytes += MEBIBYTE;
        heap.fresh += MEBIBYTE;
        heap.handedOut += 1;
        recycler.count([{ length: MEBIBYTE }]);
      }
    };
    return heap;
  }

  test('collects after 8 MiB each time if the Buffers were dropped', () => {
    const heap = simulated(1);
    heap.handOut(100);
    expect(heap.collected.length).toBeGreaterThanOrEqual(11);
    expect(heap.bytes).toBeLessThanOrEqual(9 * MEBIBYTE);
  });

  test('knows that memory came back although other Buffers have taken it already', () => {
    const heap = simulated(1, 7);
    heap.handOut(200);
    expect(heap.collected.length).toBeGreaterThanOrEqual(24);
  });

  test('waits for twice as many bytes, up to 64 MiB, if they were kept', () => {
    const heap = simulated(0);
    heap.handOut(400);
    const gaps = heap.collected.map((at, index) => at - (heap.collected[index - 1] ?? 0));
    expect(gaps.slice(0, 4)).toEqual([8, 16, 32, 64]);
    expect(gaps.slice(4).every((gap) => gap === 64)).toBe(true);
  });

  test('comes down again when collections pay', () => {
    const heap = simulated(0);
    heap.handOut(300);
    const kept = heap.bytes;
    heap.returns = 1;
    heap.collected.length = 0;
    heap.handOut(400);
    const gaps = heap.collected.map((at, index) => at - heap.collected[index - 1]).slice(-10);
    expect(gaps.every((gap) => gap <= 9)).toBe(true);
    expect(heap.bytes - kept).toBeLessThan(64 * MEBIBYTE);
  });

  test('asks no further where V8 offers no such collection', () => {
    let prepared = 0;
    const prepare = () => {
      prepared++;
      return null;
    };
    let bytes = 0;
    const recycler = new Recycler(() => bytes, prepare);
    for (let i = 0; i < 100; i++) {
      bytes += MEBIBYTE;
      recycler.count([{ length: MEBIBYTE }]);
      if (recycler.isDue) recycler.recycle();
    }
    expect(prepared).toBe(1);
    expect(recycler.isDue).toBe(false);
  });
});
