// Calls that the pool has to refuse in any state: what is wrong, how each is called, and its error.

import vm from 'node:vm';

/** An error that user code throws on purpose, and that must arrive as itself. */
export class Planned extends Error {
  name = 'Planned';

  /** @param {string} message */
  constructor(message) {
    super(message);
    // Without frames of the stack, which would keep a dropped pool from being collected.
    this.stack = `Planned: ${message}`;
  }
}

const planned = () => {
  throw new Planned('by a trap');
};
const trap = () => new Proxy({}, { ownKeys: planned, get: planned, has: planned });

const TYPE = 'ERR_INVALID_ARG_TYPE';
const VALUE = 'ERR_INVALID_ARG_VALUE';
const RANGE = 'ERR_OUT_OF_RANGE';
const SERIALIZATION = 'ERR_SERIALIZATION';

/**
 * Values that can be no task, message or argument. They are made for each call, with the number of
 * a task that must never run.
 */
const VALUES = {
  'a cycle': (u) => {
    const value = { data: { u } };
    value.self = value;
    return value;
  },
  'a getter that throws': (u) => ({
    data: { u },
    get broken() {
      return planned();
    },
  }),
  'a proxy with traps': trap,
  'a function in a task': () => () => 1,
  'a symbol': () => Symbol('no task'),
  undefined: () => undefined,
};

/** Task options, and the code of the error. */
const OPTIONS = [
  [null, TYPE],
  ['text', TYPE],
  [[], TYPE],
  [{ unknown: 1 }, VALUE],
  [{ priority: 'high' }, TYPE],
  [{ priority: Number.NaN }, RANGE],
  [{ priority: 1e9 }, RANGE],
  [{ key: '' }, VALUE],
  [{ key: 7 }, TYPE],
  [{ timeout: -1 }, RANGE],
  [{ timeout: 1.5 }, RANGE],
  [{ timeout: 1n }, TYPE],
  [{ retries: -1 }, RANGE],
  [{ retries: '1' }, TYPE],
  [{ signal: {} }, TYPE],
  [{ signal: null }, TYPE],
  [{ handler: '' }, VALUE],
  [{ handler: () => 1 }, TYPE],
  [{ onProgress: 'log' }, TYPE],
  [{ trace: 'nonsense' }, VALUE],
];

/** The ways to submit a task, and whether a wrong one throws. */
const SUBMISSIONS = {
  distributeTask: (pool, task, options) => pool.distributeTask(task, options),
  run: (pool, task, options) => pool.run(task, options),
  'stream().next': (pool, task, options) => pool.stream(task, options).next(),
  'map().next': (pool, task, options) => pool.map([task], options).next(),
};

/**
 * @typedef {object} BadCall
 * @property {string} what
 * @property {(pool: any, task: () => { id: string, data: object }) => unknown} act `task` makes one that must never run
 * @property {string} code of the error; `Planned`: what user code has thrown
 * @property {boolean} [throws] instead of rejecting
 * @property {string} [serialization] of the pools in which it is wrong; otherwise in all of them
 */

/** @type {BadCall[]} */
export const BAD_CALLS = [
  ...Object.entries(SUBMISSIONS).flatMap(([name, submit]) => [
    ...Object.entries(VALUES).map(([value, make]) => ({
      what: `${name}(${value})`,
      act: (pool, task) => submit(pool, make(task().data.u)),
      // map() checks first whether an item is a promise.
      code: name === 'map().next' && value === 'a proxy with traps' ? 'Planned' : SERIALIZATION,
      throws: name === 'distributeTask',
      // Structured clone can send the other values.
      serialization: value === 'a cycle' ? 'json' : undefined,
    })),
    ...OPTIONS.filter(([options]) => !(name === 'stream().next' && hasRetries(options))).map(
      ([options, code]) => ({
        what: `${name}(task, ${inspect(options)})`,
        act: (pool, task) => submit(pool, task(), options),
        code,
        throws: name === 'distributeTask',
      }),
    ),
    {
      what: `${name}(task, a proxy with traps)`,
      act: (pool, task) => submit(pool, task(), trap()),
      code: 'Planned',
      throws: name === 'distributeTask',
    },
  ]),
  ...['text', undefined, Math.max, class {}, vm.runInNewContext('(function () {}).bind(1)')].map(
    (fn) => ({
      what: `exec(${inspect(fn)})`,
      act: (pool) => pool.exec(fn),
      code: typeof fn === 'function' ? VALUE : TYPE,
    }),
  ),
  { what: "exec(fn, 'text')", act: (pool) => pool.exec(() => 1, 'text'), code: TYPE },
  { what: 'exec(fn, [], null)', act: (pool) => pool.exec(() => 1, [], null), code: TYPE },
  ...[5, null, undefined, {}].map((source) => ({
    what: `map(${inspect(source)}).next`,
    act: (pool) => pool.map(source).next(),
    code: TYPE,
  })),
  {
    what: 'map([], { ordered: 1 }).next',
    act: (pool) => pool.map([], { ordered: 1 }).next(),
    code: TYPE,
  },
  {
    what: 'map([], { highWaterMark: 0 }).next',
    act: (pool) => pool.map([], { highWaterMark: 0 }).next(),
    code: RANGE,
  },
  {
    what: 'stream(task, { highWaterMark: 0 }).next',
    act: (pool, task) => pool.stream(task(), { highWaterMark: 0 }).next(),
    code: RANGE,
  },
  {
    what: 'stream(task, { retries: 1 }).next',
    act: (pool, task) => pool.stream(task(), { retries: 1 }).next(),
    code: VALUE,
  },
  { what: 'cancel({})', act: (pool) => pool.cancel({}), code: TYPE, throws: true },
  { what: 'cancel()', act: (pool) => pool.cancel(), code: TYPE, throws: true },
  { what: "send('1', 1)", act: (pool) => pool.send('1', 1), code: TYPE, throws: true },
  { what: 'send(0, 1)', act: (pool) => pool.send(0, 1), code: RANGE, throws: true },
  {
    what: 'send(1, undefined)',
    act: (pool) => pool.send(1, undefined),
    code: SERIALIZATION,
    throws: true,
  },
  {
    what: 'broadcast(undefined)',
    act: (pool) => pool.broadcast(undefined),
    code: SERIALIZATION,
    throws: true,
  },
  {
    what: 'broadcast(a proxy with traps)',
    act: (pool) => pool.broadcast(trap()),
    code: SERIALIZATION,
    throws: true,
  },
  ...[
    [undefined, TYPE],
    [null, TYPE],
    ['text', TYPE],
    [{ maxWorkers: 0 }, RANGE],
    [{ minWorkers: -1 }, RANGE],
    [{ minWorkers: 1.5 }, RANGE],
    [{ minWorkers: 3, maxWorkers: 2 }, RANGE],
    [{ workers: 1 }, VALUE],
  ].map(([size, code]) => ({
    what: `resize(${inspect(size)})`,
    act: (pool) => pool.resize(size),
    code,
  })),
  ...[
    [null, TYPE],
    [5, TYPE],
    [{ timeout: -1 }, RANGE],
    [{ timeout: '1' }, TYPE],
    [{ drain: 'none' }, VALUE],
    [{ force: true }, VALUE],
  ].map(([options, code]) => ({
    what: `shutdown(${inspect(options)})`,
    act: (pool) => pool.shutdown(options),
    code,
  })),
  { what: 'shutdown(a proxy with traps)', act: (pool) => pool.shutdown(trap()), code: 'Planned' },
  {
    what: "createProxy({ handler: 'x' })",
    act: (pool) => pool.createProxy({ handler: 'x' }),
    code: VALUE,
    throws: true,
  },
  {
    what: 'createProxy({ unknown: 1 })',
    act: (pool) => pool.createProxy({ unknown: 1 }),
    code: VALUE,
    throws: true,
  },
  ...[
    ['text', TYPE],
    [{ maxWorkers: 0 }, RANGE],
    [{ minWorkers: 2, maxWorkers: 1 }, RANGE],
    [{ worker: 5 }, TYPE],
    [{ worker: '' }, VALUE],
    [{ serialization: 'xml' }, VALUE],
    [{ unknown: 1 }, VALUE],
    [{ env: { A: 'a\0b' } }, VALUE],
    [{ restart: { limit: -1 } }, RANGE],
    [{ retries: Infinity }, RANGE],
  ].map(([options, code]) => ({
    what: `new ProcessManager(${inspect(options)})`,
    act: (pool) => new pool.constructor(options),
    code,
    throws: true,
  })),
];

/** A stream has no such option. */
function hasRetries(options) {
  return options?.retries !== undefined;
}

/** @param {unknown} value */
function inspect(value) {
  if (typeof value === 'function')
    return /^class/.test(String(value)) ? 'a class' : `function ${value.name}`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? String(value);
  const members = Object.entries(value).map(
    ([key, member]) => `${key}: ${typeof member === 'bigint' ? `${member}n` : inspect(member)}`,
  );
  return Array.isArray(value) ? '[]' : `{ ${members.join(', ')} }`;
}
