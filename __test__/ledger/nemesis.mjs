// What befalls a pool from outside of its tasks: signals to its workers, and a parent without descriptors, without a
// moment for anybody, or stopped.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SIGNALS = { kill: 'SIGKILL', segv: 'SIGSEGV', term: 'SIGTERM' };
/** How long there are no descriptors, at most, in ms. */
const DROUGHT = 100;
const FREEZER = fileURLToPath(new URL('freezer.mjs', import.meta.url));

export class Nemesis {
  #plan;
  #random;
  #journal;
  #workers;
  #next = 0;
  /** Stops this process. Begun at the start: later there may be no descriptors for it. */
  #freezer = spawn(process.execPath, [FREEZER], { stdio: ['pipe', 'inherit', 'inherit'] });
  /** What is to be put right again: workers that are stopped, descriptors that are held. */
  #debts = new Set();
  #ended = false;

  /**
   * @param {object} parts
   * @param {object} parts.plan
   * @param {import('./random.mjs').Random} parts.random
   * @param {import('./history.mjs').Journal} parts.journal
   * @param {() => { pid: number | null, state: string }[]} parts.workers those there are
   */
  constructor({ plan, random, journal, workers }) {
    this.#plan = plan;
    this.#random = random;
    this.#journal = journal;
    this.#workers = workers;
  }

  /** So many tasks have settled: strikes as the plan says. */
  advance(settled) {
    const { strikes } = this.#plan;
    while (!this.#ended && this.#next < strikes.length && strikes[this.#next].at <= settled) {
      if (!this.#strike(strikes[this.#next].what)) return;
      this.#next += 1;
    }
  }

  /** Puts right what is still amiss, and strikes no more. */
  end() {
    this.#ended = true;
    this.#freezer.stdin.end();
    for (const repay of [...this.#debts]) repay();
  }

  /** Whether this was a moment for it; otherwise there will be another. */
  #strike(what) {
    if (what === 'block') this.#block();
    else if (what === 'exhaust') this.#exhaust();
    else return this.#strikeWorker(what);
    return true;
  }

  #strikeWorker(what) {
    // One that has nothing to say shows nothing while this process is stopped.
    const fit = this.#workers().filter(({ pid, state }) => pid !== null && (what !== 'freeze' || state === 'busy'));
    if (fit.length === 0) return what !== 'freeze';
    const { pid } = this.#random.pick(fit);
    this.#journal.note('strike', { what, pid });
    if (what === 'freeze') this.#freezer.stdin.write(`${pid}\n`);
    else if (what !== 'pause') send(pid, SIGNALS[what]);
    else if (send(pid, 'SIGSTOP')) this.#later(this.#random.int(1, this.#plan.pause), () => send(pid, 'SIGCONT'));
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
    this.#later(this.#random.int(1, DROUGHT), () => {
      for (const file of held) closeSync(file);
    });
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

/** Whether the process was there. That of a worker which was reaped meanwhile is nobody's: numbers are not reused so soon. */
function send(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error.code === 'ESRCH') return false;
    throw error;
  }
}
