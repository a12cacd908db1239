// reload() replaces every worker, and no task notices.

import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  failure,
  fixture,
  gate,
  moduleFile,
  pool,
  record,
  started,
  until,
} from './support/harness.js';

const LIMITS = fixture('limits.mjs');

/**
 * Reloads in one run. Each takes the start of two processes, one after the other, so that more of
 * them need a long run.
 */
const TIMES = Number(process.env.BULKHEAD_RELOADS ?? 20);

const version = (n) => `export default () => ({ version: ${n}, pid: process.pid });`;

describe('reload()', () => {
  test('[W3] reload() gives workers the new version of their module, and asks the old ones to leave', async () => {
    const worker = moduleFile(version(1));
    const manager = pool({ worker });
    const log = record(manager, ['exit', 'error']);
    await manager.startWorkers();
    const old = manager.workers.map(({ pid }) => pid);
    expect((await manager.run(1)).version).toBe(1);
    writeFileSync(worker, version(2));
    await manager.reload();
    expect(manager.workers.map(({ id, state, restarts }) => [id, state, restarts])).toEqual([
      [1, 'idle', 1],
      [2, 'idle', 1],
    ]);
    const results = await Promise.all(Array.from({ length: 50 }, () => manager.run(1)));
    expect(results.every(({ version, pid }) => version === 2 && !old.includes(pid))).toBe(true);
    const exits = log.map(([event, { pid, reason, code }]) => [event, pid, reason, code]);
    expect(exits.sort()).toEqual(old.map((pid) => ['exit', pid, 'reload', 0]).sort());
  });

  test('reload() lets the old worker finish what runs, and the pool serves meanwhile', async () => {
    const manager = pool({ worker: LIMITS, maxWorkers: 1 });
    const { path, open } = gate();
    const begun = started(manager, 'long');
    const long = manager.run({ id: 'long', type: 'until', data: path });
    await begun;
    const old = manager.workers[0].pid;
    const reloaded = manager.reload();
    const state = () => manager.workers.map(({ state }) => state).join();
    await until(() => state() === 'idle,stopping', 'the successor has the place');
    open();
    expect(await long).toBe(old);
    await reloaded;
    expect(await manager.run({ type: 'pid' })).not.toBe(old);
  });

  test(`reload() ${TIMES} times under load loses no task and runs none twice`, {
    timeout: 30_000 + TIMES * 5_000,
  }, async () => {
    const worker = moduleFile('let n = 0; export default (id) => [id, process.pid, ++n];');
    const manager = pool({ worker, maxWorkers: 2 });
    let going = true;
    let next = 0;
    const seen = new Set();
    const load = async () => {
      while (going) {
        const id = next++;
        const [echo, pid, n] = await manager.run(id);
        expect(echo).toBe(id);
        // A start that is lost or made twice leaves a gap in some worker's count.
        expect(seen.has(`${pid} ${n}`)).toBe(false);
        seen.add(`${pid} ${n}`);
      }
    };
    const loads = Array.from({ length: 20 }, load);
    const exits = [];
    manager.on('exit', (exit) => exits.push(exit));
    for (let i = 0; i < TIMES; i++) await manager.reload();
    going = false;
    await Promise.all(loads);
    // The first reload may have come before there was a process.
    expect(exits.length).toBeGreaterThanOrEqual(2 * TIMES - 2);
    for (const { pid, reason, tasksDone } of exits) {
      expect([reason, [...seen].filter((key) => key.startsWith(`${pid} `)).length]).toEqual([
        'reload',
        tasksDone,
      ]);
    }
    expect(manager.stats().tasks).toMatchObject({
      accepted: next,
      completed: next,
      failed: 0,
      retried: 0,
    });
  });

  test('reload() to a version that cannot start rejects, and the old one stays', async () => {
    const worker = moduleFile(version(1));
    const manager = pool({ worker });
    const log = record(manager, ['error', 'exit']);
    await manager.startWorkers();
    writeFileSync(worker, 'export default (');
    const error = await failure(manager.reload());
    expect(error.code).toBe('ERR_WORKER_START');
    expect(error.cause.message).toContain(worker);
    const results = await Promise.all(Array.from({ length: 20 }, () => manager.run(1)));
    expect(results.every(({ version }) => version === 1)).toBe(true);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    writeFileSync(worker, version(3));
    await manager.reload();
    expect((await manager.run(1)).version).toBe(3);
  });

  test('reload() of a pool that has not started resolves at once, and starts nothing', async () => {
    const manager = pool({ worker: LIMITS });
    await manager.reload();
    expect(manager.workers).toEqual([]);
  });

  test('reload() while the workers start replaces them as well', async () => {
    const manager = pool({ worker: LIMITS });
    const log = record(manager, ['exit', 'error']);
    const ready = manager.startWorkers();
    await manager.reload();
    await ready;
    expect(manager.workers.map(({ restarts }) => restarts)).toEqual([1, 1]);
    // A worker that was about to be spawned has no exit.
    expect(log.length).toBeLessThanOrEqual(2);
    expect(log.every(([event, { reason }]) => event === 'exit' && reason === 'reload')).toBe(true);
  });

  test('overlapping reload() all resolve, and reject if the pool closes', async () => {
    const manager = pool({ worker: LIMITS });
    await manager.startWorkers();
    const before = manager.workers.map(({ pid }) => pid);
    await Promise.all([manager.reload(), manager.reload(), manager.reload()]);
    expect(manager.workers.some(({ pid }) => before.includes(pid))).toBe(false);
    const late = failure(manager.reload());
    await manager.terminate();
    expect((await late).code).toBe('ERR_POOL_CLOSED');
    expect((await failure(manager.reload())).code).toBe('ERR_POOL_CLOSED');
  });
});
