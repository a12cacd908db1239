'use strict';

// Argument errors with the codes and messages of Node.js's own.

const { inspect } = require('node:util');

/** The errors made by this file. @type {WeakSet<object>} */
const made = new WeakSet();

/**
 * @template {Error} E
 * @param {E} error
 * @param {string} code
 * @param {Function} above the stack leaves out this function and its callees, and begins with the
 *   user's call
 * @returns {E & { code: string }}
 */
function coded(error, code, above) {
  Error.captureStackTrace(error, above);
  made.add(error);
  return Object.assign(error, { code });
}

/** @param {string} name */
function label(name) {
  return name.includes('.') ? `"${name}" property` : `"${name}" argument`;
}

/** @param {unknown} value */
function received(value) {
  if (value === undefined || value === null) return `Received ${value}`;
  if (typeof value === 'function') return `Received function ${value.name}`;
  if (typeof value === 'object') {
    const name = constructorName(value);
    return name === '' ? `Received ${shown(value)}` : `Received an instance of ${name}`;
  }
  return `Received type ${typeof value} (${shown(value)})`;
}

/** @param {object} value */
function constructorName(value) {
  try {
    return String(value.constructor?.name ?? '');
  } catch {
    // An object with throwing getters must not hide the argument error.
    return '';
  }
}

/** @param {unknown} value */
function shown(value) {
  const text = inspect(value, { depth: 1 });
  return text.length > 128 ? `${text.slice(0, 128)}...` : text;
}

/**
 * @param {string} name such as `options.maxWorkers`
 * @param {string} expected such as `of type number`
 * @param {unknown} value
 */
function invalidType(name, expected, value) {
  const message = `The ${label(name)} must be ${expected}. ${received(value)}`;
  return coded(new TypeError(message), 'ERR_INVALID_ARG_TYPE', invalidType);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} reason such as `must be a file URL`
 */
function invalidValue(name, value, reason) {
  const kind = name.includes('.') ? 'property' : 'argument';
  const message = `The ${kind} '${name}' ${reason}. Received ${shown(value)}`;
  return coded(new TypeError(message), 'ERR_INVALID_ARG_VALUE', invalidValue);
}

/**
 * @param {string} name
 * @param {string} range such as `an integer >= 1`
 * @param {unknown} value
 */
function outOfRange(name, range, value) {
  const message = `The value of "${name}" is out of range. It must be ${range}. Received ${shown(value)}`;
  return coded(new RangeError(message), 'ERR_OUT_OF_RANGE', outOfRange);
}

/**
 * Makes the error for an option that does not exist.
 *
 * @param {string} name such as `options.maxWorker`
 * @param {unknown} value
 * @param {Iterable<string>} known the options that exist
 */
function unknownOption(name, value, known) {
  const key = name.slice(name.lastIndexOf('.') + 1);
  const guess = closest(key, known);
  const hint = guess === undefined ? '' : ` (did you mean "${guess}"?)`;
  return invalidValue(name, value, `is not a known option${hint}`);
}

/**
 * @param {string} key
 * @param {Iterable<string>} known
 */
function closest(key, known) {
  let best;
  // A typo changes at most a third of the letters.
  let limit = Math.max(2, Math.floor(key.length / 3));
  for (const candidate of known) {
    const distance = editDistance(key.toLowerCase(), candidate.toLowerCase());
    if (distance > limit) continue;
    best = candidate;
    limit = distance - 1;
  }
  return best;
}

/**
 * Returns the Levenshtein distance, computed row by row.
 *
 * @param {string} a
 * @param {string} b
 */
function editDistance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** @param {unknown} error */
function isArgumentError(error) {
  return made.has(/** @type {object} */ (error));
}

module.exports = {
  constructorName,
  invalidType,
  invalidValue,
  isArgumentError,
  outOfRange,
  unknownOption,
};
