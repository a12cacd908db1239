'use strict';

// Has V8 collect Buffers while their memory is warm.
//
// Memory of raw bytes is reused once V8 has collected the Buffers over it. V8 sees small objects in
// them and is in no hurry: it collects them with 64 MiB of others, by a mark-sweep of the whole
// heap. Until then all bytes go to memory that is cold or fresh, which costs more than their
// copies. A collection of the young generation, in which most Buffers die, takes a fraction of a
// millisecond.
//
// Such a collection frees no Buffer that the program keeps. If it gives back too little, the next
// one waits for twice the bytes.

const native = require('../native');
const { minorCollection } = require('./minor-collection');

const MEBIBYTE = 1024 * 1024;

/** Bytes handed out before a collection. V8 collects by itself beyond the upper bound. */
const MIN_THRESHOLD = 8 * MEBIBYTE;
const MAX_THRESHOLD = 64 * MEBIBYTE;
/** Bytes handed out between two checks. */
const CHECK_INTERVAL = MEBIBYTE;
/** The size (bytes) below which the addon copies a Buffer into memory of V8. */
const SMALL = 16 * 1024;
/** The fraction of the new bytes that a collection must give back to be worth its time. */
const WORTH = 0.5;

const { max, min } = Math;

class Recycler {
  #externalBytes;
  #prepare;
  /** @type {(() => void) | null | undefined} undefined until the first collection */
  #collect;
  #due = false;
  #threshold = MIN_THRESHOLD;
  /** Bytes handed out since the last collection; those since the last check are not in it. */
  #handedOut = 0;
  #unchecked = 0;
  /**
   * The last collection, until it is judged: the bytes that Buffers held before it, and those that
   * had been handed out since the collection before.
   *
   * @type {{ held: number, handedOut: number } | null}
   */
  #last = null;

  /**
   * @param {() => number} externalBytes returns the bytes that uncollected Buffers hold
   * @param {() => (() => void) | null} prepare makes the function that collects; null: none exists
   */
  constructor(externalBytes, prepare) {
    this.#externalBytes = externalBytes;
    this.#prepare = prepare;
  }

  /** True if a collection pays. The caller chooses a moment at which no Buffer is in use. */
  get isDue() {
    return this.#due;
  }

  /** @param {(Uint8Array | string)[]} blobs handed out to the program; only Buffers count */
  count(blobs) {
    for (let i = 0; i < blobs.length; i++) {
      const blob = blobs[i];
      if (typeof blob !== 'string' && blob.length >= SMALL) this.#unchecked += blob.length;
    }
    if (this.#unchecked < CHECK_INTERVAL) return;
    this.#handedOut += this.#unchecked;
    this.#unchecked = 0;
    if (this.#handedOut >= this.#threshold) this.#check();
  }

  /** Collects. Takes a fraction of a millisecond. */
  recycle() {
    this.#due = false;
    if (this.#collect === undefined) this.#collect = this.#prepare();
    this.#last = { held: this.#externalBytes(), handedOut: this.#handedOut };
    this.#handedOut = 0;
    this.#collect?.();
  }

  #check() {
    const held = this.#externalBytes();
    this.#judge(held);
    // If Buffers hold little, V8 has just collected by itself.
    const enough = min(this.#handedOut, held) >= this.#threshold;
    this.#due = enough && this.#collect !== null;
  }

  /**
   * Judges the last collection. Memory comes back in later turns of the event loop, and late on a
   * busy machine, so this counts all that came back until now.
   *
   * @param {number} held
   */
  #judge(held) {
    if (this.#last === null) return;
    const returned = this.#last.held + this.#handedOut - held;
    const isWorth = returned >= this.#last.handedOut * WORTH;
    this.#threshold = isWorth
      ? max(this.#threshold / 2, MIN_THRESHOLD)
      : min(this.#threshold * 2, MAX_THRESHOLD);
    this.#last = null;
  }
}

/** The recycler of this thread, which all of its pools share, because they share its heap. */
const recycler = new Recycler(native.externalBytes, minorCollection);

module.exports = { Recycler, recycler };
