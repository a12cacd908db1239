'use strict';

// The async iterator of `stream()` over the values of one task. The pool keeps the same object as
// its record of the task.
//
//   handler ─▶ yield ─▶ chunk ─▶ push ─▶ [ values ] ─▶ next()
//                ▲                                       │
//                └──────────────── credit ◀──────────────┘
//
// At most `highWaterMark` values are on their way or unread. The worker gets new credit when the
// reader has taken half as many values: credit for each value would cost more than the value.

const { fromCaller } = require('../errors/caller');
const { Promise } = require('../intrinsics');
const { Fifo } = require('./fifo');
const { PendingReads } = require('./pending-reads');

/** @typedef {{ ticket: number, highWaterMark: number }} Opened */

/** @implements {AsyncIterableIterator<any>} */
class TaskStream {
  /** @type {string | number} */
  id = 0;
  #pool;
  /** Null before the first `next()`. @type {Opened | null} */
  #opened = null;
  /** The task is settled, or the reader has stopped. */
  #ended = false;
  /**
   * The failure of the task, until a `next()` rejects with it.
   *
   * @type {{ error: unknown } | null}
   */
  #failure = null;
  /** @type {Fifo<any>} */
  #values = new Fifo();
  /** Has calls only while `#values` is empty. */
  #reads = new PendingReads();
  /** Values taken since the worker got its last credit. */
  #taken = 0;

  /**
   * @param {object} pool
   * @param {(stream: TaskStream) => Opened} pool.open submits the task
   * @param {(ticket: number, count: number) => void} pool.credit
   * @param {(ticket: number) => void} pool.cancel
   */
  constructor(pool) {
    this.#pool = pool;
  }

  get emitsEvents() {
    return /** @type {const} */ (false);
  }

  get awaited() {
    return !this.#ended;
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  /** @returns {Promise<IteratorResult<any>>} */
  next() {
    if (this.#opened === null && !this.#ended) {
      try {
        this.#opened = this.#pool.open(this);
      } catch (error) {
        this.#ended = true;
        return Promise.reject(fromCaller(error, TaskStream.prototype.next));
      }
    }
    if (this.#values.size > 0) {
      const value = this.#values.shift();
      this.#take();
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return this.#end();
    return this.#reads.add();
  }

  /**
   * @param {any} [value]
   * @returns {Promise<IteratorResult<any>>}
   */
  return(value) {
    this.#stop();
    return Promise.resolve({ done: true, value });
  }

  /**
   * @param {unknown} [error]
   * @returns {Promise<IteratorResult<any>>}
   */
  throw(error) {
    this.#stop();
    return Promise.reject(error);
  }

  // ---- Called by the pool.

  /**
   * @param {unknown} value
   * @returns {boolean} whether the worker had credit for the value
   */
  push(value) {
    if (this.#ended) return true;
    if (this.#reads.size === 0) {
      this.#values.push(value);
      return this.#values.size <= (this.#opened?.highWaterMark ?? 0);
    }
    this.#take();
    this.#reads.resolve(value);
    return true;
  }

  /**
   * Ends the stream: the task is settled.
   *
   * @param {unknown} [value] the only value, from a worker that does not implement streams
   */
  resolve(value) {
    if (value !== undefined) this.push(value);
    this.#ended = true;
    this.#reads.end();
  }

  /** @param {unknown} error */
  reject(error) {
    if (this.#ended) return;
    this.#ended = true;
    if (!this.#reads.reject(error)) this.#failure = { error };
    this.resolve();
  }

  // ----

  /** Returns the failure once, and the end of the stream from then on. */
  #end() {
    const failure = this.#failure;
    this.#failure = null;
    /** @type {Promise<IteratorResult<any>>} */
    const end =
      failure === null
        ? Promise.resolve({ done: true, value: undefined })
        : Promise.reject(failure.error);
    return end;
  }

  #take() {
    if (this.#opened === null || this.#ended) return;
    const { ticket, highWaterMark } = this.#opened;
    this.#taken += 1;
    if (this.#taken * 2 < highWaterMark) return;
    this.#pool.credit(ticket, this.#taken);
    this.#taken = 0;
  }

  /** Ends the stream for its reader, and cancels the task. */
  #stop() {
    const goesOn = this.#opened !== null && !this.#ended;
    this.#values = new Fifo();
    this.#failure = null;
    this.resolve();
    if (goesOn) this.#pool.cancel(/** @type {Opened} */ (this.#opened).ticket);
  }
}

module.exports = { TaskStream };
