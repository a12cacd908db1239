'use strict';

// Tickets: the numbers by which the native side knows tasks.
//
//   tasks   [ task | task | free | task | free ]      a ticket is an index
//   free    [ 4, 2 ]                                  the last one is taken first, while it is still warm
//
// A ticket is reused only after the row that settled its task was read, so that no late row can
// refer to a new task.

/** The longest empty table that is kept for the next tasks. Longer ones are freed. */
const MAX_KEPT = 4096;

/**
 * Tickets by task id: one ticket, or a set if several tasks have the same id.
 *
 * @typedef {Map<string | number, number | Set<number>>} Index
 */

/**
 * @template {{ id: string | number }} T
 */
class Tickets {
  /** @type {(T | undefined)[]} */
  #tasks = [];
  /** @type {number[]} */
  #free = [];
  /**
   * Made by the first `withId` and maintained while there are tasks. Most pools never cancel by id.
   */
  /** @type {Index | null} */
  #index = null;
  size = 0;

  /**
   * @param {T} task
   * @returns {number} its ticket
   */
  add(task) {
    const ticket = this.#free.pop() ?? this.#tasks.length;
    this.#tasks[ticket] = task;
    this.size += 1;
    if (this.#index !== null) remember(this.#index, task.id, ticket);
    return ticket;
  }

  /**
   * @param {number} ticket
   * @returns {T | undefined}
   */
  get(ticket) {
    return this.#tasks[ticket];
  }

  /**
   * @param {number} ticket
   * @returns {T | undefined} the task, which has no ticket from now on
   */
  remove(ticket) {
    const task = this.#tasks[ticket];
    if (task === undefined) return undefined;
    this.#tasks[ticket] = undefined;
    this.size -= 1;
    if (this.size === 0) this.#clear(ticket);
    else {
      this.#free.push(ticket);
      if (this.#index !== null) forget(this.#index, task.id, ticket);
    }
    return task;
  }

  /**
   * @param {number} ticket the last one in use
   */
  #clear(ticket) {
    this.#index = null;
    if (this.#tasks.length > MAX_KEPT) {
      this.#tasks = [];
      this.#free = [];
    } else {
      this.#free.push(ticket);
    }
  }

  /**
   * @param {string | number} id
   * @returns {number[]} tickets of all tasks with that id
   */
  withId(id) {
    if (this.#index === null) {
      this.#index = new Map();
      for (const ticket of this.all())
        remember(this.#index, /** @type {T} */ (this.#tasks[ticket]).id, ticket);
    }
    const tickets = this.#index.get(id) ?? [];
    return typeof tickets === 'number' ? [tickets] : [...tickets];
  }

  /** @returns {number[]} */
  all() {
    const tickets = [];
    for (let ticket = 0; ticket < this.#tasks.length; ticket++) {
      if (this.#tasks[ticket] !== undefined) tickets.push(ticket);
    }
    return tickets;
  }
}

/**
 * @param {Index} index
 * @param {string | number} id
 * @param {number} ticket
 */
function remember(index, id, ticket) {
  const tickets = index.get(id);
  if (tickets === undefined) index.set(id, ticket);
  else if (typeof tickets === 'number') index.set(id, new Set([tickets, ticket]));
  else tickets.add(ticket);
}

/**
 * @param {Index} index
 * @param {string | number} id
 * @param {number} ticket
 */
function forget(index, id, ticket) {
  const tickets = index.get(id);
  if (tickets === ticket) index.delete(id);
  else if (typeof tickets === 'object' && tickets.delete(ticket) && tickets.size === 0)
    index.delete(id);
}

module.exports = { Tickets };
