'use strict';

// The results of a mapping, from their tasks to its consumer: in the order of the tasks, or as they
// come.

const { Fifo } = require('./fifo');

/** @typedef {import('./mapped-task').MappedTask} MappedTask */

/** Results in the order of their tasks. */
class InOrder {
  /** @type {Fifo<MappedTask>} */
  #tasks = new Fifo();

  get size() {
    return this.#tasks.size;
  }

  /** @param {MappedTask} task which was accepted */
  add(task) {
    this.#tasks.push(task);
  }

  /** @param {MappedTask} _task which has its value */
  settled(_task) {}

  /** @returns {MappedTask | undefined} with its value */
  take() {
    return this.#tasks.peek()?.state === 'done' ? this.#tasks.shift() : undefined;
  }

  /**
   * Takes out what is behind a failure, and the task that has failed.
   *
   * @param {MappedTask | null} failed null: what comes next has
   * @returns {MappedTask[]}
   */
  truncate(failed) {
    /** @type {MappedTask[]} */
    const dropped = [];
    while (failed !== null && dropped.at(-1) !== failed)
      dropped.push(/** @type {MappedTask} */ (this.#tasks.pop()));
    return dropped;
  }

  /** @returns {MappedTask[]} all of them */
  clear() {
    const dropped = [];
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop())
      dropped.push(task);
    return dropped;
  }
}

/** Results in the order in which they came. */
class AsCompleted {
  /** @type {Set<MappedTask>} */
  #unsettled = new Set();
  /** @type {Fifo<MappedTask>} */
  #done = new Fifo();

  get size() {
    return this.#unsettled.size + this.#done.size;
  }

  /** @param {MappedTask} task which was accepted */
  add(task) {
    this.#unsettled.add(task);
  }

  /** @param {MappedTask} task which has its value */
  settled(task) {
    this.#unsettled.delete(task);
    this.#done.push(task);
  }

  take() {
    return this.#done.shift();
  }

  /**
   * A failure is behind all that was done before it.
   *
   * @param {MappedTask | null} _failed
   */
  truncate(_failed) {
    const dropped = this.#unsettled;
    this.#unsettled = new Set();
    return dropped;
  }

  /** @returns {MappedTask[]} all of them */
  clear() {
    const dropped = [...this.truncate(null)];
    for (let task = this.take(); task !== undefined; task = this.take()) dropped.push(task);
    return dropped;
  }
}

module.exports = { AsCompleted, InOrder };
