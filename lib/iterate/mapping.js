'use strict';

// `pool.map()`: tasks from any source, and their results for as long as somebody takes them.
//
//   source ──pull──▶ pool ──settle──▶ results ──take──▶ consumer
//            └─────── at most `highWaterMark` ───────┘
//
//   new ──▶ open ──▶ ended ──▶ closing ──▶ done
//    │       │         └──────────────────▶ ▲
//    └───────┴──────────────────────────────┘   left by the consumer
//
// Nothing is pulled but for a consumer: by its first `next()`, and then whenever it has taken a
// result.

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

/** ms, at most, between two attempts to hand in a task for which others leave no room. */
const MAX_PAUSE = 100;

/** @typedef {import('../options/task-options').TaskOptions} TaskOptions */
/** @typedef {import('../options/worker-command').WorkerKind} WorkerKind */

/**
 * The pool, as a mapping needs it.
 *
 * @typedef {object} Host
 * @property {(task: MappedTask, item: unknown, options: Readonly<TaskOptions>) => number} accept returns its ticket, or
 *   throws why not
 * @property {(ticket: number) => void} cancel an unsettled task
 * @property {() => Promise<void>} ready
 * @property {() => number} capacity tasks that can run at once
 * @property {() => Error | null} refusal why the pool takes no more tasks, if so
 * @property {Function} called what the user has called, where the stacks of errors begin
 * @property {Set<Mapping>} pulling those that wait for their source: they are told when the pool takes no more tasks
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
  /** What comes behind the last result, in place of its end. @type {{ error: unknown } | null} */
  #failure = null;
  #reads = new PendingReads();
  /** @type {Source | null} */
  #source = null;
  /** @type {Promise<void> | null} */
  #sourceStopped = null;
  #pulling = false;
  #unsettled = 0;
  /** Somebody waits for the end of any task. @type {(() => void) | null} */
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
   * The consumer wants no more.
   *
   * @returns {Promise<void> | null} of the source's own end, with its failure; may be ignored
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
   * Of a task.
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
   * Of a task.
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
   * The pool takes no more tasks. What it has accepted may still end well.
   *
   * @param {unknown} error
   */
  refused(error) {
    if (this.#state === 'open') this.#end({ error }, []);
  }

  /**
   * Of the signal.
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
      // The source's own code has run since the signal was looked at.
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

  /** Pulls while there is room. Goes on by itself where that takes a promise. */
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
   * @param {unknown} first item, or a promise of it
   * @param {boolean} refused the item was
   */
  async #pullOn(source, first, refused) {
    const { pulling } = this.#host;
    pulling.add(this);
    let item = first;
    let isRefused = refused;
    try {
      // A pool that was closed while nothing was pulled does not tell again.
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
   * @returns {boolean} false: the pool has no room for it
   */
  #offer(item) {
    // What comes after the end is nobody's.
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
    // Serialising it has run user code (a getter, a toJSON), which may have ended all this.
    if (this.#state === 'open') this.#results.add(task);
    else this.#drop([task]);
    return true;
  }

  /** @param {unknown} item that was refused */
  async #offerAgain(item) {
    try {
      await this.#host.ready();
      for (let attempt = 1; !this.#offer(item); attempt++) {
        // There is room, but not for this one, or not for long.
        await this.#waitForRoom(attempt);
        await this.#host.ready();
      }
    } catch (error) {
      this.refused(error);
    }
  }

  /**
   * Until there may be more room.
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
   * @param {{ error: unknown }} failure behind what is left of the results
   * @param {Iterable<MappedTask>} dropped of them
   */
  #end(failure, dropped) {
    this.#state = 'ended';
    this.#failure = failure;
    this.#drop(dropped);
    this.#stopSource();
    this.#deliver();
  }

  /** @param {Iterable<MappedTask>} tasks whose outcome nobody will be told */
  #drop(tasks) {
    for (const task of tasks) {
      if (task.state === 'pending') this.#host.cancel(task.ticket);
      task.state = 'dropped';
      task.value = undefined;
    }
  }

  #stopSource() {
    // It may owe an item for ever.
    this.#host.pulling.delete(this);
    this.#sourceStopped ??= this.#source?.stop() ?? null;
  }

  /** Gives those who wait what there is for them. */
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

/** What users get: no more than an async iterator is. */
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

/** Whatever else an async iterator has in this version of Node: helpers, `await using`. */
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
    // The signal is the mapping's: each task need not listen to it as well.
    task: Object.keys(others).length === 0 ? NO_OPTIONS : { ...resolved, signal: null },
  };
}

/**
 * @param {Host} host
 * @param {unknown} iterable
 * @param {unknown} options
 * @param {WorkerKind} kind
 * @returns {AsyncIterableIterator<any>} what is wrong rejects its first `next()`
 */
function map(host, iterable, options, kind) {
  return new MapIterator(new Mapping(host, iterable, options, kind));
}

module.exports = { map };
