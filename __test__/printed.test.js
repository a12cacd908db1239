// Pools and errors as Node prints them: names as in the documentation, and places in the user's own
// code.

import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import ProcessManager from '../index.mjs';
import { failure, fixture, moduleFile, pool, program, started } from './support/harness.js';

describe('names of classes', () => {
  test('[XA16] every public class has the name that it is exported by', () => {
    const { default: itself, ...classes } = ProcessManager;
    expect(itself).toBe(ProcessManager);
    expect(Object.keys(classes)).toContain('PoolBrokenError');
    for (const [name, Class] of Object.entries(classes)) expect(Class.name).toBe(name);
    const manager = pool();
    expect(manager.stream(1).constructor.name).toBe('TaskStream');
    expect(manager.map([]).constructor.name).toBe('MapIterator');
  });
});

describe('console.log(pool)', () => {
  test('[XA16] console.log(pool) shows name, state, workers by state and the queue', async () => {
    const manager = pool({
      name: 'thumbnails',
      worker: fixture('announcing.mjs'),
      maxWorkers: 2,
      minWorkers: 2,
    });
    const shown = () => inspect(manager, { breakLength: Infinity });
    const queue = 'queue: { tasks: 0, bytes: 0 }';
    expect(shown()).toBe(
      `ProcessManager { name: 'thumbnails', state: 'new', workers: {}, ${queue} }`,
    );
    await manager.startWorkers();
    expect(shown()).toBe(
      `ProcessManager { name: 'thumbnails', state: 'open', workers: { idle: 2 }, ${queue} }`,
    );
    const closing = manager.shutdown();
    expect(shown()).toContain("state: 'closing'");
    await closing;
    expect(shown()).toBe(
      `ProcessManager { name: 'thumbnails', state: 'closed', workers: {}, ${queue} }`,
    );
  });

  test('[XA16] console.log(pool) shows a broken pool', async () => {
    const manager = pool({ worker: moduleFile('export const nothing = 1;') });
    manager.on('error', () => {});
    await failure(manager.startWorkers());
    expect(inspect(manager)).toMatch(/^ProcessManager \{\s+name: 'bulkhead',\s+state: 'broken',/);
  });

  test('[XA16] console.log(pool) shows the name of a subclass, and only that where it is too deep', async () => {
    class Thumbnails extends ProcessManager {}
    const manager = new Thumbnails();
    expect(inspect(manager)).toMatch(/^Thumbnails \{/);
    expect(
      inspect({ a: { b: { c: { manager } } } }, { depth: 2, breakLength: Infinity }),
    ).toContain('c: [Object]');
    expect(inspect([[[manager]]], { depth: 2 })).toBe('[ [ [ [Thumbnails] ] ] ]');
    expect(inspect([manager], { depth: 0, colors: true })).toBe(
      '[ \u001b[36m[Thumbnails]\u001b[39m ]',
    );
    await manager.shutdown();
    expect(inspect([[[manager]]], { depth: 2 })).toBe('[ [ [ [Thumbnails] ] ] ]');
  });

  test('[XA16] console.log(pool) never throws, whatever was done to the pool', () => {
    const manager = pool();
    expect(inspect(ProcessManager.prototype)).toContain('Emitter');
    expect(inspect(Object.create(ProcessManager.prototype))).toContain('ProcessManager');
    expect(inspect(new Proxy(manager, {}))).toContain('ProcessManager');
    for (const value of [undefined, null, 7, {}]) {
      Object.defineProperty(manager, 'constructor', { value, configurable: true });
      expect(inspect(manager)).toMatch(/^ProcessManager \{/);
    }
  });

  test('[XA16] console.log(pool) counts tasks that run and tasks that wait', async () => {
    const manager = pool({ worker: fixture('announcing.mjs'), maxWorkers: 1, prefetch: 1 });
    const begun = started(manager, 1);
    const running = manager.run({ id: 1, type: 'never' }).catch(() => {});
    await begun;
    const waiting = manager.run({ id: 2, type: 'never' }).catch(() => {});
    expect(inspect(manager, { breakLength: Infinity })).toMatch(
      /workers: \{ busy: 1 \}, queue: \{ tasks: 1, bytes: \d+ \}/,
    );
    await manager.terminate();
    await Promise.all([running, waiting]);
  });
});

describe('uncaught errors', () => {
  const here = `new URL('worker.mjs', import.meta.url)`;
  const files = { 'worker.mjs': 'export default ({ data }) => data;' };
  const made = `import ProcessManager from 'bulkhead';\nconst pool = new ProcessManager({ worker: ${here} });\n`;

  test.each([
    ['the constructor', 'new ProcessManager({ maxWorkers: -1 });', 'ERR_OUT_OF_RANGE'],
    [
      'the constructor of a subclass',
      'new (class extends ProcessManager {})({ maxWorker: 1 });',
      'ERR_INVALID_ARG_VALUE',
    ],
    ['distributeTask()', "pool.distributeTask(1, { priority: 'high' });", 'ERR_INVALID_ARG_TYPE'],
    ['distributeTask()', 'pool.distributeTask({ data: 1n });', 'ERR_SERIALIZATION'],
    [
      'distributeTask() of a closed pool',
      'await pool.shutdown(); pool.distributeTask(1);',
      'ERR_POOL_CLOSED',
    ],
    ['run()', 'pool.run(1, { timout: 1 });', 'ERR_INVALID_ARG_VALUE'],
    ['run()', 'pool.run({ data: 1n });', 'ERR_SERIALIZATION'],
    ['exec()', "pool.exec('text');", 'ERR_INVALID_ARG_TYPE'],
    ['proxy', 'pool.proxy.add(() => {});', 'ERR_SERIALIZATION'],
    ['createProxy()', "pool.createProxy({ handler: 'a' });", 'ERR_INVALID_ARG_VALUE'],
    ['stream()', 'pool.stream(1, { highWaterMark: 0 }).next();', 'ERR_OUT_OF_RANGE'],
    ['map()', 'pool.map(7).next();', 'ERR_INVALID_ARG_TYPE'],
    ['cancel()', 'pool.cancel();', 'ERR_INVALID_ARG_TYPE'],
    ['send()', 'pool.send(0, 1);', 'ERR_OUT_OF_RANGE'],
    ['broadcast()', 'pool.broadcast(() => {});', 'ERR_SERIALIZATION'],
    ['resize()', "pool.resize({ minWorkers: 'x' });", 'ERR_INVALID_ARG_TYPE'],
    ['shutdown()', "pool.shutdown({ drain: 'some' });", 'ERR_INVALID_ARG_VALUE'],
  ])(
    '[XA16] an uncaught error of %s is shown with the line that called: %s',
    async (_, call, code) => {
      const { stderr } = await program(`${made}${call}`, { files });
      const [place, line] = stderr.split('\n');
      expect({ place, line }).toEqual({ place: expect.stringMatching(/main\.mjs:3$/), line: call });
      expect(stderr).toMatch(new RegExp(`code: '${code}'`));
      expect(/^ {4}at .*$/m.exec(stderr)?.[0]).toMatch(/main\.mjs:3:\d+\b/);
    },
  );

  test('[XA16] an uncaught error event names the class that emitted it', async () => {
    const failing = {
      'worker.mjs': "export default () => { throw new RangeError('on purpose'); };",
    };
    const { stderr } = await program(`${made}pool.distributeTask(1);`, { files: failing });
    expect(stderr).toContain('RangeError: on purpose');
    expect(stderr).toContain("Emitted 'error' event on ProcessManager instance at:");
    expect(stderr).not.toMatch(/__commonJS|require_|ProcessManager2/);
  });

  test('[XA16] an uncaught error of user code among the options keeps its stack', async () => {
    const thrower = {
      get maxWorkers() {
        return boom();
      },
    };
    function boom() {
      throw new Error('from a getter');
    }
    const error = await failure(() => new ProcessManager(thrower));
    expect(error.stack).toMatch(/at boom/);
  });
});
