// biome-ignore-all lint/suspicious/noExplicitAny: a pool that knows nothing of its module says so

// Types of a pool that knows its worker module: `run`, `proxy` and `createProxy`, good use and bad.

import { assertType, describe, expectTypeOf, test } from 'vitest';
import ProcessManager, {
  type Events,
  type ProcessManager as Named,
  type TaskId,
  type WorkerProxy,
} from '../index.mjs';

import type { TaskHandler } from '../worker.js';
import type { Picture } from './fixtures/typed.mjs';

type Module = typeof import('./fixtures/typed.mjs');

const pool = new ProcessManager<Module>();
const untyped = new ProcessManager();
const image = Buffer.alloc(1);
type Resized = { bytes: number; width: number | undefined; workerId: number };

/** A pool of a module with these exports. */
function poolOf<Exports>() {
  return new ProcessManager<Exports>();
}

describe('a pool of a known module', () => {
  test('the typed class has the same name by every import, and is a pool', () => {
    expectTypeOf<Named<Module>>().toEqualTypeOf<ProcessManager<Module>>();
    expectTypeOf<ProcessManager.default<Module>>().toEqualTypeOf<ProcessManager<Module>>();
    assertType<ProcessManager>(pool);
    assertType<ProcessManager<Module>>(untyped);
    const takesAny = (some: ProcessManager) => some.run(1);
    assertType<Promise<unknown>>(takesAny(pool));
  });

  test('a typed pool has all members of a pool', () => {
    expectTypeOf(pool.ref()).toEqualTypeOf(pool);
    expectTypeOf(pool.exec((a: number) => `${a}`, [1])).toEqualTypeOf<Promise<string>>();
    expectTypeOf(pool.stats()).toEqualTypeOf(untyped.stats());
  });

  test('has result events with what any of its handlers returns', () => {
    const two = poolOf<{ default(): Promise<number>; handlers: { up(): 'a'; list(): 'b' } }>();
    two.on('result', ({ result }) => expectTypeOf(result).toEqualTypeOf<number | 'a' | 'b'>());
    expectTypeOf<Events<Module>['result'][0]['result']>().toEqualTypeOf<
      string | number | boolean | string[] | number[] | Uint8Array<ArrayBuffer> | Resized
    >();
    expectTypeOf<Omit<Events<Module>, 'result'>>().toEqualTypeOf<Omit<Events, 'result'>>();
    untyped.on('result', ({ result }) => expectTypeOf(result).toBeAny());
  });
});

describe('run() with the option handler', () => {
  test('run() with handler knows the names', () => {
    expectTypeOf(pool.run({ data: 'a b' }, { handler: 'word-count' })).toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf(pool.run('you', { handler: 'greet' })).toEqualTypeOf<Promise<string>>();
    expectTypeOf(pool.run({ data: 1 }, { handler: 'default' })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.run({ data: 1 }, { handler: 'processTask' })).toEqualTypeOf<
      Promise<number>
    >();
    // @ts-expect-error no such handler
    pool.run({ data: 1 }, { handler: 'absent' });
    // @ts-expect-error an export, and no function
    pool.run({ data: 1 }, { handler: 'limit' });
    // @ts-expect-error an entry, and no function
    pool.run({ data: 1 }, { handler: 'version' });
    // @ts-expect-error a class is not called
    pool.run({ data: 1 }, { handler: 'Parser' });
    // @ts-expect-error a hook is no handler
    pool.run({ data: 1 }, { handler: 'setup' });
    // @ts-expect-error no function, but where they are
    pool.run({ data: 1 }, { handler: 'handlers' });
  });

  test('run() with handler checks the task', () => {
    pool.run({ type: 'resize', data: image, width: 2 }, { handler: 'resize', timeout: 5 });
    pool.run({ id: 'mine', data: 'a b' }, { handler: 'word-count' });
    // @ts-expect-error no text
    pool.run({ data: 1 }, { handler: 'word-count' });
    // @ts-expect-error no data
    pool.run({ id: 1 }, { handler: 'word-count' });
    // @ts-expect-error no such member
    pool.run({ data: 'a b', language: 'en' }, { handler: 'word-count' });
    // @ts-expect-error not what an id can be
    pool.run({ id: {}, data: 'a b' }, { handler: 'word-count' });
    // @ts-expect-error no number
    pool.run('you', { handler: 'add' });
    // @ts-expect-error no such task option
    pool.run({ data: 'a b' }, { handler: 'word-count', prio: 1 });
  });

  test('run() with handler resolves with the awaited result of the handler', () => {
    expectTypeOf(pool.run({ type: 'resize', data: image }, { handler: 'resize' })).toEqualTypeOf<
      Promise<Resized>
    >();
    expectTypeOf(pool.run({ data: 'ab' }, { handler: 'pages' })).toEqualTypeOf<Promise<string[]>>();
    expectTypeOf(pool.run(3, { handler: 'countTo' })).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(pool.run('abc', { handler: 'letters' })).toEqualTypeOf<Promise<string[]>>();
    expectTypeOf(pool.run('abc', { handler: 'enveloped' })).resolves.toExtend<Uint8Array>();
    expectTypeOf(pool.run(null, { handler: 'ping' })).toEqualTypeOf<Promise<'pong'>>();
    // @ts-expect-error a number is no text
    assertType<Promise<string>>(pool.run({ data: 'a b' }, { handler: 'word-count' }));
  });

  test('run() with handler takes a name that is one of several', () => {
    const handler: 'add' | 'countTo' = Date.now() > 1 ? 'add' : 'countTo';
    expectTypeOf(pool.run(1, { handler })).toEqualTypeOf<Promise<number | number[]>>();
    const either: 'word-count' | 'pages' | 'resize' = Date.now() > 1 ? 'word-count' : 'resize';
    // @ts-expect-error a task for one of them only
    pool.run({ data: 'a b' }, { handler: either });
    // @ts-expect-error could be anything
    pool.run(1, { handler: `${handler}` as string });
  });
});

describe('run() of a task with a type', () => {
  test('run() of a task with a type selects the handler of that name', () => {
    expectTypeOf(pool.run({ type: 'resize', data: image })).toEqualTypeOf<Promise<Resized>>();
    expectTypeOf(
      pool.run({ id: 7, type: 'word-count', data: 'a b' }, { timeout: 1 }),
    ).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.run({ type: 'pages', data: 'ab' })).toEqualTypeOf<Promise<string[]>>();
    expectTypeOf(pool.run({ type: 'ping' })).toEqualTypeOf<Promise<'pong'>>();
    expectTypeOf(pool.run({ type: 'ping', and: 'more' })).toEqualTypeOf<Promise<'pong'>>();
    expectTypeOf(pool.run({ type: 'anything', data: 1 })).toEqualTypeOf<Promise<boolean>>();
    interface Declared {
      type: 'anything';
      data: string;
    }
    expectTypeOf(pool.run({} as Declared)).toEqualTypeOf<Promise<boolean>>();
    expectTypeOf(pool.run({} as Picture | { type: 'word-count'; data: string })).toEqualTypeOf<
      Promise<Resized | number>
    >();
  });

  test('run() of a task with a type checks the task', () => {
    // @ts-expect-error no bytes
    pool.run({ type: 'resize', data: 'text' });
    // @ts-expect-error no width
    pool.run({ type: 'resize', data: image, width: '2' });
    // @ts-expect-error no such type, and not what the default export takes
    pool.run({ type: 'absent', data: 'text' });
    // @ts-expect-error an exported function is not picked by a type
    pool.run({ type: 'greet', data: 'text' });
  });

  test('run() of a task with a type is the only way without a name in a module without a default export', () => {
    const typesOnly = poolOf<{ handlers: { double(task: { data: number }): number } }>();
    expectTypeOf(typesOnly.run({ type: 'double', data: 1 })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error no type
    typesOnly.run({ data: 1 });
    // @ts-expect-error no such type
    typesOnly.run({ type: 'triple', data: 1 });
  });
});

describe('run() of any other task', () => {
  test('run() of any other task calls the default export', () => {
    expectTypeOf(pool.run({ data: 1 })).toEqualTypeOf<Promise<number>>();
    expectTypeOf(pool.run({ id: 1, data: 1 }, { timeout: 1 })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error no number
    pool.run({ data: 'text' });
    // @ts-expect-error no object
    pool.run('text');
    // @ts-expect-error a number is no text, whatever is asked for
    assertType<Promise<string>>(pool.run({ data: 1 }));
  });

  test('run() of any other task refuses one that is for an entry of handlers', () => {
    type Entries = { up(task: { data: string }): string };
    const strict = poolOf<{
      default(task: { type: string; list?: number[] }): boolean;
      handlers: Entries;
    }>();
    expectTypeOf(strict.run({ type: 'up', data: 'text' })).toEqualTypeOf<Promise<string>>();
    expectTypeOf(strict.run({ id: 1, type: 'other', list: [1, 2] })).toEqualTypeOf<
      Promise<boolean>
    >();
    // @ts-expect-error no text, and the default export would not be asked
    strict.run({ type: 'up', data: 1 });
    // @ts-expect-error no numbers
    strict.run({ type: 'other', list: ['1'] });
    const loose = poolOf<{ default(task: any): boolean; handlers: Entries }>();
    expectTypeOf(loose.run({ type: 'up', data: 'text' })).toEqualTypeOf<Promise<string>>();
    expectTypeOf(loose.run({ type: 'other', data: 1 })).toEqualTypeOf<Promise<boolean>>();
    expectTypeOf(loose.run('text')).toEqualTypeOf<Promise<boolean>>();
    // @ts-expect-error no text
    loose.run({ type: 'up', data: 1 });
  });

  test('run() of any other task calls processTask', () => {
    const module = poolOf<{
      processTask(task: { n: bigint }): Promise<Date>;
      handlers: { a(): 1 };
    }>();
    expectTypeOf(module.run({ n: 1n })).toEqualTypeOf<Promise<Date>>();
    expectTypeOf(module.run({ n: 1n }, { handler: 'default' })).toEqualTypeOf<Promise<Date>>();
    // @ts-expect-error no number
    module.run({ n: '1' });
  });

  test('run() of any other task is an error in a module that has neither', () => {
    const functions = poolOf<{ add(a: number, b: number): number }>();
    expectTypeOf(functions.run(1, { handler: 'add' })).toEqualTypeOf<Promise<number>>();
    // @ts-expect-error no handler to run it
    functions.run({ data: 1 });
    // @ts-expect-error no default
    functions.run({ data: 1 }, { handler: 'default' });
  });
});

describe('distributeTask() of a known module', () => {
  test('checks the task by the option handler, by its type, or by the default export', () => {
    expectTypeOf(pool.distributeTask({ data: 1 })).toEqualTypeOf<TaskId>();
    pool.distributeTask({ id: 'mine', type: 'word-count', data: 'a b' });
    pool.distributeTask({ data: 'a b' }, { handler: 'word-count', priority: 1 });
    // @ts-expect-error no number
    pool.distributeTask({ data: 'a' });
    // @ts-expect-error no text
    pool.distributeTask({ type: 'word-count', data: 1 });
    // @ts-expect-error no text
    pool.distributeTask({ data: 1 }, { handler: 'word-count' });
    // @ts-expect-error no such handler
    pool.distributeTask({ data: 1 }, { handler: 'absent' });
    // @ts-expect-error no such type, and not what the default export takes
    pool.distributeTask({ type: 'absent' });
    // @ts-expect-error no such task option
    pool.distributeTask({ data: 1 }, { prio: 1 });
  });
});

describe('stream() of a known module', () => {
  test('checks the task, and gives what the handler yields', () => {
    expectTypeOf(pool.stream({ type: 'pages', data: 'ab' })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    expectTypeOf(pool.stream(3, { handler: 'countTo', highWaterMark: 2 })).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    expectTypeOf(pool.stream('abc', { handler: 'letters' })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    // @ts-expect-error no text
    pool.stream({ type: 'pages', data: 1 });
    // @ts-expect-error no number
    pool.stream('3', { handler: 'countTo' });
    // @ts-expect-error no such handler
    pool.stream(3, { handler: 'absent' });
    // @ts-expect-error what was taken cannot be taken back
    pool.stream(3, { handler: 'countTo', retries: 1 });
  });

  test('gives the items of any iterable, and of nothing else', () => {
    const iterables = poolOf<{
      list(): Promise<Set<number>>;
      later(): Promise<string>[];
      text(): string;
      some(): any;
      unsaid: TaskHandler;
    }>();
    expectTypeOf(iterables.stream(1, { handler: 'list' })).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    expectTypeOf(iterables.stream(1, { handler: 'later' })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    expectTypeOf(iterables.stream(1, { handler: 'text' })).toEqualTypeOf<
      AsyncIterableIterator<never>
    >();
    expectTypeOf(iterables.stream(1, { handler: 'some' })).toEqualTypeOf<
      AsyncIterableIterator<any>
    >();
    expectTypeOf(iterables.stream(1, { handler: 'unsaid' })).toEqualTypeOf<
      AsyncIterableIterator<unknown>
    >();
  });
});

describe('map() of a known module', () => {
  test('checks the items, and gives the results', () => {
    expectTypeOf(pool.map([{ data: 1 }, { data: 2 }])).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    expectTypeOf(pool.map([{ type: 'resize', data: image }])).toEqualTypeOf<
      AsyncIterableIterator<Resized>
    >();
    expectTypeOf(
      pool.map([{ type: 'word-count', data: 'a' }, { type: 'ping' }], { ordered: false }),
    ).toEqualTypeOf<AsyncIterableIterator<number | 'pong'>>();
    expectTypeOf(pool.map(['you', 'me'], { handler: 'greet' })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    // @ts-expect-error no text
    pool.map([{ type: 'word-count', data: 1 }]);
    // @ts-expect-error no number
    pool.map([{ data: 'a' }]);
    // @ts-expect-error no text
    pool.map([1], { handler: 'greet' });
    // @ts-expect-error no such handler
    pool.map(['you'], { handler: 'absent' });
    // @ts-expect-error no such type, and not what the default export takes
    pool.map([{ type: 'absent' }]);
    // @ts-expect-error no such option
    pool.map([{ data: 1 }], { concurrency: 1 });
    // @ts-expect-error no source
    pool.map(5);
  });

  test('takes any source', () => {
    type Sum = { data: number };
    expectTypeOf(pool.map(new Set<Sum>())).toEqualTypeOf<AsyncIterableIterator<number>>();
    expectTypeOf(pool.map([Promise.resolve({ data: 1 })])).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    expectTypeOf(pool.map([{ data: 1 }, Promise.resolve({ data: 1 })])).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    expectTypeOf(pool.map({} as AsyncIterable<Picture>)).toEqualTypeOf<
      AsyncIterableIterator<Resized>
    >();
    expectTypeOf(pool.map({} as ReadableStream<string>, { handler: 'greet' })).toEqualTypeOf<
      AsyncIterableIterator<string>
    >();
    expectTypeOf(pool.map(pool.map([{ data: 1 }]), { handler: 'countTo' })).toEqualTypeOf<
      AsyncIterableIterator<number[]>
    >();
    const generated = (function* () {
      yield { data: 1 };
    })();
    expectTypeOf(pool.map(generated)).toEqualTypeOf<AsyncIterableIterator<number>>();
    // A Node stream says nothing of its chunks.
    expectTypeOf(pool.map(process.stdin, { handler: 'anything' })).toEqualTypeOf<
      AsyncIterableIterator<boolean>
    >();
    // @ts-expect-error no number
    pool.map({} as AsyncIterable<string>);
  });
});

describe('a literal in a task', () => {
  const modes = poolOf<{
    default(task: { mode: 'fast' | 'slow'; list?: number[]; at?: [1, 2] }): number;
    handlers: { draw(task: { type: 'draw'; mode: 'line'; points: number[][] }): string };
  }>();

  test('keeps its type, and lists stay lists', () => {
    expectTypeOf(modes.run({ mode: 'fast', list: [1, 2], at: [1, 2] })).toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf(modes.run({ type: 'other', mode: 'slow', list: [1] })).toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf(modes.run({ type: 'draw', mode: 'line', points: [[1]] })).toEqualTypeOf<
      Promise<string>
    >();
    expectTypeOf(modes.map([{ mode: 'fast', list: [1] }])).toEqualTypeOf<
      AsyncIterableIterator<number>
    >();
    // @ts-expect-error no such mode
    modes.run({ mode: 'line' });
    // @ts-expect-error no such mode
    modes.run({ type: 'draw', mode: 'fast', points: [] });
  });
});

describe('a module of another kind', () => {
  test('CommonJS: one function, or functions in module.exports', () => {
    const one = poolOf<(task: string) => Promise<number>>();
    expectTypeOf(one.run('text')).toEqualTypeOf<Promise<number>>();
    const imported = poolOf<{ default: (task: string) => number }>();
    expectTypeOf(imported.run('text')).toEqualTypeOf<Promise<number>>();
    const compiled = poolOf<{
      default: { default: (task: string) => number; half(n: number): string };
    }>();
    expectTypeOf(compiled.run('text')).toEqualTypeOf<Promise<number>>();
    expectTypeOf(compiled.proxy.half(1)).toEqualTypeOf<Promise<string>>();
    expectTypeOf(compiled.run(1, { handler: 'half' })).toEqualTypeOf<Promise<string>>();
    const object = poolOf<{ default: { handlers: { up(task: { data: string }): string } } }>();
    expectTypeOf(object.run({ type: 'up', data: 'a' })).toEqualTypeOf<Promise<string>>();
  });

  test('handlers may have any name', () => {
    const open = poolOf<{ handlers: Record<string, TaskHandler<{ data: number }, string>> }>();
    expectTypeOf(open.run({ type: 'whatever', data: 1 })).toEqualTypeOf<Promise<string>>();
    expectTypeOf(open.run({ data: 1 }, { handler: 'whatever' })).toEqualTypeOf<Promise<string>>();
    // @ts-expect-error no number
    open.run({ type: 'whatever', data: 'text' });
  });

  test('handlers without types for their tasks take any task', () => {
    const loose = poolOf<{ default: TaskHandler; handlers: { any(task: unknown): void } }>();
    expectTypeOf(loose.run({ whatever: 1 })).toEqualTypeOf<Promise<unknown>>();
    expectTypeOf(loose.run({ type: 'any', whatever: 1 })).toEqualTypeOf<Promise<void>>();
  });
});

describe('a pool of an unknown module', () => {
  test('a pool of an unknown module takes any task and gives any result', () => {
    expectTypeOf<ProcessManager>().toEqualTypeOf<ProcessManager<any>>();
    expectTypeOf(untyped.run({ data: 1 })).resolves.toBeAny();
    expectTypeOf(untyped.run<number>({ type: 'a' }, { handler: 'any name' })).toEqualTypeOf<
      Promise<number>
    >();
    expectTypeOf(untyped.run(image as any, {} as any)).resolves.toBeAny();
    assertType<Promise<string>>(untyped.run('inferred from where it goes'));
    // @ts-expect-error no text
    untyped.run({ data: 1 }, { handler: 1 });
  });

  test('a pool of an unknown module can be extended, and its methods overridden', () => {
    class Logged extends ProcessManager {
      override run<Result = any>(
        task: unknown,
        options?: ProcessManager.TaskOptions,
      ): Promise<Result> {
        return super.run<Result>(task, options);
      }
    }
    expectTypeOf(new Logged().run<number>(1)).toEqualTypeOf<Promise<number>>();
    class Typed extends ProcessManager<Module> {}
    expectTypeOf(new Typed().run({ data: 1 })).toEqualTypeOf<Promise<number>>();
  });
});

describe('the proxy', () => {
  const { proxy } = pool;

  test('the proxy has the functions that the module exports, and its handlers', () => {
    expectTypeOf<keyof typeof proxy>().toEqualTypeOf<
      | ('resize' | 'word-count' | 'ping' | 'anything' | 'pages')
      | ('add' | 'greet' | 'countTo' | 'letters' | 'enveloped' | 'argumentCount')
      | ('default' | 'processTask')
    >();
    // @ts-expect-error no such function
    proxy.absent();
    // @ts-expect-error an export, and no function
    proxy.limit();
    // @ts-expect-error hooks are the pool's to call
    proxy.setup();
    // @ts-expect-error a promise would be asked for it
    proxy.then();
    // @ts-expect-error functions are the worker's
    proxy.add = async () => 1;
  });

  test('the proxy checks the arguments of its functions', () => {
    expectTypeOf(proxy.add).parameters.toEqualTypeOf<
      [first: number, second: number, ...more: number[]]
    >();
    proxy.add(1, 2, 3, 4);
    proxy.greet('you');
    proxy.greet('you', { polite: true });
    proxy.greet('you', undefined);
    // @ts-expect-error the second argument is missing
    proxy.add(1);
    // @ts-expect-error no number
    proxy.add(1, '2');
    // @ts-expect-error no such option
    proxy.greet('you', { loud: true });
    // @ts-expect-error no third argument, and no options of the task
    proxy.greet('you', {}, { timeout: 1 });
  });

  test('the proxy returns promises of the awaited results', () => {
    expectTypeOf(proxy.add(1, 2)).toEqualTypeOf<Promise<number>>();
    expectTypeOf(proxy.greet('you')).toEqualTypeOf<Promise<string>>();
    expectTypeOf(proxy.countTo(3)).toEqualTypeOf<Promise<number[]>>();
    expectTypeOf(proxy.letters('abc')).toEqualTypeOf<Promise<string[]>>();
    expectTypeOf(proxy.enveloped('a')).resolves.toExtend<Uint8Array>();
    expectTypeOf(proxy.ping()).toEqualTypeOf<Promise<'pong'>>();
    expectTypeOf(proxy['word-count']({ data: 'a b' })).toEqualTypeOf<Promise<number>>();
  });

  test('the proxy is no promise', async () => {
    expectTypeOf(await proxy).toEqualTypeOf(proxy);
    expectTypeOf(await untyped.proxy).toEqualTypeOf(untyped.proxy);
    expectTypeOf(untyped.proxy.then).toBeUndefined();
  });

  test('the proxy of a pool of an unknown module has any function', () => {
    expectTypeOf(untyped.proxy.whatever(1, 'two')).resolves.toBeAny();
    // @ts-expect-error a promise is no number
    assertType<number>(untyped.proxy.whatever());
    // @ts-expect-error functions are the worker's
    untyped.proxy.whatever = async () => 1;
  });

  test('the proxy may be of another module, and have options', () => {
    expectTypeOf(pool.createProxy()).toEqualTypeOf<WorkerProxy<Module>>();
    expectTypeOf(
      pool.createProxy({ timeout: 1, retries: 2, signal: AbortSignal.abort() }),
    ).toEqualTypeOf(proxy);
    const other = untyped.createProxy<{ half(n: number): string }>({
      filename: new URL('file:///half.mjs'),
    });
    expectTypeOf(other.half(4)).toEqualTypeOf<Promise<string>>();
    expectTypeOf(untyped.createProxy()).toEqualTypeOf<WorkerProxy>();
    // @ts-expect-error each function is a handler
    pool.createProxy({ handler: 'add' });
    // @ts-expect-error no such option
    pool.createProxy({ prio: 1 });
  });
});
