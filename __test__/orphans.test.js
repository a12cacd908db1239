// No worker outlives its parent, however the parent dies and whatever the worker is doing.

import { expect, onTestFinished, test } from 'vitest';
import {
  fixture,
  isGone,
  PROC,
  processState,
  program,
  startProgram,
  until,
} from './support/harness.js';

/** The time that a worker may outlive its parent (ms). */
const BOUND = 2_000;

/**
 * A program with four workers, which then executes `end`. One worker idles, one awaits, one is in a
 * synchronous loop and one is stopped.
 */
function busyProgram(end) {
  return `
    import ProcessManager from 'bulkhead';
    import { processState } from ${PROC};
    const pool = new ProcessManager({ worker: ${JSON.stringify(fixture('stuck.mjs'))}, minWorkers: 4, maxWorkers: 4 });
    pool.on('error', () => {});
    await pool.startWorkers();
    const begun = [];
    pool.on('message', ({ begun: id }, { pid }) => {
      begun.push([id, pid]);
      if (begun.length === 3) busy();
    });
    for (const type of ['hang', 'loop', 'stop']) pool.run({ id: type, type }).catch(() => {});
    function busy() {
      const doing = Object.fromEntries(begun);
      doing.idle = pool.workers.map(({ pid }) => pid).find((pid) => !begun.some(([, other]) => other === pid));
      const look = setInterval(() => {
        if (processState(doing.stop) !== 'T') return;
        clearInterval(look);
        console.log('busy ' + JSON.stringify(doing));
        ${end}
      }, 5);
    }`;
}

/** The pids by what the workers do, from the program's standard output. */
function pidsOf(stdout) {
  const doing = JSON.parse(stdout.match(/busy (\{.*\})/)[1]);
  expect(Object.keys(doing).sort()).toEqual(['hang', 'idle', 'loop', 'stop']);
  return doing;
}

async function expectGone(pids) {
  const gone = Object.entries(pids).map(([doing, pid]) =>
    until(() => isGone(pid), `${doing} (${pid}) gone`, BOUND),
  );
  await Promise.all(gone);
}

/** Starts the program and waits until its workers do what they should. */
async function startBusy(end = '') {
  const running = startProgram(busyProgram(end));
  onTestFinished(() => running.child.kill('SIGKILL'));
  const pids = pidsOf(await running.line('busy'));
  for (const pid of Object.values(pids)) expect(isGone(pid)).toBe(false);
  expect(processState(pids.stop)).toBe('T');
  return { ...running, pids };
}

test.each(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGSEGV'])(
  '[C8, G11, L14, P6] a parent that is killed by %s leaves no worker',
  async (signal) => {
    const { child, exit, pids } = await startBusy();
    child.kill(signal);
    const [end] = await Promise.all([exit, expectGone(pids)]);
    expect(end).toMatchObject({ code: null, signal });
  },
);

test.each([
  ['process.exit', 'process.exit(3);', { code: 3, signal: null }],
  ['an uncaught exception', 'throw new Error("on purpose");', { code: 1, signal: null }],
  ['an unhandled rejection', 'Promise.reject(new Error("on purpose"));', { code: 1, signal: null }],
  ['process.abort', 'process.abort();', { code: null, signal: 'SIGABRT' }],
])('[G12] a parent that ends itself by %s leaves no worker', async (_, end, expected) => {
  const { code, signal, stdout, stderr } = await program(busyProgram(end));
  expect({ code, signal }).toEqual(expected);
  expect(stderr).not.toContain('panicked');
  await expectGone(pidsOf(stdout));
});

test('a parent that exits while its workers are still starting leaves none', async () => {
  const { code, stdout, stderr } = await program(`
    import ProcessManager from 'bulkhead';
    import { childrenOf } from ${PROC};
    const pool = new ProcessManager({ minWorkers: 4, maxWorkers: 4 });
    pool.startWorkers();
    const look = setInterval(() => {
      const children = childrenOf();
      if (children.length < 4) return;
      console.log(JSON.stringify(children));
      process.exit(0);
    }, 1);`);
  expect([code, stderr]).toEqual([0, '']);
  await expectGone(JSON.parse(stdout));
});

test('shutdown() and process.exit(0) in a SIGTERM handler leave no process', async () => {
  const { child, exit, line, pids } = await startBusy(`
    process.on('SIGTERM', () => {
      pool.shutdown();
      process.exit(0);
    });
    console.log('listening');`);
  await line('listening');
  child.kill('SIGTERM');
  expect(await exit).toMatchObject({ code: 0, signal: null, stderr: '' });
  await expectGone(pids);
});
