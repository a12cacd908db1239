'use strict';

/** Handlers are told apart in a byte; 0 is the default handler. */
const MAX_HANDLERS = 255;

/**
 * Small numbers for the names of handlers. The pool predicts by them how long a task will run, and nothing else: names
 * beyond the 255th share 0.
 */
class HandlerNumbers {
  /** @type {Map<string, number>} */
  #numbers = new Map();

  /** @param {string} name */
  of(name) {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    if (this.#numbers.size === MAX_HANDLERS) return 0;
    const number = this.#numbers.size + 1;
    this.#numbers.set(name, number);
    return number;
  }
}

module.exports = { HandlerNumbers };
