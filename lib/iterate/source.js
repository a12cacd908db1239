'use strict';

// The source of a `map()`: any iterable, read as `for await` reads an iterable.

const { setImmediate } = require('../clock');
const { rethrow } = require('../errors/rethrow');
const { Promise } = require('../intrinsics');
const { invalidType } = require('../options/argument-errors');

/** In place of an item: the source has ended. */
const END = Symbol('end');

/**
 * @param {any} iterable
 * @throws {TypeError} for any other value
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
  /** The iterator has ended, or was told to end. */
  #done = false;
  /**
   * `next` returned a promise, and neither `arrived` nor `failed` was called since; or the iterator
   * is running right now.
   */
  pending = false;
  /** Resolves the wait of `stop` for the pending item. */
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
   * @returns {any} an item or END; if `pending` is set, a promise: call `arrived` with its value,
   *   or `failed`
   * @throws what the iterator throws; the iterator has ended then
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
   * @param {any} awaited the value of the promise that `next` returned
   * @returns {unknown} an item or END
   * @throws what the getters of a result throw
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
   * Notes that the promise of `next` rejected. An async iterator has ended then; a sync iterator
   * gave a rejected promise as an item.
   */
  failed() {
    if (this.pending) this.#done ||= this.#isAsync;
    this.pending = false;
    this.#onArrival();
  }

  /**
   * Ends the iterator.
   *
   * @returns {Promise<void> | null} settles when the iterator has ended; null if it had ended
   *   before; may be ignored
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
   * Waits for the end of an iterator with a pending item only until the next turn of the event
   * loop. A generator ends after its pending item, which may never come.
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

  /** Destroys a Node.js stream at once: its iterator would end only after the next chunk. */
  #destroyStream() {
    const stream = this.#iterable;
    try {
      if (typeof stream.pipe === 'function' && typeof stream.destroy === 'function')
        stream.destroy();
    } catch (error) {
      // The consumer still waits for the mapping.
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
