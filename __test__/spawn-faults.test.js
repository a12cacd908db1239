// Every system call between the decision to start a worker and its reaping fails in turn. Each time
// there is a clear error, or the worker does without; and nothing is left behind.

import { readdirSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import ProcessManager, { PoolBrokenError, WorkerStartError } from '../index.mjs';
import {
  childrenOf,
  fixture,
  isGone,
  PROC,
  pool,
  record,
  startProgram,
  until,
} from './support/harness.js';
import { attach, failing, injections, supervisorOf, untraceable } from './support/strace.js';

/** A worker that starts quickly: most tests here start several. */
const shell = {
  command: 'sh',
  args: [
    '-c',
    `while read -r frame <&3; do
      case $frame in
        *'"type":"init"'*) printf '{"type":"ready","version":1}\\n' >&3 ;;
        *'"type":"task"'*)
          id=\${frame#*'"id":'}
          printf '{"type":"result","id":%s,"result":1}\\n' "\${id%%,*}" >&3 ;;
        *'"type":"stop"'*) exit 0 ;;
      esac
    done`,
  ],
};

/** One failed start is enough. */
const strict = { limit: 0, minDelay: 1, maxDelay: 1 };
const patient = { limit: 5, minDelay: 1, maxDelay: 1 };

const SHORTAGES = ['EAGAIN', 'ENOMEM', 'EMFILE', 'ENFILE', 'ENOBUFS', 'ENOSPC'];

/**
 * Calls without which there is no worker: name, which call of that name, the errors that it can
 * give, and the name under which they are reported.
 */
const NEEDED = [
  ['socketpair', 1, ['EMFILE', 'ENFILE', 'ENOMEM', 'EPERM']],
  ['ioctl', 1, ['EPERM']],
  ['pipe2', 1, ['EMFILE', 'ENFILE', 'EPERM'], 'pipe'],
  ['ioctl', 2, ['EPERM']],
  ['pipe2', 2, ['EMFILE', 'ENFILE'], 'pipe'],
  ['ioctl', 3, ['EPERM']],
  ['epoll_ctl', 1, ['ENOMEM', 'ENOSPC']],
  ['epoll_ctl', 2, ['ENOMEM', 'ENOSPC']],
  ['epoll_ctl', 3, ['ENOMEM', 'ENOSPC']],
  ['fcntl', 2, ['EMFILE'], 'spawn'],
  ['fcntl', 3, ['EMFILE'], 'spawn'],
  ['fcntl', 4, ['EMFILE'], 'spawn'],
  ['fcntl', 5, ['EMFILE'], 'spawn'],
  ['mmap', 2, ['ENOMEM'], 'spawn'],
  ['clone3', 1, ['EAGAIN', 'ENOMEM', 'EPERM'], 'spawn'],
  // From here on there is a process, which must not be left behind.
  ...(process.env.BULKHEAD_NO_PIDFD === '1'
    ? [['clone3', 2, ['EAGAIN'], 'pthread_create']]
    : [
        ['pidfd_open', 1, ['EMFILE', 'ENFILE', 'ENOMEM']],
        ['epoll_ctl', 4, ['ENOMEM', 'ENOSPC']],
      ]),
];

/** Calls of the new process, before it becomes the worker: `posix_spawn` reports their errors. */
const NEEDED_BY_THE_CHILD = [
  ['setpgid', ['EPERM']],
  ['dup2', ['EBADF']],
  ['execve', ['EACCES', 'ENOMEM', 'EAGAIN', 'E2BIG', 'ETXTBSY']],
];

/** Optional calls: the worker starts, serves and ends as if nothing had happened. */
const NOT_NEEDED = [
  // Smaller buffers.
  ['setsockopt', ['EPERM', 'ENOBUFS']],
  // Without shared memory no task is prefetched.
  ['memfd_create', ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOSYS', 'EPERM']],
  ['ftruncate', ['ENOMEM', 'EPERM']],
  ['fcntl', ['EPERM'], 1],
  ['mmap', ['ENOMEM', 'EPERM'], 1],
  // A path to our directory: the worker starts if none leads there, too.
  ['newfstatat', ['EACCES', 'ENOENT', 'ENOMEM']],
  ['faccessat2', ['EACCES', 'ENOSYS']],
  // The C library knows an older call.
  ['clone3', ['ENOSYS']],
  ['prlimit64', ['EPERM']],
  ['getrusage', ['EPERM']],
  // The size of the worker is unknown.
  ['openat', ['EACCES', 'EMFILE', 'ENFILE']],
  ['statx', ['ENOSYS', 'EPERM']],
  // Interrupted.
  ['epoll_wait', ['EINTR'], 1],
  ['recvmsg', ['EINTR'], 1],
  ['sendto', ['EINTR'], 1],
  ['wait4', ['EINTR'], 1],
  // The descriptor that reports the worker's end, and the call that kills the rest of its group.
  ['waitid', ['EPERM', 'ENOSYS']],
  ['kill', ['EPERM']],
  ...(process.env.BULKHEAD_NO_PIDFD === '1' ? [] : [['pidfd_send_signal', ['EPERM', 'ENOSYS']]]),
];

/** Calls that give no error in a sound program, or one that changes nothing. */
const INFALLIBLE = [
  [
    'rt_sigprocmask',
    'rt_sigreturn',
    'futex',
    'getpid',
    'gettid',
    'prctl',
    'close',
    'munmap',
    'madvise',
    'mprotect',
    'brk',
  ],
  // Calls on our memory file, on an eventfd, and on pipes at their end.
  ['read', 'write', 'shutdown', 'sched_yield', 'restart_syscall'],
].flat();

const reason = await untraceable();

beforeAll(async () => {
  // The supervisor's own descriptors come with the first pool and stay.
  const first = new ProcessManager({ worker: shell, maxWorkers: 1 });
  await first.run({});
  await first.shutdown();
});

/** A pool that serves meanwhile, and is not affected by the faults of others. */
async function bystander() {
  const clean = descriptors();
  const manager = pool({ worker: shell, minWorkers: 1, maxWorkers: 1 });
  // The last calls for its worker would be counted among those of the next test.
  onTestFinished(async () => {
    await manager.terminate();
    await until(
      () => descriptors() <= clean,
      `no more than ${clean} descriptors: ${descriptors()}`,
    );
  });
  await manager.startWorkers();
  const [{ pid }] = manager.workers;
  const log = record(manager, ['error', 'exit']);
  const before = descriptors();
  return {
    /** Waits until only that pool is left. */
    async expectUnharmed() {
      expect(await manager.run({})).toBe(1);
      expect(childrenOf()).toEqual([pid]);
      expect(log).toEqual([]);
      await until(
        () => descriptors() <= before,
        `no more than ${before} descriptors: ${descriptors()}`,
      );
    },
  };
}

/**
 * The number of open descriptors, without those of the kernel's virtual files, which are read now
 * and then.
 */
function descriptors() {
  const isLasting = (fd) => {
    try {
      return !/^\/(proc|sys)\//.test(readlinkSync(`/proc/self/fd/${fd}`));
    } catch {
      return false;
    }
  };
  return readdirSync('/proc/self/fd').filter(isLasting).length;
}

/**
 * The outcome of a task in a new pool, which is then shut down, while these calls of the supervisor
 * fail.
 */
async function serveUnder(fault, options = {}) {
  const manager = pool({
    worker: shell,
    minWorkers: 1,
    maxWorkers: 1,
    stdio: 'pipe',
    restart: patient,
    ...options,
  });
  const log = record(manager, ['error', 'exit']);
  const before = descriptors();
  const tracer = await attach(await supervisorOf(), fault);
  let outcome;
  let calls;
  try {
    outcome = await manager.run({}).catch((error) => error);
    await manager.shutdown();
  } finally {
    calls = await tracer.detach();
  }
  // Otherwise its last calls would be counted among those of the next test.
  await until(
    () => descriptors() <= before,
    `no more than ${before} descriptors: ${descriptors()}`,
  );
  return { outcome, log, calls };
}

/** Checks that the pool named what failed. */
function expectBroken({ outcome, log, calls }, { error, syscall, spawned = 0 }) {
  expect(injections(calls)).toBeGreaterThan(0);
  expect(outcome).toBeInstanceOf(PoolBrokenError);
  expect(outcome).toMatchObject({ maybeExecuted: false });
  expect(outcome.cause).toBeInstanceOf(WorkerStartError);
  expect(outcome.cause).toMatchObject({ reason: 'spawn', pid: null, exitCode: null, signal: null });
  expect(outcome.cause.cause).toMatchObject({
    code: error,
    errno: -constants.errno[error],
    syscall,
  });
  expect(outcome.message).toMatch(
    new RegExp(`^the pool is broken: .*${syscall}.* failed: ${error}: [a-z]`),
  );
  expect(log.filter(([event]) => event === 'exit')).toHaveLength(spawned);
}

function expectServed({ outcome, log, calls }) {
  expect(injections(calls)).toBeGreaterThan(0);
  expect(outcome).toBe(1);
  expect(log).toEqual([['exit', expect.objectContaining({ reason: 'shutdown' })]]);
}

describe.skipIf(reason !== null)(
  `a system call fails${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    test('[A18] each system call that a worker costs is made to fail here', async () => {
      const unharmed = await bystander();
      const { outcome, calls } = await serveUnder([]);
      expect(outcome).toBe(1);
      const names = new Set(calls.map((line) => line.match(/^(\w+)\(/)?.[1]).filter(Boolean));
      expect([...names]).toEqual(expect.arrayContaining(['socketpair', 'clone3', 'wait4']));
      const known = new Set([...NEEDED, ...NOT_NEEDED].map(([name]) => name).concat(INFALLIBLE));
      expect([...names].filter((name) => !known.has(name))).toEqual([]);
      for (const name of ['socketpair', 'ioctl', 'pipe2', 'epoll_ctl', 'clone3', 'pidfd_open']) {
        const tried = NEEDED.filter(([call]) => call === name).map(([, nth]) => nth);
        const made = calls.filter(
          (line) => line.startsWith(`${name}(`) && !line.includes('EPOLL_CTL_DEL'),
        ).length;
        expect([name, Math.max(0, ...tried)]).toEqual([name, made]);
      }
      // The child uses our memory until it executes its program. A copy would stop us longer the
      // larger we are.
      const [made, ...more] = calls.filter(
        (line) => /^(clone|clone3|fork|vfork)\(/.test(line) && !line.includes('CLONE_THREAD'),
      );
      expect(made).toMatch(/CLONE_VM\|CLONE_VFORK/);
      expect(more).toEqual([]);
      await unharmed.expectUnharmed();
    });

    test('[A18] no system call of a spawn is made on the thread of JavaScript', async () => {
      const unharmed = await bystander();
      const manager = pool({ worker: shell, minWorkers: 2, maxWorkers: 2 });
      const tracer = await attach(process.pid, [
        '-e',
        'trace=clone,clone3,fork,vfork,socketpair,memfd_create,pidfd_open',
      ]);
      await manager.startWorkers();
      await manager.shutdown();
      expect((await tracer.detach()).filter((line) => /^\w+\(/.test(line))).toEqual([]);
      await unharmed.expectUnharmed();
    });

    test.each(NEEDED)(
      '[A5, A6, A8] a spawn whose %s no. %d fails is an error that says so, and the next attempt succeeds',
      async (...row) => {
        const [call, nth, errors, syscall = call] = row;
        const unharmed = await bystander();
        for (const error of errors) {
          expectBroken(await serveUnder(failing(call, error, nth), { restart: strict }), {
            error,
            syscall,
          });
          // Errors that are no mere shortage are not tried again.
          if (SHORTAGES.includes(error)) expectServed(await serveUnder(failing(call, error, nth)));
          await unharmed.expectUnharmed();
        }
      },
    );

    test.each(NEEDED_BY_THE_CHILD)(
      'a spawn whose new process fails at %s is an error that says so, and the next attempt succeeds',
      async (call, errors) => {
        const unharmed = await bystander();
        for (const error of errors) {
          // strace follows into the new process, where its count restarts: the call fails at every
          // attempt.
          const fault = ['-f', ...failing(call, error)];
          expectBroken(await serveUnder(fault, { restart: strict }), { error, syscall: 'spawn' });
          expect((await serveUnder([])).outcome).toBe(1);
          await unharmed.expectUnharmed();
        }
      },
    );

    test.each(NOT_NEEDED)(
      'a spawn whose %s fails has a worker that serves',
      async (call, errors, nth) => {
        const unharmed = await bystander();
        for (const error of errors) {
          expectServed(await serveUnder(failing(call, error, nth)));
          await unharmed.expectUnharmed();
        }
      },
    );

    test('a spawn without close_range closes the descriptors by other means', async () => {
      const unharmed = await bystander();
      const { outcome, log, calls } = await serveUnder(['-f', ...failing('close_range', 'ENOSYS')]);
      expectServed({ outcome, log, calls });
      await unharmed.expectUnharmed();
    });

    test.each([
      ['memfd_create', 'EMFILE'],
      ['ftruncate', 'ENOMEM'],
      ['fcntl', 'EPERM', 1],
      ['mmap', 'ENOMEM', 1],
    ])(
      'without shared memory (%s: %s) the death of a worker costs one task, as usual',
      async (...fault) => {
        const unharmed = await bystander();
        const manager = pool({
          worker: fixture('basic.mjs'),
          maxWorkers: 1,
          prefetch: 16,
          restart: patient,
        });
        const tracer = await attach(await supervisorOf(), failing(...fault));
        const tasks = Array.from({ length: 40 }, (_, data) =>
          manager.run(data === 20 ? { type: 'kill' } : { type: 'echo', data }),
        );
        const outcomes = await Promise.all(tasks.map((task) => task.catch((error) => error)));
        expect(injections(await tracer.detach())).toBeGreaterThan(0);
        expect(outcomes[20]).toMatchObject({
          code: 'ERR_WORKER_CRASHED',
          signal: 'SIGKILL',
          maybeExecuted: true,
        });
        expect(outcomes.toSpliced(20, 1)).toEqual(
          Array.from({ length: 40 }, (_, data) => data).toSpliced(20, 1),
        );
        await manager.shutdown();
        await unharmed.expectUnharmed();
      },
    );

    test('a worker to which nothing can be written is replaced', async () => {
      const unharmed = await bystander();
      // The first frame to the worker is lost.
      const { outcome, log, calls } = await serveUnder(failing('sendto', 'ENOBUFS', 1));
      expect(injections(calls)).toBe(1);
      expect(outcome).toBe(1);
      expect(log.map(([event, exit]) => [event, exit.reason, exit.signal])).toEqual([
        ['exit', 'startup', 'SIGKILL'],
        ['exit', 'shutdown', null],
      ]);
      // A task of a worker that serves already is lost in transit, and has not started.
      const manager = pool({ worker: shell, minWorkers: 1, maxWorkers: 1, restart: patient });
      await manager.startWorkers();
      const exits = record(manager, ['exit', 'error']);
      const tracer = await attach(await supervisorOf(), failing('sendto', 'ENOMEM', 1));
      const main = await attach(process.pid, failing('sendto', 'ENOMEM', 1));
      expect(await manager.run({})).toBe(1);
      expect(injections(await main.detach()) + injections(await tracer.detach())).toBeGreaterThan(
        0,
      );
      expect(exits.map(([event, exit]) => [event, exit.reason, exit.signal])).toContainEqual([
        'exit',
        'crashed',
        'SIGKILL',
      ]);
      await manager.shutdown();
      await unharmed.expectUnharmed();
    });

    test('a worker from which nothing can be read is replaced', async () => {
      const unharmed = await bystander();
      const { outcome, log, calls } = await serveUnder(failing('recvmsg', 'ENOMEM', 1), {
        gracePeriod: 50,
      });
      expect(injections(calls)).toBe(1);
      expect(outcome).toBe(1);
      expect(log.map(([event, exit]) => [event, exit.reason])).toEqual([
        ['exit', 'startup'],
        ['exit', 'shutdown'],
      ]);
      await unharmed.expectUnharmed();
    });
  },
);

describe.skipIf(reason !== null)('the supervisor itself cannot be started', () => {
  // The calls of the constructor on the main thread: an event loop with its wake-up, and a thread
  // with its stack.
  test.each([
    ['epoll_create1', 'EMFILE', /creating an event loop failed: EMFILE: too many open files/],
    ['eventfd2', 'EMFILE', /creating an event loop failed: EMFILE/],
    ['fcntl', 'EMFILE', /creating an event loop failed: EMFILE/],
    ['epoll_ctl', 'ENOMEM', /creating an event loop failed: ENOMEM/],
    ['clone3', 'EAGAIN', /pthread_create failed: EAGAIN/],
  ])('%s: %s: the constructor throws, and the next one works', async (call, error, message) => {
    const source = `
      import { readdirSync } from 'node:fs';
      import ProcessManager from 'bulkhead';
      const count = (what) => readdirSync('/proc/self/' + what).length;
      
      await new Promise((resolve) => {
        process.on('SIGUSR2', resolve);
        setInterval(() => {}, 1000);
        console.log('waiting');
      });
      const before = [count('fd'), count('task')];
      try {
        new ProcessManager();
        console.log(JSON.stringify({ message: 'no error' }));
      } catch ({ message, code }) {
        console.log(JSON.stringify({ message, code, left: [count('fd') - before[0], count('task') - before[1]] }));
      }
      await new Promise((resolve) => process.once('SIGUSR2', resolve));
      const pool = new ProcessManager({ maxWorkers: 1 });
      console.log('second', await pool.run({ data: 'works' }));
      await pool.shutdown();
      process.exit(0);`;
    const { pid, child, line, exit } = startProgram(source);
    onTestFinished(() => child.kill('SIGKILL'));
    await line('waiting');
    const tracer = await attach(pid, failing(call, error));
    child.kill('SIGUSR2');
    const told = JSON.parse(await line('message'));
    expect(injections(await tracer.detach())).toBeGreaterThan(0);
    expect(told).toEqual({
      message: expect.stringMatching(message),
      code: expect.any(String),
      left: [0, 0],
    });
    expect(told.message).toContain(told.code);
    child.kill('SIGUSR2');
    expect(await exit).toMatchObject({
      code: 0,
      stderr: '',
      stdout: expect.stringContaining('second works'),
    });
  });
});

describe.skipIf(reason !== null || process.env.BULKHEAD_NO_PIDFD === '1')(
  'pidfd_open is missing or forbidden',
  () => {
    test.each(['ENOSYS', 'EPERM', 'EACCES'])(
      '[A10] pidfd_open fails with %s: a thread for each worker waits in its place',
      async (error) => {
        const source = `
      import { spawn } from 'node:child_process';
      import { once } from 'node:events';
      import ProcessManager from 'bulkhead';
      import { childrenOf, threads } from ${PROC};
      const options = { worker: ${JSON.stringify(fixture('crash.mjs'))}, minWorkers: 2, maxWorkers: 2 };
      const pool = new ProcessManager({ ...options, restart: { minDelay: 1, maxDelay: 1 } });
      const exits = [];
      pool.on('exit', ({ code, signal, reason }) => exits.push([code, signal, reason]));
      setInterval(() => {}, 1000);
      process.once('SIGUSR2', async () => {
        await pool.startWorkers();
        const waiting = threads().filter((name) => name === 'bulkhead-wait').length;
        const outcomes = [];
        for (const data of ['SIGKILL', 'SIGSEGV', 'exit(0)', 'exit(1)']) {
          const { exitCode, signal, maybeExecuted } = await pool.run({ type: 'during', data }).catch((error) => error);
          outcomes.push([exitCode, signal, maybeExecuted]);
        }
        const own = spawn('sh', ['-c', 'exit 9']);
        const [code] = await once(own, 'exit');
        const grandchild = await pool.run({ type: 'grandchild' });
        const result = await pool.run({ type: 'echo', data: 'alive' });
        const timeout = await pool.run({ type: 'hang' }, { timeout: 50 }).catch(({ code }) => code);
        const { killed } = await pool.shutdown();
        console.log(JSON.stringify({ waiting, outcomes, code, result, timeout, crashes: exits.filter(([, , reason]) => reason === 'crashed').length, zombies: childrenOf(), grandchild }));
        process.exit(0);
      });
      console.log('made');`;
        const { pid, child, line, exit } = startProgram(source);
        onTestFinished(() => child.kill('SIGKILL'));
        await line('made');
        const tracer = await attach(await supervisorOf(pid), failing('pidfd_open', error));
        child.kill('SIGUSR2');
        const { grandchild, ...told } = JSON.parse(await line('waiting'));
        expect(told).toEqual({
          waiting: 2,
          outcomes: [
            [null, 'SIGKILL', true],
            [null, 'SIGSEGV', true],
            [0, null, true],
            [1, null, true],
          ],
          code: 9,
          result: 'alive',
          timeout: 'ERR_TASK_TIMEOUT',
          crashes: 4,
          zombies: [],
        });
        // The question is asked once, and its answer remembered.
        expect(injections(await tracer.detach())).toBe(1);
        expect(await exit).toMatchObject({ code: 0, stderr: '' });
        await until(() => isGone(grandchild), `grandchild ${grandchild} gone`);
      },
    );
  },
);
