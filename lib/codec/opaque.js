'use strict';

// Objects whose content lies where a serialiser does not look: in internal slots (a Map, a
// Promise), in private fields (a Blob, a class of the user's), in another realm of the runtime.
// They would arrive empty, and without a word.

const {
  OwnMap,
  Promise,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  uncurry,
} = require('../intrinsics');

/** A prototype chain that is longer is a Proxy's joke. */
const MAX_PROTOTYPES = 64;
/** A class that reads or writes a private field. */
const PRIVATE_NAME = /\.\s*#[\p{ID_Start}$_]/u;

const { getOwnPropertyNames } = Object;
const { toStringTag } = Symbol;
/** @type {(fn: Function) => string} */
const sourceOf = uncurry(Function.prototype.toString);
/** @type {(pattern: RegExp, text: string) => boolean} */
const matches = uncurry(RegExp.prototype.test);

/**
 * Classes of the language that keep their content in internal slots. Even where an object of a
 * class derived from one has own properties, these are not what it is about.
 *
 * @type {Map<unknown, string>}
 */
const SLOTTED = new OwnMap(
  [Map, Set, WeakMap, WeakSet, WeakRef, RegExp, Promise].map((Class) => [
    Class.prototype,
    Class.name,
  ]),
);

/** Those of them that structured clone carries. */
const CLONED = Object.freeze(['Map', 'Set', 'RegExp']);

/**
 * @param {object} value neither plain nor an array, an error, or binary
 * @param {boolean} isEmpty without own enumerable properties
 * @returns {string | null} the name of what it is, if a serialiser that takes own enumerable
 *   properties loses its content
 */
function opaqueName(value, isEmpty) {
  let prototype = getPrototypeOf(value);
  for (let i = 0; i < MAX_PROTOTYPES && prototype !== null; i++) {
    const slotted = SLOTTED.get(prototype);
    if (slotted !== undefined) return slotted;
    const above = getPrototypeOf(prototype);
    // Object.prototype of whatever realm, which has an accessor as well.
    if (above === null) return null;
    if (isEmpty && holdsContent(prototype)) return nameOf(value);
    prototype = above;
  }
  return null;
}

/**
 * Whether what has this prototype and no own properties keeps its content elsewhere: it is of a
 * class of the platform, has accessors, or private fields.
 *
 * @param {object} prototype
 */
function holdsContent(prototype) {
  if (getOwnPropertyDescriptor(prototype, toStringTag) !== undefined) return true;
  const names = getOwnPropertyNames(prototype);
  for (let i = 0; i < names.length; i++) {
    if (getOwnPropertyDescriptor(prototype, names[i])?.get !== undefined) return true;
  }
  const Class = getOwnPropertyDescriptor(prototype, 'constructor')?.value;
  return typeof Class === 'function' && matches(PRIVATE_NAME, sourceOf(Class));
}

/** @param {any} value */
function nameOf(value) {
  const tag = value[toStringTag];
  if (typeof tag === 'string' && tag !== '') return tag;
  const name = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? name : 'object';
}

/**
 * @param {string} name of a class
 * @returns {string} with its article
 */
function article(name) {
  return `${'AEIOU'.includes(name[0]) ? 'an' : 'a'} ${name}`;
}

module.exports = { CLONED, article, opaqueName };
