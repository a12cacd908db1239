'use strict';

// Sends the values of a streamed task one by one, no faster than the reader takes them. `credit`
// frames say how many chunks may be in flight. Without credit the generator stays suspended at its
// yield.

const { Promise } = require('./intrinsics');

const { asyncIterator, iterator } = Symbol;

class Credit {
  #left;
  /** @type {(() => void) | null} */
  #resume = null;

  /** @param {number} first */
  constructor(first) {
    this.#left = first;
  }

  get spent() {
    return this.#left <= 0;
  }

  spend() {
    this.#left -= 1;
  }

  /** @param {number} count */
  add(count) {
    this.#left += count;
    this.wake();
  }

  /** Ends `wait`: there is more credit, or the task has been aborted. */
  wake() {
    const resume = this.#resume;
    this.#resume = null;
    resume?.();
  }

  /** @returns {Promise<void>} resolved by `wake` */
  wait() {
    return new Promise((resolve) => {
      this.#resume = resolve;
    });
  }
}

/**
 * @param {import('./context').Task} task
 * @param {Credit} credit
 * @param {any} returned the handler's return value
 * @param {import('./frame-writer').FrameWriter} writer
 */
async function stream(task, credit, returned, writer) {
  const source = await returned;
  if (!isIterable(source))
    throw new TypeError(`the handler of a stream must return an iterable, not ${kindOf(source)}`);
  let index = 0;
  for await (const value of source) {
    writer.chunk(task.id, index++, value);
    credit.spend();
    if (credit.spent && task.aborted === undefined) {
      writer.flush();
      await credit.wait();
    }
    // Leaving the loop ends the generator, with its `finally`.
    if (task.aborted !== undefined) return;
  }
}

/** @param {any} value */
function isIterable(value) {
  return (
    typeof value === 'object' && value !== null && (asyncIterator in value || iterator in value)
  );
}

/** @param {unknown} value */
function kindOf(value) {
  return value === null
    ? 'null'
    : typeof value === 'object'
      ? 'a non-iterable object'
      : `a value of type ${typeof value}`;
}

module.exports = { Credit, stream };
