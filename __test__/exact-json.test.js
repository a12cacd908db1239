// Values that travel as JSON although the pool's `serialization` is 'advanced': what arrives must
// be what structured clone gives.

import { createRequire } from 'node:module';
import vm from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digest } from './support/digest.mjs';
import { moduleFile, pool } from './support/harness.js';

const require = createRequire(import.meta.url);
const { exactJson } = require('../lib/codec/exact-json.js');
const { encode } = require('../lib/codec/serialize.js');

/** A thousand random values, or as many as asked for. */
const numRuns = Number(process.env.FC_RUNS ?? 1_000);

/**
 * Describes a copy: prototypes, types, keys and their order, and which objects are the same.
 * `deepEqual` of node:assert would accept `[a, a]` for two equal objects.
 */
function portrait(value, seen = new Map()) {
  if (typeof value !== 'object' || value === null)
    return Object.is(value, -0) ? '-0' : `${typeof value} ${String(value)}`;
  if (seen.has(value)) return `same as ${seen.get(value)}`;
  seen.set(value, seen.size);
  const prototype = Object.getPrototypeOf(value);
  const content =
    value instanceof Map || value instanceof Set
      ? [...value].flat()
      : value instanceof Date || value instanceof RegExp
        ? [String(value), Number(value)]
        : ArrayBuffer.isView(value)
          ? [...value]
          : [];
  return [
    prototype.constructor.name,
    Object.prototype.toString.call(value),
    Array.isArray(value) ? value.length : content.map((item) => portrait(item, seen)),
    Reflect.ownKeys(value)
      .filter((key) => key !== 'length')
      .map((key) => [String(key), portrait(value[key], seen)]),
  ];
}

/** A function that makes the value, because a getter may give something else the next time. */
const expectExact = (make) => {
  const json = exactJson(make());
  if (json === '') return false;
  const isClone = JSON.stringify(portrait(JSON.parse(json)));
  expect(isClone).toBe(JSON.stringify(portrait(structuredClone(make()))));
  return true;
};

/** Parts of a value that JSON may not carry. Each gets a value to put in. */
const TWISTS = {
  'the same object twice': (value) => [[value], value, [value]],
  'a cycle': (value) => {
    const cycle = { value };
    cycle.self = cycle;
    return cycle;
  },
  'a hole': (value) => Object.assign(Array(3), { 0: value, 2: value }),
  'a hole and another key': (value) => Object.assign(Array(3), { 0: value, 2: 1, more: value }),
  'a key of an array': (value) => Object.assign([1, 2], { more: value }),
  'an index that is not enumerable': (value) =>
    Object.defineProperty([1, value], 0, { enumerable: false }),
  'a long array': (value) => Object.assign([value], { length: 3 }),
  'a getter': (value) => ({
    get at() {
      return value;
    },
  }),
  'a getter of an index': (value) =>
    Object.defineProperty([1, 2], 0, { get: () => value, enumerable: true }),
  'a getter that changes': (value) => ({
    count: 0,
    get next() {
      this.count += 1;
      return this.count === 1 ? 1 : { value };
    },
    last: 1,
  }),
  'a getter that removes what follows': (value) => ({
    get at() {
      delete this.later;
      return 1;
    },
    later: value,
    last: 1,
  }),
  'a getter that adds': (value) => ({
    get at() {
      this.added = value;
      this.last = { value };
      return 1;
    },
    last: 1,
  }),
  'a setter': (value) => Object.defineProperty({ value }, 'x', { set() {}, enumerable: true }),
  'a symbol key': (value) => ({ [Symbol('s')]: value, value }),
  'a key that is not enumerable': (value) =>
    Object.defineProperty({ a: 1 }, 'hidden', { value, enumerable: false }),
  'no prototype': (value) => Object.assign(Object.create(null), { value }),
  'an inherited key': (value) => Object.create({ value }),
  'a class': (value) =>
    new (class Point {
      x = value;
    })(),
  'a class of arrays': (value) => class List extends Array {}.of(value),
  'another realm': (value) => Object.assign(vm.runInNewContext('({ a: [1] })'), { value }),
  'an array of another realm': () => vm.runInNewContext('[1, 2]'),
  'a key __proto__': (value) =>
    Object.defineProperty({}, '__proto__', { value, enumerable: true, configurable: true }),
  'the key toJSON': (value) => ({ toJSON: value }),
  'keys that look like indices': (value) => ({ b: 1, 10: value, 2: 1, '-1': 1, '01': 1, a: 1 }),
  'lone surrogates': (value) => ({ '\ud800': '\udfff', 'é\u2028"\\\0\n': value, x: '😀' }),
  'a frozen object': (value) => Object.freeze([Object.freeze({ value })]),
  'a boxed number': () => [Object(1)],
  'a boxed string': () => [Object('text')],
  'a boxed BigInt': () => [Object(1n)],
  'a date': () => new Date(0),
  'a map': (value) => new Map([[value, 1]]),
  'a set': (value) => new Set([value]),
  bytes: () => Buffer.from('bytes'),
  'a view': () => new Uint16Array(2),
  undefined: () => ({ a: undefined }),
  '-0': () => [-0],
  NaN: () => ({ n: Number.NaN }),
  'an infinity': () => [Number.NEGATIVE_INFINITY],
  'a BigInt': () => ({ n: 1n }),
};

/** Parts that structured clone refuses. */
const REFUSED = {
  'a Proxy': (value) => new Proxy({ value }, {}),
  'a Proxy of an array': (value) => new Proxy([value], {}),
  arguments: (value) =>
    (function () {
      // biome-ignore lint/complexity/noArguments: that is the case
      return arguments;
    })(value),
  'arguments with another name': (value) =>
    (function () {
      // biome-ignore lint/complexity/noArguments: as above
      return Object.assign(arguments, { [Symbol.toStringTag]: 'Object' });
    })(value),
  'a function': () => ({ f() {} }),
  'a method toJSON': (value) => ({ value, toJSON: () => 1 }),
  'a symbol': () => [Symbol('s')],
  'a promise': () => [Promise.resolve()],
  'a generator': () => [(function* () {})()],
};

const withPlainPrototype = (value) => Object.setPrototypeOf(value, Object.prototype);

const numbers = fc.oneof(fc.double(), fc.float(), fc.integer(), fc.constant(-0));
const texts = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((codes) => String.fromCharCode(...codes)),
  fc.integer({ min: 0, max: 40_000 }).map((length) => 'x'.repeat(length)),
);
const anything = fc.anything({
  withBigInt: true,
  withBoxedValues: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withObjectString: true,
  withSet: true,
  withSparseArray: true,
  withTypedArray: true,
  withUnicodeString: true,
});

const as = (value) => () => value;
/** Functions that make a value: plain data, with twists in it. */
const makers = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.oneof(numbers, texts, fc.boolean(), fc.constant(null)).map(as),
    fc.array(tie('value'), { maxLength: 5 }).map((items) => () => items.map((make) => make())),
    fc
      .array(fc.tuple(fc.oneof(texts, fc.nat().map(String)), tie('value')), { maxLength: 5 })
      .map((entries) => () => Object.fromEntries(entries.map(([key, make]) => [key, make()]))),
    fc.tuple(fc.constantFrom(...Object.values(TWISTS)), tie('value')).map(
      ([twist, make]) =>
        () =>
          twist(make()),
    ),
  ),
})).value;

describe('exactJson', () => {
  test('[V1] JSON that it gives is what structuredClone gives, for any value', () => {
    let taken = 0;
    fc.assert(
      fc.property(fc.oneof(makers, anything.map(as)), (make) => {
        if (expectExact(make)) taken += 1;
      }),
      { numRuns },
    );
    expect(taken).toBeGreaterThan(numRuns / 20);
  });

  test.each(Object.entries(TWISTS))('%s arrives as in a structured clone', (_, twist) => {
    for (const value of [1, 'text', null, [1, { a: 'b' }], {}, undefined, new Date(0)]) {
      expectExact(() => twist(value));
      expectExact(() => ({ in: [twist(value)] }));
    }
  });

  test.each(Object.entries(REFUSED))('%s is left to structured clone, which refuses', (_, make) => {
    for (const value of [make(1), { in: [make('text')] }]) {
      expect(exactJson(value)).toBe('');
      expect(() => structuredClone(value)).toThrow();
    }
  });

  test('objects of any class are found behind the prototype of plain objects', () => {
    for (const value of [
      new Map([[1, 2]]),
      new Set([1]),
      new WeakMap(),
      new WeakSet(),
      new Date(0),
      /a/,
      new Error('m'),
      Object(1n),
      Object(''),
      Object(Symbol('s')),
      Promise.resolve(),
      new ArrayBuffer(1),
      new SharedArrayBuffer(1),
      new Uint8Array(1),
      new DataView(new ArrayBuffer(1)),
      (function* () {})(),
      new Map().entries(),
      new Set().values(),
      [1],
    ])
      expect(exactJson({ v: Object.assign(withPlainPrototype(value), { own: 1 }) })).toBe('');
    expect(exactJson(Object.setPrototypeOf({ a: 1 }, Array.prototype))).toBe('');
  });

  test('changes to the built-in classes change nothing', () => {
    const value = { a: [1, 'b', { toString: 'c' }], d: 1.5, e: 'x'.repeat(100) };
    const right = JSON.stringify(value);
    const patches = [
      [Object.prototype, 'toJSON', () => 'patched'],
      [Array.prototype, 'toJSON', () => 'patched'],
      [String.prototype, 'toJSON', () => 'patched'],
      [Number.prototype, 'toJSON', () => 'patched'],
      [Object.prototype, 'inherited', 1],
      [Array.prototype, '1', 'patched'],
      [String.prototype, 'charCodeAt', () => 0],
      [RegExp.prototype, 'exec', () => 'patched'],
      [Number.prototype, 'toString', () => 'patched'],
      [Object, 'keys', () => []],
      [JSON, 'stringify', () => 'patched'],
    ];
    for (const [target, key, patch] of patches) {
      const before = Object.getOwnPropertyDescriptor(target, key);
      Object.defineProperty(target, key, {
        value: patch,
        configurable: true,
        enumerable: true,
        writable: true,
      });
      let json;
      let sparse;
      try {
        json = exactJson(value);
        sparse = exactJson(Array(2));
      } finally {
        if (before === undefined) delete target[key];
        else Object.defineProperty(target, key, before);
      }
      expect([String(key), json, sparse]).toEqual([String(key), right, '']);
    }
  });

  test('ordinary values take it', () => {
    for (const value of [
      null,
      true,
      0,
      -1.5,
      5e-324,
      1e21,
      '',
      'ä😀\ud800\0"\\',
      [],
      {},
      { id: 1, type: 'add', data: { a: 1, b: 2.5 } },
      { id: 2, data: 'x'.repeat(900), tags: ['a', 'b'], nested: [[], {}, [{ deep: null }]] },
      Array.from({ length: 90 }, (_, index) => index),
      Array.from({ length: 30 }, () => ({})),
      JSON.parse('{"__proto__":{"a":1}}'),
      { toJSON: 1 },
      Object.freeze([1]),
    ])
      expect(exactJson(value)).toBe(JSON.stringify(value));
  });

  test('what V8 is faster with is left to V8, and found out early', () => {
    let asked = 0;
    const late = {
      get late() {
        asked += 1;
        return 1;
      },
    };
    for (const value of [
      'x'.repeat(2_000),
      Array.from({ length: 200 }, (_, index) => index),
      Array.from({ length: 20 }, (_, index) => index / 7),
      Array.from({ length: 40 }, () => ({})),
      Array(2 ** 30),
      { text: 'x'.repeat(2 ** 20) },
    ]) {
      expect(exactJson(value)).toBe('');
      expect(exactJson([value, late])).toBe('');
    }
    expect(asked).toBe(0);
  });

  test('a getter that throws is left to what names its path', () => {
    const value = {
      get bad() {
        throw new Error('on purpose');
      },
    };
    expect(exactJson({ list: [value] })).toBe('');
    expect(() => encode({ list: [value] }, 'advanced')).toThrow(/at list\[0\]: on purpose/);
  });

  test('a getter that encodes another value does not mix the two up', () => {
    const shared = { a: 1 };
    const make = () => ({
      first: shared,
      get second() {
        exactJson([shared, shared]);
        return 1;
      },
      third: shared,
    });
    expect(exactJson(make())).toBe('');
  });
});

describe("encode in 'advanced' mode", () => {
  /** Ends a pause after values that went in V8's format. */
  const settle = () => {
    for (let i = 0; i < 100; i++) encode(1, 'advanced');
  };

  test('ordinary values go as JSON, without an encoding', () => {
    settle();
    const value = { id: 1, data: ['text', 2] };
    expect(encode(value, 'advanced')).toEqual({ ...encode(value, 'json') });
    expect(encode(value, 'advanced').encoding).toBeNull();
  });

  test("values that JSON does not carry go in V8's format, at most one in 64 after an attempt", () => {
    settle();
    let attempts = 0;
    const value = () => ({
      get at() {
        attempts += 1;
        return 1;
      },
      when: new Date(0),
    });
    const without = () => {
      const before = attempts;
      expect(encode(value(), 'advanced').encoding).toBe('v8');
      return attempts - before;
    };
    const calls = Array.from({ length: 1_000 }, without);
    // The attempt reads the getter once more than the check and the clone do.
    const [usual] = calls.slice(1);
    expect(calls[0]).toBe(usual + 1);
    expect(calls.filter((count) => count > usual).length).toBeLessThan(25);
    settle();
    expect(encode(1, 'advanced').encoding).toBeNull();
  });

  test("a value that fits only in V8's format goes in it", () => {
    settle();
    const value = Array.from({ length: 10 }, (_, index) => (index + 1) / 3);
    const json = JSON.stringify(value).length;
    expect(encode(value, 'advanced', 'task', true, 3 * json).encoding).toBeNull();
    const encoded = encode(value, 'advanced', 'task', true, json - 1);
    expect(encoded.encoding).toBe('v8');
    expect(encoded.blobs[0].byteLength).toBeLessThan(json);
  });
});

describe('a pool', () => {
  const plain = { id: 'mine', type: 'who' };
  test.each([
    ['json', 'plain', plain],
    ['json', 'with a toJSON that drops the id', { ...plain, toJSON: () => ({ type: 'who' }) }],
    ['json', 'of a class', Object.assign(new (class Task {})(), plain)],
    ['advanced', 'plain', plain],
    ['advanced', 'with a date', { ...plain, when: new Date(0) }],
    ['advanced', 'of a class', Object.assign(new (class Task {})(), plain)],
  ])(
    '%s: a task %s keeps its id, and one without gets a number',
    async (serialization, _, task) => {
      const manager = pool({ worker, serialization, maxWorkers: 1 });
      expect(await manager.run(task)).toBe('mine');
      expect(await manager.run({ type: 'who' })).toEqual(expect.any(Number));
    },
  );

  const worker = moduleFile(`
    export const handlers = {
      echo: (task) => task.v,
      who: (task, { taskId }) => taskId,
      arguments: (...args) => args,
      async *stream(task) { yield task.v; yield task.v; },
      everywhere(task, { send, progress }) { send(task.v); progress(task.v); return task.v; },
      envelope: (task) => ({ taskId: 'mine', result: task.v, processedBy: 0 }),
    };`);

  test('values of both kinds arrive in every direction, in any order', async () => {
    const manager = pool({ worker, serialization: 'advanced', maxWorkers: 1 });
    const cycle = { name: 'cycle' };
    cycle.self = cycle;
    const values = [
      1,
      'text',
      { a: [1, { b: null }] },
      -0,
      new Map([[1, { a: 1 }]]),
      cycle,
      [undefined],
      { '\ud800': '\udfff' },
      null,
      'x'.repeat(5_000),
      new Date(5),
      { 3: 1, 1: 2, a: 'x' },
    ];
    for (const v of [...values, ...values]) {
      const right = digest(v);
      expect(digest(await manager.run({ type: 'echo', v }))).toBe(right);
      expect(digest(await manager.run({ id: 'own', type: 'echo', v }))).toBe(right);
      expect(digest(await manager.run({ v }, { handler: 'echo' }))).toBe(right);
      expect(digest(await manager.run({ type: 'envelope', v }))).toBe(right);
      const heard = [];
      const hear = (value) => heard.push(digest(value));
      // The event has results, too.
      manager.on('message', (value) => value?.processedBy === undefined && hear(value));
      manager.on('progress', hear);
      expect(digest(await manager.run({ type: 'everywhere', v }))).toBe(right);
      expect(heard).toEqual([right, right]);
      manager.removeAllListeners();
      for await (const value of manager.stream({ type: 'stream', v }))
        expect(digest(value)).toBe(right);
      expect(digest(await manager.createProxy().arguments(v, 1))).toBe(digest([v, 1]));
    }
  });
});
