'use strict';

const { invalidType, invalidValue } = require('./argument-errors');

/**
 * The header `traceparent` of https://www.w3.org/TR/trace-context/: version, trace id, id of the
 * parent span, flags. Later versions may append fields, which are passed on unchanged.
 */
const FORM =
  /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?<appended>-[\x21-\x7e]*)?$/;
const FIRST_VERSION = '00-';

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
function traceparent(name, value) {
  if (typeof value !== 'string') throw invalidType(name, 'of type string', value);
  const match = FORM.exec(value);
  const complete = match?.groups?.appended === undefined || !value.startsWith(FIRST_VERSION);
  if (match !== null && complete) return value;
  throw invalidValue(
    name,
    value,
    "must be a W3C traceparent, such as '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'",
  );
}

module.exports = { traceparent };
