'use strict';

// `pool.proxy`: an object that seems to have the functions of the worker module. What these are is known to the workers only,
// so that it has one for every name but those by which programs ask an object what it is.

const { SerializationError } = require('../errors/classes');

/**
 * Promises ask for the first, and would wait for a task of that name; JSON.stringify calls the
 * second.
 */
const NOT_FUNCTIONS = Object.freeze(['then', 'toJSON']);

/** Frozen: what is written to a proxy is an error in strict mode, as with a module's namespace. */
const TARGET = Object.freeze({});

/**
 * @param {(name: string, args: unknown[], fn: Function) => Promise<any>} call `fn`: what the caller has called
 * @returns {Record<string, (...args: unknown[]) => Promise<any>>}
 */
function proxyOf(call) {
  /** @type {Map<string, (...args: unknown[]) => Promise<any>>} */
  const functions = new Map();
  return new Proxy(TARGET, {
    get(target, name) {
      // What every object has is no function of the worker's: `${proxy}` must not start a task.
      if (typeof name === 'symbol' || NOT_FUNCTIONS.includes(name)) return undefined;
      if (name in target) return Reflect.get(target, name);
      let fn = functions.get(name);
      if (fn === undefined) {
        const made = (/** @type {unknown[]} */ ...args) => call(name, args, made);
        Object.defineProperty(made, 'name', { value: name });
        functions.set(name, made);
        fn = made;
      }
      return fn;
    },
    has: (_, name) => typeof name === 'string' && !NOT_FUNCTIONS.includes(name),
  });
}

/**
 * What the frame of a call says of its arguments.
 *
 * @param {readonly unknown[]} args
 * @param {'json' | 'advanced'} serialization
 * @returns {{ call: true, undefined: number[] | null }} `undefined`: which of them are, where JSON has null
 * @throws {SerializationError} JSON would make null of a callback, and say nothing
 */
function callOf(args, serialization) {
  if (serialization === 'advanced') return { call: true, undefined: null };
  const places = [];
  for (const [index, arg] of args.entries()) {
    if (arg === undefined) places.push(index);
    if (typeof arg !== 'function' && typeof arg !== 'symbol') continue;
    const cause = new TypeError(`a ${typeof arg} cannot be serialised`);
    throw new SerializationError(`a ${typeof arg} cannot be an argument`, {
      cause,
      path: `arguments[${index}]`,
    });
  }
  return { call: true, undefined: places.length === 0 ? null : places };
}

module.exports = { callOf, proxyOf };
