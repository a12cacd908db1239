'use strict';

// Places in a value that came over the channel, named by the keys and indices that lead to them.
// The other process may have named any place at all.

const { hasOwn, isArray } = require('../intrinsics');

const { isInteger } = Number;

/**
 * @param {any} root
 * @param {unknown} path
 * @returns {any} the object in `root` that has the last key of `path` as its own; undefined where
 *   `path` is empty
 * @throws {TypeError} for a place that is not there
 */
function containerAt(root, path) {
  if (!isArray(path)) throw new TypeError('a path is no list of keys');
  let container = path.length === 0 ? undefined : root;
  for (let i = 0; i < path.length; i++) {
    const key = path[i];
    const valid = typeof key === 'string' || (typeof key === 'number' && isInteger(key));
    if (!valid || typeof container !== 'object' || container === null || !hasOwn(container, key)) {
      throw new TypeError('a binary has no place in its message');
    }
    if (i === path.length - 1) break;
    container = container[key];
  }
  return container;
}

module.exports = { containerAt };
