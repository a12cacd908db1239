'use strict';

// The public class. It checks arguments and connects the parts of a pool: submission.js hands tasks
// to the native pool, delivery.js delivers what comes back, lifecycle.js starts and ends the pool.

const process = require('node:process');
const { inspect } = require('node:util');
const { encode, prepareAdvanced } = require('../codec/serialize');
const { forCaller, fromCaller } = require('../errors/caller');
const { SerializationError } = require('../errors/classes');
const { Promise } = require('../intrinsics');
const { map } = require('../iterate/mapping');
const native = require('../native');
const { constructorName, invalidType, invalidValue } = require('../options/argument-errors');
const { functionSource } = require('../options/function-source');
const {
  MAX_WORKERS,
  resolveOptions,
  resolveShutdownOptions,
  resolveSize,
} = require('../options/pool-options');
const { assertMayNest } = require('../platform/nesting');
const { assertMaySpawn } = require('../platform/permission');
const { HOST } = require('../platform/runtime');
const { Cancellation } = require('./cancellation');
const { Delivery } = require('./delivery');
const { Diagnostics } = require('./diagnostics');
const { cancelWarning, warnIfCollected } = require('./gc-warning');
const { KeepAlive } = require('./keep-alive');
const { Lifecycle } = require('./lifecycle');
const { ObservedEmitter } = require('./observed-emitter');
const { callOf, proxyOf } = require('./proxy');
const { BatchReader } = require('./rows');
const { Submission, headerOf, sizeOf, tooLarge } = require('./submission');
const { EventTask, PromisedTask } = require('./task');
const {
  resolveProxyOptions,
  resolveStreamOptions,
  resolveTaskOptions,
} = require('../options/task-options');
const { TaskStream } = require('../iterate/task-stream');
const { integer } = require('../options/validators');
const { recycler } = require('../platform/recycler');
const { assertNotItself } = require('../platform/worker-process');
const { Tickets } = require('./tickets');

/** @typedef {import('./task').Task} Task */
/** @typedef {import('../../index').TaskOptions} TaskOptions */
/** @typedef {import('../../index').Stats} Stats */
/** @typedef {import('../../index').WorkerStats} WorkerStats */

/** Node.js 20.0 to 20.4 lack the symbol. @type {typeof Symbol.asyncDispose} */
const asyncDispose = Symbol.asyncDispose ?? Symbol.for('nodejs.asyncDispose');

/** In place of a worker's id: a message to all workers. */
const ALL_WORKERS = 0;

class ProcessManager extends ObservedEmitter {
  #kind;
  #config;
  /** @type {import('../options/pool-options').PoolSize} */
  #size;
  /** @type {Tickets<Task>} */
  #tickets = new Tickets();
  #cancellation = new Cancellation((ticket) => this.#lifecycle.native?.cancel(ticket));
  #batches;
  #keepAlive;
  #lifecycle;
  #delivery;
  #diagnostics;
  #submission;
  /** Mappings that wait for their source. @type {import('../iterate/mapping').Host['pulling']} */
  #pulling = new Set();
  /** @type {ReturnType<typeof proxyOf> | undefined} made by the first access */
  #proxy;
  /** The result of `stats()` once the pool is closed (JSON). */
  #finalStats = '';

  /** @param {import('../../index').Options} [options] */
  constructor(options) {
    super((event) => this.#listenersChanged(event));
    const { config, kind, worker, collectBuffers } = forCaller(ProcessManager, () =>
      resolveOptions(options, native.availableParallelism),
    );
    assertMaySpawn();
    if (config.maxMemory + config.recycleMemory > 0 && !native.readsMemory())
      warnOfMemory(config.name);
    assertMayNest(native.depth());
    if (config.serialization === 'advanced') prepareAdvanced();
    this.#config = config;
    this.#size = { minWorkers: config.minWorkers, maxWorkers: config.maxWorkers };
    this.#kind = kind;
    this.#batches = new BatchReader(
      (row, value, blobs) => this.#delivery.onRow(row, value, blobs),
      (row, error) => this.#delivery.onMalformed(row, error),
      collectBuffers ? recycler : null,
    );
    const onBatch = batchCallback(this.#batches);
    const pool = new native.ProcessManager(config, this.#batches.meta, onBatch);
    this.#batches.attach(pool);
    // Bun exports libuv's functions, but each of them aborts the process.
    if (HOST === 'Node.js') pool.lead(onBatch);
    this.#keepAlive = new KeepAlive(pool, this);
    this.#diagnostics = new Diagnostics(this, config.name);
    this.#lifecycle = new Lifecycle(pool, this.#keepAlive, {
      assertMayStart: () => assertNotItself(worker),
      onStart: () => {
        warnIfCollected(this, config.name);
        this.#diagnostics.poolOpened();
      },
      onError: (error, isAnnounced) => this.#delivery.poolBroke(error, isAnnounced),
      onDrain: () => this.#delivery.emit('drain'),
      onRefusal: (error) => {
        const mappings = [...this.#pulling];
        for (const mapping of mappings) mapping.refused(error);
        return mappings.length > 0;
      },
      onClosed: () => this.#closed(),
    });
    this.#delivery = new Delivery({
      emitter: this,
      tickets: this.#tickets,
      cancellation: this.#cancellation,
      keepAlive: this.#keepAlive,
      diagnostics: this.#diagnostics,
      poolName: config.name,
      onLifecycle: (event) => this.#lifecycle.onEvent(event),
      killForProtocolError: (pid, what) => this.#lifecycle.native?.killForProtocolError(pid, what),
      disownResult: () => this.#lifecycle.native?.disownResult(),
      advanced: config.serialization === 'advanced',
    });
    this.#submission = new Submission({
      native: pool,
      config,
      kind,
      tickets: this.#tickets,
      cancellation: this.#cancellation,
      keepAlive: this.#keepAlive,
      lifecycle: this.#lifecycle,
      delivery: this.#delivery,
      diagnostics: this.#diagnostics,
    });
  }

  startWorkers() {
    return this.#lifecycle.startWorkers();
  }

  /**
   * @param {unknown} task
   * @param {TaskOptions} [options]
   */
  distributeTask(task, options) {
    const record = new EventTask();
    try {
      this.#submission.accept(record, task, options);
    } catch (error) {
      record.emitDestroy();
      throw fromCaller(error, ProcessManager.prototype.distributeTask);
    }
    return record.id;
  }

  /**
   * @param {unknown} task
   * @param {TaskOptions} [options]
   * @returns {Promise<any>}
   */
  run(task, options) {
    // An error thrown in the executor rejects the promise.
    return new Promise((resolve, reject) => {
      try {
        this.#submission.accept(new PromisedTask(resolve, reject), task, options);
      } catch (error) {
        throw fromCaller(error, ProcessManager.prototype.run);
      }
    });
  }

  /**
   * @param {(...args: any[]) => unknown} fn
   * @param {readonly unknown[]} [args]
   * @param {TaskOptions} [options]
   * @returns {Promise<any>}
   */
  exec(fn, args = [], options = undefined) {
    return new Promise((resolve, reject) => {
      try {
        const source = functionSource(fn);
        if (!Array.isArray(args)) throw invalidType('args', 'an instance of Array', args);
        if (this.#kind === 'command')
          throw invalidValue('fn', fn, 'cannot run in a { command, args } worker');
        const resolved = resolveTaskOptions(options, this.#kind);
        this.#submission.acceptWith(new PromisedTask(resolve, reject), args, resolved, {
          exec: source,
        });
      } catch (error) {
        throw fromCaller(error, ProcessManager.prototype.exec);
      }
    });
  }

  /**
   * @param {import('../../index').ProxyOptions} [options]
   * @returns {any} an object with a function for every name; the caller knows their types
   */
  createProxy(options) {
    const resolved = forCaller(ProcessManager.prototype.createProxy, () =>
      resolveProxyOptions(options, this.#kind),
    );
    return proxyOf((name, args, fn) => {
      return new Promise((resolve, reject) => {
        try {
          this.#assertCallable(name, args, resolved.filename);
          const call = callOf(args, this.#config.serialization);
          this.#submission.acceptWith(
            new PromisedTask(resolve, reject),
            args,
            { ...resolved, handler: name },
            call,
          );
        } catch (error) {
          throw fromCaller(error, fn);
        }
      });
    });
  }

  /** @returns {any} */
  get proxy() {
    this.#proxy ??= this.createProxy();
    return this.#proxy;
  }

  /**
   * @param {string} name of the function
   * @param {unknown[]} args
   * @param {string | null} filename of its module
   */
  #assertCallable(name, args, filename) {
    const what = `proxy.${name}`;
    if (this.#kind === 'command')
      throw invalidValue(what, args, 'cannot be called in a { command, args } worker');
    if (this.#kind === 'built-in' && filename === null)
      throw invalidValue(
        what,
        args,
        'is in no module: pass the option worker to the pool, or filename to createProxy()',
      );
  }

  /**
   * @param {unknown} task
   * @param {import('../../index').StreamOptions} [options]
   */
  stream(task, options) {
    return new TaskStream({
      open: (stream) => {
        const { highWaterMark, ...rest } = resolveStreamOptions(options, this.#kind);
        const ticket = this.#submission.acceptWith(stream, task, rest, { stream: highWaterMark });
        return { ticket, highWaterMark };
      },
      credit: (ticket, count) => this.#lifecycle.native?.credit(ticket, count),
      cancel: (ticket) => this.#cancellation.cancel(ticket, undefined),
    });
  }

  /**
   * @param {number} workerId
   * @param {unknown} message
   */
  send(workerId, message) {
    return forCaller(ProcessManager.prototype.send, () => {
      integer('workerId', workerId, 1, MAX_WORKERS);
      return this.#sendMessage(workerId, message) > 0;
    });
  }

  /** @param {unknown} message */
  broadcast(message) {
    return forCaller(ProcessManager.prototype.broadcast, () =>
      this.#sendMessage(ALL_WORKERS, message),
    );
  }

  /**
   * @param {number} workerId
   * @param {unknown} message
   * @returns {number} the number of workers that get the message
   */
  #sendMessage(workerId, message) {
    const { serialization, maxMessageSize } = this.#config;
    const encoded = encode(
      message,
      serialization,
      'message',
      this.#kind !== 'command',
      maxMessageSize,
    );
    const { json, blobs, binary, encoding, undefined: isUndefined } = encoded;
    if (isUndefined) throw new SerializationError('undefined cannot be a message');
    if (json.length > maxMessageSize)
      throw tooLarge('message', sizeOf(json, blobs), maxMessageSize);
    const reached = this.#lifecycle
      .running()
      ?.send(workerId, json, headerOf({ binary, encoding }), blobs);
    if (reached !== undefined && reached < 0) throw tooLarge('message', -reached, maxMessageSize);
    return reached ?? 0;
  }

  /**
   * @param {Iterable<unknown> | AsyncIterable<unknown>} iterable
   * @param {import('../../index').MapOptions} [options]
   * @returns {AsyncIterableIterator<any>}
   */
  map(iterable, options) {
    /** @type {import('../iterate/mapping').Host} */
    const host = {
      accept: (task, item, resolved) => this.#submission.acceptResolved(task, item, resolved),
      cancel: (ticket) => this.#cancellation.cancel(ticket, undefined),
      ready: () => this.#lifecycle.ready(),
      capacity: () => this.#size.maxWorkers * this.#config.concurrency,
      refusal: () => this.#lifecycle.refusal(),
      pulling: this.#pulling,
      called: ProcessManager.prototype.map,
    };
    return map(host, iterable, options, this.#kind);
  }

  /**
   * @param {string | number} id
   * @param {unknown} [reason]
   */
  cancel(id, reason) {
    if (typeof id !== 'string' && typeof id !== 'number')
      throw fromCaller(
        invalidType('id', 'of type string or number', id),
        ProcessManager.prototype.cancel,
      );
    const tickets = this.#tickets.withId(id);
    for (const ticket of tickets) this.#cancellation.cancel(ticket, reason);
    return tickets.length > 0;
  }

  ready() {
    return this.#lifecycle.ready();
  }

  /** @returns {Stats} */
  stats() {
    const { workers, ...totals } = JSON.parse(this.#lifecycle.native?.stats() ?? this.#finalStats);
    return {
      ...totals,
      workers: workers.map((/** @type {WorkerStats} */ worker) => this.#workerStats(worker)),
    };
  }

  /** @param {WorkerStats} worker as the native side knows the worker: with the tickets of tasks */
  #workerStats({ id, pid, state, running, uptime, rss, tasksDone, restarts }) {
    const ids = running.flatMap((ticket) => this.#tickets.get(Number(ticket))?.id ?? []);
    return { id, pid, state, running: ids, uptime, rss, tasksDone, restarts };
  }

  get workers() {
    return this.stats().workers;
  }

  /**
   * @param {import('../../index').PoolSize} size
   * @returns {Promise<void>}
   */
  resize(size) {
    try {
      this.#size = resolveSize(size, this.#size);
    } catch (error) {
      return Promise.reject(fromCaller(error, ProcessManager.prototype.resize));
    }
    return this.#lifecycle.resize(this.#size);
  }

  /** @returns {Promise<void>} */
  reload() {
    return this.#lifecycle.reload();
  }

  /**
   * @param {import('../../index').ShutdownOptions} [options]
   * @returns {Promise<import('../../index').ShutdownReport>}
   */
  shutdown(options) {
    try {
      return this.#lifecycle.shutdown(resolveShutdownOptions(options));
    } catch (error) {
      return Promise.reject(fromCaller(error, ProcessManager.prototype.shutdown));
    }
  }

  terminate() {
    return this.#lifecycle.terminate();
  }

  ref() {
    if (this.#lifecycle.native !== null) this.#keepAlive.ref();
    return this;
  }

  unref() {
    if (this.#lifecycle.native !== null) this.#keepAlive.unref();
    return this;
  }

  async [asyncDispose]() {
    await this.shutdown();
  }

  /**
   * Returns what console.log() shows of a pool.
   *
   * @param {number} depth nesting levels left to show; less than 0: none
   * @param {import('node:util').InspectOptionsStylized} options
   */
  [inspect.custom](depth, options) {
    // `this` may be the prototype, or a Proxy of a pool: neither has private fields.
    if (!(#lifecycle in this)) return this;
    const name = constructorName(this) || 'ProcessManager';
    if (depth < 0) return options.stylize(`[${name}]`, 'special');
    const {
      workers,
      queue: { tasks, bytes },
    } = this.stats();
    /** @type {Record<string, number>} */
    const states = {};
    for (const { state } of workers) states[state] = (states[state] ?? 0) + 1;
    const about = {
      name: this.#config.name,
      state: this.#lifecycle.state,
      workers: states,
      queue: { tasks, bytes },
    };
    return `${name} ${inspect(about, { ...options, depth: 1 })}`;
  }

  /** @param {string | symbol | undefined} event */
  #listenersChanged(event) {
    if (this.#config.stdio !== 'pipe') return;
    if (event !== 'stdout' && event !== 'stderr' && event !== undefined) return;
    const listeners = this.listenerCount('stdout') + this.listenerCount('stderr');
    this.#lifecycle.native?.setStdioListening(listeners > 0);
  }

  #closed() {
    cancelWarning(this);
    // The native side settles every task before the event 'closed'. A task that a bug leaves
    // unsettled fails here instead of never.
    for (const ticket of this.#tickets.all())
      this.#delivery.fail(ticket, { kind: 'closed', maybeExecuted: true });
    this.#finalStats = this.#lifecycle.native?.stats() ?? '';
    this.#batches.detach();
    this.#diagnostics.poolClosed();
  }
}

/**
 * Returns the callback that the native side calls for a batch. The native side keeps the callback
 * alive, so the callback holds its reader weakly: otherwise the pool could never be collected. The
 * closure is made in a function of its own, because closures of one function share all captured
 * variables.
 *
 * @param {BatchReader} batches
 */
function batchCallback(batches) {
  const weakly = new WeakRef(batches);
  return () => weakly.deref()?.onBatch();
}

/**
 * Warns on systems other than Linux, and where `/proc` is missing or belongs to another PID
 * namespace.
 *
 * @param {string} name of the pool
 */
function warnOfMemory(name) {
  const message = `process pool "${name}" cannot apply maxMemory and recycleMemory: the memory of processes cannot be read`;
  process.emitWarning(message, {
    code: 'BULKHEAD_NO_MEMORY_LIMITS',
    detail: 'Both options need Linux, with /proc mounted in the PID namespace of this process.',
  });
}

module.exports = { ProcessManager };
