// biome-ignore-all lint/suspicious/noExplicitAny: only a handler's author knows what it takes and
// returns

/**
 * A process pool: CPU-heavy and crash-prone work in supervised worker processes.
 *
 * This file is the contract of the package, kept by hand. Times are milliseconds and sizes bytes,
 * unless a line says otherwise.
 *
 * @packageDocumentation
 */

import { EventEmitter } from 'node:events';

import type {
  AnyResult,
  FunctionIn,
  Handler,
  HandlerName,
  IsAny,
  OptionsFor,
  ResultFor,
  ResultOf,
  TaskFor,
  TasksFor,
  ValueFor,
} from './types/worker-module.js';

export = ProcessManager;

/**
 * A pool of worker processes.
 *
 * A pool is an `EventEmitter` (see {@link ProcessManager.Events}) and belongs to the thread that
 * makes it. {@link ProcessManager.startWorkers | startWorkers()} or the first task starts the
 * workers. By default a pool keeps the process alive while it has unsettled tasks, and not while it
 * is idle.
 *
 * The promises about a task:
 *
 * 1. *Accepted* means that `distributeTask` returned, or that `run` did not reject with one of the
 *    errors that {@link ProcessManager.distributeTask | distributeTask()} throws. Before that
 *    nothing is queued.
 * 2. Every accepted task ends in exactly one of result, error, cancelled, while this process lives.
 * 3. A task that may have started is not run again unless `retries` allows it. Its error says
 *    `maybeExecuted: true`.
 * 4. A task that provably never started on a worker that died goes back to the front of the queue,
 *    silently.
 * 5. Dispatch is first in, first out within a priority. Tasks complete in any order. All results of
 *    a worker come before its `exit`.
 * 6. No worker outlives this process.
 *
 * A listener that throws behaves as in any emitter (`uncaughtException`) and never costs another
 * task its outcome. The same holds for other code of the program that runs while the pool delivers
 * outcomes: the methods of a signal, `destroy()` of a stream.
 *
 * @typeParam Worker The type of the worker module, `typeof import('./worker.js')`. With it, the
 *   names of handlers, tasks and results are checked. Without it, tasks and results can be
 *   anything. (A value that does not survive the pool's `serialization`, such as a `Date` in JSON,
 *   has the type that the handler returned.)
 *
 * @example
 * ```js
 * const pool = new ProcessManager({ worker: './worker.mjs' });
 * pool.on('error', console.error);
 * const thumbnail = await pool.run({ type: 'resize', data: image });
 * await pool.shutdown();
 * ```
 */
declare class ProcessManager<Worker = any> extends EventEmitter<ProcessManager.Events<Worker>> {
  /**
   * Makes a pool, which has no worker yet.
   *
   * @param options All optional. Only own properties are read.
   * @throws TypeError `ERR_INVALID_ARG_TYPE` or `ERR_INVALID_ARG_VALUE`, RangeError
   *   `ERR_OUT_OF_RANGE`: an option is wrong or unknown.
   * @throws Error `ERR_ACCESS_DENIED`: Node's permission model forbids child processes.
   * @throws Error `ERR_POOL_DEPTH`: this process is a worker of a pool in a worker of a pool, and
   *   so on, eight levels deep.
   */
  constructor(options?: ProcessManager.Options);

  /**
   * Starts `minWorkers` workers. Idempotent. Tasks need not wait for the promise.
   *
   * The promise keeps the process alive while it is pending, and may be ignored: its rejection is
   * never an unhandled one. If nothing else reports that the pool broke (no `error` listener, no
   * other promise that rejects), a process warning does (`BULKHEAD_POOL_ERROR`).
   *
   * If some workers get ready and others do not (no descriptors or processes are left, say), the
   * pool serves with the ready ones and retries the others with growing pauses. Meanwhile the
   * promise waits for `minWorkers`, and a process warning (`BULKHEAD_WORKERS_MISSING`) gives the
   * reason.
   *
   * @returns A promise of their readiness, the same at every call. Rejects with {@link
   *   ProcessManager.PoolBrokenError} when no worker gets ready (also an `error` event, if the pool
   *   has a listener), and with {@link ProcessManager.PoolClosedError} when the pool is closed.
   */
  startWorkers(): Promise<void>;

  /**
   * Accepts a task, whose outcome is a `result` or an `error` event. Their listeners, and those of
   * `progress` and `retry`, run in the async context (`AsyncLocalStorage`) of this call.
   *
   * @param task Any value that can be serialized. An object's own `id` (a string or a finite
   *   number) is the task's id; without one, a number is assigned. Its own `type` (a string) picks
   *   the worker's handler of that name. The handler receives the whole task. The task is copied
   *   here, so that later changes to it have no effect.
   * @param options Options of this task.
   * @returns The task's id. Two tasks may have the same id: both run, and each outcome carries it.
   * @throws One of {@link ProcessManager.SerializationError},
   *   {@link ProcessManager.MessageTooLargeError}, {@link ProcessManager.QueueFullError},
   *   {@link ProcessManager.PoolClosedError}, {@link ProcessManager.PoolBrokenError},
   *   {@link ProcessManager.AbortError} (the signal is aborted already), and Node's argument errors
   *   for wrong options. In all these cases nothing was accepted.
   */
  distributeTask<Name extends string = never, const Task = unknown>(
    task: TaskFor<Worker, Name, Task>,
    options?: OptionsFor<Worker, Name, ProcessManager.TaskOptions>,
  ): ProcessManager.TaskId;

  /**
   * Runs a task and returns a promise of its result. A failure rejects the promise and is not an
   * `error` event. The task has no `result` event either.
   *
   * @param task See {@link ProcessManager.distributeTask | distributeTask()}.
   * @param options Options of this task.
   * @returns What the handler returned: of an envelope `{ taskId, result, processedBy }`, its
   *   `result`; of a generator, async or not, an array of the values it yields. Never throws: what
   *   `distributeTask` would throw rejects.
   */
  run<Result = any, Name extends string = never, const Task = unknown>(
    task: TaskFor<Worker, Name, Task>,
    options?: OptionsFor<Worker, Name, ProcessManager.TaskOptions>,
  ): Promise<ResultFor<Worker, Name, Task, Result>>;

  /**
   * Runs a function by value in a Node worker.
   *
   * @param fn A self-contained function. Only its source text travels: it can use globals and
   *   dynamic `import()`, but no outer variable, no import and no compiler helper (except esbuild's
   *   `__name` and Vite's `import()`). Using one of these is a ReferenceError that says so. Native
   *   functions, bound functions and classes have no text that could run.
   * @param args Its arguments, serialized as a task is.
   * @param options Options of this task.
   * @returns What the function returned, awaited. Never throws: what is wrong rejects.
   */
  exec<Args extends unknown[], Result>(
    fn: (...args: Args) => Result,
    args: readonly [...Args],
    options?: ProcessManager.TaskOptions,
  ): Promise<Awaited<Result>>;
  exec<Result>(
    fn: () => Result,
    args?: readonly [],
    options?: ProcessManager.TaskOptions,
  ): Promise<Awaited<Result>>;

  /**
   * Runs a task whose handler returns several values (an async generator, or any iterable or async
   * iterable) and delivers them one by one. The generator pauses at its next `yield` while
   * {@link ProcessManager.StreamOptions.highWaterMark} values are in flight or not taken yet.
   *
   * The first `next()` accepts the task. Leaving the loop early ends the task as
   * {@link ProcessManager.cancel | cancel()} does: the generator's `finally` runs at its next
   * `yield`, within 100 ms. A stream that is neither read to its end nor left keeps its worker.
   *
   * @param task See {@link ProcessManager.distributeTask | distributeTask()}.
   * @param options Options of this task. A time limit includes the time that the reader takes.
   * @returns An async iterator of the values that the handler yields; a generator's return value is
   *   not among them. Never throws: what is wrong, and the failure of the task, reject `next()`
   *   after the values that came before.
   *
   * @example
   * ```js
   * for await (const row of pool.stream({ type: 'parse', data: 'huge.csv' })) await insert(row);
   * ```
   */
  stream<Value = any, Name extends string = never, const Task = unknown>(
    task: TaskFor<Worker, Name, Task>,
    options?: OptionsFor<Worker, Name, ProcessManager.StreamOptions>,
  ): AsyncIterableIterator<ValueFor<Worker, Name, Task, Value>>;

  /**
   * Sends a message to a worker, which gets it by `process.on('message')`, as under
   * `child_process.fork()`. The message arrives before all tasks that are submitted after it.
   *
   * @param workerId From 1 to `maxWorkers`.
   * @param message Any value that can be serialized, except undefined.
   * @returns Whether the message was sent. `false`: there is no such worker, it is not ready, or it
   *   does not read and 16 MiB of messages wait for it already. (A single message of any size may
   *   always wait.) A worker that replaces this one starts without the message.
   * @throws {@link ProcessManager.SerializationError}, {@link ProcessManager.MessageTooLargeError},
   *   {@link ProcessManager.PoolClosedError}, {@link ProcessManager.PoolBrokenError}, and Node's
   *   argument errors.
   */
  send(workerId: number, message: unknown): boolean;

  /**
   * Sends a message to all workers that are ready; see {@link ProcessManager.send | send()}. Put
   * what every worker has to know, including those that start later, into the module's `setup`.
   *
   * @param message Any value that can be serialized, except undefined.
   * @returns The number of workers that the message was sent to. A worker for which 16 MiB of
   *   messages wait already is left out.
   */
  broadcast(message: unknown): number;

  /**
   * Runs a source of tasks and returns an async iterator of the results: `for await (const result
   * of pool.map(items))`.
   *
   * Nothing happens before the first `next()`. From then on the iterator takes items from the
   * source and runs each as `run()` would, with at most `highWaterMark` of them between the source
   * and the consumer. So a source may be endless, and a slow consumer slows it down. If the pool
   * has no room ({@link ProcessManager.QueueFullError}), the iterator waits for it.
   *
   * The iteration ends early when a task fails, the source fails, the pool refuses an item, the
   * signal is aborted, or the consumer leaves (`break`, `return()`, `throw()`). Then:
   *
   * - The source is closed: `return()` is called, and awaited unless the source owes an item. A
   *   Node stream is destroyed.
   * - Tasks whose results can no longer be delivered are cancelled and not waited for.
   * - The next `next()` rejects with the error, once. The error has a place among the results:
   *   those before it, in order of their tasks or of completion, are delivered first. An abort, and
   *   leaving, drop what was not taken.
   *
   * When the pool is closed, results of accepted tasks are still delivered, and
   * {@link ProcessManager.PoolClosedError} follows. `next()` may be called several times without
   * waiting.
   *
   * Unsettled tasks keep the process alive. While there is none, the source has to.
   *
   * @param iterable Any iterable or async iterable, streams included. Promises in an iterable are
   *   awaited. Each item is a task, see {@link ProcessManager.distributeTask | distributeTask()}.
   * @param options Options of each task, and of the iteration.
   * @returns An async iterator. Never throws: what is wrong rejects its first `next()`.
   */
  map<Result = any, Name extends string = never, const Task = unknown>(
    iterable: TasksFor<Worker, Name, Task>,
    options?: OptionsFor<Worker, Name, ProcessManager.MapOptions>,
  ): AsyncIterableIterator<ResultFor<Worker, Name, Task, Result>>;

  /**
   * The worker module's functions, as functions of this object. `await pool.proxy.resize(image, {
   * width: 200 })` calls the function that the module exports as `resize` (or the entry of its
   * `handlers`), with exactly these arguments and without a context. The same object at every
   * access; see {@link ProcessManager.createProxy | createProxy()}.
   */
  get proxy(): ProcessManager.WorkerProxy<Worker>;

  /**
   * Makes another {@link ProcessManager.proxy | proxy}: for a module of the built-in worker, or
   * with options of its own.
   *
   * Each call is a task. Its arguments are serialized as a task is, except that an undefined
   * argument stays undefined, and that a function is refused. Calls never throw: what is wrong
   * rejects. A call rejects with a TypeError if the module has no such function. So does every call
   * where no worker can have functions: in a pool of `{ command, args }` workers or of fork-style
   * scripts, and in one of built-in workers without a `filename`.
   *
   * @typeParam Module The type of the module, by default that of the pool.
   * @param options Options of each call: those of tasks, without `handler`.
   * @throws Node's argument errors for wrong options.
   */
  createProxy<Module = Worker>(
    options?: ProcessManager.ProxyOptions,
  ): ProcessManager.WorkerProxy<Module>;

  /**
   * Cancels all unsettled tasks with this id, as an aborted signal does. A waiting task never runs;
   * the handler of a running one is told by its `ctx.signal`. They end with
   * {@link ProcessManager.AbortError}.
   *
   * @param id Id of the tasks.
   * @param reason Becomes the `cause` of the error.
   * @returns Whether there was such a task.
   */
  cancel(id: ProcessManager.TaskId, reason?: unknown): boolean;

  /**
   * Waits for room in the queue. `await pool.ready()` before each task keeps a producer within
   * `maxQueue`.
   *
   * @returns A promise that resolves when the queue has room. Rejects when the pool is or becomes
   *   closed or broken.
   */
  ready(): Promise<void>;

  /** Returns a snapshot of counters, queue and workers; after closing, the last one. */
  stats(): ProcessManager.Stats;

  /**
   * One row for each worker; two rows with the same id while one worker replaces another, the
   * serving one first.
   */
  get workers(): ProcessManager.WorkerStats[];

  /**
   * Changes the number of workers while the pool works. If you pass one bound and it conflicts with
   * the other, the other is adjusted to match. A smaller pool gives up the workers with the highest
   * ids: they finish their running tasks and leave (`exit` with the reason `'idle'`).
   *
   * @param size The new bounds. An omitted one stays.
   * @returns A promise that resolves when all workers beyond `maxWorkers` are gone and `minWorkers`
   *   are ready (at once, if the pool has not started). Overlapping calls resolve when the last of
   *   them is complete. Rejects with Node's argument errors, and when the pool is or becomes closed
   *   or broken (a pending promise may be ignored then).
   */
  resize(size: ProcessManager.PoolSize): Promise<void>;

  /**
   * Replaces all workers, one after the other, by workers that load the module again: a new version
   * of the module without a restart. Each new worker is ready before the old one finishes its
   * running tasks and leaves (`exit` with the reason `'reload'`). No task is lost or started twice.
   * Tasks that are sent meanwhile may still run on the old code.
   *
   * @returns A promise that resolves when all workers are replaced (at once, if the pool has not
   *   started). Overlapping calls resolve when the last of them is complete. Rejects with {@link
   *   ProcessManager.WorkerStartError} when the new workers do not get ready (workers that are not
   *   replaced yet continue), and when the pool is or becomes closed or broken.
   */
  reload(): Promise<void>;

  /**
   * Refuses new tasks, finishes the accepted ones, and stops all workers. The pending promise keeps
   * the process alive.
   *
   * @param options A time limit, and which tasks are finished.
   * @returns The same promise at every call; a later call may only be stricter. Resolves once all
   *   workers are gone (at once, if the pool never started).
   */
  shutdown(options?: ProcessManager.ShutdownOptions): Promise<ProcessManager.ShutdownReport>;

  /**
   * Kills all workers now. All unsettled tasks end with {@link ProcessManager.PoolClosedError}.
   *
   * @returns The promise of `shutdown()`.
   */
  terminate(): Promise<ProcessManager.ShutdownReport>;

  /** Keeps the process alive, with or without tasks, until the pool is closed. */
  ref(): this;

  /**
   * Lets the process end while tasks are unsettled. A pending `startWorkers`, `ready`, `shutdown`
   * or `terminate` still keeps it alive.
   */
  unref(): this;

  /** Does the same as `shutdown()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

declare namespace ProcessManager {
  export { ProcessManager, ProcessManager as default };

  /** Id of a task: any string or finite number that the user gives, or an assigned number. */
  export type TaskId = string | number;

  /** A worker program: any executable that speaks the wire protocol. */
  export interface ForeignWorker {
    /** The program: a path, or a name that is looked up in `PATH`. */
    command: string;
    /** Its arguments. @defaultValue `[]` */
    args?: readonly string[];
  }

  /** Options of a pool. An option that is left out, or undefined, has its default. */
  export interface Options {
    /**
     * The program of the workers: a module for Node workers, or any executable that speaks the wire
     * protocol.
     *
     * A module is JavaScript or TypeScript, given as a path or as a file URL. A relative path
     * starts at `process.cwd()`. As with `fork()`, the extension may be left out, and the module is
     * the main one of its process (`require.main`). `./worker.js` finds `worker.ts`, as with tsx.
     *
     * A module that starts a pool of itself when it is loaded is refused in its workers
     * (`ERR_POOL_RECURSION`). Such a module has to ask `isWorker` of `bulkhead/worker` first.
     *
     * @defaultValue the built-in worker, which runs `exec` functions and tasks that name a
     *   `filename`, and returns the `data` of any other task
     */
    worker?: string | URL | ForeignWorker;
    /**
     * Number of workers that are started, and kept when the pool shrinks, from 0 to 1024.
     *
     * @defaultValue the cores that this process may really use (cgroup quota and affinity
     *   respected), or `maxWorkers` if that is less
     */
    minWorkers?: number;
    /**
     * Largest number of workers, from 1 to 1024. The pool starts a worker beyond `minWorkers` when
     * tasks would wait for longer than that start takes. The wait is predicted from the run times
     * of earlier tasks, or measured where there are none.
     *
     * @defaultValue the cores that this process may really use, or `minWorkers` if that is more
     */
    maxWorkers?: number;
    /**
     * Number of processes that stand by, from 0 to 1024: started ahead, and without the worker
     * module. A worker that starts, for whatever reason, takes one of them and only imports the
     * module. So a larger pool, and a worker in place of one that died, cost an import instead of
     * a start.
     *
     * A standby is not a worker. It runs no tasks, and has no id, no row in `workers`, no `online`
     * and no `exit` event; `stats().standby` counts them. Standbys come on top of `maxWorkers`,
     * and an idle pool keeps them: each takes the memory of an empty `node`. The first one starts
     * when `minWorkers` are ready. `reload()` starts new ones, and `shutdown()` ends them at once.
     * A pool whose workers open the debugger (`--inspect`) has none, because each worker's port
     * belongs to its id.
     *
     * A standby that dies is replaced after a pause, within the limits of {@link Options.restart}.
     * After that the pool serves without standbys, and a process warning
     * (`BULKHEAD_STANDBY_MISSING`) says why.
     *
     * @defaultValue `0`
     */
    standby?: number;
    /**
     * How long a worker above `minWorkers` may idle before it leaves (ms). Its `exit` has the
     * reason `'idle'`. `Infinity`: idle workers never leave, and a pool that has grown keeps its
     * size.
     *
     * @defaultValue `10_000`
     */
    idleTimeout?: number;
    /**
     * Number of tasks that one worker runs at a time, for async handlers; from 1 to 1024.
     *
     * @defaultValue `1`
     */
    concurrency?: number;
    /**
     * Maximum number of waiting tasks. A further task is refused with {@link QueueFullError}. 0: no
     * task waits, and the pool accepts only as many as can run. `Infinity` is allowed.
     *
     * @defaultValue `1_000_000`
     */
    maxQueue?: number;
    /**
     * Maximum size of all waiting tasks (bytes). `Infinity` is allowed.
     *
     * @defaultValue `1073741824` (1 GiB)
     */
    maxQueueBytes?: number;
    /**
     * Number of tasks that a worker may hold ahead. `'auto'` bounds them by time: about 1 ms of
     * work, and while tasks wait for long an eighth of their wait, up to 5 ms. A number from 1 to
     * 256 (the most that `'auto'` sends) fixes it, and 1 turns it off. Workers of `{ command }`
     * never hold any ahead.
     *
     * @defaultValue `'auto'`
     */
    prefetch?: 'auto' | number;
    /**
     * Time limit of a task (ms); 0 or `Infinity`: none. A worker that is stuck in a synchronous
     * loop is killed.
     *
     * @defaultValue `0`, no limit
     */
    taskTimeout?: number;
    /**
     * Time in which a waiting task gains one level of priority (ms). A task of priority 0 starts
     * before tasks of priority 10 that come more than ten times this long after it. `Infinity`: no
     * task gains priority.
     *
     * @defaultValue `1_000`
     */
    priorityAgeing?: number;
    /**
     * Number of times that a task is started again when its worker dies. Such a task may run more
     * than once, at most `retries + 1` times.
     *
     * @defaultValue `0`
     */
    retries?: number;
    /**
     * Pause before the first retry (ms); doubled for each further one. Must be finite, because
     * every accepted task ends.
     *
     * @defaultValue `100`
     */
    retryDelay?: number;
    /**
     * Time limit from the spawn of a worker to its readiness (ms). `Infinity`: none.
     *
     * @defaultValue `30_000`; the longest possible where `--inspect-brk` or `--inspect-wait` has
     *   workers wait for a debugger
     */
    startTimeout?: number;
    /**
     * Limits within which workers that die before they are ready are started again. Beyond them the
     * pool breaks. A member that is left out has its default.
     */
    restart?: RestartOptions;
    /**
     * Time between the request to stop (SIGTERM) and the kill (SIGKILL to the worker's process
     * group), in ms. 0: at once. Must be finite, because a worker that ignores SIGTERM has to be
     * killed.
     *
     * Whatever the value, a worker has half a second to claim a task that it was sent, before it
     * counts as hung.
     *
     * @defaultValue `2_000`
     */
    gracePeriod?: number;
    /**
     * Maximum number of tasks that one worker starts, from 1, or `Infinity`. Then a successor with
     * the same id replaces the worker.
     *
     * The pool starts the successor early enough that the next task need not wait for it. The
     * successor waits until the first worker has had all its tasks (or has idled for
     * `idleTimeout`). The first worker leaves when its tasks have ended (`exit` with the reason
     * `'recycled'`). A task that was sent to a worker and taken back before it started does not
     * count.
     *
     * @defaultValue `Infinity`
     */
    maxTasksPerWorker?: number;
    /**
     * Age at which a worker is replaced in the same way (ms, from its readiness); from 1, or
     * `Infinity`. The worker continues until its successor is ready, and then finishes its running
     * tasks, however long they take. Workers are replaced one after the other.
     *
     * @defaultValue `Infinity`
     */
    maxWorkerAge?: number;
    /**
     * Memory (resident set) at which a worker is replaced in the same way, as soon as its successor
     * is ready and its running tasks have ended. A number of bytes, `Infinity`, or text with a
     * unit: `'512MB'`, `'1.5 GiB'`. `KB`, `MB` and `GB` mean the same as `KiB`, `MiB` and `GiB`:
     * powers of 1024. Must be less than `maxMemory`.
     *
     * The pool reads a worker's memory every 250 ms and after its tasks (at most every 10 ms). On
     * other systems than Linux, and where `/proc` cannot be read, this limit and `maxMemory` have
     * no effect. A process warning (`BULKHEAD_NO_MEMORY_LIMITS`) says so.
     *
     * @defaultValue `Infinity`
     */
    recycleMemory?: number | string;
    /**
     * Memory (resident set) at which a worker is killed, at once and by SIGKILL. Given and read as
     * `recycleMemory` is, so that a worker may exceed the limit by what it allocates in 250 ms. Its
     * tasks end with a {@link WorkerCrashedError} that names the limit (`outOfMemory: true`), or
     * are started again if `retries` allows it. Its `exit` has the reason `'memory'`. Processes
     * that the worker has started do not count.
     *
     * @defaultValue `Infinity`
     */
    maxMemory?: number | string;
    /**
     * Makes the pool fetch the JavaScript stack of a worker that misses a deadline, before it kills
     * the worker: {@link TaskTimeoutError.stuckAt}. For workers that run on Node.js.
     *
     * The option costs nothing until a deadline is missed. Then the worker's Node opens its
     * debugger (by SIGUSR1, on a free port of the loopback interface) for at most a second. During
     * that time, any program that may connect to the port could control the worker.
     *
     * @defaultValue `false`
     */
    captureStack?: boolean;
    /**
     * Has V8 collect the young generation of this thread's heap whenever results and messages have
     * brought 8 MiB of large Buffers. The memory of those that the program has dropped is then used
     * again while it is warm. The collection takes a fraction of a millisecond, before the next
     * results. If the program keeps the Buffers, the next collection waits for twice as many bytes,
     * up to 64 MiB.
     *
     * `false`: V8 alone decides. All pools of a thread share its heap, so each must say `false`.
     * Workers, which collect while they idle, are not affected.
     *
     * @defaultValue `true`
     */
    collectBuffers?: boolean;
    /**
     * How values travel. `'json'` is JSON: a `Date` becomes text, `NaN` null, and an instance of a
     * class a plain object. A value of which JSON would make an empty object (a `Map`, a `RegExp`,
     * a `Blob`) is refused with a {@link SerializationError} that says where. `'advanced'` is the
     * structured clone algorithm, for Node workers only, and not between Bun and another runtime.
     *
     * In both, Buffers, typed arrays and ArrayBuffers arrive as what they were, byte for byte; in
     * `'json'`, so do errors. The result for each kind of value: `docs/values.md`.
     *
     * @defaultValue `'json'`
     */
    serialization?: 'json' | 'advanced';
    /**
     * Maximum size of a task, result or message (bytes), up to 511 MiB. A larger task is refused
     * with {@link MessageTooLargeError} before anything is copied. A larger result ends its task
     * with that error, and the worker lives.
     *
     * JSON may become 28 times as large in the heap. A result whose objects and arrays would take
     * more than half of this process's heap (`--max-old-space-size`) ends its task in the same way.
     *
     * @defaultValue `67108864` (64 MiB)
     */
    maxMessageSize?: number;
    /**
     * The exact environment of a worker. Undefined values are left out. As with `child_process`,
     * two things of this process are added if they are not given here: `NODE_V8_COVERAGE`, and, to
     * `NODE_OPTIONS`, the flags of the permission model, see {@link Options.execArgv}.
     *
     * @defaultValue a copy of `process.env`, taken when the pool is made, without what is meant for
     *   this process only (Node's IPC channel, the debugger's flags in `NODE_OPTIONS`)
     */
    env?: Readonly<Record<string, string | number | boolean | bigint | undefined>>;
    /**
     * Arguments of Node workers: their `process.argv.slice(2)`.
     *
     * @defaultValue `[]`
     */
    argv?: readonly string[];
    /**
     * Node's flags for Node workers. With `--permission` among them, or in `NODE_OPTIONS` of `env`,
     * a worker has the restrictions that these flags name. Without it, a worker has those of this
     * process, which are added to its `NODE_OPTIONS`.
     *
     * With `--inspect`, `--inspect-brk` or `--inspect-wait`, here or in `NODE_OPTIONS` of `env`,
     * each worker listens for a debugger on a port of its own: any free port, or, with
     * `--inspect=9300`, 9300 for the worker with the id 1, 9301 for the next, and any free port
     * where that one is taken. The pool adds `--inspect-port` for each worker. The address is a
     * line on standard error, `bulkhead worker 1 (pid 4711): Debugger listening on
     * ws://127.0.0.1:9300/…`: in the `stderr` events with `stdio: 'pipe'`, else on the standard
     * error of this process.
     *
     * @defaultValue `process.execArgv` without the flags by which this process itself evaluates,
     *   tests, watches or debugs. In Deno, `run` and the permissions of this process; in Bun and
     *   Deno with another `execPath`, none
     */
    execArgv?: readonly string[];
    /**
     * The `node` that Node workers run on, or a `bun` or `deno` in place of it. `deno` needs
     * `execArgv` as well, such as `['run', '--allow-all']`.
     *
     * In Electron, `ELECTRON_RUN_AS_NODE=1` is added to the environment of workers, as
     * `child_process.fork()` does there. An app whose fuse "runAsNode" is off can have no Node
     * workers, because its workers would be the app itself: the constructor throws an error with
     * the code `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`. The constructor throws the same error in a
     * single executable, on which no worker can run, without this option.
     *
     * @defaultValue `process.execPath`; in Electron on macOS, the app's helper
     */
    execPath?: string;
    /**
     * Working directory of all workers: a path (a relative one starts at `process.cwd()`, when the
     * pool is made), or a file URL, as text too.
     *
     * @defaultValue that of this process when the pool is made, whatever `process.chdir()` does
     *   later
     */
    cwd?: string | URL;
    /**
     * Where workers print to: `'inherit'`, to where this process does; `'pipe'`, to `stdout` and
     * `stderr` events (discarded without a listener); `'ignore'`, nowhere. With each of them, the
     * last 8 KiB of a worker's standard error are kept for the error that reports its death.
     *
     * @defaultValue `'inherit'`
     */
    stdio?: 'inherit' | 'pipe' | 'ignore';
    /**
     * Nice value of workers: an integer from -20 (most processor time) to 19 (what others leave).
     * The value is absolute, not added to that of this process. A lower value than that of this
     * process requires a privilege (on Linux CAP_SYS_NICE, or RLIMIT_NICE). Without the privilege
     * workers do not start, and the {@link WorkerStartError} has the system's error (`EACCES`, of
     * `setpriority`) as its cause.
     *
     * @defaultValue that of this process
     */
    nice?: number;
    /**
     * Name of the pool, in process titles and warnings.
     *
     * @defaultValue `'bulkhead'`
     */
    name?: string;
  }

  /** Argument of {@link ProcessManager.resize | resize()}. */
  export interface PoolSize {
    /** See {@link Options.minWorkers}; from 0 to 1024. */
    minWorkers?: number;
    /** See {@link Options.maxWorkers}; from 1 to 1024. */
    maxWorkers?: number;
  }

  /** How often, and how soon, a worker that dies before it is ready is started again. */
  export interface RestartOptions {
    /**
     * Number of deaths before readiness, within `window`, that are followed by another attempt.
     *
     * @defaultValue `5`
     */
    limit?: number;
    /**
     * How long such a death counts (ms). `Infinity`: as long as the pool lives.
     *
     * @defaultValue `10_000`
     */
    window?: number;
    /**
     * Pause before the first new attempt (ms, with jitter); doubled for each further one.
     *
     * @defaultValue `100`
     */
    minDelay?: number;
    /**
     * Maximum pause before a new attempt (ms).
     *
     * @defaultValue `5_000`
     */
    maxDelay?: number;
  }

  /** Options of one task. */
  export interface TaskOptions {
    /**
     * Priority of the task: any number from -1_000_000 to 1_000_000. Waiting tasks of higher
     * priority start first; among equals, first in, first out. A task gains one level for each
     * {@link Options.priorityAgeing} that it waits, so that no task waits forever. A task that was
     * sent ahead to a worker (1 to 5 ms of work, see {@link Options.prefetch}) is not overtaken. A
     * task that comes back from a worker that died starts before all others.
     *
     * @defaultValue `0`
     */
    priority?: number;
    /**
     * Affinity key: all tasks with the same key go to one worker, which may keep in memory what
     * they need (a cache, a connection, a model). Any string that is not empty.
     *
     * The key decides which worker that is (rendezvous hashing over the slots of the pool), so that
     * {@link ProcessManager.resize | resize()} moves few keys. A task with a key waits for that
     * worker even if another one idles. The worker's successor has the same keys, and none of what
     * the old process kept: the event `lost-key` reports this. A worker that dies again and again
     * loses its keys to others until it is started again.
     *
     * @defaultValue none: any worker
     */
    key?: string;
    /**
     * Time limit of this task (ms); 0 or `Infinity`: none.
     *
     * @defaultValue the pool's `taskTimeout`
     */
    timeout?: number;
    /**
     * Signal that cancels the task when it is aborted. The error's `cause` is the signal's reason.
     * Any number of tasks, maps and pools may share a signal: it has one listener for all of them.
     */
    signal?: AbortSignal;
    /**
     * Number of times that the task is started again if its worker dies, see {@link
     * Options.retries}.
     *
     * @defaultValue the pool's `retries`
     */
    retries?: number;
    /**
     * Name of the handler, instead of the task's `type`: an entry of the module's `handlers`, or
     * else any function that it exports, except `setup` and `teardown`.
     */
    handler?: string;
    /**
     * Module for this task, as a path (a relative one starts at `process.cwd()`, at the call) or a
     * file URL. For the built-in worker only.
     */
    filename?: string | URL;
    /**
     * Called with each value that this task's handler passes to `ctx.progress()`, before the
     * `progress` event and in the async context of the call that submitted the task.
     */
    onProgress?: (value: any, about: { taskId: TaskId; workerId: number }) => void;
    /**
     * Position of the task in a distributed trace, as a W3C `traceparent`:
     * `'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'`. The handler gets it as
     * `ctx.trace`, a worker in another language as `trace` of the task's frame, subscribers of
     * {@link Channels} as `trace`.
     */
    trace?: string;
  }

  /**
   * Options of a stream: {@link TaskOptions} without `retries`, because a stream whose values may
   * have been taken is never started a second time.
   */
  export interface StreamOptions extends Omit<TaskOptions, 'retries'> {
    /**
     * Maximum number of values in flight or not taken yet, from 1 to 65_536.
     *
     * @defaultValue `16`
     */
    highWaterMark?: number;
  }

  /**
   * Options of `map()`. The task options apply to each task; the signal ends the whole iteration.
   */
  export interface MapOptions extends TaskOptions {
    /**
     * True: results come in the order of their tasks. False: in the order of completion.
     *
     * @defaultValue `true`
     */
    ordered?: boolean;
    /**
     * Maximum number of items in flight between the source and the consumer; from 1, or `Infinity`.
     * An item counts from when it is taken from the source until the consumer takes its result.
     *
     * @defaultValue adaptive. At first twice as many as can run at once (`maxWorkers *
     *   concurrency`); doubled, up to 1024, while that many are done within 20 ms, as tiny tasks
     *   need; halved again when that takes longer than 200 ms
     */
    highWaterMark?: number;
  }

  /** Options of `createProxy()`, for each of its calls. */
  export interface ProxyOptions extends Omit<TaskOptions, 'handler'> {}

  /**
   * The functions of a worker module as async functions: each takes the same arguments and returns
   * a promise. Without the module's type, there is a function of every name but `then` and
   * `toJSON`.
   *
   * @typeParam Module The type of the module, `typeof import('./worker.js')`.
   */
  export type WorkerProxy<Module = any> =
    IsAny<Module> extends true
      ? { readonly [name: string]: (...args: any[]) => Promise<any> } & {
          readonly then?: undefined;
          readonly toJSON?: undefined;
        }
      : {
          readonly [Name in Exclude<
            HandlerName<Module>,
            keyof typeof Object.prototype | 'then' | 'toJSON'
          >]: (
            ...args: Parameters<FunctionIn<Handler<Module, Name>>>
          ) => Promise<ResultOf<Handler<Module, Name>>>;
        };

  /** Options of `shutdown()`. */
  export interface ShutdownOptions {
    /**
     * Time limit (ms). After it, running tasks are killed and end with {@link PoolClosedError}.
     * `Infinity`: nothing is killed.
     *
     * @defaultValue none
     */
    timeout?: number;
    /**
     * Which tasks are finished. `'running'` drops the tasks that have not started: they end with
     * {@link PoolClosedError}.
     *
     * @defaultValue `'all'`
     */
    drain?: 'all' | 'running';
  }

  /** Outcome of `shutdown()` and `terminate()`. */
  export interface ShutdownReport {
    /** Number of tasks that ended with a result since the pool began to close. */
    completed: number;
    /**
     * Number of accepted tasks that ended in any other way since then: dropped, killed, failed,
     * cancelled.
     */
    rejected: number;
    /** Number of workers that had to be killed. */
    killed: number;
  }

  /** First argument of a `result` event. */
  export interface Envelope<Result = any> {
    /** Id of the task, given or assigned: as the pool knows it, whatever the worker says. */
    taskId: TaskId;
    /** Value that the handler returned; of a whole envelope, its `result`. */
    result: Result;
    /** Pid of the worker, as the pool knows it. */
    processedBy: number;
  }

  /** Second argument of a `result` event. */
  export interface ResultInfo {
    /** Id of the worker that ran the task. */
    workerId: number;
    /** Which attempt of the task succeeded, from 1. */
    attempt: number;
    /** Time from acceptance to start (ms). */
    waitTime: number;
    /** Time from start to reply (ms). */
    runTime: number;
  }

  /**
   * A worker's id and process. A replaced worker keeps its id, from 1 to `maxWorkers`, and has
   * another pid. While a recycled worker finishes its tasks, two processes have its id.
   */
  export interface WorkerInfo {
    /** Number of the worker's slot in the pool, from 1. */
    id: number;
    /** Pid of its process. */
    pid: number;
  }

  /** How a worker ended. */
  export interface WorkerExit {
    /** Id of the worker, which its replacement has as well. */
    workerId: number;
    /** Pid of its process. */
    pid: number;
    /**
     * Exit code, or null if a signal ended it. Both null: the status is unknown, or the worker is
     * not gone 10 s after SIGKILL.
     */
    code: number | null;
    /** The signal that ended it, by name, or null if it exited. */
    signal: NodeJS.Signals | null;
    /**
     * Why the worker is gone:
     *
     * - `'shutdown'`: the pool was closed;
     * - `'idle'`: the worker was not needed;
     * - `'recycled'`: after `maxTasksPerWorker`, `maxWorkerAge` or `recycleMemory`;
     * - `'reload'`: `reload()` replaced it;
     * - `'timeout'`, `'aborted'`: it did not end a task that ran too long, or was cancelled;
     * - `'memory'`: it was beyond `maxMemory`;
     * - `'startup'`: it did not get ready;
     * - `'crashed'`: it exited by itself, was killed from outside, closed its channel, or broke the
     *   protocol.
     */
    reason:
      | 'shutdown'
      | 'idle'
      | 'recycled'
      | 'reload'
      | 'timeout'
      | 'memory'
      | 'aborted'
      | 'crashed'
      | 'startup';
    /** Time from spawn to death (ms); the time as a standby does not count. */
    uptime: number;
    /** Number of tasks that the worker has ended, with a result or an error. */
    tasksDone: number;
  }

  /** Argument of a `lost-key` event: a worker that ran tasks of a key is gone. */
  export interface LostKey {
    /** See {@link TaskOptions.key}. */
    key: string;
    /** The worker that is gone. */
    workerId: number;
  }

  /** Argument of a `retry` event: a task is started again. */
  export interface Retry {
    /** Id of the task. */
    taskId: TaskId;
    /** Which attempt of the task comes next, from 2. */
    attempt: number;
    /** The error that ended the previous attempt. */
    error: Error;
  }

  /**
   * The events of a pool, and the arguments of their listeners.
   *
   * @typeParam Worker The type of the worker module, by which `result` has the results of its
   *   handlers.
   */
  export interface Events<Worker = any> {
    /** A task given to `distributeTask` has a result. */
    result: [envelope: Envelope<AnyResult<Worker>>, info: ResultInfo];
    /**
     * A task given to `distributeTask` has failed: with what its handler threw, or with one of the
     * errors below; `taskId` says which task. As with any emitter, the error is thrown if there is
     * no listener.
     *
     * Or the error concerns the pool itself: {@link PoolBrokenError}, at most once, or the {@link
     * ProtocolError} of a worker that ran no task. Such an error never ends the process. Without a
     * listener, promises that reject with it are enough (`run()`, `ready()`, a `startWorkers()`
     * that the program awaits). If there is none, one process warning reports it, with the code
     * `BULKHEAD_POOL_ERROR`.
     */
    error: [error: Error & Partial<TaskErrorFields>];
    /** A worker is gone. The last event of a worker, after all its results. */
    exit: [exit: WorkerExit];
    /**
     * Everything that a worker sends, in order: what it passes to `send()`, and its results, as
     * envelopes. Costs nothing without a listener. A worker may send a message that looks like an
     * envelope; `result` events are about real ones only.
     */
    message: [message: any, worker: WorkerInfo];
    /** A worker is ready. */
    online: [worker: WorkerInfo];
    /** A handler passed a value to `ctx.progress()`. */
    progress: [value: any, about: { taskId: TaskId; workerId: number }];
    /** The queue has room again, after a {@link QueueFullError}. */
    drain: [];
    /** A task whose worker died is started again. */
    retry: [retry: Retry];
    /**
     * A worker that had run tasks of this key is gone (in an open pool, for whatever reason). Comes
     * right before its `exit`, for at most 65_536 keys of each worker.
     */
    'lost-key': [lost: LostKey];
    /** With `stdio: 'pipe'`: a worker printed to its standard output. */
    stdout: [chunk: Buffer, worker: WorkerInfo];
    /** With `stdio: 'pipe'`: a worker printed to its standard error. */
    stderr: [chunk: Buffer, worker: WorkerInfo];
  }

  /**
   * Messages that are published on channels of `node:diagnostics_channel`, by channel. See
   * docs/observability.md.
   *
   * @example
   * ```ts
   * diagnostics_channel.subscribe('bulkhead:task:end', (message) => {
   *   const { taskId, outcome, runTime } = message as Channels['bulkhead:task:end'];
   * });
   * ```
   */
  export interface Channels {
    /** The pool's workers are being started. */
    'bulkhead:pool:open': PoolMessage;
    /** All workers of the pool are gone, and all its tasks are settled. */
    'bulkhead:pool:close': PoolMessage;
    /** A worker is ready. */
    'bulkhead:worker:online': PoolMessage & { readonly workerId: number; readonly pid: number };
    /** A worker is gone. */
    'bulkhead:worker:exit': PoolMessage & Readonly<WorkerExit>;
    /** A task was accepted. */
    'bulkhead:task:start': TaskMessage;
    /**
     * The worker of a task died, and the task is started again: `attempt` is the coming attempt,
     * `error` what ended the last one.
     */
    'bulkhead:task:retry': TaskMessage;
    /** A task is settled. Its caller is told next. */
    'bulkhead:task:end': TaskMessage;
  }

  /** Members of every message of {@link Channels}. */
  export interface PoolMessage {
    /** The pool that the message is about. */
    readonly pool: ProcessManager;
    /** The pool's option `name`. */
    readonly poolName: string;
  }

  /**
   * The state of a task: the same object from the task's start to its end, which tells tasks with
   * the same id apart. More members are known as the task proceeds; unknown ones are undefined.
   */
  export interface TaskMessage extends PoolMessage {
    /** Id of the task, given or assigned. */
    readonly taskId: TaskId;
    /**
     * The task option `trace`. Undefined for a task that was accepted before a channel of tasks had
     * a subscriber.
     */
    readonly trace: string | undefined;
    /** Number of the attempt, from 1. */
    readonly attempt: number | undefined;
    /**
     * How the task ended; known at its end. `'cancelled'`: by its signal, by `cancel()`, or because
     * the consumer has left a `map()` or `stream()`.
     */
    readonly outcome: 'completed' | 'failed' | 'cancelled' | undefined;
    /** Id of the worker; known at the task's end, where a worker was involved. */
    readonly workerId: number | undefined;
    /** Pid of that worker. */
    readonly pid: number | undefined;
    /** Time from acceptance to the last start (ms). */
    readonly waitTime: number | undefined;
    /** Time from that start to the end (ms). */
    readonly runTime: number | undefined;
    /** The error that the caller gets; of a retry, the error that ended the previous attempt. */
    readonly error: (Error & Partial<TaskErrorFields>) | undefined;
  }

  /** Result of `stats()`. */
  export interface Stats {
    /** Numbers of tasks since the pool was made. */
    tasks: {
      /** Tasks that the pool has accepted; each ends as one of the next three. */
      accepted: number;
      /** Ended with a result. */
      completed: number;
      /** Ended with an error of any kind, except those that were cancelled. */
      failed: number;
      /** Ended because they were cancelled. */
      cancelled: number;
      /** Number of times that a task was started again. */
      retried: number;
    };
    /** The waiting tasks. */
    queue: {
      /** Number of tasks that have not started. */
      tasks: number;
      /** Their size (bytes). */
      bytes: number;
    };
    /**
     * Time from acceptance to start, of the tasks that a worker has replied to, with a result or an
     * error.
     */
    waitTime: TimeStats;
    /** Time from start to reply, of the same tasks. */
    runTime: TimeStats;
    /**
     * Share of the workers' time that tasks have used, from 0 to 1: the tasks' running time,
     * divided by the time that workers were ready and by `concurrency`.
     */
    utilization: number;
    /** Number of processes that stand by ({@link Options.standby}). */
    standby: number;
    /** The same rows as {@link ProcessManager.workers}. */
    workers: WorkerStats[];
  }

  /**
   * Distribution of a time (ms) since the pool was made; all 0 before the first task. Taken from a
   * histogram of two significant digits, so that the figures are right within 1 %.
   */
  export interface TimeStats {
    /** Number of tasks. */
    count: number;
    /** The shortest time. */
    min: number;
    /** The average time. */
    mean: number;
    /** 50 % of the tasks took at most this time. */
    p50: number;
    /** 90 % of the tasks took at most this time. */
    p90: number;
    /** 99 % of the tasks took at most this time. */
    p99: number;
    /** 99.9 % of the tasks took at most this time. */
    p999: number;
    /** The longest time. */
    max: number;
  }

  /** A row of `stats().workers` and `workers`. */
  export interface WorkerStats {
    /** Number of the worker's slot, from 1 to `maxWorkers`; the same for its replacement. */
    id: number;
    /** Pid of the process; null where none runs just now. */
    pid: number | null;
    /**
     * State of the worker: not ready yet (or between two attempts), without a task, with one, or
     * told to stop.
     */
    state: 'starting' | 'idle' | 'busy' | 'stopping';
    /** Ids of the tasks that the worker runs. */
    running: TaskId[];
    /** Time since the process was spawned (ms); the time as a standby does not count. */
    uptime: number;
    /**
     * Resident memory (bytes); null where it is not known: elsewhere than on Linux, or without a
     * `/proc` of this PID namespace.
     */
    rss: number | null;
    /** Number of tasks that the worker has ended, with a result or an error. */
    tasksDone: number;
    /** Number of times that this worker was replaced. */
    restarts: number;
  }

  /** Fields of every error that ends a task. */
  export interface TaskErrorFields {
    /** Id of the task. */
    taskId: TaskId;
    /** Id of the worker, if one was involved. */
    workerId: number;
    /** Pid of that worker. */
    pid: number;
  }

  /**
   * Base of bulkhead's own errors. `instanceof` works across two copies of the package.
   *
   * An error that a handler throws arrives as itself instead. It keeps the class of the built-in
   * errors, name, message, `code`, own fields, the `cause` chain (up to 16),
   * `AggregateError.errors` and the worker's stack; `taskId`, `workerId` and `pid` are added. A
   * field that the pool's `serialization` cannot carry is text that says what it was. A thrown
   * value that is no error arrives as the `cause` of an `Error`.
   */
  export class BulkheadError extends Error {
    /**
     * Makes an error, for subclasses.
     *
     * @param message What happened.
     * @param fields Become own properties of the error; `cause` is its cause.
     */
    constructor(message?: string, fields?: Record<string, unknown>);
    /** Kind of the error; the same in every version. */
    readonly code: string;
    /** The task that the error ends. */
    taskId?: TaskId;
    /** The worker that the error is about, if any. */
    workerId?: number;
    /** Pid of that worker's process; null if there was none. */
    pid?: number | null;
  }

  /** The worker died while it ran the task, or before the result was complete. */
  export class WorkerCrashedError extends BulkheadError {
    readonly code: 'ERR_WORKER_CRASHED';
    /**
     * Exit code of the worker, 0 to 255; null where a signal ended it. Both null: the status is
     * unknown.
     */
    exitCode: number | null;
    /** Name of the signal that ended the worker, or null. */
    signal: NodeJS.Signals | null;
    /**
     * The worker's activity when it died:
     *
     * - `'running'`: it ran the task (or was about to, or had just ended it without having
     *   replied);
     * - `'result'`: it was writing a result, of which a part had arrived;
     * - `'stopping'`: the pool was ending it because of another task (see `reason`), and this task
     *   went with it. Only with `concurrency` above 1.
     *
     * A worker that dies before it is ready gives a {@link WorkerStartError}. An idle one gives no
     * error, only an `exit` event.
     */
    phase: 'running' | 'result' | 'stopping';
    /** The `reason` of the worker's `exit` event: `'crashed'`, unless the pool was ending it. */
    reason: WorkerExit['reason'];
    /**
     * True if the task may have had effects. Always true: a task that certainly had not started is
     * queued again.
     */
    maybeExecuted: boolean;
    /**
     * True if memory ran out: if V8 (or Python, Go, C++, Rust) said so and died of it, if the
     * kernel's out-of-memory killer ended the worker, as the count of its memory group (cgroup v1
     * or v2) shows, or if the worker exceeded `maxMemory`.
     */
    outOfMemory: boolean;
    /**
     * True if the worker had closed its channel without exiting, and was ended for that; `signal`
     * says how.
     */
    channelClosed: boolean;
    /**
     * The last 8 KiB of its standard error, whatever `stdio` says. The text of an uncaught
     * exception is in it.
     */
    stderr: string;
    /** Time from the worker's spawn to its death (ms). */
    uptime: number;
    /** Largest known resident memory of the worker (bytes); 0: unknown. */
    rss: number;
    /**
     * Number of attempts. More than one with `retries`: each ended with the death of its worker.
     */
    attempts: number;
  }

  /**
   * A worker did not get ready. `cause` is the error that the worker reported, if it did.
   *
   * Where there is no process (`reason` is `'spawn'`), `cause` is the system's error, with the
   * fields of Node's own: `code` (`'ENOENT'`, `'EMFILE'`), `errno`, `syscall`, and `path` where it
   * is about a file. After a shortage (`EAGAIN`, `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `ENOSPC`,
   * `ETXTBSY`) the start is retried, as often as {@link Options.restart} allows.
   */
  export class WorkerStartError extends BulkheadError {
    readonly code: 'ERR_WORKER_START';
    /**
     * Cause of the failure: the worker exited (`'exit'`), was not ready within `startTimeout`
     * (`'timeout'`), could not be spawned (`'spawn'`), sent an unrecognized frame (`'protocol'`),
     * or reported that it cannot start (`'fail'`).
     */
    reason: 'exit' | 'timeout' | 'spawn' | 'protocol' | 'fail';
    /** See {@link WorkerCrashedError.exitCode}. */
    exitCode: number | null;
    /** See {@link WorkerCrashedError.signal}. */
    signal: NodeJS.Signals | null;
    /** See {@link WorkerCrashedError.outOfMemory}. */
    outOfMemory: boolean;
    /** See {@link WorkerCrashedError.channelClosed}. */
    channelClosed: boolean;
    /** The last 8 KiB of its standard error, whatever `stdio` says. */
    stderr: string;
  }

  /**
   * The pool is broken: workers die again and again before they are ready, or can never start, and
   * none serves or may still get ready. The pool accepts no more tasks. Each waiting task ends with
   * this error, and so does each later call. The event comes once, whatever the pool was doing; see
   * {@link Events.error} for how the pool itself reports it.
   */
  export class PoolBrokenError extends BulkheadError {
    readonly code: 'ERR_POOL_BROKEN';
    /** The last start error. */
    cause: WorkerStartError;
    /** For an accepted task: whether it may have had effects. */
    maybeExecuted?: boolean;
  }

  /** The pool is closed, or closing. */
  export class PoolClosedError extends BulkheadError {
    readonly code: 'ERR_POOL_CLOSED';
    /** For an accepted task: whether it may have had effects. */
    maybeExecuted?: boolean;
  }

  /**
   * The queue is full: see {@link Options.maxQueue}, {@link Options.maxQueueBytes} and {@link
   * ProcessManager.ready}.
   */
  export class QueueFullError extends BulkheadError {
    readonly code: 'ERR_QUEUE_FULL';
    /** The pool's `maxQueue`. */
    limit: number;
  }

  /** The task ran longer than its timeout. */
  export class TaskTimeoutError extends BulkheadError {
    readonly code: 'ERR_TASK_TIMEOUT';
    /** The time limit (ms). */
    timeout: number;
    /**
     * With {@link Options.captureStack}: where the worker's JavaScript was at the deadline, at most
     * 50 lines like those of an Error's `stack`, without its first one.
     *
     * Missing where the pool could not find out within a second: the worker was not in JavaScript
     * (its handler awaits something, or is in a synchronous native call), handles SIGUSR1 itself,
     * has a debugger open already, was started without one (`--permission`, `--disable-sigusr1`),
     * was being ended because of another task, or its stack is thousands of calls deep.
     */
    stuckAt?: string;
  }

  /** The task was cancelled. */
  export class AbortError extends BulkheadError {
    readonly code: 'ABORT_ERR';
    /** The reason that the signal or `cancel()` was given: any value, most often an error. */
    cause?: any;
  }

  /**
   * A value cannot be sent. Of a task: thrown before the task is accepted. Of a result: the task
   * fails, the worker lives. `cause` is the reason: the TypeError of a cycle, the RangeError of too
   * deep nesting, what a getter threw.
   */
  export class SerializationError extends BulkheadError {
    readonly code: 'ERR_SERIALIZATION';
    /** Where in the value, such as `data.items[3]`, if known. */
    path?: string;
  }

  /**
   * A value is larger than `maxMessageSize`, or would take more than half of this process's heap.
   */
  export class MessageTooLargeError extends BulkheadError {
    readonly code: 'ERR_MESSAGE_TOO_LARGE';
    /** Size of the value (bytes); of a value too large to be measured, a lower bound. */
    size: number;
    /** The limit (bytes). */
    limit: number;
  }

  /**
   * A worker broke the wire protocol. The pool killed it; other workers and tasks are not affected.
   */
  export class ProtocolError extends BulkheadError {
    readonly code: 'ERR_PROTOCOL';
    /** The text that arrived, shortened. */
    what: string;
    /** For a task: whether it may have had effects. */
    maybeExecuted?: boolean;
  }
}
