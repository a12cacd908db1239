// A process that is stopped for a while, alone or with its workers, as when a laptop sleeps. The
// time in which it could not read from its workers does not count against its tasks.

import { expect, test } from 'vitest';
import { childrenOf, fixture, processState, startProgram, until } from './support/harness.js';

const TIMEOUT = 3_000;

/** Two tasks that need less than their time, and one that never ends. */
const MAIN = `
  import ProcessManager from 'bulkhead';
  const options = ${JSON.stringify({ worker: fixture('stuck.mjs'), minWorkers: 3, maxWorkers: 3, taskTimeout: TIMEOUT })};
  const manager = new ProcessManager({ ...options, gracePeriod: 200 });
  await manager.startWorkers();
  const outcome = (promise) => promise.then((value) => value, ({ code }) => code);
  const sound = [1_000, 1_100].map((data) => outcome(manager.run({ type: 'sleep', data })));
  const begun = new Promise((resolve) => manager.once('message', resolve));
  const stuck = outcome(manager.run({ type: 'loop', id: 'stuck' }));
  await begun;
  console.log('running');
  console.log(JSON.stringify({ sound: await Promise.all(sound), stuck: await stuck }));
  await manager.shutdown();`;

const STOPPED = [
  ['alone', false],
  ['together with its workers', true],
];

/**
 * Stops a program that says it is running for longer than its time limit, `together` with its
 * workers or alone. Returns what it prints at its end.
 */
async function afterStop(source, together) {
  const { pid, line, exit } = startProgram(source);
  await line(/^running$/);
  const stopped = together ? [pid, ...childrenOf(pid)] : [pid];
  for (const each of stopped) process.kill(each, 'SIGSTOP');
  await until(() => stopped.every((each) => processState(each) === 'T'), 'all to be stopped');
  await new Promise((resolve) => setTimeout(resolve, TIMEOUT + 1_500));
  for (const each of stopped) process.kill(each, 'SIGCONT');
  const { code, stdout, stderr } = await exit;
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout.split('\n')[1]);
}

test.each(STOPPED)(
  '[G24] a parent stopped %s for longer than a time limit fails only the tasks that really hang',
  async (_title, together) => {
    const outcome = await afterStop(MAIN, together);
    expect(outcome).toEqual({ sound: [1_000, 1_100], stuck: 'ERR_TASK_TIMEOUT' });
  },
);

/**
 * Many waiting tasks, so that results wait as well, until 500 have ended after the time in which
 * none did.
 */
const SATURATED = `
  import ProcessManager from 'bulkhead';
  const options = ${JSON.stringify({ worker: fixture('stuck.mjs'), minWorkers: 2, maxWorkers: 2, taskTimeout: TIMEOUT })};
  const manager = new ProcessManager(options);
  await manager.startWorkers();
  let [ended, enough, last] = [0, Infinity, performance.now()];
  const lane = async () => {
    while (ended < enough) {
      await manager.run({ type: 'busy', data: 0.6 });
      ended += 1;
      if (ended === 500) console.log('running');
      const now = performance.now();
      if (now - last > ${TIMEOUT}) enough = ended + 500;
      last = now;
    }
  };
  await Promise.all(Array.from({ length: 200 }, lane));
  const { accepted, completed, failed, retried } = manager.stats().tasks;
  console.log(JSON.stringify({ lost: accepted - completed, failed, retried }));
  await manager.shutdown();`;

test.each(STOPPED)(
  '[G24] a parent stopped %s while results wait for it loses none of them, and no task is overdue',
  async (_title, together) => {
    const outcome = await afterStop(SATURATED, together);
    expect(outcome).toEqual({ lost: 0, failed: 0, retried: 0 });
  },
);
