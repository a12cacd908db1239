// The reasons for a process to stay alive, how a pool shares a process, and what it leaves behind.

import { fork } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixture, isGone, pool, program, project, until } from './support/harness.js';

const IMPORT = `import ProcessManager from 'bulkhead';\n`;
const WORKER = JSON.stringify(fixture('basic.mjs'));

/** Runs a program to its end, which must print no error, and returns the lines it has printed. */
async function lines(source, options) {
  const { code, signal, stdout, stderr } = await program(IMPORT + source, options);
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  return stdout.trimEnd().split('\n');
}

describe('the end of the process', () => {
  test('a process with an unused pool ends by itself', async () => {
    expect(await lines(`new ProcessManager(); console.log('end');`)).toEqual(['end']);
  });

  test('[W12, P9] a process with an idle pool ends by itself, and the workers with it', async () => {
    const source = `
      const pool = new ProcessManager({ maxWorkers: 2 });
      pool.on('exit', () => console.log('not to be heard'));
      await pool.startWorkers();
      await pool.run({ data: 1 });
      console.log(JSON.stringify(pool.workers.map(({ pid }) => pid)));`;
    const pids = JSON.parse(await lines(source));
    expect(pids).toHaveLength(2);
    await until(() => pids.every(isGone), `gone: ${pids}`);
  });

  test('a process ends only after unsettled tasks are settled', async () => {
    const source = `
      const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 1 });
      pool.on('result', ({ taskId }) => console.log(taskId));
      pool.on('error', ({ taskId }) => console.log('failed', taskId));
      pool.distributeTask({ id: 'slow', type: 'sleep', data: 100 });
      pool.distributeTask({ id: 'bad', type: 'throw' });
      pool.run({ type: 'sleep', data: 20 }).then(() => console.log('run'));`;
    expect(await lines(source)).toEqual(['slow', 'failed bad', 'run']);
  });

  test('a process ends only after a retried task is settled, although no worker lives meanwhile', async () => {
    const source = `
      const worker = new URL('./worker.mjs', import.meta.url);
      const pool = new ProcessManager({ worker, maxWorkers: 1, retries: 1, retryDelay: 200 });
      pool.on('result', ({ result }) => console.log('attempt', result));
      pool.distributeTask({ id: 1 });`;
    const files = {
      'worker.mjs': `export default (task, { attempt }) => (attempt === 1 ? process.exit(1) : attempt);`,
    };
    expect(await lines(source, { files })).toEqual(['attempt 2']);
  });

  test('a process ends only after startWorkers(), ready() and shutdown() are settled, unref() or not', async () => {
    const source = `
      const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 1, maxQueue: 1, prefetch: 1 }).unref();
      pool.startWorkers().then(() => {
        console.log('started');
        pool.distributeTask({ type: 'sleep', data: 50 });
        pool.distributeTask({ type: 'sleep', data: 50 });
        pool.ready().then(() => {
          console.log('ready');
          pool.shutdown().then(({ completed }) => console.log('shut down', completed));
        });
      });`;
    expect(await lines(source)).toEqual(['started', 'ready', 'shut down 1']);
  });

  test('a process whose pool is ref()ed ends only after unref()', async () => {
    // The timer does not keep the process alive: it fires only if the pool does.
    const source = `
      const pool = new ProcessManager({ maxWorkers: 1 });
      await pool.run({ data: 1 });
      pool.ref();
      setTimeout(() => {
        console.log('alive');
        pool.unref();
      }, 200).unref();`;
    expect(await lines(source)).toEqual(['alive']);
  });

  test('a process with a closed pool ends by itself, in spite of ref()', async () => {
    const source = `
      const pool = new ProcessManager({ maxWorkers: 1 }).ref();
      await pool.run({ data: 1 });
      pool.shutdown().then(() => console.log('closed'));`;
    expect(await lines(source)).toEqual(['closed']);
  });

  test('a process with an unref()ed pool ends by itself, whatever its tasks do', async () => {
    const source = `
      const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 2 });
      await pool.startWorkers();
      console.log(JSON.stringify(pool.workers.map(({ pid }) => pid)));
      pool.unref();
      pool.distributeTask({ type: 'loop' });
      pool.distributeTask({ type: 'never' });`;
    const pids = JSON.parse(await lines(source));
    await until(() => pids.every(isGone), `gone: ${pids}`);
  });

  test('[G8] a process ends with the code that a result listener gives to process.exit()', async () => {
    const source = `${IMPORT}
      const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 2, minWorkers: 2 });
      await pool.startWorkers();
      console.log(JSON.stringify(pool.workers.map(({ pid }) => pid)));
      pool.on('result', ({ taskId }) => taskId === 500 && process.exit(7));
      pool.distributeTask({ id: -1, type: 'loop' });
      for (let id = 0; id < 1000; id++) pool.distributeTask({ id, type: 'echo' });`;
    const { code, stdout, stderr } = await program(source);
    expect({ code, stderr }).toEqual({ code: 7, stderr: '' });
    const pids = JSON.parse(stdout);
    await until(() => pids.every(isGone), `gone: ${pids}`);
  });
});

test('a worker of any kind ends with a process that leaves by process.exit() or by an exception', async () => {
  // The worker ignores its channel, as a program may that does not know of it.
  const script = `printf '{"type":"ready","version":1}\\n' >&3; exec sleep 60`;
  const source = `${IMPORT}
    const worker = { command: 'sh', args: ['-c', ${JSON.stringify(script)}] };
    const pool = new ProcessManager({ worker, maxWorkers: 1 });
    await pool.startWorkers();
    console.log(pool.workers[0].pid);
    if (process.argv[2] === 'exit') process.exit(3);
    throw new Error('uncaught');`;
  const ends = await Promise.all(['exit', 'throw'].map((how) => program(source, { args: [how] })));
  expect(ends.map(({ code }) => code)).toEqual([3, 1]);
  const pids = ends.map(({ stdout }) => Number(stdout));
  await until(() => pids.every(isGone), `gone: ${pids}`);
});

test('[G13] a pool that is garbage-collected without shutdown() ends its workers, with a warning', async () => {
  const source = `
    let warned = false;
    process.on('warning', (warning) => {
      console.log(warning.name + ': ' + warning.message);
      warned = true;
    });
    let pids;
    async function forget() {
      const pool = new ProcessManager({ name: 'forgotten', maxWorkers: 2 });
      await pool.startWorkers();
      await pool.run({ data: 1 });
      pids = pool.workers.map(({ pid }) => pid);
    }
    await forget();
    const closed = new ProcessManager({ name: 'closed', maxWorkers: 1 });
    await closed.run({ data: 1 });
    await closed.shutdown();
    while (!warned) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log(JSON.stringify(pids));`;
  const [warning, pids] = await lines(source, { nodeArgs: ['--expose-gc', '--no-warnings'] });
  expect(warning).toMatch(
    /^BulkheadWarning: process pool "forgotten" was garbage-collected without shutdown\(\)/,
  );
  await until(() => JSON.parse(pids).every(isGone), `gone: ${pids}`);
});

test('[G13] a pool that is garbage-collected as its process ends causes no warning', async () => {
  const source = `
    let collected = false;
    const registry = new FinalizationRegistry(() => (collected = true));
    async function forget() {
      const pool = new ProcessManager({ maxWorkers: 1 });
      registry.register(pool);
      console.log(await pool.run({ data: 1 }));
    }
    await forget();
    while (!collected) {
      gc();
      await new Promise((resolve) => setImmediate(resolve));
    }`;
  expect(await lines(source, { nodeArgs: ['--expose-gc'] })).toEqual(['1']);
});

test('[G13] a pool with unsettled tasks is not collected', async () => {
  const source = `
    process.on('warning', ({ message }) => console.log(message));
    function submit() {
      const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 1 });
      pool.on('result', ({ result }) => {
        console.log('result', result);
        process.removeAllListeners('warning');
      });
      pool.distributeTask({ type: 'sleep', data: 200 });
    }
    submit();
    setInterval(gc, 10).unref();`;
  expect(await lines(source, { nodeArgs: ['--expose-gc', '--no-warnings'] })).toEqual([
    'result 200',
  ]);
});

test.each(['closed', 'forgotten'])(
  '[G13] pools that are %s give their memory back',
  async (how) => {
    // A megabyte of each, on either side of the threshold, and none is ever used.
    const source = `
    const round = async () => {
      const pool = new ProcessManager({ env: { FILL: 'x'.repeat(1 << 20) } });
      if (${how === 'closed'}) await pool.shutdown();
    };
    // Collected objects are finalised in a later turn of the event loop.
    const collect = async () => {
      for (let i = 0; i < 3; i++) {
        gc();
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const rounds = async (count) => {
      for (let i = 0; i < count; i++) {
        await round();
        if (i % 10 === 0) await collect();
      }
      await collect();
      return process.memoryUsage.rss();
    };
    const before = await rounds(50);
    console.log((await rounds(300)) - before);`;
    const [grown] = await lines(source, { nodeArgs: ['--expose-gc'] });
    expect(Number(grown)).toBeLessThan(150 << 20);
  },
);

test('[G23] two pools are independent of each other', async () => {
  const [one, two] = [pool({ worker: fixture('basic.mjs'), name: 'one' }), pool({ name: 'two' })];
  const heard = { one: [], two: [] };
  one.on('result', ({ taskId, processedBy }) => heard.one.push([taskId, processedBy]));
  two.on('result', ({ taskId, processedBy }) => heard.two.push([taskId, processedBy]));
  for (let id = 0; id < 100; id++) {
    one.distributeTask({ id, type: 'echo' });
    two.distributeTask({ id: `two ${id}`, data: id });
  }
  await one.shutdown();
  await expect(two.run({ data: 'still here' })).resolves.toBe('still here');
  await two.shutdown();
  expect(heard.one.map(([id]) => id).sort((a, b) => a - b)).toEqual(
    Array.from({ length: 100 }, (_, id) => id),
  );
  expect(new Set(heard.two.map(([id]) => id)).size).toBe(100);
  const pids = Object.values(heard).map((results) => new Set(results.map(([, pid]) => pid)));
  expect([...pids[0]].filter((pid) => pids[1].has(pid))).toEqual([]);
});

describe('a worker thread', () => {
  const THREAD = `
    const { parentPort, workerData } = require('node:worker_threads');
    const ProcessManager = require('bulkhead');
    const pool = new ProcessManager({ worker: ${WORKER}, maxWorkers: 1 });
    pool.on('result', ({ taskId, processedBy }) => parentPort.postMessage({ taskId, processedBy }));
    pool.on('error', (error) => { throw error; });
    pool.distributeTask({ id: 'first', type: 'echo' });
    if (workerData === 'terminated') {
      pool.distributeTask({ id: 'endless', type: 'never' });
      for (let id = 0; id < 100; id++) pool.distributeTask({ id, type: 'echo' });
    }`;

  test('a pool in a worker thread works, and lets the thread end by itself', async () => {
    const source = `
      import { once } from 'node:events';
      import { Worker } from 'node:worker_threads';
      const thread = new Worker(new URL('./thread.cjs', import.meta.url), { workerData: 'ends' });
      const [{ taskId, processedBy }] = await once(thread, 'message');
      const [code] = await once(thread, 'exit');
      console.log(JSON.stringify({ taskId, code, processedBy }));`;
    const { taskId, code, processedBy } = JSON.parse(
      await lines(source, { files: { 'thread.cjs': THREAD } }),
    );
    expect({ taskId, code }).toEqual({ taskId: 'first', code: 0 });
    await until(() => isGone(processedBy), `gone: ${processedBy}`);
  });

  test('[G14] a pool in a terminated thread is gone, while the pool of the main thread serves on', async () => {
    const source = `
      import { once } from 'node:events';
      import { existsSync } from 'node:fs';
      import { Worker } from 'node:worker_threads';
      const pool = new ProcessManager({ maxWorkers: 1 });
      const pids = [];
      async function round() {
        const thread = new Worker(new URL('./thread.cjs', import.meta.url), { workerData: 'terminated' });
        const [{ processedBy }] = await once(thread, 'message');
        pids.push(processedBy);
        await thread.terminate();
      }
      for (let i = 0; i < 3; i++) await Promise.all([pool.run({ data: i }), round(), round()]);
      // A zombie still has an entry in /proc: none may be left while this process lives.
      for (const pid of pids) while (existsSync('/proc/' + pid)) await new Promise((resolve) => setTimeout(resolve, 5));
      console.log(JSON.stringify({ main: await pool.run({ data: 'goes on' }), pids }));`;
    const { main, pids } = JSON.parse(await lines(source, { files: { 'thread.cjs': THREAD } }));
    expect(main).toBe('goes on');
    expect(new Set(pids).size).toBe(6);
  });
});

test("[G18, G19] 1 000 of the user's own child processes and as many workers, by turns: every exit is reported", async () => {
  // A worker that exits with the code that it is given, and starts quickly.
  const script = `while read -r frame <&3; do
    case $frame in
      *'"type":"init"'*) printf '{"type":"ready","version":1}\\n' >&3 ;;
      *'"type":"task"'*) code=\${frame#*'"code":'}; exit "\${code%%[!0-9]*}" ;;
      *'"type":"stop"'*) exit 0 ;;
    esac
  done`;
  const source = `
    import { spawn } from 'node:child_process';
    import { once } from 'node:events';
    const COUNT = 1000;
    const signals = [];
    process.on('SIGCHLD', () => signals.push(1));
    const worker = { command: 'sh', args: ['-c', ${JSON.stringify(script)}] };
    const restart = { limit: 2 * COUNT, minDelay: 1, maxDelay: 1 };
    const pool = new ProcessManager({ worker, maxWorkers: 4, prefetch: 1, restart });
    const exits = [];
    pool.on('exit', ({ code, reason }) => reason === 'crashed' && exits.push(code));
    const own = [];
    const failures = [];
    for (let i = 0; i < COUNT; i++) {
      const code = i % 256;
      own.push(once(spawn('sh', ['-c', 'exit ' + code]), 'exit').then(([code]) => code));
      failures.push(pool.run({ code }).then(() => 'no failure', ({ exitCode }) => exitCode));
      if (i % 8 === 7) await Promise.all([...own.slice(-8), ...failures.slice(-8)]);
    }
    const [codes, failed] = await Promise.all([Promise.all(own), Promise.all(failures)]);
    await pool.shutdown();
    console.log(JSON.stringify({ codes, failed, exits: exits.sort((a, b) => a - b), signalled: signals.length > 0 }));
    process.removeAllListeners('SIGCHLD');`;
  const expected = Array.from({ length: 1000 }, (_, index) => index % 256);
  expect(JSON.parse(await lines(source, { timeout: 110_000 }))).toEqual({
    codes: expected,
    failed: expected,
    exits: expected.toSorted((a, b) => a - b),
    signalled: true,
  });
}, 120_000);

describe('a process with a parent of its own', () => {
  const REPORT = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 1 });
    const names = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'NODE_UNIQUE_ID', 'OWN'];
    const inherited = await pool.exec((keys) => keys.filter((key) => key in process.env), [names]);
    await pool.shutdown();`;

  test('[G15] a forked child does not pass its channel on, and keeps using it', async () => {
    const source = `${REPORT}
      process.on('message', (message) => {
        process.send({ echo: message });
        process.disconnect();
      });
      process.send({ inherited });`;
    const folder = project({ 'child.mjs': source });
    const child = fork(join(folder, 'child.mjs'), {
      env: { ...process.env, OWN: '1' },
      execArgv: [],
    });
    const messages = [];
    child.on('message', (message) => {
      messages.push(message);
      if ('inherited' in message) child.send('hello');
    });
    const code = await new Promise((resolve) => child.on('exit', resolve));
    expect(code).toBe(0);
    expect(messages).toEqual([{ inherited: ['OWN'] }, { echo: 'hello' }]);
  });

  test('[G15] a worker of a cluster does not pass its channel on', async () => {
    const source = `
      import cluster from 'node:cluster';
      if (cluster.isPrimary) {
        const child = cluster.fork({ OWN: '1' });
        child.on('message', ({ inherited, type }) => console.log(JSON.stringify({ inherited, type })));
        child.on('exit', (code) => console.log('exit', code));
      } else {
        const { default: ProcessManager } = await import('bulkhead');
        ${REPORT.replace(/import .*\n/, '')}
        process.send({ inherited, type: cluster.isWorker ? 'worker' : 'primary' });
        process.disconnect();
      }`;
    const { code, stdout, stderr } = await program(source);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toBe('{"inherited":["OWN"],"type":"worker"}\nexit 0\n');
  });
});
