// Worker modules in TypeScript, by the tools that users run their programs with: hooks of `require`
// (ts-node, esbuild-register, @swc-node/register), ts-node and tsx as commands. All of them support
// enums, which Node's own type stripping does not.

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { root } from './support/harness.js';
import { installed } from './support/installed.js';
import { run, toolPath, withToolchain } from './support/toolchain.js';

const tsconfig = {
  compilerOptions: {
    module: 'commonjs',
    target: 'es2022',
    esModuleInterop: true,
    skipLibCheck: true,
    experimentalDecorators: true,
  },
};
const files = {
  'package.json': '{ "name": "user" }',
  'tsconfig.json': JSON.stringify(tsconfig),
  'add.ts':
    'export enum Step { One = 1, Two }\nexport const add = (a: number, b: Step): number => a + b;',
  'worker.ts': `
    import { basename } from 'node:path';
    import { Step, add } from './add';
    class Task { constructor(public data: number) {} }
    export default function work({ data }: Task): unknown {
      return [add(data, Step.Two), basename(__filename), basename(process.argv[1]), require.main === module];
    }`,
  'folder/index.ts': 'export default (): string => __filename.slice(-15);',
  'handlers.cts':
    'enum Answer { Yes = 42 }\nexport const handlers = { answer: (): Answer => Answer.Yes };',
  'main.ts': `
    import { ProcessManager } from 'bulkhead';
    import { join } from 'node:path';
    enum Names { ByFile = 'worker.ts', ByOutput = 'worker.js', ByName = 'worker' }
    async function main(): Promise<void> {
      const seen: unknown[] = [];
      for (const name of [Names.ByFile, Names.ByOutput, Names.ByName, 'folder']) {
        const pool = new ProcessManager({ worker: join(__dirname, name), maxWorkers: 1 });
        seen.push(await pool.run({ data: 40 }));
        await pool.shutdown();
      }
      const builtin = new ProcessManager({ maxWorkers: 1 });
      seen.push(await builtin.run({ data: 1 }, { filename: join(__dirname, 'worker.ts') }));
      await builtin.shutdown();
      console.log(JSON.stringify(seen));
    }
    void main();`,
};
const answer = [42, 'worker.ts', 'worker.ts', true];
/** A module that a task of the built-in worker names was not started as the main module. */
const expected = [
  answer,
  answer,
  answer,
  'folder/index.ts',
  [3, 'worker.ts', expect.any(String), false],
];

const packages = [
  'typescript',
  'ts-node',
  '@swc-node',
  '@swc',
  'esbuild-register',
  'esbuild',
  'tslib',
];
const user = (more = {}) =>
  installed({ ...files, ...more }, [
    ...packages.map(toolPath),
    join(root, 'node_modules', '@types'),
  ]);

const TS_NODE = join('node_modules', 'ts-node', 'dist', 'bin.js');
const TSX = join(root, 'node_modules', 'tsx', 'dist', 'cli.mjs');

function expectAnswers(args, folder) {
  const { status, stdout, stderr } = run([...args, 'main.ts'], { cwd: folder });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(JSON.parse(stdout)).toEqual(expected);
}

withToolchain('[XA6] a worker module in TypeScript', () => {
  test.each([
    ['-r ts-node/register/transpile-only', ['-r', 'ts-node/register/transpile-only']],
    ['-r esbuild-register', ['-r', 'esbuild-register']],
    ['-r @swc-node/register', ['-r', '@swc-node/register']],
    ['ts-node --transpile-only', [TS_NODE, '--transpile-only']],
    ['ts-node --swc', [TS_NODE, '--swc']],
  ])(
    'a worker module in TypeScript runs in a program that is run by %s, as under fork',
    (_, args) => {
      expectAnswers(args, user());
    },
  );

  test('a worker module in TypeScript runs by a hook given by execArgv, beside one of import()', () => {
    const hook = 'data:text/javascript,globalThis.preloaded = true';
    const folder = user({
      'main.mjs': `
        import { ProcessManager } from 'bulkhead';
        const execArgv = ['--import', ${JSON.stringify(hook)}, '-r', 'esbuild-register'];
        for (const [worker, task] of [['worker.ts', { data: 40 }], ['handlers.cts', { type: 'answer' }]]) {
          const pool = new ProcessManager({ worker, maxWorkers: 1, execArgv });
          console.log(JSON.stringify(await pool.run(task)));
          await pool.shutdown();
        }`,
    });
    const { stdout, stderr } = run(['main.mjs'], { cwd: folder });
    expect({ stdout, stderr }).toEqual({ stdout: `${JSON.stringify(answer)}\n42\n`, stderr: '' });
  });

  test('a worker module in TypeScript of a package of ES modules is not given to a hook of require', () => {
    const folder = user({
      'package.json': '{ "name": "user", "type": "module" }',
      'esm.ts': 'export default (): string => typeof require;',
      'main.mjs': `
        import { ProcessManager } from 'bulkhead';
        const pool = new ProcessManager({ worker: 'esm.ts', maxWorkers: 1, stdio: 'ignore', execArgv: ['-r', 'esbuild-register'] });
        pool.on('error', () => {});
        const failed = (error) => error.cause.cause.code;
        console.log(await pool.run(1).catch(failed));
        await pool.shutdown();`,
    });
    const { stdout } = run(['main.mjs'], { cwd: folder });
    // Node's own type stripping, where it is; esbuild-register has no way to load an ES module.
    expect(stdout).toBe(
      process.features.typescript ? 'undefined\n' : 'ERR_UNKNOWN_FILE_EXTENSION\n',
    );
  });
});

describe('[XA7] a worker module in TypeScript', () => {
  test('a worker module in TypeScript is found by its JavaScript name, without extension and as a folder, in a program run by tsx', () => {
    expectAnswers([TSX], installed(files));
  });
});
