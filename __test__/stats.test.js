// stats(): how long tasks wait and run, and how much of the workers' time they use.

import { expect, test } from 'vitest';
import { failure, fixture, pool } from './support/harness.js';

const LIMITS = fixture('limits.mjs');
const EMPTY = { count: 0, min: 0, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

test('stats() is all zero before the first task', () => {
  const manager = pool({ worker: LIMITS });
  expect(manager.stats()).toMatchObject({ waitTime: EMPTY, runTime: EMPTY, utilization: 0 });
});

test('[S2, S3] wait and run times of stats() are those of the result events', async () => {
  const manager = pool({ worker: LIMITS, maxWorkers: 1 });
  const infos = [];
  manager.on('result', (_, info) => infos.push(info));
  for (let id = 0; id < 30; id++)
    manager.distributeTask({ id, type: 'sleep', data: 1 + (id % 3) * 5 });
  await manager.shutdown();
  const { waitTime, runTime, utilization } = manager.stats();
  for (const [spread, key] of [
    [waitTime, 'waitTime'],
    [runTime, 'runTime'],
  ]) {
    const times = infos.map((info) => info[key]).sort((a, b) => a - b);
    const mean = times.reduce((sum, time) => sum + time, 0) / times.length;
    expect(spread.count).toBe(30);
    // A histogram of two digits is exact within a percent.
    const near = (got, wanted) =>
      expect(Math.abs(got - wanted), `${key} ${got} ${wanted}`).toBeLessThanOrEqual(
        wanted * 0.01 + 0.002,
      );
    near(spread.min, times[0]);
    near(spread.max, times[29]);
    near(spread.mean, mean);
    near(spread.p50, times[14]);
    near(spread.p99, times[29]);
    expect(spread.p50 <= spread.p90 && spread.p90 <= spread.p99 && spread.p99 <= spread.p999).toBe(
      true,
    );
    expect(spread.p999).toBeLessThanOrEqual(spread.max);
  }
  expect(utilization).toBeGreaterThan(0);
  expect(utilization).toBeLessThanOrEqual(1);
});

test('a task that fails in its handler counts in stats(), and one that never ran does not', async () => {
  const manager = pool({ worker: LIMITS, maxWorkers: 1 });
  await failure(manager.run({ type: 'no such handler' }));
  const waiting = failure(manager.run({ type: 'sleep', data: 10_000 }));
  const cancelled = failure(manager.run({ id: 'x', type: 'pid' }));
  manager.cancel('x');
  await cancelled;
  expect(manager.stats().runTime.count).toBe(1);
  await manager.terminate();
  await waiting;
  expect(manager.stats()).toMatchObject({ waitTime: { count: 1 }, runTime: { count: 1 } });
});
