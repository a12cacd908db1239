'use strict';

// The debugger that the supervisor has Node open, by SIGUSR1, in order to see where an overdue task
// hangs. Node opens it on the loopback interface; it is closed again as soon as JavaScript gets to
// it.

const process = require('node:process');
const { setImmediate, setTimeout } = require('../clock');

/**
 * ms after which the supervisor has given up asking; a debugger that opened so late was not closed
 * before.
 */
const LATE_CLOSE = 2_000;

class Inspector {
  #node;

  /** To be made before user code runs: one that is open by then is the user's, and stays open. */
  constructor() {
    const node = require('node:inspector');
    this.#node = node.url() === undefined ? node : null;
    // Any port that is free, as other workers do the same. The usual one may be where this one's
    // user debugs something.
    if (this.#node !== null) process.debugPort = 0;
  }

  /** The supervisor has seen what it wanted, or has given up. */
  close() {
    const node = this.#node;
    if (node === null) return;
    const close = () => {
      if (node.url() !== undefined) node.close();
    };
    // It takes a while, for which the task that is being aborted need not wait.
    setImmediate(close);
    // The signal may be quicker than what it causes.
    setTimeout(close, LATE_CLOSE).unref();
  }
}

module.exports = { Inspector };
