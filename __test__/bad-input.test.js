// Wrong input from users and wrong output from handlers. Each gives the right error, which says
// what is wrong, and the pool serves on.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import ProcessManager, {
  MessageTooLargeError,
  PoolBrokenError,
  PoolClosedError,
  QueueFullError,
  SerializationError,
  WorkerStartError,
} from '../index.mjs';
import {
  failure,
  fixture,
  gate,
  moduleFile,
  pool,
  program,
  project,
  record,
  started,
} from './support/harness.js';

const worker = moduleFile(`
  const deep = (depth) => { let value = []; for (let i = 1; i < depth; i++) value = [value]; return value; };
  export const handlers = {
    echo: (task) => task.data,
    pid: () => process.pid,
    deep: (task) => deep(task.data),
    long: (task) => 'x'.repeat(task.data),
    function: () => () => 1,
    symbol: () => Symbol('s'),
    bigint: () => ({ list: [1, { n: 2n }] }),
    cycle: () => { const value = { name: 'cycle' }; value.inner = { value }; return value; },
    getter: () => ({ get broken() { throw new RangeError('the getter is broken'); } }),
    toJSON: () => ({ a: { toJSON() { throw new TypeError('no JSON today'); } } }),
    proxy: () => new Proxy({}, { ownKeys() { throw new Error('the trap is shut'); } }),
    revoked: () => { const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); return proxy; },
    members: () => ({ fn() {}, nothing: undefined, list: [undefined, () => 1] }),
    thenable: () => ({ then: 'no function' }),
    lazy: () => ({ then(resolve) { resolve('resolved'); } }),
  };
  export default (task) => task;`);

let manager;
/** Tries a wrong task with every method that takes one, and checks that the pool is unchanged. */
async function refused(task, options) {
  const { accepted } = manager.stats().tasks;
  const thrown = await failure(() => manager.distributeTask(task, options));
  expect(() => manager.distributeTask(task, options)).toThrow();
  let promise;
  expect(() => {
    promise = manager.run(task, options);
  }).not.toThrow();
  const rejected = await failure(promise);
  expect([rejected.name, rejected.code, rejected.message]).toEqual([
    thrown.name,
    thrown.code,
    thrown.message,
  ]);
  await expect(manager.run({ type: 'echo', data: 'alive' })).resolves.toBe('alive');
  expect(manager.stats().tasks.accepted).toBe(accepted + 1);
  return thrown;
}

/** Arrays nested in arrays. */
function nested(depth) {
  let value = [];
  for (let i = 1; i < depth; i++) value = [value];
  return value;
}

function depthOf(value) {
  let depth = 0;
  for (let inner = value; Array.isArray(inner); inner = inner[0]) depth += 1;
  return depth;
}

/** The flag had another name before Node 23.5. */
const permissionFlag = process.allowedNodeEnvironmentFlags.has('--permission')
  ? '--permission'
  : '--experimental-permission';

describe('tasks that cannot be sent', () => {
  beforeEach(() => {
    manager = pool({ worker, maxWorkers: 1, maxMessageSize: 10_000 });
  });
  afterEach(async () => {
    expect(manager.stats().tasks).toMatchObject({ failed: 0, cancelled: 0 });
    await manager.shutdown();
  });

  test('[F2] undefined, a function or a symbol as a task is refused', async () => {
    for (const [task, name] of [
      [undefined, 'undefined'],
      [() => 1, 'function'],
      [Symbol('s'), 'symbol'],
      [{ toJSON: () => undefined }, 'undefined'],
    ]) {
      const error = await refused(task);
      expect(error).toBeInstanceOf(SerializationError);
      expect(error.code).toBe('ERR_SERIALIZATION');
      expect(error.message).toContain(name);
    }
  });

  test('[F1] a task with a cycle is refused', async () => {
    const task = { id: 1, data: { list: [0] } };
    task.data.list.push({ task });
    const error = await refused(task);
    expect(error).toMatchObject({
      name: 'SerializationError',
      code: 'ERR_SERIALIZATION',
      path: 'data.list[1].task',
    });
    expect(error.message).toContain('data.list[1].task');
    expect(error.cause).toBeInstanceOf(TypeError);
    const array = [];
    array.push(array);
    expect((await refused(array)).cause).toBeInstanceOf(TypeError);
  });

  test('[F1] a task with a BigInt is refused', async () => {
    const error = await refused({ id: 1, data: { sum: [1, 2n] } });
    expect(error).toMatchObject({ code: 'ERR_SERIALIZATION', path: 'data.sum[1]' });
    expect(error.message).toContain('BigInt');
    expect(error.cause).toBeInstanceOf(TypeError);
    expect((await refused(1n)).message).toContain('BigInt');
  });

  test('[F8] a task nested 100 000 deep is refused', async () => {
    for (const task of [nested(100_000), { id: 1, data: nested(100_000) }]) {
      const error = await refused(task);
      expect(error).toBeInstanceOf(SerializationError);
      expect(error.cause).toBeInstanceOf(RangeError);
      expect(error.message).toContain('too deep');
      expect(error.message.length).toBeLessThan(300);
    }
  });

  test('[F3] what a getter, a toJSON or a trap throws is the cause of the SerializationError', async () => {
    const cause = new EvalError('on purpose');
    const fail = () => {
      throw cause;
    };
    const tasks = {
      getter: Object.defineProperty({ id: 1 }, 'data', { get: fail, enumerable: true }),
      'deep getter': {
        id: 1,
        data: [Object.defineProperty({}, 'x', { get: fail, enumerable: true })],
      },
      'getter of the id': Object.defineProperty({ data: 1 }, 'id', { get: fail, enumerable: true }),
      toJSON: { id: 1, data: { toJSON: fail } },
      'getter of toJSON': { id: 1, data: Object.defineProperty({}, 'toJSON', { get: fail }) },
      'own toJSON': { id: 1, toJSON: fail },
      ownKeys: new Proxy({}, { ownKeys: fail }),
      get: new Proxy({ id: 1 }, { get: fail }),
      getPrototypeOf: { id: 1, data: new Proxy({ a: 1 }, { getPrototypeOf: fail, ownKeys: fail }) },
      array: { id: 1, data: new Proxy([1], { get: fail }) },
    };
    for (const [name, task] of Object.entries(tasks)) {
      const error = await refused(task);
      expect(error, name).toBeInstanceOf(SerializationError);
      expect(error.cause, name).toBe(cause);
      expect(error.message).toContain('on purpose');
    }
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    expect(await refused(proxy)).toBeInstanceOf(SerializationError);
  });

  test('a getter of a task may throw anything', async () => {
    for (const thrown of [null, undefined, 'text', Object.create(null), Symbol('s')]) {
      const task = {
        id: 1,
        toJSON() {
          throw thrown;
        },
      };
      const error = await refused(task);
      expect(error).toBeInstanceOf(SerializationError);
      expect(error.cause).toBe(thrown);
    }
  });

  test('[F9, V5] a task larger than maxMessageSize is refused', async () => {
    const envelope = JSON.stringify({ id: 1, data: '' }).length;
    for (const [data, size] of [
      ['x'.repeat(10_001 - envelope), 10_001],
      // Raw bytes leave a null in the JSON, and one byte more that names their encoding.
      ['x'.repeat(1_000_000), 1_000_000 + envelope + 3],
      // Text that is longer as UTF-8 than as a string.
      ['€'.repeat(5_000), 15_000 + envelope],
      [Buffer.alloc(10_001), 10_001 + envelope + 2],
    ]) {
      const error = await refused({ id: 1, data });
      expect(error).toBeInstanceOf(MessageTooLargeError);
      expect(error).toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE', size, limit: 10_000 });
      expect(error.message).toContain(String(size));
      expect(error.message).toContain('maxMessageSize');
    }
    const exactly = 'x'.repeat(10_000 - envelope);
    await expect(manager.run({ id: 1, data: exactly })).resolves.toEqual({ id: 1, data: exactly });
  });

  test('wrong options of a task are refused', async () => {
    for (const [options, code, name] of [
      [null, 'ERR_INVALID_ARG_TYPE', 'options'],
      [7, 'ERR_INVALID_ARG_TYPE', 'options'],
      [{ timeout: '1' }, 'ERR_INVALID_ARG_TYPE', 'options.timeout'],
      [{ timeout: -1 }, 'ERR_OUT_OF_RANGE', 'options.timeout'],
      [{ timeout: Number.NaN }, 'ERR_OUT_OF_RANGE', 'options.timeout'],
      [{ retries: 1.5 }, 'ERR_OUT_OF_RANGE', 'options.retries'],
      [{ signal: {} }, 'ERR_INVALID_ARG_TYPE', 'options.signal'],
      [{ handler: '' }, 'ERR_INVALID_ARG_VALUE', 'options.handler'],
      [{ handler: 1 }, 'ERR_INVALID_ARG_TYPE', 'options.handler'],
      [{ filename: 'a.mjs' }, 'ERR_INVALID_ARG_VALUE', 'options.filename'],
      [{ timeOut: 1 }, 'ERR_INVALID_ARG_VALUE', 'options.timeOut'],
    ]) {
      const error = await refused({ id: 1 }, options);
      expect(error.code).toBe(code);
      expect(error.message).toContain(name);
    }
    expect((await refused({ id: 1 }, { timeOut: 1 })).message).toContain('did you mean "timeout"');
    expect((await refused({ id: 1 }, { signal: AbortSignal.abort('why') })).cause).toBe('why');
  });

  test('exec() refuses what is no function that could run elsewhere', async () => {
    for (const [fn, args, name] of [
      ['() => 1', [], 'fn'],
      [undefined, [], 'fn'],
      [Math.max, [], 'fn'],
      [(() => 1).bind(null), [], 'fn'],
      [class {}, [], 'fn'],
      [() => 1, 'no array', 'args'],
    ]) {
      let promise;
      expect(() => {
        promise = manager.exec(fn, args);
      }).not.toThrow();
      const error = await failure(promise);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.code).toMatch(/^ERR_INVALID_ARG_(TYPE|VALUE)$/);
      expect(error.message).toContain(name);
    }
    expect(await failure(manager.exec((x) => x, [1n]))).toBeInstanceOf(SerializationError);
    await expect(manager.exec((a, b) => a + b, [1, 2])).resolves.toBe(3);
  });

  test('cancel() refuses what is no id', async () => {
    for (const id of [undefined, null, {}, 1n]) {
      expect(() => manager.cancel(id)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
      );
    }
    expect(manager.cancel('unknown')).toBe(false);
    expect(manager.cancel(Number.NaN)).toBe(false);
  });
});

describe('user code that runs while a task is accepted', () => {
  test('[F4] a getter of a task may give the pool other tasks', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    const inner = [];
    const task = {
      id: 'outer',
      toJSON() {
        inner.push(manager.run({ id: 'inner', type: 'echo', data: inner.length }));
        return { id: 'outer', data: 'from toJSON' };
      },
    };
    await expect(manager.run(task)).resolves.toEqual({ id: 'outer', data: 'from toJSON' });
    expect(await Promise.all(inner)).toEqual([0]);
  });

  test('[F4] a getter of a task may shut the pool down: the task is refused', async () => {
    for (const method of ['shutdown', 'terminate']) {
      manager = pool({ worker, maxWorkers: 1 });
      await manager.run({ type: 'echo' });
      let closing;
      const task = {
        id: 1,
        get data() {
          closing = manager[method]();
          return 1;
        },
      };
      expect(() => manager.distributeTask(task)).toThrow(PoolClosedError);
      expect(await closing).toMatchObject({ rejected: 0 });
      expect(manager.stats().tasks).toMatchObject({ accepted: 1, completed: 1 });
    }
  });

  test('a getter of a task may abort its signal: the task is refused', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    const controller = new AbortController();
    const task = {
      get data() {
        controller.abort('changed my mind');
        return 1;
      },
    };
    const error = await failure(manager.run(task, { signal: controller.signal }));
    expect(error).toMatchObject({
      name: 'AbortError',
      code: 'ABORT_ERR',
      cause: 'changed my mind',
    });
    expect(manager.stats().tasks.accepted).toBe(0);
  });

  test('each property of a task is read once', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    let reads = 0;
    class Odd {
      get data() {
        return 'on the prototype';
      }
    }
    const task = Object.assign(new Odd(), { id: 1, type: 'echo' });
    Object.defineProperty(task, 'data', {
      enumerable: true,
      get() {
        reads += 1;
        return `read ${reads}`;
      },
    });
    await expect(manager.run(task)).resolves.toBe('read 1');
    expect(reads).toBe(1);
  });
});

describe('unusual tasks', () => {
  test('[F14] null, empty, false and bare values are tasks', async () => {
    manager = pool({
      worker: moduleFile('export default (task) => ({ got: task });'),
      maxWorkers: 1,
    });
    for (const task of [
      null,
      '',
      'text',
      0,
      -1.5,
      false,
      true,
      [],
      [null],
      {},
      { id: null },
      { id: { a: 1 } },
    ]) {
      expect(await manager.run(task)).toEqual({ got: task });
      expect(manager.distributeTask(task)).toEqual(expect.any(Number));
    }
  });

  test('the id of a task is any string or finite number, and nothing else', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    const log = record(manager, ['result']);
    const ids = [
      '',
      '0',
      'a\0b',
      '\ud800',
      'x'.repeat(10_000),
      0,
      -1,
      1.5,
      2 ** 60,
      Number.MAX_VALUE,
      '__proto__',
    ];
    for (const id of ids) expect(manager.distributeTask({ id, type: 'echo' })).toBe(id);
    for (const id of [undefined, null, Number.NaN, Infinity, true, {}, [1]]) {
      expect(manager.distributeTask({ id, type: 'echo' })).toEqual(expect.any(Number));
    }
    expect(Object.is(manager.distributeTask({ id: -0, type: 'echo' }), -0)).toBe(true);
    await manager.shutdown();
    expect(log.slice(0, ids.length).map(([, { taskId }]) => taskId)).toEqual(ids);
    expect(log).toHaveLength(ids.length + 8);
  });

  test('[F12] two tasks may have the same id: both run', async () => {
    manager = pool({ worker, maxWorkers: 2 });
    const log = record(manager, ['result', 'error']);
    for (const data of ['one', 'two', 'three'])
      manager.distributeTask({ id: 'same', type: 'echo', data });
    manager.distributeTask({ id: 'same', type: 'unknown type' });
    await manager.shutdown();
    expect(log.every(([, { taskId }]) => taskId === 'same')).toBe(true);
    expect(new Set(log.map(([, { result }]) => result))).toEqual(
      new Set(['one', 'two', 'three', { id: 'same', type: 'unknown type' }]),
    );
  });

  test('[F13] a task is a snapshot: later changes to it have no effect', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    const task = { id: 1, type: 'echo', data: { list: [1, 2, 3] } };
    const first = manager.run(task);
    task.data.list.push(4);
    task.type = 'pid';
    task.id = 2;
    const second = manager.run(task);
    expect(await first).toEqual({ list: [1, 2, 3] });
    expect(await second).toEqual(expect.any(Number));
  });
});

describe('results that cannot be sent', () => {
  test('[F10, P8] a result that cannot be sent ends its task with the reason, and the worker lives', async () => {
    manager = pool({ worker, maxWorkers: 1, maxMessageSize: 100_000 });
    const pid = await manager.run({ type: 'pid' });
    for (const [type, name, cause] of [
      ['function', 'function', 'TypeError'],
      ['symbol', 'symbol', 'TypeError'],
      ['bigint', 'list[1].n', 'TypeError'],
      ['cycle', 'inner.value', 'TypeError'],
      ['getter', 'the getter is broken', 'RangeError'],
      ['toJSON', 'no JSON today', 'TypeError'],
      ['proxy', 'the trap is shut', 'Error'],
    ]) {
      const error = await failure(manager.run({ id: type, type }));
      expect(error, type).toBeInstanceOf(SerializationError);
      expect(error).toMatchObject({ code: 'ERR_SERIALIZATION', taskId: type, workerId: 1, pid });
      expect(error.message).toContain(name);
      expect(error.cause.name, type).toBe(cause);
    }
    expect((await failure(manager.run({ type: 'bigint' }))).path).toBe('list[1].n');
    // Not even `then` of the value can be read: that fails as it would with `await`.
    expect(await failure(manager.run({ type: 'revoked' }))).toBeInstanceOf(TypeError);

    const error = await failure(manager.run({ type: 'long', data: 100_000 }));
    expect(error).toBeInstanceOf(MessageTooLargeError);
    expect(error).toMatchObject({
      code: 'ERR_MESSAGE_TOO_LARGE',
      size: 100_005,
      limit: 100_000,
      pid,
    });
    await expect(manager.run({ type: 'long', data: 99_995 })).resolves.toHaveLength(99_995);
    expect(await manager.run({ type: 'pid' })).toBe(pid);
  });

  test('members of a result that JSON has no form for are left out', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    expect(await manager.run({ type: 'members' })).toEqual({ list: [null, null] });
    expect(await manager.run({ type: 'thenable' })).toHaveProperty('then', 'no function');
    expect(await manager.run({ type: 'lazy' })).toBe('resolved');
  });

  test('a deep result arrives or fails its task, and has no other effect', async () => {
    manager = pool({ worker, maxWorkers: 1 });
    const pid = await manager.run({ type: 'pid' });
    for (const depth of [100, 1_000, 3_000]) {
      expect(depthOf(await manager.run({ type: 'deep', data: depth }))).toBe(depth);
    }
    const error = await failure(manager.run({ type: 'deep', data: 100_000 }));
    expect(error).toBeInstanceOf(SerializationError);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect(await manager.run({ type: 'pid' })).toBe(pid);
  });
});

describe('a full queue', () => {
  const announcing = fixture('announcing.mjs');

  test('[G22, T7] maxQueue bounds the tasks that wait', async () => {
    manager = pool({ worker: announcing, maxWorkers: 1, prefetch: 1, maxQueue: 3 });
    const begun = started(manager, 'runs');
    const { path, open } = gate();
    const tasks = [manager.run({ id: 'runs', type: 'until', data: path })];
    await begun;
    for (let i = 0; i < 3; i++) tasks.push(manager.run({ type: 'echo', data: i }));
    const error = await failure(() => manager.distributeTask({ id: 'too many', type: 'echo' }));
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({ code: 'ERR_QUEUE_FULL', limit: 3 });
    expect(error.message).toContain('maxQueue');
    expect(await failure(manager.run({ type: 'echo' }))).toMatchObject({ code: 'ERR_QUEUE_FULL' });
    open();
    expect(await Promise.all(tasks)).toEqual(['opened', 0, 1, 2]);
    await expect(manager.run({ type: 'echo', data: 'room' })).resolves.toBe('room');
    expect(manager.stats().tasks.accepted).toBe(5);
  });

  test('maxQueue 0 accepts as many tasks as can run at once', async () => {
    manager = pool({ worker: announcing, maxWorkers: 2, concurrency: 2, maxQueue: 0 });
    const tasks = [];
    for (let i = 0; i < 4; i++) tasks.push(manager.run({ type: 'sleep', data: 30 }));
    expect(await failure(manager.run({ type: 'echo' }))).toMatchObject({
      code: 'ERR_QUEUE_FULL',
      limit: 0,
    });
    expect(await Promise.all(tasks)).toEqual([30, 30, 30, 30]);
    await manager.ready();
    await expect(manager.run({ type: 'echo', data: 1 })).resolves.toBe(1);
  });

  test('[T7] maxQueueBytes bounds the bytes of the tasks that wait', async () => {
    manager = pool({ worker: announcing, maxWorkers: 1, prefetch: 1, maxQueueBytes: 100_000 });
    const begun = started(manager, 'runs');
    const { path, open } = gate();
    const tasks = [manager.run({ id: 'runs', type: 'until', data: path })];
    await begun;
    const half = 'x'.repeat(60_000);
    tasks.push(manager.run({ type: 'echo', data: half }));
    const error = await failure(() => manager.distributeTask({ type: 'echo', data: half }));
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error.message).toContain('maxQueueBytes');
    expect(await failure(manager.run({ type: 'echo', data: Buffer.alloc(60_000) }))).toBeInstanceOf(
      QueueFullError,
    );
    tasks.push(manager.run({ type: 'echo', data: 'small' }));
    open();
    expect(await Promise.all(tasks)).toEqual(['opened', half, 'small']);
    await expect(manager.run({ type: 'echo', data: half })).resolves.toBe(half);
  });

  test('[T8] a producer that awaits ready() stays within maxQueue', async () => {
    manager = pool({ worker: fixture('basic.mjs'), maxWorkers: 2, maxQueue: 4 });
    const results = [];
    for (let data = 0; data < 500; data++) {
      await manager.ready();
      results.push(manager.run({ type: 'echo', data }));
    }
    expect(await Promise.all(results)).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });
});

describe('pools that cannot be made', () => {
  test('[G21] wrong options throw at once, by name and value', () => {
    for (const [options, Class, code, name] of [
      [null, TypeError, 'ERR_INVALID_ARG_TYPE', 'options'],
      ['worker.js', TypeError, 'ERR_INVALID_ARG_TYPE', 'options'],
      [{ maxWorkers: 0 }, RangeError, 'ERR_OUT_OF_RANGE', 'options.maxWorkers'],
      [{ maxWorkers: 1e9 }, RangeError, 'ERR_OUT_OF_RANGE', '1000000000'],
      [{ minWorkers: Number.NaN }, RangeError, 'ERR_OUT_OF_RANGE', 'NaN'],
      [{ taskTimeout: '5s' }, TypeError, 'ERR_INVALID_ARG_TYPE', "'5s'"],
      [{ maxWorker: 1 }, TypeError, 'ERR_INVALID_ARG_VALUE', 'did you mean "maxWorkers"'],
      [{ worker: 7 }, TypeError, 'ERR_INVALID_ARG_TYPE', 'options.worker'],
      [
        { worker: new URL('https://example.org/worker.js') },
        TypeError,
        'ERR_INVALID_ARG_VALUE',
        'example.org',
      ],
    ]) {
      expect(() => new ProcessManager(options)).toThrow(Class);
      expect(() => new ProcessManager(options)).toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(name) }),
      );
    }
  });

  test('[G20] the constructor throws where the permission model forbids child processes', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      try {
        new ProcessManager();
      } catch ({ code, permission }) {
        console.log(code, permission);
      }`;
    const nodeArgs = [permissionFlag, '--allow-fs-read=*', '--allow-addons', '--no-warnings'];
    expect(await program(source, { nodeArgs })).toMatchObject({
      code: 0,
      stdout: 'ERR_ACCESS_DENIED ChildProcess\n',
    });
  });

  test.each(['as flags', 'in NODE_OPTIONS'])(
    'workers have no more permissions than this process (%s)',
    async (how) => {
      const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ maxWorkers: 1 });
      const may = () => ['fs.read', 'fs.write', 'child'].map((scope) => process.permission.has(scope));
      console.log(JSON.stringify([may(), await pool.exec(may)]));
      await pool.shutdown();`;
      const flags = [
        permissionFlag,
        '--allow-fs-read=*',
        '--allow-addons',
        '--allow-child-process',
        '--no-warnings',
      ];
      const options =
        how === 'as flags' ? { nodeArgs: flags } : { env: { NODE_OPTIONS: flags.join(' ') } };
      const { code, stdout, stderr } = await program(source, options);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual([
        [true, false, true],
        [true, false, true],
      ]);
    },
  );

  test('[A3] a missing or broken worker module breaks the pool with one error that names it', async () => {
    const folder = project({
      'syntax.mjs': 'export default function ( {',
      'throws.mjs': `throw new Error('not while loading');`,
      'imports.mjs': `import './missing.mjs'; export default () => 1;`,
      'nothing.mjs': 'export const answer = 42;',
    });
    writeFileSync(join(folder, 'plain.txt'), 'no module');
    for (const [file, text] of [
      ['absent.mjs', 'absent.mjs'],
      ['syntax.mjs', 'syntax.mjs'],
      ['throws.mjs', 'not while loading'],
      ['imports.mjs', 'missing.mjs'],
      ['nothing.mjs', 'exports answer'],
      ['plain.txt', 'plain.txt'],
    ]) {
      manager = pool({
        worker: join(folder, file),
        maxWorkers: 1,
        stdio: 'ignore',
        restart: { limit: 1, minDelay: 1, maxDelay: 1 },
      });
      const log = record(manager, ['error']);
      const errors = await Promise.all([
        failure(manager.run({ id: 1 })),
        failure(manager.startWorkers()),
      ]);
      for (const error of errors) {
        expect(error, file).toBeInstanceOf(PoolBrokenError);
        expect(error.cause).toBeInstanceOf(WorkerStartError);
        expect(error.message + error.cause.stderr).toContain(text);
      }
      expect(errors[0]).toMatchObject({ taskId: 1, maybeExecuted: false });
      // Refused calls throw, failures of accepted ones are events, and the pool's own failure is
      // one event.
      expect(() => manager.distributeTask({ id: 2 })).toThrow(PoolBrokenError);
      expect(log).toHaveLength(1);
      expect(await manager.shutdown()).toMatchObject({ completed: 0, killed: 0 });
    }
  });
});
