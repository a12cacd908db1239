// The option `nice`: the workers' share of the processors.

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { expect, test } from 'vitest';
import { failure, fixture, PROC, pool, program, until } from './support/harness.js';

/** True if this process may give others more than their share. */
const privileged = spawnSync('nice', ['-n', '-1', 'true'], { encoding: 'utf8' }).stderr === '';
const root = process.getuid() === 0;

/** The nice values of a process's threads, without repetition. */
function niceOf(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const values = threads.map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    // The 19th field. The second one, in parentheses, may contain anything.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19 - 3]);
  });
  return [...new Set(values)];
}

const nicer = getPriority() + 3;

test('[W16] nice applies to every thread of every worker, and to what a worker starts', async () => {
  const manager = pool({
    worker: fixture('basic.mjs'),
    minWorkers: 2,
    nice: nicer,
    stdio: 'ignore',
  });
  await manager.startWorkers();
  for (const { pid } of manager.workers) expect(niceOf(pid)).toEqual([nicer]);
  await failure(manager.run({ type: 'kill' }));
  expect(niceOf(await manager.run({ type: 'pid' }))).toEqual([nicer]);

  const builtin = pool({ maxWorkers: 1, nice: nicer });
  const own = await builtin.exec(() => {
    const { execFileSync } = process.getBuiltinModule('node:child_process');
    return [
      process.getBuiltinModule('node:os').getPriority(),
      Number(execFileSync('nice', { encoding: 'utf8' })),
    ];
  });
  expect(own).toEqual([nicer, nicer]);
});

test('without nice, workers have the priority of this process', async () => {
  const manager = pool({ worker: fixture('basic.mjs') });
  expect(niceOf(await manager.run({ type: 'pid' }))).toEqual([getPriority()]);
});

test('nice is not added to the priority of this process', async () => {
  const { code, stdout } = await program(`
    import { getPriority, setPriority } from 'node:os';
    import ProcessManager from 'bulkhead';
    setPriority(${nicer});
    for (const nice of [undefined, ${nicer}, ${nicer + 2}]) {
      const pool = new ProcessManager({ maxWorkers: 1, nice });
      console.log(await pool.exec(() => process.getBuiltinModule('node:os').getPriority()));
      await pool.shutdown();
    }`);
  expect({ code, values: stdout.trim().split('\n').map(Number) }).toEqual({
    code: 0,
    values: [nicer, nicer, nicer + 2],
  });
});

test('nice applies to programs in other languages', async () => {
  const manager = pool({
    worker: { command: 'sleep', args: ['1000'] },
    maxWorkers: 1,
    nice: nicer,
  });
  const started = failure(manager.startWorkers());
  const pid = await until(() => manager.workers[0]?.pid, 'a process');
  expect(niceOf(pid)).toEqual([nicer]);
  await manager.terminate();
  await started;
});

test.skipIf(!privileged)('a negative nice takes effect for a process with that right', async () => {
  const manager = pool({ worker: fixture('basic.mjs'), maxWorkers: 1, nice: -5 });
  expect(niceOf(await manager.run({ type: 'pid' }))).toEqual([-5]);
});

test.skipIf(privileged && !root)(
  'a negative nice without the right fails with an error that says so, and leaves nothing behind',
  async () => {
    const { code, stdout, stderr } = await program(`
    import ProcessManager from 'bulkhead';
    import { childrenOf } from ${PROC};
    if (${root}) process.setuid(65534);
    const pool = new ProcessManager({ maxWorkers: 2, nice: -5 });
    pool.on('error', () => {});
    const { code, cause } = await pool.startWorkers().catch((error) => error);
    const { errno, syscall } = cause.cause;
    const children = childrenOf();
    console.log(JSON.stringify({ code, start: cause.code, message: cause.message, cause: cause.cause.code, errno, syscall, children }));
  `);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({
      code: 'ERR_POOL_BROKEN',
      start: 'ERR_WORKER_START',
      message: expect.stringMatching(
        /nice value -5 \(option "nice"\): setpriority failed: EACCES: permission denied/,
      ),
      cause: 'EACCES',
      errno: -13,
      syscall: 'setpriority',
      children: [],
    });
  },
);
