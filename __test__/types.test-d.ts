// biome-ignore-all lint/suspicious/noExplicitAny: as in index.d.ts

// Types of the package as users see them: of index.d.ts by each way to import it, and of
// 'bulkhead/worker'.

import { type EventEmitter, once } from 'node:events';
import { assertType, describe, expectTypeOf, test } from 'vitest';
import ProcessManager, {
  AbortError,
  type BulkheadError,
  type Channels,
  type Envelope,
  type Events,
  type ForeignWorker,
  type LostKey,
  type MessageTooLargeError,
  ProcessManager as Named,
  type Options,
  type PoolBrokenError,
  type PoolClosedError,
  type PoolSize,
  type ProtocolError,
  type ProxyOptions,
  QueueFullError,
  type RestartOptions,
  type ResultInfo,
  type Retry,
  type SerializationError,
  type ShutdownOptions,
  type ShutdownReport,
  type Stats,
  type StreamOptions,
  type TaskErrorFields,
  type TaskId,
  type TaskOptions,
  type TaskTimeoutError,
  type TimeStats,
  WorkerCrashedError,
  type WorkerExit,
  type WorkerInfo,
  type WorkerStartError,
  type WorkerStats,
} from '../index.mjs';

import Required = require('../index.js');

import type { ProcessManager as Implementation } from '../lib/pool/process-manager.js';
import type { TaskContext, TaskHandler, WorkerContext, WorkerHook } from '../worker.js';

const pool = new ProcessManager();
declare const implementation: Implementation;

describe('imports', () => {
  test('every import gives one class, by default, by name and by require', () => {
    expectTypeOf(ProcessManager).toEqualTypeOf(Named);
    expectTypeOf(ProcessManager).toEqualTypeOf<typeof Required>();
    expectTypeOf(Required.default).toEqualTypeOf(ProcessManager);
    expectTypeOf(Required.ProcessManager).toEqualTypeOf(ProcessManager);
    expectTypeOf(Required.WorkerCrashedError).toEqualTypeOf(WorkerCrashedError);
    expectTypeOf<Required.Options>().toEqualTypeOf<Options>();
    expectTypeOf<Required>().toEqualTypeOf<ProcessManager>();
    expectTypeOf<Required.default>().toEqualTypeOf<Named>();
    expectTypeOf<Required.ProcessManager<{ a(): 1 }>>().toEqualTypeOf<Named<{ a(): 1 }>>();
  });

  test('the implementation matches index.d.ts', () => {
    // Except for the emitter's part, which JavaScript cannot declare for these events, and for what
    // returns `this` with it.
    assertType<Omit<ProcessManager, keyof EventEmitter | 'ref' | 'unref'>>(implementation);
  });
});

describe('options', () => {
  test('all options are optional', () => {
    assertType(new ProcessManager());
    assertType(new ProcessManager({}));
    assertType(
      new ProcessManager({ worker: new URL('file:///w.mjs'), restart: { limit: 1 }, prefetch: 4 }),
    );
    assertType(
      new ProcessManager({
        worker: { command: 'python3', args: ['worker.py'] },
        env: { ...process.env },
      }),
    );
  });

  test('options have types', () => {
    expectTypeOf(ProcessManager).constructorParameters.toEqualTypeOf<[options?: Options]>();
    expectTypeOf<Options['worker']>().toEqualTypeOf<string | URL | ForeignWorker | undefined>();
    expectTypeOf<Options['prefetch']>().toEqualTypeOf<'auto' | number | undefined>();
    expectTypeOf<Options['stdio']>().toEqualTypeOf<'inherit' | 'pipe' | 'ignore' | undefined>();
    expectTypeOf<Options['serialization']>().toEqualTypeOf<'json' | 'advanced' | undefined>();
    expectTypeOf<Options['maxMemory']>().toEqualTypeOf<Options['recycleMemory']>();
    expectTypeOf<Options['restart']>().toEqualTypeOf<RestartOptions | undefined>();
    expectTypeOf<RestartOptions>().toEqualTypeOf<
      Partial<Record<'limit' | 'window' | 'minDelay' | 'maxDelay', number>>
    >();
    assertType<Options>({
      minWorkers: 0,
      maxWorkers: 8,
      concurrency: 2,
      maxQueue: Infinity,
      maxQueueBytes: 1,
    });
    assertType<Options>({
      taskTimeout: 1,
      priorityAgeing: Infinity,
      retries: 1,
      retryDelay: 1,
      startTimeout: 1,
      gracePeriod: 1,
    });
    assertType<Options>({
      maxTasksPerWorker: 1,
      maxWorkerAge: 1,
      recycleMemory: '1MB',
      maxMemory: 2_000_000,
    });
    assertType<Options>({
      captureStack: true,
      collectBuffers: false,
      maxMessageSize: 1,
      name: 'mine',
      cwd: new URL('file:///'),
    });
    assertType<Options>({
      argv: ['a'] as const,
      execArgv: ['-C=b'],
      execPath: '/bin/node',
      env: { A: 1, B: true, C: undefined },
    });
  });

  test('wrong options are type errors', () => {
    // @ts-expect-error no such option
    assertType(new ProcessManager({ workers: 2 }));
    // @ts-expect-error not a number
    assertType(new ProcessManager({ maxWorkers: '2' }));
    // @ts-expect-error not a choice
    assertType(new ProcessManager({ stdio: 'overlapped' }));
    // @ts-expect-error not a choice
    assertType(new ProcessManager({ prefetch: 'none' }));
    // @ts-expect-error a command is needed
    assertType(new ProcessManager({ worker: { args: [] } }));
    // @ts-expect-error no number
    assertType(new ProcessManager({ restart: 5 }));
    // @ts-expect-error no list
    assertType(new ProcessManager({ argv: '--flag' }));
    // @ts-expect-error an object has no text
    assertType(new ProcessManager({ env: { A: {} } }));
  });

  test('task options have types', () => {
    assertType<TaskOptions>({
      priority: -1,
      timeout: 1,
      signal: AbortSignal.timeout(1),
      retries: 1,
      handler: 'a',
      filename: new URL('a:'),
    });
    expectTypeOf<ProxyOptions>().toEqualTypeOf<Omit<TaskOptions, 'handler'>>();
    // @ts-expect-error no such task option
    assertType(pool.run({ id: 1 }, { prio: 1 }));
    // @ts-expect-error no such task option
    assertType(pool.distributeTask({ id: 1 }, { prio: 1 }));
    // @ts-expect-error no signal
    assertType(pool.run({ id: 1 }, { signal: new AbortController() }));
    // @ts-expect-error no name
    assertType(pool.run({ id: 1 }, { handler: () => 1 }));
    // @ts-expect-error no number
    assertType(pool.exec(() => 1, [], { timeout: '1s' }));
  });

  test('shutdown() options have types', () => {
    expectTypeOf<ShutdownOptions['drain']>().toEqualTypeOf<'all' | 'running' | undefined>();
    expectTypeOf<ShutdownReport>().toEqualTypeOf<
      Record<'completed' | 'rejected' | 'killed', number>
    >();
    // @ts-expect-error not a choice
    assertType(pool.shutdown({ drain: 'none' }));
  });
});

describe('methods', () => {
  test('[R1] the methods for tasks have types', () => {
    expectTypeOf(pool.distributeTask({ id: 1, data: 'some data to process' })).toEqualTypeOf<
      string | number
    >();
    expectTypeOf(pool.run({ data: 1 })).resolves.toBeAny();
    expectTypeOf(
      pool.run<number>({ data: 1 }, { signal: AbortSignal.timeout(1), timeout: 5 }),
    ).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.cancel('a', new Error('why'))).toBeBoolean();
    expectTypeOf(pool.ready()).toEqualTypeOf<Promise<void>>();
  });

  test('exec() has the parameters and the result of its function', () => {
    expectTypeOf(pool.exec((a: number, b: string) => a + b, [1, 'x'])).toEqualTypeOf<
      Promise<string>
    >();
    expectTypeOf(pool.exec(async () => 1)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.exec(async () => 1, [], { timeout: 1 })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error the argument is no number
    assertType(pool.exec((a: number) => a, ['x']));
    // @ts-expect-error the argument is missing
    assertType(pool.exec((a: number) => a));
  });

  test('map() takes any source, and returns an async iterator', async () => {
    for await (const result of pool.map([1, Promise.resolve(2)])) expectTypeOf(result).toBeAny();
    expectTypeOf(
      pool.map<number>(new Set(['a']), {
        ordered: false,
        highWaterMark: 5,
        timeout: 1,
        signal: AbortSignal.timeout(1),
      }),
    ).toEqualTypeOf<AsyncIterableIterator<number>>();
    assertType(pool.map(process.stdin));
    assertType(pool.map(new ReadableStream()));
    assertType(pool.map(pool.map([])));
    // @ts-expect-error no source
    assertType(pool.map(5));
    // @ts-expect-error no such option
    assertType(pool.map([], { concurrency: 1 }));
  });

  test('the methods for streams and messages have types', () => {
    expectTypeOf(pool.stream({ type: 'rows' })).toEqualTypeOf<AsyncIterableIterator<any>>();
    expectTypeOf(pool.stream<string>('a', { highWaterMark: 4, priority: 1 })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    expectTypeOf<keyof StreamOptions>().toEqualTypeOf<
      Exclude<keyof TaskOptions, 'retries'> | 'highWaterMark'
    >();
    expectTypeOf<StreamOptions['highWaterMark']>().toEqualTypeOf<number | undefined>();
    // @ts-expect-error what was taken cannot be taken back
    assertType(pool.stream('a', { retries: 1 }));
    expectTypeOf(pool.send(1, { any: 'thing' })).toBeBoolean();
    expectTypeOf(pool.broadcast({ any: 'thing' })).toBeNumber();
    // @ts-expect-error a worker's id is a number
    assertType(pool.send('1', {}));
  });

  test('resize() and reload() have types', () => {
    expectTypeOf(pool.resize({ maxWorkers: 4 })).toEqualTypeOf<Promise<void>>();
    expectTypeOf<PoolSize>().toEqualTypeOf<Pick<Options, 'minWorkers' | 'maxWorkers'>>();
    expectTypeOf(pool.reload()).toEqualTypeOf<Promise<void>>();
    // @ts-expect-error no size
    assertType(pool.resize(4));
    // @ts-expect-error not a bound
    assertType(pool.resize({ workers: 4 }));
  });

  test('the methods that start and end a pool have types', () => {
    expectTypeOf(pool.startWorkers()).toEqualTypeOf<Promise<void>>();
    expectTypeOf(pool.shutdown({ timeout: 1, drain: 'running' })).resolves.toEqualTypeOf<{
      completed: number;
      rejected: number;
      killed: number;
    }>();
    expectTypeOf(pool.terminate()).toEqualTypeOf(pool.shutdown());
    expectTypeOf(pool.ref()).toEqualTypeOf(pool);
    expectTypeOf(pool.unref()).toEqualTypeOf(pool);
    expectTypeOf(pool).toExtend<AsyncDisposable>();
    expectTypeOf(pool.stats()).toEqualTypeOf<Stats>();
    expectTypeOf(pool.workers).toEqualTypeOf<WorkerStats[]>();
    // @ts-expect-error workers are the pool's
    pool.workers = [];
    // @ts-expect-error no such argument
    assertType(pool.terminate({ timeout: 1 }));
    // @ts-expect-error an id is a string or a number
    assertType(pool.cancel({ id: 1 }));
  });
});

describe('figures', () => {
  test('stats() has types', () => {
    expectTypeOf<Stats['tasks']>().toEqualTypeOf<
      Record<'accepted' | 'completed' | 'failed' | 'cancelled' | 'retried', number>
    >();
    expectTypeOf<Stats['queue']>().toEqualTypeOf<{ tasks: number; bytes: number }>();
    expectTypeOf<Pick<Stats, 'waitTime' | 'runTime'>>().toEqualTypeOf<
      Record<'waitTime' | 'runTime', TimeStats>
    >();
    expectTypeOf<TimeStats>().toEqualTypeOf<
      Record<'count' | 'min' | 'mean' | 'p50' | 'p90' | 'p99' | 'p999' | 'max', number>
    >();
    expectTypeOf<Stats['utilization']>().toBeNumber();
    expectTypeOf<Stats['workers']>().toEqualTypeOf<WorkerStats[]>();
  });

  test('workers have types', () => {
    expectTypeOf<WorkerStats['state']>().toEqualTypeOf<'starting' | 'idle' | 'busy' | 'stopping'>();
    expectTypeOf<Pick<WorkerStats, 'pid' | 'rss'>>().toEqualTypeOf<
      Record<'pid' | 'rss', number | null>
    >();
    expectTypeOf<WorkerStats['running']>().toEqualTypeOf<TaskId[]>();
    expectTypeOf<Pick<WorkerStats, 'id' | 'uptime' | 'tasksDone' | 'restarts'>>().toEqualTypeOf<
      Record<'id' | 'uptime' | 'tasksDone' | 'restarts', number>
    >();
  });
});

describe('events', () => {
  test('events have the arguments that index.d.ts names', () => {
    expectTypeOf<keyof Events>().toEqualTypeOf<
      | 'result'
      | 'error'
      | 'exit'
      | 'message'
      | 'online'
      | 'progress'
      | 'drain'
      | 'retry'
      | 'lost-key'
      | 'stdout'
      | 'stderr'
    >();
    expectTypeOf<Events['result']>().toEqualTypeOf<[envelope: Envelope, info: ResultInfo]>();
    expectTypeOf<Events['error']>().toEqualTypeOf<[error: Error & Partial<TaskErrorFields>]>();
    expectTypeOf<Events['exit']>().toEqualTypeOf<[exit: WorkerExit]>();
    expectTypeOf<Events['message']>().toEqualTypeOf<[message: any, worker: WorkerInfo]>();
    expectTypeOf<Events['online']>().toEqualTypeOf<[worker: WorkerInfo]>();
    expectTypeOf<Events['progress']>().toEqualTypeOf<
      [value: any, about: { taskId: TaskId; workerId: number }]
    >();
    expectTypeOf<Events['drain']>().toEqualTypeOf<[]>();
    expectTypeOf<Events['retry']>().toEqualTypeOf<[retry: Retry]>();
    expectTypeOf<Events['lost-key']>().toEqualTypeOf<[lost: LostKey]>();
    expectTypeOf<LostKey>().toEqualTypeOf<{ key: string; workerId: number }>();
    expectTypeOf<Events['stdout']>().toEqualTypeOf<[chunk: Buffer, worker: WorkerInfo]>();
    expectTypeOf<Events['stderr']>().toEqualTypeOf<Events['stdout']>();
    expectTypeOf<Envelope<Date>>().toEqualTypeOf<{
      taskId: TaskId;
      result: Date;
      processedBy: number;
    }>();
    expectTypeOf<ResultInfo>().toEqualTypeOf<
      Record<'workerId' | 'attempt' | 'waitTime' | 'runTime', number>
    >();
    expectTypeOf<Retry>().toEqualTypeOf<{ taskId: TaskId; attempt: number; error: Error }>();
    expectTypeOf<TaskErrorFields>().toEqualTypeOf<{
      taskId: TaskId;
      workerId: number;
      pid: number;
    }>();
    expectTypeOf<WorkerExit['signal']>().toEqualTypeOf<NodeJS.Signals | null>();
    expectTypeOf<WorkerExit['reason']>().toEqualTypeOf<WorkerCrashedError['reason']>();
  });

  test('events have typed listeners', () => {
    pool.on('result', (envelope, info) => {
      expectTypeOf(envelope.taskId).toEqualTypeOf<string | number>();
      expectTypeOf(envelope.processedBy).toBeNumber();
      expectTypeOf(info.waitTime).toBeNumber();
    });
    pool.once('error', (error) => {
      expectTypeOf(error).toExtend<Error>();
      expectTypeOf(error.taskId).toEqualTypeOf<string | number | undefined>();
      if (error instanceof WorkerCrashedError)
        expectTypeOf(error.phase).toEqualTypeOf<'running' | 'result' | 'stopping'>();
    });
    pool.prependListener('exit', ({ code, reason }) => {
      expectTypeOf(code).toEqualTypeOf<number | null>();
      assertType<string>(reason);
    });
    pool.off('drain', () => {});
    pool.addListener('stdout', (chunk, worker) => {
      expectTypeOf(chunk).toExtend<Uint8Array>();
      expectTypeOf(worker).toEqualTypeOf<{ id: number; pid: number }>();
    });
    pool.on('retry', ({ taskId, attempt, error }) =>
      assertType<[string | number, number, Error]>([taskId, attempt, error]),
    );
    assertType<Promise<unknown[]>>(once(pool, 'online'));
    expectTypeOf(pool.emit('drain')).toBeBoolean();
    // @ts-expect-error no such event
    pool.on('finished', () => {});
    // @ts-expect-error no such field
    pool.on('online', ({ workerId }) => workerId);
  });
});

describe('diagnostics', () => {
  test('diagnostics channels have typed messages', () => {
    type End = Channels['bulkhead:task:end'];
    expectTypeOf<End>().toEqualTypeOf<Channels['bulkhead:task:start']>();
    expectTypeOf<End['pool']>().toEqualTypeOf<ProcessManager>();
    expectTypeOf<End['outcome']>().toEqualTypeOf<
      'completed' | 'failed' | 'cancelled' | undefined
    >();
    expectTypeOf<Channels['bulkhead:worker:exit']['reason']>().toExtend<string>();
    expectTypeOf<Channels['bulkhead:pool:open']['poolName']>().toEqualTypeOf<string>();
  });
});

describe('errors', () => {
  test('errors have a code of their own, and one base', () => {
    expectTypeOf<BulkheadError['code']>().toBeString();
    expectTypeOf<WorkerCrashedError['code']>().toEqualTypeOf<'ERR_WORKER_CRASHED'>();
    expectTypeOf<WorkerStartError['code']>().toEqualTypeOf<'ERR_WORKER_START'>();
    expectTypeOf<PoolBrokenError['code']>().toEqualTypeOf<'ERR_POOL_BROKEN'>();
    expectTypeOf<PoolClosedError['code']>().toEqualTypeOf<'ERR_POOL_CLOSED'>();
    expectTypeOf<QueueFullError['code']>().toEqualTypeOf<'ERR_QUEUE_FULL'>();
    expectTypeOf<TaskTimeoutError['code']>().toEqualTypeOf<'ERR_TASK_TIMEOUT'>();
    expectTypeOf<AbortError['code']>().toEqualTypeOf<'ABORT_ERR'>();
    expectTypeOf<SerializationError['code']>().toEqualTypeOf<'ERR_SERIALIZATION'>();
    expectTypeOf<MessageTooLargeError['code']>().toEqualTypeOf<'ERR_MESSAGE_TOO_LARGE'>();
    expectTypeOf<ProtocolError['code']>().toEqualTypeOf<'ERR_PROTOCOL'>();
    expectTypeOf<
      AbortError | ProtocolError | QueueFullError | PoolBrokenError
    >().toExtend<BulkheadError>();
    expectTypeOf<BulkheadError>().toExtend<Error>();
  });

  test('errors have typed fields', () => {
    expectTypeOf<BulkheadError['taskId']>().toEqualTypeOf<TaskId | undefined>();
    expectTypeOf<WorkerCrashedError['signal']>().toEqualTypeOf<NodeJS.Signals | null>();
    expectTypeOf<Pick<WorkerCrashedError, 'maybeExecuted' | 'outOfMemory'>>().toEqualTypeOf<
      Record<'maybeExecuted' | 'outOfMemory', boolean>
    >();
    expectTypeOf<Pick<WorkerCrashedError, 'uptime' | 'rss' | 'attempts'>>().toEqualTypeOf<
      Record<'uptime' | 'rss' | 'attempts', number>
    >();
    expectTypeOf<WorkerStartError['reason']>().toEqualTypeOf<
      'exit' | 'timeout' | 'spawn' | 'protocol' | 'fail'
    >();
    expectTypeOf<PoolBrokenError['cause']>().toEqualTypeOf<WorkerStartError>();
    expectTypeOf<PoolClosedError['maybeExecuted']>().toEqualTypeOf<boolean | undefined>();
    expectTypeOf<QueueFullError['limit']>().toBeNumber();
    expectTypeOf<Pick<MessageTooLargeError, 'size' | 'limit'>>().toEqualTypeOf<
      Record<'size' | 'limit', number>
    >();
    expectTypeOf<TaskTimeoutError['stuckAt']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<SerializationError['path']>().toEqualTypeOf<string | undefined>();
    expectTypeOf<ProtocolError['what']>().toBeString();
  });

  test('errors are distinguished by class and by code', () => {
    pool.on('error', (error) => {
      if (error instanceof QueueFullError) expectTypeOf(error.limit).toBeNumber();
      // @ts-expect-error any error has a message, but not this
      error.limit;
    });
    const byCode = (error: WorkerCrashedError | TaskTimeoutError) =>
      error.code === 'ERR_TASK_TIMEOUT' ? error.timeout : error.exitCode;
    expectTypeOf(byCode).returns.toEqualTypeOf<number | null>();
    // @ts-expect-error a code is not changed
    new AbortError('why').code = 'ABORT_ERR';
  });
});

describe('worker modules', () => {
  test('handlers and hooks of worker modules have types', () => {
    const handler: TaskHandler<{ data: number }, number> = (
      { data },
      { signal, progress, trace },
    ) => {
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(trace).toEqualTypeOf<string | undefined>();
      progress({ done: 0.5 });
      return data;
    };
    const setup: WorkerHook = async ({ workerId, send }) => send({ workerId });
    expectTypeOf(handler).parameter(1).toEqualTypeOf<TaskContext>();
    expectTypeOf(setup).parameter(0).toEqualTypeOf<WorkerContext>();
    expectTypeOf<TaskContext['taskId']>().toEqualTypeOf<TaskId>();
    expectTypeOf<Pick<TaskContext, 'attempt' | 'workerId'>>().toEqualTypeOf<
      Readonly<Record<'attempt' | 'workerId', number>>
    >();
    expectTypeOf<TaskContext['progress']>().toEqualTypeOf<TaskContext['send']>();
    expectTypeOf<TaskHandler>().parameter(0).toBeAny();
    expectTypeOf<TaskHandler<string, number>>().returns.toEqualTypeOf<number | Promise<number>>();
    // @ts-expect-error no result of that kind
    assertType<TaskHandler<string, number>>((task) => task);
    // @ts-expect-error a context cannot be changed
    assertType<TaskHandler>((_, ctx) => (ctx.workerId = 1));
    // @ts-expect-error a hook gets no task
    assertType<WorkerHook>((ctx) => ctx.taskId);
  });
});
