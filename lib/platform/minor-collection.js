'use strict';

const { HOST } = require('./runtime');

const MINOR = Object.freeze({ type: 'minor' });

/**
 * Returns a function that collects the young generation of this thread's heap, or null where there
 * is none. Takes two milliseconds.
 *
 * V8 gives its `gc` to new contexts only, and only while the flag is set. The globals of the
 * program, and contexts that the program makes later, stay without it.
 *
 * @returns {(() => void) | null}
 */
function minorCollection() {
  // The flags of Bun and Deno have no such effect, or another one.
  if (HOST !== 'Node.js') return null;
  try {
    const gc = exposedGc() ?? exposeGc();
    return typeof gc === 'function' ? () => gc(MINOR) : null;
  } catch {
    return null;
  }
}

/**
 * Returns V8's `gc` if the program itself has set the flag, which then stays set.
 *
 * @returns {Function | undefined}
 */
function exposedGc() {
  return require('node:vm').runInNewContext('globalThis.gc');
}

/** @returns {Function | undefined} */
function exposeGc() {
  const v8 = require('node:v8');
  v8.setFlagsFromString('--expose-gc');
  try {
    return exposedGc();
  } finally {
    v8.setFlagsFromString('--no-expose-gc');
  }
}

module.exports = { minorCollection };
