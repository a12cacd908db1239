'use strict';

// The abort signals of tasks, and the reasons of their cancellation.

const { watchOf } = require('./abort-watch');

class Cancellation {
  /** @type {Map<number, SignalTasks>} */
  #byTicket = new Map();
  /** The reasons of cancelled tasks, until they are settled. @type {Map<number, unknown>} */
  #reasons = new Map();
  #cancel;

  /** @param {(ticket: number) => void} cancel cancels the task in the native pool */
  constructor(cancel) {
    this.#cancel = cancel;
  }

  /**
   * Listens to a signal for a task until the task is settled.
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
   * Cancels a task. The first reason counts.
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
   * Forgets a settled task. Never throws, whatever the task's signal does.
   *
   * @param {number} ticket
   * @returns {unknown} the reason of the task's cancellation, if any
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

/** The unsettled tasks of one signal in one pool. Ten thousand tasks may share one signal. */
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
