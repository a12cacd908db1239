// The event loop of the pool's process is blocked; the pool works on.

import { expect, test } from 'vitest';
import { failure, fixture, isGone, pool, processState, record, until } from './support/harness.js';

const worker = fixture('stuck.mjs');
const cell = new Int32Array(new SharedArrayBuffer(4));

/** Time (µs) of the clock that all processes share. */
const clock = () => Number(process.hrtime.bigint() / 1000n);

const BLOCKS = {
  'in a loop': (ms) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  },
  asleep: (ms) => {
    Atomics.wait(cell, 0, 0, ms);
  },
};

/** Does the same as `until`, but lets nothing else run. Returns how long it took (ms). */
function untilBlocking(condition, patience = 10_000) {
  const start = performance.now();
  while (!condition()) {
    if (performance.now() - start > patience) return Infinity;
    Atomics.wait(cell, 0, 0, 5);
  }
  return performance.now() - start;
}

test.each(Object.entries(BLOCKS))(
  '[G10] 20 000 queued tasks run while the main thread is blocked (%s)',
  async (_, block) => {
    const manager = pool({ worker });
    await manager.startWorkers();
    const begin = clock();
    const tasks = Array.from({ length: 20_000 }, (_, id) => manager.run({ id, type: 'clock' }));
    // One read of stats() delivers one batch; this number of tasks would take a hundred reads.
    let end;
    for (let looks = 0; looks < 20 && manager.stats().tasks.completed < tasks.length; looks++) {
      block(1_000);
      end = clock();
    }
    // Times that the workers report.
    const times = await Promise.all(tasks);
    expect(times.filter((time) => time > end)).toEqual([]);
    expect(Math.min(...times)).toBeGreaterThanOrEqual(begin);
  },
);

test('[G10] results that pile up while the main thread is blocked all arrive, in the order of their worker', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager, ['result']);
  await manager.startWorkers();
  const sizes = Array.from({ length: 120 }, (_, index) => (index % 3 === 0 ? 1_000_000 : 10));
  for (const [id, data] of sizes.entries()) manager.distributeTask({ id, type: 'large', data });
  BLOCKS.asleep(500);
  expect(log).toEqual([]);
  await until(() => log.length === sizes.length, 'all results');
  expect(log.map(([, { taskId, result }]) => [taskId, result.length])).toEqual([
    ...sizes.entries(),
  ]);
});

test('[B11, G10] a task times out while the main thread is blocked', async () => {
  const manager = pool({ worker, maxWorkers: 1 });
  const log = record(manager);
  const pid = await manager.run({ type: 'pid' });
  const task = failure(manager.run({ id: 'stuck', type: 'loop' }, { timeout: 300 }));
  await until(
    () => log.some(([event, said]) => event === 'message' && said.begun === 'stuck'),
    'the task begins',
  );
  const next = manager.run({ type: 'clock' });
  const took = untilBlocking(() => isGone(pid));
  expect(took).toBeLessThan(2_000);
  // The worker is reaped as well, and the next task goes to the new worker, before any event.
  expect(untilBlocking(() => processState(pid) === null)).toBeLessThan(1_000);
  BLOCKS.asleep(700);
  const end = clock();
  expect(log.filter(([event]) => event === 'exit')).toEqual([]);
  expect(await next).toBeLessThan(end);
  expect(await task).toMatchObject({ name: 'TaskTimeoutError', timeout: 300, pid });
});
