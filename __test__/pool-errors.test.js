// Errors of the pool as a whole: an event, a promise, or else one warning. They never end the
// process.

import { errorMonitor } from 'node:events';
import { describe, expect, test } from 'vitest';
import { PoolBrokenError, ProtocolError } from '../index.mjs';
import {
  endsWell,
  failure,
  moduleFile,
  pool,
  program,
  record,
  shellWorker,
  until,
} from './support/harness.js';

const missing = '/nowhere/worker.mjs';

/** The warnings of pools until this has run. */
async function warningsOf(action) {
  const warnings = [];
  const onWarning = (warning) => {
    if (warning.code === 'BULKHEAD_POOL_ERROR') warnings.push(warning);
  };
  process.on('warning', onWarning);
  try {
    await action();
    // They come at the next tick.
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
  } finally {
    process.off('warning', onWarning);
  }
  return warnings;
}

/**
 * The warnings of a pool that breaks without a listener. Node's own unhandledRejection would fail
 * the test.
 */
function warningsOfBroken(act, options = {}) {
  return warningsOf(async () => {
    const manager = pool({ worker: missing, maxWorkers: 1, name: 'broken', ...options });
    const gone = new Promise((resolve) => manager.once('exit', resolve));
    await act(manager);
    await gone;
    expect(await failure(manager.ready())).toBeInstanceOf(PoolBrokenError);
  });
}

describe('a pool that breaks, without a listener', () => {
  const broken = async (promise) => expect(await failure(promise)).toBeInstanceOf(PoolBrokenError);

  test.each([
    ['run()', (manager) => broken(manager.run(1))],
    ['exec()', (manager) => broken(manager.exec(() => 1))],
    ['a call of the proxy', (manager) => broken(manager.proxy.fn(1))],
    ['map()', (manager) => broken(manager.map([1, 2]).next())],
    ['stream()', (manager) => broken(manager.stream(1).next())],
    ['an awaited startWorkers()', (manager) => broken(manager.startWorkers())],
    ['startWorkers() with a catch()', (manager) => manager.startWorkers().catch(() => {})],
    [
      'startWorkers() within Promise.all()',
      (manager) => broken(Promise.all([manager.startWorkers(), 1])),
    ],
    [
      'an awaited resize()',
      (manager) => {
        manager.startWorkers();
        return broken(manager.resize({ minWorkers: 1, maxWorkers: 1 }));
      },
    ],
    [
      'a map() that waits for its source',
      (manager) => {
        manager.startWorkers();
        const source = { [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => {}) }) };
        return broken(manager.map(source).next());
      },
    ],
  ])('[XA3] a broken pool without a listener rejects %s, and does not warn', async (_, act) => {
    expect(await warningsOfBroken(act)).toEqual([]);
  });

  test.each([
    [
      'whose startWorkers() is ignored',
      (manager) => {
        manager.startWorkers();
      },
    ],
    [
      'whose startWorkers() and resize() are ignored',
      (manager) => {
        manager.startWorkers();
        manager.resize({ minWorkers: 1, maxWorkers: 1 });
      },
    ],
    [
      'whose map() and stream() were left',
      async (manager) => {
        for (const values of [manager.map([1, 2]), manager.stream(1)]) {
          const next = values.next();
          await values.return();
          await next;
        }
      },
    ],
  ])('[A12, XA3] a broken pool %s warns once', async (_, act) => {
    const warnings = await warningsOfBroken(act);
    expect(warnings).toEqual([
      expect.objectContaining({
        name: 'BulkheadWarning',
        code: 'BULKHEAD_POOL_ERROR',
        detail: expect.any(String),
      }),
    ]);
    expect(warnings[0].message).toMatch(
      /^process pool "broken": the pool is broken: workers do not start: .*nowhere/,
    );
    expect(warnings[0].detail).toContain("'error' event");
  });

  test('[XA3] a monitor of errors receives the error of a broken pool, and does not count as a listener', async () => {
    const heard = [];
    const warnings = await warningsOfBroken((manager) => {
      manager.on(errorMonitor, (error) => heard.push(error));
      manager.startWorkers();
    });
    expect(heard).toEqual([expect.any(PoolBrokenError)]);
    expect(warnings).toHaveLength(1);
  });

  test('[XA3] a promise that rejects does not end the program, and nothing is printed', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: './nowhere.mjs' });
      try { await pool.run(1); } catch ({ code }) { console.log(code); }
      await pool.shutdown();
      console.log('goes on');`;
    expect(await program(source)).toMatchObject(endsWell('ERR_POOL_BROKEN\ngoes on\n'));
  });

  test('[XA3] an ignored startWorkers() warns on standard error, and does not end the program', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      process.on('exit', (code) => console.log('exit', code));
      new ProcessManager({ worker: './nowhere.mjs' }).startWorkers();`;
    const { code, stdout, stderr } = await program(source);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'exit 0\n' });
    expect(
      stderr.match(/\[BULKHEAD_POOL_ERROR\] BulkheadWarning: process pool "bulkhead": /g),
    ).toHaveLength(1);
  });

  test('[A12, XA3] a server whose worker file vanishes serves on, with one warning', async () => {
    const source = `
      import { unlinkSync } from 'node:fs';
      import ProcessManager from 'bulkhead';
      const worker = new URL('./worker.mjs', import.meta.url);
      const pool = new ProcessManager({ worker, minWorkers: 2, maxWorkers: 2, restart: { limit: 2, minDelay: 1, maxDelay: 2 } });
      // This interval keeps it alive.
      const server = setInterval(() => {}, 1000);
      await pool.startWorkers();
      console.log(await pool.run(1));
      const warned = new Promise((resolve) => process.once('warning', ({ code }) => resolve(code)));
      unlinkSync(worker);
      for (const { pid } of pool.workers) process.kill(pid, 'SIGKILL');
      console.log(await warned);
      for (let i = 0; i < 2; i++) await pool.run(2).catch(({ code }) => console.log(code));
      await pool.shutdown();
      clearInterval(server);`;
    const { code, stdout, stderr } = await program(source, {
      files: { 'worker.mjs': 'export default (task) => task;' },
    });
    expect(stdout.split('\n').slice(0, -1)).toEqual([
      '1',
      'BULKHEAD_POOL_ERROR',
      'ERR_POOL_BROKEN',
      'ERR_POOL_BROKEN',
    ]);
    expect(code).toBe(0);
    expect(stderr.match(/BulkheadWarning/g)).toHaveLength(1);
  });

  test('[XA3] a task of distributeTask() that waits in a broken pool throws its own error, as in any emitter', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const thrown = [];
      process.on('uncaughtException', ({ code, taskId }) => thrown.push([code, taskId]));
      process.on('warning', ({ code }) => console.log(code));
      const pool = new ProcessManager({ worker: './nowhere.mjs', maxWorkers: 1 });
      for (const id of ['a', 'b']) pool.distributeTask({ id });
      await new Promise((resolve) => pool.once('exit', resolve));
      await pool.shutdown();
      console.log(JSON.stringify(thrown));`;
    const { code, stdout } = await program(source);
    expect(stdout.split('\n').slice(0, -1)).toEqual([
      'BULKHEAD_POOL_ERROR',
      JSON.stringify([
        ['ERR_POOL_BROKEN', 'a'],
        ['ERR_POOL_BROKEN', 'b'],
      ]),
    ]);
    expect(code).toBe(0);
  });
});

test('[XA3] a broken pool with a listener emits one event for itself, one for each task, and no warning', async () => {
  const warnings = await warningsOf(async () => {
    const manager = pool({ worker: missing, minWorkers: 2 });
    const log = record(manager, ['error']);
    manager.startWorkers();
    const awaited = failure(manager.run({ id: 'awaited' }));
    manager.distributeTask({ id: 'announced' });
    expect(await awaited).toBeInstanceOf(PoolBrokenError);
    await failure(manager.startWorkers());
    await manager.shutdown();
    expect(log.map(([, { code, taskId }]) => [code, taskId])).toEqual([
      ['ERR_POOL_BROKEN', undefined],
      ['ERR_POOL_BROKEN', 'announced'],
    ]);
  });
  expect(warnings).toEqual([]);
});

describe('an idle worker that breaks the protocol', () => {
  /** Sends an invalid frame once it has ended a task. */
  const babbling = shellWorker(
    `echo '{"type":"result","id":'$id',"result":1}' >&3; echo nonsense >&3`,
  );
  const options = { worker: babbling, maxWorkers: 1, restart: { minDelay: 1 } };

  test('[XA3] an idle worker that breaks the protocol is an event, each time, if there is a listener', async () => {
    const warnings = await warningsOf(async () => {
      const manager = pool(options);
      const log = record(manager, ['error']);
      for (let i = 1; i <= 2; i++) {
        expect(await manager.run(i)).toBe(1);
        await until(() => log.length === i, 'the error');
      }
      expect(log).toEqual(Array(2).fill(['error', expect.any(ProtocolError)]));
    });
    expect(warnings).toEqual([]);
  });

  test('[XA3] an idle worker that breaks the protocol is one warning without a listener, and the pool serves on', async () => {
    const warnings = await warningsOf(async () => {
      const manager = pool(options);
      let exits = 0;
      manager.on('exit', () => {
        exits += 1;
      });
      for (let i = 1; i <= 3; i++) {
        expect(await manager.run(i)).toBe(1);
        await until(() => exits === i, 'the exit');
      }
    });
    expect(warnings.map(({ message }) => message)).toEqual([
      expect.stringMatching(/^process pool "bulkhead": worker 1 \(pid \d+\) broke the protocol: /),
    ]);
  });
});

test('[XA3] startWorkers() returns a promise that works like any other', async () => {
  const manager = pool({ worker: moduleFile('export default (task) => task;'), maxWorkers: 1 });
  const started = manager.startWorkers();
  expect(started).toBeInstanceOf(Promise);
  expect(manager.startWorkers()).toBe(started);
  expect(started.then(() => {}).constructor).toBe(Promise);
  expect(await started).toBeUndefined();
  expect(await started.finally(() => {})).toBeUndefined();
  expect(await Promise.race([started])).toBeUndefined();
});
