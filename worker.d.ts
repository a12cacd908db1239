// biome-ignore-all lint/suspicious/noExplicitAny: what handlers take is known only to whoever
// writes them

/**
 * Types for worker modules, and {@link isWorker}.
 *
 * A worker module exports one or more of:
 *
 * - a default export that is a function, or a function named `processTask`: the handler ({@link TaskHandler})
 * - `handlers`: an object of handlers, of which a task's `type` (or the option `handler`) picks one
 * - other functions, which the option `handler` and `pool.proxy` name
 * - `setup` and `teardown` ({@link WorkerHook}): before the first task, and on an orderly stop
 *
 * The default export, `processTask` and `handlers` may be promises, which are awaited before
 * `setup`.
 *
 * A module without default export and `handlers` that listens to `process.on('message')` is a
 * worker in the way of `child_process.fork`.
 *
 * @module bulkhead/worker
 */

/**
 * Whether this process is a worker of a pool: for a module that is program and worker at once,
 * which must not start its pool in its workers again.
 */
export declare const isWorker: boolean;

/** What a handler learns about its task, and what it can say while it runs. */
export interface TaskContext {
  /** The id of the task, the user's or the one it was assigned. */
  readonly taskId: string | number;
  /** Which start of the task this is, from 1. */
  readonly attempt: number;
  /** From 1 to `maxWorkers`; the same for a worker's replacement. */
  readonly workerId: number;
  /**
   * The task option `trace`: the W3C traceparent of whoever gave the task; undefined without one.
   */
  readonly trace: string | undefined;
  /** Aborted when the task is cancelled or runs longer than its timeout. */
  readonly signal: AbortSignal;
  /**
   * Tells how far the task is: a `progress` event of the pool.
   *
   * @throws SerializationError, MessageTooLargeError
   */
  readonly progress: (value: unknown) => void;
  /**
   * Says something to the pool: a `message` event of it.
   *
   * @throws SerializationError, MessageTooLargeError
   */
  readonly send: (message: unknown) => void;
}

/** What `setup` and `teardown` get. */
export interface WorkerContext {
  /** As in {@link TaskContext}. */
  readonly workerId: number;
  /** As in {@link TaskContext}. */
  readonly send: (message: unknown) => void;
}

/**
 * A handler gets the whole task, and returns its result, or a promise of it. If that is `{ taskId,
 * result, processedBy }`, it is taken as the envelope it looks like, and is not wrapped into
 * another: its `result` is the result. The pool itself knows the other two.
 */
export type TaskHandler<Task = any, Result = unknown> = (
  task: Task,
  ctx: TaskContext,
) => Result | Promise<Result>;

/** What it throws in `setup` is a start failure. */
export type WorkerHook = (ctx: WorkerContext) => void | Promise<void>;
