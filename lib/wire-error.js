'use strict';

// The form in which errors travel: what both ends of the channel must agree on.

const { AbortError, MessageTooLargeError, ProtocolError, SerializationError } = require('./errors');
const { OwnMap, OwnSet } = require('./intrinsics');

/** How far `cause` and `errors` are followed. */
const MAX_DEPTH = 16;
/** Of the errors in one AggregateError. */
const MAX_ERRORS = 256;
/**
 * The classes that keep their identity. Names are looked up here and nowhere else: a worker cannot name a global. Other
 * classes of bulkhead are not among them, since a handler's PoolClosedError is about a pool of its own.
 *
 * @type {Map<string, new (message?: string) => Error>}
 */
const CLASSES = new OwnMap(
  Object.entries({
    Error,
    TypeError,
    RangeError,
    SyntaxError,
    ReferenceError,
    EvalError,
    URIError,
    AbortError,
    MessageTooLargeError,
    ProtocolError,
    SerializationError,
  }),
);

/** Not among `fields`: they have a place of their own. */
const RESERVED = new OwnSet(['name', 'message', 'stack', 'class', 'code', 'cause', 'errors']);

/**
 * @typedef {object} WireError
 * @property {string} [name]
 * @property {string} [message]
 * @property {string} [stack]
 * @property {string} [class] the nearest class that the other side has as well
 * @property {string | number} [code]
 * @property {Record<string, unknown>} [fields] own enumerable properties
 * @property {WireError | { value?: unknown }} [cause]
 * @property {(WireError | { value?: unknown })[]} [errors]
 * @property {boolean} [nonError] what was thrown is no error, but `value`
 * @property {unknown} [value]
 */

module.exports = { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED };
