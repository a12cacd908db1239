'use strict';

// Functions that arrive as source text (`pool.exec(fn, args)`).

const { pathToFileURL } = require('node:url');
const vm = require('node:vm');

/** Compiled functions that are kept. A program has a handful; one that builds its sources would fill the heap. */
const KEPT = 256;

/** @type {Map<string, Function>} in the order in which they were compiled */
const compiled = new Map();

/**
 * import() within a function: a path is taken from the current directory, since the function has no file of its own.
 *
 * @param {string} specifier
 */
function importModuleDynamically(specifier) {
  return import(/^\.{0,2}\//.test(specifier) ? pathToFileURL(specifier).href : specifier);
}

/**
 * @param {string} source what Function.prototype.toString gives
 * @returns {Function}
 * @throws {SyntaxError | TypeError} when it is not the source of one function
 */
function compile(source) {
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const fn = evaluate(source);
  if (typeof fn !== 'function') throw new TypeError('exec: the source is not that of a function');
  for (const oldest of compiled.keys()) {
    if (compiled.size < KEPT) break;
    compiled.delete(oldest);
  }
  compiled.set(source, fn);
  return fn;
}

/**
 * A method's source (`add(a, b) { … }`, `async *walk() { … }`) is no expression by itself, only inside an object.
 *
 * @param {string} source
 * @returns {unknown}
 */
function evaluate(source) {
  try {
    return inGlobalScope(`(${source}\n)`);
  } catch (error) {
    let object;
    try {
      object = inGlobalScope(`({${source}\n})`);
    } catch {
      throw error; // The first reading is the likelier one, and so is its complaint.
    }
    const [key] = Reflect.ownKeys(object);
    return key === undefined ? undefined : object[key];
  }
}

/** @param {string} expression */
function inGlobalScope(expression) {
  return vm.runInThisContext(expression, { filename: 'bulkhead:exec', importModuleDynamically });
}

module.exports = { compile };
