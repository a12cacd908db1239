'use strict';

/**
 * The receiver of a task's outcome.
 *
 * @typedef {object} Owner
 * @property {(task: MappedTask, value: unknown) => void} resolved
 * @property {(task: MappedTask, error: unknown) => void} rejected
 */

/** A task of `map()`, which keeps its result until the consumer takes the result. */
class MappedTask {
  /** @type {string | number} */
  id = 0;
  /** Meaningless once the task is settled. */
  ticket = -1;
  /** `'dropped'`: the outcome is ignored. @type {'pending' | 'done' | 'dropped'} */
  state = 'pending';
  /** @type {unknown} */
  value = undefined;
  #owner;

  /** @param {Owner} owner */
  constructor(owner) {
    this.#owner = owner;
  }

  get emitsEvents() {
    return /** @type {const} */ (false);
  }

  get awaited() {
    return this.state !== 'dropped';
  }

  /** @param {unknown} value */
  resolve(value) {
    this.#owner.resolved(this, value);
  }

  /** @param {unknown} error */
  reject(error) {
    this.#owner.rejected(this, error);
  }
}

module.exports = { MappedTask };
