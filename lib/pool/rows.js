'use strict';

// Reads what the native side has collected, row by row. It hands over as many rows as there are, at
// most BATCH_ROWS at a time, and the event loop gets its turn in between: a pool that is flooded with
// results must not starve timers and sockets.

const { setImmediate } = require('../clock');
const { decode } = require('../codec/serialize');
const { rethrow } = require('../errors/rethrow');
const { assertFits } = require('../platform/heap');
const { numberArray } = require('../platform/number-array');

/**
 * Fields of a row: kind, ticket, flags, worker, pid, attempt, waiting time, running time, number of
 * blobs.
 */
const FIELDS = 9;
/** About half a millisecond of work, were they all small results. */
const BATCH_ROWS = 1024;

const KIND = Object.freeze({
  RESULT: 0,
  TASK_ERROR: 1,
  TASK_FAILED: 2,
  MESSAGE: 3,
  PROGRESS: 4,
  EVENT: 5,
  STDOUT: 6,
  STDERR: 7,
  CHUNK: 8,
});

const FLAG = Object.freeze({
  /** The value is undefined. */
  UNDEFINED: 1,
  /** The value is the whole envelope of a result. */
  ENVELOPE: 2,
  /** The value's JSON is a text of its own, too long to be parsed together with others. */
  APART: 4,
  /** The value is in V8's format: a blob, or text if there is none. */
  V8: 8,
  /** The value is `{ value, binary }`, and blobs belong into it. */
  BINARY: 16,
  /**
   * This and its multiples: the MiB of the heap that the value's text may become, where that is
   * worth a look.
   */
  HEAP: 256,
});

/** @type {Buffer[]} */
const NO_BLOBS = [];

/**
 * @typedef {object} Row
 * @property {number} kind
 * @property {number} ticket
 * @property {number} flags
 * @property {number} workerId
 * @property {number} pid of that worker; 0 where the row is not something that it said
 * @property {number} attempt
 * @property {number} waitTime ms
 * @property {number} runTime ms
 */

/** @typedef {import('../native').NativePool} NativePool */
/** @typedef {import('../native').NativeBatch} NativeBatch */

class BatchReader {
  /** Field by field, row by row; written by the native side in `drain()`. */
  meta = numberArray(BATCH_ROWS * FIELDS);
  /** @type {Pick<NativePool, 'drain' | 'rearm'> | null} */
  #native = null;
  #onRow;
  #onMalformed;

  /**
   * What either function throws is rethrown outside, and the rows that follow are delivered.
   *
   * @param {(row: Row, value: any, blobs: Buffer[]) => void} onRow gets a row that is used again for the next one
   * @param {(row: Row, error: unknown) => void} onMalformed its value cannot be read
   */
  constructor(onRow, onMalformed) {
    this.#onRow = onRow;
    this.#onMalformed = onMalformed;
  }

  /** @param {Pick<NativePool, 'drain' | 'rearm'>} native */
  attach(native) {
    this.#native = native;
  }

  detach() {
    this.#native = null;
  }

  /** The native side's callback: there is something to read. */
  onBatch() {
    let rows = BATCH_ROWS;
    try {
      rows = this.#drain();
    } finally {
      // Behind a single row there is hardly ever more to read, and another turn of the event loop
      // would find nothing.
      if (rows > 1 || this.#native?.rearm()) setImmediate(this.#again);
    }
  }

  #again = () => {
    if (this.#native?.rearm()) this.onBatch();
  };

  /** @returns {number} of rows */
  #drain() {
    const batch = this.#native?.drain() ?? null;
    if (batch !== null) this.#read(batch);
    return batch === null ? 0 : batch[0];
  }

  /** @param {NativeBatch} batch */
  #read([count, json, strings, blobs]) {
    const { meta } = this;
    const values = parseTogether(json);
    const row = {
      kind: 0,
      ticket: 0,
      flags: 0,
      workerId: 0,
      pid: 0,
      attempt: 0,
      waitTime: 0,
      runTime: 0,
    };
    let nextString = 0;
    let nextBlob = 0;
    for (let i = 0; i < count; i++) {
      const at = i * FIELDS;
      row.kind = meta[at];
      row.ticket = meta[at + 1];
      row.flags = meta[at + 2];
      row.workerId = meta[at + 3];
      row.pid = meta[at + 4];
      row.attempt = meta[at + 5];
      row.waitTime = meta[at + 6];
      row.runTime = meta[at + 7];
      const text = (row.flags & FLAG.APART) === 0 ? null : strings[nextString++];
      const blobCount = meta[at + 8];
      const own = blobCount === 0 ? NO_BLOBS : blobs.slice(nextBlob, nextBlob + blobCount);
      nextBlob += blobCount;
      let value;
      try {
        if (text === null && values instanceof Error) throw values;
        if (row.flags >= FLAG.HEAP) assertFits(Math.floor(row.flags / FLAG.HEAP));
        value = readValue(
          row.flags,
          text === null ? /** @type {unknown[]} */ (values)[i] : JSON.parse(text),
          own,
        );
      } catch (error) {
        this.#malformed(row, error);
        continue;
      }
      try {
        this.#onRow(row, value, own);
      } catch (error) {
        rethrow(error);
      }
    }
  }

  /**
   * @param {Row} row
   * @param {unknown} error
   */
  #malformed(row, error) {
    try {
      this.#onMalformed(row, error);
    } catch (thrown) {
      rethrow(thrown);
    }
  }
}

/**
 * The native side has checked each value, so that this cannot fail for what a worker sent. Should
 * it fail all the same, every row of the batch is told, and no task is left waiting.
 *
 * @param {string} json
 * @returns {unknown[] | Error}
 */
function parseTogether(json) {
  try {
    return JSON.parse(json);
  } catch (error) {
    return /** @type {Error} */ (error);
  }
}

/**
 * @param {number} flags
 * @param {any} value parsed
 * @param {Buffer[]} blobs of this row
 */
function readValue(flags, value, blobs) {
  if ((flags & (FLAG.UNDEFINED | FLAG.V8 | FLAG.BINARY)) === 0) return value;
  if ((flags & FLAG.V8) !== 0) return decode(value, { encoding: 'v8' }, blobs);
  if ((flags & FLAG.BINARY) !== 0) return decode(value.value, { binary: value.binary }, blobs);
  return undefined;
}

module.exports = { BatchReader, FLAG, KIND };
