// A debugger on this process is not one on its workers; one on a worker changes nothing for the pool.

import { execFileSync, spawn } from 'node:child_process';
import { expect, onTestFinished, test } from 'vitest';
import { failure, fixture, pool, program, record, until } from './support/harness.js';

const hasStrace = (() => {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true']);
    return true;
  } catch {
    return false;
  }
})();

test.each([
  ['by its command line', { nodeArgs: ['--inspect=127.0.0.1:0'] }],
  ['by its environment', { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } }],
])('a debugger that this process has %s is not inherited', async (_, how) => {
  const { code, stdout } = await program(
    `
    import inspector from 'node:inspector';
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), minWorkers: 2, maxWorkers: 2 });
    await pool.startWorkers();
    const theirs = await Promise.all([1, 2].map((data) => pool.run({ data })));
    console.log(JSON.stringify({ ours: typeof inspector.url(), theirs }));
    await pool.shutdown();
    process.exit();`,
    {
      ...how,
      files: {
        'worker.mjs': `import inspector from 'node:inspector';
          export default () => [inspector.url() ?? null, process.execArgv.join(), process.env.NODE_OPTIONS ?? ''];`,
      },
    },
  );
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ ours: 'string', theirs: Array(2).fill([null, '', '']) });
});

test.skipIf(!hasStrace)(
  'a worker that is being traced runs, crashes, is replaced and shuts down like any other',
  async () => {
    const manager = pool({ worker: fixture('crash.mjs'), maxWorkers: 1, stdio: 'ignore' });
    const log = record(manager, ['exit']);
    const trace = async (pid) => {
      const tracer = spawn('strace', ['-f', '-o', '/dev/null', '-p', String(pid)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const gone = new Promise((resolve) => tracer.on('close', resolve));
      onTestFinished(async () => {
        tracer.kill('SIGKILL');
        await gone;
      });
      let said = '';
      tracer.stderr.on('data', (chunk) => {
        said += chunk;
      });
      return until(
        () => said.includes('attached') || (said !== '' && tracer.exitCode !== null && 'refused'),
        'attached',
      );
    };
    const pid = await manager.run({ type: 'pid' });
    expect(await trace(pid)).toBe(true);
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
    expect(await failure(manager.run({ type: 'during', data: 'SIGSEGV' }))).toMatchObject({ pid, signal: 'SIGSEGV' });
    const next = await manager.run({ type: 'pid' });
    expect(await trace(next)).toBe(true);
    await manager.shutdown();
    expect(log.map(([, exit]) => [exit.pid, exit.reason, exit.signal ?? exit.code])).toEqual([
      [pid, 'crashed', 'SIGSEGV'],
      [next, 'shutdown', 0],
    ]);
  },
);
