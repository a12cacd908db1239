'use strict';

// Sets the main module, for `require.main` and `process.mainModule`: the worker module, as under
// child_process.fork, not the file that loads it.

const { realpathSync } = require('node:fs');
const Module = require('node:module');
const process = require('node:process');
const { HOST } = require('../platform/runtime');

/**
 * Loads a module as the main one. Loading a CommonJS file (by import(), or by `require` with a
 * hook) enters its `module` into the cache before running it, and only then it is known. An ES
 * module has no such entry, and `require.main` is undefined, as in any ES module program.
 *
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} load
 * @returns {Promise<T>}
 */
async function asMain(file, load) {
  if (HOST !== 'Node.js') return load();
  const names = [realpathSync(file), file];
  const { _cache } = /** @type {{ _cache: Record<string, unknown> }} */ (
    /** @type {unknown} */ (Module)
  );
  const main = () => _cache[names[0]] ?? _cache[names[1]];
  define({ get: main, set: (/** @type {unknown} */ value) => define({ value, writable: true }) });
  try {
    return await load();
  } finally {
    if (Object.getOwnPropertyDescriptor(process, 'mainModule')?.get === main)
      define({ value: main(), writable: true });
  }
}

/** Leaves no main module, as with `node -e`. */
function withoutMain() {
  if (HOST === 'Node.js') define({ value: undefined, writable: true });
}

/** @param {PropertyDescriptor} descriptor */
function define(descriptor) {
  Object.defineProperty(process, 'mainModule', {
    ...descriptor,
    configurable: true,
    enumerable: true,
  });
}

module.exports = { asMain, withoutMain };
