// Workers that do not get ready: one clear error, reported everywhere it matters, instead of a
// loop.

import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { PoolBrokenError, WorkerStartError } from '../index.mjs';
import { failure, pool, processState, program, project, record, until } from './support/harness.js';

const restart = { limit: 3, minDelay: 1, maxDelay: 5 };
const quiet = { restart, stdio: 'ignore' };

/** The path of a worker module with this text, or of none. */
function module(source, name = 'worker.mjs') {
  return join(project(source === null ? {} : { [name]: source }), name);
}

/** A file that is not a program. */
function file(mode, text) {
  const path = join(project({ program: text }), 'program');
  chmodSync(path, mode);
  return path;
}

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);

/**
 * Checks what holds for every pool whose workers do not start.
 *
 * @returns the WorkerStartError
 */
async function expectBroken(options, { spawns }) {
  const manager = pool({ minWorkers: 2, maxWorkers: 2, ...quiet, ...options });
  const log = record(manager);
  const started = failure(manager.startWorkers());
  const queued = [1, 2].map((data) => failure(manager.run({ data })));
  manager.distributeTask({ id: 'announced' });

  const broken = await started;
  expect(broken).toBeInstanceOf(PoolBrokenError);
  expect(broken).toMatchObject({ name: 'PoolBrokenError', code: 'ERR_POOL_BROKEN' });
  const { cause } = broken;
  expect(cause).toBeInstanceOf(WorkerStartError);
  expect(cause).toMatchObject({ name: 'WorkerStartError', code: 'ERR_WORKER_START' });
  expect(broken.message).toContain(cause.message);

  for (const error of await Promise.all(queued)) {
    expect(error).toBeInstanceOf(PoolBrokenError);
    expect(error).toMatchObject({ taskId: expect.any(Number), maybeExecuted: false });
    expect(error.cause).toBeInstanceOf(WorkerStartError);
  }
  const errors = log.filter(([event]) => event === 'error').map(([, error]) => error);
  expect(errors.map(({ taskId }) => taskId).sort()).toEqual(['announced', undefined]);
  for (const error of errors) expect(error).toBeInstanceOf(PoolBrokenError);

  expect(await failure(manager.run({ data: 3 }))).toBeInstanceOf(PoolBrokenError);
  expect(await failure(manager.ready())).toBeInstanceOf(PoolBrokenError);
  expect(await failure(manager.startWorkers())).toBeInstanceOf(PoolBrokenError);
  expect(() => manager.distributeTask({ data: 4 })).toThrow(PoolBrokenError);
  expect(await manager.shutdown()).toMatchObject({ completed: 0 });
  expect(exitsIn(log).length).toBeLessThanOrEqual(spawns);
  for (const { reason } of exitsIn(log)) expect(reason).toBe('startup');
  expect(log.filter(([event]) => event === 'online' || event === 'result')).toEqual([]);
  expect(manager.stats().tasks).toMatchObject({ accepted: 3, completed: 0, failed: 3 });
  return cause;
}

describe('permanent failures: there is no second attempt', () => {
  // Both workers may be starting when the first one fails.
  const once = { spawns: 2 };

  test('[A3] a module that does not exist breaks the pool at the first attempt', async () => {
    const worker = module(null);
    const { message, cause } = await expectBroken({ worker }, once);
    expect(message).toContain(worker);
    expect(cause).toMatchObject({ code: 'ERR_MODULE_NOT_FOUND' });
  });

  test.each([
    ['worker.mjs', 'worker.js', 'another extension'],
    ['worker.js', 'worker.ts', 'its JavaScript'],
    ['worker.mjs', 'worker', 'its extension, which `require` would not find'],
    ['index.mjs', '', 'its folder, which has no index.js'],
  ])(
    '[A3, XA7] a module that does not exist, where %s does: the error asks whether %s is that',
    async (there, name) => {
      const file = module('export default () => 1;', there);
      const { message, cause } = await expectBroken({ worker: join(file, '..', name) }, once);
      expect(message).toContain(`; did you mean ${file}?`);
      expect(cause.code).toBe(name === '' ? 'ERR_UNSUPPORTED_DIR_IMPORT' : 'ERR_MODULE_NOT_FOUND');
    },
  );

  test.each([
    ['import.meta.main', 'worker.mjs', 'if (import.meta.main) process.on("message", () => {});'],
    ['require.main', 'worker.cjs', 'if (require.main !== module) process.on("message", () => {});'],
  ])(
    '[XA9] a script that listens depending on %s breaks the pool, and the error names that',
    async (asked, name, source) => {
      const { message, cause } = await expectBroken({ worker: module(source, name) }, once);
      expect(cause.code).toBe('ERR_NO_HANDLER');
      expect(message).toContain(`The module checks ${asked}, which is `);
      expect(message).toContain('isWorker of "bulkhead/worker"');
    },
  );

  test.each([
    [
      'a flag that Node does not know',
      { execArgv: ['--no-such-flag'] },
      9,
      'bad option: --no-such-flag',
    ],
    [
      'the same in NODE_OPTIONS',
      { env: { NODE_OPTIONS: '--no-such-flag' } },
      9,
      'is not allowed in NODE_OPTIONS',
    ],
    [
      'a file of flags that is not there',
      { execArgv: ['--env-file=missing.env'] },
      9,
      'missing.env: not found',
    ],
    [
      '-r of a file that is not there',
      { execArgv: ['-r', './missing.cjs'] },
      1,
      "Cannot find module './missing.cjs'",
    ],
    [
      '-r of a package that is not there',
      { execArgv: ['-r', 'bulkhead-no-such'] },
      1,
      'bulkhead-no-such',
    ],
    [
      '--import of a file that is not there',
      { execArgv: ['--import', './missing.mjs'] },
      1,
      'missing.mjs',
    ],
    [
      '--import of a package that is not there',
      { execArgv: ['--import', 'bulkhead-no-such'] },
      1,
      'bulkhead-no-such',
    ],
    ['--no-addons', { execArgv: ['--no-addons'] }, 1, 'addons are switched off'],
  ])('[A3, XA14] %s breaks the pool at the first attempt', async (_, options, exitCode, words) => {
    const worker = module('export default () => 1;');
    const error = await expectBroken({ worker, ...options }, once);
    expect(error).toMatchObject({ reason: 'exit', exitCode });
    expect(error.stderr).toContain(words);
  });

  test('[A3] a module whose own import does not exist breaks the pool at the first attempt', async () => {
    const { message } = await expectBroken(
      { worker: module('import "./missing.mjs"; export default () => 1;') },
      once,
    );
    expect(message).toContain('missing.mjs');
  });

  test.each(['worker.mjs', 'worker.cjs'])(
    '[A3] a syntax error in %s breaks the pool at the first attempt',
    async (name) => {
      const { cause } = await expectBroken({ worker: module('function ( {', name) }, once);
      expect(cause).toBeInstanceOf(SyntaxError);
    },
  );

  test.each([
    ['exports no function', 'answer', 'export const answer = 42;'],
    ['exports only a class', 'Parser', 'export class Parser {}'],
    [
      'exports only hooks',
      'setup, teardown',
      'export const setup = () => {}; export const teardown = () => {};',
    ],
    ['exports nothing', 'exports nothing', 'export {};'],
  ])('a module that %s breaks the pool at the first attempt', async (_, exported, source) => {
    const { message, cause } = await expectBroken({ worker: module(source) }, once);
    expect(cause.code).toBe('ERR_NO_HANDLER');
    for (const text of [
      'default export',
      'processTask',
      'handlers',
      'exported functions',
      'message',
      exported,
    ]) {
      expect(message).toContain(text);
    }
  });

  test.each([
    ['does not exist', () => '/nowhere/program', 'ENOENT'],
    ['is not in PATH', () => 'bulkhead-no-such-program', 'ENOENT'],
    ['is no program', () => file(0o644, 'text'), 'EACCES'],
    ['is a folder', () => project({}), 'EACCES'],
    ['has no format that the system knows', () => file(0o755, 'text'), 'ENOEXEC'],
  ])(
    '[A1, A2] an executable that %s breaks the pool at the first attempt',
    async (_, command, code) => {
      const path = command();
      const { message, pid, reason, cause } = await expectBroken(
        { worker: { command: path } },
        { spawns: 0 },
      );
      expect(message).toContain(`spawning "${path}" failed: ${code}: `);
      expect({ pid, reason }).toEqual({ pid: null, reason: 'spawn' });
      expect(cause).toBeInstanceOf(Error);
      expect(cause).toMatchObject({ code, errno: -constants.errno[code], syscall: 'spawn', path });
    },
  );

  test('[A9] more arguments and environment than the system takes break the pool at the first attempt', async () => {
    const { cause } = await expectBroken({ env: { LARGE: 'x'.repeat(4 << 20) } }, { spawns: 0 });
    expect(cause).toMatchObject({ code: 'E2BIG', syscall: 'spawn', path: process.execPath });
  });

  test('[A1] an execPath that does not exist breaks the pool at the first attempt', async () => {
    const { message } = await expectBroken({ execPath: '/nowhere/node' }, { spawns: 0 });
    expect(message).toContain('/nowhere/node');
  });

  test('[A9] a working directory that does not exist breaks the pool at the first attempt', async () => {
    const { message } = await expectBroken({ cwd: '/nowhere/at/all' }, { spawns: 0 });
    expect(message).toContain('/nowhere/at/all');
  });
});

describe('repeated failures: a bounded number of attempts', () => {
  // Two workers at a time, three failures: a fourth attempt may be under way.
  // One more than the limit breaks the pool; the other of the two workers may have been on its way.
  const bounded = { spawns: restart.limit + 2 };

  test('[A3, L12] a module that throws when it is loaded breaks the pool after restart.limit attempts', async () => {
    const { message, cause } = await expectBroken(
      { worker: module('throw new RangeError("thrown at load");') },
      bounded,
    );
    expect(message).toContain('thrown at load');
    expect(cause).toBeInstanceOf(RangeError);
    expect(cause.stack).toContain('worker.mjs');
  });

  test('[A3] a module that exits breaks the pool after restart.limit attempts', async () => {
    const error = await expectBroken(
      { worker: module('console.error("so long"); process.exit(7);') },
      bounded,
    );
    expect(error).toMatchObject({
      reason: 'exit',
      exitCode: 7,
      signal: null,
      outOfMemory: false,
      stderr: 'so long\n',
    });
    expect(error.message).toBe(
      'the worker exited with code 7 before it was ready; stderr: so long',
    );
  });

  test("[XA14] a module that exits with code 9, which is not Node's refusal of a flag, breaks the pool after restart.limit attempts", async () => {
    const error = await expectBroken(
      { worker: module('console.error("no database"); process.exit(9);') },
      bounded,
    );
    expect(error).toMatchObject({ exitCode: 9, stderr: 'no database\n' });
    expect(error.message).toContain('no database');
  });

  test('[XB8] a handler as a promise that rejects breaks the pool after restart.limit attempts', async () => {
    const { cause } = await expectBroken(
      { worker: module('export default Promise.reject(new RangeError("no database"));') },
      bounded,
    );
    expect(cause).toBeInstanceOf(RangeError);
    expect(cause.message).toBe('no database');
  });

  test('a module that kills its process breaks the pool after restart.limit attempts', async () => {
    const error = await expectBroken(
      { worker: module('process.kill(process.pid, "SIGKILL");') },
      bounded,
    );
    expect(error).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
  });

  test('[C10] a module that takes all memory breaks the pool after restart.limit attempts', async () => {
    const worker = module('const all = []; for (;;) all.push(new Array(10_000).fill(all.length));');
    const error = await expectBroken({ worker, execArgv: ['--max-old-space-size=30'] }, bounded);
    expect(error).toMatchObject({ reason: 'exit', exitCode: null, outOfMemory: true });
    expect(error.message).toContain('the worker ran out of memory; stderr: FATAL ERROR: ');
  });

  test('setup() that throws breaks the pool after restart.limit attempts', async () => {
    const source = `
      export async function setup() { throw Object.assign(new TypeError('no database'), { code: 'E_DATABASE' }); }
      export default () => 1;`;
    const { message, cause } = await expectBroken({ worker: module(source) }, bounded);
    expect(message).toContain('no database');
    expect(cause).toBeInstanceOf(TypeError);
    expect(cause.code).toBe('E_DATABASE');
  });

  test.each([
    [
      'waits for ever',
      'await new Promise(() => setInterval(() => {}, 1000)); export default () => 1;',
    ],
    ['awaits what never comes', 'await new Promise(() => {}); export default () => 1;'],
    ['is in a loop for ever', 'for (;;);'],
    [
      'has a setup() for ever',
      'export const setup = () => new Promise(() => {}); export default () => 1;',
    ],
  ])('[A4] a module that %s breaks the pool after restart.limit attempts', async (_, source) => {
    const error = await expectBroken({ worker: module(source), startTimeout: 200 }, bounded);
    expect(error).toMatchObject({ exitCode: null, signal: 'SIGKILL' });
    expect(error.message).toContain('200 ms');
  });

  test('an executable that prints nothing and ends breaks the pool after restart.limit attempts', async () => {
    const error = await expectBroken(
      { worker: { command: 'sh', args: ['-c', 'echo bye >&2; exit 3'] } },
      bounded,
    );
    expect(error).toMatchObject({ exitCode: 3, signal: null, stderr: 'bye\n' });
  });

  test('an executable that prints nonsense breaks the pool after restart.limit attempts', async () => {
    const error = await expectBroken(
      { worker: { command: 'sh', args: ['-c', 'echo nonsense >&3; sleep 9'] } },
      bounded,
    );
    expect(error.message).toContain('protocol');
  });
});

test('[A7, A11] a failure to start that passes is not reported', async () => {
  const folder = project({});
  // The worker fails as long as there is no file.
  const worker = module(`
    import { existsSync, writeFileSync } from 'node:fs';
    const mark = process.argv[2] + '/mark';
    if (!existsSync(mark)) {
      writeFileSync(mark, '');
      throw new Error('not yet');
    }
    export default () => 'at last';`);
  const manager = pool({ worker, argv: [folder], ...quiet, minWorkers: 1, maxWorkers: 1 });
  const log = record(manager);
  const task = manager.run({});
  await manager.startWorkers();
  expect(await task).toBe('at last');
  expect(exitsIn(log)).toEqual([expect.objectContaining({ reason: 'startup', code: 1 })]);
  expect(log.filter(([event]) => event === 'error')).toEqual([]);
});

test('[A11] a pool serves as long as one of its workers does', async () => {
  const folder = project({});
  // The first process gets ready, and no other.
  const worker = module(`
    import { mkdirSync } from 'node:fs';
    mkdirSync(process.argv[2] + '/first');
    export default ({ data }) => data;`);
  const manager = pool({ worker, argv: [folder], ...quiet, minWorkers: 2, maxWorkers: 2 });
  const log = record(manager);
  const tasks = Array.from({ length: 100 }, (_, data) => manager.run({ data }));
  expect(await Promise.all(tasks)).toHaveLength(100);
  await until(() => exitsIn(log).length > restart.limit, 'more failures than the limit');
  expect(await manager.run({ data: 'still' })).toBe('still');
  expect(log.filter(([event]) => event === 'error')).toEqual([]);
});

test('[A12, B14] replacements that do not start break the pool, and what waits is rejected', async () => {
  const folder = project({});
  const mark = join(folder, 'mark');
  const worker = module(`
    import { existsSync } from 'node:fs';
    if (existsSync(process.argv[2] + '/mark')) throw new Error('gone bad');
    export default () => new Promise(() => {
      process.send('begun');
      setInterval(() => {}, 1000);
    });`);
  const manager = pool({ worker, argv: [folder], ...quiet, minWorkers: 1, maxWorkers: 1 });
  const log = record(manager);
  const running = failure(manager.run({}));
  const waiting = [1, 2, 3].map(() => failure(manager.run({})));
  await until(() => log.some(([event]) => event === 'message'), 'the first task begins');
  expect(existsSync(mark)).toBe(false);
  writeFileSync(mark, '');
  process.kill(manager.workers[0].pid, 'SIGKILL');
  expect(await running).toMatchObject({ name: 'WorkerCrashedError', signal: 'SIGKILL' });
  for (const error of await Promise.all(waiting)) {
    expect(error).toBeInstanceOf(PoolBrokenError);
    expect(error.message).toContain('gone bad');
    expect(error.maybeExecuted).toBe(false);
  }
  expect(log.filter(([event]) => event === 'error')).toEqual([
    ['error', expect.any(PoolBrokenError)],
  ]);
});

/**
 * Runs a pool that does this in a program of its own, which an error event without a listener would
 * end.
 *
 * @returns what its error events said
 */
async function toldBy(worker, options, then) {
  const { code, stdout, stderr } = await program(`
    import ProcessManager from 'bulkhead';
    import { existsSync, rmSync } from 'node:fs';
    const worker = ${JSON.stringify(worker)};
    const pool = new ProcessManager({ worker, maxWorkers: 4, stdio: 'ignore', ...${JSON.stringify(options)} });
    const told = [];
    const ended = new Promise((resolve) => {
      pool.once('error', ({ name, message }) => {
        told.push(name + ': ' + message);
        resolve();
      });
    });
    ${then}
    console.log(JSON.stringify(told));`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe.each(['shutdown', 'terminate'])(
  '[XA4] a pool that breaks and is closed by %s() at once',
  (end) => {
    const restart = { limit: 3, minDelay: 1, maxDelay: 5 };
    const close = `pool.startWorkers(); await ended; await pool.${end}();`;

    test.each([
      ['does not exist', null, {}, 'worker module not found'],
      ['throws', 'throw new Error("thrown at load");', {}, 'thrown at load'],
      ['hangs', 'for (;;);', { startTimeout: 300 }, 'the worker was not ready within 300 ms'],
      ['exits', 'process.exit(7);', {}, 'the worker exited with code 7'],
      ['is slow to fail in some workers', slowToFail(), {}, 'cannot'],
    ])(
      '[A12] a pool whose module %s reports one error with the true reason',
      async (_, source, options, reason) => {
        const told = await toldBy(module(source), { restart, ...options }, close);
        expect(told).toEqual([expect.stringContaining(reason)]);
        expect(told[0]).toMatch(/^PoolBrokenError: /);
      },
    );
  },
);

/** A module that throws, in its second worker half a second after all others. */
function slowToFail() {
  return `
    export async function setup({ workerId }) {
      if (workerId === 2) await new Promise((resolve) => setTimeout(resolve, 500));
      throw new Error('cannot');
    }
    export default () => 1;`;
}

test('[A12, XA4] a pool that drains while its module is gone breaks once, and says why', async () => {
  const worker = module(`
    export default () => new Promise(() => {
      process.send('begun');
      setInterval(() => {}, 1000);
    });`);
  const told = await toldBy(
    worker,
    { maxWorkers: 2, prefetch: 1 },
    `
    const { promise: begun, resolve } = Promise.withResolvers?.() ?? (() => {
      const deferred = {};
      deferred.promise = new Promise((resolve) => (deferred.resolve = resolve));
      return deferred;
    })();
    let messages = 0;
    pool.on('message', () => (messages += 1) === 2 && resolve());
    const tasks = Array.from({ length: 6 }, () => pool.run({}).catch(({ name, message }) => name + ': ' + message));
    await begun;
    rmSync(worker);
    const closing = pool.shutdown();
    for (const { pid } of pool.workers) process.kill(pid, 'SIGKILL');
    const { rejected } = await closing;
    told.push(rejected, ...(await Promise.all(tasks)));`,
  );
  const broken = expect.stringMatching(/^PoolBrokenError: .*worker module not found/);
  const crashed = expect.stringMatching(/^WorkerCrashedError: .*SIGKILL/);
  expect(told).toEqual([broken, 6, crashed, crashed, broken, broken, broken, broken]);
});

test('5000 tasks that end at once are each reported', async () => {
  const broken = pool({ worker: '/nowhere/worker.mjs', maxWorkers: 1, ...quiet });
  const log = record(broken, ['error']);
  const accepted = Array.from({ length: 5_000 }, (_, id) => id);
  const runs = accepted.map((id) => failure(broken.run({ id })));
  for (const id of accepted) broken.distributeTask({ id });
  expect((await Promise.all(runs)).filter((error) => !(error instanceof PoolBrokenError))).toEqual(
    [],
  );
  await until(() => log.length > accepted.length, 'an error of each, and that of the pool');
  expect(log.flatMap(([, { taskId }]) => taskId ?? []).sort((a, b) => a - b)).toEqual(accepted);

  const dropped = pool({
    worker: module('export default () => new Promise(() => {});'),
    maxWorkers: 1,
    prefetch: 1,
  });
  const tasks = accepted.map((id) => failure(dropped.run({ id })));
  dropped.shutdown({ drain: 'running' });
  const waited = (await Promise.all(tasks.slice(1))).map(
    ({ name, maybeExecuted }) => `${name} ${maybeExecuted}`,
  );
  expect(new Set(waited)).toEqual(new Set(['PoolClosedError false']));
  await dropped.terminate();
});

test.each(['terminate', 'shutdown'])(
  '%s() at any moment of the start leaves no process',
  async (end) => {
    for (let round = 0; round < 40; round += 1) {
      const manager = pool({ minWorkers: 2, maxWorkers: 2 });
      const log = record(manager);
      const started = manager.startWorkers().catch((error) => error);
      const until = performance.now() + (round % 20) * 0.1;
      while (performance.now() < until);
      const pids = manager.workers.map(({ pid }) => pid);
      expect(await manager[end]()).toMatchObject({ completed: 0, rejected: 0 });
      expect(await started).toMatchObject({ name: 'PoolClosedError' });
      for (const pid of pids) if (pid !== null) expect(processState(pid)).toBe(null);
      expect(log.filter(([event]) => event === 'error')).toEqual([]);
    }
  },
  60_000,
);
