'use strict';

// The facts about a task that its handler gets, and its means to report while it runs.

const { AbortController, DOMException, hasOwn } = require('./intrinsics');

/** One attempt of a task, from its arrival to its reply. */
class Task {
  settled = false;
  /** Time of the claim, by `now`. */
  started = 0;
  /**
   * Set when the supervisor cancels the attempt.
   *
   * @type {import('./frames').AbortReason | undefined}
   */
  aborted = undefined;
  /** @type {AbortController | undefined} */
  #controller;
  #loop;
  /** Set for a streamed task. @type {import('./stream').Credit | undefined} */
  credit = undefined;

  /**
   * @param {import('./loop').Loop} loop
   * @param {number} id of this attempt
   * @param {number} epoch of its claim
   * @param {import('./frames').TaskFrame} frame the other fields of the task
   * @param {any} payload
   */
  constructor(loop, id, epoch, frame, payload) {
    this.#loop = loop;
    this.id = id;
    this.epoch = epoch;
    this.frame = frame;
    /** The user's task, after its raw bytes are restored. */
    this.payload = payload;
  }

  /** The user's id of the task, or else the id of the attempt. */
  get taskId() {
    const { frame, payload } = this;
    if (frame.taskId !== undefined) return frame.taskId;
    if (typeof payload === 'object' && payload !== null && hasOwn(payload, 'id')) return payload.id;
    return this.id;
  }

  /**
   * Ends the task with a value that did not come from the handler's return. Ignored if the task has
   * already ended.
   *
   * @param {unknown} value
   */
  end(value) {
    this.#loop.ended(this, value);
  }

  /**
   * Fails the task for a reason that did not come from its handler. Ignored if the task has already
   * ended.
   *
   * @param {unknown} thrown
   */
  fail(thrown) {
    this.#loop.failed(this, thrown);
  }

  /** @param {import('./frames').AbortReason} reason */
  abort(reason) {
    this.aborted = reason;
    this.credit?.wake();
    this.#controller?.abort(abortReason(reason));
  }

  /** Created on first use, because most handlers never read it. */
  get signal() {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted !== undefined) this.#controller.abort(abortReason(this.aborted));
    }
    return this.#controller.signal;
  }
}

/** @param {import('./frames').AbortReason} reason */
function abortReason(reason) {
  return reason === 'timeout'
    ? new DOMException('The task exceeded its timeout', 'TimeoutError')
    : new DOMException('The task was aborted', 'AbortError');
}

/**
 * The second argument of a handler. `progress` and `send` are values, not methods, so that
 * `(task, { signal, progress }) => …` works.
 */
class TaskContext {
  #task;
  #worker;
  /** @type {((value: unknown) => void) | undefined} */
  #progress;

  /**
   * @param {Task} task
   * @param {{ workerId: number, writer: import('./frame-writer').FrameWriter, context: WorkerContext }} worker
   */
  constructor(task, worker) {
    this.#task = task;
    this.#worker = worker;
  }

  get taskId() {
    return this.#task.taskId;
  }

  /** Number of this attempt, from 1. */
  get attempt() {
    return this.#task.frame.attempt ?? 1;
  }

  get workerId() {
    return this.#worker.workerId;
  }

  get trace() {
    return this.#task.frame.trace;
  }

  get signal() {
    return this.#task.signal;
  }

  get progress() {
    this.#progress ??= (value) => {
      // The supervisor no longer knows the id of an ended task.
      if (!this.#task.settled) this.#worker.writer.progress(this.#task.id, value);
    };
    return this.#progress;
  }

  get send() {
    return this.#worker.context.send;
  }
}

/** The argument of `setup` and `teardown`. */
class WorkerContext {
  /**
   * @param {number} workerId
   * @param {import('./frame-writer').FrameWriter} writer
   */
  constructor(workerId, writer) {
    this.workerId = workerId;
    /** @param {unknown} message */
    this.send = (message) => writer.message(message);
  }
}

module.exports = { Task, TaskContext, WorkerContext };
