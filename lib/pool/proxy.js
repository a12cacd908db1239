'use strict';

// `pool.proxy`: an object with the functions of the worker module. Only the workers know these
// functions, so the proxy has a function for every name, except for names that programs use to
// inspect objects.

const { SerializationError } = require('../errors/classes');

/** Promises read `then` and would call the task of that name; JSON.stringify calls `toJSON`. */
const NOT_FUNCTIONS = Object.freeze(['then', 'toJSON']);

/** Frozen: a write to the proxy throws in strict mode, as with a module's namespace. */
const TARGET = Object.freeze({});

/**
 * @param {(name: string, args: unknown[], fn: Function) => Promise<any>} call `fn`: the function
 *   that the caller called
 * @returns {Record<string, (...args: unknown[]) => Promise<any>>}
 */
function proxyOf(call) {
  /** @type {Map<string, (...args: unknown[]) => Promise<any>>} */
  const functions = new Map();
  return new Proxy(TARGET, {
    get(target, name) {
      // Members of every object are no functions of the worker: `${proxy}` must not start a task.
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
 * Returns the members of a frame that describe the arguments of a call.
 *
 * @param {readonly unknown[]} args
 * @param {'json' | 'advanced'} serialization
 * @returns {{ call: true, undefined: number[] | null }} `undefined`: the indexes of undefined
 *   arguments, which JSON turns into null
 * @throws {SerializationError} for a function or symbol, which JSON would turn into null
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
