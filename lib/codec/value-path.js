'use strict';

// Paths into a value that came over the channel, as lists of keys and indices. The other process
// may send any path.

const { hasOwn, isArray } = require('../intrinsics');

const { isInteger } = Number;

/**
 * @param {any} root
 * @param {unknown} path
 * @returns {any} the object in `root` that has the last key of `path` as its own property;
 *   undefined for an empty path
 * @throws {TypeError} the path does not exist
 */
function containerAt(root, path) {
  if (!isArray(path)) throw new TypeError('a path is not a list of keys');
  let container = path.length === 0 ? undefined : root;
  for (let i = 0; i < path.length; i++) {
    const key = path[i];
    const valid = typeof key === 'string' || (typeof key === 'number' && isInteger(key));
    if (!valid || typeof container !== 'object' || container === null || !hasOwn(container, key)) {
      throw new TypeError('the path of a binary does not exist in its message');
    }
    if (i === path.length - 1) break;
    container = container[key];
  }
  return container;
}

module.exports = { containerAt };
