// A machine or an account that is really short of descriptors or processes.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PROC, project, until } from './support/harness.js';
import { outputOf } from './support/output.mjs';

const isRoot = process.getuid?.() === 0;

/** A worker that costs one process without threads. */
const SHELL = `{
  command: 'sh',
  args: ['-c', \`while read -r frame <&3; do
    case $frame in
      *'"type":"init"'*) printf '{"type":"ready","version":1}\\\\n' >&3 ;;
      *'"type":"task"'*)
        id=\${frame#*'"id":'}
        printf '{"type":"result","id":%s,"result":1}\\\\n' "\${id%%,*}" >&3 ;;
      *'"type":"stop"'*) exit 0 ;;
    esac
  done\`],
}`.replaceAll('${', '\\${');

/** The beginning of every program here: a pool that serves, and has to serve on. */
const BEGIN = `
  import { closeSync, existsSync, openSync } from 'node:fs';
  import ProcessManager from 'bulkhead';
  import { childrenOf, descriptors } from ${PROC};
  const options = { worker: ${SHELL}, minWorkers: 1, maxWorkers: 1, stdio: 'ignore' };
  const make = (restart) => {
    const pool = new ProcessManager({ ...options, restart: { minDelay: 5, maxDelay: 20, ...restart } });
    pool.errors = [];
    pool.on('error', ({ message }) => pool.errors.push(message));
    return pool;
  };
  const serving = make();
  await serving.run({});
  const report = (facts) => console.log(JSON.stringify(facts));
  const eventually = async (condition) => {
    for (let i = 0; i < 2000 && !condition(); i += 1) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  /** The text of a start error; the codes of the system. */
  const told = ({ name, message, cause }) => ({ name, message, code: cause?.cause?.code, syscall: cause?.cause?.syscall });`;

/** Runs a program behind a command that makes something scarce. */
function runShort(wrapper, source, options = {}) {
  const folder = project({ 'main.mjs': BEGIN + source });
  const [command, ...args] = [...wrapper, process.execPath, join(folder, 'main.mjs')];
  const child = spawn(command, args, {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  onTestFinished(() => child.kill('SIGKILL'));
  return outputOf(child).closed;
}

function factsOf({ code, stdout, stderr }) {
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe.skipIf(process.platform !== 'linux')('no descriptors', () => {
  test('[A5] a start fails with EMFILE, workers that are there serve on, and later ones start', async () => {
    const source = `
      const before = descriptors();
      const hoard = [];
      try {
        for (;;) hoard.push(openSync('/dev/null'));
      } catch ({ code }) {
        if (code !== 'EMFILE') throw new Error(code);
      }
      const outcomes = [];
      // One more descriptor each time, so that every step of a start fails once.
      for (let free = 0; free < 16; free += 1) {
        const pool = make({ limit: 0 });
        outcomes.push(await pool.run({}).then(() => 'served', told));
        await pool.terminate();
        await serving.run({});
        closeSync(hoard.pop());
      }
      // The task waits, and then has its turn.
      const patient = make({ limit: 1000 });
      const waits = patient.run({});
      setTimeout(() => { while (hoard.length > 0) closeSync(hoard.pop()); }, 50);
      const served = await waits;
      await patient.shutdown();
      await eventually(() => hoard.length === 0);
      report({ outcomes, served, children: childrenOf().length, more: descriptors() - before, errors: serving.errors });
      await serving.shutdown();`;
    const facts = factsOf(await runShort(['prlimit', '--nofile=96:96'], source));
    const { outcomes, ...rest } = facts;
    expect(rest).toEqual({ served: 1, children: 1, more: 0, errors: [] });
    const failed = outcomes.filter((outcome) => outcome !== 'served');
    expect(failed.length).toBeGreaterThan(5);
    for (const outcome of failed) {
      expect(outcome).toMatchObject({
        name: 'PoolBrokenError',
        code: 'EMFILE',
        message: expect.stringContaining('EMFILE'),
      });
    }
    expect(new Set(failed.map(({ syscall }) => syscall))).toEqual(
      new Set(['socketpair', 'pipe', 'spawn']),
    );
  });

  test.each([
    [64, 16],
    [256, 64],
  ])(
    '[A11, XA11] %d descriptors for a pool of %d: it serves with the workers that start',
    async (limit, workers) => {
      const source = `
      await serving.shutdown();
      const warnings = [];
      process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }));
      const pool = new ProcessManager({ ...options, minWorkers: ${workers}, maxWorkers: ${workers} });
      const started = pool.startWorkers().then(() => 'all', told);
      const results = await Promise.all(Array.from({ length: 40 }, (_, id) => pool.run({ id })));
      await eventually(() => warnings.length > 0);
      const served = pool.workers.filter(({ state }) => state === 'idle').length;
      // Fewer workers suffice: the promise that waited for the others resolves.
      await pool.resize({ minWorkers: 1, maxWorkers: served });
      report({ results: new Set(results).size, served, warnings, more: descriptors() < ${limit} });
      await pool.shutdown();`;
      const { code, stdout, stderr } = await runShort(
        ['prlimit', `--nofile=${limit}:${limit}`],
        source,
      );
      expect({ code, stderr }).toMatchObject({
        code: 0,
        stderr: expect.stringContaining('BULKHEAD_WORKERS_MISSING'),
      });
      const facts = JSON.parse(stdout);
      expect(facts).toEqual({
        results: 1,
        served: expect.any(Number),
        warnings: [
          {
            name: 'BulkheadWarning',
            code: 'BULKHEAD_WORKERS_MISSING',
            message: expect.stringMatching(
              /^some workers of the pool do not start: .*EMFILE: .*; the other workers serve/,
            ),
          },
        ],
        more: true,
      });
      expect(facts.served).toBeGreaterThan(2);
      expect(facts.served).toBeLessThan(workers);
    },
  );
});

describe.skipIf(process.platform !== 'linux' || !isRoot)(
  'no processes (only root can be put there)',
  () => {
    /**
     * More processes than the program itself needs; sleeping processes fill the limit, and one of
     * them is then ended.
     */
    const source = `
    const { spawn } = await import('node:child_process');
    const fillers = [];
    const full = () => new Promise((resolve) => {
      const filler = spawn('sleep', ['1000'], { stdio: 'ignore' });
      filler.on('error', ({ code }) => resolve(code));
      filler.on('spawn', () => {
        fillers.push(filler);
        resolve(null);
      });
    });
    let code = null;
    while (code === null) code = await full();
    const strict = make({ limit: 0 });
    const outcome = await strict.run({}).then(() => 'served', told);
    await strict.shutdown();
    const stillServes = await serving.run({});
    const patient = make({ limit: 1000 });
    const waits = Promise.all([patient.run({}), patient.run({}), patient.run({})]);
    setTimeout(() => {
      for (const filler of fillers) filler.kill('SIGKILL');
    }, 50);
    const served = await waits;
    await patient.shutdown();
    await eventually(() => childrenOf().length === 1);
    report({ code, outcome, stillServes, served, children: childrenOf().length, errors: [...serving.errors, ...patient.errors] });
    await serving.shutdown();`;

    function expectWaitedOut(facts) {
      expect(facts).toEqual({
        code: 'EAGAIN',
        outcome: {
          name: 'PoolBrokenError',
          message: expect.stringContaining('spawning "sh" failed: EAGAIN'),
          code: 'EAGAIN',
          syscall: 'spawn',
        },
        stillServes: 1,
        served: [1, 1, 1],
        children: 1,
        errors: [],
      });
    }

    test('[A7] a user without processes left: EAGAIN, and tasks wait until there are some', async () => {
      // A user that owns no other process, and may read this folder.
      const user = String(100_000 + process.pid);
      const wrapper = [
        'prlimit',
        '--nproc=40:40',
        'setpriv',
        `--reuid=${user}`,
        '--inh-caps=+dac_read_search,+dac_override',
      ];
      const facts = factsOf(
        await runShort([...wrapper, '--ambient-caps=+dac_read_search,+dac_override'], source),
      );
      expectWaitedOut(facts);
    });

    const PIDS = '/sys/fs/cgroup/pids';
    test.skipIf(!existsSync(join(PIDS, 'cgroup.procs')))(
      '[A7] a control group without processes left: EAGAIN, and tasks wait until there are some',
      async () => {
        const group = join(PIDS, `bulkhead-test-${process.pid}`);
        mkdirSync(group);
        onTestFinished(async () => {
          await until(
            () => readFileSync(join(group, 'cgroup.procs'), 'utf8') === '',
            'the group to be empty',
          );
          rmdirSync(group);
        });
        writeFileSync(join(group, 'pids.max'), '40');
        const enter = ['sh', '-c', `echo $$ > ${group}/cgroup.procs; exec "$@"`, 'sh'];
        expectWaitedOut(factsOf(await runShort(enter, source)));
      },
    );
  },
);
