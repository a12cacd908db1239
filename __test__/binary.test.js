// Values arrive as they were sent: buffers byte for byte and of the same type, any text, and the
// difference between undefined and null.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { failure, moduleFile, pool } from './support/harness.js';

// Reports what the worker sees of a task, and returns it in all three ways.
const worker = moduleFile(`
  export const handlers = {
    echo: (task) => task.data,
    everywhere(task, { send, progress }) {
      send(task.data);
      progress(task.data);
      return task.data;
    },
    classOf: ({ data }) => [Object.prototype.toString.call(data), Buffer.isBuffer(data), data?.byteLength],
    bytes: ({ data }) => [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)],
    nothing: () => {},
    view() {
      const large = Buffer.alloc(1000, 7);
      return { part: large.subarray(10, 14), numbers: new Float32Array(large.buffer, large.byteOffset - (large.byteOffset % 4), 1).fill(1.5) };
    },
    keep({ data }) {
      const kept = data;
      setTimeout(() => kept.fill(0));
      return kept;
    },
  };`);

const bytes = Uint8Array.from({ length: 16 }, (_, index) => 240 + index);

/** One view of each type, over the same 16 bytes. */
const samples = {
  Buffer: Buffer.from(bytes),
  ArrayBuffer: bytes.buffer.slice(0),
  DataView: new DataView(bytes.buffer.slice(0)),
  ...Object.fromEntries(
    [
      Int8Array,
      Uint8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
      BigInt64Array,
      BigUint64Array,
    ].map((Class) => [Class.name, new Class(bytes.buffer.slice(0))]),
  ),
};

function bytesOf(value) {
  return value instanceof ArrayBuffer
    ? new Uint8Array(value)
    : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

function expectSame(actual, expected) {
  expect(Buffer.isBuffer(actual)).toBe(Buffer.isBuffer(expected));
  expect(Object.getPrototypeOf(actual)).toBe(Object.getPrototypeOf(expected));
  expect(Buffer.compare(bytesOf(actual), bytesOf(expected))).toBe(0);
}

describe.each(['json', 'advanced'])('serialization: %s', (serialization) => {
  let manager;
  beforeEach(() => {
    manager = pool({ worker, serialization, maxWorkers: 1 });
  });
  const echo = (data) => manager.run({ type: 'echo', data });

  test('[V3] a Buffer of 5 MB and a Float64Array three levels deep in the data of a task arrive unchanged', async () => {
    const buffer = Buffer.alloc(5 * 1024 * 1024);
    for (let i = 0; i < buffer.length; i += 4) buffer.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
    const numbers = Float64Array.from([
      0,
      -0,
      1 / 3,
      Number.NaN,
      Infinity,
      -Infinity,
      Number.MIN_VALUE,
    ]);
    const result = await echo({ buffer, level: [{ deep: { numbers } }] });
    expectSame(result.buffer, buffer);
    expectSame(result.level[0].deep.numbers, numbers);
    expect(Object.keys(result)).toEqual(['buffer', 'level']);
    expectSame(await echo(buffer), buffer);
  });

  test('[F6] every binary type arrives in tasks, results, messages and progress', async () => {
    const heard = { message: [], progress: [] };
    manager.on('message', (message) => heard.message.push(message));
    manager.on('progress', (value) => heard.progress.push(value));
    for (const [type, value] of Object.entries(samples)) {
      const [tag, isBuffer, length] = await manager.run({ type: 'classOf', data: value });
      expect([tag, isBuffer]).toEqual([
        `[object ${type === 'Buffer' ? 'Uint8Array' : type}]`,
        type === 'Buffer',
      ]);
      expect(length).toBe(16);
      heard.message.length = 0;
      heard.progress.length = 0;
      expectSame(await manager.run({ type: 'everywhere', data: value }), value);
      expectSame(heard.message[0], value);
      expectSame(heard.message[1].result, value);
      expectSame(heard.progress[0], value);
      expect(heard.message).toHaveLength(2);
    }
    const all = await echo(Object.values(samples));
    for (const [index, value] of Object.values(samples).entries()) expectSame(all[index], value);
  });

  test('a task may itself be binary, and so may its result', async () => {
    const direct = pool({
      worker: moduleFile('export default (task) => task;'),
      serialization,
      maxWorkers: 1,
    });
    for (const value of Object.values(samples)) expectSame(await direct.run(value), value);
  });

  test('a view of a larger buffer sends only the part that it shows', async () => {
    const large = Buffer.alloc(10_000, 'secret');
    large.fill(1, 100, 108);
    const views = [
      large.subarray(100, 108),
      new Uint8Array(large.buffer, large.byteOffset + 100, 8),
      new DataView(large.buffer, large.byteOffset + 100, 8),
    ];
    const results = await echo(views);
    for (const [index, view] of views.entries()) {
      expectSame(results[index], view);
      expect(await manager.run({ type: 'bytes', data: view })).toEqual(Array(8).fill(1));
    }
    const { part, numbers } = await manager.run({ type: 'view' });
    expectSame(part, Buffer.alloc(4, 7));
    expectSame(numbers, Float32Array.of(1.5));
  });

  test('empty buffers and views round-trip', async () => {
    const empty = [
      Buffer.alloc(0),
      new ArrayBuffer(0),
      new Float64Array(0),
      new DataView(new ArrayBuffer(0)),
    ];
    const results = await echo(empty);
    for (const [index, value] of empty.entries()) expectSame(results[index], value);
  });

  test('many buffers in one task arrive, each in its place', async () => {
    const data = Array.from({ length: 300 }, (_, index) => ({
      [`key ${index}`]: Buffer.alloc(index % 7, index),
    }));
    const results = await echo(data);
    for (const [index, item] of data.entries())
      expectSame(results[index][`key ${index}`], item[`key ${index}`]);
  });

  test('[F13] a task is a snapshot: bytes written into a buffer afterwards have no effect', async () => {
    const data = Buffer.alloc(100_000, 1);
    const result = manager.run({ type: 'echo', data });
    data.fill(2);
    expectSame(await result, Buffer.alloc(100_000, 1));
    expectSame(
      await manager.run({ type: 'keep', data: Buffer.alloc(100_000, 3) }),
      Buffer.alloc(100_000, 3),
    );
  });

  test("a key '__proto__' and keys with dots stay keys", async () => {
    const data = JSON.parse('{ "__proto__": { "a": null }, "a.b": null, "": null }');
    Object.defineProperty(data, '__proto__', { value: { a: Buffer.from('x') }, enumerable: true });
    data['a.b'] = Buffer.from('y');
    data[''] = Buffer.from('z');
    const result = await echo(data);
    expect(Object.getPrototypeOf(result)).toBe(Object.prototype);
    expect(Object.keys(result)).toEqual(['__proto__', 'a.b', '']);
    expect(Object.getOwnPropertyDescriptor(result, '__proto__').value.a.toString()).toBe('x');
    expect([result['a.b'].toString(), result[''].toString()]).toEqual(['y', 'z']);
  });

  test('[F5] undefined and null stay distinct', async () => {
    await expect(echo(undefined)).resolves.toBeUndefined();
    await expect(echo(null)).resolves.toBeNull();
    await expect(manager.run({ type: 'nothing' })).resolves.toBeUndefined();
    const heard = [];
    manager.on('result', ({ taskId, ...rest }) =>
      heard.push([taskId, rest.result, 'result' in rest]),
    );
    manager.distributeTask({ id: 'undefined', type: 'nothing' });
    manager.distributeTask({ id: 'null', type: 'echo', data: null });
    await manager.shutdown();
    expect(heard).toEqual([
      ['undefined', undefined, true],
      ['null', null, true],
    ]);
  });

  test('[F7] text of 10 MB and text of unusual characters arrive unchanged', async () => {
    const long = 'ä€😀'.repeat(1_200_000);
    expect(Buffer.byteLength(long)).toBeGreaterThan(10_000_000);
    expect((await echo(long)) === long).toBe(true);
    const awkward = [
      '\ud800',
      '\udc00\ud800',
      'a\ud83d',
      '\u2028\u2029',
      '\0',
      'a\0b',
      '\r\n\t"\\',
      '\u007f\u0080\u00ff',
      '\ufeff',
      '😀',
      '',
      '{"type":"result","id":1}\n',
    ];
    expect(await echo(awkward)).toEqual(awkward);
    expect(await echo(Object.fromEntries(awkward.map((text, index) => [text, index])))).toEqual(
      Object.fromEntries(awkward.map((text, index) => [text, index])),
    );
    for (const data of awkward) expect(await echo(data)).toBe(data);
  });

  test('[F7] any JSON value comes back as JSON has it', async () => {
    const anything = fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' });
    const values = fc.array(anything, { minLength: 1, maxLength: 20 });
    const property = fc.asyncProperty(values, async (list) => {
      const results = await Promise.all(list.map(echo));
      const plain =
        serialization === 'json' ? (value) => JSON.parse(JSON.stringify(value)) : (value) => value;
      expect(results).toEqual(list.map(plain));
    });
    await fc.assert(property, { numRuns: 100 });
  });

  test('buffers anywhere in any JSON value come back in their places', async () => {
    const leaf = fc.oneof(
      fc.uint8Array({ maxLength: 50 }).map((array) => Buffer.from(array)),
      fc.float64Array({ maxLength: 5 }),
      fc.jsonValue({ maxDepth: 1 }),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 4 },
        leaf,
        fc.array(tie('tree'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 4 }),
      ),
    }));
    const property = fc.asyncProperty(tree, async (data) => {
      const result = await echo(data);
      // The value as JSON has it, except for bytes.
      expect(shape(result)).toEqual(shape(data));
    });
    await fc.assert(property, { numRuns: 150 });
  });

  test('shared memory is refused', async () => {
    const shared = new SharedArrayBuffer(8);
    const views = [new Uint8Array(shared), { a: [new Int32Array(shared)] }];
    // Node's structured clone copies what a view of it shows.
    for (const data of serialization === 'json' ? [shared, ...views] : [shared]) {
      const error = await failure(echo(data));
      expect(error.code).toBe('ERR_SERIALIZATION');
      expect(error.message).toContain('SharedArrayBuffer');
    }
    await expect(echo(1)).resolves.toBe(1);
  });
});

/** Makes bytes comparable, and leaves the rest as JSON would. */
function shape(value) {
  if (Buffer.isBuffer(value)) return `Buffer ${value.toString('hex')}`;
  if (ArrayBuffer.isView(value))
    return `${value.constructor.name} ${Buffer.from(bytesOf(value)).toString('hex')}`;
  if (Array.isArray(value)) return value.map(shape);
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).map(([key, item]) => [key, shape(item)]);
  }
  return Object.is(value, -0) ? 0 : value;
}

describe('structured clone', () => {
  let manager;
  beforeEach(() => {
    manager = pool({ worker, serialization: 'advanced', maxWorkers: 1 });
  });
  afterEach(() => manager.shutdown());

  test('[F6, V1, P8] structured clone keeps dates, maps, sets, BigInts, regular expressions, cycles, NaN and -0', async () => {
    const data = {
      date: new Date(86_400_000),
      map: new Map([[{ key: 1 }, new Set(['a', 2n])]]),
      big: 2n ** 100n,
      expression: /a+/giu,
      numbers: [Number.NaN, Infinity, -0, 1],
      nothing: undefined,
      sparse: [1, undefined, 3],
      boxed: new Number(7),
      bytes: Buffer.from('abc'),
    };
    data.self = data;
    const result = await manager.run({ type: 'echo', data });
    expect(result.self).toBe(result);
    expect(Object.is(result.numbers[2], -0)).toBe(true);
    expect('nothing' in result).toBe(true);
    expectSame(result.bytes, data.bytes);
    delete data.self;
    delete result.self;
    expect(result).toEqual(data);
  });

  test('structured clone keeps identity within a task', async () => {
    const shared = { n: 1 };
    const [a, b] = await manager.run({ type: 'echo', data: [shared, shared] });
    expect(a).toBe(b);
  });

  test('structured clone refuses a value that cannot be cloned, and names it', async () => {
    for (const [data, word] of [
      [{ fn: () => 1 }, /could not be cloned/],
      [Symbol('s'), /could not be cloned|symbol/i],
      [new WeakMap(), /could not be cloned/],
    ]) {
      const error = await failure(manager.run({ type: 'echo', data }));
      expect(error).toMatchObject({ name: 'SerializationError', code: 'ERR_SERIALIZATION' });
      expect(error.message).toMatch(word);
      expect(error.cause).toBeInstanceOf(Error);
    }
    await expect(manager.run({ type: 'echo', data: 1 })).resolves.toBe(1);
  });
});

test('[F6] serialization "json" loses what JSON loses', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const data = {
    numbers: [Number.NaN, Infinity, -0, undefined, () => 1, Symbol('s')],
    date: new Date(0),
    boxed: [new Number(7), new String('s'), new Boolean(false)],
    nothing: undefined,
    fn() {},
    own: { toJSON: (key) => `replaced ${key}` },
    bytes: Buffer.from('a'),
  };
  expect(await manager.run({ type: 'echo', data })).toEqual({
    numbers: [null, null, 0, null, null, null],
    date: '1970-01-01T00:00:00.000Z',
    boxed: [7, 's', false],
    own: 'replaced own',
    bytes: Buffer.from('a'),
  });
});
