// More tasks than workers can take: they wait in the queue, not in the workers' channels.

import { expect, test } from 'vitest';
import { failure, fixture, pool, until } from './support/harness.js';

test('[G22, T2] a very long queue is bounded, and every task in it ends', {
  timeout: 60_000,
}, async () => {
  const limit = 200_000;
  // The worker never gets ready, so nothing leaves the queue.
  const manager = pool({
    worker: { command: 'sleep', args: ['1000'] },
    maxWorkers: 1,
    maxQueue: limit,
  });
  const ends = new Map();
  const count = ({ code, maybeExecuted }) => {
    const end = `${code} ${maybeExecuted}`;
    ends.set(end, (ends.get(end) ?? 0) + 1);
  };
  // One more than may wait: a worker would run it.
  const tasks = Array.from({ length: limit + 1 }, (_, id) => manager.run({ id }).catch(count));
  expect(manager.stats().queue.tasks).toBe(limit + 1);
  expect(await failure(manager.run({}))).toMatchObject({ code: 'ERR_QUEUE_FULL', limit });
  await manager.terminate();
  await Promise.all(tasks);
  expect([...ends]).toEqual([['ERR_POOL_CLOSED false', limit + 1]]);
});

test('[D6] a worker that does not read its channel is sent little, and another runs what it did not take', async () => {
  const manager = pool({ worker: fixture('stuck.mjs'), maxWorkers: 2 });
  await manager.startWorkers();
  const [{ pid }] = manager.workers;
  process.kill(pid, 'SIGSTOP');
  const data = 'x'.repeat(100_000);
  const started = Array.from({ length: 400 }, (_, id) => manager.run({ id, type: 'echo', data }));
  const done = () => manager.stats().tasks.completed;
  // One task is at the stopped worker: whether it was claimed cannot be known before the worker
  // continues.
  await until(() => done() >= 399, 'all but one');
  process.kill(pid, 'SIGCONT');
  const results = await Promise.all(started);
  expect(results.every((result) => result === data)).toBe(true);
});
