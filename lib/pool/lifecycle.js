'use strict';

// The states of a pool, and the promises of the methods that change them.
//
//   new ──▶ open ──▶ closing ──▶ closed
//    │       └─▶ broken ─▶┘        ▲
//    └─────────────────────────────┘   shut down before it was started

const process = require('node:process');
const { now } = require('../clock');
const { poolBroken, poolClosed, startError } = require('../errors/from-native');
const { rethrow } = require('../errors/rethrow');
const { Promise } = require('../intrinsics');
const { MAX_DELAY } = require('../options/validators');
const { ObservedPromise, ignorable } = require('./observed-promise');

/** @typedef {import('../native').NativePool} NativePool */
/** @typedef {{ completed: number, rejected: number, killed: number }} ShutdownReport */

class Lifecycle {
  /** Null once the pool is closed. @type {NativePool | null} */
  #native;
  #keepAlive;
  #assertMayStart;
  #onStart;
  #onError;
  #onDrain;
  #onRefusal;
  #onClosed;
  /** @type {'new' | 'open' | 'broken' | 'closing' | 'closed'} */
  #state = 'new';
  /** The last start error of a broken pool. @type {Error | null} */
  #startError = null;
  #started = false;
  /** Pending `startWorkers()`. @type {Deferred<void> | null} */
  #startup = null;
  /** Pending `ready()`. @type {Deferred<void> | null} */
  #queueRoom = null;
  /**
   * Pending calls of `resize()`, by the number of the request.
   *
   * @type {Map<number, Deferred<void>>}
   */
  #resizes = new Map();
  /**
   * Pending calls of `reload()`, by the number of the request.
   *
   * @type {Map<number, Deferred<void>>}
   */
  #reloads = new Map();
  #nextRequest = 1;
  /** Pending or done `shutdown()` and `terminate()`. @type {Deferred<ShutdownReport> | null} */
  #closing = null;
  /** The deadline of the shutdown (ms, on the clock of `now()`). */
  #deadline = Infinity;
  #dropWaiting = false;
  /** The queue refused a task since the last 'drain' event. */
  #wantsDrain = false;

  /**
   * @param {NativePool} native
   * @param {import('./keep-alive').KeepAlive} keepAlive
   * @param {object} events
   * @param {() => void} events.assertMayStart throws if the pool may not start workers
   * @param {() => void} events.onStart
   * @param {(error: Error, isAnnounced: boolean) => void} events.onError the pool broke;
   *   `isAnnounced`: a promise that the program observes rejects with the error
   * @param {() => void} events.onDrain the queue has room again after refusing a task
   * @param {(error: Error) => boolean} events.onRefusal the pool accepts no more tasks, for this
   *   reason; returns whether a `map()` rejects with the reason
   * @param {() => void} events.onClosed
   */
  constructor(
    native,
    keepAlive,
    { assertMayStart, onStart, onError, onDrain, onRefusal, onClosed },
  ) {
    this.#native = native;
    this.#keepAlive = keepAlive;
    this.#assertMayStart = assertMayStart;
    this.#onStart = onStart;
    this.#onError = onError;
    this.#onDrain = onDrain;
    this.#onRefusal = onRefusal;
    this.#onClosed = onClosed;
  }

  get state() {
    return this.#state;
  }

  /** The native pool, or null once the pool is closed. */
  get native() {
    return this.#native;
  }

  /**
   * Admits a task, or throws. Call this for every task after all user code (a toJSON, a getter) has
   * run, right before the native side gets the task.
   *
   * @returns {NativePool} which accepts tasks
   */
  admit() {
    if (this.#state !== 'open') this.#open();
    return /** @type {NativePool} */ (this.#native);
  }

  /**
   * Does the same for calls that start no pool.
   *
   * @returns {NativePool | null} null if the pool was never started
   */
  running() {
    if (this.#state !== 'open') this.#refuse();
    return this.#state === 'open' ? this.#native : null;
  }

  /** @returns {Error | null} why the pool accepts no tasks; null if it does */
  refusal() {
    if (this.#closing !== null) return poolClosed();
    return this.#startError === null ? null : poolBroken(this.#startError);
  }

  /** @throws {Error} why the pool accepts no tasks */
  #refuse() {
    const refusal = this.refusal();
    if (refusal !== null) throw refusal;
  }

  #open() {
    this.#refuse();
    this.#assertMayStart();
    this.#state = 'open';
    /** @type {NativePool} */ (this.#native).start();
    this.#onStart();
    // A listener to the pool's start may have closed the pool.
    this.#refuse();
  }

  /** @returns {Promise<void>} may be ignored: then a failure is announced in another way */
  startWorkers() {
    try {
      this.admit();
    } catch (error) {
      return ignorable(Promise.reject(error));
    }
    if (this.#startup === null) {
      this.#startup = new Deferred(ObservedPromise);
      ignorable(this.#startup.promise);
      if (this.#started) this.#startup.resolve();
      else this.#keepAlive.hold();
    }
    return this.#startup.promise;
  }

  /** @returns {Promise<void>} */
  ready() {
    if (this.#queueRoom !== null) return this.#queueRoom.promise;
    try {
      if (this.admit().wantRoom()) return Promise.resolve();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#queueRoom = new Deferred();
    this.#keepAlive.hold();
    return this.#queueRoom.promise;
  }

  /**
   * @param {import('../options/pool-options').PoolSize} size
   * @returns {Promise<void>}
   */
  resize({ minWorkers, maxWorkers }) {
    return this.#request(this.#resizes, (native, number) =>
      native.resize(minWorkers, maxWorkers, number),
    );
  }

  /** @returns {Promise<void>} */
  reload() {
    return this.#request(this.#reloads, (native, number) => native.reload(number));
  }

  /**
   * @param {Map<number, Deferred<void>>} requests of the same method
   * @param {(native: NativePool, number: number) => void} make
   * @returns {Promise<void>}
   */
  #request(requests, make) {
    try {
      this.#refuse();
    } catch (error) {
      return Promise.reject(error);
    }
    const number = this.#nextRequest++;
    const native = /** @type {NativePool} */ (this.#native);
    if (this.#state === 'new') {
      // A pool that was never started has no workers to wait for.
      make(native, number);
      return Promise.resolve();
    }
    const request = new Deferred(ObservedPromise);
    requests.set(number, request);
    this.#keepAlive.hold();
    make(native, number);
    return request.promise;
  }

  /**
   * @param {Map<number, Deferred<void>>} requests
   * @param {number} number of the latest request that is done; earlier ones are done as well
   * @param {(request: Deferred<void>) => boolean} settle
   */
  #requestDone(requests, number, settle) {
    for (const [earlier, request] of requests) {
      if (earlier > number) return;
      requests.delete(earlier);
      if (settle(request)) this.#keepAlive.release();
    }
  }

  /** Notes that the queue refused a task: once the queue has room, 'drain' is emitted. */
  noteQueueFull() {
    this.#wantsDrain = true;
  }

  /**
   * @param {{ timeout: number, drain: 'all' | 'running' }} options
   * @returns {Promise<ShutdownReport>}
   */
  shutdown({ timeout, drain }) {
    const deadline = now() + timeout;
    const dropWaiting = drain === 'running';
    const first = this.#closing === null;
    const closing = this.#close();
    const stricter = deadline < this.#deadline || (dropWaiting && !this.#dropWaiting);
    if (!(first || stricter) || this.#deadline === -Infinity) return closing;
    this.#deadline = Math.min(deadline, this.#deadline);
    this.#dropWaiting ||= dropWaiting;
    const left = Math.ceil(Math.max(this.#deadline - now(), 0));
    this.#native?.shutdown(this.#dropWaiting, left > MAX_DELAY ? -1 : left);
    return closing;
  }

  /** @returns {Promise<ShutdownReport>} */
  terminate() {
    const closing = this.#close();
    // No later shutdown() can be stricter.
    this.#deadline = -Infinity;
    this.#native?.terminate();
    return closing;
  }

  /** Stops accepting tasks. */
  #close() {
    if (this.#closing !== null) return this.#closing.promise;
    this.#closing = new Deferred();
    if (this.#state === 'new') {
      this.#native?.terminate();
      this.#finish({ completed: 0, rejected: 0, killed: 0 });
    } else {
      this.#state = 'closing';
      this.#keepAlive.hold();
      this.#rejectPending(poolClosed());
    }
    this.#onRefusal(poolClosed());
    return this.#closing.promise;
  }

  /**
   * @param {{ event: string } & Record<string, any>} event of the native pool
   */
  onEvent({ event, ...about }) {
    switch (event) {
      case 'started':
        return this.#onStarted();
      case 'drain':
        return this.#onRoom();
      case 'resized':
        return this.#requestDone(this.#resizes, about.number, (request) => request.resolve());
      case 'reloaded':
        return this.#requestDone(this.#reloads, about.number, (request) => request.resolve());
      case 'reload-failed':
        return this.#requestDone(this.#reloads, about.number, (request) =>
          request.reject(startError(about.cause)),
        );
      case 'broken':
        return this.#onBroken(startError(about.cause));
      case 'short':
        return process.emitWarning(startsFailing(startError(about.cause)), {
          type: 'BulkheadWarning',
          code: 'BULKHEAD_WORKERS_MISSING',
        });
      case 'standbys-die':
        return process.emitWarning(standbysDie(startError(about.cause)), {
          type: 'BulkheadWarning',
          code: 'BULKHEAD_STANDBY_MISSING',
        });
      case 'left-behind':
        return process.emitWarning(unkillable(about), {
          type: 'BulkheadWarning',
          code: 'BULKHEAD_UNKILLABLE',
        });
      case 'closed':
        return this.#finish({
          completed: about.completed,
          rejected: about.rejected,
          killed: about.killed,
        });
    }
  }

  #onStarted() {
    this.#started = true;
    if (this.#startup?.resolve()) this.#keepAlive.release();
  }

  #onRoom() {
    const waiting = this.#queueRoom;
    this.#queueRoom = null;
    if (waiting?.resolve()) this.#keepAlive.release();
    if (!this.#wantsDrain) return;
    this.#wantsDrain = false;
    this.#onDrain();
  }

  /** @param {Error} cause */
  #onBroken(cause) {
    if (this.#startError !== null) return;
    this.#startError = cause;
    if (this.#state === 'open') this.#state = 'broken';
    const error = poolBroken(cause);
    const isAnnounced = this.#rejectPending(error);
    const consumerRejects = this.#onRefusal(error);
    this.#onError(error, isAnnounced || consumerRejects);
  }

  /**
   * Rejects pending `startWorkers()`, `ready()`, `resize()` and `reload()`.
   *
   * @param {Error} error
   * @returns {boolean} whether the program observes one of these promises
   */
  #rejectPending(error) {
    let isAnnounced = false;
    if (this.#startup?.reject(error)) {
      isAnnounced = isObservedPromise(this.#startup.promise);
      this.#keepAlive.release();
    }
    if (this.#queueRoom?.reject(error)) {
      isAnnounced = true;
      this.#keepAlive.release();
    }
    this.#queueRoom = null;
    for (const requests of [this.#resizes, this.#reloads]) {
      this.#requestDone(requests, Infinity, (request) => {
        // A program that closed the pool need not handle these promises. A broken pool is announced
        // in any case.
        ignorable(request.promise);
        isAnnounced ||= isObservedPromise(request.promise);
        return request.reject(error);
      });
    }
    return isAnnounced;
  }

  /** @param {ShutdownReport} report */
  #finish(report) {
    this.#state = 'closed';
    try {
      this.#onClosed();
    } catch (error) {
      rethrow(error);
    }
    this.#keepAlive.end();
    this.#native?.release();
    this.#native = null;
    this.#closing?.resolve(report);
  }
}

/**
 * A promise that its owner settles.
 *
 * @template T
 */
class Deferred {
  /** @type {Promise<T>} */
  promise;
  /** @type {(value: T) => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};
  #settled = false;

  /** @param {PromiseConstructor} [Class] */
  constructor(Class = Promise) {
    this.promise = new Class((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /**
   * @param {T} value
   * @returns {boolean} whether this settled it
   */
  resolve(value) {
    if (this.#settled) return false;
    this.#settled = true;
    this.#resolve(value);
    return true;
  }

  /**
   * @param {unknown} error
   * @returns {boolean} whether this settled it
   */
  reject(error) {
    if (this.#settled) return false;
    this.#settled = true;
    this.#reject(error);
    return true;
  }
}

/** @param {Promise<unknown>} promise */
function isObservedPromise(promise) {
  return promise instanceof ObservedPromise && promise.isObserved;
}

/** @param {Error} cause */
function startsFailing({ message }) {
  return `some workers of the pool do not start: ${message}; the other workers serve tasks, and the pool keeps trying`;
}

/** @param {Error} cause */
function standbysDie({ message }) {
  return `standbys of the pool die before a worker needs them: ${message}; the pool serves without them until another worker is ready`;
}

/** @param {Record<string, any>} about `workerId`: 0 for a standby */
function unkillable({ workerId, pid, after, code }) {
  const who = workerId === 0 ? 'a standby' : `worker ${workerId}`;
  if (code !== null) {
    const why = `this process may not signal the worker (${code}), for example because the worker runs as another user`;
    return `${who} (pid ${pid}) cannot be killed: ${why}; the pool no longer waits for the worker; end pid ${pid} as that user or as root`;
  }
  const why =
    'a debugger or the kernel holds the process (for example a disk that does not respond)';
  return `${who} (pid ${pid}) still exists ${after} ms after SIGKILL: ${why}; the pool no longer waits for the worker`;
}

module.exports = { Lifecycle };
