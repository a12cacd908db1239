'use strict';

// Ends a worker, on request of the supervisor or because the pool is gone.

const console = require('node:console');
const process = require('node:process');
const { Promise, exit } = require('./intrinsics');

class Shutdown {
  #channel;
  #ipc;
  #stopRequested = false;
  #tearingDown = false;

  /**
   * @param {import('./channel').Channel} channel
   * @param {import('./ipc').Ipc} ipc
   */
  constructor(channel, ipc) {
    this.#channel = channel;
    this.#ipc = ipc;
  }

  /**
   * Notes that the supervisor has asked the worker to stop. From now on it may close its side
   * before running tasks have ended.
   */
  stopRequested() {
    this.#stopRequested = true;
  }

  /**
   * Tears down after the last task and exits; the exit code is 1 if the teardown fails.
   *
   * @param {import('./module-program').Program} program
   * @param {import('./context').WorkerContext} context
   */
  async stop(program, context) {
    if (this.#tearingDown) return;
    this.#tearingDown = true;
    let code = 0;
    try {
      await program.teardown(context);
    } catch (thrown) {
      // The teardown has no caller to reject to, so report the error as Node reports an uncaught
      // one.
      console.error(thrown);
      code = 1;
    }
    await flushStdio();
    this.#exit(code);
  }

  /** Exits because the supervisor has closed its side, unless it has asked for a stop before. */
  parentGone() {
    if (!this.#stopRequested) this.#exit(0);
  }

  /** @param {number} code */
  #exit(code) {
    this.#channel.flush();
    this.#ipc.disconnected();
    exit(code);
  }
}

/**
 * Waits for the standard streams: writes to a pipe are asynchronous, and an exit would discard
 * them.
 */
async function flushStdio() {
  await flushStream('stdout');
  await flushStream('stderr');
}

/** @param {'stdout' | 'stderr'} name */
async function flushStream(name) {
  try {
    const stream = process[name];
    if (stream.writableLength > 0) await new Promise((resolve) => stream.write('', resolve));
  } catch {
    // A standard stream that cannot be opened has no output left.
  }
}

module.exports = { Shutdown };
