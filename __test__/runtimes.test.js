// Pools in Bun and in Deno, with workers that run on them, and pools whose workers run on another
// runtime.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  failure,
  isGone,
  moduleFile,
  pool,
  program,
  project,
  root,
  startProgram,
  until,
} from './support/harness.js';

const { arch, platform } = process;
const cpu = arch.replace('arm64', 'aarch64');
/**
 * The path under which `npm run test:runtimes` installs them: without install scripts nothing is
 * moved to its final place.
 */
const candidates = {
  Bun: ['', '-musl'].map((libc) => `@oven/bun-${platform}-${cpu}${libc}/bin/bun`),
  'Bun 1.3': [`@oven-1.3/bun-${platform}-${cpu}/bin/bun`],
  Deno: ['-glibc', ''].map((libc) => `@deno/${platform}-${arch}${libc}/deno`),
};

const runtimes = Object.entries(candidates).map(([title, paths]) => {
  const [name] = title.split(' ');
  const installed = paths.map((path) => join(root, '__test__', 'runtimes', 'node_modules', path));
  const command = installed.find(existsSync);
  const works = command !== undefined && spawnSync(command, ['--version']).status === 0;
  const nodeArgs = name === 'Deno' ? ['run', '--allow-all'] : [];
  return { title, name, command, works, nodeArgs };
});

const worker = `
  export const handlers = {
    echo: (task) => task.data,
    pid: () => process.pid,
    runtime: () => process.versions.bun ? 'Bun' : process.versions.deno ? 'Deno' : 'Node.js',
    throw: () => { throw Object.assign(new RangeError('on purpose'), { code: 'E_PURPOSE' }); },
    kill: () => process.kill(process.pid, 'SIGKILL'),
    exit: () => process.exit(7),
    uncaught: () => { setTimeout(() => { throw new Error('thrown without a catch'); }); return new Promise(() => {}); },
    loop: () => { for (;;); },
    count: async function* ({ data }) { for (let i = 0; i < data; i++) yield i; },
    abort: (_, { signal }) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    send: (_, ctx) => { process.send('by process'); ctx.send('by context'); ctx.progress(0.5); },
  };
  export const teardown = () => process.send('teardown');
`;
const fork = `
  process.on('message', (task) => process.send({ taskId: task.id, result: task.data + 1, processedBy: process.pid }));
`;
const typescript = `export default function work(task: { data: number }): number { return task.data * 2; }`;

const files = {
  'package.json': '{}',
  'worker.mjs': worker,
  'fork.mjs': fork,
  'worker.ts': typescript,
};

/** A program that does most of what a pool does, and prints the outcomes. */
const behaviour = (options) => `
  import ProcessManager from 'bulkhead';
  const url = (name) => new URL(name, import.meta.url);
  const options = ${options};
  const pool = new ProcessManager({ worker: url('./worker.mjs'), maxWorkers: 2, stdio: 'ignore', ...options });
  const seen = {};
  const messages = [];
  pool.on('message', (message) => { if (typeof message === 'string') messages.push(message); });
  pool.on('error', () => {});
  const about = ({ name, code, message, exitCode, signal, stderr }) =>
    ({ name, code, message: message.replace(/\\d+/g, '#'), exitCode, signal, stderr: stderr?.includes('thrown without a catch') });
  const failure = (type, options) => pool.run({ type }, options).then((value) => ({ value }), about);

  await pool.startWorkers();
  seen.runtime = await pool.run({ type: 'runtime' });
  seen.values = await pool.run({ type: 'echo', data: [1, 'two', { three: null }] });
  const bytes = new Uint8Array(300_000).fill(7);
  seen.bytes = Buffer.compare(bytes, await pool.run({ type: 'echo', data: bytes }));
  const text = 'ä'.repeat(100_000);
  seen.text = text === await pool.run({ type: 'echo', data: text });
  const many = await Promise.all(Array.from({ length: 2_000 }, (_, i) => pool.run({ type: 'echo', data: i })));
  seen.many = many.every((value, i) => value === i);
  const result = new Promise((resolve) => pool.once('result', resolve));
  pool.distributeTask({ id: 'a', type: 'echo', data: 1 });
  seen.result = (({ taskId, result }) => ({ taskId, result }))(await result);
  for (const type of ['throw', 'kill', 'exit', 'uncaught']) seen[type] = await failure(type);
  seen.loop = await failure('loop', { timeout: 100 });
  seen.abort = await failure('abort', { timeout: 100 });
  const aborting = new AbortController();
  const aborted = failure('abort', { signal: aborting.signal });
  aborting.abort();
  seen.aborted = (await aborted).name;
  const progress = new Promise((resolve) => pool.once('progress', resolve));
  await pool.run({ type: 'send' });
  seen.progress = await progress;
  seen.stream = [];
  for await (const value of pool.stream({ type: 'count', data: 3 })) seen.stream.push(value);
  const ends = [];
  pool.on('exit', ({ reason }) => ends.push(reason));
  await pool.shutdown();
  seen.ends = ends;
  seen.messages = [...new Set(messages)].sort();

  const script = new ProcessManager({ worker: url('./fork.mjs'), maxWorkers: 1, ...options });
  seen.fork = await script.run({ data: 1 });
  await script.shutdown();
  if (${options === '{}'}) {
    const typed = new ProcessManager({ worker: url('./worker.ts'), maxWorkers: 1, ...options });
    seen.typescript = await typed.run({ data: 4 });
    await typed.terminate();
    const advanced = new ProcessManager({ worker: url('./worker.mjs'), maxWorkers: 1, serialization: 'advanced', ...options });
    const map = await advanced.run({ type: 'echo', data: new Map([['key', new Set([1n, new Date(0)])]]) });
    seen.advanced = map instanceof Map && [...map.get('key')].map(String);
    await advanced.shutdown();
  }
  // The pool is left alone, idle.
  const builtin = new ProcessManager({ maxWorkers: 1, ...options });
  seen.exec = await builtin.exec((a, b) => a + b, [1, 2]);
  seen.pid = await builtin.exec(() => process.pid);
  console.log(JSON.stringify(seen));
`;

const crash = (how) => ({
  name: 'WorkerCrashedError',
  code: 'ERR_WORKER_CRASHED',
  message: expect.any(String),
  ...how,
});
const expected = (runtime) => ({
  runtime,
  values: [1, 'two', { three: null }],
  bytes: 0,
  text: true,
  many: true,
  result: { taskId: 'a', result: 1 },
  throw: { name: 'RangeError', code: 'E_PURPOSE', message: 'on purpose' },
  kill: crash({ exitCode: null, signal: 'SIGKILL', stderr: false }),
  exit: crash({ exitCode: 7, signal: null, stderr: false }),
  uncaught: crash({ exitCode: 1, signal: null, stderr: true }),
  loop: { name: 'TaskTimeoutError', code: 'ERR_TASK_TIMEOUT', message: expect.any(String) },
  abort: { name: 'TaskTimeoutError', code: 'ERR_TASK_TIMEOUT', message: expect.any(String) },
  aborted: 'AbortError',
  progress: 0.5,
  stream: [0, 1, 2],
  ends: ['shutdown', 'shutdown'],
  messages: ['by context', 'by process', 'teardown'],
  fork: 2,
  exec: 3,
  pid: expect.any(Number),
});

async function expectBehaviour(options, how, runtime, more = {}) {
  const { code, signal, stdout, stderr } = await program(behaviour(options), {
    files,
    timeout: 100_000,
    ...how,
  });
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const seen = JSON.parse(stdout);
  expect(seen).toEqual({ ...expected(runtime), ...more });
  await until(() => isGone(seen.pid), 'the worker is gone');
}

for (const { title, name, command, works, nodeArgs } of runtimes) {
  const how = { command, nodeArgs };
  const worksOn = JSON.stringify({ execPath: command, execArgv: nodeArgs });
  // Where everything else is required, these are, too.
  const suite = works || process.env.CI ? describe : describe.skip;

  suite(title, { timeout: 120_000 }, () => {
    test('[G17, R6] a pool in another runtime has workers that run on it, and works as in Node.js', async () => {
      await expectBehaviour('{}', how, name, {
        typescript: 8,
        advanced: ['1', String(new Date(0))],
      });
    });

    test('a pool in another runtime may have workers on Node.js', async () => {
      await expectBehaviour(JSON.stringify({ execPath: process.execPath }), how, 'Node.js');
    });

    test('[G17] a pool in Node.js may have workers on another runtime', async () => {
      await expectBehaviour(worksOn, {}, name);
    });

    test('[XA10] a worker on another runtime answers tasks that travel unchanged, without fields of the pool around them', async () => {
      const manager = pool({ worker: moduleFile(worker), maxWorkers: 1, ...JSON.parse(worksOn) });
      const results = [];
      const all = new Promise((resolve) =>
        manager.on('result', (result) => results.push(result) === 100 && resolve()),
      );
      for (let id = 0; id < 100; id++) manager.distributeTask({ id, type: 'echo', data: -id });
      await all;
      expect(results.map(({ taskId, result }) => taskId + result)).toEqual(Array(100).fill(0));
    });

    test('[G17] no worker outlives another runtime, whatever either is doing', async () => {
      const source = `
        import ProcessManager from 'bulkhead';
        const pool = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), minWorkers: 2, maxWorkers: 2 });
        await pool.startWorkers();
        console.log('pids ' + JSON.stringify(pool.workers.map(({ pid }) => pid)));
        pool.run({ type: 'loop' });`;
      const { child, exit, line } = startProgram(source, { files, ...how });
      const pids = JSON.parse((await line(/^pids /)).slice(5));
      child.kill('SIGKILL');
      await exit;
      await until(() => pids.every(isGone), 'the workers are gone');
    });

    test('a worker on another runtime refuses captureStack, in one sentence', async () => {
      const manager = pool({ captureStack: true, stdio: 'ignore', ...JSON.parse(worksOn) });
      manager.on('error', () => {});
      const { code, cause } = await failure(manager.startWorkers());
      expect(code).toBe('ERR_POOL_BROKEN');
      expect(cause.cause).toMatchObject({
        code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
        message: `captureStack is not supported for workers that run on ${name}: use Node.js`,
      });
    });

    test('[G17] serialization "advanced" between runtimes works on one engine, and is refused in one sentence on two', async () => {
      const manager = pool({
        worker: moduleFile(worker),
        maxWorkers: 1,
        serialization: 'advanced',
        ...JSON.parse(worksOn),
      });
      manager.on('error', () => {});
      const outcome = manager.run({ type: 'echo', data: new Map([[1, 2n]]) });
      if (name === 'Deno') {
        expect(await outcome).toEqual(new Map([[1, 2n]]));
        const views = { small: Buffer.from('ab'), large: new Float64Array(5_000).fill(1.5) };
        expect(await manager.run({ type: 'echo', data: views })).toEqual(views);
        return;
      }
      const { cause } = await failure(outcome);
      expect(cause.cause).toMatchObject({
        code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
        message:
          'serialization "advanced" is not supported between two engines: the worker runs on JavaScriptCore, the pool on V8',
      });
    });
  });
}

const [bun, , deno] = runtimes;

describe.skipIf(!deno.works && !process.env.CI)('permissions of Deno', () => {
  const needed = ['--allow-read', '--allow-env', '--allow-ffi', '--allow-sys'];

  test('[G17] a pool in Deno without the permission to run programs throws', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      try { new ProcessManager(); } catch ({ code, message }) { console.log(code, message); }`;
    const nodeArgs = ['run', '--no-prompt', ...needed];
    const { code, stdout } = await program(source, { files, command: deno.command, nodeArgs });
    expect(code).toBe(0);
    expect(stdout).toBe(
      'ERR_ACCESS_DENIED Access to this API has been restricted. Use --allow-run to let bulkhead start its workers.\n',
    );
  });

  test('a worker in Deno has the permissions of its parent', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const states = () =>
        ['env', 'ffi', 'net', 'read', 'run', 'sys', 'write'].filter((name) => Deno.permissions.querySync({ name }).state === 'granted');
      const pool = new ProcessManager({ maxWorkers: 1 });
      console.log(JSON.stringify([states(), await pool.exec(states)]));
      await pool.shutdown();`;
    const nodeArgs = ['run', '--no-prompt', '--allow-run', ...needed];
    const { code, stdout, stderr } = await program(source, {
      files,
      command: deno.command,
      nodeArgs,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const permissions = ['env', 'ffi', 'read', 'run', 'sys'];
    expect(JSON.parse(stdout)).toEqual([permissions, permissions]);
  });
});

describe('single executables', () => {
  const refusal =
    'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM This program is a single executable, which cannot run workers: set the option ' +
    '"execPath" of the pool to a Node.js, Bun or Deno for its workers.\n';
  const source = `
    try { new ProcessManager(); } catch ({ code, message }) { console.log(code, message); }
    const pool = new ProcessManager({ execPath: ${JSON.stringify(process.execPath)}, maxWorkers: 1 });
    console.log(await pool.exec(() => 'started'));
    await pool.shutdown();`;

  test('a single executable of Node.js can have a pool', async () => {
    const pretence = `
      const { getBuiltinModule } = process;
      process.getBuiltinModule = (id) => (id === 'node:sea' ? { isSea: () => true } : getBuiltinModule(id));
      const { default: ProcessManager } = await import('bulkhead');`;
    const { stdout } = await program(pretence + source);
    expect(stdout).toBe(`${refusal}started\n`);
  });

  test.skipIf(!bun.works && !process.env.CI)(
    '[G17] a single executable of Bun can have a pool',
    async () => {
      const load = `
      const { createRequire } = await import('node:module');
      const ProcessManager = createRequire(process.cwd() + '/main.js')('bulkhead');`;
      const folder = project({ 'app.mjs': load + source });
      const compiled = spawnSync(
        bun.command,
        ['build', '--compile', 'app.mjs', '--outfile', 'app'],
        {
          cwd: folder,
        },
      );
      expect(compiled.status, String(compiled.stderr)).toBe(0);
      const { stdout, stderr } = spawnSync(join(folder, 'app'), { cwd: folder, encoding: 'utf8' });
      expect({ stdout, stderr }).toEqual({ stdout: `${refusal}started\n`, stderr: '' });
    },
  );
});
