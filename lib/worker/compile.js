'use strict';

// Functions that arrive as source text (`pool.exec(fn, args)`).

const Module = require('node:module');
const path = require('node:path');
const process = require('node:process');
const { OwnMap, apply } = require('./intrinsics');

/**
 * Compiled functions that are kept. A program has a handful; one that builds its sources would fill
 * the heap.
 */
const MAX_COMPILED = 256;

/** @type {Map<string, Function>} in the order in which they were compiled */
const compiled = new OwnMap();

/**
 * What compilers and test runners write into functions and define outside of them, as far as it
 * means the same anywhere. A source that names one of these has it; no other code sees them.
 *
 * @type {[name: RegExp, value: string][]}
 */
const HELPERS = [
  // esbuild and tsx, to keep the names of inner functions. A second one is numbered.
  [
    /\b__name\d*\b/g,
    "(f, value) => Object.defineProperty(f, 'name', { value, configurable: true })",
  ],
  // Vite and Vitest.
  [/\b__vite_ssr_dynamic_import__\b/g, '(specifier, options) => import(specifier, options)'],
];

/** As V8 and JavaScriptCore say it. */
const UNDEFINED_VARIABLE = /^(?:(\S+) is not defined|Can't find variable: (\S+))$/;

const SENDS =
  'exec() sends the text of a function, without its outer variables, its imports and the helpers of compilers';
const REMEDIES = 'give it what it needs as arguments, import modules inside of it by import()';
const MODULE = 'or put the function into a worker module';

/**
 * What such a variable probably is, and what to do about it; the first one that fits.
 *
 * @type {[name: RegExp, explanation: string][]}
 */
const EXPLANATIONS = [
  [
    /^cov_\w+$/,
    'exec() sends the text of a function, into which a coverage tool has written its counters; ' +
      `put /* istanbul ignore next */ before the function, ${MODULE}`,
  ],
  // What compilers name so are helpers and imports; Vite's are imports only.
  [
    /^(?!__vi)(?:_|tslib)/,
    `${SENDS}; ${REMEDIES}, have it compiled for a newer target (ES2022), ${MODULE}`,
  ],
  [/^/, `${SENDS}; ${REMEDIES}, ${MODULE}`],
];

/** Before user code may replace it. */
const ReferenceErrorClass = ReferenceError;
const globals = globalThis;

/**
 * Runs a function by its source.
 *
 * @param {string} source what Function.prototype.toString gives
 * @param {unknown[]} args
 * @returns {unknown} what it returns
 */
function exec(source, args) {
  return apply(compile(source), undefined, args);
}

/**
 * Says of a ReferenceError what is behind it, if it is about a variable that the function had where
 * it comes from.
 *
 * @param {string} source
 * @param {unknown} thrown by the function, at once or later
 */
function explain(source, thrown) {
  try {
    if (!(thrown instanceof ReferenceErrorClass)) return;
    const { message, stack } = thrown;
    const [, inV8, inJavaScriptCore] = UNDEFINED_VARIABLE.exec(message) ?? [];
    const name = inV8 ?? inJavaScriptCore;
    if (name === undefined || name in globals || !mentions(source, name)) return;
    const explanation = EXPLANATIONS.find(([fits]) => fits.test(name))?.[1];
    const explained = `${message} in the worker: ${explanation}`;
    thrown.message = explained;
    if (typeof stack === 'string') thrown.stack = stack.replace(message, () => explained);
  } catch {
    // A getter of the error, or a method that user code has replaced. Then the error says what it
    // says.
  }
}

/**
 * @param {string} source
 * @param {string} name
 */
function mentions(source, name) {
  for (let at = source.indexOf(name); at !== -1; at = source.indexOf(name, at + 1)) {
    if (!isIdentifierPart(source[at - 1]) && !isIdentifierPart(source[at + name.length]))
      return true;
  }
  return false;
}

/** @param {string | undefined} character */
function isIdentifierPart(character) {
  return character !== undefined && /[\w$\u0080-\uffff]/.test(character);
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
    if (compiled.size < MAX_COMPILED) break;
    compiled.delete(oldest);
  }
  compiled.set(source, fn);
  return fn;
}

/**
 * A method's source (`add(a, b) { … }`, `async *walk() { … }`) is no expression by itself, only
 * inside an object.
 *
 * @param {string} source
 * @returns {unknown}
 */
function evaluate(source) {
  const helpers = helpersOf(source);
  try {
    return asProgram(`(${source}\n)`, helpers);
  } catch (error) {
    let object;
    try {
      object = asProgram(`({${source}\n})`, helpers);
    } catch {
      throw error; // The first reading is the likelier one, and so is its complaint.
    }
    const [key] = Reflect.ownKeys(object);
    return key === undefined ? undefined : object[key];
  }
}

/**
 * @param {string} source
 * @returns {string} declarations
 */
function helpersOf(source) {
  let declarations = '';
  for (const [name, value] of HELPERS) {
    for (const found of new Set(source.match(name))) declarations += `const ${found} = ${value}; `;
  }
  return declarations;
}

/**
 * Evaluates an expression as a script in the current directory would: require() and import()
 * resolve from there, as with
 * `node -e`. (Through node:vm, import() would need a flag; through eval, it would resolve from this file.)
 *
 * @param {string} expression
 * @param {string} helpers declarations that it sees
 */
function asProgram(expression, helpers) {
  const directory = process.cwd();
  /** @type {any} */
  const script = new Module('[bulkhead exec]');
  script.filename = path.join(directory, '[bulkhead exec]');
  script.paths = /** @type {any} */ (Module)._nodeModulePaths(directory);
  script._compile(`${helpers}module.exports = (0, ${expression});`, script.filename);
  return script.exports;
}

module.exports = { exec, explain };
