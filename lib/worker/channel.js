'use strict';

// The worker's end of the channel on descriptor 3. Incoming bytes go into the native port; outgoing
// lines leave in whole pieces.
//
// The replies of short tasks are written in batches, because one system call per reply would halve
// the throughput. Until then the port journals them in memory that survives this process.
// Everything else is written at once.

const { exit } = require('./intrinsics');
const { listen } = require('./listen');
const { RESULT } = require('./native-port');

/** Bounds of one batch: replies, and UTF-16 units of their text. */
const FLUSH_REPLIES = 256;
const FLUSH_LENGTH = 64 * 1024;

class Channel {
  #port;
  /** @type {(() => void) | null} */
  #stopListening = null;
  #text = '';
  #lines = 0;
  #open = true;
  #batching = true;

  #appendResult;
  #mayHold;

  /** @param {import('./native-port').Port} port */
  constructor(port) {
    this.#port = port;
    // Bound once, because a native method call would resolve its object each time.
    this.#appendResult = port.createReply();
    this.#mayHold = port.createMayHold();
  }

  get open() {
    return this.#open;
  }

  /**
   * Starts reading.
   *
   * @param {() => void} onBytes called when the port has new bytes
   * @param {() => void} onEnd called when the supervisor has closed its side or has died
   */
  listen(onBytes, onEnd) {
    this.#stopListening = listen(this.#port, onBytes, onEnd);
  }

  /**
   * Adds a line to the batch.
   *
   * @param {string} line with its newline
   */
  batch(line) {
    this.#append(line);
    this.#lines += 1;
    const full = this.#lines >= FLUSH_REPLIES || this.#text.length >= FLUSH_LENGTH;
    if (full || !this.#batching) this.flush();
  }

  /**
   * Writes a line now, after all earlier lines.
   *
   * @param {string} line
   */
  write(line) {
    this.#append(line);
    this.flush();
  }

  /**
   * Writes a line and the raw bytes it announces, after all earlier lines.
   *
   * @param {(shared: number) => string} lineFor makes the line; `shared`: offset of the bytes in
   *   the shared memory, -1: the bytes follow the line
   * @param {Uint8Array[]} blobs
   */
  writeWithBytes(lineFor, blobs) {
    if (!this.#open) return;
    const shared = this.#port.share(blobs);
    const line = lineFor(shared);
    if (shared >= 0) {
      this.write(line);
      return;
    }
    this.flush();
    this.#tryWrite(() => this.#port.writeWith(line, blobs));
  }

  /**
   * Hands the unwritten lines to the port, which writes them in time even while user code blocks
   * this thread: within a millisecond, or the longer time that the supervisor allows.
   */
  journal() {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    this.#tryWrite(() => this.#port.hold(text));
  }

  /**
   * Adds a result to the batch. Most tasks end here, so the port builds the line, not JavaScript.
   *
   * @param {number} id of the attempt
   * @param {number} elapsed µs
   * @param {number} kind one of `RESULT`
   * @param {string} json
   * @param {boolean} duringUserCode user code continues and must not delay the result
   */
  result(id, elapsed, kind, json, duringUserCode) {
    if (!this.#open) return;
    this.journal();
    try {
      this.#appendResult(id, elapsed, duringUserCode ? kind + RESULT.DURING_USER_CODE : kind, json);
    } catch {
      this.#disconnected();
    }
    this.#lines += 1;
    if (this.#lines >= FLUSH_REPLIES || !this.#batching) this.flush();
  }

  /** Writes the batch; returns when the kernel has taken all of it. */
  flush() {
    const text = this.#text;
    if (this.#lines === 0 && text === '') return;
    this.#text = '';
    this.#lines = 0;
    this.#tryWrite(() => this.#port.write(text));
  }

  /**
   * Writes the batch, unless the supervisor allows it to wait until the next task has ended.
   *
   * @param {number} next expected duration of that task (ms)
   */
  flushUnlessHeld(next) {
    if (this.#lines === 0 && this.#text === '') return;
    this.journal();
    if (this.#mayHold(next) === 0) this.flush();
  }

  /** Stops batching: the process is about to exit, so no later flush is certain. */
  stopBatching() {
    this.#batching = false;
    this.flush();
  }

  /** Closes this side: the supervisor sees the end of the stream. */
  close() {
    this.flush();
    this.#open = false;
    this.#stopListening?.();
  }

  /** @param {string} line */
  #append(line) {
    // Two large lines together may exceed the longest possible string.
    if (line.length >= FLUSH_LENGTH) this.flush();
    this.#text += line;
  }

  /** @param {() => void} write */
  #tryWrite(write) {
    // After process.disconnect(), later writes are lost, as under fork.
    if (!this.#open) return;
    try {
      write();
    } catch {
      this.#disconnected();
    }
  }

  #disconnected() {
    // Writes block, so they fail for one reason only: the supervisor is gone. No work and no reader
    // is left.
    this.#open = false;
    exit(1);
  }
}

module.exports = { Channel };
