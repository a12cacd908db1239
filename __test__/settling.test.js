// Every request to a pool in any state is answered: no promise stays pending.

import { describe, expect, test } from 'vitest';
import { moduleFile, pool, program } from './support/harness.js';

const worker = moduleFile(`
  export const handlers = {
    async *values() {
      yield 1;
    },
    slow: () => new Promise((resolve) => setTimeout(resolve, 200)),
  };
  export default ({ data }) => data;`);

/** The ways into each state of a pool. */
const STATES = {
  new: () => pool({ worker }),
  open: async () => {
    const manager = pool({ worker });
    await manager.startWorkers();
    return manager;
  },
  broken: async () => {
    const manager = pool({ worker: '/nowhere/worker.mjs', stdio: 'ignore' });
    manager.on('error', () => {});
    await manager.startWorkers().catch(() => {});
    return manager;
  },
  closing: async () => {
    // The pool drains until its task is done, which takes longer than the requests made meanwhile.
    const manager = pool({ worker });
    await manager.startWorkers();
    manager.run({ type: 'slow' }).catch(() => {}); // Where terminate() follows, it is cut short.
    manager.shutdown();
    return manager;
  },
  closed: async () => {
    const manager = pool({ worker });
    await manager.run({});
    await manager.shutdown();
    return manager;
  },
};

/** All methods of a pool that return a promise, or an iterator of them. */
const METHODS = {
  startWorkers: (manager) => manager.startWorkers(),
  ready: (manager) => manager.ready(),
  resize: (manager) => manager.resize({ minWorkers: 1, maxWorkers: 3 }),
  reload: (manager) => manager.reload(),
  shutdown: (manager) => manager.shutdown(),
  terminate: (manager) => manager.terminate(),
  run: (manager) => manager.run({ data: 1 }),
  map: (manager) => Array.fromAsync?.(manager.map([1])) ?? manager.map([1]).next(),
  stream: (manager) => manager.stream({ type: 'values' }).next(),
};

const CLOSED = 'PoolClosedError';
const BROKEN = 'PoolBrokenError';
/** The answer of each method: `ok`, or the error's name. */
const ANSWERS = {
  startWorkers: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  ready: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  resize: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  reload: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  shutdown: { new: 'ok', open: 'ok', broken: 'ok', closing: 'ok', closed: 'ok' },
  terminate: { new: 'ok', open: 'ok', broken: 'ok', closing: 'ok', closed: 'ok' },
  run: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  map: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
  stream: { new: 'ok', open: 'ok', broken: BROKEN, closing: CLOSED, closed: CLOSED },
};

const outcomeOf = (promise) =>
  promise.then(
    () => 'ok',
    ({ name }) => name,
  );

describe.each(Object.keys(STATES))('[XC4] a pool that is %s', (state) => {
  test.each(Object.keys(METHODS))('%s() settles', async (method) => {
    const manager = await STATES[state]();
    expect(await outcomeOf(METHODS[method](manager))).toBe(ANSWERS[method][state]);
  });

  test.each(['shutdown', 'terminate'])(
    'every promise settles if %s() follows at once',
    async (end) => {
      const manager = await STATES[state]();
      const methods = Object.keys(METHODS).filter(
        (method) => method !== 'shutdown' && method !== 'terminate',
      );
      const asked = methods.map((method) => outcomeOf(METHODS[method](manager)));
      asked.push(outcomeOf(manager[end]()));
      for (const outcome of await Promise.all(asked))
        expect(['ok', CLOSED, BROKEN]).toContain(outcome);
    },
  );
});

test.each(['shutdown', 'terminate'])(
  '[XC4] a pool that never started is resized and reloaded at once, and then closed by %s()',
  async (end) => {
    const manager = pool({ maxWorkers: 2 });
    const asked = [manager.resize({ minWorkers: 1, maxWorkers: 4 }), manager.reload()];
    const closed = manager[end]();
    expect(await Promise.all(asked)).toEqual([undefined, undefined]);
    expect(await closed).toEqual({ completed: 0, rejected: 0, killed: 0 });
  },
);

test('[XC4] a pool that was resized before it started has the new number of workers', async () => {
  const manager = pool({ maxWorkers: 1 });
  await manager.resize({ minWorkers: 2, maxWorkers: 3 });
  expect(manager.workers).toEqual([]);
  await manager.startWorkers();
  expect(manager.workers).toHaveLength(2);
});

test('[XC4] a change of a pool that never started does not keep the process alive', async () => {
  const { code, stdout, stderr } = await program(`
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager();
    await pool.reload();
    await pool.resize({ maxWorkers: 1 });
    console.log('done');`);
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'done\n', stderr: '' });
});
