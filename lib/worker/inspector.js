'use strict';

// Node's inspector, which the supervisor opens by SIGUSR1 to see where an overdue task hangs. Node
// opens the inspector on the loopback interface. The worker closes it as soon as JavaScript runs
// again.

const process = require('node:process');
const { setImmediate, setTimeout } = require('../clock');

/**
 * Time after which to close the inspector again (ms). The supervisor has stopped asking by then,
 * but its signal may open the inspector late.
 */
const LATE_CLOSE = 2_000;

class Inspector {
  #node;

  /**
   * Must be created before user code runs. An inspector that is already open belongs to the user
   * and stays open.
   */
  constructor() {
    const node = require('node:inspector');
    this.#node = node.url() === undefined ? node : null;
    // Use any free port: several workers do this, and the user may debug something on the usual
    // one.
    if (this.#node !== null) process.debugPort = 0;
  }

  /** Closes the inspector, because the supervisor has the stack or has stopped asking. */
  close() {
    const node = this.#node;
    if (node === null) return;
    const close = () => {
      if (node.url() !== undefined) node.close();
    };
    // Closing is slow, and the task that is being aborted need not wait for that.
    setImmediate(close);
    // The signal may arrive before the inspector it opens.
    setTimeout(close, LATE_CLOSE).unref();
  }
}

module.exports = { Inspector };
