'use strict';

// Finds what a worker module offers, and the handler that a task is for.

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
 * Exports that mean something else. (The last one is how Node shows a CommonJS module's exports as
 * a whole.)
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

/** What asks whether its module is the program itself. */
const ASKS_MAIN = /\b(?:import\.meta|require)\.main\b/;

/**
 * Exports that are awaited where they are promises. Others may be promises of something else, and
 * for ever.
 */
const AWAITED = ['processTask', 'handlers'];

/** @typedef {(task: any, context: import('./context').TaskContext) => unknown} Handler */

class Handlers {
  /**
   * Where exports may be: the namespace, then what a CommonJS or transpiled module put into its
   * `default`.
   */
  #exportObjects;
  /** What is said about the module in errors. */
  #file;
  /** @type {Handler | undefined} */
  #default;
  /** @type {Record<string, unknown> | undefined} */
  #map;
  /** @type {Map<string, Handler>} */
  #bound = new OwnMap();
  /** @type {Map<string, Handler>} exported functions that a task has named */
  #functions = new OwnMap();

  /**
   * @param {object} namespace what import() gave
   * @param {string} file
   * @returns {Promise<Handlers>} once exports that are promises are there
   * @throws what such a promise rejects with
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

  /**
   * Whether there is, besides those that are found without being named, a function that a task may
   * name.
   */
  get foundFunctions() {
    return this.#functionNames().length > 0;
  }

  /**
   * Runs a task: its handler gets it whole, with the context, or, of a call, the arguments and
   * nothing else.
   *
   * @param {import('./frames').TaskFrame} frame
   * @param {any} payload
   * @param {import('./context').TaskContext} context
   * @returns {unknown} what the handler returns
   */
  start(frame, payload, context) {
    const handler = this.pick(frame.handler, payload);
    return frame.call === true
      ? apply(handler, undefined, argumentsOf(frame, payload))
      : handler(payload, context);
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

  /** Why a module without a handler is no worker. */
  nothingFound() {
    const names = [...new Set(this.#exportObjects.flatMap((object) => Object.keys(object)))];
    const exported = names.length === 0 ? 'exports nothing' : `exports ${names.join(', ')}`;
    const what = `looked for ${LOOKED_FOR}; the module ${exported}${mainGuardHint(this.#file)}`;
    const error = new TypeError(`${this.#file} is not a worker module: ${what}`);
    return Object.assign(error, { code: 'ERR_NO_HANDLER' });
  }

  /**
   * Entries are bound to their object, in case they use `this`; and looked up when first needed, as
   * setup() may add some.
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
   * An exported function that is no handler by itself. It gets as `this` what it has when it is
   * called as a method of its module: of CommonJS, where functions may use it, that is
   * `module.exports`.
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

  /** What `#function` finds, as far as it can be listed. */
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
 * @param {any[]} payload its arguments, from JSON
 */
function argumentsOf(frame, payload) {
  const positions = frame.undefined;
  if (positions !== undefined) {
    for (let i = 0; i < positions.length; i++) payload[positions[i]] = undefined;
  }
  return payload;
}

/**
 * import() of a CommonJS module gives its module.exports as `default`; of one that was compiled
 * from an ES module, the real default export is one level further down. What a promise becomes
 * stands in the object of the promise.
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
  // Before the others, where the promises are.
  return Object.keys(awaited).length === 0 ? objects : [awaited, ...objects];
}

/**
 * @param {string} name of an export
 * @param {any} value
 * @returns {boolean} whether it is a promise of what it stands for. Among `handlers`, a function `then` is one of them
 */
function isAwaited(name, value) {
  return isThenable(value) && !(name === 'handlers' && hasOwn(value, 'then'));
}

/**
 * @param {any} value
 * @returns {boolean} whether it is a promise; a function with a method `then` is a handler
 */
function isThenable(value) {
  return typeof value === 'object' && value !== null && typeof value.then === 'function';
}

/**
 * What to say of a module in which nothing was found, if it looks at whether it is the main one.
 *
 * @param {string} file
 */
function mainGuardHint(file) {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return ''; // It was there a moment ago; what was found in it is told without.
  }
  const asked = ASKS_MAIN.exec(text)?.[0];
  if (asked === undefined) return '';
  const answer =
    asked === 'require.main'
      ? 'which is the worker module itself, as under fork'
      : 'which is not true in a worker, whose module is imported';
  return `. The module asks ${asked}, ${answer}; ask isWorker of "bulkhead/worker" as well`;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === 'function' || (typeof value === 'object' && value !== null);
}

/**
 * Classes are functions, but none that can be called: as with the constructors of the language,
 * nobody can replace their prototype.
 *
 * @param {unknown} value
 */
function isCallable(value) {
  return (
    typeof value === 'function' && getOwnPropertyDescriptor(value, 'prototype')?.writable !== false
  );
}

/**
 * For a look at what there is. A getter that throws will do so again for the task that names it.
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
