// In a terminal, keys are for the program, not for its workers.

import { execFile, execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fixture, isGone, project, until } from './support/harness.js';

const hasPython = (() => {
  try {
    execFileSync('python3', ['-c', 'import pty']);
    return true;
  } catch {
    return false;
  }
})();

const CTRL_C = '\\x03';
/** Output to a terminal is coloured otherwise. */
const PLAIN = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined };

/** Runs a program in a terminal; types `keys` when it has printed `ready`. */
function inTerminal(source, { keys = '', command = (path) => [process.execPath, path] } = {}) {
  const folder = project({ 'main.mjs': source, 'worker.mjs': WORKER });
  const args = [fixture('terminal.py'), 'ready', keys, ...command(join(folder, 'main.mjs'))];
  return new Promise((resolve) => {
    execFile(
      'python3',
      args,
      { cwd: folder, env: PLAIN, timeout: 30_000, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        resolve({ code: error ? error.code : 0, printed: stdout.replaceAll('\r\n', '\n'), stderr });
      },
    );
  });
}

const WORKER = `
  import { text } from 'node:stream/consumers';
  import { setTimeout as sleep } from 'node:timers/promises';
  export const handlers = {
    sleep: async ({ data }) => { process.send('begun'); await sleep(data); return 'slept'; },
    // A process in the background cannot reach its terminal.
    read: () => text(process.stdin),
  };
`;

const PROGRAM = `
  import ProcessManager from 'bulkhead';
  const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), minWorkers: 2, maxWorkers: 2 });
  pool.on('exit', ({ reason, signal, code }) => console.log('exit', reason, signal, code));
  pool.on('error', (error) => console.log('error', error.message));
  await pool.startWorkers();
  console.log('pids', ...pool.workers.map(({ pid }) => pid));
`;

const pidsIn = (printed) =>
  printed
    .match(/^pids (.*)$/m)[1]
    .split(' ')
    .map(Number);

test.skipIf(!hasPython)(
  '[C7] Ctrl-C ends a program that does not handle it, and its workers, without output',
  async () => {
    const { code, printed } = await inTerminal(
      `${PROGRAM}
    pool.once('message', () => console.log('ready'));
    await pool.run({ type: 'sleep', data: 60_000 });`,
      { keys: CTRL_C },
    );
    expect(code).toBe(128 + 2);
    const pids = pidsIn(printed);
    expect(pids).toHaveLength(2);
    await until(() => pids.every(isGone), 'the workers are gone');
    expect(printed.replace('^C', '')).toBe(`pids ${pids.join(' ')}\nready\n`);
  },
);

test.skipIf(!hasPython)(
  '[C7] Ctrl-C reaches the program alone: its workers serve on, and stop when asked to',
  async () => {
    const { code, printed } = await inTerminal(
      `${PROGRAM}
    process.on('SIGINT', async () => {
      console.log('interrupted');
      await pool.shutdown();
      console.log('shut down');
    });
    pool.once('message', () => console.log('ready'));
    console.log(await pool.run({ type: 'sleep', data: 1_000 }));`,
      { keys: CTRL_C },
    );
    expect(code).toBe(0);
    const lines = printed.replace('^C', '').split('\n').slice(1, -1);
    expect(lines.slice(0, 3)).toEqual(['ready', 'interrupted', 'slept']);
    expect(lines.slice(3)).toEqual(['exit shutdown null 0', 'exit shutdown null 0', 'shut down']);
  },
);

test.skipIf(!hasPython)(
  '[A15] Ctrl-Z at any moment of a spawn does not stop the pool for good',
  async () => {
    // Workers that end at once, so that one is always being started.
    const { code, printed } = await inTerminal(
      `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({
      worker: { command: 'true' }, minWorkers: 4, maxWorkers: 4, stdio: 'ignore',
      restart: { limit: 1_000_000, window: 1, minDelay: 0, maxDelay: 0 },
    });
    pool.on('exit', () => console.log('exit'));
    pool.on('error', (error) => console.log(error.message));
    pool.startWorkers();`,
      { command: (path) => ['python3', fixture('stop-storm.py'), '3000', process.execPath, path] },
    );
    expect(printed).toBe('goes on\n');
    expect(code).toBe(0);
  },
);

test.skipIf(!hasPython)(
  '[A14] a worker that reads its standard input in the background is not stopped',
  async () => {
    const { code, printed } = await inTerminal(
      `${PROGRAM}
    console.log('read', JSON.stringify(await pool.run({ type: 'read' })));
    await pool.shutdown();`,
      // A job in a group of its own, which is not the terminal's.
      { command: (path) => ['bash', '-c', 'set -m; "$0" "$1" & wait $!', process.execPath, path] },
    );
    expect(code).toBe(0);
    expect(printed).toContain('read ""');
    expect(printed).toContain('exit shutdown null 0');
  },
);
