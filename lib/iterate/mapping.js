'use strict';

// `pool.map()`: tasks from any iterable, and their results for a consumer.
//
//   source ──pull──▶ pool ──settle──▶ results ──take──▶ consumer
//            └─────── at most `highWaterMark` ───────┘
//
//   new ──▶ open ──▶ ended ──▶ closing ──▶ done
//    │       │         └──────────────────▶ ▲
//    └───────┴──────────────────────────────┘   left by the consumer
//
// The mapping pulls items only for a consumer: at the first `next()`, and after each result that
// the consumer takes.

const { AsyncResource } = require('node:async_hooks');
const { setTimeout } = require('../clock');
const { fromCaller } = require('../errors/caller');
const { AbortError, PoolClosedError, QueueFullError } = require('../errors/classes');
const { Promise } = require('../intrinsics');
const { NO_OPTIONS, TASK_OPTIONS, resolveTaskOptions } = require('../options/task-options');
const { flag, integer, ownOptions } = require('../options/validators');
const { watchOf } = require('../pool/abort-watch');
const { MappedTask } = require('./mapped-task');
const { PendingReads } = require('./pending-reads');
const { AsCompleted, InOrder } = require('./results');
const { END, Source, assertIterable } = require('./source');
const { Window } = require('./window');

/** The longest pause between two tries to submit an item to a full queue (ms). */
const MAX_PAUSE = 100;

/** @typedef {import('../options/task-options').TaskOptions} TaskOptions */
/** @typedef {import('../options/worker-command').WorkerKind} WorkerKind */

/**
 * The part of a pool that a mapping uses.
 *
 * @typedef {object} Host
 * @property {(task: MappedTask, item: unknown, options: Readonly<TaskOptions>) => number} accept
 *   returns the task's ticket, or throws the reason of the refusal
 * @property {(ticket: number) => void} cancel cancels an unsettled task
 * @property {() => Promise<void>} ready
 * @property {() => number} capacity the number of tasks that can run at once
 * @property {() => Error | null} refusal why the pool accepts no more tasks; null if it does
 * @property {Function} called the method that the user called, where the stacks of errors begin
 * @property {Set<Mapping>} pulling the mappings that wait for their source: the pool calls
 *   `refused` of each when it accepts no more tasks
 */

class Mapping {
  #host;
  #iterable;
  /** @type {AbortSignal | null} */
  #signal = null;
  #options = NO_OPTIONS;
  /** @type {InOrder | AsCompleted} */
  #results = new InOrder();
  #window;
  /** @type {'new' | 'open' | 'ended' | 'closing' | 'done'} */
  #state = 'new';
  /**
   * The error that follows the last result, in place of the end.
   *
   * @type {{ error: unknown } | null}
   */
  #failure = null;
  #reads = new PendingReads();
  /** @type {Source | null} */
  #source = null;
  /** @type {Promise<void> | null} */
  #sourceStopped = null;
  #pulling = false;
  #unsettled = 0;
  /** Resolves the wait for any task to settle. @type {(() => void) | null} */
  #onSettled = null;
  /** `#pull` in the async context of the consumer. */
  #pullInContext = () => {};

  /**
   * @param {Host} host
   * @param {unknown} iterable
   * @param {unknown} options
   * @param {WorkerKind} kind
   */
  constructor(host, iterable, options, kind) {
    this.#host = host;
    this.#iterable = iterable;
    let highWaterMark;
    try {
      assertIterable(iterable);
      const resolved = resolveMapOptions(options, kind);
      if (!resolved.ordered) this.#results = new AsCompleted();
      ({ highWaterMark, signal: this.#signal, task: this.#options } = resolved);
    } catch (error) {
      this.#failure = { error: fromCaller(error, host.called) };
    }
    this.#window = new Window(highWaterMark, host.capacity);
  }

  /** @returns {Promise<IteratorResult<any>>} */
  next() {
    if (this.#state === 'new') this.#open();
    if (this.#state === 'done') return Promise.resolve({ done: true, value: undefined });
    if (this.#reads.size === 0) {
      const task = this.#results.take();
      if (task !== undefined) {
        this.#pull();
        return Promise.resolve({ done: false, value: task.value });
      }
    }
    const result = this.#reads.add();
    this.#pull();
    this.#deliver();
    return result;
  }

  /**
   * Ends the mapping for its consumer.
   *
   * @returns {Promise<void> | null} settles when the source has ended, and may be ignored
   */
  leave() {
    const leaves = this.#state === 'open' || this.#state === 'ended';
    if (!leaves) {
      if (this.#state === 'new') this.#state = 'done';
      return this.#sourceStopped?.catch(() => {}) ?? null;
    }
    this.#state = 'done';
    this.#failure = null;
    this.#unwatch();
    this.#drop(this.#results.clear());
    this.#stopSource();
    this.#close();
    return this.#sourceStopped;
  }

  /**
   * Keeps the result of a task for the consumer.
   *
   * @param {MappedTask} task
   * @param {unknown} value
   */
  resolved(task, value) {
    this.#settled();
    if (task.state === 'dropped') return;
    task.state = 'done';
    task.value = value;
    this.#results.settled(task);
    this.#window.taskDone();
    if (this.#reads.size === 0) return;
    this.#deliver();
    if (!this.#pulling && this.#hasRoom()) this.#pullInContext();
  }

  /**
   * Ends the mapping because a task failed.
   *
   * @param {MappedTask} task
   * @param {unknown} error
   */
  rejected(task, error) {
    this.#settled();
    if (task.state === 'dropped') return;
    task.state = 'dropped';
    this.#end({ error }, this.#results.truncate(task));
  }

  /**
   * Ends the mapping because the pool accepts no more tasks. Accepted tasks may still succeed.
   *
   * @param {unknown} error
   */
  refused(error) {
    if (this.#state === 'open') this.#end({ error }, []);
  }

  /**
   * Ends the mapping because its signal was aborted.
   *
   * @param {unknown} reason
   */
  aborted(reason) {
    this.#end({ error: abortError(reason) }, this.#results.clear());
  }

  #open() {
    try {
      if (this.#failure === null && this.#signal?.aborted)
        this.#failure = { error: abortError(this.#signal.reason) };
      if (this.#failure === null) this.#source = new Source(this.#iterable);
    } catch (error) {
      this.#failure = { error };
    }
    this.#iterable = null;
    this.#state = this.#failure === null ? 'open' : 'ended';
    if (this.#state !== 'open') return;
    this.#pullInContext = AsyncResource.bind(() => this.#pull());
    this.#window.start();
    this.#watch();
  }

  #watch() {
    const signal = this.#signal;
    if (signal === null) return;
    try {
      watchOf(signal).add(this, this);
      // The source's own code may have aborted the signal since the check in `#open`.
      if (signal.aborted) this.aborted(signal.reason);
    } catch (error) {
      this.#end({ error }, []);
    }
  }

  #unwatch() {
    if (this.#signal !== null) watchOf(this.#signal).delete(this);
  }

  #hasRoom() {
    return this.#state === 'open' && this.#results.size < this.#window.limit;
  }

  /**
   * Pulls items while there is room. Continues in `#pullOn` where an item is a promise, or the
   * queue is full.
   */
  #pull() {
    if (this.#pulling || !this.#hasRoom()) return;
    const source = /** @type {Source} */ (this.#source);
    this.#pulling = true;
    do {
      let item;
      try {
        item = source.next();
      } catch (error) {
        this.#sourceFailed(error);
        break;
      }
      if (source.pending || !this.#offer(item)) {
        this.#pullOn(source, item, !source.pending);
        return;
      }
    } while (this.#hasRoom());
    this.#pulling = false;
  }

  /**
   * @param {Source} source
   * @param {unknown} first item, or a promise of an item
   * @param {boolean} refused the pool refused the item
   */
  async #pullOn(source, first, refused) {
    const { pulling } = this.#host;
    pulling.add(this);
    let item = first;
    let isRefused = refused;
    try {
      // The pool may have closed while the mapping was not in `pulling`.
      const refusal = this.#host.refusal();
      if (refusal !== null) this.refused(refusal);
      for (;;) {
        if (source.pending) {
          item = source.arrived(await item);
          isRefused = !this.#offer(item);
        }
        if (isRefused) await this.#offerAgain(item);
        if (!this.#hasRoom()) break;
        item = source.next();
        isRefused = !source.pending && !this.#offer(item);
      }
    } catch (error) {
      this.#sourceFailed(error);
    }
    pulling.delete(this);
    this.#pulling = false;
  }

  /**
   * @param {unknown} item or END
   * @returns {boolean} false: the queue has no room for the item
   */
  #offer(item) {
    // The mapping has ended: the item is dropped.
    if (this.#state !== 'open') return true;
    if (item === END) {
      this.#state = 'ended';
      this.#deliver();
      return true;
    }
    const task = new MappedTask(this);
    try {
      task.ticket = this.#host.accept(task, item, this.#options);
    } catch (error) {
      if (error instanceof QueueFullError) return false;
      if (error instanceof PoolClosedError) this.refused(error);
      else if (this.#state === 'open') this.#end({ error }, this.#results.truncate(null));
      return true;
    }
    this.#unsettled += 1;
    // Serialising the item ran user code (a getter, a toJSON), which may have ended the mapping.
    if (this.#state === 'open') this.#results.add(task);
    else this.#drop([task]);
    return true;
  }

  /** @param {unknown} item that the pool refused */
  async #offerAgain(item) {
    try {
      await this.#host.ready();
      for (let attempt = 1; !this.#offer(item); attempt++) {
        // The queue has room, but not for this item, or no longer.
        await this.#waitForRoom(attempt);
        await this.#host.ready();
      }
    } catch (error) {
      this.refused(error);
    }
  }

  /**
   * Waits until the queue may have more room.
   *
   * @param {number} attempt
   * @returns {Promise<void>}
   */
  #waitForRoom(attempt) {
    return new Promise((resolve) => {
      if (this.#unsettled > 0) this.#onSettled = resolve;
      else setTimeout(resolve, Math.min(2 ** attempt, MAX_PAUSE));
    });
  }

  #settled() {
    this.#unsettled -= 1;
    this.#onSettled?.();
    this.#onSettled = null;
  }

  /** @param {unknown} error */
  #sourceFailed(error) {
    /** @type {Source} */ (this.#source).failed();
    if (this.#state === 'open') this.#end({ error }, this.#results.truncate(null));
  }

  /**
   * @param {{ error: unknown }} failure follows the remaining results
   * @param {Iterable<MappedTask>} dropped tasks that are no longer among the results
   */
  #end(failure, dropped) {
    this.#state = 'ended';
    this.#failure = failure;
    this.#drop(dropped);
    this.#stopSource();
    this.#deliver();
  }

  /** @param {Iterable<MappedTask>} tasks whose outcome is ignored from now on */
  #drop(tasks) {
    for (const task of tasks) {
      if (task.state === 'pending') this.#host.cancel(task.ticket);
      task.state = 'dropped';
      task.value = undefined;
    }
  }

  #stopSource() {
    // The pending item of the source may never come.
    this.#host.pulling.delete(this);
    this.#sourceStopped ??= this.#source?.stop() ?? null;
  }

  /** Resolves pending reads with the results at hand. */
  #deliver() {
    while (this.#reads.size > 0) {
      const task = this.#results.take();
      if (task === undefined) break;
      this.#reads.resolve(task.value);
    }
    if (this.#state !== 'ended' || this.#results.size > 0 || this.#reads.size === 0) return;
    this.#state = 'closing';
    this.#unwatch();
    const close = () => this.#close();
    if (this.#sourceStopped === null) close();
    else this.#sourceStopped.then(close, close);
  }

  #close() {
    this.#state = 'done';
    if (this.#failure !== null) this.#reads.reject(this.#failure.error);
    this.#reads.end();
  }
}

/** The async iterator that users get. */
class MapIterator {
  #mapping;

  /** @param {Mapping} mapping */
  constructor(mapping) {
    this.#mapping = mapping;
  }

  next() {
    return this.#mapping.next();
  }

  /** @param {any} [value] */
  async return(value) {
    const left = this.#mapping.leave();
    const result = { done: /** @type {const} */ (true), value: await value };
    await left;
    return result;
  }

  /**
   * @param {unknown} [error]
   * @returns {Promise<IteratorResult<any>>}
   */
  async throw(error) {
    try {
      await this.#mapping.leave();
    } catch {
      // As in an async generator, the first error counts.
    }
    throw error;
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/** Inherits what async iterators have in this version of Node.js: helpers, `await using`. */
Object.setPrototypeOf(MapIterator.prototype, asyncIteratorPrototype());

function asyncIteratorPrototype() {
  const generators = Object.getPrototypeOf(async function* () {});
  return Object.getPrototypeOf(generators.prototype);
}

/** @param {unknown} reason */
function abortError(reason) {
  return new AbortError('the map was cancelled', { cause: reason });
}

const MAP_OPTIONS = Object.freeze([...TASK_OPTIONS, 'ordered', 'highWaterMark']);

/**
 * @param {unknown} options as the user gave them
 * @param {WorkerKind} kind
 */
function resolveMapOptions(options, kind) {
  const { ordered, highWaterMark, ...own } = ownOptions('options', options, MAP_OPTIONS);
  const resolved = resolveTaskOptions(own, kind);
  const { signal: _, ...others } = own;
  return {
    ordered: ordered === undefined ? true : flag('options.ordered', ordered),
    highWaterMark:
      highWaterMark === undefined
        ? undefined
        : integer('options.highWaterMark', highWaterMark, 1, Infinity),
    signal: resolved.signal,
    // The mapping listens to the signal, so the tasks need not.
    task: Object.keys(others).length === 0 ? NO_OPTIONS : { ...resolved, signal: null },
  };
}

/**
 * @param {Host} host
 * @param {unknown} iterable
 * @param {unknown} options
 * @param {WorkerKind} kind
 * @returns {AsyncIterableIterator<any>} its first `next()` rejects if an argument is invalid
 */
function map(host, iterable, options, kind) {
  return new MapIterator(new Mapping(host, iterable, options, kind));
}

module.exports = { map };
