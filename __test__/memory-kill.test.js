// Workers that the kernel kills as memory runs out, which takes a memory group.

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { startProgram, until } from './support/harness.js';

/** Room for a small pool; the greedy task takes more, whatever the machine has. */
const LIMIT = 256 * 1024 * 1024;

const groups = [];
afterAll(async () => {
  for (const group of groups) {
    // The last process may take a moment to leave the group.
    await until(
      () => readFileSync(join(group, 'cgroup.procs'), 'latin1') === '',
      `${group} is empty`,
    );
    rmdirSync(group);
  }
});

/**
 * A memory group with this limit below our own (v1) or below the root (v2).
 *
 * @returns {string | { reason: string }} its directory, or why there is none
 */
function memoryGroup() {
  const name = `bulkhead-test-${process.pid}`;
  const attempts = [
    [
      '/sys/fs/cgroup/memory',
      { 'memory.limit_in_bytes': LIMIT, 'memory.swappiness': 0 },
      'memory.oom_control',
    ],
    ['/sys/fs/cgroup', { 'memory.max': LIMIT, 'memory.swap.max': 0 }, 'memory.events'],
  ];
  let reason;
  for (const [parent, limits, counter] of attempts) {
    const group = join(parent, name);
    try {
      mkdirSync(group);
    } catch (error) {
      reason = error.message;
      continue;
    }
    try {
      for (const [file, value] of Object.entries(limits))
        writeFileSync(join(group, file), String(value));
      if (!readFileSync(join(group, counter), 'latin1').includes('oom_kill '))
        throw new Error('no count of kills');
      groups.push(group);
      return group;
    } catch (error) {
      reason = `${group} has only ${readdirSync(group).length} files: ${error.message}`;
      rmdirSync(group);
    }
  }
  return { reason };
}

const PROGRAM = `
  import { writeFileSync } from 'node:fs';
  import ProcessManager from 'bulkhead';
  // This comes before the addon is used: it looks up its own group once.
  writeFileSync(process.env.GROUP + '/cgroup.procs', String(process.pid));
  const pool = new ProcessManager({
    worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 2, stdio: 'ignore', execArgv: [],
  });
  const report = (error) => ({
    name: error.name, signal: error.signal, exitCode: error.exitCode, outOfMemory: error.outOfMemory,
    phase: error.phase, message: error.message, rss: error.rss,
  });
  const killed = await pool.run({ type: 'hang' }).catch(report);
  const greedy = await pool.run({ id: 'greedy', type: 'greedy' }).catch(report);
  const later = await pool.run({ type: 'hang' }).catch(report);
  const both = await Promise.all([1, 2].map((data) => pool.run({ data })));
  console.log(JSON.stringify({ killed, greedy, later, both }));
  await pool.shutdown();
`;

const WORKER = `
  import { writeFileSync } from 'node:fs';
  export const handlers = {
    // This worker is killed by hand, without the kernel's help.
    hang: () => process.kill(process.pid, 'SIGKILL'),
    greedy: () => {
      // The kernel takes the largest process of the group. That has to be this one, which also
      // offers itself.
      writeFileSync('/proc/self/oom_score_adj', '1000');
      const hoard = [];
      for (;;) hoard.push(Buffer.alloc(8 << 20, 1));
    },
  };
  export default ({ data }) => data;
`;

test('[C9, L10] a worker killed by the kernel as memory ran out is distinguished from one killed by a signal', async (context) => {
  const group =
    process.platform === 'linux' ? memoryGroup() : { reason: 'memory groups are of Linux' };
  if (typeof group !== 'string') context.skip(`no memory group can be made: ${group.reason}`);
  const { exit } = startProgram(PROGRAM, {
    files: { 'worker.mjs': WORKER },
    env: { GROUP: group },
  });
  const { code, signal, stdout, stderr } = await exit;
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' });
  const { killed, greedy, later, both } = JSON.parse(stdout);
  expect(killed).toMatchObject({
    name: 'WorkerCrashedError',
    signal: 'SIGKILL',
    outOfMemory: false,
  });
  expect(greedy).toMatchObject({
    name: 'WorkerCrashedError',
    signal: 'SIGKILL',
    exitCode: null,
    outOfMemory: true,
    phase: 'running',
  });
  expect(greedy.message).toContain(
    'ran out of memory and was killed by SIGKILL while running task "greedy"',
  );
  // The other worker lived when the kernel killed, and still does: that death is explained.
  expect(later).toMatchObject({
    name: 'WorkerCrashedError',
    signal: 'SIGKILL',
    outOfMemory: false,
  });
  expect(both).toEqual([1, 2]);
});
