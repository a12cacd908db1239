// Each kind of value, in both serialisations and in both directions. docs/values.md has the same
// table.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { MessageTooLargeError, SerializationError } from '../index.mjs';
import { digest } from './support/digest.mjs';
import { failure, moduleFile, pool, root, shellWorker } from './support/harness.js';

const DIGEST = pathToFileURL(join(root, '__test__', 'support', 'digest.mjs')).href;
const require = createRequire(import.meta.url);
/** Evaluates the source of a value, here and in the worker. */
const EVALUATE =
  'const evaluate = (source) => Function("require", "return (" + source + ")")(require);';
const evaluate = (source) => Function('require', `return (${source})`)(require);

const worker = moduleFile(`
  import { createRequire } from 'node:module';
  import { digest } from ${JSON.stringify(DIGEST)};
  const require = createRequire(import.meta.url);
  ${EVALUATE}
  export const handlers = {
    look: ({ data }) => digest(data.v, { arrived: true }),
    lookAround: ({ data }) => digest(data, { arrived: true }),
    check: ({ data, like }) => evaluate(like)(data.v),
    make: ({ source }) => ({ v: evaluate(source) }),
    whole: ({ source }) => evaluate(source),
    echo: (task) => task.data,
    async everywhere({ source }, { send, progress }) {
      send(evaluate(source));
      progress(evaluate(source));
      return evaluate(source);
    },
    async *stream({ source }) { yield evaluate(source); },
    reject: ({ source }) => { throw evaluate(source); },
  };`);

const EQUAL = 'equal';
const REFUSED = 'refused';
const TOO_LARGE = 'refused with `MessageTooLargeError`';

/** With a stack that is the same wherever it is made. */
const error = (text, fields = '{}') =>
  `Object.assign(${text}, { stack: 'Error: m\\n    at here:1:2' }, ${fields})`;
const view = (Class) => `new ${Class}(new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]).buffer)`;
const typedArrays = Object.getOwnPropertyNames(globalThis).filter((name) => {
  const { value } = Object.getOwnPropertyDescriptor(globalThis, name);
  return (
    typeof value === 'function' &&
    Object.getPrototypeOf(value) === Object.getPrototypeOf(Uint8Array)
  );
});
const resizable = 'maxByteLength' in ArrayBuffer.prototype;

/**
 * `value`: the row's first cell. `of`: sources of such values. `json`, `advanced`: the cell, and
 * what arrives, unless that is equal or nothing: a source for all of them, a list of sources, or
 * `{ like }`, a function that says whether it is right.
 */
const TABLE = [
  {
    value: '`null`, booleans, strings, finite numbers',
    of: [
      'null',
      'true',
      'false',
      '""',
      '"ä😀\\ud800\\0"',
      '"x".repeat(100_000)',
      '"€".repeat(50_000)',
      '0',
      '1.5',
      '-1e300',
      '5e-324',
    ],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: '`undefined`, as the whole value',
    whole: true,
    of: ['undefined'],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: '`undefined`, a function or a symbol in an object',
    of: ['{ a: 1, b: undefined }', '{ a: 1, b() {} }', '{ a: 1, b: Symbol("s") }'],
    json: ['left out', '{ a: 1 }'],
    advanced: [
      '`undefined`: equal; a function or symbol: refused',
      ['{ a: 1, b: undefined }', REFUSED, REFUSED],
    ],
  },
  {
    value: '`undefined`, a function, a symbol or a hole in an array',
    of: ['[1, undefined]', '[1, () => 1]', '[1, Symbol("s")]', '[1, ,]'],
    json: ['`null`', '[1, null]'],
    advanced: [
      '`undefined`, a hole: equal; a function or symbol: refused',
      ['[1, undefined]', REFUSED, REFUSED, '[1, ,]'],
    ],
  },
  {
    value: 'a function or a symbol, as the whole value',
    whole: true,
    of: ['() => 1', 'Symbol("s")'],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: '`NaN`, `Infinity`',
    of: ['NaN', 'Infinity', '-Infinity'],
    json: ['`null`', 'null'],
    advanced: EQUAL,
  },
  { value: '`-0`', of: ['-0'], json: ['`0`', '0'], advanced: EQUAL },
  { value: 'a `BigInt`', of: ['1n', '-(2n ** 100n)'], json: REFUSED, advanced: EQUAL },
  {
    value: 'plain objects and arrays',
    of: [
      '{}',
      '[]',
      '{ b: 1, a: { c: [[], {}, [{ d: "" }]] } }',
      '{ "": 1, "a b": 2, 3: 4 }',
      '{ toJSON: 1 }',
      '{ constructor: 1 }',
    ],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'a key `__proto__`',
    of: [`JSON.parse('{ "__proto__": { "a": 1 } }')`],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'the same object twice',
    of: ['((same) => [same, same])({ a: 1 })'],
    json: ['two copies', '[{ a: 1 }, { a: 1 }]'],
    advanced: ['one copy, twice', '((same) => [same, same])({ a: 1 })'],
  },
  {
    value: 'a cycle',
    of: [
      '((a) => { a.list.push(a); return a; })({ list: [] })',
      '((a) => { a[0] = a; return a; })([])',
    ],
    json: REFUSED,
    advanced: EQUAL,
  },
  {
    value: 'an object without a prototype',
    of: ['Object.assign(Object.create(null), { a: 1 })'],
    json: ['a plain object', '{ a: 1 }'],
    advanced: ['a plain object', '{ a: 1 }'],
  },
  {
    value: 'a getter',
    of: ['{ get a() { return [1]; } }'],
    json: ['its value', '{ a: [1] }'],
    advanced: ['its value', '{ a: [1] }'],
  },
  {
    value: 'symbol keys, properties that are not enumerable',
    of: ['{ [Symbol("s")]: 1, a: 1 }', 'Object.defineProperty({ a: 1 }, "b", { value: 1 })'],
    json: ['left out', '{ a: 1 }'],
    advanced: ['left out', '{ a: 1 }'],
  },
  {
    value: 'properties of an array that are no elements',
    of: ['Object.assign([1], { a: 1 })'],
    json: ['left out', '[1]'],
    advanced: EQUAL,
  },
  {
    value: 'a sparse array',
    of: [
      'Object.assign(Array(3), { 1: 1 })',
      'Object.assign([], { 100_000: { a: 1 }, 100_003: 2 })',
    ],
    json: [
      'its holes are `null`',
      [
        '[null, 1, null]',
        'Object.assign(Array(100_004).fill(null), { 100_000: { a: 1 }, 100_003: 2 })',
      ],
    ],
    advanced: EQUAL,
  },
  {
    value: 'an object with a `toJSON` method',
    of: [
      '{ toJSON: (key) => ({ key }) }',
      'new (class A { a = 1; toJSON() { return { key: "v" }; } })()',
    ],
    json: ['what it returns', '{ key: "v" }'],
    advanced: ["a method of its own: refused; a class's: ignored", [REFUSED, '{ a: 1 }']],
  },
  {
    value: 'an instance of a class with enumerable properties',
    of: ['new (class A { a = 1; #b = 2; get c() { return this.#b; } })()'],
    json: ['a plain object of these', '{ a: 1 }'],
    advanced: ['a plain object of these', '{ a: 1 }'],
  },
  {
    value: 'an instance of a class without any, and with nothing to hide',
    of: ['new (class A { method() {} })()', 'Object.create({ inherited: 1 })'],
    json: ['`{}`', '{}'],
    advanced: ['`{}`', '{}'],
  },
  {
    value: 'an instance of a class that has only private fields or accessors',
    of: [
      'new (class Money { #amount = 5; plus(other) { return this.#amount + other; } })()',
      'new (class Money { get amount() { return 5; } })()',
      'new (class Euro extends (class Money { get amount() { return 5; } }) {})()',
    ],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: '`arguments`',
    of: ['(function () { return arguments; })(1, 2)'],
    json: ['a plain object', '{ 0: 1, 1: 2 }'],
    advanced: REFUSED,
  },
  {
    value: 'a `Proxy` of an object',
    of: ['new Proxy({ a: 1 }, {})'],
    json: ['a plain object', '{ a: 1 }'],
    advanced: REFUSED,
  },
  {
    value: 'a `Date`',
    of: ['new Date(0)'],
    json: ['its ISO string', '"1970-01-01T00:00:00.000Z"'],
    advanced: EQUAL,
  },
  {
    value: 'a `URL`',
    of: ['new URL("http://a/b")'],
    json: ['its text', '"http://a/b"'],
    advanced: REFUSED,
  },
  {
    value: 'a `RegExp`',
    of: ['/a+/giu', 'Object.assign(/a/g, { lastIndex: 1 })'],
    json: REFUSED,
    advanced: ['equal, but for `lastIndex`', ['/a+/giu', '/a/g']],
  },
  {
    value: 'a `Map`',
    of: [
      'new Map()',
      'new Map([[{ a: 1 }, new Set([1])], ["b", new Map()]])',
      'Object.assign(new Map(), { own: 1 })',
    ],
    json: REFUSED,
    advanced: [EQUAL, [undefined, undefined, 'new Map()']],
  },
  { value: 'a `Set`', of: ['new Set()', 'new Set([1, "a", {}])'], json: REFUSED, advanced: EQUAL },
  {
    value: 'a boxed number, string or boolean',
    of: ['Object(1)', 'Object("a")', 'Object(false)'],
    json: ['the primitive', ['1', '"a"', 'false']],
    advanced: EQUAL,
  },
  { value: 'a boxed `BigInt`', of: ['Object(1n)'], json: REFUSED, advanced: EQUAL },
  { value: 'a boxed symbol', of: ['Object(Symbol("s"))'], json: REFUSED, advanced: REFUSED },
  {
    value: 'a `Buffer`',
    of: ['Buffer.from("abc")', 'Buffer.alloc(0)', 'Buffer.alloc(100_000, "ab")'],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'an `ArrayBuffer`',
    of: ['new Uint8Array([1, 2]).buffer', 'new ArrayBuffer(0)', 'new ArrayBuffer(70_000)'],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'a resizable `ArrayBuffer`',
    of: resizable ? ['new ArrayBuffer(3, { maxByteLength: 9 })'] : [],
    json: ['an `ArrayBuffer` of its bytes', 'new ArrayBuffer(3)'],
    advanced: EQUAL,
  },
  {
    value: 'a detached `ArrayBuffer`',
    of: [
      '((a) => { structuredClone(a, { transfer: [a] }); return a; })(new ArrayBuffer(8))',
      '((a) => { structuredClone(a.buffer, { transfer: [a.buffer] }); return a; })(new Int32Array(8))',
    ],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'a `DataView`',
    of: [
      view('DataView'),
      'new DataView(new ArrayBuffer(9), 1, 2)',
      'new DataView(new ArrayBuffer(9_000), 1)',
    ],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'typed arrays, `Float16Array` where the runtime has it',
    of: [
      ...typedArrays.map(view),
      ...typedArrays.map(
        (name) => `new ${name}(5_000).fill(${name.startsWith('Big') ? '7n' : '7'})`,
      ),
      'new Uint16Array(new ArrayBuffer(64), 2, 3)',
    ],
    json: EQUAL,
    advanced: EQUAL,
  },
  {
    value: 'an instance of a class derived from a typed array',
    of: ['new (class A extends Uint8Array {})(3)'],
    json: ['the typed array', 'new Uint8Array(3)'],
    advanced: ['the typed array', 'new Uint8Array(3)'],
  },
  {
    value: 'two views of one `ArrayBuffer`',
    of: [
      '((a) => [new Uint8Array(a, 0, 2), new Uint8Array(a, 1, 2)])(new Uint8Array([1, 2, 3]).buffer)',
    ],
    json: ['two pieces of memory', '[new Uint8Array([1, 2]), new Uint8Array([2, 3])]'],
    advanced: ['two pieces of memory', '[new Uint8Array([1, 2]), new Uint8Array([2, 3])]'],
  },
  {
    value: 'a `SharedArrayBuffer`',
    of: ['new SharedArrayBuffer(8)'],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'a view of a `SharedArrayBuffer`',
    of: [
      'new Uint8Array(new SharedArrayBuffer(8), 1, 2).fill(3)',
      'new Uint8Array(new SharedArrayBuffer(8_000)).fill(3)',
    ],
    json: REFUSED,
    advanced: [
      'a copy of what it shows',
      ['new Uint8Array([3, 3])', 'new Uint8Array(8_000).fill(3)'],
    ],
  },
  {
    value: 'an `Error`',
    of: [
      ...[
        'Error',
        'TypeError',
        'RangeError',
        'SyntaxError',
        'ReferenceError',
        'EvalError',
        'URIError',
      ].map((Class) => error(`new ${Class}("m", { cause: { a: 1 } })`, '{ code: "E", n: 1 }')),
      error(
        'new Error("outer", { cause: new TypeError("inner") })',
        '{ cause: Object.assign(new TypeError("inner"), { stack: "", code: 7 }) }',
      ),
      error(
        'new Error("m")',
        `{ data: Buffer.from("b"), list: [${error('new RangeError("in")', '{ code: "I" }')}], long: "y".repeat(50_000) }`,
      ),
    ],
    json: ['equal: class, name, message, stack, `code`, `cause`, own fields'],
    advanced: [
      'name, message, stack, `cause`; own fields are lost, `code` among them',
      {
        like: '(e) => e instanceof Error && e.stack.endsWith("at here:1:2") && e.code === undefined && Object.keys(e).length === 0 && ["m", "outer"].includes(e.message)',
      },
    ],
  },
  {
    value: 'an error of a class of yours',
    of: [
      error('new (class MyError extends TypeError { name = "MyError"; })("m")', '{ code: "E" }'),
    ],
    json: [
      'the nearest built-in class, and the rest as above',
      {
        like: '(e) => Object.getPrototypeOf(e) === TypeError.prototype && e.name === "MyError" && e.code === "E" && e.stack.endsWith("here:1:2")',
      },
    ],
    advanced: [
      '`Error`, and the rest as above',
      { like: '(e) => e instanceof Error && e.message === "m" && e.stack.endsWith("here:1:2")' },
    ],
  },
  {
    value: 'an `AggregateError`',
    of: [error(`new AggregateError([${error('new TypeError("in")')}, { a: 1 }], "m")`)],
    json: ['equal, up to 256 `errors`'],
    advanced: [
      '`Error`: its `errors` are lost',
      { like: '(e) => e instanceof Error && e.message === "m" && e.errors === undefined' },
    ],
  },
  {
    value: 'a `DOMException`',
    of: ['new DOMException("m", "AbortError")'],
    json: [
      'an `Error` with its name, message and code',
      {
        like: '(e) => e instanceof Error && e.name === "AbortError" && e.message === "m" && e.code === 20',
      },
    ],
    advanced: REFUSED,
  },
  {
    value: 'a `WeakMap`, `WeakSet`, `WeakRef`',
    of: ['new WeakMap()', 'new WeakSet()', 'new WeakRef({})'],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'a `Promise` in an object',
    of: ['Promise.resolve(1)'],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'a generator or an iterator in an object',
    of: [
      '(function* () {})()',
      '(async function* () {})()',
      '[1].values()',
      'new Map().keys()',
      'new Set().values()',
      '"a"[Symbol.iterator]()',
    ],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value:
      'a `Blob`, `AbortSignal`, `Headers`, `URLSearchParams`, `MessagePort`, stream of the web',
    of: [
      'new Blob(["x"])',
      'AbortSignal.abort()',
      'new Headers({ a: "1" })',
      'new URLSearchParams("a=1")',
      '((channel) => { channel.port1.close(); return channel.port1; })(new MessageChannel())',
      'new ReadableStream()',
      'new FormData()',
      'new Event("e")',
    ],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'a `KeyObject`, `CryptoKey`',
    of: ['require("node:crypto").createSecretKey(Buffer.from("abc"))'],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'an `Intl.NumberFormat`, `WebAssembly.Module`',
    of: [
      'new Intl.NumberFormat()',
      'new WebAssembly.Module(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]))',
    ],
    json: REFUSED,
    advanced: REFUSED,
  },
  {
    value: 'nested too deeply (some thousand levels)',
    of: ['((a) => { for (let i = 0; i < 100_000; i++) a = [a]; return a; })([])'],
    json: REFUSED,
    advanced: REFUSED,
    pathless: true,
  },
  {
    value: 'more than `maxMessageSize`',
    of: [
      '"x".repeat(70_000_000)',
      'Buffer.alloc(70_000_000)',
      'Array(70_000_000)',
      'Array(10_000).fill("x".repeat(30_000))',
      'Array(10_000).fill("x".repeat(50_000))',
      'Array(100_000).fill({ key: "x".repeat(1_000) })',
    ],
    json: TOO_LARGE,
    advanced: [
      TOO_LARGE,
      [
        TOO_LARGE,
        TOO_LARGE,
        'Array(70_000_000)',
        TOO_LARGE,
        TOO_LARGE,
        'Array(100_000).fill({ key: "x".repeat(1_000) })',
      ],
    ],
  },
];

/** The cell, and what arrives of the row's value with this index. */
function outcomeOf(row, mode, index) {
  const [cell, expected] = Array.isArray(row[mode]) ? row[mode] : [row[mode]];
  const given = Array.isArray(expected) ? expected[index] : expected;
  if (given !== undefined) return { cell, expected: given };
  return { cell, expected: cell === REFUSED || cell === TOO_LARGE ? cell : row.of[index] };
}

test('[F15] docs/values.md has the table that is tested here', () => {
  const page = readFileSync(join(root, 'docs', 'values.md'), 'utf8');
  const [, ...rows] = page.match(/^\| .* \|$/gm).map((line) => line.slice(2, -2).split(' | '));
  expect(rows).toEqual(
    TABLE.map((row) => [
      row.value,
      outcomeOf(row, 'json', 0).cell,
      outcomeOf(row, 'advanced', 0).cell,
    ]),
  );
});

const CASES = TABLE.flatMap((row) => row.of.map((source, index) => ({ row, source, index })));
const titled = CASES.map((entry) => [`${entry.row.value}: ${entry.source.slice(0, 80)}`, entry]);

describe.each(['json', 'advanced'])('%s', (serialization) => {
  let manager;
  beforeEach(() => {
    manager = pool({ worker, serialization, maxWorkers: 1 });
  });

  test.each(titled)('[XB3] %s', async (_, { row, source, index }) => {
    const { expected } = outcomeOf(row, serialization, index);
    const results = () => manager.run({ type: row.whole ? 'whole' : 'make', source });
    const tasks = () => manager.run({ type: 'look', data: { v: evaluate(source) } });
    if (expected === REFUSED || expected === TOO_LARGE) {
      const Class = expected === REFUSED ? SerializationError : MessageTooLargeError;
      for (const [outcome, path] of [
        [results, /^v/],
        [row.whole ? () => manager.run(evaluate(source)) : tasks, /^data\.v/],
      ]) {
        const refused = await failure(outcome);
        expect(refused).toBeInstanceOf(Class);
        if (Class === SerializationError && !row.whole && !row.pathless)
          expect(refused.path).toMatch(path);
      }
      return;
    }
    const result = await results();
    const arrived = row.whole ? result : result.v;
    if (typeof expected === 'object') {
      expect(evaluate(expected.like)(arrived)).toBe(true);
      expect(
        await manager.run({ type: 'check', like: expected.like, data: { v: evaluate(source) } }),
      ).toBe(true);
      return;
    }
    const right = digest(evaluate(expected));
    expect(digest(arrived, { arrived: true })).toBe(right);
    if (!row.whole) expect(await tasks()).toBe(right);
  });
});

describe('errors inside values', () => {
  const settled = `Promise.allSettled([Promise.resolve(1), Promise.reject(${error('new RangeError("no")', '{ code: "E_NO" }')})])`;

  test('[F15, XB3] the result of Promise.allSettled() arrives with its errors', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const [fulfilled, rejected] = await manager.run({ type: 'whole', source: settled });
    expect(fulfilled).toEqual({ status: 'fulfilled', value: 1 });
    expect(rejected.reason).toBeInstanceOf(RangeError);
    expect(rejected.reason).toMatchObject({
      message: 'no',
      code: 'E_NO',
      stack: 'Error: m\n    at here:1:2',
    });
  });

  test('[XB3] an error arrives as one in results, messages, progress and streams, as the whole value or in one', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    for (const source of [
      error('new TypeError("m")', '{ code: "E" }'),
      `{ a: [${error('new TypeError("m")')}] }`,
    ]) {
      const right = digest(evaluate(source));
      const heard = [];
      const hear = (value) => heard.push(digest(value));
      manager.on('message', (value) => value.taskId === undefined && hear(value));
      manager.on('progress', hear);
      expect(digest(await manager.run({ type: 'everywhere', source }))).toBe(right);
      expect(heard).toEqual([right, right]);
      manager.removeAllListeners();
      for await (const value of manager.stream({ type: 'stream', source }))
        expect(digest(value)).toBe(right);
      expect(digest(await manager.run(evaluate(`{ type: 'echo', data: ${source} }`)))).toBe(right);
    }
  });

  test('[XB3] an error with a toJSON of its class arrives as that value, and as itself when it is thrown', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const source =
      'new (class HttpError extends Error { status = 404; toJSON() { return { status: this.status }; } })("m")';
    expect(await manager.run({ type: 'make', source })).toEqual({ v: { status: 404 } });
    const thrown = await failure(manager.run({ type: 'reject', source }));
    expect(thrown).toMatchObject({ message: 'm', status: 404 });
    expect(thrown).toBeInstanceOf(Error);
  });

  test('[XB3] a worker in another language reads an error in a task as JSON', async () => {
    const line = `printf '{"type":"result","id":%s,"result":%s}\\n' "$id" "$(printf %s "$line" | sed 's/.*"task"://; s/}$//')" >&3`;
    const manager = pool({ worker: shellWorker(line), maxWorkers: 1 });
    const { data } = await manager.run({
      id: 1,
      data: [evaluate(error('new TypeError("no")', '{ code: "E" }'))],
    });
    expect(data).toEqual([
      {
        name: 'TypeError',
        message: 'no',
        class: 'TypeError',
        stack: expect.any(String),
        code: 'E',
      },
    ]);
  });

  test('[XB3] the encoding of an error reaches into nothing, whatever a worker sends', async () => {
    const { decode } = require('../lib/codec/serialize.js');
    const restored = (value, ...paths) =>
      decode(
        value,
        { binary: paths.map((path) => ['Error', path]) },
        paths.map(() => Buffer.alloc(0)),
      );
    const classes = ['Function', '__proto__', 'constructor', 'process', 7, null];
    for (const name of classes)
      expect(Object.getPrototypeOf(restored({ class: name, message: 'm' }, []))).toBe(
        Error.prototype,
      );
    const polluting = JSON.parse(
      '{ "message": "m", "fields": { "__proto__": { "polluted": 1 }, "a": 1 }, "places": [["Error", ["fields", "__proto__", "polluted"]], ["v8", ["fields", "a"]], ["Buffer", ["message"]], [1], null, ["Buffer", ["fields", "a", "b"]]] }',
    );
    const rebuilt = restored([polluting], [0])[0];
    expect(Object.getPrototypeOf(rebuilt)).toBe(Error.prototype);
    expect([rebuilt.message, rebuilt.a, rebuilt.polluted, {}.polluted]).toEqual([
      'm',
      1,
      undefined,
      undefined,
    ]);
    for (const value of [null, 1, 'text', [], {}])
      expect(restored({ value }, ['value']).value).toBeInstanceOf(Error);
    expect(() => restored({}, ['a'])).toThrow(TypeError);
    expect(() => restored({ a: 1 }, ['a', 'b'])).toThrow(TypeError);
    // The same place twice, and a place inside an error.
    expect(restored({ a: { message: 'm' } }, ['a'], ['a']).a).toBeInstanceOf(Error);
    expect(restored({ a: { message: 'm' } }, ['a'], ['a', 'stack']).a.stack).toBeInstanceOf(Error);
  });
});

describe('fields of an error', () => {
  const fields =
    '{ big: 1n, map: new Map([[1, { a: 2 }]]), nan: NaN, zero: -0, nothing: undefined, fn() {}, sym: Symbol("s"), when: new Date(0), bytes: Buffer.from("b"), inner: [new RangeError("in")], own: { class: 1 }, class: "c", code: { a: 1 } }';
  const source = `((e) => Object.assign(e, { self: e, cycle: ((c) => { c.c = c; return c; })({}) }))(${error('new Error("m")', fields)})`;

  test('[XB4] a field of an error that JSON has no form for is text that says what it was', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const thrown = await failure(manager.run({ type: 'reject', source }));
    expect(thrown).toMatchObject({
      message: 'm',
      big: '1n',
      map: 'Map(1) { 1 => { a: 2 } }',
      nan: null,
      zero: 0,
      sym: 'Symbol(s)',
      when: '1970-01-01T00:00:00.000Z',
      bytes: Buffer.from('b'),
      own: { class: 1 },
      class: 'c',
      code: { a: 1 },
      self: '[Circular]',
      cycle: '<ref *1> { c: [Circular *1] }',
    });
    expect(thrown.inner[0]).toBeInstanceOf(RangeError);
    for (const key of ['fn', 'nothing']) expect(thrown).not.toHaveProperty(key);
  });

  test('[XB4] a field, a cause and a thrown value arrive unchanged in structured clone', async () => {
    const manager = pool({ worker, serialization: 'advanced', maxWorkers: 1 });
    const thrown = await failure(manager.run({ type: 'reject', source }));
    expect(thrown).toMatchObject({
      message: 'm',
      big: 1n,
      map: new Map([[1, { a: 2 }]]),
      nan: Number.NaN,
      when: new Date(0),
    });
    expect(thrown).toMatchObject({
      sym: 'Symbol(s)',
      bytes: Buffer.from('b'),
      own: { class: 1 },
      class: 'c',
      code: { a: 1 },
      self: '[Circular]',
    });
    expect(Object.is(thrown.zero, -0)).toBe(true);
    expect(Object.hasOwn(thrown, 'nothing')).toBe(true);
    expect(thrown.cycle.c).toBe(thrown.cycle);
    expect(thrown.inner[0]).toBeInstanceOf(RangeError);
    expect(thrown).not.toHaveProperty('fn');
    for (const value of ['new Map([[1, 2]])', '10n', 'new Set([{}])', '-0']) {
      const bare = await failure(manager.run({ type: 'reject', source: value }));
      expect(digest(bare.cause)).toBe(digest(evaluate(value)));
      const caused = await failure(
        manager.run({ type: 'reject', source: `new Error('m', { cause: ${value} })` }),
      );
      expect(digest(caused.cause)).toBe(digest(evaluate(value)));
    }
  });

  test('[XB4] fields that are too large and errors that are too many are reported as left out', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const large =
      'Object.assign(new Error("m"), { a: "x".repeat(1_500_000), b: Buffer.alloc(3_000_000), c: 1 })';
    const thrown = await failure(manager.run({ type: 'reject', source: large }));
    expect(thrown).toMatchObject({ a: '[left out: 1500000 characters]', c: 1 });
    expect(thrown.b).toMatch(/^Buffer\(3000000\) \[Uint8Array\]/);
    const many =
      '((make) => make(make, 18))((make, n) => n === 0 ? new Error("leaf") : ((inner) => Object.assign(new Error("m"), { a: inner, b: inner }))(make(make, n - 1)))';
    expect(await failure(manager.run({ type: 'reject', source: many }))).toMatchObject({
      message: 'm',
      a: { message: 'm' },
    });
  });

  test('[XB4] V8’s format in an error of a worker with serialization "json" is not read', async () => {
    const { fromWire } = require('../lib/errors/from-wire.js');
    const { toWire } = require('../lib/errors/to-wire.js');
    const wire = () =>
      JSON.parse(JSON.stringify(toWire(Object.assign(new Error('m'), { map: new Map() }), true)));
    expect(fromWire(wire(), true).map).toEqual(new Map());
    expect(fromWire(wire(), false).map).toEqual(expect.any(String));
  });
});

describe('views', () => {
  const kinds = ['Buffer', ...typedArrays, 'DataView'];
  const parts = `(() => {
    const memory = Buffer.alloc(20_000, 'secret');
    return [16, 5_000, 17_000].flatMap((size) => ${JSON.stringify(kinds)}.map((kind) => kind === 'Buffer'
      ? memory.subarray(8, 8 + size - size % 8) : new globalThis[kind](memory.buffer, memory.byteOffset + 8, (size - size % 8) / (globalThis[kind].BYTES_PER_ELEMENT ?? 1))));
  })()`;

  test.each(['json', 'advanced'])(
    '[XB2] %s: the memory of a view that arrived has its bytes and no others',
    async (serialization) => {
      const manager = pool({ worker, serialization, maxWorkers: 1 });
      const right = digest(evaluate(parts));
      expect(
        digest((await manager.run({ type: 'make', source: parts })).v, { arrived: true }),
      ).toBe(right);
      expect(await manager.run({ type: 'look', data: { v: evaluate(parts) } })).toBe(right);
    },
  );

  test('[XB1] every class of typed arrays that this runtime has can travel', () => {
    const { BINARY_TYPES } = require('../lib/codec/binary.js');
    expect(BINARY_TYPES).toEqual(expect.arrayContaining(typedArrays));
    expect(typedArrays).toContain('BigUint64Array');
  });

  test('[XB1] a class of typed arrays that only the other runtime has is named in the error', async () => {
    const line =
      'printf \'{"bytes":[2],"type":"result","id":%s,"binary":[["Float16Array",[]]],"result":null}\\nab\' "$id" >&3';
    const known = typedArrays.includes('Float16Array');
    const manager = pool({ worker: shellWorker(line), maxWorkers: 1 });
    const outcome = manager.run(1);
    if (known) {
      expect(await outcome).toEqual(new Float16Array(new Uint8Array([97, 98]).buffer));
    } else {
      const refused = await failure(outcome);
      expect(refused).toBeInstanceOf(SerializationError);
      expect(refused.message).toMatch(
        /^a Float16Array cannot be read: the runtime of this process \(Node\.js .*\) has no such class/,
      );
      // The worker has done nothing wrong.
      expect(await failure(manager.run(2))).toBeInstanceOf(SerializationError);
      expect(manager.workers[0].restarts).toBe(0);
    }
  });

  test('[XB5] a large view that arrived is transferred as a copy of itself, or not at all', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    for (const serialization of ['json', 'advanced']) {
      const result = await pool({ worker, serialization, maxWorkers: 1 }).run({
        type: 'whole',
        source: 'new Uint8Array(100_000).fill(7)',
      });
      try {
        const copy = structuredClone(result, { transfer: [result.buffer] });
        expect(copy).toEqual(new Uint8Array(100_000).fill(7));
      } catch (refused) {
        expect(refused.name).toBe('DataCloneError');
      }
      // Neither detaches it; and a copy can be transferred.
      expect(result).toEqual(new Uint8Array(100_000).fill(7));
      const slice = result.slice();
      structuredClone(slice, { transfer: [slice.buffer] });
      expect(slice.length).toBe(0);
    }
    await manager.shutdown();
  });
});

describe('any value', () => {
  const leaves = [
    fc.anything({ maxDepth: 0, withBigInt: true, withDate: true }),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
    fc.float64Array({ maxLength: 3 }),
    fc.uint8Array({ maxLength: 9 }).map(({ buffer }) => buffer),
    fc.constantFrom(/a+/g, /\//u, new Boolean(false), Object(1), Object('é')),
    fc.bigInt(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom(undefined, null, -0, Number.NaN, -Infinity),
    fc
      .record({ message: fc.string(), code: fc.string(), cause: fc.jsonValue({ maxDepth: 1 }) })
      .map(({ message, code, cause }) =>
        Object.assign(new RangeError(message, { cause }), { stack: 's', code }),
      ),
  ];
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      ...leaves.map((arbitrary) => ({ arbitrary, weight: 1 })),
      { arbitrary: fc.array(tie('tree'), { maxLength: 4 }), weight: 3 },
      { arbitrary: fc.sparseArray(tie('tree'), { maxNumElements: 3, maxLength: 6 }), weight: 1 },
      { arbitrary: fc.dictionary(fc.string(), tie('tree'), { maxKeys: 4 }), weight: 4 },
      {
        arbitrary: fc.dictionary(fc.string(), tie('tree'), { maxKeys: 2, noNullPrototype: false }),
        weight: 1,
      },
      {
        arbitrary: fc
          .array(fc.tuple(tie('tree'), tie('tree')), { maxLength: 2 })
          .map((entries) => new Map(entries)),
        weight: 1,
      },
      {
        arbitrary: fc.array(tie('tree'), { maxLength: 2 }).map((items) => new Set(items)),
        weight: 1,
      },
      {
        arbitrary: tie('tree').map((item) => ((shared) => [shared, { shared }])([item])),
        weight: 1,
      },
      {
        arbitrary: tie('tree').map((item) =>
          ((cycle) => Object.assign(cycle, { cycle }))({ item }),
        ),
        weight: 1,
      },
    ),
  }));

  class Refused extends Error {}

  /** Returns the value as JSON mode delivers it, by docs/values.md. */
  function asJson(value, above = []) {
    if (typeof value === 'bigint') throw new Refused();
    if (typeof value === 'number') return Number.isFinite(value) ? value + 0 : null;
    if (typeof value !== 'object' || value === null || value instanceof Error) return value;
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return value;
    if (value instanceof Date) return value.toJSON();
    if (value instanceof String || value instanceof Number || value instanceof Boolean)
      return value.valueOf();
    if (
      value instanceof Map ||
      value instanceof Set ||
      value instanceof RegExp ||
      above.includes(value)
    )
      throw new Refused();
    const path = [...above, value];
    if (Array.isArray(value)) return Array.from(value, (item) => asJson(item, path) ?? null);
    const copy = {};
    for (const [key, item] of Object.entries(value)) {
      const arrived = asJson(item, path);
      if (arrived !== undefined)
        Object.defineProperty(copy, key, {
          value: arrived,
          enumerable: true,
          configurable: true,
          writable: true,
        });
    }
    return copy;
  }

  /** Returns a clone of the value, without prototypes and own fields of errors. */
  const asClone = (value) => {
    const v8 = require('node:v8');
    return v8.deserialize(v8.serialize(value));
  };

  test.each(['json', 'advanced'])(
    '[F15, XB3] %s: a value that can be cloned arrives as the table says, or is refused with its place',
    async (serialization) => {
      const manager = pool({ worker, serialization, maxWorkers: 1 });
      const property = fc.asyncProperty(tree, async (v) => {
        let right;
        try {
          right =
            serialization === 'json'
              ? digest(asJson({ v }), { identity: false })
              : digest(asClone({ v }));
        } catch (error) {
          if (!(error instanceof Refused)) throw error;
          const refused = await failure(manager.run({ type: 'echo', data: { v } }));
          expect(refused).toBeInstanceOf(SerializationError);
          expect(refused.path).toMatch(/^data\.v/);
          return;
        }
        expect(digest(await manager.run({ type: 'echo', data: { v } }), { arrived: true })).toBe(
          right,
        );
        expect(await manager.run({ type: 'lookAround', data: { v } })).toBe(right);
      });
      await fc.assert(property, { numRuns: 300 });
    },
  );
});
