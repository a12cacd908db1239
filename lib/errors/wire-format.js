'use strict';

// The wire form of errors, on which both ends of the channel agree.

const { OwnMap, OwnSet } = require('../intrinsics');
const {
  AbortError,
  MessageTooLargeError,
  ProtocolError,
  SerializationError,
} = require('./classes');

/** Maximum depth of `cause` and `errors`. */
const MAX_DEPTH = 16;
/** Maximum number of errors in one AggregateError. */
const MAX_ERRORS = 256;
/**
 * The classes that keep their identity. Class names are looked up only here, so a worker cannot
 * name a global. Other classes of bulkhead are missing on purpose: a handler's PoolClosedError
 * concerns a pool of its own.
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

/** Names that are not among `fields`, because the wire form has them at top level. */
const RESERVED = new OwnSet(['name', 'message', 'stack', 'cause', 'errors']);

/**
 * `fields` and `value` hold JSON. For values without a form in JSON, `places` lists the path and
 * the type of the substitute at that path:
 *
 * - `Error`: another WireError;
 * - `v8`: base64 of V8's format, only with `serialization: 'advanced'`;
 * - a type of raw bytes (see codec/binary.js): base64 of these bytes.
 *
 * @typedef {[type: string, path: (string | number)[]]} Place `path` begins with `fields` or `value`
 * @typedef {object} WireError
 * @property {string} [name]
 * @property {string} [message]
 * @property {string} [stack]
 * @property {string} [class] the nearest class that both sides have
 * @property {string | number} [code]
 * @property {Record<string, unknown>} [fields] own enumerable properties
 * @property {WireError | WireValue} [cause]
 * @property {(WireError | WireValue)[]} [errors]
 * @property {boolean} [nonError] the thrown value is not an error; see `value`
 * @property {unknown} [value]
 * @property {Place[]} [places]
 * @typedef {{ value?: unknown, places?: Place[] }} WireValue a value that is not an error
 */

module.exports = { CLASSES, MAX_DEPTH, MAX_ERRORS, RESERVED };
