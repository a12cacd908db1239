// docs/migrating.md is complete: every option, method and export of a library has its row, as the
// library's own types have it. And it promises nothing that is missing: the replacements it names
// are in index.d.ts. (docs.test.js runs the programs of that page.)

import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { project, root } from './support/harness.js';

/**
 * The names of each library, as types that TypeScript turns into lists, by the section of the page.
 */
const SURFACES = {
  piscina: `
    import type { EventEmitterAsyncResource as Emitter } from 'node:events';
    import { Piscina } from 'piscina';
    type Static = Exclude<keyof typeof Piscina, keyof typeof Emitter>;
    export type Names = keyof NonNullable<ConstructorParameters<typeof Piscina>[0]> | Exclude<keyof Piscina, keyof Emitter>
      | keyof NonNullable<Parameters<Piscina['run']>[1]> | keyof NonNullable<Parameters<Piscina['close']>[0]>
      | Exclude<keyof Piscina['histogram'], 'runTime' | 'waitTime'> | Static
      | Exclude<keyof typeof import('piscina'), 'default'>;`,
  tinypool: `
    import type { EventEmitterAsyncResource as Emitter } from 'node:events';
    import { type Options, Tinypool, type TinypoolChannel } from 'tinypool';
    type Static = Exclude<keyof typeof Tinypool, keyof typeof Emitter>;
    export type Names = keyof Options | Exclude<keyof Tinypool, keyof Emitter>
      | keyof NonNullable<Parameters<Tinypool['run']>[1]> | Static
      | Exclude<keyof typeof import('tinypool'), 'default' | 'Tinypool'>;`,
  workerpool: `
    import type { Pool, WorkerPoolOptions, WorkerRegisterOptions } from 'workerpool';
    type Task = ReturnType<Pool['exec']>;
    export type Names = keyof WorkerPoolOptions | keyof WorkerRegisterOptions | Exclude<keyof Pool, 'forkArgs'>
      | keyof NonNullable<Parameters<Pool['exec']>[2]> | Exclude<keyof Task, 'then' | 'catch' | 'finally'>
      | keyof ReturnType<Pool['stats']> | Exclude<keyof typeof import('workerpool'), 'default'>;`,
  poolifier: `
    import type { ClusterPoolOptions, FixedClusterPool, IPool, PoolInfo, TaskFunctionObject, TasksQueueOptions, ThreadPoolOptions,
      WorkerChoiceStrategyOptions, WorkerOptions } from 'poolifier';
    import { ClusterWorker, PoolEvents } from 'poolifier';
    export type Names = keyof ClusterPoolOptions | keyof ThreadPoolOptions | keyof TasksQueueOptions
      | keyof WorkerChoiceStrategyOptions | keyof WorkerOptions | keyof TaskFunctionObject | keyof PoolInfo
      | keyof FixedClusterPool | keyof ClusterWorker | keyof typeof PoolEvents
      | Exclude<keyof typeof import('poolifier'), 'default'>;`,
  'jest-worker': `
    import type { Worker, WorkerFarmOptions } from 'jest-worker';
    export type Names = keyof WorkerFarmOptions | keyof Worker
      | Exclude<keyof typeof import('jest-worker'), 'default' | 'Worker'> | 'UNSTABLE_onCustomMessage' | 'JEST_WORKER_ID';`,
  'child_process.fork and cluster': `
    import type { ChildProcess, ForkOptions } from 'node:child_process';
    import type { EventEmitter } from 'node:events';
    import type { ClusterSettings, Worker } from 'node:cluster';
    export type Names = keyof ForkOptions | Exclude<keyof ChildProcess, keyof EventEmitter>
      | keyof ClusterSettings | Exclude<keyof Worker, keyof EventEmitter>;`,
};

/**
 * Names in the second column that are not ours: Node's, JavaScript's, exports of workers, and the
 * peer's.
 */
const NOT_OURS = [
  ...[
    'Math',
    'Promise',
    'SHARE_ENV',
    'TypeError',
    'ctx',
    'finally',
    'os',
    'require',
    'setup',
    'teardown',
  ],
  ...[
    'TINYPOOL_WORKER_ID',
    'detached',
    'gid',
    'inspectPort',
    'killSignal',
    'onClose',
    'runtime',
    'silent',
    'uid',
  ],
  'windowsVerbatimArguments',
];

const page = readFileSync(join(root, 'docs', 'migrating.md'), 'utf8');
const contract = ['index.d.ts', 'worker.d.ts']
  .map((name) => readFileSync(join(root, name), 'utf8'))
  .join('\n');

/** The code in the first column of the tables of a section. */
function rowsOf(name) {
  const section = page.split(/^## /m).find((text) => text.startsWith(`From ${name}\n`));
  const cells = [...section.matchAll(/^\|((?:[^|\\]|\\.)*)\|/gm)].map(([, cell]) => cell);
  return cells
    .flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code))
    .join(' ');
}

function installed(name) {
  return (
    name.startsWith('child_process') || existsSync(join(root, 'benchmark', 'node_modules', name))
  );
}

/** @returns {Map<string, string[]>} names by section */
function surfaces(names) {
  const folder = project(
    Object.fromEntries(names.map((name) => [`${name.replaceAll(' ', '-')}.mts`, SURFACES[name]])),
  );
  for (const name of names) {
    const library = join(root, 'benchmark', 'node_modules', name);
    if (existsSync(library)) symlinkSync(library, join(folder, name));
  }
  const files = new Map(
    names.map((name) => [join(folder, `${name.replaceAll(' ', '-')}.mts`), name]),
  );
  const compiled = ts.createProgram({
    rootNames: [...files.keys()],
    options: {
      target: ts.ScriptTarget.ES2023,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts', 'lib.dom.d.ts'],
      module: ts.ModuleKind.NodeNext,
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
      strict: true,
      noEmit: true,
      skipLibCheck: true,
    },
  });
  const problems = ts.getPreEmitDiagnostics(compiled).map(({ messageText }) => messageText);
  if (problems.length > 0) throw new Error(ts.flattenDiagnosticMessageText(problems[0], '\n'));
  const checker = compiled.getTypeChecker();
  return new Map(
    [...files].map(([file, name]) => {
      const module = checker.getSymbolAtLocation(compiled.getSourceFile(file));
      const [symbol] = checker.getExportsOfModule(module).filter((each) => each.name === 'Names');
      const type = checker.getDeclaredTypeOfSymbol(symbol);
      return [
        name,
        (type.isUnion() ? type.types : [type]).flatMap((each) =>
          each.isStringLiteral() ? [each.value] : [],
        ),
      ];
    }),
  );
}

describe('docs/migrating.md names every name of the library', () => {
  const names = Object.keys(SURFACES).filter(installed);
  let known;
  beforeAll(() => {
    known = surfaces(names);
  }, 120_000);

  test.each(names)('%s', (name) => {
    const rows = rowsOf(name);
    const missing = known
      .get(name)
      .filter((each) => !new RegExp(`(?<![\\w$])${each}(?![\\w$])`).test(rows));
    expect(known.get(name).length).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });
});

/**
 * The names in the second column of all tables: of options, methods, events and errors, such as
 * both of `stats().queue`.
 */
function promised() {
  const cells = [...page.matchAll(/^\|(?:[^|\\]|\\.)*\|((?:[^|\\]|\\.)*)\|/gm)].map(
    ([, cell]) => cell,
  );
  const codes = cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, code]) => code));
  const names = codes.flatMap((code) => {
    const [, ...parts] =
      code.match(/^(?:pool\.|ctx\.)?(\w+)(?:\(.*\))?(?:\.(\w+))?(?:[.:].*)?$/) ?? [];
    return parts.filter((name) => name !== undefined && !NOT_OURS.includes(parts[0]));
  });
  return [...new Set(names)].sort();
}

function isDeclared(name) {
  const member = new RegExp(
    `^ +(?:export |readonly |get |static )*(?:class |interface |type )?${name}(?:[?(<:]| |;)`,
    'm',
  );
  return (
    member.test(contract) ||
    new RegExp(`^(?:export )?declare (?:class|namespace|const) ${name}[ :]`, 'm').test(contract)
  );
}

test('docs/migrating.md names replacements that are declared', () => {
  expect(promised().length).toBeGreaterThan(60);
  expect(promised().filter((name) => !isDeclared(name))).toEqual([]);
});
