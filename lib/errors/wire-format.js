'use strict';

// The form in which errors travel: what both ends of the channel must agree on.

const { OwnMap, OwnSet } = require('../intrinsics');
const {
  AbortError,
  MessageTooLargeError,
  ProtocolError,
  SerializationError,
} = require('./classes');

/** How far `cause` and `errors` are followed. */
const MAX_DEPTH = 16;
/** Of the errors in one AggregateError. */
const MAX_ERRORS = 256;
/**
 * The classes that keep their identity. Names are looked up here and nowhere else: a worker cannot
 * name a global. Other classes of bulkhead are not among them, since a handler's PoolClosedError is
 * about a pool of its own.
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
const RESERVED = new OwnSet(['name', 'message', 'stack', 'cause', 'errors']);

/**
 * What is in `fields` or is a `value` is JSON. Where JSON has no form for it, `places` says what
 * stands for it there:
 *
 * - `Error`: another WireError;
 * - `v8`: base64 of V8's format, with `serialization: 'advanced'` only;
 * - what raw bytes are called (see codec/binary.js): base64 of these bytes.
 *
 * @typedef {[type: string, path: (string | number)[]]} Place `path` begins with `fields` or `value`
 *
 * @typedef {object} WireError
 * @property {string} [name]
 * @property {string} [message]
 * @property {string} [stack]
 * @property {string} [class] the nearest class that the other side has as well
 * @property {string | number} [code]
 * @property {Record<string, unknown>} [fields] own enumerable properties
 * @property {WireError | WireValue} [cause]
 * @property {(WireError | WireValue)[]} [errors]
 * @property {boolean} [nonError] what was thrown is no error, but `value`
 * @property {unknown} [value]
 * @property {Place[]} [places]
 *
 * @typedef {{ value?: unknown, places?: Place[] }} WireValue what is no error
 */

module.exports = { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED };
