// Large raw bytes and long strings go through shared memory. They arrive unchanged, whichever
// process dies meanwhile and however long they are kept, and also where there is no such memory.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { failure, moduleFile, pool, program, project, record } from './support/harness.js';

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;

const worker = moduleFile(`
  import { setTimeout as sleep } from 'node:timers/promises';
  const kept = [];
  export const handlers = {
    echo: ({ data }) => data,
    everywhere({ data }, { send, progress }) {
      send(data);
      progress(data);
      return data;
    },
    // Returns what an earlier task has brought.
    keep({ data }) {
      kept.push(data);
      return kept[kept.length >> 1];
    },
    sum: ({ data }) => data.reduce((sum, byte) => (sum + byte) % 65521, 0),
    late: ({ data }) => sleep(1).then(() => data),
    die({ data }) {
      process.kill(process.pid, 'SIGKILL');
    },
  };`);

/** Bytes that differ from place to place, and from one seed to the next. */
function pattern(length, seed = 1) {
  const bytes = Buffer.alloc(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (state * 1_103_515_245 + 12_345) & 0x7fffffff;
    bytes[i] = state >> 16;
  }
  return bytes;
}

/** Sizes around those at which another path is taken. */
const SIZES = [
  0,
  1,
  1000,
  ...[32 * KIBIBYTE, 64 * KIBIBYTE, MEBIBYTE, 8 * MEBIBYTE].flatMap((n) => [n - 1, n, n + 1]),
];

describe.each(['json', 'advanced'])('serialization: %s', (serialization) => {
  let manager;
  beforeEach(() => {
    manager = pool({ worker, serialization, maxWorkers: 1 });
  });

  test('bytes of all sizes come back unchanged', { timeout: 60_000 }, async () => {
    for (const size of [...SIZES, 20 * MEBIBYTE]) {
      const data = pattern(size);
      const back = await manager.run({ type: 'echo', data });
      expect(Buffer.isBuffer(back) && back.equals(data), `${size} bytes`).toBe(true);
    }
  });

  test('several bytes of different types in one task come back, next to other data', async () => {
    const data = {
      first: pattern(100 * KIBIBYTE),
      list: [new Float64Array(50_000).fill(0.5), 'x'.repeat(MEBIBYTE), null],
      small: pattern(10),
      text: 'é'.repeat(100_000),
    };
    const back = await manager.run({ type: 'echo', data });
    expect(back.first.equals(data.first) && back.small.equals(data.small)).toBe(true);
    expect(back.list[0]).toEqual(data.list[0]);
    expect([back.list[1] === data.list[1], back.list[2], back.text === data.text]).toEqual([
      true,
      null,
      true,
    ]);
  });

  test('bytes in messages and progress arrive in their order', async () => {
    const log = record(manager);
    const data = pattern(300 * KIBIBYTE);
    const back = await manager.run({ type: 'everywhere', data });
    const told = log
      .filter(([event]) => event === 'message' || event === 'progress')
      .map(([event, value]) => [event, value]);
    expect(told.map(([event]) => event)).toEqual(['message', 'progress', 'message']);
    expect(
      [told[0][1], told[1][1], told[2][1].result, back].every((bytes) => bytes.equals(data)),
    ).toBe(true);
  });

  test('many bytes at a time, more than shared memory has room for, arrive', async () => {
    const all = Array.from({ length: 60 }, (_, index) => pattern(500 * KIBIBYTE + index, index));
    const back = await Promise.all(all.map((data) => manager.run({ type: 'late', data })));
    expect(back.every((bytes, index) => bytes.equals(all[index]))).toBe(true);
  });

  test('prefetched bytes of a worker that dies arrive whole at the next', async () => {
    const all = Array.from({ length: 40 }, (_, index) => pattern(40 * KIBIBYTE, index));
    // The tasks are known to be short, and are prefetched.
    for (let i = 0; i < 20; i++) await manager.run({ type: 'echo', data: all[0] });
    const dying = failure(manager.run({ type: 'die', data: all[0] }));
    const back = await Promise.all(all.map((data) => manager.run({ type: 'echo', data })));
    expect(await dying).toMatchObject({ code: 'ERR_WORKER_CRASHED', signal: 'SIGKILL' });
    expect(back.every((bytes, index) => bytes.equals(all[index]))).toBe(true);
  });
});

test.each([
  ['ASCII', 'plain text, and \u0000 and \u007f'],
  ['one character of another kind', `${'x'.repeat(40_000)}\u0080`],
  ['Latin-1', 'ÿ é '],
  ['characters of two units', '😀 𝄞'],
  ['lone surrogates', '\ud800 and \udfff'],
  ['what JSON escapes', '"\\\n\u2028'],
])('long strings arrive unchanged: %s', async (_, text) => {
  const manager = pool({ worker, maxWorkers: 1 });
  const long = text.repeat(Math.ceil(50_000 / text.length));
  for (const data of [
    long,
    [long],
    { [long]: long },
    'short',
    long.slice(0, 32_767),
    long.slice(0, 32_768),
  ]) {
    expect(await manager.run({ type: 'echo', data })).toEqual(data);
  }
  // The task itself.
  expect(await pool({ maxWorkers: 1 }).run({ data: long })).toBe(long);
});

test('a result that was written survives its worker', async () => {
  const data = pattern(3 * MEBIBYTE);
  const env = { ...process.env, BULKHEAD_FAIL_POINT: 'result SIGKILL' };
  const manager = pool({ worker, maxWorkers: 1, env });
  for (let round = 0; round < 5; round++) {
    expect((await manager.run({ type: 'echo', data })).equals(data)).toBe(true);
  }
});

test('bytes that are kept stay unchanged, on both sides, whatever is collected meanwhile', {
  timeout: 120_000,
}, async () => {
  const { code, stdout, stderr } = await program(
    `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 2, execArgv: ['--expose-gc'] });
    const make = (index) => Buffer.alloc(200_000 + index, index);
    const same = (bytes) => bytes.every((byte) => byte === (bytes.length - 200_000) % 256);
    const kept = [];
    let wrong = 0;
    for (let round = 0; round < 30; round++) {
      const tasks = Array.from({ length: 20 }, (_, index) => pool.run({ type: 'keep', data: make(round * 20 + index) }));
      const results = await Promise.all(tasks);
      // Some are released, and their memory is used again.
      kept.push(...results.filter((_, index) => index % 3 === 0));
      globalThis.gc();
      await new Promise((resolve) => setImmediate(resolve));
      wrong += kept.filter((bytes) => !same(bytes)).length;
    }
    // Collected or not, they are ours, and may be written to.
    for (const bytes of kept) bytes.fill(0);
    wrong += (await pool.run({ type: 'echo', data: make(77) })).equals(make(77)) ? 0 : 1;
    console.log(JSON.stringify({ wrong, kept: kept.length }));
    await pool.shutdown();`,
    { nodeArgs: ['--expose-gc'], timeout: 100_000 },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual({ wrong: 0, kept: 210 });
});

test.skipIf(process.platform !== 'linux')(
  'memory does not grow with the bytes that have passed through it',
  async () => {
    const { code, stdout, stderr } = await program(
      `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
    const data = Buffer.alloc(1_000_000, 7);
    const rss = () => { globalThis.gc(); return process.memoryUsage.rss() + pool.workers[0].rss; };
    const pass = async (count) => { for (let i = 0; i < count; i++) await pool.run({ type: 'echo', data }); };
    await pass(300);
    const before = rss();
    await pass(1500);
    console.log(JSON.stringify({ grown: rss() - before }));
    await pool.shutdown();`,
      { nodeArgs: ['--expose-gc'], timeout: 100_000 },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    // A gigabyte and a half each way.
    expect(JSON.parse(stdout).grown).toBeLessThan(150 * MEBIBYTE);
  },
);

test.skipIf(process.platform !== 'linux').each([
  ['no memory may be shared', 100],
  ['too little for raw bytes', 1000],
])('bytes arrive where the limit on the size of files leaves %s', async (_, blocks) => {
  const folder = project({
    'main.mjs': `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 2 });
      const data = Buffer.alloc(1_000_000, 7);
      const back = await Promise.all(Array.from({ length: 20 }, () => pool.run({ type: 'echo', data })));
      console.log(back.filter((bytes) => bytes.equals(data)).length);
      await pool.shutdown();`,
  });
  const limited = [
    '-c',
    `ulimit -f ${blocks} && exec "$0" "$1"`,
    process.execPath,
    join(folder, 'main.mjs'),
  ];
  expect(execFileSync('sh', limited, { encoding: 'utf8', timeout: 60_000 })).toBe('20\n');
});
