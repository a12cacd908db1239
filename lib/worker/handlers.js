'use strict';

// Finds the handlers that a worker module exports, and picks the one for a task.

const { readFileSync } = require('node:fs');
const {
  OwnMap,
  apply,
  bind,
  getOwnPropertyDescriptor,
  hasOwn,
  join,
  keysOf,
  stringify,
} = require('./intrinsics');

const LOOKED_FOR =
  'a function as default export, an exported function "processTask", ' +
  'an exported object "handlers", other exported functions, or a listener for process.on("message")';

/**
 * Export names that are not handlers. `module.exports` is Node's name for the exports of a CommonJS
 * module as a whole.
 *
 * @type {Readonly<Record<string, boolean | null>>}
 */
const RESERVED = Object.freeze({
  __proto__: null,
  default: true,
  handlers: true,
  processTask: true,
  setup: true,
  teardown: true,
  'module.exports': true,
});

/** Matches code that asks whether its module is the main program. */
const ASKS_MAIN = /\b(?:import\.meta|require)\.main\b/;

/**
 * Exports that are awaited if they are promises. Other exports may be promises of something else
 * that never settle.
 */
const AWAITED = ['processTask', 'handlers'];

/** @typedef {(task: any, context: import('./context').TaskContext) => unknown} Handler */

class Handlers {
  /**
   * The objects that exports are looked up in: the namespace, then what a CommonJS or transpiled
   * module put into its `default`.
   */
  #exportObjects;
  /** Name of the module in errors. */
  #file;
  /** @type {Handler | undefined} */
  #default;
  /** @type {Record<string, unknown> | undefined} */
  #map;
  /** @type {Map<string, Handler>} */
  #bound = new OwnMap();
  /** Exported functions that a task has named. @type {Map<string, Handler>} */
  #functions = new OwnMap();

  /**
   * @param {object} namespace result of import()
   * @param {string} file
   * @returns {Promise<Handlers>} resolved once exported promises have settled
   * @throws the reason of such a promise
   */
  static async of(namespace, file) {
    return new Handlers(await findExportObjects(namespace), file);
  }

  /**
   * @param {any[]} objects
   * @param {string} file
   */
  constructor(objects, file) {
    this.#file = file;
    this.#exportObjects = objects;
    this.#default = this.#findDefault();
    this.#map = this.#find(
      'handlers',
      (/** @type {unknown} */ value) => typeof value === 'object' && value !== null,
    );
  }

  get found() {
    return this.#default !== undefined || this.#map !== undefined;
  }

  /** Returns whether the module exports functions that only a task's `handler` option reaches. */
  get foundFunctions() {
    return this.#functionNames().length > 0;
  }

  /**
   * Runs a task. Its handler gets the whole task and the context; a call gets its arguments only.
   *
   * @param {import('./frames').TaskFrame} frame
   * @param {any} payload
   * @param {import('./context').TaskContext} context
   * @returns {unknown} the handler's return value
   */
  start(frame, payload, context) {
    const handler = this.pick(frame.handler, payload);
    return frame.call === true
      ? apply(handler, undefined, argumentsOf(frame, payload))
      : handler(payload, context);
  }

  /**
   * Returns `setup` or `teardown`, if the module exports it.
   *
   * @param {string} name
   * @returns {((context: import('./context').WorkerContext) => unknown) | undefined}
   */
  hook(name) {
    return this.#findFunction(name);
  }

  /**
   * Picks the handler for a task.
   *
   * @param {string | undefined} name from the task's options
   * @param {any} payload
   * @returns {Handler}
   * @throws {TypeError} listing the handlers of the module
   */
  pick(name, payload) {
    if (name !== undefined) {
      const isDefault = name === 'default' || name === 'processTask';
      const handler = this.#named(name) ?? (isDefault ? this.#default : this.#function(name));
      if (handler === undefined) throw this.#unknown(`no handler ${stringify(name)}`);
      return handler;
    }
    if (this.#map === undefined && this.#default !== undefined) return this.#default;
    const isTyped = typeof payload === 'object' && payload !== null && hasOwn(payload, 'type');
    const handler = (isTyped ? this.#named(payload.type) : undefined) ?? this.#default;
    if (handler !== undefined) return handler;
    if (isTyped) throw this.#unknown(`no handler for the task type ${label(payload.type)}`);
    throw this.#unknown('no default handler, and the task has no type');
  }

  /** Builds the error for a module without handlers. */
  nothingFound() {
    const names = [...new Set(this.#exportObjects.flatMap((object) => Object.keys(object)))];
    const exported = names.length === 0 ? 'exports nothing' : `exports ${names.join(', ')}`;
    const what = `looked for ${LOOKED_FOR}; the module ${exported}${mainGuardHint(this.#file)}`;
    const error = new TypeError(`${this.#file} is not a worker module: ${what}`);
    return Object.assign(error, { code: 'ERR_NO_HANDLER' });
  }

  /**
   * Looks up an entry of `handlers`. It is bound to its object, in case it uses `this`, and looked
   * up late, because setup() may add entries.
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

  /**
   * Looks up an exported function outside of `handlers`. Its `this` is the object that exports it:
   * functions of CommonJS modules may use `module.exports` that way.
   *
   * @param {string} name
   * @returns {Handler | undefined}
   */
  #function(name) {
    const known = this.#functions.get(name);
    if (known !== undefined || RESERVED[name] === true) return known;
    let found;
    let self;
    for (let i = 0; i < this.#exportObjects.length; i++) {
      const object = this.#exportObjects[i];
      if (!hasOwn(object, name)) continue;
      const value = object[name];
      if (!isCallable(value) || (found !== undefined && value !== found)) continue;
      found = value;
      self = object;
    }
    if (found === undefined) return undefined;
    const bound = /** @type {Handler} */ (bind(found, self));
    this.#functions.set(name, bound);
    return bound;
  }

  /** Lists the names that `#function` finds. */
  #functionNames() {
    /** @type {string[]} */
    const names = [];
    const seen = new OwnMap();
    for (let i = 0; i < this.#exportObjects.length; i++) {
      const keys = keysOf(this.#exportObjects[i]);
      for (let j = 0; j < keys.length; j++) {
        const name = keys[j];
        if (
          seen.has(name) ||
          RESERVED[name] === true ||
          !isCallable(valueAt(this.#exportObjects[i], name))
        )
          continue;
        seen.set(name, true);
        names[names.length] = name;
      }
    }
    return names;
  }

  #findDefault() {
    for (const object of this.#exportObjects) {
      if (typeof object === 'function') return object;
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
    for (let i = 0; i < this.#exportObjects.length; i++) {
      const object = this.#exportObjects[i];
      if (!hasOwn(object, name)) continue;
      const value = object[name];
      if (fits(value)) return value;
    }
    return undefined;
  }

  /** @param {string} what */
  #unknown(what) {
    const handlers = join(this.#map === undefined ? [] : keysOf(this.#map), ', ');
    const all =
      this.#default === undefined ? handlers : `default${handlers === '' ? '' : ', '}${handlers}`;
    const functions = join(this.#functionNames(), ', ');
    const named = functions === '' ? '' : `by the option "handler" ${functions}`;
    const there = all === '' || named === '' ? `${all}${named}` : `${all}, and ${named}`;
    return new TypeError(
      `${this.#file} has ${what}; the module has ${there === '' ? 'none' : there}`,
    );
  }
}

/**
 * @param {import('./frames').TaskFrame} frame of a call
 * @param {any[]} payload arguments, parsed from JSON
 */
function argumentsOf(frame, payload) {
  const positions = frame.undefined;
  if (positions !== undefined) {
    for (let i = 0; i < positions.length; i++) payload[positions[i]] = undefined;
  }
  return payload;
}

/**
 * Returns the objects to look exports up in. import() gives a CommonJS module's `module.exports` as
 * `default`. If that was compiled from an ES module, the real default export is one level deeper.
 * An awaited promise is replaced by its value.
 *
 * @param {any} namespace
 * @returns {Promise<any[]>}
 */
async function findExportObjects(namespace) {
  const objects = [namespace];
  /** @type {Record<string, any>} */
  const awaited = {};
  let object = namespace;
  for (;;) {
    for (const name of AWAITED) {
      if (awaited[name] === undefined && hasOwn(object, name) && isAwaited(name, object[name]))
        awaited[name] = await object[name];
    }
    if (objects.length === 3 || !hasOwn(object, 'default')) break;
    object = isThenable(object.default) ? await object.default : object.default;
    if (!isObject(object)) break;
    objects.push(object);
  }
  // Looked up first: the other objects still have the promises.
  return Object.keys(awaited).length === 0 ? objects : [awaited, ...objects];
}

/**
 * @param {string} name of an export
 * @param {any} value
 * @returns {boolean} whether to await the export. Among `handlers`, a function named `then` is a
 *   handler
 */
function isAwaited(name, value) {
  return isThenable(value) && !(name === 'handlers' && hasOwn(value, 'then'));
}

/**
 * @param {any} value
 * @returns {boolean} whether the value is a promise; a function with a method `then` is a handler
 */
function isThenable(value) {
  return typeof value === 'object' && value !== null && typeof value.then === 'function';
}

/**
 * Returns a hint for a module without handlers that asks whether it is the main module.
 *
 * @param {string} file
 */
function mainGuardHint(file) {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return ''; // The file is gone, and the hint is optional.
  }
  const asked = ASKS_MAIN.exec(text)?.[0];
  if (asked === undefined) return '';
  const answer =
    asked === 'require.main'
      ? 'which is the worker module itself, as under fork'
      : 'which is not true in a worker, whose module is imported';
  return `. The module checks ${asked}, ${answer}; check isWorker of "bulkhead/worker" as well`;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'function' || (typeof value === 'object' && value !== null);
}

/**
 * Returns whether a value can be called. Classes cannot: like built-in constructors they have a
 * read-only prototype.
 *
 * @param {unknown} value
 */
function isCallable(value) {
  return (
    typeof value === 'function' && getOwnPropertyDescriptor(value, 'prototype')?.writable !== false
  );
}

/**
 * Reads a property for a listing. A getter that throws will throw again for the task that names it.
 *
 * @param {any} object
 * @param {string} name
 * @returns {unknown}
 */
function valueAt(object, name) {
  try {
    return object[name];
  } catch {
    return undefined;
  }
}

/** @param {unknown} value */
function label(value) {
  return typeof value === 'string' ? stringify(value) : String(value);
}

module.exports = { Handlers };
