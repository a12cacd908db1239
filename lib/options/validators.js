'use strict';

// Checks of single values, shared by the options of pools, of tasks and of methods.

const { invalidType, invalidValue, outOfRange, unknownOption } = require('./argument-errors');

/** The longest delay that Node's own timers take (ms). */
const MAX_DELAY = 2 ** 31 - 1;
/** The most retries of a task, and the most failed starts in `restart.window`. */
const MAX_RETRIES = 1_000_000;

/**
 * Returns the own enumerable properties of an options object. Unknown properties throw.
 *
 * @param {string} name of the object, such as `options`
 * @param {unknown} options
 * @param {readonly string[]} known
 * @returns {Record<string, unknown>} without a prototype, so that no inherited property is read;
 *   options that are undefined are left out
 */
function ownOptions(name, options, known) {
  /** @type {Record<string, unknown>} */
  const own = Object.create(null);
  if (options === undefined) return own;
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidType(name, 'of type object', options);
  for (const [key, value] of Object.entries(options)) {
    if (!known.includes(key)) throw unknownOption(`${name}.${key}`, value, known);
    if (value !== undefined) own[key] = value;
  }
  return own;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} min
 * @param {number} max
 * @param {string} [range] the allowed values, for the message
 * @returns {number}
 */
function integer(name, value, min, max, range = rangeText(min, max)) {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  const whole = Number.isInteger(value) || (value === Infinity && max === Infinity);
  if (!whole || value < min || value > max) throw outOfRange(name, range, value);
  return value;
}

/**
 * @param {number} min
 * @param {number} max
 */
function rangeText(min, max) {
  return max === Infinity
    ? `an integer >= ${min}, or Infinity`
    : `an integer >= ${min} && <= ${max}`;
}

/**
 * Checks a number, integer or not.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} min
 * @param {number} max
 * @returns {number}
 */
function number(name, value, min, max) {
  if (typeof value !== 'number') throw invalidType(name, 'of type number', value);
  if (!(value >= min && value <= max)) throw outOfRange(name, `>= ${min} && <= ${max}`, value);
  return value;
}

/**
 * Checks a time (ms).
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} [min]
 */
function delay(name, value, min = 0) {
  return integer(name, value, min, MAX_DELAY);
}

/**
 * Checks a time (ms), or Infinity: never.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} [min]
 */
function delayOrNever(name, value, min = 0) {
  if (value === Infinity) return value;
  const range = `an integer >= ${min} && <= ${MAX_DELAY}, or Infinity`;
  return integer(name, value, min, MAX_DELAY, range);
}

/**
 * The units of sizes: powers of 1024, as Node.js, V8 and the kernel count memory, and not SI's
 * powers of 1000.
 */
const UNITS = Object.freeze({ b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 });
const SIZE = /^(\d+(?:\.\d+)?)\s*(?:([kmgt])(?:i?b)?|b)?$/i;

/**
 * Checks a number of bytes, or a text with a unit, such as `'512MB'`.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {number} min
 * @returns {number}
 */
function bytes(name, value, min) {
  if (typeof value !== 'string') {
    if (typeof value !== 'number') throw invalidType(name, 'of type number or string', value);
    return integer(name, value, min, Infinity);
  }
  const match = SIZE.exec(value.trim());
  if (match === null)
    throw invalidValue(
      name,
      value,
      "must be a number of bytes, or text such as '512MB' or '1.5 GiB'",
    );
  const unit = /** @type {keyof typeof UNITS} */ ((match[2] ?? 'b').toLowerCase());
  const size = Math.floor(Number(match[1]) * UNITS[unit]);
  if (size < min) throw outOfRange(name, `>= ${min} bytes`, value);
  return size;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean}
 */
function flag(name, value) {
  if (typeof value !== 'boolean') throw invalidType(name, 'of type boolean', value);
  return value;
}

/**
 * Checks a text for the operating system, which would cut the text at a NUL.
 *
 * @param {string} name
 * @param {unknown} value
 * @param {{ empty?: boolean }} [allow]
 * @returns {string}
 */
function text(name, value, { empty = false } = {}) {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  if (!empty && value === '') throw invalidValue(name, value, 'must not be empty');
  if (value.includes('\0')) throw invalidValue(name, value, 'must not contain NUL characters');
  return value;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string[]} a copy
 */
function texts(name, value) {
  if (!Array.isArray(value)) throw invalidType(name, 'an instance of Array', value);
  return Array.from(value, (item, index) => text(`${name}[${index}]`, item, { empty: true }));
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {(...args: any[]) => void}
 */
function listener(name, value) {
  if (typeof value !== 'function') throw invalidType(name, 'of type function', value);
  return /** @type {(...args: any[]) => void} */ (value);
}

/**
 * @template {string} T
 * @param {string} name
 * @param {unknown} value
 * @param {readonly T[]} choices
 * @returns {T}
 */
function oneOf(name, value, choices) {
  if (choices.includes(/** @type {T} */ (value))) return /** @type {T} */ (value);
  if (typeof value !== 'string') throw invalidType(name, `one of ${listed(choices)}`, value);
  throw invalidValue(name, value, `must be one of: ${listed(choices)}`);
}

/**
 * The native side takes 0 as "no limit".
 *
 * @param {number} limit Infinity: none
 */
function zeroIfInfinite(limit) {
  return limit === Infinity ? 0 : limit;
}

/** @param {readonly string[]} choices */
function listed(choices) {
  return choices.map((choice) => `'${choice}'`).join(', ');
}

module.exports = {
  MAX_DELAY,
  MAX_RETRIES,
  bytes,
  delay,
  delayOrNever,
  flag,
  integer,
  listener,
  number,
  oneOf,
  ownOptions,
  text,
  texts,
  zeroIfInfinite,
};
