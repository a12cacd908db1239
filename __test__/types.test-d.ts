// What users' TypeScript makes of the package: of index.d.ts by each way to import it, and of 'bulkhead/worker'.

import { type EventEmitter, once } from 'node:events';
import { assertType, describe, expectTypeOf, test } from 'vitest';
import ProcessManager, {
  type Channels,
  ProcessManager as Named,
  type Options,
  type Stats,
  WorkerCrashedError,
} from '../index.mjs';

import Required = require('../index.js');

import type { ProcessManager as Implementation } from '../lib/manager.js';
import type { TaskContext, TaskHandler, WorkerContext, WorkerHook } from '../worker.js';

const pool = new ProcessManager();
declare const implementation: Implementation;

describe('imports', () => {
  test('give one class, by default, by name and by require', () => {
    expectTypeOf(ProcessManager).toEqualTypeOf(Named);
    expectTypeOf(ProcessManager).toEqualTypeOf<typeof Required>();
    expectTypeOf(Required.default).toEqualTypeOf(ProcessManager);
    expectTypeOf(Required.ProcessManager).toEqualTypeOf(ProcessManager);
    expectTypeOf(Required.WorkerCrashedError).toEqualTypeOf(WorkerCrashedError);
    expectTypeOf<Required.Options>().toEqualTypeOf<Options>();
  });

  test('the implementation is what index.d.ts says', () => {
    // Except for the emitter's part, which JavaScript cannot declare for these events, and for what returns `this` with it.
    assertType<Omit<ProcessManager, keyof EventEmitter | 'ref' | 'unref'>>(implementation);
  });
});

describe('options', () => {
  test('are all optional', () => {
    assertType(new ProcessManager());
    assertType(new ProcessManager({}));
    assertType(new ProcessManager({ worker: new URL('file:///w.mjs'), restart: { limit: 1 }, prefetch: 4 }));
    assertType(new ProcessManager({ worker: { command: 'python3', args: ['worker.py'] }, env: { ...process.env } }));
  });

  test('that are wrong are errors', () => {
    // @ts-expect-error no such option
    assertType(new ProcessManager({ workers: 2 }));
    // @ts-expect-error not a number
    assertType(new ProcessManager({ maxWorkers: '2' }));
    // @ts-expect-error not a choice
    assertType(new ProcessManager({ stdio: 'overlapped' }));
    // @ts-expect-error no such task option
    assertType(pool.run({ id: 1 }, { prio: 1 }));
  });
});

describe('methods', () => {
  test('tasks', () => {
    expectTypeOf(pool.distributeTask({ id: 1, data: 'some data to process' })).toEqualTypeOf<string | number>();
    expectTypeOf(pool.run({ data: 1 })).resolves.toBeAny();
    expectTypeOf(pool.run<number>({ data: 1 }, { signal: AbortSignal.timeout(1), timeout: 5 })).toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf(pool.cancel('a', new Error('why'))).toBeBoolean();
    expectTypeOf(pool.ready()).toEqualTypeOf<Promise<void>>();
  });

  test('exec takes what its function takes, and gives what it gives', () => {
    expectTypeOf(pool.exec((a: number, b: string) => a + b, [1, 'x'])).toEqualTypeOf<Promise<string>>();
    expectTypeOf(pool.exec(async () => 1)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.exec(async () => 1, [], { timeout: 1 })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error the argument is no number
    assertType(pool.exec((a: number) => a, ['x']));
    // @ts-expect-error the argument is missing
    assertType(pool.exec((a: number) => a));
  });

  test('map takes any source, and gives an async iterator', async () => {
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

  test('life', () => {
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
    expectTypeOf(pool.workers[0].state).toEqualTypeOf<'starting' | 'idle' | 'busy' | 'stopping'>();
  });
});

describe('events', () => {
  test('have typed listeners', () => {
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
  test('channels have typed messages', () => {
    type End = Channels['bulkhead:task:end'];
    expectTypeOf<End>().toEqualTypeOf<Channels['bulkhead:task:start']>();
    expectTypeOf<End['pool']>().toEqualTypeOf<ProcessManager>();
    expectTypeOf<End['outcome']>().toEqualTypeOf<'completed' | 'failed' | 'cancelled' | undefined>();
    expectTypeOf<Channels['bulkhead:worker:exit']['reason']>().toExtend<string>();
    expectTypeOf<Channels['bulkhead:pool:open']['poolName']>().toEqualTypeOf<string>();
  });
});

describe('worker modules', () => {
  test('handlers and hooks', () => {
    const handler: TaskHandler<{ data: number }, number> = ({ data }, { signal, progress, trace }) => {
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(trace).toEqualTypeOf<string | undefined>();
      progress({ done: 0.5 });
      return data;
    };
    const setup: WorkerHook = async ({ workerId, send }) => send({ workerId });
    expectTypeOf(handler).parameter(1).toEqualTypeOf<TaskContext>();
    expectTypeOf(setup).parameter(0).toEqualTypeOf<WorkerContext>();
  });
});
