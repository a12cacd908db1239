'use strict';

// What a handler learns about its task, and what it can say while it runs.

const { AbortController, DOMException, hasOwn } = require('./intrinsics');

/** One attempt of a task, from its arrival to the reply. */
class Task {
  settled = false;
  /** When it was claimed; see `now`. */
  started = 0;
  /** Set once the supervisor has given the task up. @type {import('./frames').AbortReason | undefined} */
  aborted = undefined;
  /** @type {AbortController | undefined} */
  #controller;
  #loop;
  /** Of a task that gives several values. @type {import('./stream').Credit | undefined} */
  credit = undefined;

  /**
   * @param {import('./loop').Loop} loop
   * @param {number} id of this attempt
   * @param {number} epoch of its claim
   * @param {import('./frames').TaskFrame} frame what else there is to it
   * @param {any} payload
   */
  constructor(loop, id, epoch, frame, payload) {
    this.#loop = loop;
    this.id = id;
    this.epoch = epoch;
    this.frame = frame;
    /** The task as the user gave it, once its raw bytes are put back into it. */
    this.payload = payload;
  }

  /** The user's id of the task, or the one it was assigned. */
  get taskId() {
    const { frame, payload } = this;
    if (frame.taskId !== undefined) return frame.taskId;
    if (typeof payload === 'object' && payload !== null && hasOwn(payload, 'id')) return payload.id;
    return this.id;
  }

  /**
   * The outcome has come in some other way than by the handler's return. Ignored for a task that
   * has one already.
   *
   * @param {unknown} value
   */
  end(value) {
    this.#loop.ended(this, value);
  }

  /**
   * The same for a failure.
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

  /** Made when somebody asks for it: most handlers never do. */
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
    ? new DOMException('The task has run longer than its timeout allows', 'TimeoutError')
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

  /** Which attempt of the task this is, from 1. */
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
      // A task that has ended has no progress; its id means nothing to the supervisor any more.
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
