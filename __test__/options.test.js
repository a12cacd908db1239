// Options: their defaults, how they complete each other, and the errors for wrong ones.

import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, test, vi } from 'vitest';
import ProcessManager from '../index.mjs';

const require = createRequire(import.meta.url);
const { resolveOptions, resolveShutdownOptions } = require('../lib/options/pool-options.js');
const { resolveTaskOptions } = require('../lib/options/task-options.js');

const CORES = 4;

/** The native side's configuration that `options` lead to. */
function configOf(options) {
  return resolveOptions(options, () => CORES).config;
}

/** Asserts an argument error of Node's kind, which names the option. */
function expectRefused(options, code, message) {
  const Class = code === 'ERR_OUT_OF_RANGE' ? RangeError : TypeError;
  for (const refuse of [() => configOf(options), () => new ProcessManager(options)]) {
    expect(refuse).toThrow(Class);
    expect(refuse).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  }
}

describe('defaults', () => {
  test('the defaults are those of the documentation', () => {
    expect(configOf(undefined)).toMatchObject({
      name: 'bulkhead',
      command: process.execPath,
      cwd: process.cwd(),
      ownCwd: true,
      nice: null,
      stdio: 'inherit',
      serialization: 'json',
      minWorkers: CORES,
      maxWorkers: CORES,
      concurrency: 1,
      maxQueue: 1_000_000,
      maxQueueBytes: 2 ** 30,
      prefetch: 0,
      taskTimeout: 0,
      retries: 0,
      retryDelay: 100,
      startTimeout: 30_000,
      restartLimit: 5,
      restartWindow: 10_000,
      restartMinDelay: 100,
      restartMaxDelay: 5_000,
      gracePeriod: 2_000,
      maxTasksPerWorker: 0,
      maxWorkerAge: 0,
      recycleMemory: 0,
      maxMemory: 0,
      captureStack: false,
      maxMessageSize: 64 * 2 ** 20,
    });
    expect(configOf({})).toEqual(configOf(undefined));
    expect(resolveOptions({}, () => CORES).collectBuffers).toBe(true);
  });

  test('an option that is undefined has its default', () => {
    expect(configOf({ maxWorkers: undefined, env: undefined, restart: undefined })).toEqual(
      configOf({}),
    );
  });

  test('[H2] the default of maxWorkers is at least one', () => {
    expect(resolveOptions({}, () => 0).config).toMatchObject({ minWorkers: 1, maxWorkers: 1 });
  });

  test('only own properties of the options are read', () => {
    expect(configOf(Object.create({ maxWorkers: 77, nonsense: 1 })).maxWorkers).toBe(CORES);
  });
});

describe('limits of a worker', () => {
  test.each([
    [1, 1],
    [2 ** 40, 2 ** 40],
    [Infinity, 0],
    ['1', 1],
    ['100B', 100],
    ['64k', 64 * 2 ** 10],
    ['64KB', 64 * 2 ** 10],
    ['64 KiB', 64 * 2 ** 10],
    ['512MB', 512 * 2 ** 20],
    ['512 mib', 512 * 2 ** 20],
    ['1.5GB', 1.5 * 2 ** 30],
    [' 2 GiB ', 2 * 2 ** 30],
    ['1TB', 2 ** 40],
  ])('a size may be written as %o', (given, bytes) => {
    expect(configOf({ maxMemory: given }).maxMemory).toBe(bytes);
    expect(configOf({ recycleMemory: given }).recycleMemory).toBe(bytes);
  });

  test('maxTasksPerWorker and maxWorkerAge take numbers and Infinity', () => {
    expect(configOf({ maxTasksPerWorker: 7, maxWorkerAge: 1 })).toMatchObject({
      maxTasksPerWorker: 7,
      maxWorkerAge: 1,
    });
    const none = { maxTasksPerWorker: Infinity, maxWorkerAge: Infinity };
    expect(configOf(none)).toMatchObject({ maxTasksPerWorker: 0, maxWorkerAge: 0 });
  });

  test.each([
    ['maxMemory', 0, 'ERR_OUT_OF_RANGE', /"options\.maxMemory".*It must be an integer >= 1/],
    ['maxMemory', -1, 'ERR_OUT_OF_RANGE', /maxMemory/],
    ['maxMemory', 1.5, 'ERR_OUT_OF_RANGE', /maxMemory/],
    ['maxMemory', Number.NaN, 'ERR_OUT_OF_RANGE', /maxMemory.*Received NaN/],
    [
      'maxMemory',
      '',
      'ERR_INVALID_ARG_VALUE',
      /'options\.maxMemory' must be a number of bytes, or text such as '512MB'/,
    ],
    ['maxMemory', '512 apples', 'ERR_INVALID_ARG_VALUE', /512 apples/],
    ['maxMemory', '-1MB', 'ERR_INVALID_ARG_VALUE', /-1MB/],
    ['maxMemory', '1e9', 'ERR_INVALID_ARG_VALUE', /1e9/],
    ['maxMemory', '0MB', 'ERR_OUT_OF_RANGE', />= 1 bytes. Received '0MB'/],
    ['maxMemory', 10n, 'ERR_INVALID_ARG_TYPE', /of type number or string/],
    ['maxMemory', null, 'ERR_INVALID_ARG_TYPE', /of type number or string/],
    ['recycleMemory', '0.1B', 'ERR_OUT_OF_RANGE', /recycleMemory/],
    ['recycleMemory', {}, 'ERR_INVALID_ARG_TYPE', /recycleMemory/],
    ['maxTasksPerWorker', 0, 'ERR_OUT_OF_RANGE', /maxTasksPerWorker.*an integer >= 1, or Infinity/],
    ['maxTasksPerWorker', 2.5, 'ERR_OUT_OF_RANGE', /maxTasksPerWorker/],
    ['maxTasksPerWorker', '5', 'ERR_INVALID_ARG_TYPE', /maxTasksPerWorker/],
    ['maxWorkerAge', 0, 'ERR_OUT_OF_RANGE', /maxWorkerAge.*>= 1/],
    ['maxWorkerAge', 2 ** 31, 'ERR_OUT_OF_RANGE', /maxWorkerAge/],
    ['maxWorkerAge', '1h', 'ERR_INVALID_ARG_TYPE', /maxWorkerAge/],
  ])('[G21] %s: %o is refused', (option, value, code, message) => {
    expectRefused({ [option]: value }, code, message);
  });

  test('recycleMemory must be below maxMemory', () => {
    expectRefused(
      { recycleMemory: '1GB', maxMemory: '1GB' },
      'ERR_OUT_OF_RANGE',
      /recycleMemory.*< options\.maxMemory/,
    );
    expect(configOf({ recycleMemory: '1GB', maxMemory: Infinity })).toMatchObject({ maxMemory: 0 });
  });
});

describe('minWorkers and maxWorkers', () => {
  test.each([
    [{ minWorkers: 1 }, 1, CORES],
    [{ minWorkers: 8 }, 8, 8],
    [{ maxWorkers: 1 }, 1, 1],
    [{ maxWorkers: 8 }, CORES, 8],
    [{ minWorkers: 0 }, 0, CORES],
    [{ minWorkers: 2, maxWorkers: 3 }, 2, 3],
  ])('minWorkers and maxWorkers adjust each other: %o', (options, minWorkers, maxWorkers) => {
    expect(configOf(options)).toMatchObject({ minWorkers, maxWorkers });
  });

  test('minWorkers above maxWorkers is refused', () => {
    expectRefused(
      { minWorkers: 3, maxWorkers: 2 },
      'ERR_OUT_OF_RANGE',
      /"options\.minWorkers".*maxWorkers \(2\).*Received 3/,
    );
  });
});

describe('wrong options', () => {
  test.each([
    ['minWorkers', -1],
    ['maxWorkers', 0],
    ['maxWorkers', 1e9],
    ['maxWorkers', 1.5],
    ['maxWorkers', Number.NaN],
    ['maxWorkers', Infinity],
    ['concurrency', 0],
    ['concurrency', 1025],
    ['maxQueue', -1],
    ['maxQueueBytes', 0.5],
    ['prefetch', 0],
    ['prefetch', 257],
    ['idleTimeout', -Infinity],
    ['taskTimeout', -1],
    ['taskTimeout', 2 ** 31],
    ['retries', -1],
    ['retryDelay', Infinity],
    ['startTimeout', 0],
    ['gracePeriod', -1],
    ['gracePeriod', Infinity],
    ['maxMessageSize', 0],
    ['maxMessageSize', 2 ** 40],
    ['nice', -21],
    ['nice', 20],
    ['nice', 0.5],
  ])('%s: %d is out of range', (key, value) => {
    expectRefused(
      { [key]: value },
      'ERR_OUT_OF_RANGE',
      new RegExp(`"options\\.${key}".*must be an integer.*Received`),
    );
  });

  test('the error for a wrong option says what would be right', () => {
    const message =
      /^The value of "options\.maxWorkers" is out of range\. It must be an integer >= 1 .*\. Received 0$/;
    expectRefused({ maxWorkers: 0 }, 'ERR_OUT_OF_RANGE', message);
  });

  test.each([
    ['maxWorkers', '2'],
    ['maxWorkers', null],
    ['maxQueue', 1n],
    ['prefetch', true],
    ['name', 1],
    ['worker', 5],
    ['worker', null],
    ['worker', ['a']],
    ['env', 'A=1'],
    ['env', ['A=1']],
    ['argv', 'a'],
    ['execArgv', [1]],
    ['captureStack', 1],
    ['captureStack', null],
    ['collectBuffers', 0],
    ['collectBuffers', null],
    ['collectBuffers', 'never'],
    ['execPath', 1],
    ['cwd', 1],
    ['nice', '5'],
    ['nice', null],
    ['stdio', ['pipe']],
    ['serialization', 1],
    ['restart', 5],
  ])('%s: %o is of the wrong type', (key, value) => {
    expectRefused({ [key]: value }, 'ERR_INVALID_ARG_TYPE', new RegExp(`options\\.${key}`));
  });

  test.each([
    ['prefetch', 'off'],
    ['stdio', 'overlapped'],
    ['serialization', 'xml'],
    ['name', ''],
    ['name', 'a\0b'],
    ['worker', ''],
    ['worker', 'a\0b'],
    ['worker', 'https://example.com/worker.mjs'],
    ['worker', new URL('data:text/javascript,1')],
    ['worker', new URL('file:///a%00b')],
    ['worker', { command: 'a\0b' }],
    ['worker', { command: '' }],
    ['env', { A: 'a\0b' }],
    ['env', { 'A=B': '1' }],
    ['argv', ['a\0b']],
    ['cwd', 'a\0b'],
    ['cwd', new URL('https://example.com/')],
  ])('[A9] %s: %o is no valid value', (key, value) => {
    expectRefused({ [key]: value }, 'ERR_INVALID_ARG_VALUE', new RegExp(`options\\.${key}`));
  });

  test.each([[null], [5], ['worker.mjs'], [[]]])('%o is no options object', (options) => {
    expectRefused(options, 'ERR_INVALID_ARG_TYPE', /"options" argument must be of type object/);
  });

  test('[G21] unknown options are named, with a guess at what was meant', () => {
    expectRefused(
      { maxWorker: 2 },
      'ERR_INVALID_ARG_VALUE',
      /'options\.maxWorker' is not a known option.*"maxWorkers"/,
    );
    expectRefused(
      { poolSize: 2 },
      'ERR_INVALID_ARG_VALUE',
      /'options\.poolSize' is not a known option\. Received 2/,
    );
    expectRefused(
      { restart: { limits: 2 } },
      'ERR_INVALID_ARG_VALUE',
      /'options\.restart\.limits'.*"limit"/,
    );
    expectRefused(
      { worker: { command: 'a', arg: [] } },
      'ERR_INVALID_ARG_VALUE',
      /'options\.worker\.arg'.*"args"/,
    );
  });
});

describe('restart', () => {
  test('a restart option left out has its default', () => {
    expect(configOf({ restart: { limit: 0, maxDelay: 200 } })).toMatchObject({
      restartLimit: 0,
      restartWindow: 10_000,
      restartMinDelay: 100,
      restartMaxDelay: 200,
    });
  });

  test('a longer restart.minDelay raises restart.maxDelay with it', () => {
    expect(configOf({ restart: { minDelay: 9_000 } })).toMatchObject({
      restartMinDelay: 9_000,
      restartMaxDelay: 9_000,
    });
    const contradiction = { restart: { minDelay: 9_000, maxDelay: 1 } };
    expectRefused(contradiction, 'ERR_OUT_OF_RANGE', /"options\.restart\.minDelay"/);
  });
});

describe('Infinity', () => {
  test('[XB7] a time limit of Infinity is no limit, in pools, tasks and restarts', () => {
    const never = {
      idleTimeout: Infinity,
      taskTimeout: Infinity,
      startTimeout: Infinity,
      maxWorkerAge: Infinity,
    };
    expect(configOf({ ...never, restart: { window: Infinity } })).toMatchObject({
      idleTimeout: Infinity,
      taskTimeout: 0,
      startTimeout: Infinity,
      maxWorkerAge: 0,
      restartWindow: Infinity,
    });
    expect(resolveTaskOptions({ timeout: Infinity }, 'module').timeout).toBe(0);
    expect(resolveShutdownOptions({ timeout: Infinity }).timeout).toBe(Infinity);
  });

  test('[XB7] a pool without any time limit serves, survives a worker that cannot start, and shuts down', async () => {
    const pool = new ProcessManager({
      minWorkers: 0,
      maxWorkers: 2,
      idleTimeout: Infinity,
      taskTimeout: Infinity,
      startTimeout: Infinity,
      restart: { window: Infinity },
      prefetch: 256,
    });
    const tasks = Array.from({ length: 500 }, (_, data) =>
      pool.run({ data }, { timeout: Infinity }),
    );
    expect(await Promise.all(tasks)).toEqual(Array.from(tasks.keys()));
    await pool.shutdown({ timeout: Infinity });

    const broken = new ProcessManager({
      worker: { command: process.execPath, args: ['-e', 'process.exit(3)'] },
      maxWorkers: 1,
      restart: { limit: 1, window: Infinity, minDelay: 1, maxDelay: 1 },
    });
    broken.on('error', () => {});
    await expect(broken.run(1)).rejects.toMatchObject({ code: 'ERR_POOL_BROKEN' });
    await broken.shutdown();
  });

  test.each([['retryDelay'], ['gracePeriod']])(
    '[XB7] %s must be finite, as a task or a worker would never end',
    (option) => {
      expectRefused(
        { [option]: Infinity },
        'ERR_OUT_OF_RANGE',
        /an integer >= 0 && <= 2147483647\. Received Infinity/,
      );
    },
  );

  test('[XB7] a time limit that is too long is refused with the remedy Infinity', () => {
    expectRefused(
      { idleTimeout: 2 ** 31 },
      'ERR_OUT_OF_RANGE',
      /<= 2147483647, or Infinity\. Received/,
    );
  });

  test('[XB7] prefetch may be as many tasks as "auto" prefetches', () => {
    expect(configOf({ prefetch: 256 }).prefetch).toBe(256);
  });
});

test('maxQueue and maxQueueBytes may be Infinity', () => {
  const { maxQueue, maxQueueBytes } = configOf({ maxQueue: Infinity, maxQueueBytes: Infinity });
  expect([maxQueue, maxQueueBytes]).toEqual([Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]);
});

describe('worker', () => {
  const url = pathToFileURL(path.resolve('some/worker.mjs')).href;

  test.each([['some/worker.mjs'], [path.resolve('some/worker.mjs')], [url], [new URL(url)]])(
    'worker may be a path or a URL: %s',
    (worker) => {
      const { kind, config } = resolveOptions({ worker, argv: ['--fast'] }, () => CORES);
      expect(kind).toBe('module');
      expect(JSON.parse(config.initOptions)).toEqual({ worker: url, argv: ['--fast'] });
      expect(config.args.at(-1)).toBe('--fast');
      expect(config.args.at(-2)).toMatch(/dist\/worker\.js$/);
    },
  );

  test('worker left out is the built-in one', () => {
    const { kind, config } = resolveOptions({}, () => CORES);
    expect(kind).toBe('built-in');
    expect(JSON.parse(config.initOptions).worker).toBeNull();
  });

  test('worker may be a command', () => {
    const { kind, config } = resolveOptions(
      { worker: { command: 'python3', args: ['worker.py'] } },
      () => CORES,
    );
    expect(kind).toBe('command');
    expect(config).toMatchObject({ command: 'python3', args: ['worker.py'] });
  });

  test.each([['argv'], ['execArgv']])('%s is refused for a command', (key) => {
    expectRefused(
      { worker: { command: 'a' }, [key]: [] },
      'ERR_INVALID_ARG_VALUE',
      new RegExp(`options\\.${key}`),
    );
  });

  test('captureStack is refused for a command', () => {
    const options = { worker: { command: 'a' }, captureStack: true };
    expectRefused(options, 'ERR_INVALID_ARG_VALUE', /options\.captureStack/);
    expect(
      resolveOptions({ ...options, captureStack: false }, () => CORES).config.captureStack,
    ).toBe(false);
  });

  test('serialization "advanced" is refused for a command', () => {
    const options = { worker: { command: 'a' }, serialization: 'advanced' };
    expectRefused(options, 'ERR_INVALID_ARG_VALUE', /options\.serialization/);
  });
});

describe('env', () => {
  afterEach(() => vi.unstubAllEnvs());

  test('[H8] env is exactly the environment of the workers', () => {
    const env = { A: 'x=y', N: 1, B: true, EMPTY: '', NONE: undefined };
    expect(configOf({ env }).env).toEqual(['A=x=y', 'N=1', 'B=true', 'EMPTY=']);
    expect(configOf({ env: Object.create({ INHERITED: '1' }) }).env).toEqual([]);
  });

  test('[C12, H9] without env, workers have a copy of ours, without what ties it to a parent or a debugger', () => {
    vi.stubEnv('NODE_CHANNEL_FD', '3');
    vi.stubEnv('NODE_CHANNEL_SERIALIZATION_MODE', 'json');
    vi.stubEnv('NODE_UNIQUE_ID', '1');
    vi.stubEnv('NODE_OPTIONS', '--inspect-brk=0.0.0.0:9229 --max-old-space-size=99 --inspect');
    vi.stubEnv('BULKHEAD_TEST', 'here');
    const { env } = configOf({});
    expect(env).toContain('BULKHEAD_TEST=here');
    expect(env).toContain('NODE_OPTIONS=--max-old-space-size=99');
    expect(env.filter((pair) => /^NODE_(CHANNEL|UNIQUE)/.test(pair))).toEqual([]);
  });
});

describe('execArgv', () => {
  const execArgv = [...process.execArgv];
  afterEach(() => {
    process.execArgv = execArgv;
  });

  test('execArgv is exactly the flags of the workers', () => {
    expect(configOf({ execArgv: ['--inspect', '-e', '1'] }).args.slice(0, 3)).toEqual([
      '--inspect',
      '-e',
      '1',
    ]);
  });

  test.each([
    [['--inspect', '--inspect-brk=9229', '--enable-source-maps']],
    [['-e', '-1', '--enable-source-maps']],
    [['--eval=1', '--enable-source-maps', '-p', '1 + 1']],
    [
      [
        '--test',
        '--test-reporter',
        'spec',
        '--test-concurrency=2',
        '--enable-source-maps',
        '--watch',
      ],
    ],
    [['--input-type=module', '--watch-path', './src', '--enable-source-maps']],
  ])('without execArgv, workers have our flags except those for us alone: %o', (flags) => {
    process.execArgv = flags;
    expect(configOf({}).args.slice(0, -1)).toEqual(['--enable-source-maps']);
  });

  test('without execArgv, flags with values keep them', () => {
    process.execArgv = ['-r', './hook.js', '--import', 'tsx', '--max-old-space-size=100'];
    expect(configOf({}).args.slice(0, -1)).toEqual(process.execArgv);
  });
});

describe("flags for the workers' debuggers", () => {
  const LOOPBACK = '127.0.0.1';

  test.each([
    [['--inspect'], LOOPBACK, 0],
    [['--inspect-brk'], LOOPBACK, 0],
    [['--inspect=9300'], LOOPBACK, 9300],
    [['--inspect=0.0.0.0:9300'], '0.0.0.0', 9300],
    [['--inspect=0.0.0.0'], '0.0.0.0', 0],
    [['--inspect=[::1]:9300'], '::1', 9300],
    [['--inspect=[::1]'], '::1', 0],
    [['--inspect=localhost:9300', '--inspect-port=9400'], 'localhost', 9400],
    [['--debug-port', '9400', '--inspect_wait'], LOOPBACK, 9400],
    [['--inspect=99999'], LOOPBACK, 0],
  ])('the debugger flags %o are understood', (execArgv, host, port) => {
    const flags = ['--no-warnings', ...execArgv];
    expect(configOf({ execArgv: flags }).inspect).toEqual({ position: flags.length, host, port });
    const quoted = flags.map((flag) => `"${flag.replace('in', '\\in')}"`).join('  ');
    const env = { NODE_OPTIONS: quoted };
    expect(configOf({ env, execArgv: ['--no-warnings'] }).inspect).toEqual({
      position: 1,
      host,
      port,
    });
  });

  test('debugger flags of the command line override those of the environment', () => {
    const env = { NODE_OPTIONS: '--inspect=0.0.0.0:9300' };
    expect(configOf({ env, execArgv: ['--inspect=9400'] }).inspect).toMatchObject({
      host: '0.0.0.0',
      port: 9400,
    });
  });

  test.each([[[]], [['--inspect-port=9300']], [['--no-warnings']]])(
    'flags without a debugger open none: %o',
    (execArgv) => {
      expect(configOf({ execArgv, env: {} }).inspect).toBe(null);
    },
  );

  test('a worker that waits for a debugger has no startTimeout but a given one', () => {
    for (const flag of ['--inspect-brk', '--inspect-wait=9300']) {
      expect(configOf({ execArgv: [flag] }).startTimeout).toBe(2 ** 31 - 1);
      expect(configOf({ execArgv: [flag], startTimeout: 5 }).startTimeout).toBe(5);
    }
    expect(configOf({ execArgv: ['--inspect'] }).startTimeout).toBe(30_000);
  });
});

describe('task options', () => {
  const refused = (options, kind = 'built-in') => {
    try {
      resolveTaskOptions(options, kind);
    } catch (error) {
      return error.code;
    }
    return 'accepted';
  };

  test('task options default to those of the pool', () => {
    const nothing = {
      priority: 0,
      key: null,
      timeout: -1,
      retries: -1,
      signal: null,
      handler: null,
      filename: null,
      onProgress: null,
      trace: null,
    };
    expect(resolveTaskOptions(undefined, 'module')).toEqual(nothing);
    expect(resolveTaskOptions({ timeout: undefined }, 'module')).toEqual(nothing);
    expect(resolveTaskOptions({ timeout: 0, retries: 0 }, 'module')).toMatchObject({
      timeout: 0,
      retries: 0,
    });
  });

  test.each([
    [{ timeout: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ timeout: '1' }, 'ERR_INVALID_ARG_TYPE'],
    [{ retries: 0.5 }, 'ERR_OUT_OF_RANGE'],
    [{ signal: {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ signal: null }, 'ERR_INVALID_ARG_TYPE'],
    [{ handler: '' }, 'ERR_INVALID_ARG_VALUE'],
    [{ handler: () => {} }, 'ERR_INVALID_ARG_TYPE'],
    [{ filename: 5 }, 'ERR_INVALID_ARG_TYPE'],
    [{ filename: 'http://example.com/' }, 'ERR_INVALID_ARG_VALUE'],
    [{ trace: 'x' }, 'ERR_INVALID_ARG_VALUE'],
    [{ retry: 1 }, 'ERR_INVALID_ARG_VALUE'],
    [null, 'ERR_INVALID_ARG_TYPE'],
  ])('the task options %o are refused', (options, code) => {
    expect(refused(options)).toBe(code);
  });

  test('the task option filename is for the built-in worker only', () => {
    expect(resolveTaskOptions({ filename: './task.mjs' }, 'built-in').filename).toBe(
      pathToFileURL(path.resolve('task.mjs')).href,
    );
    expect(refused({ filename: './task.mjs' }, 'module')).toBe('ERR_INVALID_ARG_VALUE');
    expect(refused({ filename: './task.mjs' }, 'command')).toBe('ERR_INVALID_ARG_VALUE');
  });

  test('wrong task options throw from distributeTask() and reject from run() and exec(); nothing is accepted', async () => {
    const pool = new ProcessManager();
    expect(() => pool.distributeTask(1, { nope: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_VALUE' }),
    );
    await expect(pool.run(1, { nope: 1 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    await expect(pool.exec(() => 1, [], { nope: 1 })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARG_VALUE',
    });
    await expect(pool.exec('1')).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    await expect(pool.exec(() => 1, 1)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_TYPE' });
    await expect(pool.exec(Math.max)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    await expect(pool.exec(class {})).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect(() => pool.cancel({})).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARG_TYPE' }),
    );
    expect(pool.stats().tasks.accepted).toBe(0);
    expect(await pool.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 0 });
  });

  test('exec() needs a worker of Node', async () => {
    const pool = new ProcessManager({ worker: { command: '/bin/cat' } });
    await expect(pool.exec(() => 1)).rejects.toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    await pool.shutdown();
  });
});

describe('shutdown() options', () => {
  test('shutdown() waits without a time limit by default', () => {
    expect(resolveShutdownOptions(undefined)).toEqual({ timeout: Infinity, drain: 'all' });
    expect(resolveShutdownOptions({ timeout: 5, drain: 'running' })).toEqual({
      timeout: 5,
      drain: 'running',
    });
  });

  test.each([
    [{ timeout: -1 }, 'ERR_OUT_OF_RANGE'],
    [{ timeout: '1' }, 'ERR_INVALID_ARG_TYPE'],
    [{ drain: 'none' }, 'ERR_INVALID_ARG_VALUE'],
    [{ force: true }, 'ERR_INVALID_ARG_VALUE'],
  ])('shutdown(%o) is refused, and closes nothing', async (options, code) => {
    const pool = new ProcessManager();
    await expect(pool.shutdown(options)).rejects.toMatchObject({ code });
    expect(await pool.run({ data: 'still open' })).toBe('still open');
    await pool.shutdown();
  });
});
