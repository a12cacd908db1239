// Functions by value as compilers, test runners and coverage tools leave them: exec() sends their
// text.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';
import { describe, expect, test } from 'vitest';
import { failure, pool, root } from './support/harness.js';
import { installed } from './support/installed.js';
import { run, tool, withToolchain } from './support/toolchain.js';

/**
 * One function for each construct that compilers have helpers for. No text can hold `outer` and
 * `os`.
 */
const SOURCE = `
import os from 'node:os';
const outer: number = 7;
export const functions = {
  inner: (n: number) => {
    function double(a: number) { return a * 2; }
    const next = (a: number) => a + 1;
    return [double(n), next(n), double.name, next.name];
  },
  imports: async () => (await import('node:path')).basename('/a/b'),
  later: async (n: number) => { await null; return n; },
  spread: (n: number) => { const { a, ...rest } = { a: [n], b: 1 }; return { ...rest, c: [...a] }; },
  outer: () => outer,
  outerLater: async () => { await null; return outer; },
  generator: async function* () { yield 1; yield outer; },
  os: () => os.cpus().length,
};`;

/**
 * The functions in JavaScript. They are compiled once in here, so that esbuild's own process exists
 * before the first test looks for children.
 */
const PLAIN = transformSync(SOURCE, { loader: 'ts', format: 'esm' }).code;
const KEEPING_NAMES = transformSync(SOURCE, { loader: 'ts', format: 'esm', keepNames: true }).code;

/**
 * Prints the outcome of each function by its name: the value, or class and message of the error.
 */
const PROGRAM = `
import { ProcessManager } from 'bulkhead';
import { functions } from './functions.FORM';
const pool = new ProcessManager({ maxWorkers: 1, execArgv: [] });
const seen = {};
for (const [name, fn] of Object.entries(functions)) {
  seen[name] = await pool.exec(fn, [3]).catch((error) => ({ name: error.name, message: error.message, stack: error.stack }));
}
await pool.shutdown();
console.log(JSON.stringify(seen));`;

function outcomes(code, { extension = 'mjs', nodeArgs = [] } = {}) {
  const functions = `functions.${extension}`;
  const main = `main.${extension === 'cjs' ? 'mjs' : extension}`;
  const folder = installed({
    [functions]: code,
    [main]: PROGRAM.replace('functions.FORM', functions),
  });
  const { status, stdout, stderr } = run([...nodeArgs, main], { cwd: folder });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

const VALUES = {
  inner: [6, 4, 'double', 'next'],
  imports: 'b',
  later: 3,
  spread: { b: 1, c: [3] },
};

/** The error about a variable that has not travelled. */
function missing(name, why) {
  return {
    name: 'ReferenceError',
    message: expect.stringMatching(
      new RegExp(`^${name} is not defined in the worker: exec\\(\\) sends .*${why}`),
    ),
    // The error is unchanged, with its place.
    stack: expect.stringMatching(
      /^ReferenceError: .+ is not defined in the worker: .+\n +at .+bulkhead exec/,
    ),
  };
}
const forOthers = 'its outer variables.*as arguments.*import\\(\\).*worker module';
const forHelpers = 'compiler helpers.*ES2022.*worker module';
const forCoverage = 'coverage tool.*istanbul ignore next.*worker module';

const STAYS_BEHIND = Object.fromEntries(
  ['outer', 'outerLater', 'generator'].map((name) => [name, missing('outer', forOthers)]),
);

describe('[XA5] exec() of compiled functions', () => {
  test('exec() of a function compiled by esbuild with keepNames keeps the names of inner functions', () => {
    expect(KEEPING_NAMES).toContain('__name(');
    expect(outcomes(KEEPING_NAMES)).toEqual({
      ...VALUES,
      ...STAYS_BEHIND,
      os: missing('os', forOthers),
    });
  });

  test('exec() in a program run by tsx works, and names outer variables that have not travelled', () => {
    const nodeArgs = [join(root, 'node_modules', 'tsx', 'dist', 'cli.mjs')];
    expect(outcomes(SOURCE, { extension: 'mts', nodeArgs })).toEqual({
      ...VALUES,
      ...STAYS_BEHIND,
      os: missing('os', forOthers),
    });
  });

  test('exec() of a function in a test of Vitest may import()', async () => {
    const manager = pool({ maxWorkers: 1 });
    const basename = async (path) => (await import('node:path')).basename(path);
    expect(String(basename)).toContain('__vite_ssr_dynamic_import__');
    await expect(manager.exec(basename, ['/a/b'])).resolves.toBe('b');
    const error = await failure(manager.exec(() => join('a', 'b')));
    expect(error).toBeInstanceOf(ReferenceError);
    expect(error.message).toMatch(
      /^__vite_ssr_import_\d+__ is not defined in the worker: (?!.*ES2022)/,
    );
  });

  test('a function of exec() sees no helper that it does not name, and no other code sees one', async () => {
    const manager = pool({ maxWorkers: 1 });
    const seen = () => [
      typeof globalThis.__name,
      Object.keys(globalThis).filter((key) => key.startsWith('__')),
    ];
    await expect(manager.exec(seen)).resolves.toEqual(['undefined', []]);
    const own = new Function('return (__name) => __name;')();
    await expect(manager.exec(own, [7])).resolves.toBe(7);
  });

  test.each([
    [
      'of its own making',
      () => {
        throw new ReferenceError('other is not what it was');
      },
      'other is not what it was',
    ],
    [
      'about what a module of its lacks',
      () => {
        throw new ReferenceError('absent is not defined');
      },
      /^absent is not defined in/,
    ],
    [
      'of a name that it does not contain',
      (a, b) => {
        throw new ReferenceError(`${a}${b} is not defined`);
      },
      'xy is not defined',
    ],
    [
      'of a part of a name',
      (a) => {
        const xyz = a;
        throw new ReferenceError(`${xyz}y is not defined`);
      },
      'xy is not defined',
    ],
    [
      'of a global',
      () => {
        throw new ReferenceError('process is not defined');
      },
      'process is not defined',
    ],
    [
      'that is frozen',
      () => {
        throw Object.freeze(new ReferenceError('frozen is not defined'));
      },
      'frozen is not defined',
    ],
  ])('a function of exec() that throws a ReferenceError %s keeps it', async (_, fn, message) => {
    const error = await failure(pool({ maxWorkers: 1 }).exec(fn, ['x', 'y']));
    expect(error).toBeInstanceOf(ReferenceError);
    if (typeof message === 'string') expect(error.message).toBe(message);
    else expect(error.message).toMatch(message);
  });
});

withToolchain('[XA5] exec() of a function that was compiled', () => {
  test.each([
    ['', { importHelpers: false }],
    [', with tslib', { importHelpers: true }],
  ])(
    'exec() of a function compiled by TypeScript for ES2016%s names the helper that has not travelled',
    (_, options) => {
      const ts = tool('typescript');
      const compilerOptions = { target: 'ES2016', module: 'ESNext', ...options };
      const code = ts
        .transpileModule(SOURCE, { compilerOptions })
        .outputText.replace(/^import .* from "tslib";$/m, '');
      const helper = missing('__awaiter', forHelpers);
      expect(outcomes(code)).toEqual({
        inner: VALUES.inner,
        imports: helper,
        later: helper,
        outerLater: helper,
        spread: missing('__rest', forHelpers),
        outer: missing('outer', forOthers),
        generator: missing('__asyncGenerator', forHelpers),
        os: missing('os', forOthers),
      });
    },
  );

  test('exec() of a function compiled by SWC names the helper that has not travelled', () => {
    const options = {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2016' },
      module: { type: 'es6' },
    };
    const { code } = tool('@swc/core').transformSync(SOURCE, options);
    expect(outcomes(code)).toMatchObject({
      inner: VALUES.inner,
      later: missing('_async_to_generator', forHelpers),
      spread: missing('_object_without_properties', forHelpers),
    });
    const common = {
      jsc: { parser: { syntax: 'typescript' }, target: 'es2022' },
      module: { type: 'commonjs' },
    };
    const { code: required } = tool('@swc/core').transformSync(SOURCE, common);
    expect(outcomes(required, { extension: 'cjs' })).toMatchObject({
      later: 3,
      imports: missing('_interop_require_wildcard', forHelpers),
      os: missing('_nodeos', forHelpers),
    });
  });

  test('exec() of a function bundled by webpack for production names what has not travelled', async () => {
    const folder = installed({ 'source.mjs': PLAIN, 'main.mjs': '' });
    const options = {
      mode: 'production',
      target: 'node',
      entry: join(folder, 'source.mjs'),
      experiments: { outputModule: true },
      output: { path: folder, filename: 'functions.mjs', library: { type: 'module' } },
    };
    const stats = await new Promise((resolve, reject) =>
      tool('webpack')(options, (error, stats) => (error ? reject(error) : resolve(stats))),
    );
    expect(stats.toJson({ all: false, errors: true }).errors).toEqual([]);
    writeFileSync(join(folder, 'main.mjs'), PROGRAM.replace('functions.FORM', 'functions.mjs'));
    const { status, stdout, stderr } = run(['main.mjs'], { cwd: folder });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const seen = JSON.parse(stdout);
    expect(seen).toMatchObject({ later: 3, spread: VALUES.spread });
    expect(seen.os).toEqual(missing('\\w+', forOthers));
  });

  test('exec() of a function under Istanbul coverage says how to leave it out, and then works', () => {
    const { createInstrumenter } = tool('istanbul-lib-instrument');
    const instrumented = (text) =>
      createInstrumenter({ esModules: true }).instrumentSync(text, 'functions.js');
    for (const outcome of Object.values(outcomes(instrumented(PLAIN)))) {
      expect(outcome).toEqual(missing('cov_\\w+', forCoverage));
    }
    const ignored = PLAIN.replace(/later: /, 'later: /* istanbul ignore next */ ');
    expect(outcomes(instrumented(ignored))).toMatchObject({ later: 3 });
  });
});
