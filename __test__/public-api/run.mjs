// Runs plans: most of them in this process, those that end with their process in one of their own.

import { execFile, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import ProcessManager from '../../index.mjs';
import { outputOf } from '../support/output.mjs';
import { childrenOf, commandLine, descriptors, processState, threads } from '../support/proc.mjs';
import { describe, PROGRAM_ENDS, SHELL_KINDS } from './plan.mjs';
import { close, playSteps, settle, waitFor } from './play.mjs';
import { checkLedger, readLedger } from './rules.mjs';
import { World } from './world.mjs';

/** The garbage collector, for a pool that was dropped. */
setFlagsFromString('--expose-gc');
const collect = /** @type {() => void} */ (runInNewContext('gc'));

/** Time between two checks of the system's resources (ms). */
const LOOK = 5;
/** Equal checks in a row after which a dropped pool is done. */
const LOOKS = 4;

/** The exit codes of programs, by their end. Null: ended by a signal. */
const CODES = { leave: 0, exit: 7, throw: 1, killed: null };

/** Warnings that are allowed: a pool that was dropped, an error of the pool without a listener. */
const WARNINGS = [
  /garbage-collected without shutdown/,
  /BULKHEAD_POOL_ERROR/,
  /BULKHEAD_WORKERS_MISSING/,
];

/**
 * @typedef {object} Outcome
 * @property {{ rule: string, what: string }[]} violations
 * @property {string[]} timeline
 */

/**
 * The last plans that were played, which may have started a process that appears later.
 *
 * @type {{ plan: any, folder: string }[]}
 */
const recent = [];
const RECENT = 10;

/** The current run. @type {World | null} */
let current = null;

/** Reports every uncaught error to the current run. */
export function watchProcess() {
  process.on('uncaughtException', (error) => {
    if (current === null) throw error;
    current.uncaught(error);
  });
  process.on('unhandledRejection', (reason) => {
    if (current === null) throw reason;
    current.wrong('unhandled rejections', String(reason));
  });
  // This replaces Node's own listener, which prints them.
  process.removeAllListeners('warning').on('warning', (warning) => {
    const text = `${warning.name} ${/** @type {any} */ (warning).code}: ${warning.message}`;
    if (WARNINGS.some((allowed) => allowed.test(text))) return;
    if (current === null) console.error(text);
    else current.wrong('warnings', text);
  });
}

/**
 * Creates everything that stays, the supervisor and libuv's threads, so that whatever a run adds is
 * a leak.
 */
export async function prepare() {
  await promisify(execFile)('true');
  await Promise.all(Array.from({ length: 8 }, () => stat('/')));
  for (const stdio of ['inherit', 'pipe']) {
    const pool = new ProcessManager({ maxWorkers: 1, stdio });
    await pool.exec(() => 1);
    await pool.shutdown();
  }
  await sleep(200);
}

/**
 * @param {import('./plan.mjs').Plan} plan
 * @param {number} patience ms after which something hangs
 * @returns {Promise<Outcome>}
 */
export async function runPlan(plan, patience) {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-api-'));
  try {
    const isProgram = PROGRAM_ENDS.includes(plan.end.how);
    return await (isProgram ? runProgram(plan, folder, patience) : runHere(plan, folder, patience));
  } finally {
    rmSync(folder, { recursive: true, force: true });
    recent.push({ plan, folder });
    if (recent.length > RECENT) recent.shift();
  }
}

/** @returns {Promise<Outcome>} */
async function runHere(plan, folder, patience) {
  const before = { descriptors: descriptors(), threads: threads().length };
  const world = new World(plan, folder);
  current = world;
  try {
    await playSteps(world);
    if (plan.end.how === 'dropped') await drop(world, patience);
    else await close(world, patience);
  } finally {
    // Nothing holds a dropped pool from here on.
    world.unsubscribe();
    world.pool = null;
  }
  await nothingIsLeft(world, before, patience);
  // An uncaught error comes in a turn of the event loop of its own.
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
  current = null;
  return world;
}

/** Leaves an idle pool to the garbage collector. */
async function drop(world, patience) {
  await settle(world, patience);
  checkLedger(world);
  world.forget();
}

/** The arguments of a process name its run. */
function describeProcess(pid) {
  const line = commandLine(pid);
  const earlier = recent.find(({ folder }) => line.includes(folder));
  const owner = earlier === undefined ? '' : `, of an earlier run:\n${describe(earlier.plan)}\n`;
  return `${pid} ${processState(pid)} (${line}${owner})`;
}

async function nothingIsLeft(world, before, patience) {
  const { dropped } = world;
  const deadline = performance.now() + patience;
  const left = () => {
    const wrong = [];
    const children = childrenOf();
    if (children.length > 0) wrong.push(`children ${children.map(describeProcess)}`);
    if (descriptors() > before.descriptors)
      wrong.push(`${descriptors()} descriptors, ${before.descriptors} before`);
    if (threads().length > before.threads)
      wrong.push(`${threads().length} threads, ${before.threads} before`);
    return wrong;
  };
  // A collected pool may just be starting a worker, which it ends then.
  for (
    let quiet = dropped === null ? LOOKS : 0;
    quiet < LOOKS && performance.now() < deadline;
    quiet++
  ) {
    // A WeakRef keeps what it has returned up to the next turn.
    await waitFor(world, () => false, LOOK);
    collect();
    if (dropped.deref() !== undefined || left().length > 0) quiet = 0;
  }
  while (left().length > 0 && performance.now() < deadline) await waitFor(world, () => false, LOOK);
  if (dropped?.deref() !== undefined)
    world.wrong('nothing is left', 'the pool, which nothing leads to');
  for (const what of left()) world.wrong('nothing is left', what);
  // Nothing may be left for the next run.
  for (const pid of childrenOf()) process.kill(pid, 'SIGKILL');
}

/** @returns {Promise<Outcome>} */
async function runProgram(plan, folder, patience) {
  const program = fileURLToPath(new URL('program.mjs', import.meta.url));
  const { how } = plan.end;
  if (how === 'killed' && SHELL_KINDS.includes(plan.pool.kind))
    return runHere({ ...plan, end: { how: 'terminate' } }, folder, patience);
  const args = [program, JSON.stringify(plan), folder, String(patience)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const { output, closed } = outputOf(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), 3 * patience);
  const { code, signal } = await new Promise((resolve) => {
    child.on('exit', (exitCode, exitSignal) => resolve({ code: exitCode, signal: exitSignal }));
  });
  clearTimeout(timer);
  const world = new World(plan, folder);
  current = world;
  const { pids } = readLedger(folder);
  const alive = () => pids.filter((pid) => ![null, 'Z', 'X'].includes(processState(pid)));
  const deadline = performance.now() + patience;
  while (alive().length > 0 && performance.now() < deadline)
    await waitFor(world, () => false, LOOK);
  for (const pid of alive()) {
    world.wrong('no worker outlives its program', `${pid} ${processState(pid)}`);
    process.kill(pid, 'SIGKILL');
  }
  await closed;
  current = null;
  const expected = { code: CODES[how], signal: how === 'killed' ? 'SIGKILL' : null };
  if (code !== expected.code || signal !== expected.signal)
    world.wrong(
      'the end of the program',
      `code ${code}, signal ${signal}, said ${output.stderr.slice(0, 2_000)}`,
    );
  else if (
    output.stderr !== '' &&
    how !== 'throw' &&
    !WARNINGS.some((allowed) => allowed.test(output.stderr))
  )
    world.wrong('the end of the program', `it says ${output.stderr.slice(0, 2_000)}`);
  const told = output.stdout === '' ? { violations: [], timeline: [] } : JSON.parse(output.stdout);
  if (output.stdout === '' && how !== 'killed')
    world.wrong('the end of the program', 'it reports nothing');
  return { violations: [...told.violations, ...world.violations], timeline: told.timeline };
}
