'use strict';

// What a worker runs. A program has `setup`, `start` and `teardown`; there are three: a module with handlers, a
// fork-style script (fork-script.js) and the built-in worker (builtin.js).

const { fileURLToPath } = require('node:url');
const { compile } = require('./exec');
const { ForkScript } = require('./fork-script');
const { Handlers } = require('./handlers');
const { listenerCount } = require('./intrinsics');
const { load } = require('./load');

/** A module that exports handlers. */
class ModuleProgram {
  #handlers;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  async setup(context) {
    await this.#handlers.hook('setup')?.(context);
  }

  /**
   * @param {import('./context').Task} task
   * @param {import('./context').TaskContext} context
   * @returns {unknown} what the handler returns
   */
  start(task, context) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return compile(frame.exec)(...payload);
    if (frame.filename !== undefined) {
      throw new TypeError('The task option "filename" needs the built-in worker; this pool has a worker module');
    }
    const handler = this.#handlers.pick(frame.handler, payload);
    return handler(payload, context);
  }

  async teardown(context) {
    await this.#handlers.hook('teardown')?.(context);
  }
}

/**
 * @param {string} url file URL of the user's module
 * @returns {Promise<ModuleProgram | ForkScript>}
 */
async function openModule(url) {
  const handlers = new Handlers(await load(url), fileURLToPath(url));
  if (handlers.found) return new ModuleProgram(handlers);
  if (listenerCount('message') > 0) return new ForkScript(handlers);
  throw handlers.nothingFound();
}

module.exports = { openModule };
