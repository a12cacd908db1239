'use strict';

// Abort signals of tasks, and the reasons that tasks are cancelled for.

const { watchOf } = require('./abort-watch');

class Cancellation {
  /** @type {Map<number, SignalTasks>} */
  #byTicket = new Map();
  /** Why a task was cancelled, until it is settled. @type {Map<number, unknown>} */
  #reasons = new Map();
  #cancel;

  /** @param {(ticket: number) => void} cancel tells the pool */
  constructor(cancel) {
    this.#cancel = cancel;
  }

  /**
   * Listens to a signal for a task until that is settled.
   *
   * @param {number} ticket
   * @param {AbortSignal} signal
   * @throws what the signal's own method throws
   */
  watch(ticket, signal) {
    const watch = watchOf(signal);
    let tasks = /** @type {SignalTasks | undefined} */ (watch.get(this));
    if (tasks === undefined) {
      tasks = new SignalTasks(this, watch);
      watch.add(this, tasks);
    }
    tasks.tickets.add(ticket);
    this.#byTicket.set(ticket, tasks);
  }

  /**
   * The first reason counts.
   *
   * @param {number} ticket
   * @param {unknown} reason
   */
  cancel(ticket, reason) {
    if (this.#reasons.has(ticket)) return;
    this.#reasons.set(ticket, reason);
    this.#cancel(ticket);
  }

  /**
   * The task is settled: nothing is kept of it. Never throws, whatever its signal does.
   *
   * @param {number} ticket
   * @returns {unknown} why it was cancelled, if it was
   */
  settle(ticket) {
    if (this.#byTicket.size > 0) {
      const tasks = this.#byTicket.get(ticket);
      if (tasks !== undefined) {
        this.#byTicket.delete(ticket);
        tasks.delete(ticket);
      }
    }
    if (this.#reasons.size === 0) return undefined;
    const reason = this.#reasons.get(ticket);
    this.#reasons.delete(ticket);
    return reason;
  }
}

/** The unsettled tasks of one signal in one pool: ten thousand of them may share it. */
class SignalTasks {
  /** @type {Set<number>} */
  tickets = new Set();
  #cancellation;
  #watch;

  /**
   * @param {Cancellation} cancellation
   * @param {ReturnType<typeof watchOf>} watch
   */
  constructor(cancellation, watch) {
    this.#cancellation = cancellation;
    this.#watch = watch;
  }

  /** @param {unknown} reason */
  aborted(reason) {
    for (const ticket of [...this.tickets]) this.#cancellation.cancel(ticket, reason);
  }

  /** @param {number} ticket */
  delete(ticket) {
    this.tickets.delete(ticket);
    if (this.tickets.size === 0) this.#watch.delete(this.#cancellation);
  }
}

module.exports = { Cancellation };
