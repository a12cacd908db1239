// Faults from outside of the tasks. Workers get signals; the parent runs out of descriptors, is
// blocked or stopped; the user reloads and resizes the pool.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { childrenOf } from '../support/proc.mjs';

const SIGNALS = { kill: 'SIGKILL', segv: 'SIGSEGV', term: 'SIGTERM' };
/** The longest time without descriptors (ms). */
const DROUGHT = 100;
const FREEZER = fileURLToPath(new URL('freezer.mjs', import.meta.url));

export class Nemesis {
  #plan;
  #random;
  #journal;
  #manager;
  #next = 0;
  /** Stops this process. Begun at the start: later there may be no descriptors for it. */
  #freezer = spawn(process.execPath, [FREEZER], { stdio: ['pipe', 'inherit', 'inherit'] });
  /** Faults that still last: workers that are stopped, descriptors that are held. */
  #debts = new Set();
  /** The number of those that hold all descriptors. */
  #droughts = 0;
  #ended = false;

  /**
   * @param {object} parts
   * @param {object} parts.plan
   * @param {import('./random.mjs').Random} parts.random
   * @param {import('./history.mjs').Journal} parts.journal
   * @param {import('../../index.mjs').default} parts.manager the pool
   */
  constructor({ plan, random, journal, manager }) {
    this.#plan = plan;
    this.#random = random;
    this.#journal = journal;
    this.#manager = manager;
  }

  /** Strikes as the plan says, once that number of tasks have settled. */
  advance(settled) {
    const { strikes } = this.#plan;
    while (!this.#ended && this.#next < strikes.length && strikes[this.#next].at <= settled) {
      if (!this.#strike(strikes[this.#next].what)) return;
      this.#next += 1;
    }
  }

  /** Undoes all faults that still last, and strikes no more. */
  end() {
    this.#ended = true;
    this.#freezer.stdin.end();
    for (const repay of [...this.#debts]) repay();
  }

  /** Returns whether this was a moment for it; otherwise there will be another. */
  #strike(what) {
    if (what === 'block') this.#block();
    else if (what === 'exhaust') this.#exhaust();
    else if (what === 'reload') this.#change(what, () => this.#manager.reload());
    else if (what === 'resize') this.#resize();
    else if (what === 'standby') return this.#strikeStandby();
    else return this.#strikeWorker(what);
    return true;
  }

  #strikeWorker(what) {
    // A worker without anything to send shows nothing while this process is stopped.
    const fit = this.#manager.workers.filter(
      ({ pid, state }) => pid !== null && (what !== 'freeze' || state === 'busy'),
    );
    if (fit.length === 0) return what !== 'freeze';
    const { pid } = this.#random.pick(fit);
    this.#journal.note('strike', { what, pid });
    if (what === 'freeze') this.#freezer.stdin.write(`${pid}\n`);
    else if (what !== 'pause') send(pid, SIGNALS[what]);
    else if (send(pid, 'SIGSTOP'))
      this.#later(this.#random.int(1, this.#plan.pause), () => send(pid, 'SIGCONT'));
    return true;
  }

  /** Kills a process that is no worker. It may become one before the signal arrives. */
  #strikeStandby() {
    // Without a descriptor the list of children cannot be read.
    if (this.#droughts > 0) return false;
    const others = [this.#freezer.pid, ...this.#manager.workers.map(({ pid }) => pid)];
    const standbys = childrenOf().filter((pid) => !others.includes(pid));
    if (standbys.length === 0) return true;
    const pid = this.#random.pick(standbys);
    this.#journal.note('strike', { what: 'kill', pid });
    send(pid, 'SIGKILL');
    return true;
  }

  #block() {
    const ms = this.#random.int(0, this.#plan.block);
    this.#journal.note('strike', { what: 'block', ms });
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  }

  #exhaust() {
    this.#journal.note('strike', { what: 'exhaust' });
    const held = [];
    try {
      for (;;) held.push(openSync('/dev/null'));
    } catch (error) {
      if (error.code !== 'EMFILE') throw error;
    }
    this.#droughts += 1;
    this.#later(this.#random.int(1, DROUGHT), () => {
      for (const file of held) closeSync(file);
      this.#droughts -= 1;
    });
  }

  #resize() {
    const size = { minWorkers: this.#random.int(0, 2), maxWorkers: this.#random.int(2, 4) };
    this.#change('resize', () => this.#manager.resize(size));
  }

  /** It may come to nothing only because the pool is closed meanwhile. */
  #change(what, change) {
    this.#journal.note('strike', { what });
    change().then(
      () => this.#journal.note('changed', { what }),
      ({ code, message }) => this.#journal.note('changed', { what, code, message }),
    );
  }

  #later(ms, action) {
    const repay = () => {
      clearTimeout(timer);
      this.#debts.delete(repay);
      action();
    };
    const timer = setTimeout(repay, ms);
    this.#debts.add(repay);
  }
}

/**
 * Returns whether the process was there. A pid of a worker that was reaped meanwhile is not reused
 * so soon.
 */
function send(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}
