'use strict';

// Reads the batches of the native side, row by row. A batch has at most ROWS rows, and the
// event loop runs between two batches: a flood of results must not starve timers and sockets.

const { setImmediate } = require('../clock');
const { textsIn } = require('../codec/long-strings');
const { decode } = require('../codec/serialize');
const { rethrow } = require('../errors/rethrow');
const native = require('../native');
const { assertFits } = require('../platform/heap');
const { numberArray } = require('../platform/number-array');

/**
 * `FIELDS` of a row: kind, ticket, flags, worker, pid, attempt, waiting time, running time, number
 * of blobs. `ROWS`: at most in a batch; about half a millisecond of work if they are small results.
 */
const { FIELDS, ROWS, KIND, FLAG } = native.rowConstants();

/** @typedef {(Buffer | string)[]} Blobs raw bytes; those of a long string may be the string */

/** @type {Blobs} */
const NO_BLOBS = [];

/**
 * @typedef {object} Row
 * @property {number} kind
 * @property {number} ticket
 * @property {number} flags
 * @property {number} workerId
 * @property {number} pid of that worker; 0 if the row does not come from a worker
 * @property {number} attempt
 * @property {number} waitTime ms
 * @property {number} runTime ms
 */

/** @typedef {import('../native').NativePool} NativePool */
/** @typedef {import('../native').NativeBatch} NativeBatch */

class BatchReader {
  /** The fields of all rows. The native side writes them in `drain()`. */
  meta = numberArray(ROWS * FIELDS);
  /** @type {Pick<NativePool, 'drain' | 'blobs' | 'rearm'> | null} */
  #native = null;
  #onRow;
  #onMalformed;
  #recycler;

  /**
   * An error that either function throws becomes an uncaught exception. Later rows are delivered
   * all the same.
   *
   * @param {(row: Row, value: any, blobs: Blobs) => void} onRow gets an object that is reused
   *   for the next row
   * @param {(row: Row, error: unknown) => void} onMalformed gets a row whose value cannot be read
   * @param {import('../platform/recycler').Recycler | null} recycler null: V8 alone decides when it
   *   collects the Buffers of rows
   */
  constructor(onRow, onMalformed, recycler) {
    this.#onRow = onRow;
    this.#onMalformed = onMalformed;
    this.#recycler = recycler;
  }

  /** @param {Pick<NativePool, 'drain' | 'blobs' | 'rearm'>} native */
  attach(native) {
    this.#native = native;
  }

  detach() {
    this.#native = null;
  }

  /** The callback of the native side: rows wait. */
  onBatch() {
    let rows = ROWS;
    try {
      rows = this.#drain();
    } finally {
      // After a single row more rows are rare, and another turn of the event loop would find none.
      if (rows > 1 || this.#native?.rearm()) setImmediate(this.#again);
    }
  }

  #again = () => {
    if (this.#native?.rearm()) this.onBatch();
  };

  /** @returns {number} of rows */
  #drain() {
    // The program is done with most Buffers of earlier batches.
    if (this.#recycler?.isDue) this.#recycler.recycle();
    const native = this.#native;
    const batch = native?.drain() ?? null;
    if (native === null || batch === null) return 0;
    this.#read(native, batch);
    return batch[0];
  }

  /**
   * @param {Pick<NativePool, 'blobs'>} native
   * @param {NativeBatch} batch
   */
  #read(native, [count, json, strings]) {
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
      const firstBlob = nextBlob;
      nextBlob += blobCount;
      let blobs = NO_BLOBS;
      let value;
      try {
        if (text === null && values instanceof Error) throw values;
        if (row.flags >= FLAG.HEAP) assertFits(Math.floor(row.flags / FLAG.HEAP));
        value = text === null ? /** @type {any[]} */ (values)[i] : JSON.parse(text);
        if (blobCount > 0) {
          const texts = textsIn((row.flags & FLAG.BINARY) === 0 ? null : value.binary);
          blobs = native.blobs(firstBlob, blobCount, texts);
          this.#recycler?.count(blobs);
        }
        value = readValue(row.flags, value, blobs);
      } catch (error) {
        this.#malformed(row, error);
        continue;
      }
      try {
        this.#onRow(row, value, blobs);
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
 * Parses the values of a batch together. The native side has checked each value, so a worker cannot
 * make this fail. If parsing fails all the same, every row of the batch gets the error, and no task
 * stays unsettled.
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
 * @param {Blobs} blobs of this row
 */
function readValue(flags, value, blobs) {
  if ((flags & (FLAG.UNDEFINED | FLAG.V8 | FLAG.BINARY)) === 0) return value;
  if ((flags & FLAG.V8) !== 0) return decode(value, { encoding: 'v8' }, blobs);
  if ((flags & FLAG.BINARY) !== 0) return decode(value.value, { binary: value.binary }, blobs);
  return undefined;
}

module.exports = { BatchReader, FLAG, KIND };
