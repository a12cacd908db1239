// Readers of `map()` and `stream()`. They read to the end or leave early, ahead of the results or
// late.

import { Planned } from './bad-calls.mjs';
import { brief } from './brief.mjs';

/** Pending calls of `next()` of a reader that is ahead. */
const AHEAD = 3;

/**
 * @typedef {object} Reading
 * @property {unknown[]} values
 * @property {any} error
 * @property {boolean} isComplete the iterator has told its end
 */

/**
 * @param {import('./world.mjs').World} world
 * @param {AsyncIterableIterator<unknown>} iterator
 * @param {{ label: string, reader: string, isEndless: boolean }} how `isEndless`: only the end of the pool ends it
 * @returns {Promise<Reading>}
 */
export async function read(world, iterator, { label, reader, isEndless }) {
  /** @type {Reading} */
  const reading = { values: [], error: undefined, isComplete: false };
  // A reader has to leave where the pool is not closed.
  let hasLeft = false;
  let hasEnded = false;
  if (isEndless && world.endsOpen) {
    world.released.then(() => {
      hasLeft = true;
      iterator.return?.();
    });
  }
  const once = async () => {
    const { done, value } = await iterator.next();
    if (!done) reading.values.push(value);
    else if (hasLeft) hasEnded = true;
    else reading.isComplete = hasEnded = true;
    return done;
  };
  try {
    if (reader === 'leaves' || reader === 'throws') {
      if (!(await once())) await leave(world, iterator, { label, reader });
      reading.isComplete = false;
      return reading;
    }
    if (reader === 'parks') {
      if (await once()) return reading;
      await world.released;
    }
    const atOnce = reader === 'ahead' ? AHEAD : 1;
    while (!hasEnded) await all(Array.from({ length: atOnce }, once));
  } catch (error) {
    reading.error = error;
    reading.isComplete = true;
    const after = await iterator.next().catch((again) => ({ error: again }));
    if (!('done' in after) || after.done !== true)
      world.wrong('iterators', `${label}: after its error comes ${brief(after)}`);
  }
  return reading;
}

/** Waits for all promises, and throws the first error, so that no rejection is unhandled. */
async function all(promises) {
  const settled = await Promise.allSettled(promises);
  for (const outcome of settled) if (outcome.status === 'rejected') throw outcome.reason;
}

async function leave(world, iterator, { label, reader }) {
  if (reader === 'leaves') {
    const result = await iterator.return('bye');
    if (result.done !== true || result.value !== 'bye')
      world.wrong('iterators', `${label}: return() gives ${brief(result)}`);
  } else {
    const planned = new Planned('by the reader');
    const error = await iterator.throw(planned).then(
      (value) => value,
      (reason) => reason,
    );
    if (error !== planned) world.wrong('iterators', `${label}: throw() gives ${brief(error)}`);
  }
  const after = await iterator.next();
  if (after.done !== true)
    world.wrong('iterators', `${label}: after leaving comes ${brief(after)}`);
}
