'use strict';

// The worker of a pool without a `worker` option: it runs functions by value and tasks that name a module, and gives the
// `data` of any other task back.

const { fileURLToPath } = require('node:url');
const { compile } = require('./exec');
const { Handlers } = require('./handlers');
const { hasOwn } = require('./intrinsics');
const { load } = require('./load');

class Builtin {
  /** @type {Map<string, Handlers>} by file URL; a loaded module stays loaded, as with any import() */
  #modules = new Map();
  #loading = new Map();
  #context;

  async setup(context) {
    this.#context = context;
  }

  start(task, context) {
    const { frame, payload } = task;
    if (frame.exec !== undefined) return compile(frame.exec)(...payload);
    if (frame.filename !== undefined) {
      const known = this.#modules.get(frame.filename);
      if (known !== undefined) return known.pick(frame.handler, payload)(payload, context);
      return this.#open(frame.filename).then((handlers) => handlers.pick(frame.handler, payload)(payload, context));
    }
    if (frame.handler !== undefined) {
      throw new TypeError(`The built-in worker has no handler "${frame.handler}": name a module by "filename"`);
    }
    if (typeof payload !== 'object' || payload === null) return payload;
    return hasOwn(payload, 'data') ? payload.data : undefined;
  }

  async teardown(context) {
    for (const handlers of this.#modules.values()) await handlers.hook('teardown')?.(context);
  }

  // Concurrent first tasks share one attempt; a failed one is not kept, so that a later task tries again.
  #open(filename) {
    let loading = this.#loading.get(filename);
    if (loading === undefined) {
      loading = this.#load(filename).finally(() => this.#loading.delete(filename));
      this.#loading.set(filename, loading);
    }
    return loading;
  }

  async #load(filename) {
    const handlers = new Handlers(await load(filename), fileURLToPath(filename));
    if (!handlers.found) throw handlers.nothingFound();
    await handlers.hook('setup')?.(this.#context);
    this.#modules.set(filename, handlers);
    return handlers;
  }
}

module.exports = { Builtin };
