'use strict';

// Compiles functions that arrive as source text (`pool.exec(fn, args)`).

const Module = require('node:module');
const path = require('node:path');
const process = require('node:process');
const { OwnMap, apply } = require('./intrinsics');

/**
 * Compiled functions to keep. A program uses a handful; one that generates its sources would
 * otherwise fill the heap.
 */
const MAX_COMPILED = 256;

/** Functions by source, oldest first. @type {Map<string, Function>} */
const compiled = new OwnMap();

/**
 * Helpers that compilers and test runners reference in functions but define outside of them, where
 * their meaning is the same everywhere. A source that names one gets it; other code does not see
 * it.
 *
 * @type {[name: RegExp, value: string][]}
 */
const HELPERS = [
  // esbuild and tsx keep the names of inner functions by this helper. They number further ones.
  [
    /\b__name\d*\b/g,
    "(f, value) => Object.defineProperty(f, 'name', { value, configurable: true })",
  ],
  // Vite and Vitest.
  [/\b__vite_ssr_dynamic_import__\b/g, '(specifier, options) => import(specifier, options)'],
];

/** The messages of V8 and of JavaScriptCore for a missing variable. */
const UNDEFINED_VARIABLE = /^(?:(\S+) is not defined|Can't find variable: (\S+))$/;

const SENDS =
  'exec() sends only the text of a function, without its outer variables, its imports and compiler helpers';
const REMEDIES = 'pass values as arguments, load modules inside the function by import()';
const MODULE = 'or move the function to a worker module';

/**
 * Explanations of a missing variable, with the remedy. The first match counts.
 *
 * @type {[name: RegExp, explanation: string][]}
 */
const EXPLANATIONS = [
  [
    /^cov_\w+$/,
    'exec() sends the text of a function, and a coverage tool has added its counters to that text; ' +
      `put /* istanbul ignore next */ before the function, ${MODULE}`,
  ],
  // Compilers name helpers and imports like this; Vite only imports.
  [/^(?!__vi)(?:_|tslib)/, `${SENDS}; ${REMEDIES}, compile for a newer target (ES2022), ${MODULE}`],
  [/^/, `${SENDS}; ${REMEDIES}, ${MODULE}`],
];

/** Taken before user code can replace it. */
const ReferenceErrorClass = ReferenceError;
const globals = globalThis;

/**
 * Runs a function given by its source.
 *
 * @param {string} source text from Function.prototype.toString
 * @param {unknown[]} args
 * @returns {unknown} the function's return value
 */
function exec(source, args) {
  return apply(compile(source), undefined, args);
}

/**
 * Explains a ReferenceError about a variable that the function had where it was defined.
 *
 * @param {string} source
 * @param {unknown} thrown by the function, synchronously or later
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
    // A getter of the error threw, or user code has replaced a method: keep the original message.
  }
}

/**
 * Returns whether the source mentions a name as a whole identifier.
 *
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
 * @param {string} source text from Function.prototype.toString
 * @returns {Function}
 * @throws {SyntaxError | TypeError} the text is not the source of one function
 */
function compile(source) {
  const known = compiled.get(source);
  if (known !== undefined) return known;
  const fn = evaluate(source);
  if (typeof fn !== 'function') throw new TypeError('the source given to exec() is not a function');
  for (const oldest of compiled.keys()) {
    if (compiled.size < MAX_COMPILED) break;
    compiled.delete(oldest);
  }
  compiled.set(source, fn);
  return fn;
}

/**
 * Evaluates a function's source. A method's source (`add(a, b) { … }`, `async *walk() { … }`) is an
 * expression only inside an object.
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
      throw error; // The first parse is the likelier one, so report its error.
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
 * Evaluates an expression like a script in the current directory: require() and import() resolve
 * from there, as with `node -e`. node:vm would need a flag for import(), and eval would resolve
 * from this file.
 *
 * @param {string} expression
 * @param {string} helpers declarations in scope of the expression
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
