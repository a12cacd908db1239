// Workers that use their channel and their shared memory against the pool; fixtures/hostile.py has
// what they do. In each case the worker is killed, its task ends with ProtocolError, and a task of
// another worker is not affected.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PoolBrokenError, ProtocolError } from '../index.mjs';
import {
  failure,
  fixture,
  isGone,
  moduleFile,
  pool,
  project,
  record,
  until,
} from './support/harness.js';

const MEBIBYTE = 2 ** 20;

const hostile = (...args) => ({ command: 'python3', args: [fixture('hostile.py'), ...args] });

/** Messages of workers, without results. */
const messages = (log) =>
  log.filter(([event, value]) => event === 'message' && value?.processedBy === undefined);

/** A pool of two hostile workers. One runs a task that ends well once `open` is called. */
async function beside(options, { page = false } = {}) {
  const worker = page ? hostile('page') : hostile();
  const manager = pool({
    worker,
    minWorkers: 2,
    maxWorkers: 2,
    gracePeriod: 200,
    restart: { minDelay: 1 },
    ...options,
  });
  const log = record(manager);
  await manager.startWorkers();
  const gate = join(project({}), 'gate');
  const patient = manager.run({ id: 'neighbour', data: { do: 'patient', gate } });
  // A test that fails before it opens the gate reports its own reason.
  patient.catch(() => {});
  await until(
    () => manager.workers.some(({ running }) => running.includes('neighbour')),
    'the neighbour runs',
  );
  const { pid } = manager.workers.find(({ running }) => running.includes('neighbour'));
  const open = async () => {
    writeFileSync(gate, '');
    expect(await patient).toBe('patient');
    expect(manager.workers.map((worker) => worker.pid)).toContain(pid);
    await expect(manager.run({ data: { do: 'good' } })).resolves.toBe('good');
  };
  return { manager, log, pid, open };
}

/** Lets a task break the protocol, and checks all that follows. */
async function breach(data, { options, page } = {}) {
  const { manager, log, open } = await beside(options, { page });
  const before = process.memoryUsage().rss;
  const error = await failure(manager.run({ id: 'its', data }));
  const grown = process.memoryUsage().rss - before;
  expect(error).toBeInstanceOf(ProtocolError);
  expect(error).toMatchObject({ code: 'ERR_PROTOCOL', taskId: 'its', maybeExecuted: true });
  expect(error.what.length).toBeLessThan(1_000);
  await until(() => isGone(error.pid), `the worker is killed: ${error.pid}`);
  await open();
  await until(() => log.some(([event]) => event === 'exit'), 'its exit is told');
  const told = log.filter(([event]) => event === 'error' || event === 'exit');
  expect(told).toEqual([
    ['exit', expect.objectContaining({ pid: error.pid, signal: 'SIGKILL', reason: 'crashed' })],
  ]);
  expect(manager.stats().tasks).toMatchObject({
    accepted: 3,
    completed: 2,
    failed: 1,
    cancelled: 0,
  });
  expect({}.polluted).toBeUndefined();
  return { error, grown, log };
}

describe('a worker that breaks the protocol', () => {
  const line = (text) => ({ do: 'text', text: `${text}\n` });
  test.each([
    ['[E1] a line that is no JSON', line('{bad'), /\{bad/],
    ['[E2] a line that is not UTF-8', line('{"type":"result","id":$id,"result":"\xc3("}'), /UTF-8/],
    [
      '[E5] a result for an unknown task',
      line('{"type":"result","id":987654321,"result":1}'),
      /unknown task id/,
    ],
    [
      '[E7] a result for the task of another worker',
      line('{"type":"result","id":$before,"result":"stolen"}'),
      /unknown task id/,
    ],
    [
      '[E10] an id beyond 64 bits',
      line('{"type":"result","id":18446744073709551616,"result":1}'),
      /./,
    ],
    ['[E10] a negative id', line('{"type":"result","id":-1,"result":1}'), /./],
    ['[E10] an id with a fraction', line('{"type":"result","id":$id.0,"result":1}'), /./],
    ['[E10] an id that is text', line('{"type":"result","id":"$id","result":1}'), /./],
    [
      '[E10] a frame with two ids',
      line('{"type":"result","id":$id,"id":$id,"result":1}'),
      /duplicate/,
    ],
    [
      'a frame with two results',
      line('{"type":"result","id":$id,"result":1,"result":2}'),
      /duplicate/,
    ],
    [
      'a second result inside of the first',
      line('{"type":"result","id":$id,"elapsed":1,"result":1},{"x":2}'),
      /./,
    ],
    [
      '[E16] a frame of the channel of child_process.fork',
      line('{"cmd":"NODE_HANDLE","type":"net.Server"}'),
      /net\.Server/,
    ],
    [
      '[A20] a second `ready` frame',
      line('{"type":"ready","version":1}'),
      /`ready` frame came twice/,
    ],
    [
      'a `fail` frame after the start',
      line('{"type":"fail","error":{"message":"no"}}'),
      /`fail` frame came after/,
    ],
    [
      '[E4] a number of bytes that no number can hold',
      line('{"type":"result","id":$id,"bytes":[9e99],"result":null}'),
      /./,
    ],
    [
      '[E4] a negative number of bytes',
      line('{"type":"result","id":$id,"bytes":[-2147483648],"result":null}'),
      /./,
    ],
    [
      'raw bytes without a place',
      line('{"type":"result","id":$id,"bytes":[0],"result":null}'),
      /binary/,
    ],
    [
      '[E11] a place of raw bytes on a prototype',
      line(
        '{"type":"result","id":$id,"bytes":[0],"binary":[["Buffer",["__proto__","polluted"]]],"result":{}}',
      ),
      /path of a binary does not exist/,
    ],
    [
      'structured-clone data where JSON was agreed on',
      {
        do: 'text',
        text: '{"type":"result","id":$id,"bytes":[2],"encoding":"v8","result":null}\n\xff\x0f',
      },
      /v8/,
    ],
    // Long ones are read by the addon, and others by JavaScript.
    ...[0, 1, 999, 300_000, 300_001].map((length) => [
      `a string of ${length} bytes in a form that does not exist`,
      {
        do: 'text',
        text: `{"type":"result","id":$id,"bytes":[${length}],"binary":[["String",[]]],"result":null}\n${'\x02'.repeat(length)}`,
      },
      /bytes of a string are malformed/,
    ]),
    ...[1000, 300_000].map((length) => [
      `a string of ${length} bytes with half a unit of UTF-16`,
      {
        do: 'text',
        text: `{"type":"result","id":$id,"bytes":[${length}],"binary":[["String",[]]],"result":null}\n${'\x01'.repeat(length)}`,
      },
      /bytes of a string are malformed/,
    ]),
  ])('%s breaks the protocol', async (_, data, what) => {
    const { error } = await breach(data);
    expect(error.what).toMatch(what);
  });

  test('a worker that sends bytes without a path in their message is killed, and its task fails', async () => {
    const { manager, log, open } = await beside();
    const text = '{"type":"message","message":{},"bytes":[1],"binary":[["Buffer",["a"]]]}\nx';
    const error = await failure(manager.run({ id: 'its', data: { do: 'text', text } }));
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({ taskId: 'its', what: expect.stringContaining('path') });
    await until(() => isGone(error.pid), `the worker is killed: ${error.pid}`);
    await open();
    const told = log.filter(([event]) => event === 'error');
    expect(told).toEqual([
      ['error', expect.objectContaining({ code: 'ERR_PROTOCOL', pid: error.pid })],
    ]);
    expect(messages(log)).toEqual([]);
  });

  test('a worker that sends invalid structured-clone data is killed, and its task fails', async () => {
    const worker = moduleFile(`
      import { writeSync } from 'node:fs';
      let starts = 0;
      export default ({ data }) => {
        starts += 1;
        if (data !== 'bad') return data;
        const line = { type: 'result', id: Number(process.argv[2]), result: null, encoding: 'v8', bytes: [4] };
        writeSync(3, JSON.stringify(line) + '\\n' + 'nope');
        return new Promise(() => setInterval(() => {}, 1000));
      };`);
    const options = {
      maxWorkers: 1,
      serialization: 'advanced',
      argv: ['1'],
      restart: { minDelay: 1 },
    };
    const manager = pool({ worker, ...options });
    const exit = once(manager, 'exit');
    const error = await failure(manager.run({ id: 'its', data: 'bad' }));
    expect(error).toBeInstanceOf(ProtocolError);
    expect((await exit)[0]).toMatchObject({ pid: error.pid, signal: 'SIGKILL', reason: 'crashed' });
    await expect(manager.run({ data: 'good' })).resolves.toBe('good');
    expect(manager.stats().tasks).toMatchObject({ accepted: 2, completed: 1, failed: 1 });
  });

  test('[E3] a line without an end is cut off, and memory stays what it was', async () => {
    const { error, grown } = await breach(
      { do: 'endless' },
      { options: { maxMessageSize: 8 * MEBIBYTE } },
    );
    expect(error.what).toMatch(/longer than/);
    expect(grown).toBeLessThan(64 * MEBIBYTE);
  });

  test('[E14] a line that no string could hold is cut off', { timeout: 120_000 }, async () => {
    const options = { maxMessageSize: 511 * MEBIBYTE };
    const { error } = await breach({ do: 'huge', mebibytes: 600 }, { options });
    expect(error.what).toMatch(/longer than/);
  });

  test('[E4] announced bytes beyond the limit take no memory, and within it none before they arrive', async () => {
    const text =
      '{"type":"result","id":$id,"bytes":[2147483648],"binary":[["Buffer",[]]],"result":null}\n';
    const { error, grown } = await breach(
      { do: 'text', text },
      { options: { maxMessageSize: 511 * MEBIBYTE } },
    );
    expect(error.what).toMatch(/2147483648/);
    expect(grown).toBeLessThan(64 * MEBIBYTE);

    const { manager, open } = await beside({ maxMessageSize: 511 * MEBIBYTE });
    const before = process.memoryUsage().rss;
    const crash = await failure(manager.run({ data: { do: 'promise', bytes: 500_000_000 } }));
    expect(crash).toMatchObject({
      code: 'ERR_WORKER_CRASHED',
      phase: 'result',
      signal: 'SIGKILL',
      maybeExecuted: true,
    });
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MEBIBYTE);
    await open();
  });

  test.each([
    ['[E9] of a result and an error the result counts', ['result', 'error'], 'fulfilled'],
    ['[E9] of an error and a result the error counts', ['error', 'result'], 'rejected'],
    ['[E6] of two results the first counts', ['result', 'result'], 'fulfilled'],
  ])('%s', async (_, kinds, status) => {
    const { manager, log, open } = await beside();
    const frames = kinds.map(
      (type, index) => `{"type":"${type}","id":$id,"${type}":{"message":"no. ${index}"}}\n`,
    );
    const outcomes = await Promise.allSettled([
      manager.run({ data: { do: 'text', text: frames.join('') } }),
    ]);
    expect(outcomes).toMatchObject([
      { status, [status === 'fulfilled' ? 'value' : 'reason']: { message: 'no. 0' } },
    ]);
    await until(() => log.some(([event]) => event === 'exit'), 'its worker is killed');
    await open();
    const told = log
      .filter(([event]) => event === 'error' || event === 'exit')
      .map(([event, { code }]) => [event, code]);
    expect(told).toEqual([
      ['error', 'ERR_PROTOCOL'],
      ['exit', null],
    ]);
    expect(manager.stats().tasks).toMatchObject({
      accepted: 3,
      completed: status === 'fulfilled' ? 3 : 2,
    });
  });

  test('frames behind a violation have no effect', async () => {
    const { manager, log, open } = await beside();
    const text =
      'garbage\n{"type":"message","message":"too late"}\n{"type":"result","id":$id,"result":"too late"}\n';
    expect(await failure(manager.run({ data: { do: 'text', text } }))).toBeInstanceOf(
      ProtocolError,
    );
    const known =
      '{"type":"result","id":1,"result":0}\n{"type":"result","id":$id,"result":"too late"}\n';
    expect(await failure(manager.run({ data: { do: 'text', text: known } }))).toBeInstanceOf(
      ProtocolError,
    );
    await open();
    expect(messages(log)).toEqual([]);
  });
});

describe('frames that are allowed', () => {
  test('[E2, F7] a character cut in pieces arrives whole', async () => {
    const { manager, open } = await beside();
    await expect(manager.run({ data: { do: 'bytewise' } })).resolves.toBe('é€😀\u2028');
    await open();
  });

  test('[E8] an answer to a cancelled task is dropped, and the worker stays', async () => {
    const { manager, log, open } = await beside({ gracePeriod: 20_000 });
    const controller = new AbortController();
    const outcome = failure(
      manager.run({ id: 'its', data: { do: 'late' } }, { signal: controller.signal }),
    );
    await until(() => log.some(([event]) => event === 'message'), 'it runs');
    const pids = manager.workers.map(({ pid }) => pid);
    controller.abort();
    expect(await outcome).toMatchObject({ name: 'AbortError', taskId: 'its' });
    await until(
      () => manager.workers.every(({ running }) => !running.includes('its')),
      'it is over',
    );
    await open();
    await expect(manager.run({ data: { do: 'good' } })).resolves.toBe('good');
    expect(manager.workers.map(({ pid }) => pid)).toEqual(pids);
    expect(log.filter(([event]) => event !== 'message' && event !== 'online')).toEqual([]);
    expect(manager.stats().tasks).toMatchObject({
      accepted: 4,
      completed: 3,
      failed: 0,
      cancelled: 1,
    });
  });

  test('[E16] a key of the channel of child_process.fork is ignored, and not answered', async () => {
    const { manager, log, open } = await beside();
    const text =
      '{"cmd":"NODE_HANDLE","type":"message","message":1}\n{"cmd":"NODE_x","type":"result","id":$id,"result":2}\n';
    // The worker stops at the first frame that it does not know, and so at an acknowledgement.
    await expect(manager.run({ data: { do: 'texts', text } })).resolves.toBe(2);
    await open();
    expect(messages(log)).toEqual([['message', 1, expect.anything()]]);
    expect(log.filter(([event]) => event === 'error' || event === 'exit')).toEqual([]);
  });

  test('[E11, E12] a payload with names that mean something to JavaScript arrives as plain data', async () => {
    const { manager, log, open } = await beside();
    const json = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
    const text =
      `{"type":"message","message":${json}}\n{"type":"progress","id":$id,"value":${json}}\n` +
      `{"type":"result","id":$id,"result":${json}}\n`;
    const result = await manager.run({ data: { do: 'texts', text } });
    const message = log.find(([event]) => event === 'message')[1];
    const progress = log.find(([event]) => event === 'progress')[1];
    for (const value of [result, message, progress]) {
      expect(Object.keys(value)).toEqual(['__proto__', 'constructor']);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    }
    const error =
      '{"name":"Function","class":"__proto__","message":"m","stack":"s","code":"c",' +
      `"fields":{"__proto__":{"polluted":1},"toString":7},"cause":{"value":${json}}}`;
    const thrown = await failure(
      manager.run({ data: { do: 'texts', text: `{"type":"error","id":$id,"error":${error}}\n` } }),
    );
    expect(Object.getPrototypeOf(thrown)).toBe(Error.prototype);
    expect(thrown).toMatchObject({ name: 'Function', message: 'm', stack: 's', code: 'c' });
    expect({}.polluted).toBeUndefined();
    await open();
  });

  test('[E13] a result nested five million deep arrives', { timeout: 120_000 }, async () => {
    const { manager, open } = await beside();
    let depth = 0;
    const result = await manager.run({ data: { do: 'deep', depth: 5_000_000 } });
    for (let value = result; value !== undefined; [value] = value) depth += 1;
    expect(depth).toBe(5_000_000);
    await open();
  });

  test("[E15] a frame that comes a byte now and then ends with its task's time limit, and delays nothing else", async () => {
    const { manager, log, open } = await beside();
    const outcome = failure(manager.run({ data: { do: 'drip' } }, { timeout: 500 }));
    expect(await outcome).toMatchObject({ code: 'ERR_TASK_TIMEOUT' });
    await until(() => log.some(([event]) => event === 'exit'), 'its worker is killed');
    await open();
    expect(log.find(([event]) => event === 'exit')[1]).toMatchObject({ reason: 'timeout' });
  });
});

describe.skipIf(process.platform !== 'linux')('shared memory of a hostile worker', () => {
  test.each([
    ['more starts than there were', [null, 1000]],
    ['a start less than there were', [null, 0xffffffff]],
    ['another epoch', [7, null]],
    ['nonsense', [0xdeadbeef, 0xdeadbeef]],
  ])('[E17] a worker that claims %s in shared memory is killed', async (_, word) => {
    const { manager, log, open } = await beside({ concurrency: 2 }, { page: true });
    const controller = new AbortController();
    const its = failure(manager.run({ id: 'its', data: { do: 'forge', word } }));
    // One more task for each worker. The claim word of a worker decides whether a cancelled task
    // has started.
    const behindNeighbour = manager.run({ data: { do: 'good' } });
    const behindIt = failure(manager.run({ data: { do: 'good' } }, { signal: controller.signal }));
    await until(() => messages(log).length === 1, 'the claims are forged');
    controller.abort();
    expect(await behindIt).toMatchObject({ name: 'AbortError' });
    const error = await its;
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({
      taskId: 'its',
      maybeExecuted: true,
      what: expect.stringContaining('claim word'),
    });
    await until(() => isGone(error.pid), `the worker is killed: ${error.pid}`);
    await open();
    expect(await behindNeighbour).toBe('good');
    expect(log.filter(([event]) => event === 'exit')).toHaveLength(1);
  });

  test.each([
    [
      'what is no frame',
      '\x00\xff{bad}\n{"type":"result","id":$id,"result":"behind nonsense"}\n',
      undefined,
    ],
    ['more than there can be', '{"type":"result"', 0xffffffff],
    [
      'an answer to the task of another',
      '{"type":"result","id":$before,"result":"stolen"}\n',
      undefined,
    ],
    [
      'other frames than answers',
      '{"type":"message","message":1}\n{"type":"fail","error":{},"permanent":true}\n',
      undefined,
    ],
  ])("[E17] a dead worker's shared memory that holds %s has no effect", async (_, held, length) => {
    const { manager, log, open } = await beside({}, { page: true });
    const error = await failure(manager.run({ id: 'its', data: { do: 'hold', held, length } }));
    expect(error).toMatchObject({ code: 'ERR_WORKER_CRASHED', taskId: 'its', maybeExecuted: true });
    await open();
    expect(messages(log)).toEqual([]);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
  });

  test("a dead worker's shared memory that holds the answer to its task counts", async () => {
    const { manager, open } = await beside({}, { page: true });
    const held = '{"type":"result","id":$id,"result":"held"}\n';
    await expect(manager.run({ data: { do: 'hold', held } })).resolves.toBe('held');
    await open();
  });

  test('[E19, E20] a worker that changes the shared memory while it is read harms nothing', async () => {
    const { manager, pid, open } = await beside({ prefetch: 4 }, { page: true });
    // A worker that forges its own page may drop any task, hence the limit.
    const run = (_, index) =>
      manager.run({ data: { do: index % 8 === 0 ? 'noise' : 'good' } }, { timeout: 2_000 });
    for (const { value, reason } of await Promise.allSettled(Array.from({ length: 32 }, run))) {
      if (reason === undefined) expect(['good', 'noisy']).toContain(value);
      else
        expect(['ERR_PROTOCOL', 'ERR_WORKER_CRASHED', 'ERR_TASK_TIMEOUT']).toContain(reason.code);
    }
    expect(manager.workers.map((worker) => worker.pid)).toContain(pid);
    await open();
  });

  const RING = 8 * MEBIBYTE;
  test.each([
    ['beyond the end', [{ shared: RING - 10, bytes: [11] }]],
    ['that are longer than the memory', [{ shared: 0, bytes: [RING + 1] }]],
    [
      'before those it has named already',
      [
        { shared: 100, bytes: [10] },
        { shared: 100, bytes: [10] },
      ],
    ],
    [
      'that go round and round',
      Array.from({ length: 500 }, (_, turn) => ({ shared: turn * RING, bytes: [RING] })),
    ],
    ['at no position', [{ shared: -1, bytes: [1] }]],
    ['at a position that overflows', [{ shared: '$most', bytes: [8] }]],
  ])('[E17] a worker that names raw bytes in shared memory %s is killed', async (_, places) => {
    // JSON.parse in Python keeps the number whole.
    const most = places.map((place) =>
      place.shared === '$most' ? { ...place, shared: 2 ** 64 - 2 ** 12 } : place,
    );
    await breach({ do: 'shared', places: most }, { page: true });
  });

  test('[D14, E18] a worker cannot change the size of the shared memory', async () => {
    const { manager, open } = await beside({}, { page: true });
    await expect(manager.run({ data: { do: 'resize' } })).resolves.toEqual({
      nothing: 'EPERM',
      less: 'EPERM',
      more: 'EPERM',
      beyond: 'EPERM',
      allocated: 'EPERM',
      sealed: 'EPERM',
      size: 0,
    });
    await open();
  });
});

describe('a worker that is not ready', () => {
  test.each([
    ['says what is no frame', `echo hi there >&3`, /hi there/],
    ['speaks another version', `echo '{"type":"ready","version":2}' >&3`, /version 2/],
    ['is ready in every way', `echo '{"type":"ready","version":"1"}' >&3`, /ready/],
  ])(
    '[A19, A20] a worker that is not ready and %s is killed, and the error names what it sent',
    async (_, script, what) => {
      const worker = { command: 'sh', args: ['-c', `${script}; exec sleep 60`] };
      const manager = pool({ worker, maxWorkers: 1, restart: { limit: 0 } });
      const exit = once(manager, 'exit');
      manager.on('error', () => {});
      const error = await failure(manager.run({}));
      expect(error).toBeInstanceOf(PoolBrokenError);
      expect(error.cause).toMatchObject({
        code: 'ERR_WORKER_START',
        message: expect.stringMatching(what),
      });
      expect((await exit)[0]).toMatchObject({ signal: 'SIGKILL', reason: 'startup' });
    },
  );
});
