'use strict';

// The program of a worker: a module with handlers, a fork-style script (fork-script.js) or the
// built-in program (builtin-program.js).

const { fileURLToPath } = require('node:url');
const { exec } = require('./compile');
const { ForkScript } = require('./fork-script');
const { Handlers } = require('./handlers');
const { listenerCount } = require('./intrinsics');
const { load } = require('./load');
const { asMain } = require('./main-module');

/**
 * @typedef {object} Program
 * @property {(context: WorkerContext) => Promise<void>} setup before the first task
 * @property {(task: Task, context: TaskContext) => unknown} start runs a task; returns its
 *   handler's return value, or PENDING
 * @property {(context: WorkerContext) => Promise<void>} teardown after the last task
 * @property {(message: any) => boolean} accept takes a message from user code if it ends a task;
 *   returns whether it did
 * @typedef {import('./context').Task} Task
 * @typedef {import('./context').TaskContext} TaskContext
 * @typedef {import('./context').WorkerContext} WorkerContext
 */

/**
 * A module that exports handlers, or functions that tasks name.
 *
 * @implements {Program}
 */
class ModuleProgram {
  #handlers;

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.#handlers = handlers;
  }

  /** @param {WorkerContext} context */
  async setup(context) {
    await this.#handlers.hook('setup')?.(context);
  }

  /**
   * @param {Task} task
   * @param {TaskContext} context
   * @returns {unknown}
   */
  start(task, context) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return exec(frame.exec, payload);
    if (frame.filename !== undefined) {
      throw new TypeError(
        'the task option "filename" is not supported by a pool with a worker module',
      );
    }
    return this.#handlers.start(frame, payload, context);
  }

  accept() {
    return false;
  }

  /** @param {WorkerContext} context */
  async teardown(context) {
    await this.#handlers.hook('teardown')?.(context);
  }
}

/**
 * Loads the user's module and finds out which kind of program it is.
 *
 * @param {string} url file URL
 * @returns {Promise<Program>}
 * @throws the error of its loading, or one that says that no task could be given to it
 */
async function openModule(url) {
  const file = fileURLToPath(url);
  const handlers = await Handlers.of(await asMain(file, () => load(url)), file);
  if (handlers.found) return new ModuleProgram(handlers);
  // A script that listens for messages may also export functions, for its tests for example.
  if (listenerCount('message') > 0) return new ForkScript(handlers);
  if (handlers.foundFunctions) return new ModuleProgram(handlers);
  throw handlers.nothingFound();
}

module.exports = { openModule };
