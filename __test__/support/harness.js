// The common part of tests of a pool: pools that are gone afterwards, whatever the test did, and
// the proof of it. Use `pool()` in place of `new ProcessManager()`. After each test the harness
// shuts down what is still open and checks that nothing is left behind: no child, no zombie, no
// descriptor, no thread. No helper waits for a fixed time. `until` waits for a state, and its error
// names that state.

import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import ProcessManager from '../../index.mjs';
import { outputOf } from './output.mjs';
import { childrenOf, descriptors, processState, threads } from './proc.mjs';

export { childrenOf, processState };

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * A literal to import for programs that a test starts and that look at themselves: `import {
 * childrenOf } from ${PROC};`
 */
export const PROC = JSON.stringify(join(root, '__test__', 'support', 'proc.mjs'));

/** Time after which anything counts as hung (ms). Generous, as the machine may be busy. */
const PATIENCE = 20_000;
/** Time after which a shutdown counts as unbounded (ms). */
const SHUTDOWN_BOUND = 15_000;

const open = new Set();
let before;

/** Path of a worker module in `fixtures/`. */
export function fixture(name) {
  return join(root, '__test__', 'fixtures', name);
}

/**
 * Makes a pool that the harness cleans up after the test, with two workers unless the options say
 * otherwise.
 */
export function pool(options) {
  const manager = new ProcessManager({ maxWorkers: 2, ...options });
  open.add(manager);
  return manager;
}

/** Records all events in order: `[event, argument, second argument]`. Listens to `error`, too. */
export function record(
  manager,
  events = ['result', 'error', 'exit', 'message', 'online', 'progress', 'retry', 'drain'],
) {
  const log = [];
  for (const event of events) manager.on(event, (...args) => log.push([event, ...args]));
  return log;
}

/** Waits for the task to start, in a worker that reports it (`fixtures/announcing.mjs`). */
export function started(manager, taskId) {
  return new Promise((resolve) => {
    const listener = (message) => {
      if (message?.started !== taskId) return;
      manager.off('message', listener);
      resolve();
    };
    manager.on('message', listener);
  });
}

/** Returns the error that a promise rejects with, or a function throws. */
export async function failure(action) {
  try {
    const value = typeof action === 'function' ? action() : action;
    await value;
  } catch (error) {
    return error;
  }
  throw new Error('expected a failure');
}

/** Waits until `condition` holds, checking it again and again. */
export async function until(condition, what, patience = PATIENCE) {
  const deadline = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`waited ${patience} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Returns whether a process is gone or a zombie, which only its parent can still see. */
export function isGone(pid) {
  return [null, 'Z', 'X'].includes(processState(pid));
}

/**
 * Runs a program in an empty project in which `bulkhead` is installed. Never rejects.
 *
 * @returns {Promise<{ code: number | null, signal: string | null, stdout: string, stderr: string, pid: number }>}
 */
export function program(
  source,
  {
    name = 'main.mjs',
    files = {},
    packages = [],
    args = [],
    command = process.execPath,
    nodeArgs = [],
    env,
    timeout = 30_000,
  } = {},
) {
  const folder = project({ [name]: source, ...files }, { packages });
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      timeout,
      killSignal: 'SIGKILL',
      env: { ...process.env, ...env },
      maxBuffer: 1 << 26,
    };
    const child = execFile(
      command,
      [...nodeArgs, join(folder, name), ...args],
      options,
      (error, stdout, stderr) => {
        const { code = 0, signal = null } = error ?? {};
        resolve({ code: signal === null ? code : null, signal, stdout, stderr, pid: child.pid });
      },
    );
  });
}

/** How a program ends that did its work, and complained of nothing. */
export function endsWell(stdout = '') {
  return { code: 0, signal: null, stdout, stderr: '' };
}

/**
 * Starts such a program and returns while it runs, for tests that talk to it or kill it. Its
 * standard output is read line by line.
 */
export function startProgram(
  source,
  {
    name = 'main.mjs',
    files = {},
    packages = [],
    command = process.execPath,
    nodeArgs = [],
    env,
  } = {},
) {
  const folder = project({ [name]: source, ...files }, { packages });
  const child = spawn(command, [...nodeArgs, join(folder, name)], {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { output, closed: exit } = outputOf(child);
  const line = (pattern) =>
    until(
      () => output.stdout.split('\n').find((text) => text.match(pattern)),
      `${pattern} in ${output.stdout}\n${output.stderr}`,
    );
  return { child, pid: child.pid, folder, exit, line };
}

/**
 * Makes a folder with these files, in which `bulkhead` is installed, and other packages of this
 * repository by name or by path. It is removed at the end of the file's tests.
 */
export function project(files, { packages = [] } = {}) {
  const folder = join(tmpdir(), `bulkhead-test-${randomUUID()}`);
  const make = () => {
    mkdirSync(folder);
    folders.push(folder);
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    symlinkSync(root, join(folder, 'bulkhead'));
    for (const name of packages)
      symlinkSync(resolve(root, 'node_modules', name), join(folder, basename(name)));
    // Resolved as a package from anywhere in the folder, as after `npm install`.
    symlinkSync(folder, join(folder, 'node_modules'));
  };
  if (running) make();
  else toMake.push(make);
  return folder;
}

/** Path of a worker module with this text. */
export function moduleFile(source, name = 'worker.mjs', options = undefined) {
  return join(project({ [name]: source }, options), name);
}

/**
 * A worker that starts at once, as it is a shell. `onTask` is its code for a task: it knows `$id`,
 * and writes to descriptor 3.
 */
export function shellWorker(onTask) {
  const script = `while read -r line <&3; do
    id=\${line#*\\"id\\":}
    id=\${id%%[!0-9]*}
    case $line in
      *'"type":"init"'*) echo '{"type":"ready","version":1}' >&3 ;;
      *'"type":"task"'*) ${onTask} ;;
      *'"type":"stop"'*) exit 0 ;;
    esac
  done`;
  return { command: 'sh', args: ['-c', script] };
}

/**
 * The path of a file that does not exist yet; the tasks `until` of `fixtures/basic.mjs` and
 * `limits.mjs` end when it does.
 */
export function gate() {
  const path = join(project({}), 'open');
  return { path, open: () => writeFileSync(path, '') };
}

/**
 * Makes the folders that a file asks for before its first test, so that listing tests makes none.
 */
const toMake = [];
let running = false;
beforeAll(() => {
  running = true;
  for (const make of toMake.splice(0)) make();
});

const folders = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

beforeEach(() => {
  before = { descriptors: descriptors(), threads: threads().length, children: childrenOf() };
});

afterEach(async () => {
  for (const manager of open) {
    open.delete(manager);
    if (manager.listenerCount('error') === 0) manager.on('error', () => {});
    let timer;
    const bound = new Promise((_, reject) => {
      const state = () => JSON.stringify(manager.stats());
      timer = setTimeout(() => reject(new Error(`terminate() hangs: ${state()}`)), SHUTDOWN_BOUND);
    });
    await Promise.race([manager.terminate(), bound]);
    clearTimeout(timer);
  }
  const left = () => childrenOf().filter((pid) => !before.children.includes(pid));
  await until(
    () => left().length === 0,
    `children left: ${left().map((pid) => `${pid} ${processState(pid)}`)}`,
  );
  // The supervisor's own descriptors and threads come with the first pool and stay; a leak would
  // come with each pool.
  await until(
    () => descriptors() <= before.descriptors + 8,
    `descriptors: ${before.descriptors}, now ${descriptors()}`,
  );
  await until(
    () => threads().length <= before.threads + 4,
    `threads: ${before.threads}, now ${threads()}`,
  );
  expect(left()).toEqual([]);
});
