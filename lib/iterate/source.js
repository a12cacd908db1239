'use strict';

// Where `map()` takes its tasks from: any iterable, read as `for await` reads it.

const { setImmediate } = require('../clock');
const { rethrow } = require('../errors/rethrow');
const { Promise } = require('../intrinsics');
const { invalidType } = require('../options/argument-errors');

/** In place of an item: there are no more. */
const END = Symbol('end');

/**
 * @param {any} iterable
 * @throws {TypeError} for what is none
 */
function assertIterable(iterable) {
  const is = (/** @type {symbol} */ symbol) => typeof iterable?.[symbol] === 'function';
  if (!is(Symbol.asyncIterator) && !is(Symbol.iterator))
    throw invalidType('iterable', 'an instance of Iterable or AsyncIterable', iterable);
}

class Source {
  #iterable;
  #iterator;
  #next;
  #isAsync;
  /** There is nothing left to stop. */
  #done = false;
  /**
   * What `next` returned is a promise that has not been followed up; or the iterator is running
   * right now.
   */
  pending = false;
  /** Somebody waits for the end of that. */
  #onArrival = () => {};

  /** @param {any} iterable */
  constructor(iterable) {
    const open = iterable[Symbol.asyncIterator] ?? undefined;
    this.#iterable = iterable;
    this.#isAsync = open !== undefined;
    this.#iterator = this.#isAsync ? open.call(iterable) : iterable[Symbol.iterator]();
    this.#next = this.#iterator.next;
  }

  /**
   * @returns {any} an item or END; where `pending` is set, something to await, for `arrived` or else for `failed`
   * @throws what the iterator throws, which then has ended
   */
  next() {
    this.pending = true;
    try {
      const result = this.#next.call(this.#iterator);
      if (this.#isAsync) return result;
      const item = this.#itemOf(result);
      if (typeof item !== 'object' || item === null || typeof item.then !== 'function')
        this.pending = false;
      return item;
    } catch (error) {
      this.pending = false;
      this.#done = true;
      throw error;
    }
  }

  /**
   * @param {any} awaited what `next` returned
   * @returns {unknown} an item or END
   * @throws what a result with traps throws
   */
  arrived(awaited) {
    this.pending = false;
    this.#onArrival();
    if (!this.#isAsync) return awaited;
    try {
      return this.#itemOf(awaited);
    } catch (error) {
      this.#done = true;
      throw error;
    }
  }

  /**
   * What `next` returned has rejected: of an async iterator its end, of any other one of its items.
   */
  failed() {
    if (this.pending) this.#done ||= this.#isAsync;
    this.pending = false;
    this.#onArrival();
  }

  /**
   * No more is wanted.
   *
   * @returns {Promise<void> | null} of what the source itself does for it, if it does anything. May be ignored
   */
  stop() {
    if (this.#done) return null;
    this.#done = true;
    const { pending } = this;
    const returned = this.#return();
    const stopped = pending ? this.#waitBriefly(returned) : returned;
    stopped.catch(() => {});
    returned.catch(() => {});
    if (pending) this.#destroyStream();
    return stopped;
  }

  /**
   * The end of a generator has to wait for the item that it owes. Most give theirs at once; one
   * that may never come is not waited for.
   *
   * @param {Promise<void>} returned
   * @returns {Promise<void>}
   */
  #waitBriefly(returned) {
    return new Promise((resolve) => {
      this.#onArrival = () => resolve(returned);
      setImmediate(resolve);
    });
  }

  async #return() {
    const iterator = this.#iterator;
    if (iterator.return !== undefined && iterator.return !== null) await iterator.return();
  }

  /**
   * The iterator of a stream of Node's ends behind its next chunk only; the stream itself need not
   * wait.
   */
  #destroyStream() {
    const stream = this.#iterable;
    try {
      if (typeof stream.pipe === 'function' && typeof stream.destroy === 'function')
        stream.destroy();
    } catch (error) {
      // The consumer waits for what the mapping says next.
      rethrow(error);
    }
  }

  /** @param {any} result */
  #itemOf(result) {
    if (typeof result !== 'object' || result === null)
      throw new TypeError(`Iterator result ${result} is not an object`);
    if (!result.done) return result.value;
    this.#done = true;
    return END;
  }
}

module.exports = { END, Source, assertIterable };
