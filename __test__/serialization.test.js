// Tasks, results and errors on their way to another process, and the errors for those that cannot
// be sent.

import { createRequire } from 'node:module';
import vm from 'node:vm';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import ProcessManager from '../index.mjs';

const require = createRequire(import.meta.url);
const { decode, encode } = require('../lib/codec/serialize.js');
const { Flattener } = require('../lib/codec/flatten.js');
const { fromWire } = require('../lib/errors/from-wire.js');
const { toWire } = require('../lib/errors/to-wire.js');
const {
  AbortError,
  BulkheadError,
  MessageTooLargeError,
  QueueFullError,
  SerializationError,
} = require('../lib/errors/classes.js');

/**
 * Sends a value through JSON text and raw bytes, as the channel does. `shift`: the distance of the
 * bytes from an aligned address.
 */
function travel(value, serialization = 'json', shift = 0) {
  const encoded = encode(value, serialization);
  if (encoded.undefined) return undefined;
  const blobs = (encoded.blobs ?? []).map((blob) => {
    const memory = Buffer.alloc(blob.byteLength + shift);
    memory.set(blob, shift);
    return memory.subarray(shift);
  });
  return decode(JSON.parse(encoded.json), JSON.parse(JSON.stringify(encoded)), blobs);
}

function refusalOf(value, serialization = 'json') {
  try {
    encode(value, serialization, 'task');
  } catch (error) {
    return error;
  }
  throw new Error('it was not refused');
}

function nested(depth, innermost = []) {
  let value = innermost;
  for (let i = 1; i < depth; i++) value = [value];
  return value;
}

describe('JSON', () => {
  class Point {
    constructor() {
      this.x = 1;
      this.missing = undefined;
      this.method = () => 1;
      this.when = new Date(0);
    }
    get derived() {
      return 1;
    }
  }

  test.each([
    ['plain data', { id: 1, data: ['a', { b: null }], t: true }],
    [
      'primitives',
      [1, -0, Number.NaN, Infinity, 'é\u2028\ud800\0', null, undefined, Symbol('s'), () => 1],
    ],
    ['falsy things', ['', 0, null, [], {}, false]],
    ['a class instance', new Point()],
    ['boxed primitives', [new Number(3), new String('x'), new Boolean(false)]],
    [
      'a toJSON that sees its key',
      { nested: { toJSON: (key) => ({ key, toJSON: 'is called once' }) } },
    ],
    [
      'a function with a toJSON',
      { fn: Object.assign(() => 1, { toJSON: () => 'from a function' }) },
    ],
    ['holes', Object.assign(Array(3), { 1: 1 })],
    ['inherited properties', Object.create({ inherited: 1 })],
    ['no prototype', Object.assign(Object.create(null), { a: new Point() })],
    ['a key __proto__', { list: [new Point()], map: JSON.parse('{"__proto__":{"polluted":1}}') }],
    ['another realm', vm.runInNewContext('({ a: [1, { b: new Date(0) }] })')],
    ['a proxy', new Proxy({ a: [1] }, {})],
    ['the same object twice', ((shared) => [shared, shared, new Point()])({ a: 1 })],
  ])('JSON of %s is that of JSON.stringify', (_, value) => {
    expect(encode(value, 'json')).toEqual({
      json: JSON.stringify(value),
      blobs: null,
      binary: null,
      encoding: null,
      undefined: false,
    });
    // The thorough path gives the same for values that do not need it.
    expect(JSON.stringify(new Flattener('value', () => null).flatten(value))).toBe(
      JSON.stringify(value),
    );
  });

  test('[V2] JSON of any value is that of JSON.stringify, both ways', () => {
    const values = fc.anything({
      withBoxedValues: true,
      withDate: true,
      withNullPrototype: true,
      withObjectString: true,
      withSparseArray: true,
    });
    fc.assert(
      fc.property(values, (value) => {
        const { json, undefined: isUndefined } = encode(value, 'json');
        expect(isUndefined ? undefined : json).toBe(JSON.stringify(value));
        expect(JSON.stringify(new Flattener('value', () => null).flatten(value))).toBe(
          JSON.stringify(value),
        );
      }),
    );
  });

  test('undefined and null stay distinct', () => {
    expect(encode(undefined, 'json')).toMatchObject({ json: 'null', undefined: true });
    expect(encode({ toJSON: () => undefined }, 'json')).toMatchObject({ undefined: true });
    expect(encode(null, 'json')).toMatchObject({ json: 'null', undefined: false });
  });

  test('user code runs once while a value is serialised', () => {
    let calls = 0;
    encode({ when: { toJSON: () => ++calls }, at: [new Date(0)] }, 'json');
    expect(calls).toBe(1);
  });

  test('JSON works as deep as JSON.stringify does, and does not crash beyond', () => {
    expect(encode(nested(3_000), 'json').json).toHaveLength(6_000);
    const error = refusalOf(nested(100_000));
    expect(error).toBeInstanceOf(SerializationError);
    expect(error.cause).toBeInstanceOf(RangeError);
    expect(error.message).toMatch(/nested too deeply/);
    expect(refusalOf(nested(100_000, Buffer.from('deep'))).cause).toBeInstanceOf(RangeError);
  });
});

describe('binaries', () => {
  const numbers = new Float64Array([1.5, -2, 3]);
  const samples = {
    buffer: Buffer.from('héllo'),
    empty: Buffer.alloc(0),
    arrayBuffer: new Uint8Array([1, 2, 3]).buffer,
    dataView: new DataView(new Uint8Array([1, 2, 3, 4]).buffer, 1, 2),
    int8: new Int8Array([-1, 2]),
    uint8: new Uint8Array([1, 2, 3]),
    clamped: new Uint8ClampedArray([300, 2]),
    int16: new Int16Array([-1, 2]),
    uint16: new Uint16Array([1, 65535]),
    int32: new Int32Array([-1, 2]),
    uint32: new Uint32Array([1, 2 ** 32 - 1]),
    float32: new Float32Array([0.5, Number.NaN]),
    float64: numbers,
    bigInt64: new BigInt64Array([-5n]),
    bigUint64: new BigUint64Array([5n]),
    view: numbers.subarray(1, 2),
  };

  for (const serialization of ['json', 'advanced']) {
    for (const shift of [0, 1]) {
      test.each(Object.entries(samples))(
        `%s arrives (${serialization}, ${shift} bytes off)`,
        (_, sample) => {
          const inside = travel({ id: 1, list: [null, { sample }] }, serialization, shift).list[1]
            .sample;
          for (const copy of [inside, travel(sample, serialization, shift)]) {
            expect(copy).toEqual(sample);
            expect(Object.getPrototypeOf(copy)).toBe(Object.getPrototypeOf(sample));
          }
        },
      );
    }
  }

  test('bytes travel raw, never as JSON', () => {
    const { json, blobs, binary } = encode(
      { id: 1, 'a-b': [Buffer.from('x'), numbers.subarray(1)] },
      'json',
    );
    expect(json).toBe('{"id":1,"a-b":[null,null]}');
    expect(binary).toEqual([
      ['Buffer', ['a-b', 0]],
      ['Float64Array', ['a-b', 1]],
    ]);
    expect(blobs.map((blob) => blob.byteLength)).toEqual([1, 16]);
  });

  test('a Buffer’s toJSON is never called', () => {
    const buffer = Buffer.from('x');
    buffer.toJSON = () => expect.unreachable();
    expect(travel({ buffer }).buffer).toEqual(Buffer.from('x'));
  });

  test('bytes are found in class instances, in what toJSON returns and in other realms', () => {
    class Image {
      pixels = Buffer.from('p');
    }
    const value = [
      new Image(),
      { toJSON: () => Buffer.from('j') },
      vm.runInNewContext('new Uint16Array([7])'),
    ];
    expect(travel(value)).toEqual([
      { pixels: Buffer.from('p') },
      Buffer.from('j'),
      new Uint16Array([7]),
    ]);
  });

  test('bytes that arrive share no memory with their neighbours', () => {
    expect(travel(samples.arrayBuffer, 'json', 8).byteLength).toBe(3);
    expect(travel(samples.uint8, 'json', 8).buffer.byteLength).toBe(3);
  });

  test('shared memory is refused', () => {
    for (const shared of [new SharedArrayBuffer(1), new Uint8Array(new SharedArrayBuffer(1))]) {
      expect(refusalOf({ data: [shared] })).toMatchObject({
        code: 'ERR_SERIALIZATION',
        path: 'data[0]',
      });
    }
    expect(refusalOf({ data: new SharedArrayBuffer(1) }, 'advanced')).toBeInstanceOf(
      SerializationError,
    );
  });

  test.each([
    ['no place', [['Buffer', ['b']]]],
    ['an inherited place', [['Buffer', ['constructor']]]],
    ['a prototype', [['Buffer', ['__proto__', 'polluted']]]],
    ['a place in a string', [['Buffer', ['a', 'length']]]],
    ['a key that is no key', [['Buffer', [{}]]]],
    ['an unknown type', [['Function', ['a']]]],
    ['the wrong length', [['Float64Array', ['a']]]],
    ['too few', []],
    ['no list', 'Buffer'],
    ['no pairs', [1]],
  ])('a peer that lies about bytes is detected: %s', (_, binary) => {
    expect(() => decode({ a: 'text' }, { binary }, [Buffer.from('x')])).toThrow(TypeError);
    expect({}.polluted).toBeUndefined();
  });
});

describe('what cannot be sent', () => {
  test.each(['json', 'advanced'])(
    '[XB3] what a getter or a trap throws is the cause of a SerializationError that names the place (%s)',
    (serialization) => {
      const cause = new EvalError('on purpose');
      const fail = () => {
        throw cause;
      };
      const values = {
        getter: Object.defineProperty({}, 'x', { get: fail, enumerable: true }),
        ownKeys: new Proxy({}, { ownKeys: fail }),
        get: new Proxy({ x: 1 }, { get: fail }),
        array: new Proxy([1], { get: fail }),
        getPrototypeOf: new Proxy({ x: 1 }, { getPrototypeOf: fail, ownKeys: fail }),
      };
      for (const [name, value] of Object.entries(values)) {
        let error;
        try {
          encode({ list: [value] }, serialization);
        } catch (thrown) {
          error = thrown;
        }
        expect(error, name).toBeInstanceOf(SerializationError);
        expect(error.cause, name).toBe(cause);
        expect(error.path, name).toMatch(/^list\[0\]/);
        expect(error.message, name).toContain('on purpose');
      }
    },
  );

  const cycle = { a: { b: [1] } };
  cycle.a.b.push(cycle);

  test.each([
    ['a cycle', cycle, 'a.b[1]', TypeError],
    ['a BigInt', { id: 1, data: { list: [1n] } }, 'data.list[0]', TypeError],
    ['a boxed BigInt', { data: Object(1n) }, 'data', TypeError],
    ['a function', () => 1, undefined, TypeError],
    ['a symbol', Symbol('s'), undefined, TypeError],
  ])('%s is refused, with its place', (_, value, path, Cause) => {
    const error = refusalOf(value);
    expect(error).toBeInstanceOf(SerializationError);
    expect(error).toMatchObject({ code: 'ERR_SERIALIZATION', cause: expect.any(Cause) });
    expect(error.path).toBe(path);
    expect(error.message).toContain('task');
  });

  test.each([
    [
      'a getter',
      (thrown) => ({
        'odd key': Object.defineProperty({}, 'x', { enumerable: true, get: thrower(thrown) }),
      }),
      '["odd key"].x',
    ],
    ['a toJSON', (thrown) => ({ list: [{ toJSON: thrower(thrown) }] }), 'list[0]'],
    ['a proxy', (thrown) => ({ p: new Proxy({}, { ownKeys: thrower(thrown) }) }), 'p'],
  ])('%s that throws is refused, with what it threw as the cause', (_, make, path) => {
    for (const thrown of [new Error('no'), 'a string', null]) {
      const error = refusalOf(make(thrown));
      expect(error).toMatchObject({ code: 'ERR_SERIALIZATION', path });
      expect(error.cause).toBe(thrown);
    }
  });

  test('a BigInt with a toJSON can be sent', () => {
    const toJSON = Object.getOwnPropertyDescriptor(BigInt.prototype, 'toJSON');
    Object.defineProperty(BigInt.prototype, 'toJSON', { configurable: true, value: String });
    try {
      expect(encode({ n: 1n }, 'json').json).toBe(JSON.stringify({ n: 1n }));
    } finally {
      if (toJSON === undefined) delete BigInt.prototype.toJSON;
    }
  });

  test('structured clone refuses what it cannot clone', () => {
    expect(refusalOf({ run() {} }, 'advanced')).toMatchObject({
      code: 'ERR_SERIALIZATION',
      cause: expect.any(Error),
    });
    expect(refusalOf(() => 1, 'advanced')).toBeInstanceOf(SerializationError);
    expect(refusalOf(nested(100_000), 'advanced').cause).toBeInstanceOf(RangeError);
    expect(travel(cycle, 'advanced').a.b[1].a.b[0]).toBe(1);
  });

  // It writes a gigabyte of memory, which takes long on a busy machine.
  test('text longer than a string can be is refused', { timeout: 120_000 }, () => {
    // In JSON, each of these is six characters.
    const error = refusalOf(Array(3_000).fill('\u0001'.repeat(30_000)));
    expect(error).toBeInstanceOf(MessageTooLargeError);
    expect(error.size).toBeGreaterThan(2 ** 29 - 100);
  });
});

describe('errors', () => {
  const roundTrip = (thrown) => fromWire(JSON.parse(JSON.stringify(toWire(thrown))), false);

  test('an error keeps class, name, message, stack, code and own fields', () => {
    class ValidationError extends TypeError {
      name = 'ValidationError';
      field = { path: ['a', 0] };
      unsendable = 1n;
    }
    const error = Object.assign(new ValidationError('wrong'), { code: 'E_VALIDATION' });
    const copy = roundTrip(error);
    expect(copy).toBeInstanceOf(TypeError);
    expect(copy).toMatchObject({
      name: 'ValidationError',
      message: 'wrong',
      code: 'E_VALIDATION',
      field: { path: ['a', 0] },
    });
    expect(copy.stack).toBe(error.stack);
    expect(copy.unsendable).toBe('1n');
    expect(Object.keys(copy)).not.toContain('stack');
  });

  test.each([Error, TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError])(
    '%o arrives as itself',
    (Class) => {
      expect(Object.getPrototypeOf(roundTrip(new Class('m')))).toBe(Class.prototype);
    },
  );

  test('an error keeps its causes, and an AggregateError its errors', () => {
    const error = new AggregateError([new TypeError('one'), 'two', undefined], 'all', {
      cause: new Error('outer', { cause: { status: 404 } }),
    });
    const copy = roundTrip(error);
    expect(copy).toBeInstanceOf(AggregateError);
    expect(copy.errors).toEqual([new TypeError('one'), 'two', undefined]);
    expect(copy.cause).toEqual(new Error('outer'));
    expect(copy.cause.cause).toEqual({ status: 404 });
  });

  test('an own field `errors` without errors in it is kept as it is', () => {
    expect(roundTrip(Object.assign(new Error('m'), { errors: [{ field: 'a' }] })).errors).toEqual([
      { field: 'a' },
    ]);
  });

  test('causes in a cycle or without an end are cut off', () => {
    const round = new Error('round');
    round.cause = round;
    round.self = round;
    expect(roundTrip(round).cause).toBe('[Circular]');

    let endless = new Error('0');
    for (let i = 1; i < 1_000; i++) endless = new Error(String(i), { cause: endless });
    let length = 0;
    for (let error = roundTrip(endless); error !== undefined; error = error.cause) length += 1;
    expect(length).toBe(16);
  });

  test('frozen errors, those of other realms and DOMExceptions arrive', () => {
    expect(roundTrip(Object.freeze(new RangeError('cold')))).toEqual(new RangeError('cold'));
    expect(roundTrip(vm.runInNewContext('new TypeError("far")'))).toBeInstanceOf(TypeError);
    expect(roundTrip(new DOMException('stop', 'AbortError'))).toMatchObject({
      name: 'AbortError',
      message: 'stop',
    });
  });

  test('hostile errors arrive as errors', () => {
    const fail = () => {
      throw new Error('trap');
    };
    const traps = {
      get: fail,
      ownKeys: fail,
      getPrototypeOf: fail,
      getOwnPropertyDescriptor: fail,
    };
    const getters = Object.defineProperties(new Error('m'), {
      // This comes first, since V8 builds it from the others when it is replaced.
      stack: { get: fail },
      message: { get: fail },
      cause: { get: fail },
      code: { get: fail },
      field: { get: fail, enumerable: true },
    });
    for (const thrown of [
      getters,
      new Proxy(new Error('m'), traps),
      new Proxy({}, traps),
      { toJSON: fail },
    ]) {
      expect(roundTrip(thrown)).toBeInstanceOf(Error);
    }
  });

  test('fields of an error cannot reach a prototype', () => {
    const error = Object.defineProperty(new Error('m'), '__proto__', {
      value: { polluted: 1 },
      enumerable: true,
    });
    const copy = roundTrip(error);
    expect(Object.getPrototypeOf(copy)).toBe(Error.prototype);
    expect(copy.polluted).toBeUndefined();
    expect({}.polluted).toBeUndefined();
  });

  test.each([['a string'], [''], [null], [undefined], [0], [{ a: 1 }], [10n], [Symbol('s')]])(
    'a thrown value that is no error arrives in one: %o',
    (thrown) => {
      const copy = roundTrip(thrown);
      expect(copy).toBeInstanceOf(Error);
      const cause =
        typeof thrown === 'bigint' || typeof thrown === 'symbol' ? expect.any(String) : thrown;
      expect(copy.cause).toEqual(cause);
    },
  );

  test.each([
    [null],
    [5],
    ['text'],
    [[]],
    [{}],
    [{ class: 'Function', name: 5, message: {}, stack: [], fields: [1], cause: null, errors: 'x' }],
    [{ class: '__proto__', fields: { message: 'm', stack: 1, constructor: 1, toString: 2 } }],
    [{ nonError: true }],
    [{ class: 'AggregateError', errors: [null, [], { class: 'AggregateError', errors: 5 }] }],
  ])('any report of a worker becomes an error: %o', (wire) => {
    const error = fromWire(wire, false);
    expect(error).toBeInstanceOf(Error);
    expect(typeof error.message).toBe('string');
    expect(typeof error.stack).toBe('string');
  });

  test('our own errors keep their class from the channel, and not from a pool in the worker', () => {
    const copy = roundTrip(new SerializationError('m', { path: 'a', cause: new TypeError('c') }));
    expect(copy).toBeInstanceOf(SerializationError);
    expect(copy).toMatchObject({ code: 'ERR_SERIALIZATION', path: 'a', cause: new TypeError('c') });
    const foreign = roundTrip(new QueueFullError('m', { limit: 1 }));
    expect(foreign).not.toBeInstanceOf(QueueFullError);
    expect(foreign).toMatchObject({ name: 'QueueFullError', code: 'ERR_QUEUE_FULL', limit: 1 });
  });

  test('instanceof survives two copies of the package', () => {
    const file = require.resolve('../lib/errors/classes.js');
    const first = require(file);
    delete require.cache[file];
    const second = require(file);
    require.cache[file].exports = first;
    const error = new first.AbortError('m');
    expect(second.AbortError).not.toBe(first.AbortError);
    expect(error instanceof second.AbortError).toBe(true);
    expect(error instanceof second.BulkheadError).toBe(true);
    expect(error instanceof second.QueueFullError).toBe(false);
  });

  test('a class derived from ours arrives as its own', () => {
    class MyAbort extends AbortError {}
    expect(new MyAbort('m')).toBeInstanceOf(BulkheadError);
    expect(new MyAbort('m').code).toBe('ABORT_ERR');
    expect(new MyAbort('m') instanceof MyAbort).toBe(true);
    expect(new AbortError('m') instanceof MyAbort).toBe(false);
  });
});

describe('tasks', () => {
  const pool = new ProcessManager({ maxWorkers: 1, maxMessageSize: 1_000 });
  afterAll(() => pool.shutdown());

  test.each([[undefined], [() => 1], [Symbol('s')], [1n]])(
    'the task %o is refused: thrown, or rejected',
    async (task) => {
      expect(() => pool.distributeTask(task)).toThrow(SerializationError);
      await expect(pool.run(task)).rejects.toBeInstanceOf(SerializationError);
    },
  );

  test.each([
    ['a long string', 'x'.repeat(2_000)],
    ['long in UTF-8', 'é'.repeat(600)],
    ['many bytes', { id: 1, data: Buffer.alloc(2_000) }],
  ])('a task that is too large is refused: %s', async (_, task) => {
    const error = await pool.run(task).catch((reason) => reason);
    expect(error).toBeInstanceOf(MessageTooLargeError);
    expect(error.limit).toBe(1_000);
    expect(error.size).toBeGreaterThan(1_000);
  });

  test('a toJSON of a task may use the pool', async () => {
    let inner;
    const toJSON = () => {
      inner ??= pool.run({ data: 'inner' });
      return 'outer';
    };
    expect(await pool.run({ data: { toJSON } })).toBe('outer');
    expect(await inner).toBe('inner');
  });

  test('a task is copied when it is accepted', async () => {
    const task = { data: { n: 1, bytes: Buffer.from('before') } };
    const result = pool.run(task);
    task.data.n = 2;
    task.data.bytes.fill(0);
    expect(await result).toEqual({ n: 1, bytes: Buffer.from('before') });
  });

  test.each([[null], [''], [0], [false], [[]], [{}], [{ id: 'a', data: [null] }]])(
    '[F14] the task %o is accepted',
    async (task) => {
      expect(await pool.run({ data: task })).toEqual(task);
      expect(typeof pool.distributeTask(task)).toBe(
        typeof task?.id === 'string' ? 'string' : 'number',
      );
    },
  );
});

function thrower(thrown) {
  return () => {
    throw thrown;
  };
}
