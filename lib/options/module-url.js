'use strict';

const path = require('node:path');
const { URL, pathToFileURL } = require('node:url');
const { invalidType, invalidValue } = require('./argument-errors');
const { text } = require('./validators');

/**
 * Returns the URL of a module that workers import.
 *
 * @param {string} name of the option
 * @param {unknown} value a path (a relative one starts at `process.cwd()`), or a file URL as text
 *   or as URL
 * @returns {string} file URL
 */
function moduleUrl(name, value) {
  if (isUrl(value)) return fileUrl(name, value);
  if (typeof value !== 'string')
    throw invalidType(name, 'of type string or an instance of URL', value);
  text(name, value);
  if (!/^[a-z][a-z+.-]+:/i.test(value)) return pathToFileURL(path.resolve(value)).href;
  if (!URL.canParse(value)) throw invalidValue(name, value, 'must be a path or a file URL');
  return fileUrl(name, new URL(value));
}

/**
 * Checks the form and not the class, as Node.js does: test environments have their own URL class.
 *
 * @param {any} value
 * @returns {value is URL}
 */
function isUrl(value) {
  if (value instanceof URL) return true;
  if (typeof value !== 'object' || value === null) return false;
  // The result of url.parse() has `auth` and `path` as well.
  const { href, protocol, auth, path } = value;
  return (
    typeof href === 'string' &&
    typeof protocol === 'string' &&
    auth === undefined &&
    path === undefined
  );
}

/**
 * @param {string} name
 * @param {URL} url
 */
function fileUrl(name, url) {
  if (url.protocol !== 'file:') throw invalidValue(name, url.href, 'must be a path or a file URL');
  if (url.pathname.includes('%00'))
    throw invalidValue(name, url.href, 'must not contain NUL characters');
  return url.href;
}

module.exports = { isUrl, moduleUrl };
