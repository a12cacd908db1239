'use strict';

// Functions that arrive as source text (`pool.exec(fn, args)`).

const Module = require('node:module');
const path = require('node:path');
const process = require('node:process');
const { OwnMap } = require('./intrinsics');

/** Compiled functions that are kept. A program has a handful; one that builds its sources would fill the heap. */
const KEPT = 256;

/** @type {Map<string, Function>} in the order in which they were compiled */
const compiled = new OwnMap();

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
    return asProgram(`(${source}\n)`);
  } catch (error) {
    let object;
    try {
      object = asProgram(`({${source}\n})`);
    } catch {
      throw error; // The first reading is the likelier one, and so is its complaint.
    }
    const [key] = Reflect.ownKeys(object);
    return key === undefined ? undefined : object[key];
  }
}

/**
 * Evaluates an expression as a script in the current directory would: require() and import() resolve from there, as with
 * `node -e`. (Through node:vm, import() would need a flag; through eval, it would resolve from this file.)
 *
 * @param {string} expression
 */
function asProgram(expression) {
  const directory = process.cwd();
  /** @type {any} */
  const script = new Module('[bulkhead exec]');
  script.filename = path.join(directory, '[bulkhead exec]');
  script.paths = /** @type {any} */ (Module)._nodeModulePaths(directory);
  script._compile(`module.exports = (0, ${expression});`, script.filename);
  return script.exports;
}

module.exports = { compile };
