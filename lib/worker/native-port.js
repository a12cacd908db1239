'use strict';

// The native half of the worker: the channel on descriptor 3 and the claim word on descriptor 4.

const native = require('../native');
const { numberArray } = require('../platform/number-array');

/** @typedef {import('../../native.cjs').WorkerPort} Port */

/** `FRAMES`: maximum number of frames that are taken at a time. `RESULT`: kinds of results. */
const { FRAMES, RESULT, VERSION } = native.portConstants();

/** @returns {{ port: Port, attempts: Float64Array }} `attempts`: an id and an epoch for each frame */
function openPort() {
  const attempts = numberArray(2 * FRAMES);
  return { port: new native.WorkerPort(attempts), attempts };
}

module.exports = { RESULT, VERSION, openPort };
