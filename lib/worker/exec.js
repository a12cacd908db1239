'use strict';

// Functions that arrive as source text (`pool.exec(fn, args)`).

/** Compiled functions that are kept. A program has a handful; one that builds its sources would fill the heap. */
const KEPT = 256;

/** @type {Map<string, Function>} in the order in which they were last compiled */
const compiled = new Map();

/**
 * @param {string} source what Function.prototype.toString gives
 * @returns {Function}
 * @throws {SyntaxError} when it is not the source of one function
 */
function compile(source) {
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const fn = evaluate(source);
  if (typeof fn !== 'function') throw new TypeError('exec: the source is not that of a function');
  if (compiled.size >= KEPT) compiled.delete(compiled.keys().next().value);
  compiled.set(source, fn);
  return fn;
}

// A method's source (`add(a, b) { … }`, `async *walk() { … }`) is no expression by itself, only inside an object.
function evaluate(source) {
  try {
    return globalEval(`(${source}\n)\n//# sourceURL=bulkhead:exec`);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    let object;
    try {
      object = globalEval(`({${source}\n})\n//# sourceURL=bulkhead:exec`);
    } catch {
      throw error; // The first reading is the likelier one, and so is its complaint.
    }
    const [key] = Reflect.ownKeys(object);
    return key === undefined ? undefined : object[key];
  }
}

// Indirect, so that the function sees the global scope and nothing of this file.
const globalEval = globalThis.eval;

module.exports = { compile };
