// pool.map(): results of any source of tasks, with bounded look-ahead, and a clean end in every
// case.

import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import {
  AbortError,
  PoolClosedError,
  SerializationError,
  TaskTimeoutError,
  WorkerCrashedError,
} from '../index.mjs';
import { failure, moduleFile, PROC, pool, program, until } from './support/harness.js';

/** Tasks that wait until another one, in the same worker, opens their gate. */
const worker = moduleFile(`
  const gates = new Map();
  const gate = (name) => {
    if (!gates.has(name)) {
      let open;
      const opened = new Promise((resolve) => { open = resolve; });
      gates.set(name, { opened, open });
    }
    return gates.get(name);
  };
  export const handlers = {
    echo: (task) => task.data,
    throw: (task) => { throw new RangeError(task.data); },
    exit: () => process.exit(3),
    open: (task) => {
      gate(task.data).open();
      return 'opens ' + task.data;
    },
    wait: async (task, { signal, send }) => {
      send({ waits: task.data });
      await new Promise((resolve, reject) => {
        gate(task.data).opened.then(resolve);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
      return task.data;
    },
    sleep: (task) => new Promise((resolve) => setTimeout(resolve, task.data, task.data)),
  };
  export default (task) => task;`);

/** One worker, so that tasks meet, with any number of them at a time. */
const meeting = { worker, maxWorkers: 1, concurrency: 16 };
const serial = { worker, maxWorkers: 1, prefetch: 1 };

const echo = (data) => ({ type: 'echo', data });
const wait = (data) => ({ type: 'wait', data });
const open = (data) => ({ type: 'open', data });

/** Items from 0 on, how many were taken, and whether the source was closed. */
class Counter {
  taken = 0;
  closed = false;

  constructor(item = echo) {
    this.item = item;
  }

  async *items(end = Infinity) {
    try {
      while (this.taken < end) yield this.item(this.taken++);
    } finally {
      this.closed = true;
    }
  }

  *itemsAtOnce(end = Infinity) {
    try {
      while (this.taken < end) yield this.item(this.taken++);
    } finally {
      this.closed = true;
    }
  }
}

async function collect(iterable) {
  const values = [];
  for await (const value of iterable) values.push(value);
  return values;
}

/** The results, and the error behind them. */
async function collectUntilFailure(iterable) {
  const values = [];
  try {
    for await (const value of iterable) values.push(value);
  } catch (error) {
    return { values, error };
  }
  throw new Error(`expected a failure behind ${JSON.stringify(values)}`);
}

/** Waits until such a task reports that it waits. */
function waits(manager, name) {
  return new Promise((resolve) => {
    manager.on('message', function listener(message) {
      if (message?.waits !== name) return;
      manager.off('message', listener);
      resolve();
    });
  });
}

const range = (end) => Array.from({ length: end }, (_, index) => index);
const DONE = { done: true, value: undefined };

describe('map(): results', () => {
  test('[T13] map() yields results in the order of the tasks', async () => {
    const manager = pool(meeting);
    const tasks = [wait('a'), echo(1), wait('b'), open('b'), echo(2), open('a')];
    expect(await collect(manager.map(tasks))).toEqual(['a', 1, 'b', 'opens b', 2, 'opens a']);
  });

  test('map() with ordered: false yields results as they come', async () => {
    const manager = pool(meeting);
    const tasks = [wait('a'), wait('b'), open('b'), echo(2), open('a')];
    const results = await collect(manager.map(tasks, { ordered: false }));
    expect(results).toHaveLength(5);
    expect(results.indexOf('b')).toBeGreaterThan(results.indexOf('opens b'));
    expect(results.indexOf('a')).toBeGreaterThan(results.indexOf('opens a'));
    expect(results.at(-1)).toBe('a');
  });

  test.each([true, false])(
    'map() yields the results of many tasks over all workers, each once (ordered: %s)',
    async (ordered) => {
      const manager = pool({ worker });
      const results = await collect(manager.map(new Counter().items(20_000), { ordered }));
      if (!ordered) results.sort((a, b) => a - b);
      expect(results).toEqual(range(20_000));
      expect(manager.stats().tasks).toMatchObject({ accepted: 20_000, completed: 20_000 });
    },
  );

  test('map() yields what run() would resolve with, undefined included', async () => {
    const manager = pool({ worker });
    const bytes = Buffer.from('bytes');
    const tasks = ['text', 5, null, [1], { id: 'x', data: 1 }, { bytes }, { type: 'echo' }];
    expect(await collect(manager.map(tasks))).toEqual([...tasks.slice(0, -1), undefined]);
  });

  test('map() of no tasks ends at once', async () => {
    const manager = pool({ worker });
    expect(await collect(manager.map([]))).toEqual([]);
    expect(await collect(manager.map(new Counter().items(0)))).toEqual([]);
    expect(manager.stats().tasks.accepted).toBe(0);
  });
});

describe('map(): the source', () => {
  test('the source of map() may be anything that for await reads', async () => {
    const manager = pool({ worker });
    const sources = {
      array: range(5).map(echo),
      set: new Set(range(5).map(echo)),
      generator: new Counter().itemsAtOnce(5),
      'async generator': new Counter().items(5),
      'promises in an array': range(5).map(async (index) => echo(index)),
      'promises from an async iterator': {
        index: 0,
        [Symbol.asyncIterator]() {
          return this;
        },
        async next() {
          return this.index === 5 ? { done: true } : { done: false, value: echo(this.index++) };
        },
      },
      'an async iterator that answers at once': {
        [Symbol.asyncIterator]: () => new Counter().itemsAtOnce(5),
      },
      stream: Readable.from(range(5).map(echo)),
      'web stream': new ReadableStream({
        start(controller) {
          for (const index of range(5)) controller.enqueue(echo(index));
          controller.close();
        },
      }),
    };
    for (const [name, source] of Object.entries(sources)) {
      expect(await collect(manager.map(source)), name).toEqual(range(5));
    }
    expect(await collect(manager.map('abc'))).toEqual(['a', 'b', 'c']);
  });

  test('the source of map() is not touched before the first next()', async () => {
    const manager = pool({ worker });
    const counter = new Counter();
    const results = manager.map(counter.items(2));
    await new Promise(setImmediate);
    expect(counter.taken).toBe(0);
    expect(await results.next()).toEqual({ done: false, value: 0 });
    expect(await results.return()).toEqual(DONE);
    const untouched = manager.map(counter.items());
    expect(await untouched.return('early')).toEqual({ done: true, value: 'early' });
    expect(await untouched.next()).toEqual(DONE);
  });

  test('the source of map() is read in the async context of the consumer', async () => {
    const manager = pool({ worker });
    const storage = new AsyncLocalStorage();
    const contexts = new Set();
    const counter = new Counter((index) => {
      contexts.add(storage.getStore());
      return echo(index);
    });
    await storage.run('consumer', async () => {
      const results = manager.map(counter.itemsAtOnce(200), { highWaterMark: 2 });
      // All tasks wait at once: most items are taken when a result has come.
      await Promise.all(range(201).map(() => results.next()));
    });
    expect([...contexts]).toEqual(['consumer']);
  });
});

describe('map(): look-ahead', () => {
  test.each(['items', 'itemsAtOnce'])(
    'look-ahead of map() is bounded by what the consumer has taken (%s)',
    async (kind) => {
      const manager = pool({ worker });
      const counter = new Counter();
      let taken = 0;
      let most = 0;
      for await (const result of manager.map(counter[kind](500), { highWaterMark: 7 })) {
        expect(result).toBe(taken);
        taken += 1;
        most = Math.max(most, counter.taken - taken);
        // A consumer that pauses now and then: results pile up, up to the limit.
        if (taken % 50 === 0) {
          await until(() => counter.taken === Math.min(taken + 7, 500), 'all that is allowed');
          await until(() => manager.stats().tasks.completed === counter.taken, 'all of it is done');
          expect(counter.taken).toBe(Math.min(taken + 7, 500));
        }
      }
      expect(most).toBeLessThanOrEqual(7);
      expect(taken).toBe(500);
    },
  );

  test('look-ahead in task order counts results that wait behind a slow task', async () => {
    const manager = pool(meeting);
    const counter = new Counter((index) => (index === 0 ? wait('first') : echo(index)));
    const results = manager.map(counter.items(), { highWaterMark: 5 });
    const first = results.next();
    await until(() => manager.stats().tasks.completed === 4, 'all behind the first');
    expect(counter.taken).toBe(5);
    await manager.run(open('first'));
    expect(await first).toEqual({ done: false, value: 'first' });
    expect(await results.next()).toEqual({ done: false, value: 1 });
    await results.return();
  });

  test('look-ahead is by default twice what can run, for tasks that take their time', async () => {
    const manager = pool({ worker, maxWorkers: 1, concurrency: 3 });
    const counter = new Counter((index) => wait(index));
    const results = manager.map(counter.items());
    const first = results.next();
    await until(() => manager.stats().workers[0]?.running.length === 3, 'all that can run');
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    expect(counter.taken).toBe(6);
    expect(manager.stats().tasks.accepted).toBe(6);
    await results.return();
    expect(await first).toEqual(DONE);
  });

  test('look-ahead grows for tiny tasks, up to 1024, and shrinks for long ones', {
    timeout: 120_000,
  }, async () => {
    const manager = pool({ worker });
    let enough = false;
    const counter = new Counter((index) => (enough ? { type: 'sleep', data: 60 } : echo(index)));
    let taken = 0;
    let shrunk = false;
    for await (const _ of manager.map(counter.itemsAtOnce())) {
      taken += 1;
      const ahead = counter.taken - taken;
      expect(ahead).toBeLessThan(1024);
      enough ||= ahead >= 16;
      shrunk = enough && ahead <= 4;
      if (shrunk) break;
    }
    expect(shrunk).toBe(true);
  });

  test('look-ahead follows the size of the pool', { timeout: 60_000 }, async () => {
    const manager = pool({ worker, minWorkers: 1, maxWorkers: 1 });
    // Tasks too long for look-ahead to grow by itself.
    const counter = new Counter(() => ({ type: 'sleep', data: 60 }));
    let taken = 0;
    let most = 0;
    for await (const _ of manager.map(counter.itemsAtOnce())) {
      taken += 1;
      most = Math.max(most, counter.taken - taken);
      if (taken === 6) {
        expect(most).toBeLessThanOrEqual(2);
        await manager.resize({ maxWorkers: 3 });
      }
      if (most >= 6) break;
    }
    expect(most).toBe(6);
  });

  test('look-ahead waits for a pool that has no room', async () => {
    for (const limits of [{ maxQueue: 1 }, { maxQueue: 0 }, { maxQueueBytes: 60 }]) {
      const manager = pool({ worker, ...limits });
      // About 40 bytes: one of them may wait.
      const counter = new Counter((index) => ({ type: 'echo', data: index, filler: 'filler' }));
      const results = await collect(manager.map(counter.items(300), { highWaterMark: 50 }));
      expect(results, JSON.stringify(limits)).toEqual(range(300));
      expect(manager.stats().tasks).toMatchObject({ accepted: 300, completed: 300 });
    }
  });

  test('look-ahead waits for a pool that other callers have filled', async () => {
    for (const limits of [{ maxQueue: 2 }, { maxQueueBytes: 60 }]) {
      const manager = pool({ ...serial, ...limits });
      const filler = [manager.run(wait('full')).catch((error) => error)];
      await waits(manager, 'full');
      filler.push(manager.run(echo('waits')));
      if (limits.maxQueue !== undefined) filler.push(manager.run(echo('waits')));
      const counter = new Counter();
      const results = manager.map(counter.itemsAtOnce(20));
      const first = results.next();
      expect(counter.taken).toBe(1);
      expect(await failure(manager.run(echo('refused, too')))).toMatchObject({
        code: 'ERR_QUEUE_FULL',
      });
      expect(counter.taken).toBe(1);
      manager.cancel(manager.workers[0].running[0]);
      expect(await filler[0]).toBeInstanceOf(AbortError);
      expect(await Promise.all(filler.slice(1))).toEqual(filler.slice(1).map(() => 'waits'));
      expect(await first).toEqual({ done: false, value: 0 });
      expect(await collect(results)).toEqual(range(20).slice(1));
    }
  });

  test('[T13] map() takes constant memory over a million items', { timeout: 240_000 }, async () => {
    const { code, stdout, stderr } = await program(
      `
        import ProcessManager from 'bulkhead';

        const WARM = 200_000;
        const ALL = 1_200_000;
        const pool = new ProcessManager({ maxWorkers: 2 });
        async function* items() {
          for (let id = 0; id < ALL; id++) yield { id, data: id };
        }
        let count = 0;
        let base = 0;
        let most = 0;
        for await (const result of pool.map(items())) {
          if (result !== count++) throw new Error(result + ' at ' + count);
          if (count === WARM) base = process.memoryUsage.rss();
          if (count > WARM && count % 1_000 === 0) most = Math.max(most, process.memoryUsage.rss());
        }
        await pool.shutdown();
        console.log(JSON.stringify({ count, growth: (most - base) / 2 ** 20 }));`,
      { timeout: 200_000 },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { count, growth } = JSON.parse(stdout);
    expect(count).toBe(1_200_000);
    expect(growth).toBeLessThan(60);
  });
});

describe('map(): a task that fails', () => {
  test('a failing item of map() rejects after earlier results, and cancels later items', async () => {
    const manager = pool(meeting);
    const counter = new Counter(
      (index) => [wait('a'), { type: 'throw', data: 'no' }][index] ?? wait(`late ${index}`),
    );
    const results = manager.map(counter.items(), { highWaterMark: 6 });
    const first = results.next();
    await until(() => counter.closed, 'the source is closed');
    await until(() => manager.stats().tasks.cancelled === 4, 'what is behind is cancelled');
    await manager.run(open('a'));
    expect(await first).toEqual({ done: false, value: 'a' });
    const error = await failure(results.next());
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: 'no', workerId: 1 });
    expect(await results.next()).toEqual(DONE);
    expect(await results.return('x')).toEqual({ done: true, value: 'x' });
    expect(counter.taken).toBe(6);
    expect(await manager.run(echo('alive'))).toBe('alive');
  });

  test('the earlier one of two failing items of map() is the error', async () => {
    const manager = pool(meeting);
    // The first task waits until the second has failed.
    const tasks = [wait('gate'), { type: 'throw', data: 'second' }, wait('late')];
    const running = collectUntilFailure(manager.map(tasks));
    await until(() => manager.stats().tasks.failed === 1, 'the second has failed');
    manager.cancel(manager.workers[0].running[0], 'the first');
    const { values, error } = await running;
    expect(values).toEqual([]);
    expect(error).toMatchObject({ code: 'ABORT_ERR', cause: 'the first' });
  });

  test('a failing item of map() in completion order rejects after the results that came before it', async () => {
    const manager = pool(meeting);
    const tasks = [wait('never'), echo(1), echo(2), { type: 'throw', data: 'no' }, wait('neither')];
    const counter = new Counter((index) => tasks[index]);
    const { values, error } = await collectUntilFailure(
      manager.map(counter.items(5), { ordered: false }),
    );
    expect(values).toEqual([1, 2]);
    expect(error.message).toBe('no');
    await until(() => manager.stats().tasks.cancelled === 2, 'the others are cancelled');
  });

  test.each([true, false])(
    'an item of map() fails by its worker’s death, its time limit, or as it cannot be sent (ordered: %s)',
    async (ordered) => {
      const manager = pool({ ...meeting, restart: { minDelay: 1 }, gracePeriod: 50 });
      const map = (tasks, options) =>
        collectUntilFailure(manager.map(tasks, { ordered, highWaterMark: 1, ...options }));
      const crash = await map([echo(1), { type: 'exit' }]);
      expect(crash.values).toEqual([1]);
      expect(crash.error).toBeInstanceOf(WorkerCrashedError);
      const overdue = await map([echo(1), wait('never')], { timeout: 50 });
      expect(overdue.values).toEqual([1]);
      expect(overdue.error).toBeInstanceOf(TaskTimeoutError);
      const counter = new Counter((index) =>
        index < 3 ? echo(index) : { cycle: () => {}, broken: 1n },
      );
      const unsent = await map(counter.items());
      expect(unsent.values).toEqual([0, 1, 2]);
      expect(unsent.error).toBeInstanceOf(SerializationError);
      expect(counter).toMatchObject({ closed: true, taken: 4 });
    },
  );
});

describe('map(): a source that fails', () => {
  test('a failing source of map() rejects after the results of what it yielded', async () => {
    const manager = pool(meeting);
    const reason = new Error('the source is dry');
    async function* dry() {
      yield wait('a');
      yield echo(1);
      yield open('a');
      throw reason;
    }
    const { values, error } = await collectUntilFailure(manager.map(dry()));
    expect(values).toEqual(['a', 1, 'opens a']);
    expect(error).toBe(reason);
  });

  test('a failing source of map() in completion order cancels what is not done', async () => {
    const manager = pool(meeting);
    async function* dry() {
      yield wait('never');
      yield echo(1);
      await until(() => manager.stats().tasks.completed === 1, 'one is done');
      throw 'no error at all';
    }
    const results = manager.map(dry(), { ordered: false });
    expect(await results.next()).toEqual({ done: false, value: 1 });
    await expect(results.next()).rejects.toBe('no error at all');
    expect(await results.next()).toEqual(DONE);
    await until(() => manager.stats().tasks.cancelled === 1, 'the other is cancelled');
  });

  test.each([
    [
      'in its next()',
      {
        next: () => {
          throw new Error('broken');
        },
      },
    ],
    ['by a result that is none', { next: () => 5 }],
    [
      'by a result with a getter that throws',
      {
        next: () => ({
          get done() {
            throw new Error('broken');
          },
        }),
      },
    ],
    ['without a next()', {}],
  ])('a source of map() that fails %s rejects, at once or later', async (_, iterator) => {
    const manager = pool({ worker });
    for (const symbol of [Symbol.iterator, Symbol.asyncIterator]) {
      const results = manager.map({
        [symbol]: () => ({ return: () => expect.unreachable(), ...iterator }),
      });
      expect((await failure(results.next())).message).toMatch(
        /broken|object|not a function|undefined/,
      );
      expect(await results.next()).toEqual(DONE);
    }
  });

  test('a rejecting promise among the items of map() closes the source', async () => {
    const manager = pool({ worker });
    const counter = new Counter((index) =>
      index === 2 ? Promise.reject(new Error('broken')) : echo(index),
    );
    const { values, error } = await collectUntilFailure(manager.map(counter.itemsAtOnce()));
    expect(values).toEqual([0, 1]);
    expect(error.message).toBe('broken');
    expect(counter).toMatchObject({ closed: true, taken: 3 });
  });
});

describe('map(): leaving the loop', () => {
  test.each(['items', 'itemsAtOnce'])(
    'break in a loop over map() closes the source and cancels the rest (%s)',
    async (kind) => {
      const manager = pool(meeting);
      const counter = new Counter((index) => (index === 0 ? echo(0) : wait(index)));
      for await (const result of manager.map(counter[kind](), { highWaterMark: 5 })) {
        expect(result).toBe(0);
        await until(() => counter.taken === 6, 'look-ahead');
        break;
      }
      expect(counter).toMatchObject({ closed: true, taken: 6 });
      await until(() => manager.stats().tasks.cancelled === 5, 'the others are cancelled');
      expect(await manager.run(echo('alive'))).toBe('alive');
      expect(manager.workers[0].running).toEqual([]);
    },
  );

  test('return() of map() waits for the source’s own end, with what it throws, and not for tasks', async () => {
    const manager = pool({ ...serial, gracePeriod: 60_000 });
    const order = [];
    async function* source() {
      try {
        yield echo(1);
        yield wait('deaf');
        yield echo(2);
      } finally {
        await manager.ready();
        order.push('source');
      }
    }
    const results = manager.map(source(), { highWaterMark: 2 });
    await results.next();
    await results.return();
    order.push('returned');
    expect(order).toEqual(['source', 'returned']);

    const broken = {
      next: () => ({ done: false, value: echo(1) }),
      return: () => Promise.reject(new Error('stuck')),
    };
    const iterable = { [Symbol.asyncIterator]: () => broken };
    const second = manager.map(iterable, { highWaterMark: 1 });
    await second.next();
    await until(() => manager.stats().tasks.completed === 3, 'the next one is done');
    expect((await failure(second.return())).message).toBe('stuck');
    expect(await second.next()).toEqual(DONE);
    const third = manager.map(iterable, { highWaterMark: 1 });
    await third.next();
    expect((await failure(third.throw(new Error('the consumer’s')))).message).toBe(
      'the consumer’s',
    );
  });

  test('throw() of map() rejects with that error', async () => {
    const manager = pool({ worker });
    const counter = new Counter();
    const results = manager.map(counter.items(), { highWaterMark: 3 });
    await results.next();
    const reason = new Error('the consumer’s');
    await expect(results.throw(reason)).rejects.toBe(reason);
    expect(counter.closed).toBe(true);
    expect(await results.next()).toEqual(DONE);
    await expect(results.throw(reason)).rejects.toBe(reason);
  });

  test('return() of map() does not wait for a source whose next item is pending', async () => {
    const manager = pool({ worker });
    let returned = 0;
    const silent = {
      next: () => new Promise(() => {}),
      return: () => new Promise(() => (returned += 1)),
    };
    const results = manager.map({ [Symbol.asyncIterator]: () => silent });
    const waiting = [results.next(), results.next()];
    await results.return();
    expect(await Promise.all(waiting)).toEqual([DONE, DONE]);
    expect(returned).toBe(1);
  });

  test('return() of map() waits for a source whose next item comes at once', async () => {
    const manager = pool({ worker });
    for (const failing of [false, true]) {
      const order = [];
      async function* source() {
        try {
          for (let index = 0; ; index++) yield echo(index);
        } finally {
          await manager.run(echo('the last'));
          order.push('source');
          await (failing ? Promise.reject(new Error('at its end')) : undefined);
        }
      }
      const leave = async () => {
        for await (const _ of manager.map(source())) break;
      };
      if (failing) expect((await failure(leave())).message).toBe('at its end');
      else await leave();
      expect(order).toEqual(['source']);
    }
  });

  test('return() of map() ends while the pool has no room', async () => {
    const manager = pool({ ...serial, maxQueue: 0 });
    const running = manager.run(wait('full'));
    await waits(manager, 'full');
    const counter = new Counter();
    const results = manager.map(counter.items());
    const first = results.next();
    await until(() => counter.taken === 1, 'an item');
    await results.return();
    expect(await first).toEqual(DONE);
    expect(counter).toMatchObject({ closed: true, taken: 1 });
    manager.cancel(manager.workers[0].running[0]);
    expect(await failure(running)).toBeInstanceOf(AbortError);
    expect(await manager.run(echo('alive'))).toBe('alive');
    expect(manager.stats().tasks.accepted).toBe(2);
  });

  test('return() of map() may be called by its source and by a task’s own getter', async () => {
    const manager = pool({ worker });
    let results;
    let left;
    async function* source() {
      yield echo(1);
      left = results.return();
      yield echo(2);
    }
    results = manager.map(source(), { highWaterMark: 1 });
    await results.next();
    await left;
    expect(await results.next()).toEqual(DONE);
    const task = {
      get data() {
        left = results.return();
        return 5;
      },
    };
    results = manager.map([task, echo(1)]);
    expect(await results.next()).toEqual(DONE);
    await left;
    expect(await manager.run(echo('alive'))).toBe('alive');
  });
});

describe('map(): signal', () => {
  test('an aborted signal ends map() with AbortError at once, closes the source and cancels tasks', async () => {
    const manager = pool(meeting);
    const controller = new AbortController();
    const { signal } = controller;
    const counter = new Counter((index) => (index < 2 ? echo(index) : wait(index)));
    const results = manager.map(counter.items(), { signal, highWaterMark: 5 });
    expect(await results.next()).toEqual({ done: false, value: 0 });
    await until(() => manager.stats().tasks.completed === 2, 'a result that is not taken');
    controller.abort('enough');
    const error = await failure(results.next());
    expect(error).toBeInstanceOf(AbortError);
    expect(error).toMatchObject({ code: 'ABORT_ERR', cause: 'enough' });
    expect(counter.closed).toBe(true);
    expect(await results.next()).toEqual(DONE);
    await until(() => manager.stats().tasks.cancelled === 4, 'the others are cancelled');
  });

  test('a signal ends map() while the consumer waits for a source that yields nothing', async () => {
    const manager = pool({ worker });
    const controller = new AbortController();
    const stream = new PassThrough({ objectMode: true });
    const results = manager.map(stream, { signal: controller.signal });
    const waiting = [results.next(), results.next(), results.next()];
    stream.write(echo(1));
    expect(await waiting[0]).toEqual({ done: false, value: 1 });
    controller.abort();
    expect(await failure(waiting[1])).toMatchObject({
      name: 'AbortError',
      cause: controller.signal.reason,
    });
    expect(await waiting[2]).toEqual(DONE);
    expect(stream.destroyed).toBe(true);
  });

  test('map() with an aborted signal touches nothing', async () => {
    const manager = pool({ worker });
    const counter = new Counter();
    const results = manager.map(counter.items(), { signal: AbortSignal.abort('before') });
    expect(await failure(results.next())).toMatchObject({ code: 'ABORT_ERR', cause: 'before' });
    expect(counter.taken).toBe(0);
    expect(manager.stats().tasks.accepted).toBe(0);
  });

  test('a signal that aborts after the end of map() has no effect and no listener', async () => {
    const manager = pool({ worker });
    const controller = new AbortController();
    const { signal } = controller;
    let listeners = 0;
    const { addEventListener, removeEventListener } = EventTarget.prototype;
    signal.addEventListener = (...args) => {
      listeners += 1;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args) => {
      listeners -= 1;
      removeEventListener.apply(signal, args);
    };
    expect(await collect(manager.map(range(3).map(echo), { signal }))).toEqual(range(3));
    for await (const _ of manager.map(range(3).map(echo), { signal })) break;
    await failure(collect(manager.map([{ type: 'throw' }], { signal })));
    expect(listeners).toBe(0);
    controller.abort();
    expect(manager.stats().tasks).toMatchObject({ failed: 1 });
  });
});

describe('map(): streams', () => {
  test('a stream that is the source of map() is destroyed when the consumer leaves', async () => {
    const manager = pool({ worker });
    const stream = Readable.from(new Counter().items());
    for await (const result of manager.map(stream)) if (result === 100) break;
    expect(stream.destroyed).toBe(true);
  });

  test('a stream that is the source of map() and breaks rejects', async () => {
    const manager = pool({ worker });
    const stream = new PassThrough({ objectMode: true });
    stream.write(echo(1));
    const results = manager.map(stream);
    expect(await results.next()).toEqual({ done: false, value: 1 });
    stream.destroy(new Error('connection lost'));
    expect((await failure(results.next())).message).toBe('connection lost');
    expect(await results.next()).toEqual(DONE);
  });

  test('results of map() are the source of streams and pipelines', async () => {
    const manager = pool({ worker });
    const stream = Readable.from(manager.map(new Counter().items(1000)));
    expect(await collect(stream)).toEqual(range(1000));
    const left = Readable.from(manager.map(new Counter().items()));
    left.once('data', () => left.destroy());
    await once(left, 'close');
    expect(await manager.run(echo('alive'))).toBe('alive');
  });
});

describe('map(): next()', () => {
  test.each([true, false])(
    'next() of map() may be called again without waiting (ordered: %s)',
    async (ordered) => {
      const manager = pool({ worker });
      const results = manager.map(new Counter().items(20), { highWaterMark: 3, ordered });
      const answers = await Promise.all(range(25).map(() => results.next()));
      expect(answers.map(({ done }) => done)).toEqual(range(25).map((index) => index >= 20));
      expect(
        answers
          .slice(0, 20)
          .map(({ value }) => value)
          .sort((a, b) => a - b),
      ).toEqual(range(20));
      if (ordered)
        expect(answers.map(({ value }) => value)).toEqual([
          ...range(20),
          ...Array(5).fill(undefined),
        ]);
    },
  );

  test('one of several pending next() of map() rejects with the error', async () => {
    const manager = pool({ worker });
    const results = manager.map([echo(1), { type: 'throw', data: 'no' }, echo(2)]);
    const answers = await Promise.allSettled(range(4).map(() => results.next()));
    expect(answers.map(({ value, reason }) => value ?? reason.message)).toEqual([
      { done: false, value: 1 },
      'no',
      DONE,
      DONE,
    ]);
  });

  test('next() of map() rejects for wrong arguments, and map() throws nothing', async () => {
    const manager = pool({ worker });
    const wrong = [
      [[undefined], 'ERR_INVALID_ARG_TYPE', /"iterable" argument .* Received undefined/],
      [[{}], 'ERR_INVALID_ARG_TYPE', /"iterable" argument/],
      [[5], 'ERR_INVALID_ARG_TYPE', /"iterable" argument .* Received type number \(5\)/],
      [[[], 'x'], 'ERR_INVALID_ARG_TYPE', /"options" argument/],
      [[[], { order: true }], 'ERR_INVALID_ARG_VALUE', /did you mean "ordered"\?/],
      [[[], { ordered: 1 }], 'ERR_INVALID_ARG_TYPE', /options\.ordered/],
      [[[], { highWaterMark: 0 }], 'ERR_OUT_OF_RANGE', /options\.highWaterMark/],
      [[[], { highWaterMark: '5' }], 'ERR_INVALID_ARG_TYPE', /options\.highWaterMark/],
      [[[], { signal: {} }], 'ERR_INVALID_ARG_TYPE', /options\.signal/],
      [[[], { timeout: -1 }], 'ERR_OUT_OF_RANGE', /options\.timeout/],
      [[[], { filename: 'x.mjs' }], 'ERR_INVALID_ARG_VALUE', /options\.filename/],
    ];
    for (const [args, code, message] of wrong) {
      const results = manager.map(...args);
      const error = await failure(results.next());
      expect(error.code).toBe(code);
      expect(error.message).toMatch(message);
      expect(await results.next()).toEqual(DONE);
    }
    expect(manager.stats().tasks.accepted).toBe(0);
  });

  test('map() returns an async iterator like any other', () => {
    const results = pool({ worker }).map([]);
    expect(results[Symbol.asyncIterator]()).toBe(results);
    const ofGenerators = Object.getPrototypeOf(
      Object.getPrototypeOf(async function* () {}).prototype,
    );
    expect(Object.prototype.isPrototypeOf.call(ofGenerators, results)).toBe(true);
    expect(Reflect.ownKeys(results)).toEqual([]);
  });
});

test('task options of map() apply to each task', async () => {
  const manager = pool({ ...meeting, retryDelay: 1, restart: { minDelay: 1 } });
  expect(await collect(manager.map([{ data: 1 }, { data: 2 }], { handler: 'echo' }))).toEqual([
    1, 2,
  ]);
  const modules = pool();
  expect(await collect(modules.map([echo(1), echo(2)], { filename: worker }))).toEqual([1, 2]);
  const retried = collectUntilFailure(manager.map([{ type: 'exit' }], { retries: 2 }));
  expect((await retried).error).toMatchObject({ code: 'ERR_WORKER_CRASHED', attempts: 3 });
});

describe('map(): a pool that closes', () => {
  test.each([true, false])(
    'shutdown() lets map() finish what the pool accepted, then PoolClosedError (ordered: %s)',
    async (ordered) => {
      const manager = pool(meeting);
      let closed = false;
      async function* source() {
        try {
          yield wait('a');
          yield echo(1);
          yield open('a');
          // The source has no more items, and would keep the consumer waiting.
          await new Promise(() => {});
        } finally {
          closed = true;
        }
      }
      const results = manager.map(source(), { ordered });
      const values = [(await results.next()).value];
      const last = results.next();
      const shutdown = manager.shutdown();
      values.push((await last).value, (await results.next()).value);
      if (ordered) expect(values).toEqual(['a', 1, 'opens a']);
      else expect(values.sort()).toEqual([1, 'a', 'opens a']);
      expect(await failure(results.next())).toBeInstanceOf(PoolClosedError);
      expect(await results.next()).toEqual(DONE);
      await shutdown;
      // The source waits for an item, so its return() has to wait, and map() does not wait for
      // that.
      expect(closed).toBe(false);
    },
  );

  test('terminate() ends map() with PoolClosedError for what runs', async () => {
    const manager = pool(meeting);
    const counter = new Counter((index) => wait(index));
    const results = manager.map(counter.items());
    const first = failure(results.next());
    await waits(manager, 0);
    await manager.terminate();
    expect(await first).toBeInstanceOf(PoolClosedError);
    expect(counter.closed).toBe(true);
  });

  test('map() ends if its pool closes before it was opened, or while it is full', async () => {
    const closed = pool({ worker });
    await closed.shutdown();
    const counter = new Counter();
    expect(await failure(closed.map(counter.items()).next())).toBeInstanceOf(PoolClosedError);
    expect(counter.closed).toBe(true);

    const full = pool({ ...serial, maxQueue: 0 });
    const running = full.run(wait('full')).catch((error) => error);
    await waits(full, 'full');
    const results = full.map([echo(1)]);
    const first = failure(results.next());
    await full.terminate();
    expect(await first).toBeInstanceOf(PoolClosedError);
    expect(await running).toBeInstanceOf(PoolClosedError);
  });

  test('map() without room when its pool closes does not wait for a source that stalls', async () => {
    const manager = pool({ worker });
    async function* source() {
      yield echo(1);
      await new Promise(() => {});
    }
    const results = manager.map(source(), { highWaterMark: 1 });
    const first = results.next();
    const second = failure(results.next());
    await until(() => manager.stats().tasks.accepted === 1, 'its only task');
    const shutdown = manager.shutdown();
    expect(await first).toEqual({ done: false, value: 1 });
    expect(await second).toBeInstanceOf(PoolClosedError);
    expect(await results.next()).toEqual(DONE);
    await shutdown;
  });

  test('map() rejects if its pool breaks', async () => {
    const manager = pool({
      worker: moduleFile('throw new Error("no start")'),
      maxWorkers: 1,
      restart: { limit: 0 },
    });
    manager.on('error', () => {});
    expect(await failure(collect(manager.map([echo(1)])))).toMatchObject({
      code: 'ERR_POOL_BROKEN',
    });
  });
});

test('map() leaves no rejection unhandled, no child, and no process that does not end', async () => {
  const { code, stdout, stderr } = await program(`
    import { childrenOf } from ${PROC};
    import ProcessManager from 'bulkhead';

    const pool = new ProcessManager({ maxWorkers: 2 });
    async function* tasks() {
      try {
        for (let id = 0; ; id++) yield { id, data: id };
      } finally {
        throw new Error('a source that breaks at its end');
      }
    }
    const failing = { handler: 'there is none' };
    // Each map() is left in another way, while failures are in transit.
    for (const ordered of [true, false]) {
      const options = { ordered, highWaterMark: 20 };
      const left = pool.map(tasks(), { ...options, ...failing });
      left.next().catch(() => {});
      await left.return().catch(() => {});
      for (const more of [{}, failing, { signal: AbortSignal.timeout(5) }]) {
        try {
          for await (const result of pool.map(tasks(), { ...options, ...more })) if (more.signal === undefined) break;
        } catch (error) {
          console.log(error.message);
        }
      }
    }
    // The consumer neither asks for more nor closes the map(), or never asks at all.
    await pool.map(tasks()).next();
    pool.map(null);
    await pool.shutdown();
    console.log(childrenOf().length);`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.trim().split('\n');
  expect(lines.filter((line) => line === 'a source that breaks at its end')).toHaveLength(2);
  expect(lines.filter((line) => line.includes('has no handler "there is none"'))).toHaveLength(2);
  expect(lines.filter((line) => line === 'the map was cancelled')).toHaveLength(2);
  expect(lines.at(-1)).toBe('0');
});
