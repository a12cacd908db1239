'use strict';

// JSON of values that JSON carries exactly as structured clone does, for `serialization:
// 'advanced'`. Most values are such: a few plain objects with numbers and short strings. V8's
// format takes several times as long for them.
//
// One walk checks the value and writes the JSON. It reads each property once, in the order of
// structured clone: whatever a getter returns or changes, the copy is the same.

const { types } = require('node:util');
const { getPrototypeOf, isArray, keysOf, stringify, uncurry } = require('../intrinsics');

const { prototype: arrays } = Array;
const { prototype: objects } = Object;
const { isView } = ArrayBuffer;
const { isFinite: isFiniteNumber } = Number;
const { toStringTag } = Symbol;
/** @type {(text: string, index: number) => number} */
const codeAt = uncurry(String.prototype.charCodeAt);
/** @type {(pattern: RegExp, text: string) => unknown} */
const match = uncurry(RegExp.prototype.exec);
/** @type {(value: object) => string} */
const tagOf = uncurry(Object.prototype.toString);

/** Up to this length a loop finds what to escape faster than a regular expression. */
const SHORT_STRING = 64;
/** Matches text that JSON may have to escape. */
const ESCAPED = /[^ !#-[\]-\ud7ff]/;

/** Maximum number of objects in a value. Each is compared with all before it. */
const MAX_OBJECTS = 32;
/**
 * Maximum effort for a value, in characters of a string. V8's format takes less time for more than
 * about a thousand characters, a hundred integers or a dozen fractions.
 */
const MAX_EFFORT = 1024;
const EFFORT_OF_INTEGER = 10;
const EFFORT_OF_FRACTION = 80;

/**
 * @typedef {object} Walk
 * @property {object[]} seen the objects so far: structured clone keeps their identity
 * @property {number} effort that is left
 */

/**
 * @param {unknown} value
 * @returns {string} JSON whose parsed value equals the structured clone of `value`; empty: JSON
 *   does not carry the value exactly, or takes longer than V8's format
 */
function exactJson(value) {
  try {
    return jsonOf(value, { seen: [], effort: MAX_EFFORT });
  } catch {
    // A getter threw. It throws again where the error can name its path.
    return '';
  }
}

/**
 * @param {unknown} value
 * @param {Walk} walk
 */
function jsonOf(value, walk) {
  switch (typeof value) {
    case 'number':
      return numberJson(value, walk);
    case 'string':
      return stringJson(value, walk);
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return value === null ? 'null' : objectJson(value, walk);
    default:
      return '';
  }
}

/**
 * @param {number} value
 * @param {Walk} walk
 */
function numberJson(value, walk) {
  // JSON has no form for -0, NaN and the infinities.
  if (value === 0) return 1 / value > 0 ? '0' : '';
  if ((value | 0) === value) walk.effort -= EFFORT_OF_INTEGER;
  else if (isFiniteNumber(value)) walk.effort -= EFFORT_OF_FRACTION;
  else return '';
  return walk.effort < 0 ? '' : `${value}`;
}

/**
 * @param {string} value
 * @param {Walk} walk
 */
function stringJson(value, walk) {
  walk.effort -= value.length;
  if (walk.effort < 0) return '';
  return needsEscape(value) ? stringify(value) : `"${value}"`;
}

/** @param {string} text */
function needsEscape(text) {
  const { length } = text;
  if (length > SHORT_STRING) return match(ESCAPED, text) !== null;
  for (let i = 0; i < length; i++) {
    const code = codeAt(text, i);
    // Most characters beyond the surrogates need none, but they are rare.
    if (code < 0x20 || code === 0x22 || code === 0x5c || code >= 0xd800) return true;
  }
  return false;
}

/**
 * @param {object} value
 * @param {Walk} walk
 */
function objectJson(value, walk) {
  const { seen } = walk;
  const { length } = seen;
  if (length === MAX_OBJECTS || types.isProxy(value)) return '';
  for (let i = 0; i < length; i++) {
    if (seen[i] === value) return '';
  }
  seen[length] = value;
  const prototype = getPrototypeOf(value);
  if (prototype === objects) return isOrdinary(value) ? recordJson(value, walk) : '';
  return prototype === arrays && isArray(value) ? arrayJson(value, walk) : '';
}

/**
 * Returns whether an object has its content in its properties. The prototype does not tell: it is
 * Object.prototype for `arguments`, and an object of any class may get it later.
 *
 * @param {any} value no Proxy
 */
function isOrdinary(value) {
  return (
    value[toStringTag] === undefined &&
    // Excludes arrays, arguments, errors, dates, regular expressions and most boxed primitives.
    tagOf(value) === '[object Object]' &&
    !isView(value) &&
    !types.isAnyArrayBuffer(value) &&
    !types.isBoxedPrimitive(value) &&
    !types.isMap(value) &&
    !types.isSet(value) &&
    !types.isWeakMap(value) &&
    !types.isWeakSet(value) &&
    !types.isPromise(value) &&
    !types.isGeneratorObject(value) &&
    !types.isMapIterator(value) &&
    !types.isSetIterator(value)
  );
}

/**
 * @param {any} value
 * @param {Walk} walk
 */
function recordJson(value, walk) {
  const keys = keysOf(value);
  let members = '';
  for (let i = 0; i < keys.length; i++) {
    const name = stringJson(keys[i], walk);
    if (name === '') return '';
    const item = jsonOf(value[keys[i]], walk);
    if (item === '') return '';
    members += i === 0 ? `${name}:${item}` : `,${name}:${item}`;
  }
  return `{${members}}`;
}

/**
 * @param {unknown[]} value
 * @param {Walk} walk
 */
function arrayJson(value, walk) {
  const { length } = value;
  walk.effort -= length;
  if (walk.effort < 0) return '';
  // Indices come first: if the last key is the last index, there are no holes and no other keys.
  const keys = keysOf(value);
  if (keys.length !== length || (length > 0 && keys[length - 1] !== `${length - 1}`)) return '';
  let items = '';
  for (let i = 0; i < length; i++) {
    const item = jsonOf(value[i], walk);
    if (item === '') return '';
    items += i === 0 ? item : `,${item}`;
  }
  return `[${items}]`;
}

module.exports = { exactJson };
