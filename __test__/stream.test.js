// stream(): the values of one task, one by one, with back-pressure into the worker.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describe, expect, test } from 'vitest';
import { failure, fixture, pool, program, record, shellWorker, until } from './support/harness.js';

const worker = fixture('streams.mjs');

async function collect(iterable) {
  const values = [];
  for await (const value of iterable) values.push(value);
  return values;
}

const upTo = (n) => Array.from({ length: n }, (_, i) => i);

/** The messages that the worker has sent by send(), in order. */
function messages(manager) {
  const said = [];
  manager.on('message', (message) => {
    if (message?.taskId === undefined) said.push(message);
  });
  return said;
}

describe('stream(): values', () => {
  test('[T14] stream() of an async generator yields all its values in order', async () => {
    const manager = pool({ worker });
    expect(await collect(manager.stream({ type: 'count', to: 1000 }))).toEqual(upTo(1000));
    expect(await collect(manager.stream({ type: 'count', to: 0 }))).toEqual([]);
  });

  test.each([1, 2, 3, 100])('stream() works with highWaterMark %i', async (highWaterMark) => {
    const manager = pool({ worker });
    expect(await collect(manager.stream({ type: 'count', to: 200 }, { highWaterMark }))).toEqual(
      upTo(200),
    );
  });

  test('stream() takes a generator, an array, and a promise of one', async () => {
    const manager = pool({ worker });
    expect(await collect(manager.stream({ type: 'sync', to: 20 }))).toEqual(upTo(20));
    expect(await collect(manager.stream({ type: 'array', items: upTo(40) }))).toEqual(upTo(40));
    expect(await collect(manager.stream({ type: 'later', items: ['a', null, { b: 1 }] }))).toEqual([
      'a',
      null,
      { b: 1 },
    ]);
  });

  test('stream() may yield bytes, in both serialisations', async () => {
    for (const serialization of ['json', 'advanced']) {
      const manager = pool({ worker, serialization });
      for (const size of [10, 100_000]) {
        const chunks = await collect(manager.stream({ type: 'bytes', count: 40, size }));
        expect(
          chunks.map(
            (chunk) => Buffer.isBuffer(chunk) && chunk.equals(Buffer.alloc(size, chunk[0])),
          ),
        ).toEqual(upTo(40).map(() => true));
        expect(chunks.map((chunk) => chunk[0])).toEqual(upTo(40));
      }
    }
  });

  test('several streams at a time work, in one worker and in many', async () => {
    const manager = pool({ worker, concurrency: 3 });
    const streams = upTo(12).map((i) =>
      collect(manager.stream({ type: 'count', from: i * 1000, to: i * 1000 + 300 })),
    );
    for (const [i, values] of (await Promise.all(streams)).entries()) {
      expect(values).toEqual(upTo(300).map((n) => i * 1000 + n));
    }
  });

  test('stream() can be piped', async () => {
    const manager = pool({ worker });
    let sum = 0;
    await pipeline(Readable.from(manager.stream({ type: 'count', to: 500 })), async (source) => {
      for await (const value of source) sum += value;
    });
    expect(sum).toBe((499 * 500) / 2);
  });

  test('overlapping next() of a stream get one value each, in order', async () => {
    const manager = pool({ worker });
    const stream = manager.stream({ type: 'count', to: 5 });
    const results = await Promise.all(upTo(8).map(() => stream.next()));
    expect(results.map(({ value }) => value)).toEqual([
      0,
      1,
      2,
      3,
      4,
      undefined,
      undefined,
      undefined,
    ]);
    expect(results.map(({ done }) => done)).toEqual([
      false,
      false,
      false,
      false,
      false,
      true,
      true,
      true,
    ]);
    expect(stream[Symbol.asyncIterator]()).toBe(stream);
  });

  test('a stream is one task: one is accepted, and there is no event', async () => {
    const manager = pool({ worker });
    const log = record(manager, ['result', 'error']);
    await collect(manager.stream({ type: 'count', to: 50 }));
    expect(log).toEqual([]);
    expect(manager.stats().tasks).toMatchObject({ accepted: 1, completed: 1 });
  });
});

describe('stream(): back-pressure', () => {
  test('[T14] the generator of a stream waits at its yield until values are taken', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const said = messages(manager);
    const yields = () => said.filter((message) => 'yields' in message).length;
    const stream = manager.stream({ type: 'told', to: 100 }, { highWaterMark: 4 });
    expect((await stream.next()).value).toBe(0);
    await until(() => yields() >= 4, 'the first four');
    for (let i = 1; i < 40; i++) {
      // The values that were taken, and the four that may be in transit.
      expect(yields()).toBeLessThanOrEqual(i + 4);
      expect((await stream.next()).value).toBe(i);
    }
    await stream.return();
  });

  test('a million values pass through a stream in constant memory, however slow the reader', {
    timeout: 240_000,
  }, async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1 });
      const rss = () => { gc(); gc(); return process.memoryUsage.rss(); };
      let first = 0, most = 0, sum = 0, n = 0;
      for await (const value of pool.stream({ type: 'count', to: 1_000_000 }, { highWaterMark: 64 })) {
        sum += value;
        n++;
        if (n % 1000 === 0) await new Promise(setImmediate);
        if (n === 50_000) first = rss();
        if (n % 50_000 === 0) most = Math.max(most, rss());
      }
      await pool.shutdown();
      console.log(JSON.stringify({ n, sum, growth: most - first }));
    `;
    const { stdout, stderr, code } = await program(source, {
      nodeArgs: ['--expose-gc'],
      timeout: 200_000,
    });
    expect(code, stderr).toBe(0);
    const { n, sum, growth } = JSON.parse(stdout);
    expect([n, sum]).toEqual([1_000_000, (999_999 * 1_000_000) / 2]);
    expect(growth).toBeLessThan(60e6);
  });
});

describe('stream(): the end', () => {
  test('leaving the loop over a stream runs the finally of the generator, and the worker serves on', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const said = messages(manager);
    const log = record(manager, ['exit', 'error']);
    await manager.startWorkers();
    const [{ pid }] = manager.workers;
    for await (const value of manager.stream({ type: 'told', to: 1e9 })) if (value === 3) break;
    await until(() => said.some((message) => 'finally' in message), 'the finally');
    expect(await manager.run({ type: 'pid' })).toBe(pid);
    expect(log).toEqual([]);
    expect(manager.stats().tasks).toMatchObject({ accepted: 2, completed: 1, cancelled: 1 });
  });

  test('return() of a stream resolves pending next(), and throw() rejects and ends it as well', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const stream = manager.stream({ type: 'forever' });
    expect((await stream.next()).value).toBe(1);
    const waiting = stream.next();
    expect(await stream.return('x')).toEqual({ done: true, value: 'x' });
    expect(await waiting).toEqual({ done: true, value: undefined });
    const other = manager.stream({ type: 'told', to: 10 });
    await other.next();
    expect(await failure(other.throw(new Error('mine')))).toMatchObject({ message: 'mine' });
    expect(await other.next()).toEqual({ done: true, value: undefined });
  });

  test('an error of the generator comes behind its values, once', async () => {
    const manager = pool({ worker });
    const stream = manager.stream({ type: 'failing', after: 3 });
    const values = [];
    const error = await failure(async () => {
      for await (const value of stream) values.push(value);
    });
    expect(values).toEqual([0, 1, 2]);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ code: 'E_NO_MORE', workerId: expect.any(Number) });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test('a worker that dies ends its stream: the values arrive, then its crash, without a retry', async () => {
    const manager = pool({ worker, maxWorkers: 1, retries: 5 });
    const values = [];
    const error = await failure(async () => {
      for await (const value of manager.stream({ type: 'dying', after: 9 })) values.push(value);
    });
    expect(values).toEqual(upTo(9));
    expect(error).toMatchObject({ code: 'ERR_WORKER_CRASHED', signal: 'SIGKILL', attempts: 1 });
    expect(manager.stats().tasks.retried).toBe(0);
  });

  test('a value that cannot be sent ends the stream with the reason', async () => {
    const manager = pool({ worker });
    const error = await failure(collect(manager.stream({ type: 'unsendable' })));
    expect(error.code).toBe('ERR_SERIALIZATION');
    expect(error.message).toContain('chunk');
  });

  test.each(['number', 'text'])('stream() of a handler that returns a %s rejects', async (type) => {
    const manager = pool({ worker });
    const error = await failure(collect(manager.stream({ type })));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain('must return an iterable');
  });

  test('an abort signal, a time limit and cancel() end a stream, between values and within one', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const said = messages(manager);
    const controller = new AbortController();
    const aborted = manager.stream({ type: 'forever' }, { signal: controller.signal });
    await aborted.next();
    controller.abort(new Error('why'));
    expect(await failure(aborted.next())).toMatchObject({
      code: 'ABORT_ERR',
      cause: { message: 'why' },
    });
    await until(() => said.includes('aborted'), 'the handler was told');

    const overdue = manager.stream({ type: 'forever' }, { timeout: 50 });
    expect(await failure(collect(overdue))).toMatchObject({
      code: 'ERR_TASK_TIMEOUT',
      timeout: 50,
    });

    const cancelled = manager.stream({ id: 'c', type: 'told', to: 100 });
    await cancelled.next();
    expect(manager.cancel('c')).toBe(true);
    expect(await failure(collect(cancelled))).toMatchObject({ code: 'ABORT_ERR', taskId: 'c' });
  });

  test('terminate() ends a stream with PoolClosedError', async () => {
    const manager = pool({ worker });
    const stream = manager.stream({ type: 'forever' });
    await stream.next();
    const next = failure(stream.next());
    await manager.terminate();
    expect((await next).code).toBe('ERR_POOL_CLOSED');
  });
});

describe('stream(): wrong use', () => {
  test('wrong arguments of stream() reject the first next(), and nothing is accepted', async () => {
    const manager = pool({ worker });
    const wrong = [
      [1, { highWaterMark: 0 }, 'ERR_OUT_OF_RANGE'],
      [1, { highWaterMark: '1' }, 'ERR_INVALID_ARG_TYPE'],
      [1, { retries: 1 }, 'ERR_INVALID_ARG_VALUE'],
      [() => {}, undefined, 'ERR_SERIALIZATION'],
      [undefined, undefined, 'ERR_SERIALIZATION'],
    ];
    for (const [task, options, code] of wrong) {
      const stream = manager.stream(task, options);
      expect((await failure(stream.next())).code).toBe(code);
      expect(await stream.next()).toEqual({ done: true, value: undefined });
    }
    expect(manager.stats().tasks.accepted).toBe(0);
  });

  test('a stream that is never read is no task', async () => {
    const manager = pool({ worker });
    manager.stream({ type: 'count', to: 3 });
    await manager.stream({ type: 'count', to: 3 }).return();
    expect(manager.stats().tasks.accepted).toBe(0);
  });

  test('a worker that sends values for a task without a stream, or more than its credit, is killed', async () => {
    const chunk = `echo "{\\"type\\":\\"chunk\\",\\"id\\":$id,\\"value\\":$i}" >&3`;
    const speak = (chunks) =>
      shellWorker(`i=0; while [ $i -lt ${chunks} ]; do i=$((i + 1)); ${chunk}; done`);
    const plain = pool({ worker: speak(1), maxWorkers: 1 });
    expect((await failure(plain.run(1))).code).toBe('ERR_PROTOCOL');
    const flooding = pool({ worker: speak(50), maxWorkers: 1 });
    const stream = flooding.stream(1, { highWaterMark: 8 });
    const error = await failure(async () => {
      await stream.next();
      await new Promise((resolve) => flooding.once('exit', resolve));
      await collect(stream);
    });
    expect(error.code).toBe('ERR_PROTOCOL');
  });

  test('a worker without support for streams yields its one result', async () => {
    const five = shellWorker(`echo "{\\"type\\":\\"result\\",\\"id\\":$id,\\"result\\":5}" >&3`);
    const manager = pool({ worker: five, maxWorkers: 1 });
    expect(await collect(manager.stream(1))).toEqual([5]);
  });
});
