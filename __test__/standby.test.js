// Processes that stand by: a worker that starts takes one of them, and only imports its module.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  childrenOf,
  failure,
  fixture,
  gate,
  isGone,
  moduleFile,
  PROC,
  pool,
  program,
  project,
  record,
  shellWorker,
  startProgram,
  until,
} from './support/harness.js';

const BASIC = fixture('basic.mjs');
const LIMITS = fixture('limits.mjs');

/** The children of this process that are no workers of the pool: those that stand by. */
function standbysOf(manager) {
  const workers = manager.workers.map(({ pid }) => pid);
  return childrenOf().filter((pid) => !workers.includes(pid) && !isGone(pid));
}

/** Waits until `count` processes stand by, and returns their pids. */
function standing(manager, count) {
  return until(() => {
    const pids = standbysOf(manager);
    return manager.stats().standby === count && pids.length === count && pids;
  }, `${count} standbys`);
}

/** Waits until the process serves as a worker. */
function serves(manager, pid) {
  const row = () => manager.workers.find((worker) => worker.pid === pid);
  return until(() => row()?.state === 'idle' && row(), `${pid} serves`);
}

/** The warnings that this process emits from now on. */
function warnings() {
  const seen = [];
  process.on('warning', (warning) => seen.push(warning));
  return seen;
}

describe('standby', () => {
  test('a pool has no standby unless it is asked for', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1 });
    await manager.run({ type: 'echo' });
    expect(manager.stats().standby).toBe(0);
    expect(childrenOf()).toHaveLength(1);
  });

  test('a standby starts after the workers, and is none of them', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 2, standby: 2 });
    const log = record(manager, ['online', 'exit', 'message', 'error']);
    expect(childrenOf()).toEqual([]);
    await manager.startWorkers();
    await standing(manager, 2);
    expect(manager.workers.map(({ id, state }) => [id, state])).toEqual([
      [1, 'idle'],
      [2, 'idle'],
    ]);
    expect(log.map(([event]) => event)).toEqual(['online', 'online']);
    const { killed } = await manager.shutdown();
    expect(killed).toBe(0);
    expect(childrenOf()).toEqual([]);
    expect(manager.stats().standby).toBe(0);
    // A standby has no `exit` event.
    expect(log.filter(([event]) => event === 'exit')).toHaveLength(2);
  });

  test('a pool that grows takes its standby, with the id of the new worker, and starts another', async () => {
    const manager = pool({ worker: LIMITS, minWorkers: 1, maxWorkers: 2, standby: 1 });
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    const { path, open } = gate();
    const tasks = [1, 2].map((id) => manager.run({ id, type: 'until', data: path }));
    await until(() => manager.workers[1]?.pid, 'the pool has grown');
    expect(manager.workers[1]).toMatchObject({ id: 2, pid: standby, restarts: 0 });
    const [another] = await standing(manager, 1);
    expect(another).not.toBe(standby);
    open();
    expect(await Promise.all(tasks)).toContain(standby);
  });

  test('a pool that has shrunk to no worker keeps its standby, and the next task takes it', async () => {
    const manager = pool({
      worker: BASIC,
      minWorkers: 0,
      maxWorkers: 1,
      standby: 1,
      idleTimeout: 50,
    });
    await manager.run({ type: 'echo' });
    const [standby] = await standing(manager, 1);
    await until(() => manager.workers.length === 0, 'the worker has left');
    expect(await manager.run({ type: 'pid' })).toBe(standby);
  });

  test('a standby takes the place of a worker that dies, and the retried task runs on it', async () => {
    const source = `export default async (_, { attempt, workerId }) => {
      if (attempt === 1) process.kill(process.pid, 'SIGKILL');
      return [process.pid, workerId, process.title];
    };`;
    const manager = pool({
      worker: moduleFile(source),
      maxWorkers: 1,
      standby: 1,
      retryDelay: 0,
      name: 'mine',
    });
    const log = record(manager, ['exit']);
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    const outcome = await manager.run({}, { retries: 1 });
    expect(outcome).toEqual([standby, 1, 'mine worker 1']);
    expect(log.map(([, { reason }]) => reason)).toEqual(['crashed']);
    expect(manager.workers[0]).toMatchObject({ id: 1, pid: standby, restarts: 1 });
  });

  test('a standby takes the place of a worker that was killed for its task, or replaced', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1, standby: 1, maxTasksPerWorker: 2 });
    await manager.startWorkers();
    let [standby] = await standing(manager, 1);
    const error = await failure(manager.run({ type: 'loop' }, { timeout: 20 }));
    expect(error.code).toBe('ERR_TASK_TIMEOUT');
    await serves(manager, standby);
    [standby] = await standing(manager, 1);
    await manager.run({ type: 'echo' });
    await manager.run({ type: 'echo' });
    expect(await manager.run({ type: 'pid' })).toBe(standby);
  });

  test('a standby imports the module when a worker takes it, and not before', async () => {
    const worker = moduleFile('export default () => "old";');
    const manager = pool({ worker, maxWorkers: 1, standby: 1 });
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    writeFileSync(worker, 'export default () => ["new", process.pid];');
    process.kill(manager.workers[0].pid, 'SIGKILL');
    await until(() => manager.workers[0]?.pid === standby, 'the standby has the slot');
    expect(await manager.run({})).toEqual(['new', standby]);
  });

  test('reload() replaces standbys, which may have preloaded old code', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1, standby: 1 });
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    await manager.reload();
    expect(manager.workers[0].pid).not.toBe(standby);
    const [another] = await standing(manager, 1);
    expect(another).not.toBe(standby);
    expect(isGone(standby)).toBe(true);
  });

  test('[A21] a standby that dies is replaced, and the pool says nothing of it', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1, standby: 1 });
    const log = record(manager, ['online', 'exit', 'error']);
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    process.kill(standby, 'SIGKILL');
    await until(() => isGone(standby), 'the standby is dead');
    const [another] = await standing(manager, 1);
    process.kill(manager.workers[0].pid, 'SIGKILL');
    await serves(manager, another);
    expect(log.map(([event]) => event)).toEqual(['online', 'exit', 'online']);
  });

  test('[A22] standby and worker killed in the same moment: the slot gets a new worker', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1, standby: 1, restart: { limit: 0 } });
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    const worker = manager.workers[0].pid;
    process.kill(worker, 'SIGKILL');
    process.kill(standby, 'SIGKILL');
    const pid = await manager.run({ type: 'pid' });
    expect([worker, standby]).not.toContain(pid);
    await standing(manager, 1);
  });

  test('[A21] standbys that always die are given up with one warning, and the pool serves', async () => {
    const seen = warnings();
    const folder = project({});
    const preload = moduleFile(
      `process.once('SIGTERM', () => {
         console.error('no patience');
         process.exit(7);
       });
       require('node:fs').writeFileSync(${JSON.stringify(folder)} + '/' + process.pid, '');`,
      'preload.cjs',
    );
    const manager = pool({
      worker: BASIC,
      maxWorkers: 1,
      standby: 1,
      restart: { limit: 1, minDelay: 1 },
      execArgv: ['--require', preload],
    });
    const log = record(manager, ['exit', 'error']);
    await manager.startWorkers();
    for (let death = 0; death < 2; death += 1) {
      expect(seen).toEqual([]);
      const [standby] = await standing(manager, 1);
      await until(() => existsSync(join(folder, String(standby))), 'the standby has begun');
      process.kill(standby, 'SIGTERM');
      await until(() => isGone(standby), 'the standby is dead');
    }
    const [warning] = await until(() => seen.length > 0 && seen, 'a warning');
    expect(warning).toMatchObject({ name: 'BulkheadWarning', code: 'BULKHEAD_STANDBY_MISSING' });
    expect(warning.message).toMatch(/standbys of the pool die .*exited with code 7.*no patience/s);
    expect(log).toEqual([]);
    expect(await manager.run({ type: 'pid' })).toBe(manager.workers[0].pid);
  });

  test('no standby starts while no worker does', async () => {
    const manager = pool({ worker: '/nowhere.mjs', maxWorkers: 1, standby: 2 });
    expect((await failure(manager.startWorkers())).code).toBe('ERR_POOL_BROKEN');
    expect(manager.stats().standby).toBe(0);
    await until(() => childrenOf().length === 0, 'no child is left');
    const never = pool({
      worker: moduleFile('await new Promise(() => {}); setInterval(() => {}, 1e6);'),
      maxWorkers: 1,
      standby: 1,
      startTimeout: 200,
      restart: { limit: 0 },
    });
    const starting = failure(never.startWorkers());
    await until(() => childrenOf().length === 1, 'the worker starts');
    expect((await starting).code).toBe('ERR_POOL_BROKEN');
    expect(childrenOf()).toEqual([]);
  });

  test('a standby of a worker that is another program waits as well', async () => {
    const worker = shellWorker(`echo "{\\"type\\":\\"result\\",\\"id\\":$id,\\"result\\":$$}" >&3`);
    const manager = pool({ worker, maxWorkers: 1, standby: 1 });
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    process.kill(manager.workers[0].pid, 'SIGKILL');
    await until(() => manager.workers[0]?.pid === standby, 'the standby has the slot');
    expect(await manager.run({})).toBe(standby);
  });

  test('what a standby prints comes once it is a worker, and in its name', async () => {
    const preload = moduleFile(`console.log('preloaded ' + process.pid)`, 'preload.cjs');
    const manager = pool({
      worker: BASIC,
      maxWorkers: 1,
      standby: 1,
      stdio: 'pipe',
      execArgv: ['--require', preload],
    });
    const printed = [];
    manager.on('stdout', (chunk, { id, pid }) => printed.push([String(chunk), id, pid]));
    await manager.startWorkers();
    const [standby] = await standing(manager, 1);
    const [{ pid }] = manager.workers;
    await until(() => printed.length === 1, 'the first worker has printed');
    process.kill(pid, 'SIGKILL');
    await serves(manager, standby);
    await until(() => printed.length === 2, 'the second worker has printed');
    expect(printed).toEqual([
      [`preloaded ${pid}\n`, 1, pid],
      [`preloaded ${standby}\n`, 1, standby],
    ]);
  });

  test('terminate() and the end of the program leave no standby', async () => {
    const manager = pool({ worker: BASIC, maxWorkers: 1, standby: 2 });
    await manager.startWorkers();
    await until(() => manager.stats().standby > 0, 'a standby');
    await manager.terminate();
    expect(childrenOf()).toEqual([]);

    const source = `
      import ProcessManager from 'bulkhead';
      import { childrenOf } from ${PROC};
      const pool = new ProcessManager({ maxWorkers: 1, standby: 1 });
      await pool.startWorkers();
      const look = setInterval(() => {
        if (pool.stats().standby !== 1) return;
        clearInterval(look);
        console.log(childrenOf().join());
        if (process.argv[2] === 'exit') process.exit(3);
        else process.kill(process.pid, process.argv[2]);
      }, 5);`;
    for (const end of ['exit', 'SIGKILL', 'SIGTERM']) {
      const { stdout } = await program(source, { args: [end] });
      const pids = stdout.trim().split(',').map(Number);
      expect(pids).toHaveLength(2);
      await until(() => pids.every(isGone), `no child is left after ${end}`);
    }
  });

  test('an idle pool with a standby does not keep the program running', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ maxWorkers: 1, standby: 1 });
      await pool.startWorkers();
      console.log('up');`;
    expect(await program(source)).toMatchObject({ code: 0, stdout: 'up\n', stderr: '' });
  });

  test('a stopped standby ends with its parent', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      import { childrenOf } from ${PROC};
      const pool = new ProcessManager({ maxWorkers: 1, standby: 1 });
      await pool.startWorkers();
      setInterval(() => {
        if (pool.stats().standby !== 1) return;
        const worker = pool.workers[0].pid;
        console.log('standby ' + childrenOf().find((pid) => pid !== worker));
      }, 5);`;
    const { child, line, exit } = startProgram(source);
    const standby = Number((await line(/^standby \d+$/)).split(' ')[1]);
    process.kill(standby, 'SIGSTOP');
    child.kill('SIGKILL');
    await exit;
    await until(() => isGone(standby), 'the standby is gone');
  });

  test('a pool whose workers open the debugger has no standby', async () => {
    const manager = pool({
      worker: BASIC,
      maxWorkers: 1,
      standby: 1,
      execArgv: ['--inspect=0'],
      stdio: 'ignore',
    });
    await manager.startWorkers();
    await manager.run({ type: 'echo' });
    expect(manager.stats().standby).toBe(0);
    expect(childrenOf()).toHaveLength(1);
  });

  test('standby is a whole number from 0 to 1024', () => {
    for (const standby of [-1, 1.5, 1025, Infinity]) {
      expect(() => pool({ standby })).toThrowError(
        expect.objectContaining({
          code: 'ERR_OUT_OF_RANGE',
          message: expect.stringContaining('options.standby'),
        }),
      );
    }
    for (const standby of ['1', null, true]) {
      expect(() => pool({ standby })).toThrowError(
        expect.objectContaining({
          code: 'ERR_INVALID_ARG_TYPE',
          message: expect.stringContaining('options.standby'),
        }),
      );
    }
  });
});
