'use strict';

// The text of a function that is to run in another process.

const vm = require('node:vm');
const { invalidType, invalidValue } = require('./argument-errors');

const NATIVE = /\{\s*\[native code\]\s*\}\s*$/;
const CLASS = /^class[\s{]/;

/** Compiling costs more than everything else about a small task. @type {WeakMap<Function, string>} */
const sources = new WeakMap();

/**
 * @param {unknown} fn
 * @returns {string} its text, which the worker can make a function of
 */
function functionSource(fn) {
  if (typeof fn !== 'function') throw invalidType('fn', 'of type function', fn);
  let source = sources.get(fn);
  if (source === undefined) {
    source = checkedSource(fn);
    sources.set(fn, source);
  }
  return source;
}

/** @param {Function} fn */
function checkedSource(fn) {
  // Not fn.toString(), which the function may have replaced.
  const source = Function.prototype.toString.call(fn);
  if (NATIVE.test(source)) {
    throw invalidValue(
      'fn',
      fn,
      'must be written in JavaScript: native and bound functions have no source text',
    );
  }
  if (CLASS.test(source)) throw invalidValue('fn', fn, 'must be a function, not a class');
  // A method (`{ work() {} }`) is no expression by itself, but inside of an object.
  if (compiles(`(${source}\n)`) || compiles(`({${source}\n})`)) return source;
  throw invalidValue(
    'fn',
    fn,
    'must be a function that can stand alone, such as an arrow function',
  );
}

/** @param {string} expression which is only parsed */
function compiles(expression) {
  try {
    new vm.Script(expression);
    return true;
  } catch {
    return false;
  }
}

module.exports = { functionSource };
