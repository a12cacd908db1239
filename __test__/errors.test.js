// Errors that handlers throw arrive as they are, and do no harm on the way.

import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import ProcessManager, { BulkheadError, PoolClosedError } from '../index.mjs';
import { failure, moduleFile, pool, project, record, root } from './support/harness.js';

const worker = moduleFile(`
  import vm from 'node:vm';
  class ImageError extends RangeError {
    name = 'ImageError';
    constructor(message, options) {
      super(message, options);
      this.code = 'E_IMAGE';
      this.width = 640;
      this.where = { file: 'a.png', lines: [1, 2] };
      this.missing = undefined;
      this.big = 1n;
      this.self = this;
      this.fn = () => {};
    }
  }
  class Unnamed extends TypeError {}
  const chain = (depth) => {
    let error = new Error('level 0');
    for (let i = 1; i < depth; i++) error = new Error('level ' + i, { cause: error });
    return error;
  };
  const hostile = new Error('hostile');
  for (const key of ['stack', 'name', 'message', 'code', 'cause', 'field']) {
    Object.defineProperty(hostile, key, { enumerable: true, get() { throw new Error('a getter'); } });
  }
  const cyclic = new Error('cyclic');
  cyclic.cause = new Error('inner', { cause: cyclic });
  cyclic.list = [cyclic];
  const polluting = new Error('polluting');
  Object.defineProperty(polluting, '__proto__', { value: { polluted: 'yes' }, enumerable: true });
  polluting.constructor = { prototype: { polluted: 'yes' } };
  polluting.nested = JSON.parse('{ "__proto__": { "polluted": "yes" } }');
  const named = (name) => Object.assign(new Error('named'), { name });
  function deepInTheWorker() { throw new Error('with a stack'); }
  const thrown = {
    image: () => new ImageError('too wide', { cause: new Unnamed('inner cause') }),
    unnamed: () => new Unnamed('unnamed'),
    aggregate: () => new AggregateError([new TypeError('one'), 'two', new Unnamed('three'), null], 'several'),
    chain: () => chain(40),
    'cause that is no error': () => new Error('outer', { cause: { reason: ['data'] } }),
    'cause that is undefined': () => new Error('outer', { cause: undefined }),
    null: () => null,
    undefined: () => undefined,
    string: () => 'just text',
    number: () => 7,
    object: () => ({ status: 404 }),
    function: () => () => 1,
    symbol: () => Symbol('thrown'),
    bigint: () => 10n,
    'thrown cycle': () => { const object = { a: 1 }; object.self = object; return object; },
    proxy: () => new Proxy(new Error('proxied'), { get() { throw new Error('trap'); }, getPrototypeOf() { throw new Error('trap'); }, ownKeys() { throw new Error('trap'); } }),
    frozen: () => Object.freeze(new Error('frozen')),
    hostile: () => hostile,
    cyclic: () => cyclic,
    polluting: () => polluting,
    'named Function': () => named('Function'),
    'named process': () => named('process'),
    'empty name': () => named(''),
    'other realm': () => vm.runInNewContext('new TypeError("from elsewhere")'),
    dom: () => new DOMException('of the DOM', 'DataCloneError'),
    'huge message': () => new Error('m'.repeat(5_000_000)),
    'huge field': () => Object.assign(new Error('has a huge field'), { small: 1, huge: 'x'.repeat(5_000_000) }),
    'no prototype': () => Object.setPrototypeOf(new Error('no prototype'), null),
    'taken fields': () => Object.assign(new Error('taken'), { taskId: 'theirs', workerId: 'theirs', pid: 'theirs', phase: 'kept' }),
    'awkward text': () => new Error('\\ud800 \\u2028 \\0 😀'),
    system: () => { try { process.kill(2 ** 30, 0); } catch (error) { return error; } },
  };
  export const handlers = {
    throw: (task) => { throw thrown[task.what](); },
    async: async (task) => { await null; throw thrown[task.what](); },
    reject: (task) => Promise.reject(thrown[task.what]()),
    stack: () => deepInTheWorker(),
    builtIn: ({ data }) => { throw new globalThis[data]('message of ' + data); },
    pid: () => process.pid,
  };`);

let manager;
beforeEach(() => {
  manager = pool({ worker, maxWorkers: 1 });
});
const thrown = (what, type = 'throw') => failure(manager.run({ id: what, type, what }));

test.each([
  'Error',
  'TypeError',
  'RangeError',
  'SyntaxError',
  'ReferenceError',
  'EvalError',
  'URIError',
])('%s arrives as an error of that class', async (name) => {
  const error = await failure(manager.run({ type: 'builtIn', data: name }));
  expect(Object.getPrototypeOf(error)).toBe(globalThis[name].prototype);
  expect(error).toMatchObject({ name, message: `message of ${name}` });
  expect(Object.hasOwn(error, 'name')).toBe(false);
  expect(String(error)).toBe(`${name}: message of ${name}`);
});

test("[L13] a user's error class arrives as its nearest built-in class, with name, code, cause and own fields", async () => {
  for (const type of ['throw', 'async', 'reject']) {
    const error = await thrown('image', type);
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({
      name: 'ImageError',
      message: 'too wide',
      code: 'E_IMAGE',
      width: 640,
    });
    expect(error.where).toEqual({ file: 'a.png', lines: [1, 2] });
    // Fields that JSON cannot hold are described in words; undefined and methods are left out, as
    // everywhere in JSON.
    expect(error).toMatchObject({ big: '1n', self: '[Circular]' });
    for (const key of ['missing', 'fn']) expect(error).not.toHaveProperty(key);
    expect(error.cause).toBeInstanceOf(TypeError);
    expect(error.cause.message).toBe('inner cause');
    expect(String(error)).toBe('ImageError: too wide');
    expect(Object.keys(error)).toContain('code');
    expect(Object.keys(error)).not.toContain('cause');
  }
  const unnamed = await thrown('unnamed');
  expect(unnamed).toBeInstanceOf(TypeError);
  expect(unnamed.name).toBe('TypeError');
});

test('an error has the stack of the worker', async () => {
  const error = await failure(manager.run({ type: 'stack' }));
  expect(error.stack).toMatch(
    /^Error: with a stack\n {4}at deepInTheWorker \(.*worker\.mjs:\d+:\d+\)/,
  );
  expect(Object.keys(error)).not.toContain('stack');
});

test('an error has task, worker and pid', async () => {
  const pid = await manager.run({ type: 'pid' });
  const error = await thrown('unnamed');
  expect(error).toMatchObject({ taskId: 'unnamed', workerId: 1, pid });
  // These fields are ours, also where the error has such fields of its own.
  expect(await thrown('taken fields')).toMatchObject({
    taskId: 'taken fields',
    workerId: 1,
    pid,
    phase: 'kept',
  });
});

test('an error event has the same error', async () => {
  const log = record(manager, ['error']);
  manager.distributeTask({ id: 'evented', type: 'throw', what: 'image' });
  await manager.shutdown();
  expect(log).toEqual([['error', expect.any(RangeError)]]);
  expect(log[0][1]).toMatchObject({ name: 'ImageError', taskId: 'evented', code: 'E_IMAGE' });
});

test('[F11] an AggregateError arrives with its errors', async () => {
  const error = await thrown('aggregate');
  expect(error).toBeInstanceOf(AggregateError);
  expect(error.message).toBe('several');
  const [one, two, three, four] = error.errors;
  expect(error.errors).toHaveLength(4);
  expect(one).toBeInstanceOf(TypeError);
  expect(one.message).toBe('one');
  expect(two).toBe('two');
  expect(three).toBeInstanceOf(TypeError);
  expect(four).toBeNull();
  expect(Object.keys(error)).not.toContain('errors');
});

test('[F11] a chain of causes arrives, up to 16', async () => {
  const error = await thrown('chain');
  let last = error;
  let length = 1;
  for (; last.cause !== undefined; last = last.cause) {
    expect(last).toBeInstanceOf(Error);
    length += 1;
  }
  expect(error.message).toBe('level 39');
  expect(length).toBeGreaterThanOrEqual(16);
  expect(length).toBeLessThan(20);
  expect((await thrown('cause that is no error')).cause).toEqual({ reason: ['data'] });
  expect('cause' in (await thrown('cause that is undefined'))).toBe(true);
  expect('cause' in (await thrown('unnamed'))).toBe(false);
});

test('[F11] a thrown value that is no error is the cause of one', async () => {
  for (const [what, cause, text] of [
    ['null', null, 'null'],
    ['undefined', undefined, 'undefined'],
    ['string', 'just text', 'just text'],
    ['number', 7, '7'],
    ['object', { status: 404 }, 'status: 404'],
    ['function', expect.any(String), 'Function'],
    ['symbol', 'Symbol(thrown)', 'Symbol(thrown)'],
    ['bigint', '10n', '10n'],
    ['thrown cycle', expect.any(String), 'Circular'],
  ]) {
    for (const type of ['throw', 'reject']) {
      const error = await thrown(what, type);
      expect(error, what).toBeInstanceOf(Error);
      expect(error.message, what).toContain(text);
      expect(error.cause, what).toEqual(cause);
      expect(error.taskId).toBe(what);
    }
  }
});

test('[F11] an error that is frozen, cyclic, full of traps, huge, or from another realm still arrives', async () => {
  const pid = await manager.run({ type: 'pid' });
  expect(await thrown('frozen')).toMatchObject({ message: 'frozen', taskId: 'frozen' });
  const cyclic = await thrown('cyclic');
  expect(cyclic).toMatchObject({ message: 'cyclic', cause: { message: 'inner' } });
  expect(cyclic.cause.cause).toBe('[Circular]');
  expect(await thrown('hostile')).toBeInstanceOf(Error);
  expect(await thrown('proxy')).toBeInstanceOf(Error);
  expect(await thrown('no prototype')).toBeInstanceOf(Error);
  const foreign = await thrown('other realm');
  expect(foreign).toBeInstanceOf(TypeError);
  expect(foreign.message).toBe('from elsewhere');
  expect(await thrown('dom')).toMatchObject({
    name: 'DataCloneError',
    message: 'of the DOM',
    code: 25,
  });
  const huge = await thrown('huge message');
  expect(huge.message.length).toBeLessThan(2_000_000);
  expect(huge.message.startsWith('mmm')).toBe(true);
  expect(await thrown('huge field')).toMatchObject({ message: 'has a huge field', small: 1 });
  expect((await thrown('awkward text')).message).toBe('\ud800 \u2028 \0 😀');
  expect(await thrown('system')).toMatchObject({
    code: 'ESRCH',
    syscall: 'kill',
    errno: expect.any(Number),
  });
  expect(await manager.run({ type: 'pid' })).toBe(pid);
});

test('[F11] an error larger than maxMessageSize becomes a small one that says so', async () => {
  manager = pool({ worker, maxWorkers: 1, maxMessageSize: 10_000 });
  const error = await thrown('huge message');
  expect(error).toBeInstanceOf(Error);
  expect(error.message).toContain('maxMessageSize');
  expect(error.taskId).toBe('huge message');
});

test('[E12] no name and no field of an error reaches into this process', async () => {
  for (const name of ['Function', 'process']) {
    const error = await thrown(`named ${name}`);
    expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
    expect(error.name).toBe(name);
  }
  expect((await thrown('empty name')).message).toBe('named');
  const error = await thrown('polluting');
  expect({}.polluted).toBeUndefined();
  expect(Error.prototype).not.toHaveProperty('polluted');
  expect(Object.getPrototypeOf(error)).toBe(Error.prototype);
  expect(error).toBeInstanceOf(Error);
  expect(error.polluted).toBeUndefined();
  expect(Object.getPrototypeOf(error.nested)).toBe(Object.prototype);
});

describe('the classes of bulkhead', () => {
  const classes = {
    WorkerCrashedError: 'ERR_WORKER_CRASHED',
    WorkerStartError: 'ERR_WORKER_START',
    PoolBrokenError: 'ERR_POOL_BROKEN',
    PoolClosedError: 'ERR_POOL_CLOSED',
    QueueFullError: 'ERR_QUEUE_FULL',
    TaskTimeoutError: 'ERR_TASK_TIMEOUT',
    AbortError: 'ABORT_ERR',
    SerializationError: 'ERR_SERIALIZATION',
    MessageTooLargeError: 'ERR_MESSAGE_TOO_LARGE',
    ProtocolError: 'ERR_PROTOCOL',
  };

  test('error classes have a name, a code, and one base', () => {
    for (const [name, code] of Object.entries(classes)) {
      const error = new ProcessManager[name]('message', { taskId: 1 });
      expect(error).toMatchObject({ name, code, message: 'message', taskId: 1 });
      expect(error).toBeInstanceOf(ProcessManager[name]);
      expect(error).toBeInstanceOf(BulkheadError);
      expect(error).toBeInstanceOf(Error);
      for (const other of Object.keys(classes))
        expect(error instanceof ProcessManager[other]).toBe(other === name);
    }
    for (const value of [null, undefined, 1, 'text', {}, new Error('other')]) {
      expect(value instanceof BulkheadError).toBe(false);
    }
  });

  test('[G23] error classes are recognised by a second copy of the package, and its errors by this one', async () => {
    const folder = join(project({}), 'copy');
    mkdirSync(folder);
    // The copy has its own addon: two copies of that are independent, too.
    for (const name of readdirSync(root).filter((name) =>
      /^(dist|index\.js|package\.json|.*\.cjs|.*\.node)$/.test(name),
    )) {
      cpSync(join(root, name), join(folder, name), { recursive: true });
    }
    const copy = createRequire(import.meta.url)(folder);
    expect(copy.PoolClosedError).not.toBe(PoolClosedError);
    for (const name of Object.keys(classes)) {
      expect(new copy[name]('theirs')).toBeInstanceOf(ProcessManager[name]);
      expect(new ProcessManager[name]('ours')).toBeInstanceOf(copy[name]);
      expect(new copy[name]('theirs')).toBeInstanceOf(BulkheadError);
      expect(new copy.BulkheadError('theirs') instanceof ProcessManager[name]).toBe(false);
    }
    // The pool belongs to the copy.
    const theirs = new copy({ maxWorkers: 1 });
    try {
      expect(await theirs.run({ data: 'from the copy' })).toBe('from the copy');
      expect(await manager.run({ type: 'pid' })).toEqual(expect.any(Number));
    } finally {
      await theirs.shutdown();
    }
    expect(await failure(theirs.run(1))).toBeInstanceOf(PoolClosedError);
  });
});
