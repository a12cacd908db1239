'use strict';

/**
 * Whose task it is.
 *
 * @typedef {object} Owner
 * @property {(task: MappedTask, value: unknown) => void} resolved
 * @property {(task: MappedTask, error: unknown) => void} rejected
 */

/** Of `map()`, whose results wait until they are taken. */
class MappedTask {
  /** @type {string | number} */
  id = 0;
  /** Of no meaning once it is settled. */
  ticket = -1;
  /** `'dropped'`: nobody will be told its outcome. @type {'pending' | 'done' | 'dropped'} */
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
