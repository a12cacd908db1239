'use strict';

/** An id is a byte; 0 is the default handler. */
const MAX_HANDLERS = 255;

/**
 * Ids for the names of handlers. The pool uses an id only to predict how long a task will run.
 * Names beyond the 255th share 0.
 */
class HandlerIds {
  /** @type {Map<string, number>} */
  #ids = new Map();

  /** @param {string} name */
  of(name) {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    if (this.#ids.size === MAX_HANDLERS) return 0;
    const id = this.#ids.size + 1;
    this.#ids.set(name, id);
    return id;
  }
}

module.exports = { HandlerIds };
