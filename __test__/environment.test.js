// The surroundings of the process: what it was started with, what other code in it does, namespaces
// and limits of the machine. Workers start clean in all of them.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fixture, moduleFile, pool, program, project, record, until } from './support/harness.js';
import { outputOf } from './support/output.mjs';

const isLinux = process.platform === 'linux';
const isRoot = process.getuid?.() === 0;
const crash = JSON.stringify(fixture('crash.mjs'));

/**
 * Runs a program behind other commands (`unshare`, a shell that sets things up), which end by
 * executing what they are given.
 *
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string }>}
 */
function runBehind(wrapper, source, { files = {}, nodeArgs = [], env, cwd } = {}) {
  const folder = project({ 'main.mjs': source, ...files });
  const [command, ...args] = [...wrapper, process.execPath, ...nodeArgs, join(folder, 'main.mjs')];
  const options = {
    cwd: cwd ?? folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  };
  const child = spawn(command, args, options);
  onTestFinished(() => child.kill('SIGKILL'));
  return outputOf(child).closed;
}

/** The output of a program that ends well, as JSON. */
function printed({ code, signal, stdout, stderr }) {
  expect({ code, signal, stderr, stdout }).toEqual({
    code: 0,
    signal: null,
    stderr: '',
    stdout: expect.anything(),
  });
  return JSON.parse(stdout);
}

/** A wrapper: a shell that runs `script`, and then the program in its own place. */
const shell = (script) => ['bash', '-c', `${script}; exec "$@"`, 'bash'];

/** Returns whether this system lets us do that. In CI it has to. */
function can(command, ...args) {
  if (!isLinux || !isRoot) return false;
  if (spawnSync(command, args, { stdio: 'ignore' }).status === 0) return true;
  if (process.env.CI) throw new Error(`${command} ${args.join(' ')} does not work here`);
  return false;
}

/** A group of a version 1 controller, in which a program is run; removed after the test. */
function controlGroup(controller, limits) {
  const group = `/sys/fs/cgroup/${controller}/bulkhead-test-${process.pid}`;
  mkdirSync(group);
  onTestFinished(async () => {
    const members = () =>
      readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    // Nothing may go on in the group, whatever the test found; processes that multiply cannot be
    // outrun.
    if (controller === 'pids') writeFileSync(join(group, 'pids.max'), '0');
    const kill = (pid) => {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // The group is gone.
      }
    };
    const isEmpty = () => {
      for (const pid of members()) kill(pid);
      return members().length === 0;
    };
    await until(isEmpty, `no process left in ${group}`);
    rmdirSync(group);
  });
  for (const [name, value] of Object.entries(limits)) writeFileSync(join(group, name), value);
  return { group, enter: shell(`echo $$ > ${group}/cgroup.procs`) };
}

/** Serves, loses a worker, replaces it and ends: every environment has to allow that. */
const LIFE = `
  import ProcessManager from 'bulkhead';
  const pool = new ProcessManager({ worker: ${crash}, minWorkers: 2, maxWorkers: 2, restart: { minDelay: 1, maxDelay: 1 } });
  const exits = [];
  pool.on('exit', ({ code, signal, reason }) => exits.push([code, signal, reason]));
  await pool.startWorkers();
  const crashed = await pool.run({ type: 'during', data: 'SIGKILL' }).catch((error) => [error.code, error.signal]);
  const timeout = await pool.run({ type: 'hang' }, { timeout: 100 }).catch(({ code }) => code);
  const results = await Promise.all(Array.from({ length: 50 }, (_, data) => pool.run({ type: 'echo', data })));
  await pool.shutdown();
  console.log(JSON.stringify({ crashed, timeout, results: results.length, exits }));`;

function expectLife(outcome) {
  const { exits, ...rest } = printed(outcome);
  expect(rest).toEqual({
    crashed: ['ERR_WORKER_CRASHED', 'SIGKILL'],
    timeout: 'ERR_TASK_TIMEOUT',
    results: 50,
  });
  expect(exits[0]).toEqual([null, 'SIGKILL', 'crashed']);
  expect(exits.at(-1)[2]).toBe('shutdown');
}

describe('what a worker inherits', () => {
  test('[A16, A17] a worker inherits no descriptor and no ignored or blocked signal, however its parent was started', async () => {
    const worker = `
      import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
      export default () => ({
        leaks: readdirSync('/proc/self/fd').filter((fd) => {
          try {
            return readlinkSync('/proc/self/fd/' + fd).endsWith('/secret');
          } catch {
            return false;
          }
        }),
        stdin: readlinkSync('/proc/self/fd/0'),
        masks: Object.fromEntries(
          [...readFileSync('/proc/self/status', 'utf8').matchAll(/^(Sig(?:Blk|Ign)):\\s*(\\w+)/gm)].map(([, name, mask]) => [
            name,
            [1, 2, 10, 12, 15, 17, 20].filter((signal) => (BigInt('0x' + mask) >> BigInt(signal - 1)) & 1n),
          ]),
        ),
      });`;
    const source = `
      import ProcessManager from 'bulkhead';
      import { readlinkSync } from 'node:fs';
      const ours = [9, 20, 500].filter((fd) => readlinkSync('/proc/self/fd/' + fd).endsWith('/secret'));
      const pool = new ProcessManager({ worker: new URL('worker.mjs', import.meta.url), maxWorkers: 1 });
      console.log(JSON.stringify({ ours, ...(await pool.run({})) }));
      await pool.shutdown();`;
    const files = { 'worker.mjs': worker, secret: 'text' };
    const folder = project(files);
    const wrapper = shell(
      `cd ${folder}; exec 9<secret 20<secret 500<secret; trap '' HUP INT TERM USR1 USR2 CHLD`,
    );
    expect(printed(await runBehind(wrapper, source, { files }))).toEqual({
      ours: [9, 20, 500],
      leaks: [],
      stdin: '/dev/null',
      masks: { SigBlk: [], SigIgn: [] },
    });
  });

  test('[H8, W13] with env, a worker has exactly that environment', async () => {
    const env = { ONLY: 'this = that', EMPTY: '', ÜML: 'äöü' };
    const manager = pool({ env, maxWorkers: 1 });
    expect(await manager.exec(() => ({ ...process.env }))).toEqual(env);
    const printer = pool({
      worker: { command: '/usr/bin/env' },
      env,
      stdio: 'pipe',
      maxWorkers: 1,
      restart: { limit: 0 },
    });
    const log = record(printer, ['stdout', 'error']);
    await printer.run({}).catch(() => {});
    const text = log.map(([, chunk]) => (Buffer.isBuffer(chunk) ? chunk.toString() : '')).join('');
    expect(text.trim().split('\n').sort()).toEqual(['EMPTY=', 'ONLY=this = that', 'ÜML=äöü']);
  });

  test('[H8] without env, a worker has the environment of this process, and nothing more', async () => {
    const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ maxWorkers: 1 });
      const theirs = await pool.exec(() => ({ ...process.env }));
      await pool.shutdown();
      const { SECRET, ...env } = process.env;
      const careful = new ProcessManager({ maxWorkers: 1, env });
      const without = await careful.exec(() => 'SECRET' in process.env);
      await careful.shutdown();
      console.log(JSON.stringify({ theirs, without, ours: process.env }));`;
    const { stdout } = await program(source, { env: { SECRET: 'sesame' } });
    const { theirs, ours, without } = JSON.parse(stdout);
    expect(theirs).toEqual(ours);
    expect(theirs.SECRET).toBe('sesame');
    expect(without).toBe(false);
  });

  test('[H9] a worker inherits NODE_OPTIONS except the debugger, whose port this process has', async () => {
    const source = `
      import { url } from 'node:inspector';
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ maxWorkers: 2, minWorkers: 2 });
      await pool.startWorkers();
      const [one, two] = await Promise.all([1, 2].map(() => pool.exec(() => ({
        inspected: process.getBuiltinModule?.('node:inspector')?.url() ?? null,
        hook: globalThis.hook,
        options: process.env.NODE_OPTIONS,
      }))));
      await pool.shutdown();
      console.log(JSON.stringify({ inspected: url() !== undefined, one, two }));
      process.exit(0);`;
    const folder = project({ 'hook.cjs': 'globalThis.hook = "loaded";' });
    const hook = `--require=${join(folder, 'hook.cjs')}`;
    const { code, stdout } = await program(source, {
      env: { NODE_OPTIONS: `--inspect=127.0.0.1:0 ${hook}` },
    });
    const theirs = { inspected: null, hook: 'loaded', options: hook };
    expect({ code, told: JSON.parse(stdout) }).toEqual({
      code: 0,
      told: { inspected: true, one: theirs, two: theirs },
    });
  });

  test('[G20] a worker inherits the restrictions of the permission model', async () => {
    const worker = `
      import { writeFileSync } from 'node:fs';
      export default (file) => {
        try {
          writeFileSync(file, 'text');
          return 'written';
        } catch ({ code }) {
          return [code, process.permission.has('fs.write'), process.permission.has('child')];
        }
      };`;
    const source = `
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: new URL('worker.mjs', import.meta.url), maxWorkers: 1 });
      console.log(JSON.stringify(await pool.run(process.cwd() + '/file')));
      await pool.shutdown();`;
    const flag = process.allowedNodeEnvironmentFlags.has('--permission')
      ? '--permission'
      : '--experimental-permission';
    const nodeArgs = [
      flag,
      '--allow-fs-read=*',
      '--allow-addons',
      '--allow-child-process',
      '--no-warnings',
    ];
    const { stdout, code } = await program(source, { nodeArgs, files: { 'worker.mjs': worker } });
    expect({ code, stdout }).toEqual({ code: 0, stdout: '["ERR_ACCESS_DENIED",false,true]\n' });
  });
});

describe.skipIf(!isLinux)('other code in this process', () => {
  /** A library that acts when it is loaded, and is no addon. */
  function library(source) {
    const folder = project({ 'library.c': source });
    const path = join(folder, 'library.so');
    execFileSync('cc', [
      '-shared',
      '-fPIC',
      '-o',
      path,
      join(folder, 'library.c'),
      '-lpthread',
      '-Wl,-z,nodelete',
    ]);
    return `try { process.dlopen({ exports: {} }, ${JSON.stringify(path)}); } catch {}`;
  }

  const SETTLES = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: ${crash}, minWorkers: 2, maxWorkers: 2, restart: { minDelay: 1, maxDelay: 1 } });
    const exits = [];
    pool.on('exit', ({ code, signal, reason }) => exits.push([code, signal, reason]));
    await pool.startWorkers();
    LOAD
    const outcomes = [];
    for (const data of ['exit(1)', 'SIGKILL', 'exit(0)']) {
      outcomes.push(await pool.run({ type: 'during', data }).catch(({ code, exitCode, signal }) => [code, exitCode, signal]));
    }
    const result = await pool.run({ type: 'echo', data: 'alive' });
    await pool.shutdown();
    console.log(JSON.stringify({ outcomes, result, crashes: exits.filter(([, , reason]) => reason === 'crashed') }));
    process.exit(0);`;

  test.each([
    [
      'has SIGCHLD ignored, so that the kernel reaps',
      `#include <signal.h>
      __attribute__((constructor)) static void load(void) { signal(SIGCHLD, SIG_IGN); }`,
    ],
    [
      'reaps every child by waitpid(-1)',
      `#include <pthread.h>
      #include <sys/wait.h>
      #include <unistd.h>
      static void *reap(void *nothing) { for (;;) if (waitpid(-1, 0, 0) < 0) usleep(1000); return nothing; }
      __attribute__((constructor)) static void load(void) { pthread_t thread; pthread_create(&thread, 0, reap, 0); }`,
    ],
  ])(
    '[G19] code in the process that %s may lose how a worker ended, never that it did',
    async (_, source) => {
      const { stdout, stderr, code } = await program(SETTLES.replace('LOAD', library(source)));
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const { outcomes, result, crashes } = JSON.parse(stdout);
      const known = [
        [1, null],
        [null, 'SIGKILL'],
        [0, null],
      ];
      for (const [index, [name, exitCode, signal]] of outcomes.entries()) {
        expect(name).toBe('ERR_WORKER_CRASHED');
        // The exit is known where we were quicker.
        expect([known[index], [null, null]]).toContainEqual([exitCode, signal]);
      }
      expect(result).toBe('alive');
      expect(crashes).toHaveLength(3);
    },
  );

  test.skipIf(!can('cc', '--version'))(
    '[G19, XC7] code in the process that forks it and leaves the copy by exit() does not harm the workers',
    async () => {
      // Any library will do: one that is no addon is refused once its constructor has run.
      const library = `
      #include <stdlib.h>
      #include <sys/wait.h>
      #include <unistd.h>
      __attribute__((constructor)) static void split(void) {
        pid_t child = fork();
        if (child == 0) exit(0);
        // How the copy ended does not matter: Node.js has threads that are not in the copy, and may
        // miss them while it exits.
        int status;
        if (waitpid(child, &status, 0) != child) abort();
      }`;
      const folder = project({ 'forks.c': library });
      const [from, to] = [join(folder, 'forks.c'), join(folder, 'forks.node')];
      execFileSync('cc', ['-shared', '-fPIC', '-o', to, from]);
      const outcome = await program(`
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: ${crash}, minWorkers: 2, maxWorkers: 2 });
      let exits = 0;
      pool.on('exit', () => exits++);
      await pool.startWorkers();
      const pids = pool.workers.map(({ pid }) => pid);
      let refused = '';
      try {
        process.dlopen({ exports: {} }, ${JSON.stringify(to)});
      } catch ({ code }) {
        refused = code;
      }
      const echoed = await Promise.all([1, 2, 3].map((data) => pool.run({ type: 'echo', data })));
      const same = pool.workers.every(({ pid }, index) => pid === pids[index]);
      console.log(JSON.stringify({ refused, echoed, same, exits }));
      await pool.shutdown();`);
      expect(printed(outcome)).toEqual({
        refused: 'ERR_DLOPEN_FAILED',
        echoed: [1, 2, 3],
        same: true,
        exits: 0,
      });
    },
  );

  test('[G12] code in the process that crashes it by a segmentation fault leaves no worker', async () => {
    const load = library(
      '__attribute__((constructor)) static void load(void) { *(volatile int *)0 = 1; }',
    );
    const source = `
      import ProcessManager from 'bulkhead';
      const worker = ${JSON.stringify(fixture('stuck.mjs'))};
      const pool = new ProcessManager({ worker, minWorkers: 2, maxWorkers: 2 });
      pool.on('message', () => {
        console.log(JSON.stringify(pool.workers.map(({ pid }) => pid)));
        ${load}
      });
      await pool.startWorkers();
      pool.run({ type: 'loop' });`;
    const { code, signal, stdout } = await program(source);
    expect({ code, signal }).toEqual({ code: null, signal: 'SIGSEGV' });
    for (const pid of JSON.parse(stdout))
      await until(() => !existsSync(`/proc/${pid}`), `${pid} gone`);
  });
});

describe('the default size of a pool', () => {
  const SIZE = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager();
    await pool.startWorkers();
    console.log(pool.workers.length);
    await pool.shutdown();`;

  test.skipIf(!isLinux)('[H2, T20] the default size of a pool is one on one core', async () => {
    expect(printed(await runBehind(['taskset', '-c', '0'], SIZE))).toBe(1);
  });

  test.skipIf(!isRoot || !existsSync('/sys/fs/cgroup/cpu/cpu.cfs_quota_us'))(
    '[H2, T20] the default size of a pool is one on a quarter of a core',
    async () => {
      const { enter } = controlGroup('cpu', {
        'cpu.cfs_period_us': '100000',
        'cpu.cfs_quota_us': '25000',
      });
      expect(printed(await runBehind(enter, SIZE))).toBe(1);
    },
  );
});

describe.skipIf(!can('unshare', '-p', '-f', '--mount-proc', 'true'))('containers', () => {
  test('[H5] a pool in process number 1 leaves processes alone that it adopts', async () => {
    const source = `
      import { readdirSync, readFileSync } from 'node:fs';
      import { spawn } from 'node:child_process';
      ${LIFE.replace('console.log', 'const told = ')}
      // An orphan in a session of its own comes to us.
      const parent = spawn('sh', ['-c', 'setsid sleep 1000 >/dev/null & echo $!'], { stdio: ['ignore', 'pipe', 'inherit'] });
      const orphan = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
      await new Promise((resolve) => parent.on('close', resolve));
      const second = new ProcessManager({ maxWorkers: 1 });
      await second.run({ data: 1 });
      await second.shutdown();
      const stat = readFileSync('/proc/' + orphan + '/stat', 'utf8').split(' ');
      console.log(JSON.stringify({ pid: process.pid, orphan: [stat[2], stat[3]], told: JSON.parse(told) }));`;
    const outcome = await runBehind(
      ['unshare', '-p', '-f', '--kill-child', '--mount-proc'],
      source,
    );
    const { pid, orphan, told } = printed(outcome);
    expect({ pid, orphan }).toEqual({ pid: 1, orphan: ['S', '1'] });
    expectLife({ ...outcome, stdout: JSON.stringify(told) });
  });

  test('[H3] a signal never goes to a stranger that was given the pid of a dead worker', async () => {
    const source = `
      import { spawn } from 'node:child_process';
      import { once } from 'node:events';
      import { readFileSync, writeFileSync } from 'node:fs';
      import ProcessManager from 'bulkhead';
      const pool = new ProcessManager({ worker: ${crash}, minWorkers: 1, maxWorkers: 1, restart: { minDelay: 1, maxDelay: 1 } });
      await pool.startWorkers();
      const [{ pid }] = pool.workers;
      const exit = once(pool, 'exit');
      pool.run({ type: 'during', data: 'SIGKILL' }).catch(() => {});
      await exit;
      await pool.run({ type: 'echo' });
      // The stranger leads its own group, as a worker does.
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
      const stranger = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
      const ended = once(stranger, 'exit');
      await pool.run({ type: 'hang' }, { timeout: 50 }).catch(() => {});
      await pool.terminate();
      const state = readFileSync('/proc/' + stranger.pid + '/stat', 'utf8').split(' ')[2];
      console.log(JSON.stringify({ same: stranger.pid === pid, state }));
      stranger.kill('SIGKILL');
      await ended;`;
    const outcome = await runBehind(
      ['unshare', '-p', '-f', '--kill-child', '--mount-proc'],
      source,
    );
    expect(printed(outcome)).toEqual({ same: true, state: 'S' });
  });

  test('[H6, XA15] where /proc is that of another PID namespace, rss is null and no memory limit acts on a stranger', async () => {
    const source = `
      import { once } from 'node:events';
      import ProcessManager from 'bulkhead';
      const codes = [];
      process.on('warning', ({ code }) => codes.push(code));
      const pool = new ProcessManager({ worker: ${crash}, minWorkers: 2, maxWorkers: 2, maxMemory: 1 << 20 });
      let exits = 0;
      pool.on('exit', () => exits++);
      await pool.startWorkers();
      const echoed = await Promise.all([1, 2, 3].map((data) => pool.run({ type: 'echo', data })));
      const sizes = pool.workers.map(({ rss }) => rss);
      console.log(JSON.stringify({ pid: process.pid, echoed, sizes, exits, codes }));
      await pool.shutdown();`;
    const outcome = await runBehind(['unshare', '-p', '-f', '--kill-child'], source, {
      nodeArgs: ['--no-warnings'],
    });
    const codes = ['BULKHEAD_NO_MEMORY_LIMITS'];
    expect(printed(outcome)).toEqual({
      pid: 1,
      echoed: [1, 2, 3],
      sizes: [null, null],
      exits: 0,
      codes,
    });
  });

  test.each([
    ['/proc is hidden', 'mount -t tmpfs none /proc'],
    ['there is no /dev/shm', 'mount -t tmpfs -o ro,size=4k none /dev/shm'],
    ['the file system may not be written to', 'mount --bind / / && mount -o remount,bind,ro /'],
  ])('[H6] a pool works where %s', async (_, setUp) => {
    expectLife(await runBehind(['unshare', '-m', ...shell(`set -e; ${setUp}`)], LIFE));
  });
});

describe.skipIf(!isRoot || !existsSync('/sys/fs/cgroup/pids/cgroup.procs'))(
  'a worker that forks without end',
  () => {
    test.each([
      ['dies', 'process.kill(pool.workers[0].pid, "SIGKILL");'],
      ['is terminated', 'pool.terminate();'],
      ['is stopped for its task’s sake', 'controller.abort();'],
    ])('[D10] a fork bomb ends with its worker when it %s', async (_, end) => {
      // The fork bomb is safe: the group holds 200 processes and threads, and is emptied in any
      // case.
      const { group, enter } = controlGroup('pids', { 'pids.max': '200' });
      const worker = moduleFile(`
      import { spawn } from 'node:child_process';
      export default () => new Promise(() => {
        spawn('sh', ['-c', 'bomb() { bomb 2>/dev/null & bomb 2>/dev/null & wait; }; bomb'], { stdio: 'ignore' });
        setInterval(() => {}, 1000);
      });`);
      const source = `
      import { readFileSync } from 'node:fs';
      import ProcessManager from 'bulkhead';
      const members = () => readFileSync('${group}/cgroup.procs', 'utf8').trim().split('\\n').length;
      const until = async (condition) => {
        while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
      };
      const pool = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1, gracePeriod: 100 });
      const controller = new AbortController();
      const running = pool.run({}, { signal: controller.signal }).catch(({ code }) => code);
      await until(() => members() > 30);
      ${end}
      await running;
      // This process, and a new worker.
      await until(() => members() <= 2);
      await pool.terminate();
      await until(() => members() === 1);
      console.log(JSON.stringify('gone'));`;
      expect(printed(await runBehind(enter, source))).toBe('gone');
    });
  },
);
