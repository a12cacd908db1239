'use strict';

// Abort signals of tasks, and the reasons that tasks are cancelled for.

class Cancellation {
  /** The tasks of each signal, behind one listener: ten thousand tasks may share a signal. */
  /** @type {WeakMap<AbortSignal, Watched>} */
  #signals = new WeakMap();
  /** @type {Map<number, Watched>} */
  #byTicket = new Map();
  /** Why a task was cancelled, until it is settled. @type {Map<number, unknown>} */
  #reasons = new Map();
  #cancel;

  /** @param {(ticket: number) => void} cancel tells the pool */
  constructor(cancel) {
    this.#cancel = cancel;
  }

  /**
   * @param {number} ticket
   * @param {AbortSignal} signal not aborted yet
   */
  watch(ticket, signal) {
    let watched = this.#signals.get(signal);
    if (watched === undefined) {
      watched = new Watched(signal, (tickets) => {
        for (const ticket of tickets) this.cancel(ticket, signal.reason);
      });
      this.#signals.set(signal, watched);
    }
    watched.add(ticket);
    this.#byTicket.set(ticket, watched);
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
   * The task is settled: nothing is kept of it.
   *
   * @param {number} ticket
   * @returns {unknown} why it was cancelled, if it was
   */
  settle(ticket) {
    if (this.#byTicket.size > 0) {
      this.#byTicket.get(ticket)?.delete(ticket);
      this.#byTicket.delete(ticket);
    }
    if (this.#reasons.size === 0) return undefined;
    const reason = this.#reasons.get(ticket);
    this.#reasons.delete(ticket);
    return reason;
  }
}

/** A signal and its unsettled tasks. It listens only while there are any. */
class Watched {
  /** @type {Set<number>} */
  #tickets = new Set();
  #signal;
  #onAbort;

  /**
   * @param {AbortSignal} signal
   * @param {(tickets: number[]) => void} onAbort
   */
  constructor(signal, onAbort) {
    this.#signal = signal;
    this.#onAbort = () => onAbort([...this.#tickets]);
  }

  /** @param {number} ticket */
  add(ticket) {
    if (this.#tickets.size === 0) this.#signal.addEventListener('abort', this.#onAbort);
    this.#tickets.add(ticket);
  }

  /** @param {number} ticket */
  delete(ticket) {
    this.#tickets.delete(ticket);
    if (this.#tickets.size === 0) this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

module.exports = { Cancellation };
