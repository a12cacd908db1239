'use strict';

// Intrinsics for this package's own code, taken before any user code runs. Programs and handlers
// patch JSON, stub methods of Array and install fake timers. None of that must change how a task or
// its result travels.
//
// `for … of`, spread and array patterns use iterators, which may be patched too. Code on the path
// of a task avoids them.

const { Buffer } = require('node:buffer');

/**
 * Turns a method into a function whose first argument is `this`.
 *
 * @type {(method: Function) => any}
 */
const uncurry = Function.prototype.bind.bind(/** @type {any} */ (Function.prototype.call));

// A Map and a Set whose methods cannot be replaced.

/**
 * @template K, V
 * @extends {Map<K, V>}
 */
class OwnMap extends Map {
  /** @param {Iterable<readonly [K, V]>} [entries] */
  // biome-ignore lint/complexity/noUselessConstructor: the default one uses the array iterator
  constructor(entries) {
    super(entries);
  }
}

/**
 * @template T
 * @extends {Set<T>}
 */
class OwnSet extends Set {
  /** @param {Iterable<T>} [values] */
  // biome-ignore lint/complexity/noUselessConstructor: as above
  constructor(values) {
    super(values);
  }
}

for (const [Own, Original] of [
  [OwnMap, Map],
  [OwnSet, Set],
]) {
  const { constructor: _, ...methods } = Object.getOwnPropertyDescriptors(Original.prototype);
  Object.defineProperties(Own.prototype, methods);
  Object.freeze(Own.prototype);
}

const { defineProperty } = Object;

/**
 * Sets a property like an assignment, but without calling a setter (such as that of `__proto__`, or
 * one that a program has added to all objects).
 *
 * @param {object} target
 * @param {PropertyKey} key
 * @param {unknown} value
 */
function define(target, key, value) {
  defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

/** The engine's Promise, which async functions return. Some programs replace the global. */
const OwnPromise = /** @type {PromiseConstructor} */ ((async () => {})().constructor);

module.exports = {
  OwnMap,
  OwnSet,
  Promise: OwnPromise,
  /** @type {(fn: Function, self: unknown, args: ArrayLike<any>) => any} */
  apply: Reflect.apply,
  assign: Object.assign,
  /** @type {<F extends Function>(fn: F, self: unknown) => F} */
  bind: uncurry(Function.prototype.bind),
  byteLength: Buffer.byteLength,
  define,
  defineProperty,
  getOwnPropertyDescriptor: Object.getOwnPropertyDescriptor,
  getPrototypeOf: Object.getPrototypeOf,
  hasOwn: Object.hasOwn,
  isArray: Array.isArray,
  /** @type {(array: readonly unknown[], separator: string) => string} */
  join: uncurry(Array.prototype.join),
  keysOf: Object.keys,
  parse: JSON.parse,
  stringify: JSON.stringify,
  uncurry,
};
