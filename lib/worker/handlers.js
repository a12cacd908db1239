'use strict';

// Finds what a worker module offers, and the handler that a task is for.

const { OwnMap, bind, hasOwn, join, keysOf, stringify } = require('./intrinsics');

const LOOKED_FOR =
  'a function as default export, an exported function "processTask", ' +
  'an exported object "handlers", or a listener for process.on("message")';

/** @typedef {(task: any, context: import('./context').TaskContext) => unknown} Handler */

class Handlers {
  /** Where exports may be: the namespace, then what a CommonJS or transpiled module put into its `default`. */
  #places;
  /** What is said about the module in errors. */
  #file;
  /** @type {Handler | undefined} */
  #default;
  /** @type {Record<string, unknown> | undefined} */
  #map;
  /** @type {Map<string, Handler>} */
  #bound = new OwnMap();

  /**
   * @param {object} namespace what import() gave
   * @param {string} file
   */
  constructor(namespace, file) {
    this.#file = file;
    this.#places = exportPlaces(namespace);
    this.#default = this.#findDefault();
    this.#map = this.#find('handlers', (/** @type {unknown} */ value) => typeof value === 'object' && value !== null);
  }

  get found() {
    return this.#default !== undefined || this.#map !== undefined;
  }

  /**
   * `setup` or `teardown`, where the module has it.
   *
   * @param {string} name
   * @returns {((context: import('./context').WorkerContext) => unknown) | undefined}
   */
  hook(name) {
    return this.#findFunction(name);
  }

  /**
   * The handler for a task.
   *
   * @param {string | undefined} name as the task's options give it
   * @param {any} payload
   * @returns {Handler}
   * @throws {TypeError} that says which handlers there are
   */
  pick(name, payload) {
    if (name !== undefined) {
      const handler = this.#named(name) ?? (name === 'default' || name === 'processTask' ? this.#default : undefined);
      if (handler === undefined) throw this.#unknown(`no handler ${stringify(name)}`);
      return handler;
    }
    if (this.#map !== undefined && typeof payload === 'object' && payload !== null && hasOwn(payload, 'type')) {
      const handler = this.#named(payload.type);
      if (handler !== undefined) return handler;
      if (this.#default === undefined) throw this.#unknown(`no handler for the task type ${label(payload.type)}`);
    }
    if (this.#default === undefined) throw this.#unknown('no default handler, and the task has no type');
    return this.#default;
  }

  /** Why a module without a handler is no worker. */
  nothingFound() {
    const names = [...new Set(this.#places.flatMap((place) => Object.keys(place)))];
    const exported = names.length === 0 ? 'exports nothing' : `exports ${names.join(', ')}`;
    const error = new TypeError(`${this.#file} is no worker module: looked for ${LOOKED_FOR}; it ${exported}`);
    return Object.assign(error, { code: 'ERR_NO_HANDLER' });
  }

  /**
   * Entries are bound to their object, in case they use `this`; and looked up when first needed, as setup() may add some.
   *
   * @param {unknown} name
   */
  #named(name) {
    if (typeof name !== 'string') return undefined;
    const known = this.#bound.get(name);
    if (known !== undefined || this.#map === undefined || !hasOwn(this.#map, name)) return known;
    const handler = this.#map[name];
    if (typeof handler !== 'function') return undefined;
    const bound = /** @type {Handler} */ (bind(handler, this.#map));
    this.#bound.set(name, bound);
    return bound;
  }

  #findDefault() {
    for (const place of this.#places) {
      if (typeof place === 'function') return place;
    }
    return this.#findFunction('processTask');
  }

  /** @param {string} name */
  #findFunction(name) {
    return this.#find(name, (/** @type {unknown} */ value) => typeof value === 'function');
  }

  /**
   * @param {string} name
   * @param {(value: unknown) => boolean} fits
   */
  #find(name, fits) {
    for (let i = 0; i < this.#places.length; i++) {
      const place = this.#places[i];
      if (!hasOwn(place, name)) continue;
      const value = place[name];
      if (fits(value)) return value;
    }
    return undefined;
  }

  /** @param {string} what */
  #unknown(what) {
    const names = join(this.#map === undefined ? [] : keysOf(this.#map), ', ');
    const all = this.#default === undefined ? names : `default${names === '' ? '' : ', '}${names}`;
    return new TypeError(`${this.#file} has ${what}; it has ${all === '' ? 'none' : all}`);
  }
}

/**
 * import() of a CommonJS module gives its module.exports as `default`; of one that was compiled from an ES module, the
 * real default export is one level further down.
 *
 * @param {any} namespace
 * @returns {any[]}
 */
function exportPlaces(namespace) {
  const places = [namespace];
  let place = namespace;
  while (places.length < 3 && hasOwn(place, 'default') && isObject(place.default)) {
    place = place.default;
    places.push(place);
  }
  return places;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'function' || (typeof value === 'object' && value !== null);
}

/** @param {unknown} value */
function label(value) {
  return typeof value === 'string' ? stringify(value) : String(value);
}

module.exports = { Handlers };
