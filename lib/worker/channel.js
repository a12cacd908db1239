'use strict';

// The worker's end of the channel on descriptor 3: what arrives goes into the port, what is said
// goes out in one piece.
//
// The replies of short tasks are written several at a time, since one system call for each costs
// half of the throughput. Until then they are held where they survive this process. Everything else
// is written when it is said.

const { exit } = require('./intrinsics');
const { listen } = require('./listen');
const { DURING_USER_CODE } = require('./result-kinds');

/** Replies that are held back at most, and their text in UTF-16 units. */
const FLUSH_LINES = 256;
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

  /** @param {import('./native-port').Port} port */
  constructor(port) {
    this.#port = port;
    // Asked for once, as a method would look its object up each time.
    this.#appendResult = port.replier();
  }

  get open() {
    return this.#open;
  }

  /**
   * Begins to read.
   *
   * @param {() => void} onBytes bytes were given to the port
   * @param {() => void} onEnd the supervisor has closed its side, or is gone
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
    const full = this.#lines >= FLUSH_LINES || this.#text.length >= FLUSH_LENGTH;
    if (full || !this.#batching) this.flush();
  }

  /**
   * Writes a line now, behind all that was said before it.
   *
   * @param {string} line
   */
  write(line) {
    this.#append(line);
    this.flush();
  }

  /**
   * Writes a line and the raw bytes it announces, behind all that was said before it.
   *
   * @param {(shared: number) => string} lineFor makes it; `shared`: where the bytes are in the shared memory, or -1
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
   * Puts what was not written yet into hands that can write it while user code keeps this thread.
   */
  journal() {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    this.#tryWrite(() => this.#port.hold(text));
  }

  /**
   * Adds a result to the batch. The usual reply of a task, which is why no line is put together for
   * it here.
   *
   * @param {number} id
   * @param {number} elapsed µs
   * @param {number} kind 0: a value, 1: a whole envelope, 2: undefined, 3: in V8's format
   * @param {string} json
   * @param {boolean} duringUserCode user code goes on: it must not keep the result back
   */
  result(id, elapsed, kind, json, duringUserCode) {
    if (!this.#open) return;
    this.journal();
    try {
      this.#appendResult(id, elapsed, duringUserCode ? kind + DURING_USER_CODE : kind, json);
    } catch {
      this.#disconnected();
    }
    this.#lines += 1;
    if (this.#lines >= FLUSH_LINES || !this.#batching) this.flush();
  }

  /** Returns when the kernel has all that was said. */
  flush() {
    const text = this.#text;
    if (this.#lines === 0 && text === '') return;
    this.#text = '';
    this.#lines = 0;
    this.#tryWrite(() => this.#port.write(text));
  }

  /**
   * From now on nothing is held back: the process is about to exit, and no later moment may come.
   */
  stopBatching() {
    this.#batching = false;
    this.flush();
  }

  /** Says goodbye: the supervisor sees the end of the stream. */
  close() {
    this.flush();
    this.#open = false;
    this.#stopListening?.();
  }

  /** @param {string} line */
  #append(line) {
    // Two large lines together may be longer than a string can be.
    if (line.length >= FLUSH_LENGTH) this.flush();
    this.#text += line;
  }

  /** @param {() => void} write */
  #tryWrite(write) {
    // After process.disconnect(), as under fork, what is still said is lost.
    if (!this.#open) return;
    try {
      write();
    } catch {
      this.#disconnected();
    }
  }

  #disconnected() {
    // The writes block, so there is one way for them to fail: the other side is gone. Then there is
    // nobody to work for, and nobody to tell.
    this.#open = false;
    exit(1);
  }
}

module.exports = { Channel };
