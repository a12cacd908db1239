// biome-ignore-all lint/suspicious/noExplicitAny: only a handler's author knows what it takes

/**
 * Types for worker modules, and {@link isWorker}.
 *
 * A worker module exports one or more of:
 *
 * - a default export that is a function, or a function named `processTask`: the default handler
 *   ({@link TaskHandler})
 * - `handlers`: an object of handlers, of which a task's `type` (or the option `handler`) picks one
 * - other functions, which the option `handler` and `pool.proxy` name
 * - `setup` and `teardown` ({@link WorkerHook}): called before the first task, and on an orderly
 *   stop
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
 * True if this process is a worker of a pool. A module that is program and worker at once asks this
 * before it starts its pool, so that its workers do not start the pool again.
 */
export declare const isWorker: boolean;

/** The second argument of a handler: facts about its task, and ways to report while it runs. */
export interface TaskContext {
  /** Id of the task, given or assigned. */
  readonly taskId: string | number;
  /** Number of this attempt at the task, from 1. */
  readonly attempt: number;
  /** Id of the worker, from 1 to `maxWorkers`; the same for its replacement. */
  readonly workerId: number;
  /** The task option `trace`: the W3C traceparent of the caller; undefined without one. */
  readonly trace: string | undefined;
  /** Signal that is aborted when the task is cancelled or runs longer than its timeout. */
  readonly signal: AbortSignal;
  /**
   * Reports the progress of the task: a `progress` event of the pool.
   *
   * @throws SerializationError, MessageTooLargeError
   */
  readonly progress: (value: unknown) => void;
  /**
   * Sends a message to the pool: a `message` event of it.
   *
   * @throws SerializationError, MessageTooLargeError
   */
  readonly send: (message: unknown) => void;
}

/** The argument of `setup` and `teardown`. */
export interface WorkerContext {
  /** See {@link TaskContext.workerId}. */
  readonly workerId: number;
  /** See {@link TaskContext.send}. */
  readonly send: (message: unknown) => void;
}

/**
 * A handler: gets the whole task, and returns its result or a promise of it.
 *
 * A result `{ taskId, result, processedBy }` is taken as an envelope and not wrapped into another:
 * its `result` is the result. For `taskId` and `processedBy` the pool uses the values that it
 * knows.
 */
export type TaskHandler<Task = any, Result = unknown> = (
  task: Task,
  ctx: TaskContext,
) => Result | Promise<Result>;

/** A function `setup` or `teardown`. An error that `setup` throws is a start failure. */
export type WorkerHook = (ctx: WorkerContext) => void | Promise<void>;
