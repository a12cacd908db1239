// Plays one plan, and leaves its history in a folder. The checker judges it.

import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ProcessManager from '../../index.mjs';
import { Journal, now } from './history.mjs';
import { Nemesis } from './nemesis.mjs';
import { digest, make } from './payload.mjs';
import { tasksOf } from './plan.mjs';
import { Random } from './random.mjs';
import { isRestored, possessions } from './state.mjs';

const NODE_WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url));
const RAW_WORKER = fileURLToPath(new URL('raw-worker.mjs', import.meta.url));
/**
 * Time without a settled task after which a run counts as stuck (ms), for busy machines as well.
 */
const PATIENCE = 60_000;
/** Time in which a pool's resources are released after its end (ms). */
const AFTERMATH = 10_000;
/** Descriptors of this process; more would take long to use up. */
const MOST_DESCRIPTORS = 4096;

/**
 * Limits the descriptors, and creates everything that stays: whatever a run adds to that is a leak.
 */
export async function prepare() {
  const limit = Number(
    /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))[1],
  );
  if (limit > MOST_DESCRIPTORS)
    throw new Error(`run this under "ulimit -n 1024": ${limit} descriptors are too many`);
  // libuv starts each of its threads with the first work for it.
  await promisify(execFile)('true');
  await Promise.all(
    Array.from({ length: 8 }, () => import('node:fs/promises').then(({ stat }) => stat('/'))),
  );
  for (const stdio of ['inherit', 'pipe']) {
    const manager = new ProcessManager({ maxWorkers: 1, stdio });
    await manager.exec(() => console.error('the ledger begins'));
    await manager.shutdown();
  }
  await sleep(100);
}

/**
 * @param {object} plan
 * @param {string} folder for the history
 * @returns {Promise<Record<string, number>>} counters of the tasks, and the number of events of each kind
 */
export async function play(plan, folder) {
  const journal = new Journal(folder, plan);
  const before = possessions();
  journal.note('begin', { before });
  const manager = new ProcessManager({ ...plan.options, ...workerOf(plan, folder) });
  const random = new Random(plan.seed ^ 0xfa7e);
  const nemesis = new Nemesis({ plan, random, journal, manager });
  const { closed, stuck } = await new Workload({ plan, journal, manager, nemesis }).run();
  nemesis.end();
  const deadline = now() + AFTERMATH * 1000;
  while (!isRestored(possessions(), before) && now() < deadline) await sleep(5);
  const stats = manager.stats();
  journal.note('end', { after: possessions(), stats, closed, stuck });
  journal.close();
  return { ...stats.tasks, ...journal.counts };
}

function workerOf({ raw, point }, folder) {
  if (raw) return { worker: { command: process.execPath, args: [RAW_WORKER, folder] } };
  const failPoint = point && { BULKHEAD_FAIL_POINT: `${point.phase} ${point.how} ${point.nth}` };
  return { worker: NODE_WORKER, argv: [folder], env: { ...process.env, ...failPoint } };
}

class Workload {
  #plan;
  #journal;
  #manager;
  #nemesis;
  #tasks;
  #open = 0;
  #settled = 0;
  #feeding = false;
  /** Cancellations, by the number of settled tasks at which they are due. */
  #cancellations = new Map();
  #lastNews = now();
  #closing = false;
  #done;

  constructor({ plan, journal, manager, nemesis }) {
    this.#plan = plan;
    this.#journal = journal;
    this.#manager = manager;
    this.#nemesis = nemesis;
    this.#tasks = tasksOf(plan);
  }

  /**
   * Resolves when the pool is closed, with the time that took (ms). `stuck`: the pool had to be
   * terminated.
   */
  async run() {
    this.#listen();
    const over = new Promise((resolve) => {
      this.#done = resolve;
    });
    let stuck = false;
    const watch = setInterval(() => {
      if (now() - this.#lastNews < PATIENCE * 1000) return;
      stuck = true;
      this.#journal.note('stuck', { stats: this.#manager.stats(), open: this.#open });
      this.#done();
    }, 1000);
    this.#nemesis.advance(0);
    this.#feed();
    await over;
    const started = now();
    const report = stuck ? await this.#manager.terminate() : await this.#close();
    const took = (now() - started) / 1000;
    clearInterval(watch);
    // The last outcomes of a terminated pool come with its end.
    await new Promise((resolve) => setImmediate(resolve));
    return { closed: { ...report, took }, stuck };
  }

  #close() {
    this.#closing = true;
    this.#journal.note('close', { how: this.#plan.close });
    switch (this.#plan.close) {
      case 'terminate':
        return this.#manager.terminate();
      case 'running':
        return this.#manager.shutdown({ drain: 'running' });
      default:
        return this.#manager.shutdown();
    }
  }

  #listen() {
    this.#manager.on('result', ({ taskId, result, processedBy }, { attempt }) => {
      this.#settle(taskId, { as: 'fulfilled', digest: digest(result), pid: processedBy, attempt });
    });
    this.#manager.on('error', (error) => {
      if (error.taskId === undefined)
        this.#note('pool-error', { code: error.code, message: error.message });
      else this.#settle(error.taskId, rejection(error));
    });
    this.#manager.on('online', (worker) => this.#note('online', worker));
    this.#manager.on('exit', (exit) => this.#note('exit', exit));
    this.#manager.on('retry', ({ taskId, attempt }) =>
      this.#note('retry', { id: taskId, attempt }),
    );
  }

  #note(event, about) {
    this.#journal.note(event, about);
  }

  /** Keeps as many tasks under way as the plan wants. */
  #feed() {
    this.#feeding = false;
    while (!this.#closing && this.#open < this.#plan.window) {
      const { value: task, done } = this.#tasks.next();
      if (done) break;
      this.#submit(task);
    }
  }

  #submit({ id, type, retries, timeout, cancel, promised, key, priority, ...about }) {
    const payload = make(about.payload);
    const task = { id, type, data: { ...about, id, payload, sent: digest(payload) } };
    const controller = cancel?.by === 'signal' ? new AbortController() : undefined;
    const limits = {
      ...(timeout > 0 && { timeout }),
      ...(controller && { signal: controller.signal }),
    };
    const options = { retries, key, priority, ...limits };
    this.#journal.note('invoke', { id, deed: about.deed, retries, timeout, promised });
    const outcome = promised
      ? this.#manager.run(task, options)
      : this.#manager.distributeTask(task, options);
    this.#journal.note('accepted', { id });
    this.#open += 1;
    if (promised) {
      outcome.then(
        (result) => this.#settle(id, { as: 'fulfilled', digest: digest(result) }),
        (error) => this.#settle(id, rejection(error)),
      );
    }
    if (cancel === undefined) return;
    const due = this.#settled + cancel.after;
    const cancelling = () => {
      this.#journal.note('cancel', { id });
      if (controller) controller.abort();
      else this.#manager.cancel(id);
    };
    if (cancel.after === 0) cancelling();
    else this.#cancellations.set(due, [...(this.#cancellations.get(due) ?? []), cancelling]);
  }

  #settle(id, outcome) {
    this.#lastNews = now();
    this.#note('settled', { id, ...outcome });
    this.#open -= 1;
    this.#settled += 1;
    for (const cancel of this.#cancellations.get(this.#settled) ?? []) cancel();
    this.#cancellations.delete(this.#settled);
    this.#nemesis.advance(this.#settled);
    const { tasks, close } = this.#plan;
    if (this.#settled === tasks || (close !== 'drain' && this.#settled >= tasks * 0.97))
      this.#done();
    if (this.#feeding) return;
    this.#feeding = true;
    setImmediate(() => this.#feed());
  }
}

function rejection({ code, mark, pid, maybeExecuted }) {
  const as = code === 'ABORT_ERR' ? 'cancelled' : 'rejected';
  return { as, code, digest: mark, pid, maybeExecuted };
}
