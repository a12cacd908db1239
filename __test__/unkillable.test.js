// Processes that signals do not end as they should: one that has left its process group, one that
// may not be signalled, one that SIGKILL does not end, and one whose end only a debugger is shown.
// The pool reaches those it can, and waits for none without a limit.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  failure,
  fixture,
  isGone,
  moduleFile,
  PROC,
  pool,
  program,
  project,
  record,
  started,
  until,
} from './support/harness.js';

/** Attaches to a process as a debugger does, and then waits until its standard input ends. */
const DEBUGGER = `
import ctypes, sys
PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 0x4206, 0x40
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
pid, holds = int(sys.argv[1]), sys.argv[2] == 'holds'
if libc.ptrace(PTRACE_SEIZE, pid, None, PTRACE_O_TRACEEXIT if holds else 0) != 0:
    sys.exit(f'ptrace: {ctypes.get_errno()}')
print('attached', flush=True)
sys.stdin.read()
`;

async function attach(pid, how) {
  const tracer = spawn('python3', ['-c', DEBUGGER, String(pid), how], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const closed = once(tracer, 'close');
  const letGo = async () => {
    tracer.stdin.end();
    await closed;
  };
  onTestFinished(letGo);
  const [said] = await Promise.race([once(tracer.stdout, 'data'), closed]);
  expect(String(said).trim()).toBe('attached');
  return letGo;
}

test.skipIf(process.platform !== 'linux').each([
  ['stays in the kernel', 'holds'],
  ['is gone for its debugger only', 'hides'],
])('[C5] a killed worker that %s: everything settles, and a warning names it', async (_, how) => {
  const warnings = [];
  const listener = (warning) => warnings.push(warning);
  process.on('warning', listener);
  onTestFinished(() => process.off('warning', listener));

  const manager = pool({ worker: fixture('announcing.mjs'), maxWorkers: 1, gracePeriod: 50 });
  const exits = record(manager, ['exit']);
  const begun = started(manager, 'stuck');
  const outcome = failure(manager.run({ id: 'stuck', type: 'never' }));
  await begun;
  const [{ pid }] = manager.workers;
  const letGo = await attach(pid, how);

  const report = await manager.terminate();
  expect(await outcome).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: true });
  expect(report).toMatchObject({ killed: 1 });
  expect(exits).toMatchObject([['exit', { pid, code: null, signal: null, reason: 'shutdown' }]]);
  await until(() => warnings.length > 0, 'the warning');
  expect(warnings).toMatchObject([{ name: 'BulkheadWarning', code: 'BULKHEAD_UNKILLABLE' }]);
  expect(warnings[0].message).toContain(`pid ${pid}`);

  await letGo();
  await until(() => isGone(pid), 'the process is gone once it can go');
});

describe.skipIf(process.platform === 'win32')(
  '[XC3] a worker that has left its process group',
  () => {
    const LEAVE = 'os.setpgid(0, os.getpgid(os.getppid()))';

    /** Makes a launcher of Node.js, which leaves its group first. */
    function leavingNode() {
      const folder = project({
        node: `#!/usr/bin/env python3\nimport os, sys\n${LEAVE}\nos.execv('${process.execPath}', ['node', *sys.argv[1:]])\n`,
      });
      return join(folder, 'node');
    }
    const execPath = leavingNode();

    /**
     * Leaves its group, with another process still in there, whose pid it reports. Ends by SIGTERM
     * only, not when asked to stop.
     */
    const PYTHON = `
import json, os, signal, subprocess
child = subprocess.Popen(['sleep', '1000'])
${LEAVE}
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
with os.fdopen(3, 'r+b', buffering=0) as channel:
    for line in channel:
        frame = json.loads(line)
        if frame['type'] == 'init':
            channel.write(b'{"type":"ready","version":1}\\n')
        if frame['type'] == 'task' and frame['task'] == 'child':
            channel.write(json.dumps({'type': 'result', 'id': frame['id'], 'result': child.pid}).encode() + b'\\n')
    signal.pause()
`;
    const foreign = {
      worker: { command: 'python3', args: ['-c', PYTHON] },
      maxWorkers: 1,
      gracePeriod: 100,
    };

    function warnings() {
      const seen = [];
      const listener = (warning) => seen.push(warning.message);
      process.on('warning', listener);
      onTestFinished(() => process.off('warning', listener));
      return seen;
    }

    test('[C5, XC3] a Node.js worker in a loop that has left its process group is killed by terminate()', async () => {
      chmodSync(execPath, 0o755);
      const warned = warnings();
      const manager = pool({
        worker: fixture('announcing.mjs'),
        execPath,
        maxWorkers: 1,
        gracePeriod: 100,
      });
      const exits = record(manager, ['exit']);
      const begun = started(manager, 'stuck');
      const outcome = failure(manager.run({ id: 'stuck', type: 'loop' }));
      await begun;
      const [{ pid }] = manager.workers;
      expect(await manager.terminate()).toMatchObject({ killed: 1 });
      expect(await outcome).toMatchObject({ code: 'ERR_POOL_CLOSED' });
      expect(exits).toMatchObject([
        ['exit', { pid, code: null, signal: 'SIGKILL', reason: 'shutdown' }],
      ]);
      expect(isGone(pid)).toBe(true);
      expect(warned).toEqual([]);
    });

    test('[C5, XC3] a Node.js worker in a loop that has left its process group is replaced when its task is overdue', async () => {
      chmodSync(execPath, 0o755);
      const manager = pool({
        worker: fixture('announcing.mjs'),
        execPath,
        maxWorkers: 1,
        gracePeriod: 100,
      });
      await manager.startWorkers();
      const [{ pid: first }] = manager.workers;
      expect(await failure(manager.run({ type: 'loop' }, { timeout: 100 }))).toMatchObject({
        code: 'ERR_TASK_TIMEOUT',
      });
      expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
      expect(manager.workers[0].pid).not.toBe(first);
      expect(isGone(first)).toBe(true);
    });

    test('[C5, XC3] shutdown() sends SIGTERM to a worker that has left its process group, and leaves no process of the group', async () => {
      const warned = warnings();
      const manager = pool(foreign);
      const exits = record(manager, ['exit']);
      const child = await manager.run('child');
      const [{ pid }] = manager.workers;
      await manager.shutdown();
      expect(exits).toMatchObject([['exit', { pid, code: 7, signal: null }]]);
      await until(() => isGone(child), 'what it had started is gone');
      expect(warned).toEqual([]);
    });

    test('[C5, XC3] a worker that has left its process group does not outlive a parent that ends at once', async () => {
      const { code, stdout } = await program(`
      import ProcessManager from 'bulkhead';
      const manager = new ProcessManager(${JSON.stringify(foreign)});
      const child = await manager.run('child');
      console.log(JSON.stringify([child, manager.workers[0].pid]));
      process.exit(3);`);
      expect(code).toBe(3);
      for (const pid of JSON.parse(stdout)) await until(() => isGone(pid), `${pid} is gone`);
    });
  },
);

describe.skipIf(process.platform !== 'linux' || process.getuid() !== 0)(
  '[XC3] a worker of another user',
  () => {
    const worker = moduleFile(`
    export const handlers = {
      loops: (task, { send }) => { send('begun'); for (;;); },
      waits: (task, { send }) => { send('begun'); return new Promise((resolve) => setTimeout(resolve, 2 ** 30)); },
    };`);

    test.each([
      ['is in a loop', 'loops', 'terminate()', 'R'],
      ['waits for something', 'waits', 'shutdown({ timeout: 50 })', null],
    ])(
      '[C5, XC3] a worker that may not be signalled and %s: a warning names EPERM, and everything settles',
      async (_, type, end, state) => {
        const { code, stdout, stderr } = await program(
          `
      import { once } from 'node:events';
      import { processState } from ${PROC};
      import ProcessManager from 'bulkhead';
      const warnings = [];
      process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }));
      const manager = new ProcessManager({ worker: ${JSON.stringify(worker)}, maxWorkers: 1, gracePeriod: 50 });
      const exits = [];
      manager.on('exit', (exit) => exits.push(exit));
      await manager.startWorkers();
      const [{ pid }] = manager.workers;
      const outcome = manager.run({ type: '${type}' }).catch((error) => error);
      await once(manager, 'message');
      process.setgroups([]);
      process.setgid(65534);
      process.setuid(65534);
      const report = await manager.${end};
      const { code, maybeExecuted } = await outcome;
      while (warnings.length === 0) await new Promise(setImmediate);
      // The end of its channel may make it leave by itself.
      while (${state === null} && processState(pid) !== null) await new Promise(setImmediate);
      console.log(JSON.stringify({ pid, report, code, maybeExecuted, exits, warnings, state: processState(pid) }));
      process.exit();`,
          { nodeArgs: ['--no-warnings'] },
        );
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        const told = JSON.parse(stdout);
        expect(told).toMatchObject({ code: 'ERR_POOL_CLOSED', maybeExecuted: true, state });
        expect(told.exits).toMatchObject([
          { pid: told.pid, code: null, signal: null, reason: 'shutdown' },
        ]);
        expect(told.warnings).toMatchObject([
          { name: 'BulkheadWarning', code: 'BULKHEAD_UNKILLABLE' },
        ]);
        expect(told.warnings[0].message).toBe(
          `worker 1 (pid ${told.pid}) cannot be killed: this process may not signal the worker (EPERM), ` +
            'for example because the worker runs as another user; the pool no longer waits for the worker; ' +
            `end pid ${told.pid} as that user or as root`,
        );
        await until(() => isGone(told.pid), 'it does not outlive its parent');
      },
    );
  },
);
