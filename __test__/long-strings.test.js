// Long strings arrive unchanged and are strings like any other, although their text may be in
// memory of bulkhead. They take the memory that they need, for as long as they are used.

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { failure, moduleFile, PROC, pool, program } from './support/harness.js';

/** The length from which on a string travels as raw bytes. */
const LONG = 32 * 1024;
/** The size (bytes) from which on a string uses the memory of its bytes. */
const EXTERNAL = 256 * 1024;
const MEBIBYTE = 2 ** 20;

/** Characters of each kind that V8 or the wire treats in its own way. */
const ALPHABETS = {
  ASCII: ['a', 'Z', '0', ' ', '"', '\\', '\n', '\u0000', '\u007f'],
  'Latin-1': ['é', 'ÿ', '\u0080', '\u00ff', 'x'],
  'two bytes': ['ж', '中', '\u0100', '\u2028', '\uffff', 'x'],
  'surrogate pairs': ['😀', '𝄞', 'x'],
  'lone surrogates': ['\ud800', '\udfff', '\udbff', 'x', '😀'],
};

/** The code with which each side looks at a string, so that they can be compared. */
const LOOK = `
  (text) => ({
    length: text.length,
    hash: createHash('sha256').update(Buffer.from(text, 'utf16le')).digest('hex'),
    utf8: createHash('sha256').update(Buffer.from(text)).digest('hex'),
    bytes: Buffer.byteLength(text),
    json: createHash('sha256').update(JSON.stringify([text])).digest('hex'),
    around: (text.slice(1, 9) + text.at(-1) + ('<' + text + '>').slice(-9)).split(''),
    found: [text.search(/x/u), text.indexOf('x'), text.replace(/./gsu, '').length],
    cloned: structuredClone({ text }).text === text,
    key: Object.keys({ [text]: 1 })[0] === text && new Map([[text, 1]]).has(text.slice(0, 9) + text.slice(9)),
    whole: text.isWellFormed(),
  })`;
const look = new Function('createHash', `return (${LOOK})`)(createHash);

const worker = moduleFile(`
  import { createHash } from 'node:crypto';
  const look = ${LOOK};
  export const handlers = {
    echo: ({ data }) => data,
    look: ({ data }) => look(data),
    both: ({ data }) => ({ text: data, seen: look(data) }),
    everywhere({ data }, { send, progress }) {
      send(data);
      progress(data);
      return data;
    },
    values: async function* ({ data }) {
      yield data;
      yield [data];
    },
    throw({ data }) {
      throw Object.assign(new Error('on purpose'), { data });
    },
    die: () => process.kill(process.pid, 'SIGKILL'),
  };`);

describe.each(Object.entries(ALPHABETS))('long strings of %s', (_, alphabet) => {
  let manager;
  beforeEach(() => {
    manager = pool({ worker, maxWorkers: 1 });
  });

  test('[F7] any text of any length arrives unchanged in both directions, and is a string like any other', async () => {
    const lengths = fc.oneof(
      fc.integer({ min: LONG - 3, max: LONG + 3 }),
      fc.integer({ min: EXTERNAL - 3, max: EXTERNAL + 3 }),
      fc.integer({ min: EXTERNAL / 2 - 3, max: EXTERNAL / 2 + 3 }),
      fc.integer({ min: 0, max: 2 * EXTERNAL }),
    );
    const piece = fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 99 });
    const property = fc.asyncProperty(piece, lengths, fc.nat(), async (characters, length, at) => {
      const long = characters.join('').repeat(Math.ceil(length / characters.length));
      const text = `${long.slice(0, at % (length + 1))}${long}`.slice(0, length);
      const { text: back, seen } = await manager.run({ type: 'both', data: text });
      expect(back === text).toBe(true);
      expect(seen).toEqual(look(text));
      expect(look(back)).toEqual(seen);
    });
    await fc.assert(property, { numRuns: 60 });
  });

  test('several strings beside other data, in messages, progress, values and errors', async () => {
    const long = alphabet
      .join('')
      .repeat(EXTERNAL)
      .slice(0, EXTERNAL + 1);
    const data = {
      [long]: long,
      list: [long, Buffer.from('x'), `${long.slice(0, LONG)}!`],
      short: 'x',
      none: '',
    };
    const seen = [];
    manager.on('message', (message) => seen.push(message));
    manager.on('progress', (value) => seen.push(value));
    expect(await manager.run({ type: 'everywhere', data })).toEqual(data);
    expect(seen.slice(0, 2)).toEqual([data, data]);
    const values = [];
    for await (const value of manager.stream({ type: 'values', data })) values.push(value);
    expect(values).toEqual([data, [data]]);
    const part = long.slice(0, LONG);
    expect(await failure(manager.run({ type: 'throw', data: part }))).toMatchObject({ data: part });
  });
});

test('strings outlive the worker that sent them', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const texts = [...'abc'].map((letter) => letter.repeat(MEBIBYTE));
  const kept = await Promise.all(texts.map((data) => manager.run({ type: 'echo', data })));
  const dying = failure(manager.run({ type: 'die' }));
  expect(await dying).toMatchObject({ code: 'ERR_WORKER_CRASHED' });
  kept.push(await manager.run({ type: 'echo', data: 'd'.repeat(MEBIBYTE) }));
  expect(kept.map((text, index) => text === 'abcd'[index].repeat(MEBIBYTE))).toEqual([
    true,
    true,
    true,
    true,
  ]);
});

/** Runs a program that keeps strings, and returns what it printed. */
async function measured(code, files = {}) {
  const { signal, stdout, stderr, ...how } = await program(
    `
    import { readFileSync } from 'node:fs';
    import ProcessManager from 'bulkhead';
    const MEBIBYTE = ${MEBIBYTE};
    const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
    const echo = (data) => pool.run({ type: 'echo', data });
    const rss = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
    async function collect() {
      for (let i = 0; i < 3; i++) {
        globalThis.gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    ${code}
    await pool.shutdown();`,
    { nodeArgs: ['--expose-gc'], timeout: 100_000, files },
  );
  expect({ code: how.code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}

/** The most memory (MiB) that a process keeps for the next bytes. */
const KEPT_FOR_REUSE = 64;

describe.skipIf(process.platform !== 'linux')('memory of long strings', () => {
  test('strings that are kept take their size, outside of the heap, and give it back', {
    timeout: 120_000,
  }, async () => {
    const { grown, external, heap, left } = await measured(`
      const text = 'x'.repeat(MEBIBYTE);
      await echo(text);
      await collect();
      const before = rss();
      const usage = process.memoryUsage();
      let kept = [];
      for (let i = 0; i < 400; i++) kept.push(await echo(text));
      await collect();
      const grown = rss() - before;
      const now = process.memoryUsage();
      kept = null;
      await collect();
      console.log(JSON.stringify({
        grown,
        external: (now.external - usage.external) / MEBIBYTE,
        heap: (now.heapUsed - usage.heapUsed) / MEBIBYTE,
        left: rss() - before,
      }));`);
    expect(grown).toBeGreaterThan(390);
    expect(grown).toBeLessThan(400 * 1.1 + KEPT_FOR_REUSE + 20);
    expect(external).toBeGreaterThan(399);
    expect(heap).toBeLessThan(5);
    expect(left).toBeLessThan(KEPT_FOR_REUSE + 20);
  });

  test('a string keeps no larger memory alive than its own', { timeout: 120_000 }, async () => {
    const grown = await measured(`
      await echo('x'.repeat(1_000_000));
      await collect();
      const before = rss();
      const kept = [];
      for (let i = 0; i < 300; i++) {
        // Larger strings leave memory behind, which is used again.
        await echo('x'.repeat(1_000_000));
        if (i % 10 === 0) await collect();
        kept.push(await echo('y'.repeat(510_000)));
        kept.push((await echo(['y'.repeat(${LONG}), 'y'.repeat(100_000)]))[0]);
      }
      await collect();
      console.log(JSON.stringify(rss() - before));
      if (kept.some((text) => text[0] !== 'y' || text.at(-1) !== 'y')) process.exit(1);`);
    // 146 and 9 MiB are kept.
    expect(grown).toBeLessThan((146 + 9) * 1.1 + KEPT_FOR_REUSE + 20);
  });

  test('strings that are dropped are collected in time', { timeout: 120_000 }, async () => {
    const peaks = await measured(`
      const peaks = [];
      for (const text of ['x'.repeat(MEBIBYTE), 'ж'.repeat(MEBIBYTE / 2)]) {
        let peak = 0;
        for (let i = 0; i < 1500; i++) {
          await echo(text);
          peak = Math.max(peak, rss());
        }
        peaks.push(peak, pool.workers[0].rss / MEBIBYTE);
      }
      console.log(JSON.stringify(peaks));`);
    // Three gigabytes there and back.
    for (const peak of peaks) expect(peak).toBeLessThan(400);
  });
});

test.each(['its end', 'terminate()', 'process.exit()'])(
  '[H10] a thread ends with living strings by %s, and those that it has posted live on',
  { timeout: 120_000 },
  async (how) => {
    const thread = `
      import { parentPort } from 'node:worker_threads';
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
      globalThis.kept = [];
      for (const letter of 'xж') {
        for (let i = 0; i < 20; i++) {
          globalThis.kept.push(await pool.run({ type: 'echo', data: letter.repeat(300_000 + i) }));
        }
      }
      parentPort.postMessage(globalThis.kept);
      if (${JSON.stringify(how)} === 'its end') await pool.shutdown();
      if (${JSON.stringify(how)} === 'process.exit()') process.exit();
      if (${JSON.stringify(how)} === 'terminate()') pool.ref();`;
    const main = `
      import { once } from 'node:events';
      import { setTimeout as sleep } from 'node:timers/promises';
      import { Worker } from 'node:worker_threads';
      import { childrenOf } from ${PROC};
      const seen = [];
      // This thread never loads the addon, so Node closes it with each of these threads.
      for (let round = 0; round < 4; round++) {
        const worker = new Worker(new URL('./thread.mjs', import.meta.url));
        const ended = once(worker, 'exit');
        const [texts] = await once(worker, 'message');
        if (${JSON.stringify(how)} === 'terminate()') await worker.terminate();
        await ended;
        globalThis.gc();
        seen.push(texts.every((text, i) => text === (i < 20 ? 'x' : 'ж').repeat(300_000 + (i % 20))));
      }
      while (childrenOf().length > 0) await sleep(5);
      console.log(JSON.stringify(seen));`;
    const { code, signal, stdout, stderr } = await program(main, {
      files: { 'thread.mjs': thread },
      nodeArgs: ['--expose-gc'],
      timeout: 100_000,
    });
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
    expect(JSON.parse(stdout)).toEqual([true, true, true, true]);
  },
);
