// biome-ignore-all lint/suspicious/noExplicitAny: what handlers take and return is known only to
// whoever writes them

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
 *    errors that {@link ProcessManager.distributeTask | distributeTask()} throws. Before that nothing
 *    is queued.
 * 2. Every accepted task ends in exactly one of result, error, cancelled, while this process lives.
 * 3. A task that may have started is not run again unless `retries` allows it. Its error says
 *    `maybeExecuted: true`.
 * 4. A task that provably never started on a worker that died goes back to the front of the queue,
 *    silently.
 * 5. Dispatch is first in, first out within a priority. Tasks complete in any order. All results of a
 *    worker come before its `exit`.
 * 6. No worker outlives this process.
 *
 * A listener that throws behaves as in any emitter (`uncaughtException`) and never costs another
 * task its outcome. The same holds for other code of the program that runs while the pool delivers
 * outcomes: the methods of a signal, `destroy()` of a stream.
 *
 * @typeParam Worker The type of the worker module, `typeof import('./worker.js')`. With it, the
 *   names of handlers, tasks and results are checked. Without it, tasks and results can be anything.
 *   (A value that does not survive the pool's `serialization`, such as a `Date` in JSON, has the type
 *   that the handler returned.)
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
   * @throws Error `ERR_POOL_DEPTH`: this process is a worker of a pool in a worker of a pool, and so
   *   on, eight levels deep.
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
   * pool serves with the ready ones and retries the others with growing pauses. Meanwhile the promise
   * waits for `minWorkers`, and a process warning (`BULKHEAD_WORKERS_MISSING`) gives the reason.
   *
   * @returns A promise of their readiness, the same at every call. Rejects with
   *   {@link ProcessManager.PoolBrokenError} when no worker gets ready (also an `error` event, if the
   *   pool has a listener), and with {@link ProcessManager.PoolClosedError} when the pool is closed.
   */
  startWorkers(): Promise<void>;

  /**
   * Accepts a task, whose outcome is a `result` or an `error` event. Their listeners, and those of
   * `progress` and `retry`, run in the async context (`AsyncLocalStorage`) of this call.
   *
   * @param task Any value that can be serialized. An object's own `id` (a string or a finite number)
   *   is the task's id; without one, a number is assigned. Its own `type` (a string) picks the
   *   worker's handler of that name. The handler receives the whole task. The task is copied here, so
   *   that later changes to it have no effect.
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
   * @param fn A self-contained function. Only its source text travels: it can use globals and dynamic
   *   `import()`, but no outer variable, no import and no compiler helper (except esbuild's `__name`
   *   and Vite's `import()`). Using one of these is a ReferenceError that says so. Native functions,
   *   bound functions and classes have no text that could run.
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
   * Runs a source of tasks and returns an async iterator of the results: `for await (const result of
   * pool.map(items))`.
   *
   * Nothing happens before the first `next()`. From then on the iterator takes items from the source
   * and runs each as `run()` would, with at most `highWaterMark` of them between the source and the
   * consumer. So a source may be endless, and a slow consumer slows it down. If the pool has no room
   * ({@link ProcessManager.QueueFullError}), the iterator waits for it.
   *
   * The iteration ends early when a task fails, the source fails, the pool refuses an item, the
   * signal is aborted, or the consumer leaves (`break`, `return()`, `throw()`). Then:
   *
   * - The source is closed: `return()` is called, and awaited unless the source owes an item. A Node
   *   stream is destroyed.
   * - Tasks whose results can no longer be delivered are cancelled and not waited for.
   * - The next `next()` rejects with the error, once. The error has a place among the results: those
   *   before it, in order of their tasks or of completion, are delivered first. An abort, and
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
   * Makes another {@link ProcessManager.proxy | proxy}: for a module of the built-in worker, or with
   * options of its own.
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
   *   them is complete. Rejects with Node's argument errors, and when the pool is or becomes closed or
   *   broken (a pending promise may be ignored then).
   */
  resize(size: ProcessManager.PoolSize): Promise<void>;

  /**
   * Replaces all workers, one after the other, by workers that load the module again: a new version
   * of the module without a restart. Each new worker is ready before the old one finishes its running
   * tasks and leaves (`exit` with the reason `'reload'`). No task is lost or started twice. Tasks that
   * are sent meanwhile may still run on the old code.
   *
   * @returns A promise that resolves when all workers are replaced (at once, if the pool has not
   *   started). Overlapping calls resolve when the last of them is complete. Rejects with
   *   {@link ProcessManager.WorkerStartError} when the new workers do not get ready (workers that are
   *   not replaced yet continue), and when the pool is or becomes closed or broken.
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
   * Lets the process end while tasks are unsettled. A pending `startWorkers`, `ready`, `shutdown` or
   * `terminate` still keeps it alive.
   */
  unref(): this;

  /** Does the same as `shutdown()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

declare namespace ProcessManager {
  export { ProcessManager, ProcessManager as default };

  /** An id is the user's: any string or finite number. */
  export type TaskId = string | number;

  /** Any executable that speaks the wire protocol. */
  export interface ForeignWorker {
    /** Program: a path, or a name that is looked up in `PATH`. */
    command: string;
    /** Its arguments. @defaultValue `[]` */
    args?: readonly string[];
  }

  /** Options of a pool. What is left out, or undefined, has its default. */
  export interface Options {
    /**
     * What the workers run: the module that Node workers import (JavaScript or TypeScript, as a
     * path or as a file URL; a relative path starts at `process.cwd()`), or any executable that
     * speaks the wire protocol. As with `fork()` the extension may be left out, and the module is
     * the main one of its process (`require.main`); `./worker.js` finds `worker.ts`, as with tsx.
     *
     * A module that starts a pool of itself when it is loaded is refused in its workers
     * (`ERR_POOL_RECURSION`): it asks `isWorker` of
     * `bulkhead/worker` first.
     *
     * @defaultValue the built-in worker, which runs `exec` functions and tasks that name a `filename`, and returns the
     *   `data` of any other task
     */
    worker?: string | URL | ForeignWorker;
    /**
     * How many workers are started, from 0 to 1024.
     *
     * @defaultValue the cores that this process may really use (cgroup quota and affinity respected), or `maxWorkers` if
     *   that is less
     */
    minWorkers?: number;
    /**
     * How many workers there may be, from 1 to 1024. Beyond `minWorkers`, one is started when tasks
     * would wait for longer than that takes: by prediction, from how long tasks of their kind have
     * run, or since they have.
     *
     * @defaultValue the cores that this process may really use, or `minWorkers` if that is more
     */
    maxWorkers?: number;
    /**
     * How long a worker above `minWorkers` may idle before it leaves (`exit` with the reason
     * `'idle'`), in ms.
     * `Infinity`: no worker leaves for that reason, and a pool that has grown stays as large.
     *
     * @defaultValue `10_000`
     */
    idleTimeout?: number;
    /**
     * Tasks that one worker runs at a time, for async handlers; from 1 to 1024.
     *
     * @defaultValue `1`
     */
    concurrency?: number;
    /**
     * How many tasks may wait. Beyond it a task is refused with {@link QueueFullError}. 0: no task
     * waits, there are only as many as can run. `Infinity` is allowed.
     *
     * @defaultValue `1_000_000`
     */
    maxQueue?: number;
    /**
     * How many bytes the waiting tasks may have. `Infinity` is allowed.
     *
     * @defaultValue `1073741824` (1 GiB)
     */
    maxQueueBytes?: number;
    /**
     * How many tasks a worker may hold ahead: `'auto'` bounds it in time (about 1 ms of work), a
     * number from 1 to 256 (what
     * `'auto'` sends at most) fixes it, 1 turns it off. Workers of `{ command }` never hold any ahead.
     *
     * @defaultValue `'auto'`
     */
    prefetch?: 'auto' | number;
    /**
     * How long a task may run, in ms; 0 or `Infinity`: without limit. A worker that is stuck in a
     * synchronous loop is killed, too.
     *
     * @defaultValue `0`, no limit
     */
    taskTimeout?: number;
    /**
     * A waiting task gains one level of priority for so many ms: one of priority 0 is started
     * before those of priority 10 that come more than ten times as long after it. `Infinity`: no
     * task ever gains any.
     *
     * @defaultValue `1_000`
     */
    priorityAgeing?: number;
    /**
     * How often a task whose worker died is started again. Then a task may run more than once, at
     * most `retries + 1` times.
     *
     * @defaultValue `0`
     */
    retries?: number;
    /**
     * Before the first of these, in ms; doubled for each further one. It is finite, as every
     * accepted task ends.
     *
     * @defaultValue `100`
     */
    retryDelay?: number;
    /**
     * From spawning a worker to its readiness, in ms; `Infinity`: without limit.
     *
     * @defaultValue `30_000`; where `--inspect-brk` or `--inspect-wait` has workers wait for a debugger, as long as it can be
     */
    startTimeout?: number;
    /**
     * When workers that die before they are ready break the pool. What is left out has its default.
     */
    restart?: RestartOptions;
    /**
     * Between asking a worker to stop (SIGTERM) and killing it (SIGKILL to its process group), in
     * ms. 0: at once. It is finite: a worker that ignores the one ends by the other. Whatever it
     * is, a worker has half a second to take up a task that it was sent, before it counts as hung.
     *
     * @defaultValue `2_000`
     */
    gracePeriod?: number;
    /**
     * How many tasks a worker is started on, at most; from 1, or `Infinity`. Then another takes its
     * place, with the same id. It is started early enough that the next task does not wait for it,
     * and stands by until the first has had all its tasks (or has idled for `idleTimeout`); the
     * first leaves when it has ended them (`exit` with reason `'recycled'`). A task that was sent
     * to a worker and taken back before it started does not count.
     *
     * @defaultValue `Infinity`
     */
    maxTasksPerWorker?: number;
    /**
     * How long after it got ready a worker is replaced in the same way, in ms; from 1, or
     * `Infinity`. It goes on until the other is ready, and ends what it runs then, however long
     * that takes. One worker after the other is replaced.
     *
     * @defaultValue `Infinity`
     */
    maxWorkerAge?: number;
    /**
     * How much memory (resident set) a worker may have before it is replaced in the same way, as
     * soon as another is ready and its running tasks have ended. A number of bytes, `Infinity`, or
     * text with a unit: `'512MB'`, `'1.5 GiB'`. `KB`, `MB` and
     * `GB` mean the same as `KiB`, `MiB` and `GiB`: powers of 1024. Must be less than `maxMemory`.
     *
     * A worker's memory is looked at every 250 ms and after its tasks (at most every 10 ms). On
     * Linux only: elsewhere, and where
     * `/proc` cannot be read, this limit and `maxMemory` have no effect, as a warning (`BULKHEAD_NO_MEMORY_LIMITS`) says.
     *
     * @defaultValue `Infinity`
     */
    recycleMemory?: number | string;
    /**
     * How much memory a worker may have before it is killed, at once and by SIGKILL; given and
     * looked at as `recycleMemory` is, so that a worker may exceed it by what it allocates in 250
     * ms. Its tasks end with a {@link WorkerCrashedError} that names the limit (`outOfMemory:
     * true`), or are started again if `retries` allows it; its `exit` has the reason `'memory'`.
     * Processes that the worker has started do not count.
     *
     * @defaultValue `Infinity`
     */
    maxMemory?: number | string;
    /**
     * On a missed deadline, fetch the worker's JavaScript stack before it is killed: {@link
     * TaskTimeoutError.stuckAt}. Costs nothing until then; and then it has Node open its debugger
     * (by SIGUSR1, on a free port of the loopback interface) for as long as it takes, a second at
     * most. While it is open, whoever may connect to that port could control the worker. For
     * workers that run on Node.js.
     *
     * @defaultValue `false`
     */
    captureStack?: boolean;
    /**
     * How values travel. `'json'` is JSON, by which a `Date` becomes text, `NaN` null, and an
     * instance of a class a plain object; what JSON would make an empty object (a `Map`, a
     * `RegExp`, a `Blob`) is refused with a {@link SerializationError} that says where.
     * `'advanced'` is the structured clone algorithm, for Node workers only, and not between Bun and another runtime. Buffers, typed
     * arrays and ArrayBuffers arrive as what they were, byte for byte, in both, and so do errors in
     * `'json'`. What becomes of each kind of value: `docs/values.md`.
     *
     * @defaultValue `'json'`
     */
    serialization?: 'json' | 'advanced';
    /**
     * The largest task, result or message, in bytes, up to 511 MiB. A larger task is refused with
     * {@link MessageTooLargeError} before anything is copied; a larger result ends its task with
     * that error, and the worker lives. JSON may become 28 times as large in the heap: a result
     * whose objects and arrays would take more than half of this process's heap
     * (`--max-old-space-size`) ends its task in the same way.
     *
     * @defaultValue `67108864` (64 MiB)
     */
    maxMessageSize?: number;
    /**
     * The environment that a worker sees, exactly. Undefined values are left out. As with
     * `child_process`, two things of this process are added that are not named here:
     * `NODE_V8_COVERAGE`, and to `NODE_OPTIONS` the flags of the permission model, see {@link
     * Options.execArgv}.
     *
     * @defaultValue a copy of `process.env`, taken when the pool is made, without what is meant for this process only
     *   (Node's IPC channel, the debugger's flags in `NODE_OPTIONS`)
     */
    env?: Readonly<Record<string, string | number | boolean | bigint | undefined>>;
    /**
     * `process.argv.slice(2)` of Node workers.
     *
     * @defaultValue `[]`
     */
    argv?: readonly string[];
    /**
     * Node's flags for Node workers. With `--permission` among them, or in `NODE_OPTIONS` of `env`,
     * a worker has the restrictions that these name; without, those of this process, which are
     * added to its `NODE_OPTIONS`.
     *
     * `--inspect`, `--inspect-brk` and `--inspect-wait`, here or in `NODE_OPTIONS` of `env`, have each worker listen for a debugger on
     * a port of its own: any that is free, or, with `--inspect=9300`, 9300 for the worker with the
     * id 1, 9301 for the next, and any that is free where that one is taken. To that end
     * `--inspect-port` is added for each. Its address is a line on standard error, `bulkhead worker
     * 1 (pid 4711): Debugger listening on ws://127.0.0.1:9300/…`: in the `stderr` events with
     * `stdio: 'pipe'`, else on that of this process.
     *
     * @defaultValue `process.execArgv` without those for what this process itself evaluates, tests, watches or debugs. In Deno, `run`
     *   and the permissions of this process; in Bun and Deno with another `execPath`, none
     */
    execArgv?: readonly string[];
    /**
     * The `node` that Node workers run on, or a `bun` or `deno` in place of it; the latter needs
     * `execArgv` as well, such as
     * `['run', '--allow-all']`.
     *
     * In Electron, `ELECTRON_RUN_AS_NODE=1` is added to their environment, as
     * `child_process.fork()` does there. An app whose fuse "runAsNode" is off can have no Node
     * workers: what it starts is itself, where the constructor throws an error with the code
     * `ERR_FEATURE_UNAVAILABLE_ON_PLATFORM`. So it does in a single executable, on which no worker
     * can run, without this option.
     *
     * @defaultValue `process.execPath`; in Electron on macOS, the app's helper
     */
    execPath?: string;
    /**
     * The working directory of all workers: a path (a relative one starts at `process.cwd()`, when
     * the pool is made), or a file URL, as text too.
     *
     * @defaultValue that of this process when the pool is made, wherever `process.chdir()` leads later
     */
    cwd?: string | URL;
    /**
     * Where workers print to: `'inherit'`, to where this process does; `'pipe'`, to `stdout` and
     * `stderr` events (and to nowhere while nobody listens); `'ignore'`, to nowhere. Whatever it
     * says, the last 8 KiB of a worker's stderr are kept for the error that tells of its death.
     *
     * @defaultValue `'inherit'`
     */
    stdio?: 'inherit' | 'pipe' | 'ignore';
    /**
     * The nice value of workers: an integer from -20, much of the processors, to 19, what others
     * leave. It is not added to that of this process. Less than that of this process takes a
     * privilege (on Linux CAP_SYS_NICE, or RLIMIT_NICE); without it workers do not start, and the
     * {@link WorkerStartError} has the system's error (`EACCES`, of `setpriority`) as its cause.
     *
     * @defaultValue that of this process
     */
    nice?: number;
    /**
     * Of the pool, in process titles and warnings.
     *
     * @defaultValue `'bulkhead'`
     */
    name?: string;
  }

  /** What {@link ProcessManager.resize | resize()} takes. */
  export interface PoolSize {
    /** From 0 to 1024. */
    minWorkers?: number;
    /** From 1 to 1024. */
    maxWorkers?: number;
  }

  /**
   * How often, and how soon, workers that die before they are ready are followed by another
   * attempt.
   */
  export interface RestartOptions {
    /**
     * So many deaths before readiness, within `window`, are still followed by another attempt.
     *
     * @defaultValue `5`
     */
    limit?: number;
    /** How long such a death counts, in ms; `Infinity`: as long as the pool lives. @defaultValue `10_000` */
    window?: number;
    /** Before the first new attempt, in ms, with jitter; it doubles. @defaultValue `100` */
    minDelay?: number;
    /** Before any new attempt, at most, in ms. @defaultValue `5_000` */
    maxDelay?: number;
  }

  /** Options of one task. */
  export interface TaskOptions {
    /**
     * Waiting tasks of higher priority are started first; among equals, first in, first out. Any
     * number from -1_000_000 to 1_000_000. A task gains one level for each {@link
     * Options.priorityAgeing} that it waits, so that none waits for ever. What has been sent ahead
     * to a worker (about 1 ms of work, see {@link Options.prefetch}) is not overtaken, and a task
     * that comes back from a worker that died is started before all others.
     *
     * @defaultValue `0`
     */
    priority?: number;
    /**
     * All tasks of one key go to one worker, which may keep in memory what they need (a cache, a
     * connection, a model). Which one it is follows from the key (rendezvous hashing over the
     * places of the pool), so that {@link ProcessManager.resize | resize()} moves few keys. A task
     * with a key waits for that worker even if another one idles. The worker's successor has the
     * same keys, and none of what the old process kept: the event `lost-key` tells. A worker that
     * dies again and again loses its keys to others until it is started again. Any string that is
     * not empty.
     *
     * @defaultValue none: any worker
     */
    key?: string;
    /** How long this task may run, in ms; 0 or `Infinity`: without limit. @defaultValue the pool's `taskTimeout` */
    timeout?: number;
    /**
     * Cancels the task when it is aborted; the error's `cause` is the signal's reason. Any number
     * of tasks, maps and pools may share a signal: it has one listener for all of them.
     */
    signal?: AbortSignal;
    /** How often it is started again if its worker dies, see {@link Options.retries}. @defaultValue the pool's `retries` */
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
     * Called for what this task's handler passes to `ctx.progress()`, before the `progress` event
     * and in the async context of the call that submitted the task.
     */
    onProgress?: (value: any, about: { taskId: TaskId; workerId: number }) => void;
    /**
     * Where the task belongs in a distributed trace, as a W3C `traceparent`:
     * `'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'`. The handler gets it as `ctx.trace`, a worker in another
     * language as `trace` of the task's frame, subscribers of {@link Channels} as `trace`.
     */
    trace?: string;
  }

  /** {@link TaskOptions} of a stream, which is never started a second time: some of its values may have been taken. */
  export interface StreamOptions extends Omit<TaskOptions, 'retries'> {
    /**
     * How many values may be on their way or wait to be taken, from 1 to 65_536.
     *
     * @defaultValue `16`
     */
    highWaterMark?: number;
  }

  /** The task options are each task's; the signal ends the whole. */
  export interface MapOptions extends TaskOptions {
    /** Results in the order of their tasks; false: in the order in which they come. @defaultValue `true` */
    ordered?: boolean;
    /**
     * How many items may have been taken from the source and not yet, as results, by the consumer;
     * from 1, or `Infinity`.
     *
     * @defaultValue adaptive: twice as many as can run at once (`maxWorkers * concurrency`) at first; doubled, up to 1024, while
     *   so many are done within 20 ms, as tiny tasks need; halved again when that takes longer than 200 ms
     */
    highWaterMark?: number;
  }

  /** Options of `createProxy()`, for each of its calls. */
  export interface ProxyOptions extends Omit<TaskOptions, 'handler'> {}

  /**
   * The functions of a worker module, to be called from here: each takes the same arguments, and
   * gives a promise. Without the module's type it has a function of every name but `then` and
   * `toJSON`.
   *
   * @typeParam Module Its type, `typeof import('./worker.js')`.
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
     * After this time (ms), whatever still runs is killed, and its task ends with {@link
     * PoolClosedError}; `Infinity`: nothing is killed.
     *
     * @defaultValue none
     */
    timeout?: number;
    /** `'running'` drops the tasks that have not started: they end with {@link PoolClosedError}. @defaultValue `'all'` */
    drain?: 'all' | 'running';
  }

  /** What `shutdown()` and `terminate()` came to. */
  export interface ShutdownReport {
    /** Tasks that ended with a result since the pool began to close. */
    completed: number;
    /**
     * Accepted tasks that ended in any other way since then: dropped, killed, failed, cancelled.
     */
    rejected: number;
    /** Workers that had to be killed. */
    killed: number;
  }

  /** What a `result` event tells. */
  export interface Envelope<Result = any> {
    /**
     * Id of the task, the user's or the one it was assigned: as the pool knows it, whatever the
     * worker says.
     */
    taskId: TaskId;
    /** What the handler returned; of a whole envelope, its `result`. */
    result: Result;
    /** Pid of the worker, as the pool knows it. */
    processedBy: number;
  }

  /** What a `result` event tells besides. */
  export interface ResultInfo {
    /** Id of the worker that ran the task. */
    workerId: number;
    /** Which attempt of the task succeeded, from 1. */
    attempt: number;
    /** From acceptance to start, in ms. */
    waitTime: number;
    /** From start to reply, in ms. */
    runTime: number;
  }

  /**
   * A worker keeps its id, from 1 to `maxWorkers`, when it is replaced; the pid is then another.
   * While one that is recycled ends its tasks, there are two processes of its id.
   */
  export interface WorkerInfo {
    /** Number of its place in the pool, from 1. */
    id: number;
    /** Of its process. */
    pid: number;
  }

  /** How a worker ended. */
  export interface WorkerExit {
    /** Its id, which its replacement has as well. */
    workerId: number;
    /** Of its process. */
    pid: number;
    /**
     * Exit code, or null if a signal ended it. Both null: the status is unknown, or the worker is
     * not gone 10 s after SIGKILL.
     */
    code: number | null;
    /** The signal that ended it, by name, or null if it exited. */
    signal: NodeJS.Signals | null;
    /**
     * Why it is gone:
     *
     * - `'shutdown'`: the pool was closed;
     * - `'idle'`: it was not needed;
     * - `'recycled'`: after `maxTasksPerWorker`, `maxWorkerAge` or `recycleMemory`;
     * - `'reload'`: the pool was told to replace it;
     * - `'timeout'`, `'aborted'`: it did not end a task that ran too long, or was cancelled;
     * - `'memory'`: it was beyond `maxMemory`;
     * - `'startup'`: it did not get ready;
     * - `'crashed'`: it ended by itself, was killed by somebody else, closed its channel, or broke the protocol.
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
    /** From spawn to death, in ms. */
    uptime: number;
    /** Tasks that it has ended, with a result or an error. */
    tasksDone: number;
  }

  /** A worker that tasks of a key went to is gone. */
  export interface LostKey {
    /** See {@link TaskOptions.key}. */
    key: string;
    /** The worker that is gone. */
    workerId: number;
  }

  /** A task that is started again. */
  export interface Retry {
    /** Id of the task. */
    taskId: TaskId;
    /** Which attempt of the task comes next, from 2. */
    attempt: number;
    /** What ended the start before. */
    error: Error;
  }

  /** The events of a pool, and what their listeners get. */
  export interface Events<Worker = any> {
    /** A task given to `distributeTask` has a result. */
    result: [envelope: Envelope<AnyResult<Worker>>, info: ResultInfo];
    /**
     * A task given to `distributeTask` has failed (with what its handler threw, or with an error of
     * this page; `taskId` tells which). As with any emitter, this is thrown if there is no
     * listener.
     *
     * Or it concerns the pool itself: {@link PoolBrokenError}, at most once, or the {@link
     * ProtocolError} of a worker that ran no task. This never ends the process: without a listener,
     * the promises that reject with it are enough (`run()`, `ready()`, a
     * `startWorkers()` that the program awaits), and where there is none, one warning of the process tells it, with the code
     * `BULKHEAD_POOL_ERROR`.
     */
    error: [error: Error & Partial<TaskErrorFields>];
    /** A worker is gone. Its last event, after all its results. */
    exit: [exit: WorkerExit];
    /**
     * Everything a worker says, in order: what it passes to `send()`, and its results, as
     * envelopes. Costs nothing while nobody listens. A worker may send a message that looks like an
     * envelope; `result` events are about real ones only.
     */
    message: [message: any, worker: WorkerInfo];
    /** A worker is ready. */
    online: [worker: WorkerInfo];
    /** What a handler passes to `ctx.progress()`. */
    progress: [value: any, about: { taskId: TaskId; workerId: number }];
    /** The queue has room again, after a {@link QueueFullError}. */
    drain: [];
    /** A task whose worker died is started again. */
    retry: [retry: Retry];
    /**
     * A worker is gone that had run tasks of this key (in an open pool, for whatever reason), right
     * before its `exit`. Told of at most 65_536 keys for each worker.
     */
    'lost-key': [lost: LostKey];
    /** With `stdio: 'pipe'`: what a worker prints. */
    stdout: [chunk: Buffer, worker: WorkerInfo];
    /** With `stdio: 'pipe'`: what a worker prints to its standard error. */
    stderr: [chunk: Buffer, worker: WorkerInfo];
  }

  /**
   * What is published on channels of `node:diagnostics_channel`, by channel. See
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
    /** Its workers are being started. */
    'bulkhead:pool:open': PoolMessage;
    /** All its workers are gone, and all its tasks settled. */
    'bulkhead:pool:close': PoolMessage;
    /** A worker is ready. */
    'bulkhead:worker:online': PoolMessage & { readonly workerId: number; readonly pid: number };
    /** A worker is gone. */
    'bulkhead:worker:exit': PoolMessage & Readonly<WorkerExit>;
    /** A task was accepted. */
    'bulkhead:task:start': TaskMessage;
    /**
     * Its worker died, and it is started again: `attempt` is the coming start, `error` what ended
     * the last one.
     */
    'bulkhead:task:retry': TaskMessage;
    /** It is settled; whoever gave it is told next. */
    'bulkhead:task:end': TaskMessage;
  }

  /** What every message of {@link Channels} has. */
  export interface PoolMessage {
    /** The pool that it is about. */
    readonly pool: ProcessManager;
    /** The pool's option `name`. */
    readonly poolName: string;
  }

  /**
   * One and the same object from a task's start to its end, which tells tasks of the same id apart.
   * What is known of the task grows with it; what is not known is undefined.
   */
  export interface TaskMessage extends PoolMessage {
    /** Id of the task, the user's or the one it was assigned. */
    readonly taskId: TaskId;
    /**
     * The task option of that name. Not known of a task that was accepted before anybody subscribed
     * to a channel of tasks.
     */
    readonly trace: string | undefined;
    /** Which attempt of the task it is about, from 1. */
    readonly attempt: number | undefined;
    /**
     * At its end. `'cancelled'`: by its signal, `cancel()`, or whoever has left a `map()` or
     * `stream()`.
     */
    readonly outcome: 'completed' | 'failed' | 'cancelled' | undefined;
    /** At its end, where a worker was involved. */
    readonly workerId: number | undefined;
    /** Of that worker. */
    readonly pid: number | undefined;
    /** From acceptance to the last start, in ms. */
    readonly waitTime: number | undefined;
    /** From that start to the end, in ms. */
    readonly runTime: number | undefined;
    /**
     * What the task failed with, as its caller gets it; with a retry, what ended the attempt
     * before.
     */
    readonly error: (Error & Partial<TaskErrorFields>) | undefined;
  }

  /** What `stats()` counts. */
  export interface Stats {
    /** Since the pool was made. */
    tasks: {
      /** Tasks that the pool has taken; each ends as one of the next three. */
      accepted: number;
      /** Ended with a result. */
      completed: number;
      /** Ended with an error of any kind, except those that were cancelled. */
      failed: number;
      /** Ended because they were cancelled. */
      cancelled: number;
      /** Times that a task was started again. */
      retried: number;
    };
    /** What waits. */
    queue: {
      /** Tasks that have not started. */
      tasks: number;
      /** Their size. */
      bytes: number;
    };
    /**
     * From acceptance to start, of the tasks that a worker has replied to, with a result or an
     * error.
     */
    waitTime: TimeStats;
    /** From start to reply, of the same tasks. */
    runTime: TimeStats;
    /**
     * The part of the workers' time that tasks have used, from 0 to 1: their running time by the
     * time that workers were ready, times `concurrency`.
     */
    utilization: number;
    /** The same rows as {@link ProcessManager.workers}. */
    workers: WorkerStats[];
  }

  /**
   * How a time is distributed, in ms, since the pool was made; all 0 before the first task. Kept in
   * a histogram of two significant digits, so that the figures are right within 1 %.
   */
  export interface TimeStats {
    /** Tasks. */
    count: number;
    /** The shortest. */
    min: number;
    /** The average. */
    mean: number;
    /** Half of the tasks took at most so long. */
    p50: number;
    /** 90 % of the tasks took at most so long. */
    p90: number;
    /** 99 % of the tasks took at most so long. */
    p99: number;
    /** 99.9 % of the tasks took at most so long. */
    p999: number;
    /** The longest. */
    max: number;
  }

  /** A worker, as `stats()` and `workers` show it. */
  export interface WorkerStats {
    /** Number of its place in the pool, from 1 to `maxWorkers`; the same for its replacement. */
    id: number;
    /** Null where no process runs just now. */
    pid: number | null;
    /** Not ready yet (or between two attempts), without a task, with one, or told to go. */
    state: 'starting' | 'idle' | 'busy' | 'stopping';
    /** Ids of the tasks it runs. */
    running: TaskId[];
    /** Since it was spawned, in ms. */
    uptime: number;
    /**
     * Resident memory in bytes; null where it is not known: elsewhere than on Linux, or without a
     * `/proc` of this PID namespace.
     */
    rss: number | null;
    /** Tasks that it has ended, with a result or an error. */
    tasksDone: number;
    /** How often this worker was replaced. */
    restarts: number;
  }

  /** What is added to every error that ends a task. */
  export interface TaskErrorFields {
    /** Id of the task. */
    taskId: TaskId;
    /** Where a worker was involved. */
    workerId: number;
    /** Of that worker. */
    pid: number;
  }

  /**
   * Base of all errors that are bulkhead's own. `instanceof` works across two copies of the
   * package.
   *
   * What a handler throws arrives as itself instead: class of the built-in errors, name, message,
   * `code`, own fields, `cause` chain (up to 16) and `AggregateError.errors` kept, the worker's
   * stack kept, `taskId`, `workerId` and `pid` added. A field that the pool's `serialization`
   * cannot carry is text that says what it was. A thrown value that is no error arrives as the
   * `cause` of an `Error`.
   */
  export class BulkheadError extends Error {
    /**
     * For errors of the same family.
     *
     * @param message What happened.
     * @param fields Become own properties of the error; `cause` is its cause.
     */
    constructor(message?: string, fields?: Record<string, unknown>);
    /** What kind of error it is; the same in every version. */
    readonly code: string;
    /** The task that the error ends. */
    taskId?: TaskId;
    /** The worker that it is about, if it is about one. */
    workerId?: number;
    /** Of that worker's process; null if there was none. */
    pid?: number | null;
  }

  /** The worker died while it ran the task, or before the result was complete. */
  export class WorkerCrashedError extends BulkheadError {
    readonly code: 'ERR_WORKER_CRASHED';
    /**
     * What it passed to `exit()`, 0 to 255; null where a signal ended it. Both null: the status is
     * unknown.
     */
    exitCode: number | null;
    /** The signal that ended it, by name. */
    signal: NodeJS.Signals | null;
    /**
     * What the worker was doing:
     *
     * - `'running'`: it ran the task (or was about to, or had just ended it and not yet said so);
     * - `'result'`: it was writing a result, of which a part had arrived;
     * - `'stopping'`: the pool was ending it for another task's sake (see `reason`), and this task went with it. Only with
     *   `concurrency` above 1.
     *
     * A worker that dies before it is ready gives a {@link WorkerStartError}, and an idle one no
     * error but an `exit` event.
     */
    phase: 'running' | 'result' | 'stopping';
    /** The `reason` of the worker's `exit` event: `'crashed'`, unless the pool was ending it. */
    reason: WorkerExit['reason'];
    /**
     * Whether the task may have had effects. Always true: a task that had certainly not started is
     * not lost.
     */
    maybeExecuted: boolean;
    /**
     * Memory ran out: V8 (or Python, Go, C++, Rust) said so and died in the way that goes with it,
     * or the kernel's out-of-memory killer ended the worker, as the count of its memory group
     * (cgroup v1 or v2) shows; or it exceeded `maxMemory`.
     */
    outOfMemory: boolean;
    /** It had closed its channel and lived on, and was ended for that: `signal` is how. */
    channelClosed: boolean;
    /**
     * The last 8 KiB of its standard error, whatever `stdio` says. The text of an uncaught
     * exception is in it.
     */
    stderr: string;
    /** Of the worker, from spawn to death, in ms. */
    uptime: number;
    /** The largest resident memory known of the worker, in bytes; 0: unknown. */
    rss: number;
    /**
     * How often the task was started. With `retries` more than once: each attempt ended with the
     * death of its worker.
     */
    attempts: number;
  }

  /**
   * A worker did not get ready. `cause` is what it said itself, if it did. Where there is no
   * process (`reason` is `'spawn'`) it is the system's error, with the fields of Node's own: `code`
   * (`'ENOENT'`, `'EMFILE'`), `errno`, `syscall`, and `path` where it is about a file. Shortages
   * (`EAGAIN`, `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, `ENOSPC`, `ETXTBSY`) are tried again, as
   * often as {@link Options.restart} allows.
   */
  export class WorkerStartError extends BulkheadError {
    readonly code: 'ERR_WORKER_START';
    /**
     * What happened: it ended (`'exit'`), was not ready within `startTimeout` (`'timeout'`), could
     * not be spawned (`'spawn'`), said what makes no sense (`'protocol'`), or said itself that it
     * cannot start (`'fail'`).
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
   * Workers die again and again before they are ready, or can never start, and none serves or may
   * still get ready; the pool takes no tasks any more. Each task that waits ends with it, and so
   * does each later call. As an event it comes once, whatever the pool was doing; for how the pool
   * itself tells of it, see {@link Events.error}.
   */
  export class PoolBrokenError extends BulkheadError {
    readonly code: 'ERR_POOL_BROKEN';
    /** The last start error. */
    cause: WorkerStartError;
    /** For a task that was already accepted. */
    maybeExecuted?: boolean;
  }

  /** The pool is closed, or closing. */
  export class PoolClosedError extends BulkheadError {
    readonly code: 'ERR_POOL_CLOSED';
    /** For a task that was already accepted. */
    maybeExecuted?: boolean;
  }

  /** The queue is full: see {@link Options.maxQueue}, {@link Options.maxQueueBytes} and {@link ProcessManager.ready}. */
  export class QueueFullError extends BulkheadError {
    readonly code: 'ERR_QUEUE_FULL';
    /** `maxQueue`. */
    limit: number;
  }

  /** The task ran longer than its timeout. */
  export class TaskTimeoutError extends BulkheadError {
    readonly code: 'ERR_TASK_TIMEOUT';
    /** In ms. */
    timeout: number;
    /**
     * With {@link Options.captureStack}: where the worker's JavaScript was at the deadline, at most
     * 50 lines like those of an Error's `stack`, without its first one.
     *
     * Missing where that could not be found out within a second: the worker was not in JavaScript
     * (its handler awaits something, or is in a synchronous native call), it handles SIGUSR1
     * itself, has a debugger open already, was started without one (`--permission`,
     * `--disable-sigusr1`), was being ended for another task, or the stack is thousands of calls
     * deep.
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
   * A value cannot be sent. Of a task: thrown before it is accepted. Of a result: the task fails,
   * the worker lives. `cause` is what stood in the way: the TypeError of a cycle, the RangeError of
   * too deep nesting, what a getter threw.
   */
  export class SerializationError extends BulkheadError {
    readonly code: 'ERR_SERIALIZATION';
    /** Where in the value, such as `data.items[3]`; where it is known. */
    path?: string;
  }

  /**
   * A value is larger than `maxMessageSize`, or would take more than half of this process's heap.
   */
  export class MessageTooLargeError extends BulkheadError {
    readonly code: 'ERR_MESSAGE_TOO_LARGE';
    /** In bytes; where it was too large to be measured, at least so many. */
    size: number;
    /** In bytes. */
    limit: number;
  }

  /** A worker broke the wire protocol. It was killed; nobody else notices. */
  export class ProtocolError extends BulkheadError {
    readonly code: 'ERR_PROTOCOL';
    /** What arrived, shortened. */
    what: string;
    /** For a task. */
    maybeExecuted?: boolean;
  }
}
