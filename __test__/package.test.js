// The package as users get it: packed, installed into an empty project, and used from there.

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);
const minutes = 60_000;

let folder;
let project;
let tarball;
let packed;
/** The output of npm's installation, beside its success. */
let warnings;

/** Runs a program to its end; a failure shows all that it printed. */
async function run(command, args, cwd = project) {
  return (await outputOf(command, args, cwd)).stdout;
}

async function outputOf(command, args, cwd) {
  try {
    return await promisify(execFile)(command, args, { cwd, timeout: 2 * minutes });
  } catch (error) {
    throw new Error(`${error.message}\n${error.stdout}\n${error.stderr}`);
  }
}

function platform() {
  const { platform, arch } = process;
  if (platform !== 'linux') return `${platform}-${arch}`;
  const { glibcVersionRuntime } = process.report.getReport().header;
  return `linux-${arch}-${glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

/** @returns the path of a program of this repository's node_modules */
function bin(packageName, program) {
  const manifest = join(root, 'node_modules', packageName, 'package.json');
  const { bin } = require(manifest);
  return join(dirname(manifest), typeof bin === 'string' ? bin : bin[program]);
}

async function pack(command, ...args) {
  const printed = JSON.parse(await run(command, args, folder));
  // npm 11 prints a list, npm 12 an object by name.
  const [description] = Array.isArray(printed) ? printed : Object.values(printed);
  return description;
}

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'bulkhead-package-')));
  project = join(folder, 'project');
  packed = await pack(process.execPath, join(root, 'scripts', 'pack.mjs'), folder);
  tarball = join(folder, packed.filename);

  const native = join(folder, 'native');
  await cp(join(root, 'npm', platform()), native, { recursive: true });
  const addon = `bulkhead.${platform()}.node`;
  await cp(join(root, addon), join(native, addon));
  const nativeTarball = join(folder, (await pack('npm', 'pack', native, '--json')).filename);

  await mkdir(project);
  await writeFile(join(project, 'package.json'), '{ "name": "empty-project", "private": true }');
  const install = ['install', '--offline', '--no-audit', '--no-fund', tarball, nativeTarball];
  warnings = (await outputOf('npm', install, project)).stderr;
}, 3 * minutes);

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the tarball', () => {
  test('the tarball has the code and its description, and nothing to compile', async () => {
    const files = packed.files.map((file) => file.path);
    const entries = ['index', 'worker'].flatMap((name) =>
      ['.js', '.mjs', '.d.ts', '.d.mts'].map((type) => name + type),
    );
    expect(files).toEqual(expect.arrayContaining([...entries, 'native.cjs', 'native.d.cts']));
    expect(files).toEqual(expect.arrayContaining(['README.md', 'CHANGELOG.md', 'LICENSE']));
    expect(files.filter((file) => file.includes('/'))).toEqual([
      'dist/index.js',
      'dist/worker.js',
      'types/worker-module.d.ts',
    ]);
    expect(files.filter((file) => /\.(node|rs|toml|lock)$/.test(file))).toEqual([]);
  });

  test('[XA17] the tarball has a manifest without anything that is for a checkout only', async () => {
    const manifest = JSON.parse(
      await readFile(join(project, 'node_modules', 'bulkhead', 'package.json'), 'utf8'),
    );
    const { scripts, devDependencies, overrides, napi, ...published } = require(
      join(root, 'package.json'),
    );
    expect(manifest).toEqual(published);
    expect(Object.keys(manifest)).toEqual(
      expect.arrayContaining([
        'name',
        'version',
        'license',
        'main',
        'types',
        'exports',
        'files',
        'engines',
      ]),
    );
  });

  test('the tarball has no dependency but the platform packages', async () => {
    const { dependencies, optionalDependencies } = JSON.parse(
      await readFile(join(root, 'package.json'), 'utf8'),
    );
    expect(dependencies).toBeUndefined();
    expect(
      Object.keys(optionalDependencies ?? {}).filter((name) => !name.startsWith('bulkhead-')),
    ).toEqual([]);
  });

  test('[XA17] the tarball runs nothing when it is installed, and npm knows of no script', async () => {
    // npm builds a package that has this file, and no script of its own, with node-gyp.
    expect(packed.files.map((file) => file.path)).not.toContain('binding.gyp');
    for (const name of await readdir(join(root, 'npm'))) {
      expect(require(join(root, 'npm', name, 'package.json')).scripts).toBeUndefined();
    }
    const lock = JSON.parse(await readFile(join(project, 'package-lock.json'), 'utf8'));
    const installed = Object.entries(lock.packages).filter(([name]) => name !== '');
    expect(installed.map(([name]) => name)).toContain('node_modules/bulkhead');
    expect(installed.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(warnings).not.toMatch(/bulkhead|script/);
  });

  test('[XA17] the tarball is published by `npm run pack`, and the checkout refuses to be', async () => {
    const { scripts } = require(join(root, 'package.json'));
    await expect(run('sh', ['-c', scripts.prepublishOnly], root)).rejects.toThrow(
      'publish the tarball',
    );
  });

  test('the tarball passes publint', async () => {
    await run(process.execPath, [bin('publint', 'publint'), 'run', tarball, '--strict']);
  });

  test('the tarball has correct types for every way of importing it', async () => {
    await run(process.execPath, [
      bin('@arethetypeswrong/cli', 'attw'),
      tarball,
      '--format',
      'ascii',
      '--no-color',
    ]);
  });
});

test('every platform that the addon is built for has its package, in the same version', async () => {
  const { version, napi } = require(join(root, 'package.json'));
  const platforms = await readdir(join(root, 'npm'));
  expect(platforms).toHaveLength(napi.targets.length);
  for (const name of platforms) {
    const manifest = require(join(root, 'npm', name, 'package.json'));
    expect(manifest).toMatchObject({
      name: `bulkhead-${name}`,
      version,
      files: [`bulkhead.${name}.node`],
    });
  }
});

// Each program prints the result of one task and must end by itself.
const use = `
  const pool = new ProcessManager({ maxWorkers: 1, minWorkers: 1 });
  pool.on('result', ({ taskId, result, processedBy }) => {
    console.log(JSON.stringify({ taskId, result, elsewhere: processedBy !== process.pid }));
  });
  pool.distributeTask({ id: 7, data: 'some data' });
  pool.shutdown();
`;
const printed = { taskId: 7, result: 'some data', elsewhere: true };

describe('the installed package', () => {
  test('[R2] the installed package works from CommonJS', async () => {
    await writeFile(
      join(project, 'main.cjs'),
      `const ProcessManager = require('bulkhead');
       if (ProcessManager !== ProcessManager.ProcessManager) throw new Error('two classes');
       ${use}`,
    );
    expect(JSON.parse(await run(process.execPath, ['main.cjs']))).toEqual(printed);
  });

  test('[R2] the installed package works from an ES module, with the same class', async () => {
    await writeFile(
      join(project, 'main.mjs'),
      `import { createRequire } from 'node:module';
       import ProcessManager, { ProcessManager as named } from 'bulkhead';
       const required = createRequire(import.meta.url)('bulkhead');
       if (ProcessManager !== named || ProcessManager !== required) throw new Error('two classes');
       ${use}`,
    );
    expect(JSON.parse(await run(process.execPath, ['main.mjs']))).toEqual(printed);
  });

  test(
    'the installed package works from TypeScript',
    async () => {
      await writeFile(
        join(project, 'worker.mts'),
        `import type { TaskContext } from 'bulkhead/worker';
       export default function double(task: { id: number; data: number }, ctx: TaskContext): number {
         ctx.signal.throwIfAborted();
         return task.data * 2;
       }`,
      );
      await writeFile(
        join(project, 'main.mts'),
        `import ProcessManager, { BulkheadError, ProcessManager as Named } from 'bulkhead';
       const pool: Named = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 1, minWorkers: 1 });
       pool.on('error', (error) => console.error(error instanceof BulkheadError ? error.code : error));
       console.log(JSON.stringify(await pool.run({ id: 1, data: 21 })));
       await pool.shutdown();
       export const typed = new ProcessManager<typeof import('./worker.mjs')>();
       export const result: Promise<number> = typed.run({ id: 1, data: 21 });
       export const called: ReturnType<typeof typed.proxy.default> = result;
       // @ts-expect-error no number
       typed.run({ id: 1, data: 'text' });`,
      );
      await writeFile(
        join(project, 'main.cts'),
        `import ProcessManager = require('bulkhead');
       export const pool: ProcessManager.ProcessManager = new ProcessManager({ taskTimeout: 1000 });
       export const proxy: ProcessManager.WorkerProxy<Halves> = pool.createProxy<Halves>();
       interface Halves { half(n: number): number }`,
      );
      await writeFile(
        join(project, 'tsconfig.json'),
        JSON.stringify({
          compilerOptions: {
            target: 'es2022',
            module: 'nodenext',
            strict: true,
            skipLibCheck: false,
            types: ['node'],
            typeRoots: [join(root, 'node_modules/@types')],
          },
          include: ['*.mts', '*.cts'],
        }),
      );
      await run(process.execPath, [bin('typescript', 'tsc'), '-p', '.']);
      expect(JSON.parse(await run(process.execPath, ['main.mjs']))).toBe(42);
    },
    2 * minutes,
  );

  test.each([
    ['node10', 'commonjs', 'main.ts'],
    ['node16', 'node16', 'main.mts'],
    ['node16', 'node16', 'main.cts'],
    ['bundler', 'esnext', 'main.ts'],
  ])(
    'moduleResolution %s, module %s: the types of %s know the worker module',
    async (moduleResolution, module, name) => {
      const folder = join(project, `types-${moduleResolution}-${name}`);
      await mkdir(folder);
      const file = join(folder, name);
      await writeFile(
        file,
        `import { ProcessManager, type TaskOptions } from 'bulkhead';
       import { isWorker } from 'bulkhead/worker';
       interface Module { double(n: number): number; handlers: { up(task: { data: string }): string } }
       const pool = new ProcessManager<Module>();
       const options: Omit<TaskOptions, 'handler'> = { priority: isWorker ? 1 : 2 };
       export const doubled: Promise<number> = pool.run(1, { handler: 'double', ...options });
       export const upper: AsyncIterableIterator<string> = pool.map([{ type: 'up', data: 'a' }]);
       // @ts-expect-error no such handler
       pool.run(1, { handler: 'absent' });`,
      );
      const { options, errors } = ts.convertCompilerOptionsFromJson(
        {
          target: 'es2022',
          module,
          moduleResolution,
          ignoreDeprecations: '6.0',
          strict: true,
          noEmit: true,
          types: ['node'],
          typeRoots: [join(root, 'node_modules/@types')],
        },
        folder,
      );
      expect(errors).toEqual([]);
      const program = ts.createProgram([file], options);
      // All but Node's own types, which take seconds.
      const checked = program
        .getSourceFiles()
        .filter((source) => source.fileName.startsWith(project));
      const names = checked.map(({ fileName }) => fileName.slice(project.length + 1));
      expect(names).toContain('node_modules/bulkhead/types/worker-module.d.ts');
      const problems = checked.flatMap((source) => [
        ...program.getSyntacticDiagnostics(source),
        ...program.getSemanticDiagnostics(source),
      ]);
      expect(
        problems.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
      ).toEqual([]);
    },
  );
});

// A debug build, because `cargo test` has compiled its dependencies. It takes the feature away, and
// the build that is published differs from it by the profile only.
test.skipIf(!process.env.CI)(
  'an addon without the feature `fail-points` ignores BULKHEAD_FAIL_POINT',
  async () => {
    const target = join(root, 'target');
    await run('cargo', ['build', '--locked', '--quiet', '--lib', '--target-dir', target], root);
    const library = process.platform === 'darwin' ? 'libbulkhead.dylib' : 'libbulkhead.so';
    const addon = join(folder, 'published.node');
    await cp(join(target, 'debug', library), addon);
    await writeFile(
      join(project, 'fail-point.cjs'),
      `const ProcessManager = require('bulkhead'); ${use}`,
    );
    const env = {
      ...process.env,
      NAPI_RS_NATIVE_LIBRARY_PATH: addon,
      BULKHEAD_FAIL_POINT: 'task SIGKILL',
    };
    const { stdout } = await promisify(execFile)(process.execPath, ['fail-point.cjs'], {
      cwd: project,
      env,
    });
    expect(JSON.parse(stdout)).toEqual(printed);
  },
  3 * minutes,
);
