'use strict';

// The way of a task into the pool: from the caller's value and options to the native side, which
// accepts or refuses the task.

const { AsyncResource } = require('node:async_hooks');
const { Buffer } = require('node:buffer');
const { encode, encodeOther, encodePlain } = require('../codec/serialize');
const {
  AbortError,
  MessageTooLargeError,
  QueueFullError,
  SerializationError,
} = require('../errors/classes');
const { DEFAULT, NO_OPTIONS, resolveTaskOptions } = require('../options/task-options');
const { assertNotItself } = require('../platform/worker-process');
const { HandlerIds } = require('./handler-ids');
const { idOf, typeOf } = require('./task');

/** @typedef {import('./task').Task} Task */
/** @typedef {import('../options/task-options').TaskOptions} ResolvedTaskOptions */
/** @typedef {import('../../index').TaskOptions} TaskOptions */

/** @typedef {import('../codec/serialize').Encoded} Encoded */

/**
 * How a task runs, where its options do not say that. `exec`: the source of a function to run, and
 * the task is its arguments; `stream`: the task yields values, and this many may be unread; `call`:
 * the task is the arguments of the handler.
 *
 * @typedef {{ exec?: string, stream?: number } | ReturnType<typeof import('./proxy').callOf>} How
 */

/** @typedef {Pick<ResolvedTaskOptions, 'priority' | 'key' | 'timeout' | 'retries' | 'signal'>} SubmitOptions */

/**
 * The status that the native side returns for a task. A positive status is the size (bytes) of a
 * task that is too large.
 */
const ACCEPTED = 0;
const FULL_BYTES = -2;
/** The status while the native side has not returned one. */
const UNKNOWN = Number.NaN;

/** The plan of a task: the cheapest native call that can carry the task. */
const FAST = 0;
const HEADED = 1;
const FULL = 2;

/**
 * @typedef {object} Parts
 * @property {import('../native').NativePool} native
 * @property {import('../../native.cjs').NativeConfig} config
 * @property {import('../options/worker-command').WorkerKind} kind
 * @property {import('./tickets').Tickets<Task>} tickets
 * @property {import('./cancellation').Cancellation} cancellation
 * @property {import('./keep-alive').KeepAlive} keepAlive
 * @property {import('./lifecycle').Lifecycle} lifecycle
 * @property {import('./delivery').Delivery} delivery
 * @property {import('./diagnostics').Diagnostics} diagnostics
 */

class Submission {
  #config;
  #kind;
  #tickets;
  #cancellation;
  #keepAlive;
  #lifecycle;
  #delivery;
  #diagnostics;
  #handlers = new HandlerIds();
  #submitPlain;
  #submitWithHeader;
  #nextId = 1;

  /** @param {Parts} parts */
  constructor({
    native,
    config,
    kind,
    tickets,
    cancellation,
    keepAlive,
    lifecycle,
    delivery,
    diagnostics,
  }) {
    this.#config = config;
    this.#kind = kind;
    this.#tickets = tickets;
    this.#cancellation = cancellation;
    this.#keepAlive = keepAlive;
    this.#lifecycle = lifecycle;
    this.#delivery = delivery;
    this.#diagnostics = diagnostics;
    this.#submitPlain = native.createSubmit();
    this.#submitWithHeader = native.createSubmitWithHeader();
  }

  /**
   * @param {Task} record
   * @param {unknown} task
   * @param {TaskOptions | undefined} options
   * @returns {number} the task's ticket
   */
  accept(record, task, options) {
    return this.acceptResolved(record, task, resolveTaskOptions(options, this.#kind));
  }

  /**
   * Accepts a task with resolved options. A plain task with an id and no options takes a shortcut:
   * such a task needs no header.
   *
   * @param {Task} record
   * @param {any} task
   * @param {Readonly<ResolvedTaskOptions>} options
   * @returns {number} the task's ticket
   */
  acceptResolved(record, task, options) {
    if (options !== NO_OPTIONS || typeof task !== 'object' || task === null)
      return this.acceptWith(record, task, options, {});
    const { serialization, maxMessageSize } = this.#config;
    const plain = encodePlain(task, serialization, 'task', maxMessageSize);
    if (plain === null) {
      const extended = this.#kind !== 'command';
      const other = encodeOther(task, serialization, 'task', extended, maxMessageSize);
      return this.#acceptEncoded(record, task, other, options, {});
    }
    const { id, type } = task;
    if (typeof id !== 'string' && !Number.isFinite(id))
      return this.#acceptEncoded(record, task, plain, options, {});
    record.id = id;
    const handler = typeof type === 'string' ? this.#handlers.of(type) : 0;
    const ticket = this.#submit(record, plain.json, handler, '', NO_OPTIONS, null);
    if (this.#diagnostics.watchesTasks) this.#diagnostics.taskStarted(ticket, id, null);
    return ticket;
  }

  /**
   * @param {Task} record
   * @param {unknown} task
   * @param {Readonly<ResolvedTaskOptions>} options
   * @param {How} how
   * @returns {number} the task's ticket
   */
  acceptWith(record, task, options, how) {
    if (options.filename !== null) assertNotItself(options.filename);
    const { serialization, maxMessageSize } = this.#config;
    const encoded = encode(task, serialization, 'task', this.#kind !== 'command', maxMessageSize);
    return this.#acceptEncoded(record, task, encoded, options, how);
  }

  /**
   * @param {Task} record
   * @param {unknown} task
   * @param {Encoded} encoded
   * @param {Readonly<ResolvedTaskOptions>} options
   * @param {How} how
   * @returns {number} the task's ticket
   */
  #acceptEncoded(record, task, encoded, options, how) {
    const { json, blobs, binary, encoding, undefined: isUndefined } = encoded;
    if (isUndefined) throw new SerializationError('undefined cannot be a task');
    const { signal, handler, filename, onProgress, trace } = options;
    const exec = 'exec' in how ? how.exec : undefined;
    // `bind` reads the function's name and length, which may be getters of user code.
    const progressListener = onProgress === null ? null : AsyncResource.bind(onProgress);
    // A getter of the task may have aborted the signal. An aborted task must not start the pool.
    if (signal?.aborted) throw cancelledBefore(signal);
    record.id = (exec === undefined ? idOf(task) : undefined) ?? this.#nextId++;
    const header = headerOf({
      taskId: record.id,
      handler,
      filename,
      ...how,
      trace,
      binary,
      encoding,
    });
    const name = exec ?? filename ?? handler ?? typeOf(task);
    const number = name === undefined ? 0 : this.#handlers.of(name);
    const ticket = this.#submit(record, json, number, header, options, blobs);
    // The task is accepted: nothing below may throw.
    if (progressListener !== null) this.#delivery.watchProgress(ticket, progressListener);
    if (this.#diagnostics.watchesTasks) this.#diagnostics.taskStarted(ticket, record.id, trace);
    return ticket;
  }

  /**
   * Gives a task to the native side. The task has a ticket only if the native side accepts it.
   *
   * @param {Task} record
   * @param {string} json
   * @param {number} handler
   * @param {string} header
   * @param {SubmitOptions} options
   * @param {Uint8Array[] | null} blobs
   * @returns {number} the task's ticket
   */
  #submit(record, json, handler, header, options, blobs) {
    const { maxMessageSize } = this.#config;
    // A character takes at least a byte: a long string is measured only if it may fit.
    if (json.length > maxMessageSize || blobs !== null) {
      const size = sizeOf(json, blobs);
      if (size > maxMessageSize) throw tooLarge('task', size, maxMessageSize);
    }
    const native = this.#lifecycle.admit();
    const ticket = this.#tickets.add(record);
    if (this.#tickets.size === 1) this.#keepAlive.tasks(1);
    let status = UNKNOWN;
    try {
      if (options.signal !== null) this.#watch(ticket, options.signal);
      switch (planOf(handler, header, options, blobs)) {
        case FAST:
          status = this.#submitPlain(ticket, json);
          break;
        case HEADED:
          status = this.#submitWithHeader(ticket, json, handler, header);
          break;
        default:
          status = submitFull(native, ticket, json, handler, header, options, blobs);
      }
    } finally {
      if (status !== ACCEPTED) this.#rollback(ticket);
    }
    if (status > 0) throw tooLarge('task', status, maxMessageSize);
    if (status < 0) throw this.#queueFull(status);
    return ticket;
  }

  /**
   * Listens to the signal of a task. A signal's methods and getters are user code, the last to run
   * before the native side gets the task.
   *
   * @param {number} ticket
   * @param {AbortSignal} signal
   * @throws {Error} the reason why the task is not accepted
   */
  #watch(ticket, signal) {
    this.#cancellation.watch(ticket, signal);
    // Listeners to the pool's start and the task's own getters may have aborted the signal.
    if (signal.aborted) throw cancelledBefore(signal);
    this.#lifecycle.admit();
  }

  /** @param {number} ticket of a task that the native side did not accept */
  #rollback(ticket) {
    this.#tickets.remove(ticket);
    this.#cancellation.settle(ticket);
    if (this.#tickets.size === 0) this.#keepAlive.tasks(0);
  }

  /** @param {number} status */
  #queueFull(status) {
    this.#lifecycle.noteQueueFull();
    const { maxQueue, maxQueueBytes } = this.#config;
    const inBytes = status === FULL_BYTES;
    const limit = inBytes ? maxQueueBytes : maxQueue;
    const detail = inBytes ? `maxQueueBytes is ${limit} bytes` : `maxQueue is ${limit} tasks`;
    return new QueueFullError(`the queue is full: ${detail}`, { limit });
  }
}

/**
 * @param {number} handler
 * @param {string} header
 * @param {SubmitOptions} options
 * @param {Uint8Array[] | null} blobs
 */
function planOf(handler, header, options, blobs) {
  if (blobs !== null || hasScheduling(options)) return FULL;
  return handler === 0 && header === '' ? FAST : HEADED;
}

/** @param {SubmitOptions} options */
function hasScheduling(options) {
  if (options === NO_OPTIONS) return false;
  const { priority, key, timeout, retries } = options;
  return priority !== 0 || key !== null || timeout !== DEFAULT || retries !== DEFAULT;
}

/**
 * @param {import('../native').NativePool} native
 * @param {number} ticket
 * @param {string} json
 * @param {number} handler
 * @param {string} header
 * @param {SubmitOptions} options
 * @param {Uint8Array[] | null} blobs
 */
function submitFull(native, ticket, json, handler, header, options, blobs) {
  const { priority, key, timeout, retries } = options;
  return native.submitWith(ticket, json, handler, header, timeout, retries, priority, key, blobs);
}

/**
 * @param {Record<string, unknown>} members null: left out
 * @returns {string} JSON, without the braces
 */
function headerOf(members) {
  let header = '';
  for (const key in members) {
    const value = members[key];
    if (value !== null) header += `${header === '' ? '' : ','}"${key}":${JSON.stringify(value)}`;
  }
  return header;
}

/**
 * @param {string} json
 * @param {Uint8Array[] | null} blobs
 * @returns {number} bytes
 */
function sizeOf(json, blobs) {
  let size = Buffer.byteLength(json);
  for (const blob of blobs ?? []) size += blob.byteLength;
  return size;
}

/** @param {AbortSignal} signal */
function cancelledBefore(signal) {
  return new AbortError('the task was cancelled before the pool accepted the task', {
    cause: signal.reason,
  });
}

/**
 * @param {string} what
 * @param {number} size
 * @param {number} limit
 */
function tooLarge(what, size, limit) {
  return new MessageTooLargeError(
    `the ${what} has ${size} bytes, more than maxMessageSize (${limit})`,
    {
      size,
      limit,
    },
  );
}

module.exports = { Submission, headerOf, sizeOf, tooLarge };
