'use strict';

// The results of a mapping on their way to the consumer: in the order of the tasks, or of
// completion.

const { Fifo } = require('./fifo');

/** @typedef {import('./mapped-task').MappedTask} MappedTask */

/** Results in the order of their tasks. */
class InOrder {
  /** @type {Fifo<MappedTask>} */
  #tasks = new Fifo();

  get size() {
    return this.#tasks.size;
  }

  /** @param {MappedTask} task an accepted one */
  add(task) {
    this.#tasks.push(task);
  }

  /** @param {MappedTask} _task with a result */
  settled(_task) {}

  /** @returns {MappedTask | undefined} the next task with a result */
  take() {
    return this.#tasks.peek()?.state === 'done' ? this.#tasks.shift() : undefined;
  }

  /**
   * Removes a failed task, and all tasks behind the failed one.
   *
   * @param {MappedTask | null} failed null: the item behind all tasks failed
   * @returns {MappedTask[]}
   */
  truncate(failed) {
    /** @type {MappedTask[]} */
    const dropped = [];
    while (failed !== null && dropped.at(-1) !== failed)
      dropped.push(/** @type {MappedTask} */ (this.#tasks.pop()));
    return dropped;
  }

  /** @returns {MappedTask[]} all tasks */
  clear() {
    const dropped = [];
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop())
      dropped.push(task);
    return dropped;
  }
}

/** Results in the order of completion. */
class AsCompleted {
  /** @type {Set<MappedTask>} */
  #unsettled = new Set();
  /** @type {Fifo<MappedTask>} */
  #done = new Fifo();

  get size() {
    return this.#unsettled.size + this.#done.size;
  }

  /** @param {MappedTask} task an accepted one */
  add(task) {
    this.#unsettled.add(task);
  }

  /** @param {MappedTask} task with a result */
  settled(task) {
    this.#unsettled.delete(task);
    this.#done.push(task);
  }

  take() {
    return this.#done.shift();
  }

  /**
   * Removes all unsettled tasks: a failure follows the results that came before.
   *
   * @param {MappedTask | null} _failed
   */
  truncate(_failed) {
    const dropped = this.#unsettled;
    this.#unsettled = new Set();
    return dropped;
  }

  /** @returns {MappedTask[]} all tasks */
  clear() {
    const dropped = [...this.truncate(null)];
    for (let task = this.take(); task !== undefined; task = this.take()) dropped.push(task);
    return dropped;
  }
}

module.exports = { AsCompleted, InOrder };
