// User code that runs while a row is delivered, and throws: the rows behind it are delivered all
// the same, and the pool closes.
//
// Two kinds are missing. Node ends the process for errors of a hook of `async_hooks`. Errors of
// `next()` and `return()` of a source are failures of their map (`map.test.js`).

import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { program, until } from './support/harness.js';

const require = createRequire(import.meta.url);
const { BatchReader } = require('../lib/pool/rows.js');

const WORKER = `
  import { existsSync, writeFileSync } from 'node:fs';
  export default (task, { progress, send, attempt }) => {
    const { type, data } = task;
    if (type === 'progress') progress(data);
    if (type === 'send') send(data);
    if (type === 'print') process.stdout.write(data);
    if (type === 'printError') process.stderr.write(data);
    if (type === 'throw') throw new RangeError('thrown by the handler');
    if (type === 'die' && attempt === 1) process.kill(process.pid, 'SIGKILL');
    if (type === 'hang') return new Promise(() => setTimeout(() => {}, 60_000));
    return data;
  }`;

/**
 * Calls `act` with the pool, `mine` (which throws), `run` (which notes the outcome of a task by its
 * id) and `subscribe`. The tasks of `act` have neighbours on both sides, and nothing is read before
 * all of them have ended.
 *
 * @param how `running`: as many tasks end only after that
 * @returns the outcomes, and what was uncaught
 */
async function throwing({ act, options = '{}', more = '', running = 0 }) {
  const source = `
    import { subscribe } from 'node:diagnostics_channel';
    import ProcessManager from 'bulkhead';

    const caught = [];
    process.on('uncaughtException', (error) => caught.push(error.message));
    const mine = () => { throw new Error('mine'); };

    const worker = new URL('./worker.mjs', import.meta.url);
    ${more}
    class Pool extends ${more === '' ? 'ProcessManager' : 'Changed'} {}
    const options = ${options};
    const pool = new Pool({ worker, maxWorkers: 1, prefetch: 8, restart: { minDelay: 1 }, retryDelay: 1, ...options });
    const outcomes = {};
    const pending = [];
    function note(id, promise) {
      const told = promise.then((value) => { outcomes[id] = value; }, (error) => { outcomes[id] = error.message; });
      pending.push(told);
      return told;
    }
    const run = (id, options, task = {}) => note(id, pool.run({ id, data: id, ...task }, options));

    const act = ${act};
    for (const id of ['before 1', 'before 2']) run(id);
    const acted = act({ pool, mine, run, note, subscribe });
    for (const id of ['behind 1', 'behind 2']) run(id);
    // A map() takes its first item by then.
    for (let i = 0; i < 10; i++) await null;

    // Whatever there is to tell is told in one go: it has happened before this thread reads any of
    // it.
    const nap = new Int32Array(new SharedArrayBuffer(4));
    const end = performance.now() + 20_000;
    const settled = ({ accepted, completed, failed, cancelled }) => completed + failed + cancelled + ${running} === accepted;
    while (!settled(pool.stats().tasks) && performance.now() < end) Atomics.wait(nap, 0, 0, 5);

    await acted;
    await Promise.all(pending);
    // The next outcome is another batch, which has to be requested.
    await run('later');
    const { completed, rejected } = await pool.shutdown();
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
    console.log(JSON.stringify({ outcomes, caught, closed: { completed, rejected } }));`;
  const { code, stdout, stderr } = await program(source, { files: { 'worker.mjs': WORKER } });
  expect({ code, stderr: stderr.replace(/^[eo]$/gm, '').trim() }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout.slice(stdout.lastIndexOf('{"outcomes"')));
}

const NEIGHBOURS = Object.fromEntries(
  ['before 1', 'before 2', 'behind 1', 'behind 2', 'later'].map((id) => [id, id]),
);

/** A signal that is one by its form, and not by its class. */
const LIKE = `{ aborted: false, reason: undefined, addEventListener() {}, removeEventListener() {} }`;

/** A stream by its form, which owes its second item for ever. */
const STREAM = `{
  count: 0,
  pipe() {},
  destroy: mine,
  [Symbol.asyncIterator]() { return this; },
  next() { return this.count++ === 0 ? { value: { type: 'throw' }, done: false } : new Promise(() => {}); },
}`;

/**
 * Each case: the user code that throws, its program, the outcomes of its tasks, and how often the
 * error is caught.
 *
 * @type {[string, { act: string, options?: string, more?: string }, Record<string, unknown>, number][]}
 */
const CASES = [
  // Listeners.
  [
    'a listener of result',
    { act: `({ pool, mine }) => { pool.on('result', mine); pool.distributeTask(1); }` },
    {},
    1,
  ],
  [
    'a listener of error',
    {
      act: `({ pool, mine }) => { pool.on('error', mine); pool.distributeTask({ type: 'throw' }); }`,
    },
    {},
    1,
  ],
  [
    'a listener of message, for a message',
    {
      act: `({ pool, mine, run }) => {
        pool.on('message', (message) => { if (message === 'said') mine(); });
        run('own', undefined, { type: 'send', data: 'said' });
      }`,
    },
    { own: 'said' },
    1,
  ],
  [
    'a listener of message, for a result',
    { act: `({ pool, mine }) => { pool.on('message', mine); }` },
    {},
    Object.keys(NEIGHBOURS).length,
  ],
  [
    'a listener of progress',
    {
      act: `({ pool, mine, run }) => { pool.on('progress', mine); run('own', undefined, { type: 'progress' }); }`,
    },
    { own: 'own' },
    1,
  ],
  [
    'the onProgress of a task',
    { act: `({ mine, run }) => { run('own', { onProgress: mine }, { type: 'progress' }); }` },
    { own: 'own' },
    1,
  ],
  ['a listener of online', { act: `({ pool, mine }) => { pool.once('online', mine); }` }, {}, 1],
  ['a listener of exit', { act: `({ pool, mine }) => { pool.once('exit', mine); }` }, {}, 1],
  [
    'a listener of retry',
    {
      act: `({ pool, mine, run }) => { pool.on('retry', mine); run('own', { retries: 1 }, { type: 'die' }); }`,
    },
    { own: 'own' },
    1,
  ],
  [
    'a listener of lost-key',
    {
      act: `({ pool, mine, run }) => {
        pool.once('lost-key', mine);
        run('own', { retries: 1, key: 'k' }, { type: 'die' });
      }`,
    },
    { own: 'own' },
    1,
  ],
  [
    'a listener of drain',
    {
      options: '{ maxQueue: 4, prefetch: 1 }',
      act: `async ({ pool, mine, run, note }) => {
        const drained = new Promise((resolve) => pool.prependOnceListener('drain', resolve));
        pool.once('drain', mine);
        for (let i = 0; i < 3; i++) run('fills ' + i);
        await run('refused');
        await drained;
      }`,
    },
    {
      'fills 0': 'fills 0',
      'fills 1': 'fills 1',
      'fills 2': 'fills 2',
      refused: 'the queue is full: maxQueue is 4 tasks',
      'behind 1': 'the queue is full: maxQueue is 4 tasks',
      'behind 2': 'the queue is full: maxQueue is 4 tasks',
    },
    1,
  ],
  [
    'a listener of stdout',
    {
      options: `{ stdio: 'pipe' }`,
      act: `({ pool, mine, run }) => {
        pool.once('stdout', mine);
        return run('own', undefined, { type: 'print', data: 'o' });
      }`,
    },
    { own: 'o' },
    1,
  ],
  [
    'a listener of stderr',
    {
      options: `{ stdio: 'pipe' }`,
      act: `({ pool, mine, run }) => {
        pool.once('stderr', mine);
        return run('own', undefined, { type: 'printError', data: 'e' });
      }`,
    },
    { own: 'e' },
    1,
  ],
  [
    'a listener of removeListener, as a listener by once() goes',
    {
      act: `({ pool, mine }) => {
        pool.once('online', () => {});
        pool.on('removeListener', mine);
      }`,
    },
    {},
    1,
  ],
  [
    'emit() of a derived class',
    {
      more: `class Changed extends ProcessManager {
        emit(event, ...args) { if (event === 'result') throw new Error('mine'); return super.emit(event, ...args); }
      }`,
      act: `({ pool }) => { pool.distributeTask(1); }`,
    },
    {},
    1,
  ],
  [
    'listenerCount() of a derived class',
    {
      more: `class Changed extends ProcessManager {
        listenerCount(event) { if (event === 'message') throw new Error('mine'); return super.listenerCount(event); }
      }`,
      act: `({ pool, note }) => {
        note('own', new Promise((resolve) => pool.on('result', ({ result }) => resolve(result))));
        pool.distributeTask({ data: 'announced' });
      }`,
    },
    { own: 'announced' },
    Object.keys(NEIGHBOURS).length + 1,
  ],
  // Channels of node:diagnostics_channel.
  ...['pool:open', 'pool:close', 'worker:online', 'worker:exit'].map((name) => [
    `a subscriber of bulkhead:${name}`,
    { more: subscribing(name), act: '() => {}' },
    {},
    1,
  ]),
  ...['task:start', 'task:end'].map((name) => [
    `a subscriber of bulkhead:${name}`,
    { more: subscribing(name), act: '() => {}' },
    {},
    Object.keys(NEIGHBOURS).length,
  ]),
  [
    'a subscriber of bulkhead:task:end, of a task that fails',
    {
      act: `({ mine, run, subscribe }) => {
        subscribe('bulkhead:task:end', ({ outcome }) => { if (outcome === 'failed') mine(); });
        run('own', undefined, { type: 'throw' });
      }`,
    },
    { own: 'thrown by the handler' },
    1,
  ],
  [
    'a subscriber of bulkhead:task:retry',
    {
      act: `({ mine, run, subscribe }) => {
        subscribe('bulkhead:task:retry', mine);
        run('own', { retries: 1 }, { type: 'die' });
      }`,
    },
    { own: 'own' },
    1,
  ],
  // Signals.
  [
    'removeEventListener() of the signal of a task that ends',
    {
      act: `({ mine, run }) => { run('own', { signal: { ...${LIKE}, removeEventListener: mine } }); }`,
    },
    { own: 'own' },
    1,
  ],
  [
    'removeEventListener() of the signal of a task that fails',
    {
      act: `({ mine, run }) => {
        run('own', { signal: { ...${LIKE}, removeEventListener: mine } }, { type: 'throw' });
      }`,
    },
    { own: 'thrown by the handler' },
    1,
  ],
  [
    'removeEventListener() of the signal of a task with listeners',
    {
      act: `({ pool, mine, note }) => {
        note('own', new Promise((resolve) => pool.on('result', ({ result }) => resolve(result))));
        pool.distributeTask({ data: 'announced' }, { signal: { ...${LIKE}, removeEventListener: mine } });
      }`,
    },
    { own: 'announced' },
    1,
  ],
  [
    'removeEventListener() of the signal of a map',
    {
      act: `({ pool, mine, note }) => {
        const results = pool.map([{ type: 'throw' }], { signal: { ...${LIKE}, removeEventListener: mine } });
        note('own', results.next());
      }`,
    },
    { own: 'thrown by the handler' },
    1,
  ],
  [
    'the reason of a signal that a listener aborts',
    {
      act: `({ pool, mine, run }) => {
        const signal = {
          ...${LIKE},
          get reason() { return mine(); },
          addEventListener(_, listener) { this.abort = listener; },
        };
        pool.once('online', () => signal.abort());
        run('own', { signal }, { type: 'hang' });
      }`,
      options: '{ minWorkers: 2, maxWorkers: 2, prefetch: 1 }',
      running: 1,
    },
    { own: 'the task was cancelled' },
    1,
  ],
  // Sources of maps.
  [
    'destroy() of a stream, for a task that fails',
    { act: `({ pool, mine, note }) => { note('own', pool.map(${STREAM}).next()); }` },
    { own: 'thrown by the handler' },
    1,
  ],
  // Values and errors: what a program has given to all of them. The task ends with what it throws,
  // or as it should.
  [
    'the "then" of a result',
    {
      act: `({ run }) => {
        Object.defineProperty(Object.prototype, 'then', {
          configurable: true,
          get() { if (Object.hasOwn(this, 'trap')) throw new Error('mine'); },
        });
        run('own', undefined, { data: { trap: 1 } });
      }`,
    },
    { own: 'mine' },
    0,
  ],
  [
    'setters that all objects have',
    {
      act: `({ mine, run }) => {
        for (const key of ['taskId', 'workerId', 'pid', 'attempts', 'code', 'cause', 'maybeExecuted', 'result', 'event'])
          Object.defineProperty(Object.prototype, key, { configurable: true, set: mine });
        run('thrown', undefined, { type: 'throw' });
        run('crashed', { retries: 0 }, { type: 'die' });
      }`,
    },
    {
      thrown: 'thrown by the handler',
      crashed: expect.stringContaining('was killed by SIGKILL while running task "crashed"'),
    },
    0,
  ],
  [
    'the name of a class of errors',
    {
      act: `({ mine, run }) => {
        Object.defineProperty(RangeError.prototype, 'name', { configurable: true, get: mine });
        run('own', undefined, { type: 'throw' });
      }`,
    },
    { own: 'mine' },
    0,
  ],
  [
    'Error.prepareStackTrace',
    {
      act: `({ mine, run }) => { Error.prepareStackTrace = mine; return run('own', undefined, { type: 'throw' }); }`,
    },
    { own: expect.stringMatching(/^(?:mine|thrown by the handler)$/) },
    0,
  ],
];

/** @param {string} name of a channel */
function subscribing(name) {
  return `
    subscribe('bulkhead:${name}', mine);
    class Changed extends ProcessManager {}`;
}

test.each(CASES)(
  '[G9, XC1] %s throws: every other row of the batch is delivered, and the pool closes',
  async (_, how, own, count) => {
    const { outcomes, caught, closed } = await throwing(how);
    expect(outcomes).toEqual({ ...NEIGHBOURS, ...own });
    expect(caught).toEqual(Array(count).fill('mine'));
    expect(closed).toEqual({ completed: 0, rejected: 0 });
  },
);

test('[XC1] process.emitWarning() that throws does not keep a broken pool from closing', async () => {
  const { code, stdout, stderr } = await program(`
    import ProcessManager from 'bulkhead';
    process.on('uncaughtException', (error) => console.log('uncaught', error.message));
    process.emitWarning = () => { throw new Error('mine'); };
    const pool = new ProcessManager({ worker: './nowhere.mjs', maxWorkers: 1 });
    pool.startWorkers();
    await new Promise((resolve) => pool.once('exit', resolve));
    await pool.shutdown();
    console.log('closed');`);
  expect({ code, stdout, stderr }).toEqual({
    code: 0,
    stdout: 'uncaught mine\nclosed\n',
    stderr: '',
  });
});

test('[XC1] a read of the native side that fails throws, and the next one succeeds', async () => {
  const rows = [];
  const batches = new BatchReader(
    (row, value) => rows.push([row.kind, value]),
    () => {},
  );
  const answers = [
    () => {
      throw new Error('no memory');
    },
    () => [1, '["read"]', [], []],
    () => null,
  ];
  let reads = 0;
  batches.attach({
    drain: () => answers[Math.min(reads++, 2)](),
    rearm: () => reads < 3,
  });
  expect(() => batches.onBatch()).toThrow('no memory');
  await until(() => reads === 3, 'the reads that follow');
  expect(rows).toEqual([[0, 'read']]);
});
