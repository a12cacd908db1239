// A process that SIGKILL does not end, or whose end nobody but a debugger is shown: the pool does not wait for it for ever.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { failure, fixture, isGone, pool, record, started, until } from './support/harness.js';

/** Attaches to a process as a debugger does, and then does nothing more until its standard input ends. */
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
  const tracer = spawn('python3', ['-c', DEBUGGER, String(pid), how], { stdio: ['pipe', 'pipe', 'inherit'] });
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
])('a killed worker that %s: everything settles, and a warning names it', async (_, how) => {
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
