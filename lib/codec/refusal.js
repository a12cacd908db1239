'use strict';

// Why a value cannot be sent, in words.

const { MessageTooLargeError, SerializationError } = require('../errors/classes');
const { stringify } = require('../intrinsics');

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
/** What is deeper is also too deep for a path that anybody would read. */
const MAX_PATH = 100;
/** Bytes by which a value may be too large and still be written, to say how large it is. */
const SIZE_SLACK = 16 * 1024 * 1024;

/**
 * @param {string} what the value is
 * @param {(string | number)[]} path to the place
 * @param {string} reason
 * @param {unknown} cause
 */
function refusal(what, path, reason, cause) {
  const text = path.length > MAX_PATH ? '' : pathText(path);
  const place = text === '' ? '' : ` at ${text}`;
  const message = `the ${what} cannot be serialised${place}: ${reason}`;
  return new SerializationError(message, { cause, path: text || undefined });
}

/**
 * Refuses a value while it is walked. What is only somewhat too large is not refused here, but
 * measured to the byte.
 *
 * @param {string} what the value is
 * @param {number} size that it has at least, in bytes
 * @param {number} limit
 * @throws {MessageTooLargeError}
 */
function assertWithinSlack(what, size, limit) {
  if (size <= limit + SIZE_SLACK) return;
  const message = `the ${what} has at least ${size} bytes, more than maxMessageSize (${limit})`;
  throw new MessageTooLargeError(message, { size, limit });
}

/** @param {unknown} error */
function reasonOf(error) {
  if (isTooDeep(error)) return 'the value is nested too deeply';
  try {
    return error instanceof Error ? String(error.message) : String(error);
  } catch {
    // Whatever was thrown, it is the cause.
    return 'something without a message was thrown';
  }
}

/**
 * @param {unknown} error
 * @returns {boolean} whether the stack was not deep enough for a value
 */
function isTooDeep(error) {
  return error instanceof RangeError && /call stack/i.test(error.message);
}

/** @param {(string | number)[]} path */
function pathText(path) {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else if (!IDENTIFIER.test(key)) text += `[${stringify(key)}]`;
    else text += text === '' ? key : `.${key}`;
  }
  return text;
}

module.exports = { assertWithinSlack, isTooDeep, reasonOf, refusal };
