// The cost of a value before it is refused: time on the way out, memory on the way in.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MessageTooLargeError, ProtocolError, SerializationError } from '../index.mjs';
import { failure, moduleFile, pool, program, root } from './support/harness.js';

const require = createRequire(import.meta.url);
const { decode, encode } = require('../lib/codec/serialize.js');

const LIMIT = 64 * 2 ** 20;

/** The array as a Proxy that counts how often it is read. */
function counted(array) {
  const counter = { value: null, asked: 0 };
  const trap = (name) => {
    return (...args) => {
      counter.asked += 1;
      return Reflect[name](...args);
    };
  };
  counter.value = new Proxy(array, {
    get: trap('get'),
    has: trap('has'),
    getOwnPropertyDescriptor: trap('getOwnPropertyDescriptor'),
    ownKeys: trap('ownKeys'),
  });
  return counter;
}

const refusal = (value, limit = LIMIT) => failure(() => encode(value, 'json', 'task', true, limit));

describe('values that are too large are refused before they are walked', () => {
  test.each([
    ['2^25 holes', Array(2 ** 25)],
    ['2^32 - 1 holes', Object.assign([], { [2 ** 32 - 2]: 1 })],
    ['2^24 holes, of five bytes each', Array(2 ** 24)],
  ])(
    '[F16, XB6] an array of %s is refused after a few of its elements are read',
    async (_, array) => {
      const { value, ...counter } = counted(array);
      const asked = counted(array);
      for (const data of [asked.value, { data: [asked.value] }]) {
        const error = await refusal(data);
        expect(error).toBeInstanceOf(MessageTooLargeError);
        expect(error.size).toBeGreaterThan(LIMIT);
        expect(error.limit).toBe(LIMIT);
      }
      expect(asked.asked).toBeLessThan(1_000);
      expect([typeof value, counter.asked]).toEqual(['object', 0]);
    },
  );

  test('[XB6] a sparse array within the limit is read only where it has elements, and its holes are null', () => {
    const asked = counted(Object.assign([], { 2000000: { a: 1 }, 2000002: 'end', other: 1 }));
    const { json } = encode(asked.value, 'json', 'task', true, LIMIT);
    expect(json.length).toBe('[{"a":1},null,"end"]'.length + 2_000_000 * 'null,'.length);
    expect(json.endsWith('null,{"a":1},null,"end"]')).toBe(true);
    expect(asked.asked).toBeLessThan(1_000);
  });

  test('[XB6] an array that only seems sparse arrives whole', () => {
    const array = Array.from({ length: 200_000 }, (_, index) => index);
    for (let i = 0; i < array.length; i += 3_125)
      for (let j = 0; j < 1_000; j++) delete array[i + j];
    expect(encode(array, 'json').json).toBe(JSON.stringify(array));
  });

  test('[F16, XB6] text that occurs many times counts each time, in both serialisations', async () => {
    const asked = counted(Array(1_000_000).fill('x'.repeat(30_000)));
    for (const serialization of ['json', 'advanced']) {
      const data =
        serialization === 'json' ? asked.value : Array(1_000_000).fill('x'.repeat(30_000));
      const error = await failure(() => encode({ data }, serialization, 'task', true, LIMIT));
      expect(error).toBeInstanceOf(MessageTooLargeError);
    }
    // One read shows that the array is large; the others go on until there is no room for more.
    expect(asked.asked).toBeLessThan(1_030_000);
  });

  test('[XB6] a toJSON without an end is stopped by the limit, or by its depth', async () => {
    let calls = 0;
    const wider = { toJSON: () => ({ text: 'x'.repeat(1_000), list: [deeper, wider, wider] }) };
    const deeper = {
      toJSON() {
        calls += 1;
        return { deeper };
      },
    };
    expect(await refusal(deeper)).toBeInstanceOf(SerializationError);
    calls = 0;
    expect(
      await refusal({
        list: Array.from({ length: 1_000_000 }, () => ({
          toJSON: () => 'x'.repeat(1_000 + Math.min(calls++, 0)),
        })),
      }),
    ).toBeInstanceOf(MessageTooLargeError);
    expect(calls).toBeLessThan(90_000);
    expect((await refusal(wider)).code).toMatch(/^ERR_SERIALIZATION|ERR_MESSAGE_TOO_LARGE$/);
  });

  test('[XB6] a pool refuses a task that is too large to walk, and serves on', async () => {
    const manager = pool({ maxWorkers: 1 });
    expect(() => manager.distributeTask(Array(2 ** 25))).toThrow(MessageTooLargeError);
    expect(await failure(manager.run({ data: Array(2 ** 25) }))).toBeInstanceOf(
      MessageTooLargeError,
    );
    expect(await failure(manager.exec(() => Array(2 ** 25)))).toBeInstanceOf(MessageTooLargeError);
    expect(await manager.run({ data: 'still there' })).toBe('still there');
  });
});

describe('JSON of many objects and arrays', () => {
  /** A worker that returns `text` as the result of its tasks, if they ask for it. */
  const worker = (expression) => `
    import { readSync, writeSync } from 'node:fs';
    const say = (text) => { for (let bytes = Buffer.from(text + '\\n'), at = 0; at < bytes.length;) at += writeSync(3, bytes, at); };
    const buffer = Buffer.alloc(65536);
    let text = '';
    for (;;) {
      const n = readSync(3, buffer);
      if (n === 0) break;
      text += buffer.toString('utf8', 0, n);
      for (let at = text.indexOf('\\n'); at >= 0; at = text.indexOf('\\n')) {
        const frame = JSON.parse(text.slice(0, at));
        text = text.slice(at + 1);
        if (frame.type === 'init') say('{"type":"ready","version":1}');
        if (frame.type === 'task') say('{"type":"result","id":' + frame.id + ',"result":' + (frame.task.large ? ${expression} : process.pid) + '}');
        if (frame.type === 'stop') process.exit(0);
      }
    }`;
  const main = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: { command: process.execPath, args: [new URL('worker.mjs', import.meta.url).pathname] }, maxWorkers: 1 });
    const pid = await pool.run({});
    const outcome = await pool.run({ large: true }).then((value) => ({ length: value.length }), (error) => ({ name: error.name, code: error.code, message: error.message, size: error.size, limit: error.limit, taskId: error.taskId }));
    const same = pid === await pool.run({});
    const { completed, failed } = pool.stats().tasks;
    console.log(JSON.stringify({ ...outcome, same, completed, failed }));
    await pool.shutdown();`;
  const run = async (expression, nodeArgs) => {
    const { stdout, stderr, code, signal } = await program(main, {
      files: { 'worker.mjs': worker(expression) },
      nodeArgs,
    });
    expect({ stderr, code, signal }).toEqual({ stderr: '', code: 0, signal: null });
    return JSON.parse(stdout);
  };

  test.each([
    ['arrays', "'[' + '[],'.repeat(12_000_000) + '1]'"],
    ['nested arrays', "'[' + ('['.repeat(500) + ']'.repeat(500) + ',').repeat(40_000) + '1]'"],
    ['objects', "'[' + '{},'.repeat(12_000_000) + '1]'"],
  ])(
    '[E22, XC10] a result of twelve million or more %s ends its task where the heap is small, and nothing else',
    async (_, expression) => {
      const outcome = await run(expression, ['--max-old-space-size=256']);
      expect(outcome).toMatchObject({
        name: 'MessageTooLargeError',
        code: 'ERR_MESSAGE_TOO_LARGE',
        same: true,
      });
      expect(outcome).toMatchObject({ completed: 2, failed: 1 });
      expect(outcome.message).toMatch(
        /^the value is too large for this process: .* \d+ MiB, .*--max-old-space-size$/,
      );
      expect(outcome.size).toBeGreaterThan(outcome.limit);
      expect(outcome.limit).toBeLessThan(400 * 2 ** 20);
    },
  );

  test('[XC10] JSON that only looks like many objects, in strings, or has room in the heap arrives', async () => {
    const strings = "'[' + JSON.stringify('[{'.repeat(15_000)).concat(',').repeat(200) + '1]'";
    expect(await run(strings, ['--max-old-space-size=256'])).toEqual({
      length: 201,
      same: true,
      completed: 3,
      failed: 0,
    });
    const arrays = "'[' + '[],'.repeat(3_000_000) + '1]'";
    expect(await run(arrays, ['--max-old-space-size=1024'])).toEqual({
      length: 3_000_001,
      same: true,
      completed: 3,
      failed: 0,
    });
  });
});

describe('data that is invalid in V8’s format', () => {
  // V8's tags, as in its value-serializer.cc.
  const bytes = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
  const header = [0xff, 0x0f];
  const forged = {
    nothing: bytes(),
    'only a header': bytes(header),
    'a version from the future': bytes([0xff, 0x7f, 0x30]),
    'a dense array that is longer than the message': bytes(
      header,
      [0x41, 0xff, 0xff, 0xff, 0xff, 0x0f],
    ),
    'a string that is longer than the message': bytes(header, [0x22, 0xff, 0xff, 0x03], 'abc'),
    'arrays in arrays, a million deep': bytes(
      header,
      Buffer.alloc(2_000_000, Buffer.from([0x41, 1])),
    ),
    'objects in objects, thirty thousand deep': bytes(
      header,
      Buffer.alloc(90_000, Buffer.from([0x6f, 0x55, 1])),
    ),
    'a BigInt that is longer than the message': bytes(header, [0x5a, 0xff, 0xff, 0xff, 0x0f]),
    'a regular expression that is none': bytes(header, [0x52, 0x22, 1], '(', [0]),
    'a WebAssembly module': bytes(header, [0x77, 0]),
    'a SharedArrayBuffer': bytes(header, [0x75, 0]),
    'a shared object': bytes(header, [0x70, 0]),
    'an ArrayBuffer that was transferred': bytes(header, [0x74, 0]),
    'a view of an unknown type': bytes(header, [0x5c, 0x7f, 0, 0]),
    'a view whose bytes are missing': bytes(header, [0x5c, 0, 1]),
    'a view that is longer than the message': bytes(header, [0x5c, 0, 0, 0xff, 0xff, 0x03]),
    'half an element': bytes(header, [0x5c, 11, 0, 7], 'seven..'),
    'an object that was not there': bytes(header, [0x5e, 5]),
  };

  test.each(Object.entries(forged))(
    '[XC9] decoding V8 data throws for %s, and ends nothing',
    (_, value) => {
      expect(() => decode(null, { encoding: 'v8' }, [value])).toThrow();
    },
  );

  test("[XC9] the bytes of a view in V8's format are used once", () => {
    const twice = bytes(header, [0x41, 2], [0x5c, 0, 1], [0x5c, 0, 1], [0x24, 0, 2]);
    expect(() => decode(null, { encoding: 'v8' }, [twice, Buffer.from('ab')])).toThrow(
      'the bytes of a binary are missing',
    );
  });

  test("[XC9] a pool ends a worker that sends invalid data in V8's format, and serves on", async () => {
    const worker = `
      import { writeSync } from 'node:fs';
      export default ({ data }) => {
        if (data === undefined) return 'sound';
        const value = Buffer.from(data);
        writeSync(3, '{"type":"message","bytes":[' + value.length + '],"encoding":"v8","message":null}\\n');
        for (let at = 0; at < value.length;) at += writeSync(3, value, at);
        return new Promise(() => {});
      };`;
    const manager = pool({ worker: moduleFile(worker), serialization: 'advanced', maxWorkers: 1 });
    manager.on('error', () => {});
    for (const value of [
      forged['objects in objects, thirty thousand deep'],
      forged['a SharedArrayBuffer'],
      forged['a view of an unknown type'],
    ]) {
      expect(await failure(manager.run({ id: 1, data: value }))).toBeInstanceOf(ProtocolError);
      expect(await manager.run({ id: 2 })).toBe('sound');
    }
  });

  // A small value with random changes is another value, or invalid: V8 reads it, or throws. A crash
  // would end another process.
  test("[XC9] bytes in V8's format that are changed at random end no process", {
    timeout: 120_000,
  }, async () => {
    const source = `
      const { encode, decode } = require(${JSON.stringify(join(root, 'lib', 'codec', 'serialize.js'))});
      const value = { a: [1, -2.5, 'text', null, undefined, 10n ** 30n], m: new Map([[{}, new Set([1])]]), d: new Date(0), r: /a+/g, e: new RangeError('m', { cause: 1 }), b: Buffer.from('bytes'), f: new Float64Array(3), ab: new ArrayBuffer(9), o: Object('s'), sparse: [, , 3] };
      value.self = value;
      const sound = Buffer.from(JSON.parse(encode(value, 'advanced').json), 'base64');
      let seed = 1;
      const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
      const counts = { read: 0, thrown: 0 };
      for (let i = 0; i < 40_000; i++) {
        const bytes = Buffer.from(sound);
        for (let j = random(4) + 1; j > 0; j--) bytes[random(bytes.length)] = random(256);
        try {
          decode(null, { encoding: 'v8' }, [random(9) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes]);
          counts.read += 1;
        } catch {
          counts.thrown += 1;
        }
      }
      console.log(JSON.stringify(counts));`;
    const { stdout, stderr, code, signal } = await program(source, {
      name: 'main.cjs',
      timeout: 110_000,
    });
    expect({ stderr, code, signal }).toEqual({ stderr: '', code: 0, signal: null });
    const { read, thrown } = JSON.parse(stdout);
    expect(read + thrown).toBe(40_000);
    expect(Math.min(read, thrown)).toBeGreaterThan(1_000);
  });
});
