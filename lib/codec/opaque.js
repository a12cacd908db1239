'use strict';

// Objects whose content a serialiser does not see: it is in internal slots (a Map, a Promise), in
// private fields (a Blob, a user's class), or in another part of the runtime. Such objects would
// silently arrive empty.

const {
  OwnMap,
  Promise,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  uncurry,
} = require('../intrinsics');

/** Longer prototype chains are not followed: a Proxy can make them endless. */
const MAX_PROTOTYPES = 64;
/** Matches a class that uses a private field. */
const PRIVATE_NAME = /\.\s*#[\p{ID_Start}$_]/u;

const { getOwnPropertyNames } = Object;
const { toStringTag } = Symbol;
/** @type {(fn: Function) => string} */
const sourceOf = uncurry(Function.prototype.toString);
/** @type {(pattern: RegExp, text: string) => boolean} */
const matches = uncurry(RegExp.prototype.test);

/**
 * Built-in classes with their content in internal slots. Own properties of an instance, or of a
 * derived class, do not replace that content.
 *
 * @type {Map<unknown, string>}
 */
const SLOTTED = new OwnMap(
  [Map, Set, WeakMap, WeakSet, WeakRef, RegExp, Promise].map((Class) => [
    Class.prototype,
    Class.name,
  ]),
);

/** The classes among them that structured clone supports. */
const CLONED = Object.freeze(['Map', 'Set', 'RegExp']);

/**
 * @param {object} value not plain, an array, an error, or binary
 * @param {boolean} isEmpty whether the value has no own enumerable properties
 * @returns {string | null} class name of a value whose content is lost by copying own enumerable
 *   properties; null: nothing is lost
 */
function opaqueName(value, isEmpty) {
  let prototype = getPrototypeOf(value);
  for (let i = 0; i < MAX_PROTOTYPES && prototype !== null; i++) {
    const slotted = SLOTTED.get(prototype);
    if (slotted !== undefined) return slotted;
    const above = getPrototypeOf(prototype);
    // The Object.prototype of any realm, which has an accessor too.
    if (above === null) return null;
    if (isEmpty && holdsContent(prototype)) return nameOf(value);
    prototype = above;
  }
  return null;
}

/**
 * Returns whether instances with this prototype and no own properties have content elsewhere. They
 * do if the class belongs to the platform, or has accessors or private fields.
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
 * @returns {string} the name with its indefinite article
 */
function article(name) {
  return `${'AEIOU'.includes(name[0]) ? 'an' : 'a'} ${name}`;
}

module.exports = { CLONED, MAX_PROTOTYPES, article, opaqueName };
