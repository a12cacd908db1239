// The order in which waiting tasks start: by priority and age, first in, first out among equals.

import { describe, expect, test } from 'vitest';
import { failure, fixture, gate, pool, record, started } from './support/harness.js';

const LIMITS = fixture('limits.mjs');

/**
 * A pool whose only worker is busy, so that all later tasks wait; `open` lets the worker continue.
 */
async function busy(options) {
  const manager = pool({ worker: LIMITS, maxWorkers: 1, ...options });
  const { path, open } = gate();
  const begun = started(manager, 'first');
  const first = manager.run({ id: 'first', type: 'until', data: path });
  await begun;
  return { manager, open, first };
}

/**
 * The ids of the tasks in the order of their results. As there is one worker, that is the order of
 * their starts.
 */
function order(manager) {
  const log = record(manager, ['result', 'error']);
  return () => log.map(([, { taskId }]) => taskId);
}

describe('priority', () => {
  test('[T5] priority decides the order, and among equals the first comes first', async () => {
    const { manager, open, first } = await busy({ priorityAgeing: Infinity });
    const done = order(manager);
    const tasks = [
      ['c', 0],
      ['e', -1.5],
      ['a', 7],
      ['d', undefined],
      ['b', 7],
      ['f', -1_000_000],
    ];
    for (const [id, priority] of tasks) manager.distributeTask({ id, type: 'pid' }, { priority });
    open();
    await first;
    await manager.shutdown();
    expect(done()).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
  });

  test('priority holds among a hundred thousand tasks of all kinds', async () => {
    const { manager, open, first } = await busy({ priorityAgeing: Infinity });
    const done = order(manager);
    const priorities = Array.from({ length: 100_000 }, (_, id) => (id * 7919) % 5);
    priorities.forEach((priority, id) => {
      manager.distributeTask({ id, type: 'pid' }, { priority });
    });
    open();
    await first;
    await manager.shutdown();
    const byPriority = [4, 3, 2, 1, 0].flatMap((level) =>
      [...priorities.keys()].filter((id) => priorities[id] === level),
    );
    expect(done()).toEqual(byPriority);
  });

  test('a cancelled task is skipped in the queue', async () => {
    const { manager, open, first } = await busy();
    const done = order(manager);
    for (const id of ['b', 'c']) manager.distributeTask({ id, type: 'pid' });
    const cancelled = failure(manager.run({ id: 'x', type: 'pid' }, { priority: 5 }));
    manager.distributeTask({ id: 'a', type: 'pid' }, { priority: 5 });
    manager.cancel('x');
    open();
    await first;
    await manager.shutdown();
    expect((await cancelled).code).toBe('ABORT_ERR');
    expect(done()).toEqual(['a', 'b', 'c']);
  });

  test('run() and exec() take a priority', async () => {
    const { manager, open, first } = await busy();
    const ends = [];
    const low = manager.run({ type: 'pid' }).then(() => ends.push('low'));
    const high = manager.exec(() => 1, [], { priority: 1 }).then(() => ends.push('high'));
    open();
    await Promise.all([first, low, high]);
    expect(ends).toEqual(['high', 'low']);
  });

  test.each([[Number.NaN], [1_000_001], [-1_000_001], [Infinity]])(
    'priority %s is out of range',
    async (priority) => {
      const manager = pool();
      expect(() => manager.distributeTask(1, { priority })).toThrow(
        expect.objectContaining({
          code: 'ERR_OUT_OF_RANGE',
          message: expect.stringContaining('options.priority'),
        }),
      );
      expect(await failure(manager.run(1, { priority: '1' }))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
      });
      expect(manager.stats().tasks.accepted).toBe(0);
    },
  );
});

describe('priorityAgeing', () => {
  test('priorityAgeing starts a task that has waited long before later ones of higher priority', async () => {
    const { manager, open, first } = await busy({ priorityAgeing: 1 });
    const done = order(manager);
    manager.distributeTask({ id: 'old', type: 'pid' });
    const since = performance.now();
    // The exact time of waiting does not matter, only that it is longer than ten levels of ageing.
    while (performance.now() - since < 25) await new Promise(setImmediate);
    manager.distributeTask({ id: 'young', type: 'pid' }, { priority: 10 });
    open();
    await first;
    await manager.shutdown();
    expect(done()).toEqual(['old', 'young']);
  });

  test('[T5] priorityAgeing lets every task start under an endless flood of higher priority', {
    timeout: 60_000,
  }, async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1, priorityAgeing: 20 });
    let flooding = true;
    let floods = 0;
    const flood = async () => {
      while (flooding) {
        await manager.run({ type: 'pid' }, { priority: 10 });
        floods++;
      }
    };
    const flooders = Array.from({ length: 50 }, flood);
    await manager.run({ type: 'pid' });
    const before = floods;
    await manager.run({ type: 'pid' });
    expect(floods).toBeGreaterThan(before);
    flooding = false;
    await Promise.all(flooders);
  });

  test.each([0, -1, 1.5, Number.NaN])('priorityAgeing: %s is out of range', (priorityAgeing) => {
    expect(() => pool({ priorityAgeing })).toThrow(
      expect.objectContaining({
        code: 'ERR_OUT_OF_RANGE',
        message: expect.stringContaining('options.priorityAgeing'),
      }),
    );
  });
});
