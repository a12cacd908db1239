'use strict';

// How a worker leaves: told to, or because the pool is gone.

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
   * The supervisor wants the worker to stop; it closes its side without waiting for what still
   * runs.
   */
  stopRequested() {
    this.#stopRequested = true;
  }

  /**
   * Nothing runs any more: tears down and exits, with 1 if that fails.
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
      // Nobody waits for an outcome here, so it is reported as Node reports what nobody catches.
      console.error(thrown);
      code = 1;
    }
    await flushStdio();
    this.#exit(code);
  }

  /** The supervisor has closed its side. Unless it had said so before, the pool is gone. */
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

/** Writes to a pipe are asynchronous, and an exit cuts them off. */
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
    // A standard stream that cannot even be opened has nothing left to print.
  }
}

module.exports = { Shutdown };
