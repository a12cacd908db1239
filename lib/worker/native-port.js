'use strict';

// The native half of the worker, as far as lib/worker relies on it.

const native = require('../native');
const { numberArray } = require('../platform/number-array');

/**
 * @typedef {object} Port the channel on descriptor 3 and the claim word on descriptor 4
 * @property {(onReadable: (status: number) => void) => boolean} poll has it called whenever there is something for `fill`; a
 *   status less than 0: something is wrong with the channel; false: this is another's to do. In Node.js only, once
 * @property {() => void} stopPolling
 * @property {() => void} shut the supervisor sees the end of the stream; what it says can still be read
 * @property {() => number} descriptor of the channel, to read from: given away
 * @property {(buffer: Uint8Array, n: number) => void} push bytes that were read from the channel: the first `n`
 * @property {() => number} fill reads what has arrived, without waiting: how many bytes, -1 at the end of the stream,
 *   or where it cannot be read any more
 * @property {() => string | null} take JSON array of what the complete frames at hand say, and `attempts`: of a task with nothing
 *   but an id and a payload the payload, and its id and epoch; of any other frame all of it, and zeros. A frame with raw
 *   bytes is the last of its array
 * @property {() => Buffer[]} blobs raw bytes of the last frame that was taken
 * @property {() => (epoch: number) => number} claimer gives a function: 1 if the next task of this epoch is ours to run; what
 *   is held is written within a millisecond then, whatever happens
 * @property {() => (id: number, elapsed: number, kind: number, json: string) => number} replier gives a function that
 *   takes in a result, which survives this process; kind: 0 a value, 1 a whole envelope, 2 undefined, 3 a value in V8's format; 4 more: as `hold` does
 * @property {(text: string) => void} hold takes in whole lines: they survive this process, and are written within a
 *   millisecond, whatever happens
 * @property {boolean} hasPage whether tasks are claimed
 * @property {(text: string) => void} write returns when the kernel has it all
 * @property {(text: string, blobs: Uint8Array[]) => void} writeWith the same, with raw bytes behind
 * @property {boolean} hasRings whether large raw bytes go through shared memory
 * @property {(blobs: Uint8Array[]) => number} share puts raw bytes there: their position, or -1: they go behind their line
 * @property {(parentPid: number, depth: number) => boolean} arm dies with the parent from now on; false: it is gone already
 * @property {(phase: string) => boolean} expectsFault whether the environment asks for a death on purpose in this phase
 * @property {(phase: string) => void} pass dies here if the environment asks for it
 */

/** Frames that are taken at a time, at most. */
const FRAMES = 64;

/** Version of the protocol. */
const VERSION = 1;

/** Kinds of results, as src/bindings/worker_port.rs numbers them. */
const RESULT = Object.freeze({
  /** A value, as JSON. */
  VALUE: 0,
  /** A whole `{ taskId, result, processedBy }`, as JSON. */
  ENVELOPE: 1,
  /** The value `undefined`. */
  UNDEFINED: 2,
  /** A value in V8's format, as base64. */
  V8: 3,
  /** Added to a kind: user code continues, so the result must not wait for the next flush. */
  DURING_USER_CODE: 4,
});

/** @returns {{ port: Port, attempts: Float64Array }} */
function openPort() {
  const attempts = numberArray(2 * FRAMES);
  return { port: new native.WorkerPort(attempts), attempts };
}

module.exports = { RESULT, VERSION, openPort };
