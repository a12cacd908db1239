'use strict';

// Reads the batches of the native side, row by row. A batch has at most ROWS rows, and the
// event loop runs between two batches: a flood of results must not starve timers and sockets.
//
// What a row costs depends on the program: its listeners run, and its code behind `await`. So a
// batch is delivered in portions, with a turn of the event loop for each, and their size follows
// the time that the last ones took.

const { nextTick, now, setImmediate } = require('../clock');
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

/** Time of a portion, with the code that continues behind it, that halves the next one (ms). */
const PORTION_TIME = 1.5;
/** Rows of the first portion, before any was measured. */
const FIRST_PORTION = 64;

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

class BatchReader {
  /** The fields of all rows. The native side writes them in `drain()`. */
  meta = numberArray(ROWS * FIELDS);
  /** @type {Pick<NativePool, 'drain' | 'blobs' | 'rearm'> | null} */
  #native = null;
  #onRow;
  #onMalformed;
  #recycler;
  /** The batch at hand, until its last row is delivered. @type {OpenBatch | null} */
  #batch = null;
  /** Rows of the next portion, at most. */
  #portion = FIRST_PORTION;

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

  /** The callback of the native side: rows wait. It comes again only after `rearm`. */
  onBatch() {
    let rows = ROWS;
    try {
      // The program is done with most Buffers of earlier batches.
      if (this.#recycler?.isDue) this.#recycler.recycle();
      this.#batch = open(this.#native);
      rows = this.#batch?.count ?? 0;
      this.#deliver();
    } finally {
      // After a single row more rows are rare, and another turn of the event loop would find none.
      if (rows > 1 || this.#native?.rearm()) setImmediate(this.#again);
    }
  }

  #again = () => {
    if (this.#batch !== null) {
      setImmediate(this.#again);
      this.#deliver();
    } else if (this.#native?.rearm()) this.onBatch();
  };

  /** Delivers the next portion of the batch at hand. */
  #deliver() {
    const batch = this.#batch;
    if (batch === null) return;
    const from = batch.next;
    const to = Math.min(batch.count, from + this.#portion);
    batch.next = to;
    if (to === batch.count) this.#batch = null;
    if (to - from > 1 || this.#portion === 1) void this.#measure(to - from, now());
    this.#read(batch, from, to);
  }

  /**
   * Adapts the size of the portions to what this one takes.
   *
   * @param {number} rows of the portion
   * @param {number} start time (by `now`)
   */
  async #measure(rows, start) {
    // The code behind the rows runs in microtasks, and this tick when none is left.
    await undefined;
    nextTick(() => {
      const took = now() - start;
      if (took > PORTION_TIME) this.#portion = Math.max(1, rows >> 1);
      else if (took < PORTION_TIME / 2 && rows === this.#portion) {
        this.#portion = Math.min(ROWS, 2 * rows);
      }
    });
  }

  /**
   * @param {OpenBatch} batch
   * @param {number} from
   * @param {number} to
   */
  #read(batch, from, to) {
    const { meta } = this;
    const { values, strings } = batch;
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
    for (let i = from; i < to; i++) {
      const at = i * FIELDS;
      row.kind = meta[at];
      row.ticket = meta[at + 1];
      row.flags = meta[at + 2];
      row.workerId = meta[at + 3];
      row.pid = meta[at + 4];
      row.attempt = meta[at + 5];
      row.waitTime = meta[at + 6];
      row.runTime = meta[at + 7];
      const text = (row.flags & FLAG.APART) === 0 ? null : strings[batch.nextString++];
      const blobCount = meta[at + 8];
      const firstBlob = batch.nextBlob;
      batch.nextBlob += blobCount;
      let blobs = NO_BLOBS;
      let value;
      try {
        if (text === null && values instanceof Error) throw values;
        if (row.flags >= FLAG.HEAP) assertFits(Math.floor(row.flags / FLAG.HEAP));
        value = text === null ? /** @type {any[]} */ (values)[i] : JSON.parse(text);
        if (blobCount > 0) {
          const texts = textsIn((row.flags & FLAG.BINARY) === 0 ? null : value.binary);
          blobs = batch.native.blobs(firstBlob, blobCount, texts);
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
 * A batch with rows that are not delivered yet. Their fields are in `meta`, so no other is drained
 * meanwhile.
 *
 * @typedef {object} OpenBatch
 * @property {Pick<NativePool, 'blobs'>} native gives the raw bytes
 * @property {number} count of rows
 * @property {unknown[] | Error} values
 * @property {string[]} strings
 * @property {number} next row
 * @property {number} nextString
 * @property {number} nextBlob
 */

/**
 * @param {Pick<NativePool, 'drain' | 'blobs'> | null} native
 * @returns {OpenBatch | null} null: no row waits
 */
function open(native) {
  const batch = native?.drain() ?? null;
  if (native === null || batch === null) return null;
  const [count, json, strings] = batch;
  const values = parseTogether(json);
  return { native, count, values, strings, next: 0, nextString: 0, nextBlob: 0 };
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
