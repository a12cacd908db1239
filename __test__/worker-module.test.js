// The worker's side: what may be a worker module, what a handler gets and may return, and what a
// worker sees of its process.

import { once } from 'node:events';
import { realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInThisContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import {
  endsWell,
  failure,
  moduleFile,
  pool,
  program,
  project,
  record,
  root,
} from './support/harness.js';

/** Reads CommonJS files itself, so that Node compiles them in its other way. */
const HOOK = `
  import { register } from 'node:module';
  register('data:text/javascript,' + encodeURIComponent(\`
    import { readFileSync } from 'node:fs';
    import { fileURLToPath } from 'node:url';
    export async function load(url, context, next) {
      const loaded = await next(url, context);
      if (loaded.format === 'commonjs' && url.endsWith('worker.cjs')) loaded.source = readFileSync(fileURLToPath(url));
      return loaded;
    }\`));`;

/** A pool with one worker, which runs this module. */
function poolOf(source, options, name = 'worker.mjs') {
  return pool({ worker: moduleFile(source, name), maxWorkers: 1, ...options });
}

describe('handlers of a worker module', () => {
  test.each([
    ['the default export', 'worker.mjs', 'export default (task) => task.data * 2;'],
    [
      'an async default export',
      'worker.mjs',
      'export default async function (task) { return task.data * 2; }',
    ],
    ['processTask', 'worker.mjs', 'export function processTask(task) { return task.data * 2; }'],
    [
      'an async processTask',
      'worker.mjs',
      'export const processTask = async (task) => { await null; return task.data * 2; }',
    ],
    ['module.exports', 'worker.cjs', 'module.exports = (task) => task.data * 2;'],
    ['exports.processTask', 'worker.cjs', 'exports.processTask = (task) => task.data * 2;'],
    ['exports.default', 'worker.cjs', 'exports.default = (task) => task.data * 2;'],
    [
      'the default export of what was an ES module',
      'worker.cjs',
      `Object.defineProperty(exports, '__esModule', { value: true }); exports.default = (task) => task.data * 2;`,
    ],
    [
      'a method of a default export',
      'worker.mjs',
      'export default { factor: 2, processTask(task) { return task.data * 2; } };',
    ],
    ['module.exports of a .js file', 'worker.js', 'module.exports = (task) => task.data * 2;'],
    [
      'what a promise becomes',
      'worker.mjs',
      'export default (task) => ({ then: (resolve) => resolve(task.data * 2) });',
    ],
  ])('a handler may be %s (%s)', async (_, name, source) => {
    const manager = poolOf(source, {}, name);
    await expect(manager.run({ data: 21 })).resolves.toBe(42);
    await expect(manager.run({ type: 'any type', data: 1 })).resolves.toBe(2);
  });

  test('a worker module is found by its path, relative or not, by its URL, and as URL text', async () => {
    const file = moduleFile('export default () => import.meta.url;', 'näme with spaces #?%41.mjs');
    const url = pathToFileURL(file);
    const relative = join('..', ...Array(process.cwd().split('/').length - 2).fill('..'), file);
    for (const worker of [file, relative, url, url.href]) {
      await expect(pool({ worker, maxWorkers: 1 }).run(1)).resolves.toBe(url.href);
    }
  });

  test('a worker module may be an ES module in a .js file, where package.json says so', async () => {
    const folder = project({
      'package.json': '{ "type": "module" }',
      'worker.js': 'await null; export default () => typeof require;',
    });
    await expect(pool({ worker: join(folder, 'worker.js'), maxWorkers: 1 }).run(1)).resolves.toBe(
      'undefined',
    );
  });

  test('[R3] a worker module may be TypeScript, as ES module and as CommonJS', async () => {
    const folder = project(
      {
        'esm.mts': `import { type Scale, factor } from './factor.mts';
          export default function (task: { data: number }): number { return task.data * (factor as Scale); }`,
        'factor.mts': 'export type Scale = number; export const factor: Scale = 2;',
        'common.cts': `type Task = { data: number };
          module.exports = (task: Task): number => task.data * 2;`,
      },
      { packages: ['tsx'] },
    );
    const run = (name) => pool({ worker: join(folder, name), maxWorkers: 1 }).run({ data: 21 });
    expect(await Promise.all(['esm.mts', 'common.cts'].map(run))).toEqual([42, 42]);
  });
});

describe('[XB8] a handler may be a promise of one', () => {
  const init = `const init = async (handler) => { await new Promise(setImmediate); return handler; };
    const double = (task) => task.data * 2;`;

  test.each([
    ['the default export', 'worker.mjs', 'export default init(double);'],
    ['processTask', 'worker.mjs', 'export const processTask = init(double);'],
    ['handlers', 'worker.mjs', 'export const handlers = init({ double });'],
    [
      'a default export that becomes an object',
      'worker.mjs',
      'export default init({ processTask: double });',
    ],
    ['one within the other', 'worker.mjs', 'export default init({ handlers: init({ double }) });'],
    [
      'an object with then()',
      'worker.mjs',
      'export default { then: (resolve) => resolve(double) };',
    ],
    ['module.exports', 'worker.cjs', 'module.exports = init(double);'],
    ['exports.processTask', 'worker.cjs', 'exports.processTask = init(double);'],
    ['exports.handlers', 'worker.cjs', 'exports.handlers = init({ double });'],
  ])('a promise of a handler may be %s (%s)', async (_, name, source) => {
    const manager = poolOf(`${init}\n${source}`, {}, name);
    await expect(manager.run({ type: 'double', data: 21 })).resolves.toBe(42);
  });

  test('a promise of a handler is awaited before setup()', async () => {
    const manager = poolOf(`${init}
      let ready = false;
      export default init(() => ready).then((handler) => { ready = 'by the promise'; return handler; });
      export const setup = () => { ready += ', then setup'; };`);
    await expect(manager.run(1)).resolves.toBe('by the promise, then setup');
  });

  test('a promise of a handler may be in a module that a task of the built-in worker names', async () => {
    const filename = moduleFile(`${init} export default init(double);`);
    await expect(pool({ maxWorkers: 1 }).run({ data: 21 }, { filename })).resolves.toBe(42);
  });

  test('other promises that a module exports are not awaited', async () => {
    const manager = poolOf(
      'export const closed = new Promise(() => {}); export default () => "runs";',
    );
    await expect(manager.run(1)).resolves.toBe('runs');
  });
});

describe('[XA7] a worker module is found as `fork()` finds it', () => {
  test.each([
    ['without its extension', 'worker.js', 'worker'],
    ['as a folder with an index.js', 'index.js', ''],
  ])('a worker module is found %s', async (_, name, asked) => {
    const file = moduleFile('module.exports = () => [__filename, process.argv[1]];', name);
    const worker = join(file, '..', asked);
    await expect(pool({ worker, maxWorkers: 1 }).run(1)).resolves.toEqual([file, file]);
    await expect(pool({ maxWorkers: 1 }).run(1, { filename: worker })).resolves.toEqual([
      file,
      expect.any(String),
    ]);
  });

  test('a worker module is found as a folder with a package.json that names it', async () => {
    const folder = project({
      'package.json': '{ "main": "main.cjs" }',
      'main.cjs': 'module.exports = () => "main";',
    });
    await expect(pool({ worker: folder, maxWorkers: 1 }).run(1)).resolves.toBe('main');
  });
});

describe('[XA9] require.main in a worker', () => {
  const guarded = `process.on('message', ({ id }) => process.send({ taskId: id, result: facts() }));`;

  test.each([
    ['loaded as under fork', []],
    [
      'loaded through hooks of import()',
      ['--import', `data:text/javascript,${encodeURIComponent(HOOK)}`],
    ],
  ])(
    'require.main is the CommonJS module of the worker, %s, so that a fork-style script behind it is a worker',
    async (_, execArgv) => {
      const folder = project({
        'worker.cjs': `
        const other = require('./other.cjs');
        const facts = () => [require.main === module, process.mainModule === module, module.parent ?? null, other];
        if (require.main === module) ${guarded}`,
        'other.cjs': 'module.exports = [require.main === module, require.main.filename];',
      });
      const worker = join(folder, 'worker.cjs');
      await expect(pool({ worker, maxWorkers: 1, execArgv }).run({ id: 1 })).resolves.toEqual([
        true,
        true,
        null,
        [false, worker],
      ]);
    },
  );

  test.each([
    ['worker.cjs', '{}', false],
    ['worker.js', '{ "type": "commonjs" }', false],
    ['worker.js', '{}', true],
  ])(
    'a CommonJS module %s in a package %s passes through the loader of ES modules: %s',
    async (name, manifest, passes) => {
      const folder = project({
        'package.json': manifest,
        [name]: `
          const { stack } = new Error('how this file is loaded');
          module.exports = () => [require.main === module, stack.includes('node:internal/modules/esm/')];`,
      });
      const own = pool({ worker: join(folder, name), maxWorkers: 1, execArgv: [] });
      await expect(own.run(1)).resolves.toEqual([true, passes]);
      const builtin = pool({ maxWorkers: 1, execArgv: [] });
      const filename = join(folder, name);
      await expect(builtin.run(1, { filename })).resolves.toEqual([false, passes]);
    },
  );

  test('require.main is undefined where the worker is an ES module, or the built-in one', async () => {
    const folder = project({
      'worker.mjs': `import main from './main.cjs'; export default () => [main, process.mainModule === undefined];`,
      'main.cjs': 'module.exports = require.main === undefined;',
    });
    await expect(
      pool({ worker: join(folder, 'worker.mjs'), maxWorkers: 1 }).run(1),
    ).resolves.toEqual([true, true]);
    await expect(pool({ maxWorkers: 1 }).exec(() => require.main === undefined)).resolves.toBe(
      true,
    );
  });

  test('require.main is the module that a link leads to', async () => {
    const folder = project({ 'worker.cjs': 'module.exports = () => require.main === module;' });
    symlinkSync(join(folder, 'worker.cjs'), join(folder, 'link.cjs'));
    await expect(pool({ worker: join(folder, 'link.cjs'), maxWorkers: 1 }).run(1)).resolves.toBe(
      true,
    );
  });
});

describe('handlers', () => {
  const source = `
    export const handlers = {
      prefix: 'to ',
      greet(task) { return this.prefix + task.data; },
      'image-processing': () => 'image',
      number: 7,
      constructorLike: () => 'own',
    };`;

  test('[T10] handlers are selected by the type of the task, or by the option', async () => {
    const manager = poolOf(source);
    await expect(manager.run({ type: 'greet', data: 'you' })).resolves.toBe('to you');
    await expect(manager.run({ type: 'image-processing' })).resolves.toBe('image');
    await expect(
      manager.run({ type: 'greet', data: 1 }, { handler: 'image-processing' }),
    ).resolves.toBe('image');
    await expect(manager.run('no object', { handler: 'image-processing' })).resolves.toBe('image');
    const log = record(manager, ['result']);
    manager.distributeTask({ id: 1, type: 'greet', data: 'all' });
    await manager.shutdown();
    expect(log[0][1].result).toBe('to all');
  });

  test('handlers that do not exist are an error that lists those that do', async () => {
    const manager = poolOf(source);
    for (const [task, options, name] of [
      [{ type: 'nothing' }, undefined, '"nothing"'],
      [{ type: 'toString' }, undefined, '"toString"'],
      [{ type: '__proto__' }, undefined, '"__proto__"'],
      [{ type: 'number' }, undefined, '"number"'],
      [{ type: 7 }, undefined, '7'],
      [{ type: 'greet' }, { handler: 'absent' }, '"absent"'],
      ['no object', undefined, 'no type'],
    ]) {
      const error = await failure(manager.run(task, options));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(name);
      expect(error.message).toContain('greet');
    }
    await expect(manager.run({ type: 'greet', data: 'you' })).resolves.toBe('to you');
  });

  test('handlers leave other tasks to the default export', async () => {
    const manager = poolOf(`${source} export default (task) => ['default', task?.type ?? null];`);
    await expect(manager.run({ type: 'greet', data: 'you' })).resolves.toBe('to you');
    await expect(manager.run({ type: 'unknown' })).resolves.toEqual(['default', 'unknown']);
    await expect(manager.run(null)).resolves.toEqual(['default', null]);
    await expect(manager.run({ type: 'greet' }, { handler: 'default' })).resolves.toEqual([
      'default',
      'greet',
    ]);
    const error = await failure(manager.run({}, { handler: 'absent' }));
    expect(error.message).toContain('default, ');
  });

  test('handlers may be of a CommonJS module, and be added by setup()', async () => {
    const manager = poolOf(
      `exports.handlers = {};
       exports.setup = async () => { await null; exports.handlers.late = () => 'added'; };`,
      {},
      'worker.cjs',
    );
    await expect(manager.run({ type: 'late' })).resolves.toBe('added');
  });
});

describe('exported functions', () => {
  const source = `
    export function double(task) { return task.data * 2; }
    export const later = async (task, ctx) => { await null; return [task, typeof ctx.progress]; };
    export class Parser {}
    export let limit = 7;
    export const setup = () => { limit += 1; };
    export const limits = () => limit;`;

  test('exported functions are handlers, where the option names them', async () => {
    const manager = poolOf(source);
    await expect(manager.run({ data: 21 }, { handler: 'double' })).resolves.toBe(42);
    await expect(manager.run('text', { handler: 'later' })).resolves.toEqual(['text', 'function']);
    await expect(manager.run(1, { handler: 'limits' })).resolves.toBe(8);
  });

  test('exported functions are not selected by a type, and errors list them', async () => {
    const manager = poolOf(source);
    for (const [task, options, what] of [
      [{ type: 'double', data: 1 }, undefined, 'no handler for the task type "double"'],
      [{ data: 1 }, undefined, 'no default handler, and the task has no type'],
      ['text', {}, 'no default handler, and the task has no type'],
      [1, { handler: 'absent' }, 'no handler "absent"'],
      [1, { handler: 'setup' }, 'no handler "setup"'],
      [1, { handler: 'teardown' }, 'no handler "teardown"'],
      [1, { handler: 'default' }, 'no handler "default"'],
      [1, { handler: 'processTask' }, 'no handler "processTask"'],
      [1, { handler: 'handlers' }, 'no handler "handlers"'],
      [1, { handler: 'limit' }, 'no handler "limit"'],
      [1, { handler: 'Parser' }, 'no handler "Parser"'],
      [1, { handler: 'toString' }, 'no handler "toString"'],
      [1, { handler: '__proto__' }, 'no handler "__proto__"'],
      [1, { handler: 'constructor' }, 'no handler "constructor"'],
    ]) {
      const error = await failure(manager.run(task, options));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain(`has ${what}; the module has by the option "handler" `);
      // A namespace has its names in alphabetical order.
      expect(error.message.split('"handler" ').at(-1)).toBe('double, later, limits');
    }
    await expect(manager.run({ data: 21 }, { handler: 'double' })).resolves.toBe(42);
  });

  test('exported functions come after the entries of handlers', async () => {
    const manager = poolOf(`
      export default () => 'default';
      export const handlers = { same: () => 'entry', setup: () => 'entry named setup' };
      export const same = () => 'function';
      export const other = () => 'other';
      export const setup = () => {};`);
    await expect(manager.run({ type: 'same' })).resolves.toBe('entry');
    await expect(manager.run(1, { handler: 'same' })).resolves.toBe('entry');
    await expect(manager.run(1, { handler: 'setup' })).resolves.toBe('entry named setup');
    await expect(manager.run(1, { handler: 'other' })).resolves.toBe('other');
    await expect(manager.run({ type: 'other' })).resolves.toBe('default');
    expect((await failure(manager.run(1, { handler: 'absent' }))).message).toMatch(
      /the module has default, same, setup, and by the option "handler" other, same$/,
    );
  });

  test.each([
    [
      'module.exports',
      'worker.cjs',
      'module.exports = { factor: 2, double(task) { return this.factor * task.data; } };',
    ],
    [
      'exports',
      'worker.cjs',
      'exports.factor = 2; exports.double = function (task) { return this.factor * task.data; };',
    ],
    [
      'a default export',
      'worker.mjs',
      'export default { factor: 2, double(task) { return this.factor * task.data; } };',
    ],
    [
      'module.exports of a function',
      'worker.cjs',
      'module.exports = () => 0; module.exports.double = (task) => 2 * task.data;',
    ],
    [
      'what a bundler made of an ES module',
      'worker.cjs',
      `Object.defineProperty(exports, '__esModule', { value: true });
       Object.defineProperty(exports, 'broken', { enumerable: true, get() { throw new Error('not yet'); } });
       Object.defineProperty(exports, 'double', { enumerable: true, get: () => (task) => 2 * task.data });`,
    ],
    [
      'module.exports, once setup() has run',
      'worker.cjs',
      `exports.first = () => 1;
       exports.setup = async () => { await null; exports.double = (task) => 2 * task.data; };`,
    ],
  ])('exported functions may be of %s', async (_, name, text) => {
    const manager = poolOf(text, {}, name);
    await expect(manager.run({ data: 21 }, { handler: 'double' })).resolves.toBe(42);
    expect((await failure(manager.run(1, { handler: 'absent' }))).message).toContain(' double');
  });

  test('exported functions that an object inherits are no handlers', async () => {
    const manager = poolOf(`
      class Base { inherited() { return 1; } }
      export default Object.assign(new (class extends Base { method() { return 2; } })(), { own: () => 3 });`);
    await expect(manager.run(1, { handler: 'own' })).resolves.toBe(3);
    for (const handler of ['inherited', 'method', 'hasOwnProperty']) {
      expect((await failure(manager.run(1, { handler }))).message).toMatch(
        /the module has by the option "handler" own$/,
      );
    }
  });

  test('exported functions of a script that listens to messages are no handlers', async () => {
    const manager = poolOf(`
      process.on('message', ({ id, data }) => process.send({ taskId: id, result: helper(data) }));
      export function helper(data) { return data * 2; }`);
    await expect(manager.run({ id: 1, data: 21 })).resolves.toBe(42);
    expect((await failure(manager.run({ id: 2, data: 1 }, { handler: 'helper' }))).message).toMatch(
      /fork-style script: .* and handler "helper" was given$/,
    );
    await expect(manager.run({ id: 3, data: 4 })).resolves.toBe(8);
  });

  test('exported functions may be of a module that a task of the built-in worker names', async () => {
    const filename = moduleFile(source);
    const manager = pool({ maxWorkers: 1 });
    await expect(manager.run({ data: 21 }, { filename, handler: 'double' })).resolves.toBe(42);
    await expect(manager.run({ data: 4 }, { filename, handler: 'double' })).resolves.toBe(8);
    expect((await failure(manager.run({ data: 1 }, { filename }))).message).toContain(
      '"handler" double, later, limits',
    );
    const nothing = moduleFile(
      'export class Parser {}; export const setup = () => {};',
      'nothing.mjs',
    );
    expect(await failure(manager.run(1, { filename: nothing, handler: 'setup' }))).toMatchObject({
      code: 'ERR_NO_HANDLER',
      message: expect.stringContaining('the module exports Parser, setup'),
    });
  });
});

test('[W9] setup() runs before the first task, once for each worker, and may be async', async () => {
  const manager = poolOf(
    `let setups = 0;
     let about;
     export async function setup(ctx) {
       setups += 1;
       about = { keys: Object.keys(ctx).sort(), workerId: ctx.workerId };
       ctx.send('from setup');
       await new Promise((resolve) => setTimeout(resolve, 50));
       ready = true;
     }
     let ready = false;
     export default () => ({ setups, ready, about });`,
    { minWorkers: 2, maxWorkers: 2 },
  );
  const log = record(manager, ['message', 'online']);
  const results = await Promise.all([manager.run(1), manager.run(2), manager.run(3)]);
  for (const { setups, ready, about } of results) {
    expect({ setups, ready }).toEqual({ setups: 1, ready: true });
    expect(about.keys).toEqual(['send', 'workerId']);
  }
  await manager.startWorkers();
  for (const id of [1, 2]) {
    const own = log.filter(
      ([event, first, second]) => (event === 'message' ? second.id : first.id) === id,
    );
    const { pid } = own.find(([event]) => event === 'online')[1];
    expect(own[0]).toEqual(['message', 'from setup', { id, pid }]);
    expect(own[1]).toEqual(['online', { id, pid }]);
  }
});

describe('the context of a handler', () => {
  const source = `
    export default (task, ctx) => {
      const { taskId, attempt, workerId, signal, progress, send } = ctx;
      send({ id: taskId });
      progress('half');
      return {
        taskId, attempt, workerId,
        signal: [signal instanceof AbortSignal, signal.aborted, signal === ctx.signal],
        functions: [typeof progress, typeof send, progress === ctx.progress],
      };
    };`;

  test('[W17] ctx has task, attempt, worker and signal; progress and send work without it', async () => {
    const manager = poolOf(source);
    const log = record(manager, ['message', 'progress']);
    const about = {
      attempt: 1,
      workerId: 1,
      signal: [true, false, true],
      functions: ['function', 'function', true],
    };
    expect(await manager.run({ id: 'mine' })).toEqual({ taskId: 'mine', ...about });
    expect(await manager.run({ id: 0 })).toEqual({ taskId: 0, ...about });
    expect(log.slice(0, 2)).toEqual([
      ['message', { id: 'mine' }, { id: 1, pid: expect.any(Number) }],
      ['progress', 'half', { taskId: 'mine', workerId: 1 }],
    ]);
  });

  test('ctx has the id that was assigned', async () => {
    const manager = poolOf(source);
    const log = record(manager, ['result']);
    const ids = [{ data: 1 }, 'text', null, { id: {} }].map((task) => manager.distributeTask(task));
    await manager.shutdown();
    expect(new Set(ids).size).toBe(4);
    expect(log.map(([, { taskId, result }]) => [taskId, result.taskId])).toEqual(
      ids.map((id) => [id, id]),
    );
  });

  test('ctx has no effect after its task', async () => {
    const manager = poolOf(`
      let last;
      export default (task, ctx) => {
        last?.progress('too late');
        last?.send('still said');
        last = ctx;
        return last.signal.aborted;
      };`);
    const log = record(manager, ['progress', 'message']);
    expect([await manager.run({ id: 1 }), await manager.run({ id: 2 })]).toEqual([false, false]);
    expect(log.map(([event, value]) => [event, value.taskId ?? value])).toEqual([
      ['message', 1],
      ['message', 'still said'],
      ['message', 2],
    ]);
  });

  test('ctx throws for a value that cannot be sent, and the handler may go on', async () => {
    const manager = poolOf(
      `export default (task, ctx) => ['send', 'progress'].flatMap((method) =>
         [1n, () => 1, 'x'.repeat(20_000)].map((value) => {
           try { ctx[method](value); return 'said'; } catch ({ name, code }) { return name + ' ' + code; }
         }));`,
      { maxMessageSize: 10_000 },
    );
    const log = record(manager, ['progress']);
    const refused = [
      'SerializationError ERR_SERIALIZATION',
      'SerializationError ERR_SERIALIZATION',
      'MessageTooLargeError ERR_MESSAGE_TOO_LARGE',
    ];
    expect(await manager.run(1)).toEqual([...refused, ...refused]);
    expect(log).toEqual([]);
  });
});

describe('results of handlers', () => {
  test('the result of a generator, async or not, is the array of what it yields', async () => {
    const manager = poolOf(`export const handlers = {
      async *async(task) { for (let i = 0; i < task.data; i++) { await null; yield { i }; } return 'not in it'; },
      *sync(task) { for (let i = 0; i < task.data; i++) yield i; },
      async later() { return (function* () { yield 'a'; })(); },
      async *broken() { yield 1; throw new RangeError('in between'); },
    };`);
    await expect(manager.run({ type: 'async', data: 3 })).resolves.toEqual([
      { i: 0 },
      { i: 1 },
      { i: 2 },
    ]);
    await expect(manager.run({ type: 'sync', data: 3 })).resolves.toEqual([0, 1, 2]);
    await expect(manager.run({ type: 'async', data: 0 })).resolves.toEqual([]);
    await expect(manager.run({ type: 'later' })).resolves.toEqual(['a']);
    expect(await failure(manager.run({ type: 'broken' }))).toMatchObject({
      name: 'RangeError',
      message: 'in between',
    });
  });

  test('an envelope is a result, and is not wrapped again', async () => {
    const manager = poolOf(`export const handlers = {
      envelope: (task) => ({ taskId: task.id, result: { inner: task.data }, processedBy: process.pid }),
      other: () => ({ taskId: 'other', result: undefined, processedBy: 'another' }),
      more: (task) => ({ taskId: task.id, result: 1, processedBy: 2, extra: 3 }),
      less: (task) => ({ taskId: task.id, result: 1 }),
      binary: (task) => ({ taskId: task.id, result: Buffer.from('abc'), processedBy: process.pid }),
    };`);
    const log = record(manager, ['result', 'message']);
    const run = (type) => manager.run({ id: 'a', type, data: 7 });
    await expect(run('envelope')).resolves.toEqual({ inner: 7 });
    await expect(run('other')).resolves.toBeUndefined();
    await expect(run('more')).resolves.toEqual({
      taskId: 'a',
      result: 1,
      processedBy: 2,
      extra: 3,
    });
    await expect(run('less')).resolves.toEqual({ taskId: 'a', result: 1 });
    await expect(run('binary')).resolves.toEqual(Buffer.from('abc'));
    log.length = 0;
    manager.distributeTask({ id: 'b', type: 'envelope', data: 8 });
    manager.distributeTask({ id: 'c', type: 'more' });
    await manager.shutdown();
    const envelope = { taskId: 'b', result: { inner: 8 }, processedBy: expect.any(Number) };
    const wrapped = {
      taskId: 'c',
      result: { taskId: 'c', result: 1, processedBy: 2, extra: 3 },
      processedBy: expect.any(Number),
    };
    expect(log.map(([event, value]) => [event, value])).toEqual([
      ['message', envelope],
      ['result', envelope],
      ['message', wrapped],
      ['result', wrapped],
    ]);
  });

  test.each(['json', 'advanced'])(
    '[E7, XC6] an envelope that names another task and process belongs to its own task (%s)',
    async (serialization) => {
      const manager = poolOf(
        `export default (task) => ({ taskId: 'victim', result: task.data, processedBy: 1 });`,
        {
          serialization,
          maxWorkers: 1,
        },
      );
      const log = record(manager, ['result', 'message']);
      await manager.startWorkers();
      const [{ pid }] = manager.workers;
      manager.distributeTask({ id: 'own', data: Buffer.from('a') });
      manager.distributeTask({ id: 'own 2', data: 2 });
      expect(await manager.run({ id: 'own 3', data: 3 })).toBe(3);
      await manager.shutdown();
      const told = (taskId, result) => ({ taskId, result, processedBy: pid });
      expect(log.map(([event, envelope]) => [event, envelope])).toEqual([
        ['message', told('own', Buffer.from('a'))],
        ['result', told('own', Buffer.from('a'))],
        ['message', told('own 2', 2)],
        ['result', told('own 2', 2)],
        ['message', told('own 3', 3)],
      ]);
    },
  );
});

describe('outcomes and user code that blocks the thread', () => {
  const loopSoon =
    'Promise.resolve().then(() => {}).then(() => {}).then(() => {}).then(() => { for (;;); });';

  test('the outcome of a task arrives although the next one never ends', async () => {
    const manager = poolOf('export default ({ loop }) => { while (loop); return 1; };', {
      prefetch: 8,
    });
    await manager.run({});
    const last = manager.run({});
    manager.run({ loop: true }).catch(() => {});
    expect(await last).toBe(1);
  });

  test('an outcome that a script has sent arrives before its code goes on', async () => {
    const source =
      "process.on('message', ({ id }) => { process.send({ taskId: id, result: 1 }); for (;;); });";
    expect(await poolOf(source, {}, 'worker.cjs').run({ id: 7 })).toBe(1);
  });

  test('the value of an async handler arrives although user code blocks the thread', async () => {
    expect(
      await poolOf(`export default async () => { ${loopSoon} return 1; };`, { concurrency: 2 }).run(
        {},
      ),
    ).toBe(1);
  });

  test('the error of an async handler arrives although user code blocks the thread', async () => {
    const manager = poolOf(
      `export default async () => { ${loopSoon} throw new Error('on purpose'); };`,
      {
        concurrency: 2,
      },
    );
    expect(await failure(manager.run({}))).toMatchObject({ message: 'on purpose' });
  });
});

describe('scripts written for child_process.fork', () => {
  test('[XC6] a fork-style script answers for a task of its own only, as the process that it is', async () => {
    const manager = poolOf(
      `process.on('message', ({ id }) => {
        process.send({ taskId: 'victim', result: 'forged', processedBy: 1 });
        process.send({ taskId: id, result: 'own', processedBy: 1 });
      });`,
      { maxWorkers: 1 },
    );
    const log = record(manager, ['result']);
    await manager.startWorkers();
    const [{ pid }] = manager.workers;
    manager.distributeTask({ id: 'own' });
    await manager.shutdown();
    expect(log.map(([, envelope]) => envelope)).toEqual([
      { taskId: 'own', result: 'own', processedBy: pid },
    ]);
  });

  const script = `
    process.on('message', async (message) => {
      if (message.data === 'chat') return process.send({ hello: message.id });
      if (message.data === 'silent') return;
      if (message.data === 'throw') throw new RangeError('thrown by the listener');
      if (message.data === 'fail') return process.send({ taskId: message.id, error: new RangeError('on purpose') });
      await null;
      process.send({ taskId: message.id, result: message.data * 2, processedBy: process.pid });
    });`;

  test('[W20] a fork-style script replies via process.send, matched to tasks by taskId', async () => {
    const manager = poolOf(script);
    const log = record(manager, ['result', 'message']);
    manager.distributeTask({ id: 'a', data: 21 });
    await expect(manager.run({ id: 'b', data: 4 })).resolves.toBe(8);
    await expect(manager.run({ data: 5 })).resolves.toBe(10);
    await expect(manager.run({ id: 'b', data: 6 })).resolves.toBe(12);
    await manager.shutdown();
    const envelope = (taskId, result) => ({ taskId, result, processedBy: expect.any(Number) });
    expect(log.filter(([event]) => event === 'result').map(([, value]) => value)).toEqual([
      envelope('a', 42),
    ]);
    expect(log.filter(([event]) => event === 'message').map(([, value]) => value)).toEqual([
      envelope('a', 42),
      envelope('b', 8),
      envelope(expect.any(Number), 10),
      envelope('b', 12),
    ]);
  });

  test('a fork-style script may send other messages, and report that a task has failed', async () => {
    const manager = poolOf(script, { taskTimeout: 0, concurrency: 4 });
    const log = record(manager, ['message', 'error']);
    const chat = manager.distributeTask({ id: 'chat', data: 'chat' });
    const error = await failure(manager.run({ id: 'f', data: 'fail' }));
    expect(error).toMatchObject({ name: 'RangeError', message: 'on purpose', taskId: 'f' });
    expect(log[0].slice(0, 2)).toEqual(['message', { hello: 'chat' }]);
    expect(manager.cancel(chat)).toBe(true);
    await manager.terminate();
  });

  test('a fork-style script may be CommonJS, with concurrency and tasks that share an id', async () => {
    const manager = poolOf(
      `process.on('message', ({ id, data }) => setTimeout(() => process.send({ taskId: id, result: data }), 30 - data));`,
      { concurrency: 3 },
      'worker.cjs',
    );
    // Equal ids: the answers go to the tasks in the order in which these came.
    const results = await Promise.all([
      manager.run({ id: 1, data: 0 }),
      manager.run({ id: 1, data: 20 }),
      manager.run({ id: 2, data: 10 }),
    ]);
    expect(results).toEqual([20, 0, 10]);
  });

  test('a fork-style script has process.connected, and may disconnect: then it ends, and is replaced', async () => {
    const manager = poolOf(
      `const { connected } = process;
       process.on('disconnect', () => console.log('disconnected', process.connected));
       process.on('message', ({ id, data }) => {
         process.send({ taskId: id, result: [connected, process.connected, typeof process.channel.ref, process.pid] });
         if (data === 'last') process.disconnect();
       });`,
      { stdio: 'pipe', restart: { minDelay: 1 } },
    );
    let stdout = '';
    manager.on('stdout', (chunk) => {
      stdout += chunk;
    });
    const exit = once(manager, 'exit');
    const [connected, still, ref, pid] = await manager.run({ data: 'last' });
    expect([connected, still, ref]).toEqual([true, true, 'function']);
    expect((await exit)[0]).toMatchObject({ pid, code: 0, signal: null, tasksDone: 1 });
    expect((await manager.run({ data: 'next' }))[3]).not.toBe(pid);
    expect(stdout).toBe('disconnected false\n');
  });

  test('process.send() in a module with handlers sends a message', async () => {
    const manager = poolOf(`
      export default async (task) => {
        const sent = [process.send({ taskId: task.id, result: 'only said' }), process.send('text'), process.send(7)];
        const called = await new Promise((resolve) => process.send('with callback', resolve));
        const refused = [undefined, () => 1, Symbol('s'), 1n].map((value) => {
          try { process.send(value); } catch ({ code }) { return code; }
        });
        return { sent, called, refused };
      };`);
    const log = record(manager, ['message']);
    expect(await manager.run({ id: 1 })).toEqual({
      sent: [true, true, true],
      called: null,
      refused: ['ERR_MISSING_ARGS', ...Array(3).fill('ERR_INVALID_ARG_TYPE')],
    });
    expect(log.slice(0, 4).map(([, value]) => value)).toEqual([
      { taskId: 1, result: 'only said' },
      'text',
      7,
      'with callback',
    ]);
  });

  test('[D3] a worker that disconnects in the middle of a task has crashed in it', async () => {
    const manager = poolOf(
      `export default (task) => { if (task === 'leave') process.disconnect(); return process.pid; }`,
      {
        gracePeriod: 100,
        restart: { minDelay: 1 },
      },
    );
    const pid = await manager.run('stay');
    const error = await failure(manager.run('leave'));
    expect(error).toMatchObject({ code: 'ERR_WORKER_CRASHED', pid, maybeExecuted: true });
    expect(await manager.run('stay')).not.toBe(pid);
  });

  test('tasks prefetched to a worker that disconnects are run by another', async () => {
    const manager = poolOf(
      `export default (task) => { if (task === 'leave') process.disconnect(); return process.pid; }`,
      { maxWorkers: 1, prefetch: 8, gracePeriod: 100, restart: { minDelay: 1 } },
    );
    // Repeated, since chance decides whether the worker gets to the next task before the pool takes
    // it back.
    for (let round = 0; round < 4; round += 1) {
      const tasks = ['stay', 'stay', 'leave', 'stay', 'stay', 'stay'].map((task) =>
        manager.run(task),
      );
      const outcomes = await Promise.allSettled(tasks);
      expect(outcomes.map(({ reason }) => reason?.code)).toEqual(
        outcomes.map((_, index) => (index === 2 ? 'ERR_WORKER_CRASHED' : undefined)),
      );
    }
  });
});

describe('the process of a worker', () => {
  const source = `
    export default () => ({
      argv: process.argv,
      execArgv: process.execArgv,
      execPath: process.execPath,
      env: { ...process.env },
      cwd: process.cwd(),
      title: process.title,
    });`;

  test('[W13, W14] a worker process has exactly the arguments, flags, environment and directory of the options', async () => {
    const folder = realpathSync(project({}));
    const worker = moduleFile(source);
    const manager = pool({
      worker,
      maxWorkers: 1,
      argv: ['--flag', '', 'with space', 'ünïcode'],
      execArgv: ['--no-deprecation', '--max-old-space-size=100'],
      env: { ONLY: 'this', NUMBER: 7, EMPTY: '', LEFT_OUT: undefined },
      cwd: folder,
      name: 'my pool',
    });
    expect(await manager.run(1)).toMatchObject({
      argv: [process.execPath, worker, '--flag', '', 'with space', 'ünïcode'],
      execArgv: ['--no-deprecation', '--max-old-space-size=100'],
      execPath: process.execPath,
      env: { ONLY: 'this', NUMBER: '7', EMPTY: '' },
      cwd: folder,
    });
    const { env } = await manager.run(1);
    expect(Object.keys(env).sort()).toEqual(['EMPTY', 'NUMBER', 'ONLY']);
  });

  test('a worker process inherits what the options leave out', async () => {
    process.env.BULKHEAD_TEST_INHERITED = 'yes';
    try {
      const worker = moduleFile(source);
      const manager = pool({ worker, maxWorkers: 1 });
      const seen = await manager.run(1);
      expect(seen).toMatchObject({
        argv: [process.execPath, worker],
        execPath: process.execPath,
        cwd: process.cwd(),
      });
      expect(seen.env.BULKHEAD_TEST_INHERITED).toBe('yes');
      expect(seen.env.PATH).toBe(process.env.PATH);
    } finally {
      delete process.env.BULKHEAD_TEST_INHERITED;
    }
  });

  test('a worker process has a title that names its pool', async () => {
    const manager = pool({ worker: moduleFile(source), name: 'thumbnails', minWorkers: 2 });
    await manager.startWorkers();
    const titles = new Set();
    for (let i = 0; i < 50 && titles.size < 2; i++) {
      for (const { title } of await Promise.all([manager.run(1), manager.run(2)]))
        titles.add(title);
    }
    expect([...titles].every((title) => /^thumbnails worker [12]$/.test(title))).toBe(true);
  });

  test('a worker process may be another program that behaves like node', async () => {
    const folder = project({});
    const execPath = join(folder, 'my-node');
    writeFileSync(execPath, `#!/bin/sh\nWRAPPED=yes exec ${process.execPath} "$@"\n`, {
      mode: 0o755,
    });
    const manager = pool({ worker: moduleFile(source), maxWorkers: 1, execPath });
    expect((await manager.run(1)).env.WRAPPED).toBe('yes');
  });

  test.each([
    ['plain values', 5, {}],
    ['several tasks at a time', 5, { concurrency: 4 }],
    ['structured clones', 9, { serialization: 'advanced' }],
  ])(
    '[D15] the runtime of a worker works whatever a handler does to its globals (%s)',
    async (_, spared, options) => {
      const manager = poolOf(
        `
      const OwnError = Error;
      const broken = () => { throw new OwnError('spoiled'); };
      const prototypes = [Array, Object, String, Number, Boolean, Function, Promise, Map, Set, WeakMap, WeakSet, RegExp,
        Date, Error, Symbol, ArrayBuffer, DataView, Uint8Array, Buffer, AbortController].flatMap((it) => [it, it.prototype]);
      const iterators = [[], new Map(), new Set(), 'a', 'a'.matchAll(/a/g)].map((it) =>
        Object.getPrototypeOf(it[Symbol.iterator]()));
      const typedArray = Object.getPrototypeOf(Uint8Array);
      const targets = [...prototypes, ...iterators, typedArray, typedArray.prototype, Math, JSON, Reflect, Atomics,
        process, performance];
      // Reading localStorage may warn, and Node's own code prints the warning with
      // Error.prototype.toString().
      const globals = Object.getOwnPropertyNames(globalThis).filter((name) =>
        name !== 'localStorage' && typeof globalThis[name] === 'function' && !name.endsWith('Error'));
      // Node's own code needs these: its async hooks, its streams and process.exit(), and
      // v8.deserialize().
      const { apply, bind, call } = Function.prototype;
      const spared = [Array.prototype.pop, apply, bind, call, process.reallyExit,
        Array.prototype[Symbol.iterator], [].values().next, Buffer.allocUnsafe, typedArray.prototype.set,
      ].slice(0, ${spared});
      const isFunction = (object, name) => {
        const { value } = Object.getOwnPropertyDescriptor(object, name);
        return typeof value === 'function' && name !== 'constructor' && !spared.includes(value);
      };
      const names = targets.map((it) => Reflect.ownKeys(it).filter((name) => isFunction(it, name)));
      export const handlers = {
        spoil() {
          const pid = process.pid;
          for (let i = 0; i < targets.length; i += 1) {
            for (let j = 0; j < names[i].length; j += 1) try { targets[i][names[i][j]] = broken; } catch {}
          }
          for (let i = 0; i < globals.length; i += 1) {
            globalThis[globals[i]] = broken;
          }
          return pid;
        },
        echo: ({ data }) => data,
        throw: () => { null.thrown(); },
        async later({ data }) { await null; return data; },
        thenable: ({ data }) => ({ then: (resolve) => resolve(data) }),
        says({ data }, { progress }) { process.send = undefined; progress(data); return data; },
        pid: () => process.pid,
        missing: 1,
      };`,
        { stdio: 'ignore', ...options },
      );
      const log = record(manager, ['progress', 'exit']);
      const pid = await manager.run({ type: 'spoil' });
      const data = { a: [1, { b: 2 }, 'three', null], c: {} };
      // A value with bytes in it goes another way.
      const binary = {
        a: [Buffer.from('bytes'), { d: new Float64Array([1.5]) }],
        e: new Uint8Array(70_000),
      };
      for (const value of [data, binary, undefined, 7]) {
        for (const type of ['echo', 'later', 'thenable', 'says']) {
          expect(await manager.run({ type, data: value })).toEqual(value);
        }
      }
      expect(
        await Promise.all(
          Array.from({ length: 50 }, (_, id) => manager.run({ type: 'later', data: id })),
        ),
      ).toHaveLength(50);
      expect(await failure(manager.run({ type: 'throw' }))).toMatchObject({
        name: 'TypeError',
        message: /null/,
      });
      expect(await failure(manager.run({ type: 'missing' }))).toMatchObject({
        name: 'TypeError',
        message: /has spoil, echo/,
      });
      expect(
        await failure(manager.run({ type: 'echo', data: 1 }, { handler: 'no' })),
      ).toMatchObject({
        message: /no handler "no"/,
      });
      expect(log.map(([event]) => event)).toEqual(Array(4).fill('progress'));
      expect(await manager.run({ type: 'pid' })).toBe(pid);
      expect(await manager.shutdown()).toMatchObject({ killed: 0 });
      // The exit code depends on how much of Node's own exit path still works.
      expect(log.at(-1)).toMatchObject(['exit', { reason: 'shutdown', signal: null }]);
    },
  );

  test('[D12] changes of directory, environment and umask stay in their worker', async () => {
    const manager = poolOf(
      `export default (task) => {
         if (task === 'change') { process.chdir('/'); process.env.CHANGED = 'yes'; process.umask(0o777); }
         return [process.cwd(), process.env.CHANGED ?? null, process.pid];
       };`,
      { maxWorkers: 1 },
    );
    const [cwd, , pid] = await manager.run('change');
    expect(cwd).toBe('/');
    expect(await manager.run('look')).toEqual(['/', 'yes', pid]);
    expect(process.cwd()).not.toBe('/');
    expect(process.env.CHANGED).toBeUndefined();
  });
});

describe('stdio', () => {
  const files = {
    'worker.mjs': `
      console.log('worker says', process.argv[2] ?? 'nothing');
      export default () => { console.error('and complains'); process.stdout.write('no newline'); };`,
  };
  const source = (stdio) => `
    import ProcessManager from 'bulkhead';
    const worker = new URL('./worker.mjs', import.meta.url);
    const pool = new ProcessManager({ worker, maxWorkers: 1, argv: ['hello'], stdio: ${JSON.stringify(stdio)} });
    await pool.run(1);
    await pool.shutdown();`;

  test("stdio 'inherit' prints where this process prints", async () => {
    expect(await program(source('inherit'), { files })).toMatchObject({
      code: 0,
      stdout: 'worker says hello\nno newline',
      stderr: 'and complains\n',
    });
  });

  test("stdio 'ignore' drops the output", async () => {
    expect(await program(source('ignore'), { files })).toMatchObject(endsWell());
  });

  test("stdio 'pipe' emits the output as events, and drops it without listeners", async () => {
    expect(await program(source('pipe'), { files })).toMatchObject(endsWell());
  });

  test('[A14] standard input of a worker is empty', async () => {
    const manager = poolOf(`
      import { text } from 'node:stream/consumers';
      export default () => text(process.stdin);`);
    await expect(manager.run(1)).resolves.toBe('');
  });
});

describe('the built-in worker', () => {
  test('the built-in worker returns the data of a task', async () => {
    const manager = pool({ maxWorkers: 1 });
    await expect(manager.run({ id: 1, data: { a: [1] } })).resolves.toEqual({ a: [1] });
    await expect(manager.run({ id: 1, type: 'any', data: null })).resolves.toBeNull();
    await expect(manager.run({ id: 1 })).resolves.toBeUndefined();
    for (const task of ['text', 7, null, true]) await expect(manager.run(task)).resolves.toBe(task);
  });

  test('the built-in worker runs the module that a task names', async () => {
    const folder = project({
      'double.mjs': `
        let setups = 0;
        export function setup() { setups += 1; }
        export default (task, { workerId }) => ({ doubled: task.data * 2, setups, workerId });
        export const handlers = { triple: (task) => task.data * 3 };`,
      'upper.cjs': `module.exports = async (task) => task.data.toUpperCase();`,
      'broken.mjs': `throw new RangeError('not while loading');`,
    });
    const manager = pool({ maxWorkers: 1 });
    const filename = join(folder, 'double.mjs');
    const first = await Promise.all([1, 2, 3].map((data) => manager.run({ data }, { filename })));
    expect(first).toEqual([1, 2, 3].map((n) => ({ doubled: n * 2, setups: 1, workerId: 1 })));
    await expect(
      manager.run({ data: 5 }, { filename: pathToFileURL(filename), handler: 'triple' }),
    ).resolves.toBe(15);
    await expect(manager.run({ type: 'triple', data: 5 }, { filename })).resolves.toBe(15);
    await expect(
      manager.run({ data: 'up' }, { filename: join(folder, 'upper.cjs') }),
    ).resolves.toBe('UP');
    const pid = await manager.exec(() => process.pid);
    expect(await failure(manager.run(1, { filename: join(folder, 'absent.mjs') }))).toMatchObject({
      message: expect.stringContaining('absent.mjs'),
    });
    expect(await failure(manager.run(1, { filename: join(folder, 'broken.mjs') }))).toBeInstanceOf(
      RangeError,
    );
    expect((await failure(manager.run(1, { handler: 'triple' }))).message).toContain('filename');
    expect(await manager.exec(() => process.pid)).toBe(pid);
  });

  test('[T12] the built-in worker runs functions by value', async () => {
    const manager = pool({ maxWorkers: 1 });
    async function plus(a, b) {
      await null;
      return a + b;
    }
    const object = {
      method(a) {
        return a * 2;
      },
      async asyncMethod(a) {
        return a * 3;
      },
      *generate(n) {
        for (let i = 0; i < n; i++) yield i;
      },
      'a name'(a) {
        return a * 4;
      },
      get: (a) => a,
    };
    await expect(manager.exec((a, b) => a - b, [5, 3])).resolves.toBe(2);
    await expect(manager.exec(plus, [1, 2])).resolves.toBe(3);
    await expect(manager.exec(object.method, [21])).resolves.toBe(42);
    await expect(manager.exec(object.asyncMethod, [2])).resolves.toBe(6);
    await expect(manager.exec(object.generate, [3])).resolves.toEqual([0, 1, 2]);
    await expect(manager.exec(object['a name'], [2])).resolves.toBe(8);
    await expect(manager.exec(object.get, ['arrow'])).resolves.toBe('arrow');
    await expect(
      manager.exec((buffer) => buffer.map((byte) => byte + 1), [Buffer.from([1, 2])]),
    ).resolves.toEqual(Buffer.from([2, 3]));
    await expect(manager.exec(() => typeof require('node:os').cpus)).resolves.toBe('function');
    // As text, because the test runner rewrites import() in the tests themselves.
    const importing = runInThisContext(`async () => typeof (await import('node:path')).join`);
    await expect(manager.exec(importing)).resolves.toBe('function');
    await expect(
      manager.exec((a, ...rest) => [a, rest], [{ id: 1, type: 'no handler' }, 2, 3]),
    ).resolves.toEqual([{ id: 1, type: 'no handler' }, [2, 3]]);
    await expect(manager.exec(() => {})).resolves.toBeUndefined();
  });

  test('the built-in worker reports what functions throw', async () => {
    const manager = pool({ maxWorkers: 1 });
    const error = await failure(
      manager.exec(() => {
        throw Object.assign(new RangeError('in exec'), { code: 'E_EXEC' });
      }),
    );
    expect(error).toBeInstanceOf(RangeError);
    expect(error).toMatchObject({ message: 'in exec', code: 'E_EXEC', taskId: expect.any(Number) });
    const outside = 1;
    const reference = await failure(manager.exec(() => outside + 1));
    expect(reference).toBeInstanceOf(ReferenceError);
    await expect(manager.exec(() => 'alive')).resolves.toBe('alive');
  });

  test('a pool with a worker module runs functions as well', async () => {
    const manager = poolOf('export default () => 1;');
    await expect(manager.exec((a) => a + 1, [1])).resolves.toBe(2);
  });
});

describe('concurrency and timers', () => {
  test('[T6] with concurrency, up to that many async handlers run side by side', async () => {
    const manager = poolOf(
      `let running = 0;
       export default async (task) => {
         running += 1;
         const seen = running;
         await new Promise((resolve) => setTimeout(resolve, 20));
         running -= 1;
         return seen;
       };`,
      { concurrency: 4 },
    );
    const seen = await Promise.all(Array.from({ length: 20 }, () => manager.run(1)));
    expect(Math.max(...seen)).toBe(4);
  });

  test('without concurrency, one handler runs at a time, however long it waits', async () => {
    const manager = poolOf(`
      let running = 0;
      export default async () => {
        running += 1;
        const seen = running;
        await new Promise((resolve) => setTimeout(resolve, 5));
        running -= 1;
        return seen;
      };`);
    expect(new Set(await Promise.all(Array.from({ length: 20 }, () => manager.run(1))))).toEqual(
      new Set([1]),
    );
  });

  test('timers and sockets of a worker live while it runs short tasks without a pause', async () => {
    const manager = poolOf(`
      import { createServer, connect } from 'node:net';
      let ticks = 0;
      let echoed = 0;
      const timer = setInterval(() => { ticks += 1; }, 1);
      const server = createServer((socket) => socket.pipe(socket)).listen(0, '127.0.0.1', () => {
        const client = connect(server.address().port, '127.0.0.1', () => client.write('x'));
        client.on('data', () => { echoed += 1; client.write('x'); });
      });
      export default (task) => {
        const end = performance.now() + 0.2;
        while (performance.now() < end);
        return [ticks, echoed];
      };`);
    const results = await Promise.all(Array.from({ length: 500 }, () => manager.run(1)));
    const [ticks, echoed] = results.at(-1);
    // 500 tasks take at least 100 ms of pure work; starved, both counts would be close to 0.
    expect(ticks).toBeGreaterThan(10);
    expect(echoed).toBeGreaterThan(10);
    expect((await manager.shutdown()).killed).toBe(0);
  });

  test('a timer of a handler fires although its worker idles', async () => {
    const manager = poolOf(
      `export default (task, { send }) => { setTimeout(() => send('later'), 50); return 'now'; }`,
    );
    const said = [];
    manager.on('message', (message) => said.push(message.result ?? message));
    await manager.run(1);
    manager.ref();
    while (said.length < 2) await once(manager, 'message');
    expect(said).toEqual(['now', 'later']);
  });
});

test('[D16] pools within pools within pools work, and end', async () => {
  const source = `
    import { ProcessManager } from 'bulkhead';
    export default async ({ levels }) => {
      if (levels === 1) return 'bottom';
      const pool = new ProcessManager({ worker: new URL(import.meta.url), maxWorkers: 1 });
      try {
        return await pool.run({ levels: levels - 1 });
      } finally {
        await pool.shutdown();
      }
    };`;
  const manager = poolOf(source, { stdio: 'ignore' });
  expect(await manager.run({ levels: 3 })).toBe('bottom');
  expect(await manager.run({ levels: 8 })).toBe('bottom');
  const error = await failure(manager.run({ levels: 1000 }));
  expect(error).toMatchObject({ name: 'Error', code: 'ERR_POOL_DEPTH' });
  expect(error.message).toContain('pools may be nested 8 deep');
});

test('[D16] a worker module may use bulkhead itself', async () => {
  const manager = poolOf(
    `import ProcessManager from ${JSON.stringify(join(root, 'index.mjs'))};
     const inner = new ProcessManager({ maxWorkers: 1, name: 'inner' });
     export default (task) => inner.run({ data: [process.pid, task] });
     export const teardown = () => inner.shutdown();`,
  );
  const [pid, task] = await manager.run('nested');
  expect(task).toBe('nested');
  expect(pid).toBe(manager.workers[0].pid);
  expect(await manager.shutdown()).toMatchObject({ killed: 0 });
});
