'use strict';

// The program of a pool without a `worker` option. It runs functions by value and tasks that name a
// module, and returns the `data` of any other task.

const { fileURLToPath } = require('node:url');
const { pathOf } = require('../platform/worker-process');
const { exec } = require('./compile');
const { Handlers } = require('./handlers');
const { OwnMap, hasOwn } = require('./intrinsics');
const { load } = require('./load');
const { resolveModule } = require('./resolve');

/**
 * @typedef {import('./context').Task} Task
 * @typedef {import('./context').TaskContext} TaskContext
 * @typedef {import('./context').WorkerContext} WorkerContext
 * @typedef {import('./module-program').Program} Program
 */

/** @implements {Program} */
class Builtin {
  /**
   * Modules by file URL. A loaded module stays loaded, as with any import().
   *
   * @type {Map<string, Handlers>}
   */
  #modules = new OwnMap();
  /** @type {Map<string, Promise<Handlers>>} */
  #loading = new OwnMap();
  #context;
  #workerProcess;

  /**
   * @param {WorkerContext} context
   * @param {import('../platform/worker-process').WorkerProcess} workerProcess
   */
  constructor(context, workerProcess) {
    this.#context = context;
    this.#workerProcess = workerProcess;
  }

  async setup() {}

  /**
   * @param {Task} task
   * @param {TaskContext} context
   * @returns {unknown}
   */
  start(task, context) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return exec(frame.exec, payload);
    if (frame.filename !== undefined) {
      const known = this.#modules.get(frame.filename);
      if (known !== undefined) return known.start(frame, payload, context);
      return this.#loadAndStart(frame.filename, task, context);
    }
    if (frame.handler !== undefined) {
      throw new TypeError(
        `the built-in worker has no handler "${frame.handler}": name its module by "filename"`,
      );
    }
    if (typeof payload !== 'object' || payload === null) return payload;
    return hasOwn(payload, 'data') ? payload.data : undefined;
  }

  /**
   * @param {string} filename of a module that is not loaded
   * @param {Task} task
   * @param {TaskContext} context
   */
  async #loadAndStart(filename, { frame, payload }, context) {
    const handlers = await this.#loadOnce(filename);
    return handlers.start(frame, payload, context);
  }

  accept() {
    return false;
  }

  async teardown() {
    for (const handlers of this.#modules.values()) await handlers.hook('teardown')?.(this.#context);
  }

  /**
   * Loads a module once: tasks that arrive meanwhile share the attempt. A failed attempt is
   * forgotten, so a later task tries again.
   *
   * @param {string} filename
   */
  #loadOnce(filename) {
    const known = this.#loading.get(filename);
    if (known !== undefined) return known;
    const loading = this.#load(filename);
    this.#loading.set(filename, loading);
    return loading;
  }

  /** @param {string} filename */
  async #load(filename) {
    const { loading } = this.#workerProcess;
    let path = '';
    try {
      const url = resolveModule(filename);
      path = pathOf(url);
      loading.add(path);
      const handlers = await Handlers.of(await load(url), fileURLToPath(url));
      if (!handlers.found && !handlers.foundFunctions) throw handlers.nothingFound();
      await handlers.hook('setup')?.(this.#context);
      this.#modules.set(filename, handlers);
      return handlers;
    } finally {
      loading.delete(path);
      this.#loading.delete(filename);
    }
  }
}

module.exports = { Builtin };
