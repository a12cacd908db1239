// Pools in worker threads, whose environments end while the process and its supervisor go on.

import { expect, test } from 'vitest';
import { fixture, PROC, program } from './support/harness.js';

/** Code for the main thread of a program. */
const LOOK = `
  import { once } from 'node:events';
  import { setTimeout as sleep } from 'node:timers/promises';
  import { Worker } from 'node:worker_threads';
  import { childrenOf, threads } from ${PROC};
  const supervisors = () => threads().filter((name) => name === 'bulkhead').length;
  async function childless() {
    const deadline = Date.now() + 20_000;
    while (childrenOf().length > 0 && Date.now() < deadline) await sleep(5);
    return childrenOf().length === 0;
  }
  const start = (workerData) => new Worker(new URL('./thread.mjs', import.meta.url), { workerData });`;

/** Runs the program, which must end well, and returns what it printed. */
async function output(main, thread) {
  const { code, signal, stdout, stderr } = await program(LOOK + main, {
    files: { 'thread.mjs': thread },
    timeout: 100_000,
  });
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return JSON.parse(stdout);
}

test('[H10] one supervisor serves all threads that load the addon in turn, and outlives them', async () => {
  const thread = `
    import { parentPort, workerData } from 'node:worker_threads';
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: ${JSON.stringify(fixture('basic.mjs'))}, maxWorkers: 1 });
    parentPort.postMessage(await pool.run({ type: 'echo', data: workerData }));
    if (workerData % 3 === 0) await pool.shutdown();
    // The pool is neither closed nor awaited.
    if (workerData % 3 === 1) pool.unref();
    // Terminated.
    if (workerData % 3 === 2) pool.ref();`;
  const main = `
    const answers = [];
    const seen = new Set();
    for (let round = 0; round < 18; round++) {
      const worker = start(round);
      const ended = once(worker, 'exit');
      const [answer] = await once(worker, 'message');
      answers.push(answer);
      if (round % 3 === 2) await worker.terminate();
      // Its environment is gone before the next thread loads the addon.
      await ended;
      seen.add(supervisors());
    }
    console.log(JSON.stringify({ answers, supervisors: [...seen], childless: await childless() }));`;
  expect(await output(main, thread)).toEqual({
    answers: Array.from({ length: 18 }, (_, round) => round),
    supervisors: [1],
    childless: true,
  });
}, 120_000);

// The supervisor wakes JavaScript all the time, and so also when the environment removes its
// callback.
test.each(['terminate()', 'process.exit()'])(
  '[H10] threads with a flood of outcomes end by %s without a crash',
  async (how) => {
    const flood = `
    printf '{"type":"ready","version":1}\\n' >&3
    while printf '{"type":"message","message":1}\\n' >&3; do :; done`;
    const thread = `
    import { parentPort, workerData } from 'node:worker_threads';
    import ProcessManager from 'bulkhead';
    let heard = 0;
    for (let i = 0; i < 2; i++) {
      const worker = { command: 'sh', args: ['-c', ${JSON.stringify(flood)}] };
      const pool = new ProcessManager({ worker, maxWorkers: 1 }).ref();
      pool.on('message', () => {
        heard += 1;
        if (heard === 100 + workerData) ${how === 'terminate()' ? "parentPort.postMessage('go')" : 'process.exit(7)'};
      });
      pool.startWorkers();
    }`;
    const main = `
    const { default: ProcessManager } = await import('bulkhead');
    const other = new ProcessManager({ maxWorkers: 1 });
    const before = await other.run({ data: 'before' });
    const codes = new Set();
    async function one(number) {
      const worker = start(number);
      const ended = once(worker, 'exit');
      if (${how === 'terminate()'}) {
        await Promise.race([once(worker, 'message'), ended]);
        worker.terminate();
      }
      const [code] = await ended;
      codes.add(code);
    }
    for (let round = 0; round < 15; round++) await Promise.all([1, 2, 3, 4].map((number) => one(round * 10 + number)));
    const after = await other.run({ data: 'after' });
    await other.shutdown();
    console.log(JSON.stringify({ before, after, codes: [...codes], childless: await childless(), supervisors: supervisors() }));`;
    expect(await output(main, thread)).toEqual({
      before: 'before',
      after: 'after',
      codes: [how === 'terminate()' ? 1 : 7],
      childless: true,
      supervisors: 1,
    });
  },
  120_000,
);
