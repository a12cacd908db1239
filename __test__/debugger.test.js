// A debugger of this process is not inherited by its workers; one of a worker changes nothing for
// the pool.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PoolClosedError } from '../index.mjs';
import { connect } from './support/debugger.mjs';
import { failure, fixture, pool, program, record, until } from './support/harness.js';

const hasStrace = (() => {
  try {
    execFileSync('strace', ['-o', '/dev/null', 'true']);
    return true;
  } catch {
    return false;
  }
})();

test.each([
  ['by its command line', { nodeArgs: ['--inspect=127.0.0.1:0'] }],
  ['by its environment', { env: { NODE_OPTIONS: '--inspect=127.0.0.1:0' } }],
])('[C12, W19] a debugger that this process has %s is not inherited', async (_, how) => {
  const { code, stdout } = await program(
    `
    import inspector from 'node:inspector';
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), minWorkers: 2, maxWorkers: 2 });
    await pool.startWorkers();
    const theirs = await Promise.all([1, 2].map((data) => pool.run({ data })));
    console.log(JSON.stringify({ ours: typeof inspector.url(), theirs }));
    await pool.shutdown();
    process.exit();`,
    {
      ...how,
      files: {
        'worker.mjs': `import inspector from 'node:inspector';
          export default () => [inspector.url() ?? null, process.execArgv.join(), process.env.NODE_OPTIONS ?? ''];`,
      },
    },
  );
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ ours: 'string', theirs: Array(2).fill([null, '', '']) });
});

test.skipIf(!hasStrace)(
  '[C12] a traced worker runs, crashes, is replaced and shuts down like any other',
  async () => {
    const manager = pool({ worker: fixture('crash.mjs'), maxWorkers: 1, stdio: 'ignore' });
    const log = record(manager, ['exit']);
    const trace = async (pid) => {
      const tracer = spawn('strace', ['-f', '-o', '/dev/null', '-p', String(pid)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const gone = new Promise((resolve) => tracer.on('close', resolve));
      onTestFinished(async () => {
        tracer.kill('SIGKILL');
        await gone;
      });
      let said = '';
      tracer.stderr.on('data', (chunk) => {
        said += chunk;
      });
      return until(
        () => said.includes('attached') || (said !== '' && tracer.exitCode !== null && 'refused'),
        'attached',
      );
    };
    const pid = await manager.run({ type: 'pid' });
    expect(await trace(pid)).toBe(true);
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
    expect(await failure(manager.run({ type: 'during', data: 'SIGSEGV' }))).toMatchObject({
      pid,
      signal: 'SIGSEGV',
    });
    const next = await manager.run({ type: 'pid' });
    expect(await trace(next)).toBe(true);
    await manager.shutdown();
    expect(log.map(([, exit]) => [exit.pid, exit.reason, exit.signal ?? exit.code])).toEqual([
      [pid, 'crashed', 'SIGSEGV'],
      [next, 'shutdown', 0],
    ]);
  },
);

describe('debuggers of workers', () => {
  /** The address of each worker's debugger, by the worker's id and pid, from standard error. */
  const LINE = /^(.+) worker (\d+) \(pid (\d+)\): Debugger listening on (ws:\/\/\S+)$/gm;
  const listening = (text) =>
    [...text.matchAll(LINE)].map(([, name, id, pid, url]) => ({
      name,
      id: Number(id),
      pid: Number(pid),
      url,
    }));

  const inspected = (options) => pool({ stdio: 'pipe', env: {}, execArgv: [], ...options });
  /** The output of the workers, as it grows. */
  const printedBy = (manager) => {
    const printed = { text: '' };
    manager.on('stderr', (chunk) => {
      printed.text += chunk;
    });
    return printed;
  };
  const url = () => process.getBuiltinModule('node:inspector').url();

  /** Asks a debugger, as a client would, for the pid of its process. */
  async function pidBehind(address) {
    const { host } = new URL(address);
    const [target] = await (await fetch(`http://${host}/json/list`)).json();
    expect(new URL(target.webSocketDebuggerUrl).host).toBe(host);
    const client = await connect(address);
    const { result } = await client.ask('Runtime.evaluate', { expression: 'process.pid' });
    return result.value;
  }

  /** A free port whose successor is free, too. */
  async function freePorts() {
    for (;;) {
      const servers = [createServer()];
      await once(servers[0].listen(0, '127.0.0.1'), 'listening');
      const { port } = servers[0].address();
      servers.push(createServer());
      const second = new Promise((resolve) => {
        servers[1].on('listening', () => resolve(true)).on('error', () => resolve(false));
      });
      servers[1].listen(port + 1, '127.0.0.1');
      const free = await second;
      for (const server of servers)
        if (server.listening) await new Promise((resolve) => server.close(resolve));
      if (free) return port;
    }
  }

  test.each([
    ['by a flag', { execArgv: ['--inspect'] }],
    ['by a flag with an address', { execArgv: ['--inspect=127.0.0.1'] }],
    ['by NODE_OPTIONS', { env: { NODE_OPTIONS: '--no-warnings --inspect=127.0.0.1:0' } }],
    [
      'with the usual port, spelled out, and an older name',
      { execArgv: ['--inspect', '--debug-port', '0'] },
    ],
  ])('debugger %s: each worker has a port of its own, and announces it', async (_, options) => {
    const manager = inspected({ name: 'my pool', minWorkers: 2, ...options });
    const printed = printedBy(manager);
    await manager.startWorkers();
    const told = await until(
      () => listening(printed.text).length === 2 && listening(printed.text),
      'two addresses',
    );
    expect(told.map(({ name }) => name)).toEqual(['my pool', 'my pool']);
    const workers = manager.workers.map(({ id, pid }) => ({ id, pid }));
    expect(told.map(({ id, pid }) => ({ id, pid })).sort((a, b) => a.id - b.id)).toEqual(workers);
    for (const { pid, url } of told) expect(await pidBehind(url)).toBe(pid);
    expect(await manager.exec(url)).toBeOneOf(told.map(({ url }) => url));
  });

  test('a given debugger port is the first worker’s, and the others’ follow', async () => {
    const port = await freePorts();
    const manager = inspected({ minWorkers: 2, execArgv: [`--inspect=127.0.0.1:${port}`] });
    const printed = printedBy(manager);
    await manager.startWorkers();
    const told = await until(
      () => listening(printed.text).length === 2 && listening(printed.text),
      'two addresses',
    );
    const ports = told.map(({ id, url }) => [id, Number(new URL(url).port)]);
    expect(ports.sort(([a], [b]) => a - b)).toEqual([
      [1, port],
      [2, port + 1],
    ]);
    for (const { pid, url } of told) expect(await pidBehind(url)).toBe(pid);
  });

  test('[C12] a debugger port taken by a stranger, another pool or a predecessor keeps no worker from starting', async () => {
    const stranger = createServer();
    await once(stranger.listen(0, '127.0.0.1'), 'listening');
    const taken = stranger.address().port;
    const first = inspected({ maxWorkers: 1, execArgv: [`--inspect=${taken}`] });
    expect(new URL(await first.exec(url)).port).not.toBe(String(taken));
    await new Promise((resolve) => stranger.close(resolve));

    const port = await freePorts();
    const options = { maxWorkers: 1, maxTasksPerWorker: 2, execArgv: [`--inspect=${port}`] };
    const pools = [inspected(options), inspected(options)];
    const logs = pools.map((manager) => record(manager, ['exit', 'error']));
    await Promise.all(pools.map((manager) => manager.startWorkers()));
    const urls = await Promise.all(pools.map((manager) => manager.exec(url)));
    const ports = urls.map((address) => Number(new URL(address).port));
    expect(ports).toContain(port);
    expect(new Set(ports).size).toBe(2);
    const owner = pools[ports.indexOf(port)];
    const pids = new Set();
    for (let i = 0; i < 6; i++) pids.add(await owner.exec(() => process.pid));
    expect(pids.size).toBeGreaterThanOrEqual(3);
    await Promise.all(pools.map((manager) => manager.shutdown()));
    // No start has failed.
    const ends = logs.flat().map(([event, { reason }]) => [event, reason]);
    expect(ends.filter(([event, reason]) => event === 'error' || reason === 'startup')).toEqual([]);
  });

  const waiting = ['--inspect-brk', '--inspect-wait'].filter((flag) =>
    process.allowedNodeEnvironmentFlags.has(flag),
  );
  test.each(waiting)('%s: a worker waits for its debugger without a time limit', async (flag) => {
    const manager = inspected({ maxWorkers: 1, gracePeriod: 200, execArgv: [flag] });
    const printed = printedBy(manager);
    const task = manager.run({ data: 'done' });
    const [{ url, pid }] = await until(
      () => listening(printed.text).length > 0 && listening(printed.text),
      'the address',
    );
    expect(manager.workers).toMatchObject([{ state: 'starting', pid }]);
    const client = await connect(url);
    client.on('Debugger.paused', () => client.ask('Debugger.resume'));
    await client.ask('Debugger.enable');
    await client.ask('Runtime.runIfWaitingForDebugger');
    expect(await task).toBe('done');
    // An attached debugger keeps a worker from leaving by itself, up to `gracePeriod`.
    const log = record(manager, ['exit']);
    await manager.shutdown();
    expect(log).toMatchObject([['exit', { pid, reason: 'shutdown' }]]);
  });

  test('a worker that waits for a debugger in vain ends with its pool', async () => {
    const manager = inspected({ maxWorkers: 1, gracePeriod: 100, execArgv: ['--inspect-brk'] });
    const printed = printedBy(manager);
    const started = failure(manager.startWorkers());
    await until(() => listening(printed.text).length > 0, 'the address');
    await manager.shutdown();
    expect(await started).toBeInstanceOf(PoolClosedError);
  });

  test.each(['127.0.0.1:0', '0.0.0.0:0', '[::1]:0'])(
    'captureStack uses a debugger that is already open (%s), which stays open',
    async (address) => {
      const manager = inspected({
        worker: fixture('capture.mjs'),
        maxWorkers: 1,
        concurrency: 2,
        captureStack: true,
        execArgv: [`--inspect=${address}`],
      });
      const printed = printedBy(manager);
      const before = await manager.run({ type: 'debugger' });
      // A task that ends when it is asked has no JavaScript on its stack.
      await until(async () => {
        const { pid } = manager.workers[0];
        await failure(manager.run({ type: 'obey' }, { timeout: 200 }));
        return (await manager.run({ type: 'pid' })) === pid;
      }, 'a worker that is asked and stays');
      const own = listening(printed.text).find(({ pid }) => pid === manager.workers[0].pid);
      expect((await manager.run({ type: 'debugger' })).url).toBe(own.url);
      expect(before.url).toMatch(/^ws:/);
      // Another client is connected, and stays.
      expect(await pidBehind(own.url.replace('0.0.0.0', '127.0.0.1'))).toBe(own.pid);
      const stuckAt = await until(
        async () => (await failure(manager.run({ type: 'spin' }, { timeout: 200 }))).stuckAt,
        'a stack',
      );
      expect(stuckAt).toMatch(/at spin .*capture\.mjs/);
    },
  );

  test.each(['inherit', 'ignore'])(
    "stdio %s: the debugger's address is on this process’s standard error",
    async (stdio) => {
      const { code, stdout, stderr } = await program(`
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ minWorkers: 2, maxWorkers: 2, stdio: '${stdio}', execArgv: ['--inspect'] });
      await pool.startWorkers();
      await pool.exec(() => console.error('from a task'));
      console.log(JSON.stringify(pool.workers.map(({ id, pid }) => ({ id, pid }))));
      await pool.shutdown();`);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const told = listening(stderr).map(({ name, id, pid }) => ({ name, id, pid }));
      const workers = JSON.parse(stdout).map((worker) => ({ name: 'bulkhead', ...worker }));
      expect(told.sort((a, b) => a.id - b.id)).toEqual(workers);
      expect(stderr.includes('from a task')).toBe(stdio === 'inherit');
    },
  );
});
