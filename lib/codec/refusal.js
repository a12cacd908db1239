'use strict';

// Builds the errors for values that cannot be sent.

const { MessageTooLargeError, SerializationError } = require('../errors/classes');
const { stringify } = require('../intrinsics');

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;
/** Longer paths are left out of messages. */
const MAX_PATH = 100;
/** Excess over the limit up to which a value is still measured exactly for the message (bytes). */
const SIZE_SLACK = 16 * 1024 * 1024;

/**
 * @param {string} what name of the value
 * @param {(string | number)[]} path to the refused part
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
 * Refuses a value during its walk if it is far too large. A value that is only slightly too large
 * is measured exactly later.
 *
 * @param {string} what name of the value
 * @param {number} size lower bound of the size so far (bytes)
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
    // The thrown value is still the cause.
    return 'a value without a message was thrown';
  }
}

/**
 * @param {unknown} error
 * @returns {boolean} whether the value was too deep for the stack
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
