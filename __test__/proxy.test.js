// `pool.proxy`: the functions of the worker module, called as if they were local.

import { describe, expect, test } from 'vitest';
import { failure, fixture, moduleFile, pool, record, until } from './support/harness.js';

/** A pool with one worker, which runs this module. */
function poolOf(source, options, name = 'worker.mjs') {
  return pool({ worker: moduleFile(source, name), maxWorkers: 1, ...options });
}

const about = `
  export function about(first, second = 'default', ...rest) {
    const args = [...arguments].map((arg) => arg?.constructor?.name ?? String(arg));
    return { args, first, second, rest };
  }`;

describe('calls of a proxy', () => {
  test('[T11] a call gives the function its arguments, and nothing else', async () => {
    const { proxy } = poolOf(about);
    expect(await proxy.about()).toEqual({ args: [], second: 'default', rest: [] });
    expect(await proxy.about(1)).toEqual({
      args: ['Number'],
      first: 1,
      second: 'default',
      rest: [],
    });
    expect(await proxy.about({ type: 'a', id: 1 }, null)).toEqual({
      args: ['Object', 'null'],
      first: { type: 'a', id: 1 },
      second: null,
      rest: [],
    });
    expect(await proxy.about([1, [2]], 'b', 3, 4)).toMatchObject({
      first: [1, [2]],
      second: 'b',
      rest: [3, 4],
    });
  });

  test.each(['json', 'advanced'])(
    'a call keeps undefined arguments and results undefined (%s)',
    async (serialization) => {
      const { proxy } = poolOf(about, { serialization });
      expect(await proxy.about(undefined, undefined, 3)).toMatchObject({
        args: ['undefined', 'undefined', 'Number'],
        second: 'default',
        rest: [3],
      });
      expect(await proxy.about(null, undefined)).toMatchObject({
        args: ['null', 'undefined'],
        first: null,
      });
      expect((await proxy.about(Buffer.from('ab'), undefined, undefined)).args).toEqual([
        'Buffer',
        'undefined',
        'undefined',
      ]);
    },
  );

  test('a call takes bytes and long texts, and returns them', async () => {
    const { proxy } = poolOf('export const both = (a, { b }) => [b, a];');
    const bytes = new Float64Array(100_000).fill(1.5);
    expect(await proxy.both(bytes, { b: Buffer.from('b') })).toEqual([Buffer.from('b'), bytes]);
    const text = 'long '.repeat(50_000);
    expect(await proxy.both(1, { b: text })).toEqual([text, 1]);
  });

  test('a call resolves with what a task would', async () => {
    const { proxy } = poolOf(`
      export const nothing = () => {};
      export const later = async (n) => { await null; return n; };
      export async function* countTo(n) { for (let i = 1; i <= n; i++) yield i; }
      export const enveloped = (id) => ({ taskId: id, result: 'inside', processedBy: 1 });`);
    expect(await proxy.nothing()).toBeUndefined();
    expect(await proxy.later(7)).toBe(7);
    expect(await proxy.countTo(3)).toEqual([1, 2, 3]);
    expect(await proxy.enveloped('a')).toBe('inside');
  });

  test('a call finds entries of handlers first, and the default export', async () => {
    const { proxy } = poolOf(`
      export default (...args) => ['default', args];
      export const handlers = { unit: 'px', width(n) { return n + this.unit; }, both: () => 'entry' };
      export const both = () => 'function';`);
    expect(await proxy.width(3)).toBe('3px');
    expect(await proxy.both()).toBe('entry');
    expect(await proxy.default(1, 2)).toEqual(['default', [1, 2]]);
    expect(await proxy.processTask()).toEqual(['default', []]);
  });

  test('a call is a task like others', async () => {
    const manager = poolOf(`${about} export default (task) => task;`, { concurrency: 4 });
    const log = record(manager, ['result', 'error']);
    const outcomes = Array.from({ length: 200 }, (_, n) =>
      n % 2 ? manager.run(n) : manager.proxy.about(n),
    );
    expect(await Promise.all(outcomes)).toEqual(
      Array.from({ length: 200 }, (_, n) =>
        n % 2 ? n : { args: ['Number'], first: n, second: 'default', rest: [] },
      ),
    );
    expect(manager.stats().tasks).toMatchObject({ accepted: 200, completed: 200 });
    expect(log).toEqual([]);
  });
});

describe('calls of a proxy that reject', () => {
  const source = `
    export const handlers = { resize: () => 1 };
    export const crop = (how) => { throw Object.assign(new RangeError('too small'), { how }); };
    export const exit = () => process.exit(3);
    export const setup = () => {};`;

  test('a call rejects with what the function throws', async () => {
    const { proxy } = poolOf(source);
    expect(await failure(proxy.crop('much'))).toMatchObject({
      name: 'RangeError',
      message: 'too small',
      how: 'much',
    });
  });

  test('a call of a function that the module lacks rejects, and lists what it has', async () => {
    const { proxy } = poolOf(source);
    for (const name of ['absent', 'setup', 'handlers', 'default', 'toLocaleLowerCase', '']) {
      const error = await failure(proxy[name]());
      expect(error).toBeInstanceOf(TypeError);
      if (name !== '')
        expect(error.message).toMatch(
          /the module has resize, and by the option "handler" crop, exit$/,
        );
    }
  });

  test('a call rejects when its worker dies, and the next call works', async () => {
    const manager = poolOf(source, { restart: { minDelay: 1 } });
    expect(await failure(manager.proxy.exit())).toMatchObject({
      code: 'ERR_WORKER_CRASHED',
      exitCode: 3,
    });
    expect(await manager.proxy.resize()).toBe(1);
  });

  test.each(['json', 'advanced'])(
    'a call rejects for arguments that cannot be sent (%s)',
    async (serialization) => {
      const manager = poolOf(source, { serialization, maxMessageSize: 10_000 });
      const { resize } = manager.proxy;
      const cycle = {};
      cycle.self = cycle;
      expect(await failure(resize(1, () => {}))).toMatchObject({ code: 'ERR_SERIALIZATION' });
      expect(await failure(resize(Symbol('s')))).toMatchObject({ code: 'ERR_SERIALIZATION' });
      if (serialization === 'json') {
        expect(await failure(resize(cycle))).toMatchObject({ code: 'ERR_SERIALIZATION' });
        expect(await failure(resize(1, () => {}))).toMatchObject({
          path: 'arguments[1]',
          cause: expect.any(TypeError),
        });
      }
      expect(await failure(resize('x'.repeat(20_000)))).toMatchObject({
        code: 'ERR_MESSAGE_TOO_LARGE',
      });
      expect(manager.stats().tasks.accepted).toBe(0);
    },
  );

  test('a call rejects in a pool that is closed', async () => {
    const manager = poolOf(source);
    const { proxy } = manager;
    await manager.shutdown();
    expect(await failure(proxy.resize())).toMatchObject({ code: 'ERR_POOL_CLOSED' });
  });

  test('a call rejects where workers have no functions to call, and starts none', async () => {
    const foreign = pool({ worker: { command: '/nowhere/program' } });
    expect(await failure(foreign.proxy.resize(1))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringMatching(
        /'proxy\.resize' cannot be called in a \{ command, args \} worker/,
      ),
    });
    const builtIn = pool({});
    expect(await failure(builtIn.proxy.resize(1))).toMatchObject({
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: expect.stringMatching(/'proxy\.resize' is in no module.* filename/),
    });
    expect([foreign.stats().tasks.accepted, builtIn.stats().tasks.accepted]).toEqual([0, 0]);
  });

  test('a call rejects in a fork-style script, which goes on', async () => {
    const manager = poolOf(`
      process.on('message', ({ id, data }) => process.send({ taskId: id, result: data }));
      export const helper = () => 1;`);
    expect(await failure(manager.proxy.helper())).toMatchObject({
      name: 'TypeError',
      message: expect.stringMatching(/fork-style script.* "helper"/),
    });
    expect(await manager.run({ data: 2 })).toBe(2);
  });
});

describe('createProxy()', () => {
  test('[T11] createProxy() takes options for its calls', async () => {
    const manager = poolOf(
      `export const never = () => new Promise(() => {});
       export const attempts = (_, ...args) => args.length;`,
      { gracePeriod: 100, restart: { minDelay: 1 } },
    );
    const quick = manager.createProxy({ timeout: 50 });
    expect(await failure(quick.never())).toMatchObject({ code: 'ERR_TASK_TIMEOUT', timeout: 50 });
    const controller = new AbortController();
    const cancelled = manager.createProxy({ signal: controller.signal });
    const pending = failure(cancelled.never());
    await until(
      () => manager.workers.some(({ running }) => running.length > 0),
      'the call has started',
    );
    controller.abort(new Error('enough'));
    expect(await pending).toMatchObject({ code: 'ABORT_ERR', cause: { message: 'enough' } });
    expect(await failure(cancelled.attempts())).toMatchObject({ code: 'ABORT_ERR' });
    expect(await manager.proxy.attempts(1, 2)).toBe(1);
  });

  test('createProxy() is not affected by later changes to its options', async () => {
    const options = { filename: moduleFile('export const where = () => import.meta.url;') };
    const manager = pool({ maxWorkers: 1 });
    const proxy = manager.createProxy(options);
    options.filename = '/nowhere/at/all.mjs';
    options.unknown = true;
    expect(await proxy.where()).toMatch(/^file:.*worker\.mjs$/);
  });

  test('createProxy() with a filename is for the built-in worker', async () => {
    const filename = moduleFile(`${about} export const handlers = { twice: (n) => 2 * n };`);
    const manager = pool({ maxWorkers: 1 });
    const proxy = manager.createProxy({ filename });
    const both = await Promise.all([proxy.twice(2), proxy.about(undefined, 3)]);
    expect(both).toEqual([4, { args: ['undefined', 'Number'], second: 3, rest: [] }]);
    expect(await proxy.about(1)).toMatchObject({ args: ['Number'] });
    expect((await failure(proxy.absent())).message).toMatch(
      /the module has twice, and by the option "handler" about$/,
    );
    expect(
      await failure(manager.createProxy({ filename: '/nowhere/at/all.mjs' }).twice()),
    ).toMatchObject({
      code: 'ERR_MODULE_NOT_FOUND',
    });
  });

  test('createProxy() throws for wrong options', () => {
    const manager = poolOf(about);
    const refused = (options) => {
      try {
        manager.createProxy(options);
      } catch ({ code, message }) {
        return `${code} ${message}`;
      }
    };
    expect(refused({ timeout: '5' })).toMatch(/^ERR_INVALID_ARG_TYPE .*options\.timeout/);
    expect(refused({ timeout: -1 })).toMatch(/^ERR_OUT_OF_RANGE .*options\.timeout/);
    expect(refused({ tiemout: 1 })).toMatch(/^ERR_INVALID_ARG_VALUE .*did you mean "timeout"/);
    expect(refused({ handler: 'about' })).toMatch(/^ERR_INVALID_ARG_VALUE .*options\.handler/);
    expect(refused({ filename: './other.mjs' })).toMatch(
      /^ERR_INVALID_ARG_VALUE .*options\.filename/,
    );
    expect(refused(7)).toMatch(/^ERR_INVALID_ARG_TYPE .*"options"/);
    expect(refused(null)).toMatch(/^ERR_INVALID_ARG_TYPE .*"options"/);
    expect(refused(undefined)).toBeUndefined();
  });
});

describe('a proxy as an object', () => {
  const manager = () =>
    poolOf(`${about} export const handlers = { then: (resolve) => resolve('called') };`);

  test('a proxy is made once, with functions that are made once', async () => {
    const it = manager();
    expect(it.proxy).toBe(it.proxy);
    expect(it.createProxy()).not.toBe(it.proxy);
    expect(it.proxy.about).toBe(it.proxy.about);
    expect(it.proxy.about).not.toBe(it.proxy.other);
    expect(it.proxy.about.name).toBe('about');
    const { about: taken } = it.proxy;
    expect(await taken(1)).toMatchObject({ first: 1 });
    expect(await [1, 2].map(it.proxy.about)[1]).toMatchObject({
      first: 2,
      second: 1,
      rest: [[1, 2]],
    });
  });

  test('a proxy is no promise', async () => {
    const it = manager();
    expect(it.proxy.then).toBeUndefined();
    expect((await it.proxy) === it.proxy).toBe(true);
    expect((await Promise.resolve(it.proxy)) === it.proxy).toBe(true);
    expect(it.stats().tasks.accepted).toBe(0);
    // As the handler of a task it has the context as its second argument, and returns what cannot
    // be sent.
    await expect(it.run(1, { handler: 'about' })).rejects.toMatchObject({
      code: 'ERR_SERIALIZATION',
      path: 'second',
    });
  });

  test('a proxy starts no task when it is inspected', () => {
    const it = manager();
    const { proxy } = it;
    expect(`${proxy}`).toBe('[object Object]');
    expect(JSON.stringify({ proxy })).toBe('{"proxy":{}}');
    expect(Object.keys(proxy)).toEqual([]);
    expect({ ...proxy }).toEqual({});
    for (const symbol of [
      Symbol.iterator,
      Symbol.asyncIterator,
      Symbol.toPrimitive,
      Symbol.toStringTag,
      Symbol('own'),
    ]) {
      expect(proxy[symbol]).toBeUndefined();
      expect(symbol in proxy).toBe(false);
    }
    expect(['about' in proxy, 'absent' in proxy, 'then' in proxy, 'toJSON' in proxy]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    expect(Object.hasOwn(proxy, 'about')).toBe(false);
    expect(proxy.constructor).toBe(Object);
    expect(it.stats().tasks.accepted).toBe(0);
  });

  test('a proxy cannot be changed', async () => {
    const { proxy } = manager();
    const mine = () => 'mine';
    expect(() => {
      proxy.about = mine;
    }).toThrow(TypeError);
    expect(() => Object.defineProperty(proxy, 'about', { value: mine })).toThrow(TypeError);
    expect(() => Object.setPrototypeOf(proxy, { mine })).toThrow(TypeError);
    expect(await proxy.about(1)).toMatchObject({ first: 1 });
  });
});

test('a call cannot reach what the handlers of another object inherit', async () => {
  const { proxy } = poolOf(
    'export default Object.assign(Object.create({ inherited: () => 1 }), { own: () => 2 });',
  );
  expect(await failure(proxy.inherited())).toBeInstanceOf(TypeError);
  expect(await proxy.own()).toBe(2);
});

test("the types of a module's proxy say what its functions do", async () => {
  const { proxy, ...rest } = { proxy: pool({ worker: fixture('typed.mts'), maxWorkers: 1 }).proxy };
  expect(rest).toEqual({});
  const [sum, counted, letters, greeting, resized, enveloped] = await Promise.all([
    proxy.add(1, 2, 3),
    proxy.countTo(3),
    proxy.letters('abc'),
    proxy.greet('you', undefined),
    failure(proxy.resize({ type: 'resize', data: Buffer.from('12'), width: 3 })),
    proxy.enveloped('a'),
  ]);
  expect([sum, counted, letters, greeting]).toEqual([6, [1, 2, 3], ['a', 'b', 'c'], 'Hi you']);
  // Handlers that use a context are for tasks.
  expect(resized).toBeInstanceOf(TypeError);
  expect(enveloped).toEqual(new Uint8Array(2));
});
