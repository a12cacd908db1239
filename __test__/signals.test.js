// Signals that workers get from elsewhere, and those of this process, which bulkhead leaves alone.

import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  failure,
  fixture,
  PROC,
  pool,
  program,
  project,
  record,
  until,
} from './support/harness.js';

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);

test.each(['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGQUIT'])(
  "[C6] a worker that gets %s from another process is replaced, and its task's error names the signal",
  async (signal) => {
    const manager = pool({ worker: fixture('crash.mjs'), maxWorkers: 1, stdio: 'ignore' });
    const log = record(manager);
    const task = failure(manager.run({ id: 1, type: 'hang' }));
    await until(
      () => log.some(([event, said]) => event === 'message' && said === 'begun'),
      'it runs',
    );
    const [{ pid }] = manager.workers;
    process.kill(pid, signal);
    const error = await task;
    expect(error).toMatchObject({
      name: 'WorkerCrashedError',
      pid,
      signal,
      exitCode: null,
      phase: 'running',
      maybeExecuted: true,
    });
    expect(error.message).toBe(
      `worker 1 (pid ${pid}) was killed by ${signal} while running task 1; the task may have been executed`,
    );
    const next = await manager.run({ type: 'pid' });
    expect(next).not.toBe(pid);
    expect(exitsIn(log)).toEqual([expect.objectContaining({ pid, signal, reason: 'crashed' })]);
  },
);

test('[C8] no signal handler is installed, none is blocked and none ignored, at any time', async () => {
  const { code, stdout, stderr } = await program(
    `
    import { readFileSync } from 'node:fs';
    const masks = () => readFileSync('/proc/self/status', 'latin1').match(/^Sig(?:Blk|Ign|Cgt):.*$/gm).join(' ');
    const seen = [masks()];
    const { default: ProcessManager } = await import('bulkhead');
    seen.push(masks());
    const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 2 });
    await pool.startWorkers();
    seen.push(masks());
    await pool.run({ data: 1 });
    await pool.run({ type: 'die' }).catch(() => {});
    seen.push(masks());
    await pool.shutdown();
    seen.push(masks());
    console.log(JSON.stringify(seen));`,
    {
      files: {
        'worker.mjs': `export const handlers = { die: () => process.kill(process.pid, 'SIGKILL') };
          export default ({ data }) => data;`,
      },
    },
  );
  expect([code, stderr]).toEqual([0, '']);
  const seen = JSON.parse(stdout);
  expect(seen[0]).toContain('SigCgt');
  expect(seen).toEqual(Array(5).fill(seen[0]));
});

test('[C11] the exit of a worker that dumps core comes when the process is gone, and only then its slot is free', async (context) => {
  const pattern =
    existsSync('/proc/sys/kernel/core_pattern') &&
    readFileSync('/proc/sys/kernel/core_pattern', 'latin1').trim();
  // A pattern that pipes into a program, or leads to another folder, is a setup that a test does
  // not fill.
  if (!pattern || /[|/]/.test(pattern)) context.skip(`core dumps go elsewhere: ${pattern}`);
  const folder = project({
    'worker.mjs': `
      export const handlers = {
        dump: () => {
          globalThis.hoard = Array.from({ length: 24 }, () => Buffer.alloc(16 << 20, 1));
          process.abort();
        },
      };
      export default ({ data }) => data;`,
    'main.mjs': `
      import { existsSync } from 'node:fs';
      import ProcessManager from 'bulkhead';
      import { childrenOf } from ${PROC};
      const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 1, stdio: 'ignore' });
      let most = 0;
      const look = setInterval(() => { most = Math.max(most, childrenOf().length); }, 1);
      const there = {};
      pool.on('exit', ({ pid }) => { there.exit = existsSync('/proc/' + pid); });
      const error = await pool.run({ type: 'dump' }).catch((error) => error);
      there.error = existsSync('/proc/' + error.pid);
      const next = await pool.run({ data: 'next' });
      clearInterval(look);
      console.log(JSON.stringify({ there, signal: error.signal, rss: error.rss, next, most }));
      await pool.shutdown();`,
  });
  const child = spawn('sh', ['-c', 'ulimit -c unlimited && exec "$0" main.mjs', process.execPath], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  // Where the hard limit is lower, there is no core dump to see.
  if (code === 2) context.skip('core dumps are not allowed here');
  expect(code).toBe(0);
  const told = JSON.parse(stdout);
  expect(told).toMatchObject({
    there: { exit: false, error: false },
    signal: 'SIGABRT',
    next: 'next',
    most: 1,
  });
  expect(told.rss).toBeGreaterThan(100 << 20);
  expect(readdirSync(folder).filter((name) => name.startsWith('core'))).toHaveLength(1);
});
