'use strict';

// The worker of a pool without a `worker` option: it runs functions by value and tasks that name a module, and gives the
// `data` of any other task back.

const { fileURLToPath } = require('node:url');
const { compile } = require('./exec');
const { Handlers } = require('./handlers');
const { hasOwn } = require('./intrinsics');
const { load } = require('./load');

/**
 * @typedef {import('./context').Task} Task
 * @typedef {import('./context').TaskContext} TaskContext
 * @typedef {import('./context').WorkerContext} WorkerContext
 * @typedef {import('./program').Program} Program
 */

/** @implements {Program} */
class Builtin {
  /** @type {Map<string, Handlers>} by file URL; what is loaded stays loaded, as with any import() */
  #modules = new Map();
  /** @type {Map<string, Promise<Handlers>>} */
  #loading = new Map();
  #context;

  /** @param {WorkerContext} context */
  constructor(context) {
    this.#context = context;
  }

  async setup() {}

  /**
   * @param {Task} task
   * @param {TaskContext} context
   * @returns {unknown}
   */
  start(task, context) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return compile(frame.exec)(...payload);
    if (frame.filename !== undefined) {
      const known = this.#modules.get(frame.filename);
      if (known !== undefined) return known.pick(frame.handler, payload)(payload, context);
      const opened = this.#open(frame.filename);
      return opened.then((handlers) => handlers.pick(frame.handler, payload)(payload, context));
    }
    if (frame.handler !== undefined) {
      throw new TypeError(`the built-in worker has no handler "${frame.handler}": name its module by "filename"`);
    }
    if (typeof payload !== 'object' || payload === null) return payload;
    return hasOwn(payload, 'data') ? payload.data : undefined;
  }

  accept() {
    return false;
  }

  async teardown() {
    for (const handlers of this.#modules.values()) await handlers.hook('teardown')?.(this.#context);
  }

  /**
   * Tasks that come before the module is there share one attempt. A failed one is not kept: a later task tries again.
   *
   * @param {string} filename
   */
  #open(filename) {
    const known = this.#loading.get(filename);
    if (known !== undefined) return known;
    const loading = this.#load(filename).finally(() => this.#loading.delete(filename));
    this.#loading.set(filename, loading);
    return loading;
  }

  /** @param {string} filename */
  async #load(filename) {
    const handlers = new Handlers(await load(filename), fileURLToPath(filename));
    if (!handlers.found) throw handlers.nothingFound();
    await handlers.hook('setup')?.(this.#context);
    this.#modules.set(filename, handlers);
    return handlers;
  }
}

module.exports = { Builtin };
