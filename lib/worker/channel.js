'use strict';

// The worker's end of the channel on descriptor 3: what arrives goes into the port, what is said goes out in one piece.
//
// Replies are collected for as long as a batch of short tasks runs and are written at once, since one system call per
// reply costs half of the throughput. Everything else is written when it is said.

const { Buffer } = require('node:buffer');
const net = require('node:net');
const { exit } = require('./intrinsics');

const DESCRIPTOR = 3;
const READ_BYTES = 64 * 1024;
/** Collected text (in UTF-16 units) that is not held back any longer. */
const FLUSH_LENGTH = 64 * 1024;

class Channel {
  #port;
  #socket = null;
  #text = '';
  #open = true;
  #collecting = true;

  /** @param {import('../../native.cjs').WorkerPort} port */
  constructor(port) {
    this.#port = port;
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
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    const callback = (n) => {
      this.#port.push(buffer, n);
      onBytes();
      return true;
    };
    // Nothing is written through the socket: the port does that, and blocks. allowHalfOpen, because a socket that ended
    // itself when the supervisor does would take the channel away under a reply that is still to come.
    this.#socket = new net.Socket({
      fd: DESCRIPTOR,
      readable: true,
      writable: true,
      allowHalfOpen: true,
      onread: { buffer, callback },
    });
    this.#socket.on('end', onEnd);
    // A reset instead of an orderly end: the supervisor died with bytes of ours unread.
    this.#socket.on('error', onEnd);
    this.#socket.resume();
  }

  /** Adds a line (with its newline) to the batch. */
  reply(line) {
    this.#append(line);
    if (this.#text.length >= FLUSH_LENGTH || !this.#collecting) this.flush();
  }

  /** Writes a line now, behind all that was said before it. */
  say(line) {
    this.#append(line);
    this.flush();
  }

  /** Writes a line and the raw bytes it announces, behind all that was said before it. */
  sayWith(line, blobs) {
    this.flush();
    this.#write(() => this.#port.writeWith(line, blobs));
  }

  /** Returns when the kernel has all that was said. */
  flush() {
    const text = this.#text;
    if (text === '') return;
    this.#text = '';
    this.#write(() => this.#port.write(text));
  }

  /** From now on nothing is held back: the process is about to exit, and no later moment may come. */
  stopCollecting() {
    this.#collecting = false;
    this.flush();
  }

  /** Says goodbye: the supervisor sees the end of the stream. */
  close() {
    this.flush();
    this.#open = false;
    this.#socket?.end(() => this.#socket.destroy());
  }

  #append(line) {
    // Two large lines together may be longer than a string can be.
    if (line.length >= FLUSH_LENGTH) this.flush();
    this.#text += line;
  }

  #write(write) {
    // After process.disconnect(), as under fork, what is still said is lost.
    if (!this.#open) return;
    try {
      write();
    } catch {
      // The writes block, so there is one way for them to fail: the other side is gone. Then there is nobody to work
      // for, and nobody to tell.
      this.#open = false;
      exit(1);
    }
  }
}

module.exports = { Channel };
