// index.d.ts and worker.d.ts are the package's reference: each item in them has a comment.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { moduleFile, root } from './support/harness.js';

const OPTIONS = {
  module: ts.ModuleKind.Node20,
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: [],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
};

/** The declarations of a file, as the compiler sees them. */
function declarations(file) {
  const program = ts.createProgram([file], OPTIONS);
  const checker = program.getTypeChecker();
  const module = checker.getSymbolAtLocation(program.getSourceFile(file));
  return { checker, module };
}

/** The exports of a module: under `export =`, that one thing and its members. */
function exportsOf({ checker, module }) {
  const whole = module.exports.get(ts.InternalSymbolName.ExportEquals);
  if (whole === undefined) return checker.getExportsOfModule(module);
  const symbol = resolved(checker, whole);
  return [symbol, ...checker.getExportsOfModule(symbol).filter(({ name }) => name !== 'prototype')];
}

function resolved(checker, symbol) {
  return symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

/** Members of a class or an interface, and of an object type that is written out in place. */
function membersOf(symbol) {
  const places = [
    symbol,
    ...(symbol.declarations ?? []).flatMap(({ type }) =>
      type && ts.isTypeLiteralNode(type) ? type.symbol : [],
    ),
  ];
  return places
    .flatMap((place) => [...(place.members?.values() ?? [])])
    .filter(({ flags }) => !(flags & ts.SymbolFlags.TypeParameter));
}

/** The names of all items, and of those without a comment. */
function survey(file) {
  const found = declarations(file);
  const all = [];
  const undocumented = [];
  const seen = new Set();
  const visit = (symbol, path) => {
    if (seen.has(symbol)) return;
    seen.add(symbol);
    all.push(path);
    // A redeclared member has the comment of the class it comes from.
    if (ts.displayPartsToString(symbol.getDocumentationComment(found.checker)).trim() === '')
      undocumented.push(path);
    for (const member of membersOf(symbol)) visit(member, `${path}.${nameOf(member)}`);
  };
  for (const symbol of exportsOf(found)) visit(resolved(found.checker, symbol), symbol.name);
  return { all, undocumented };
}

function nameOf({ name, valueDeclaration }) {
  if (name === ts.InternalSymbolName.Constructor) return 'constructor';
  return name.startsWith('__@') ? valueDeclaration.name.getText() : name;
}

describe('every public item has a comment', () => {
  test.each([
    [
      'index.d.ts',
      [
        'ProcessManager.run',
        'ProcessManager.constructor',
        'Options.maxQueue',
        'Stats.tasks.accepted',
        'TaskId',
      ],
    ],
    ['worker.d.ts', ['TaskContext.signal', 'TaskHandler', 'WorkerHook']],
    ['types/worker-module.d.ts', ['TaskFor', 'HandlerName', 'NoHandlerForType.known']],
  ])('in %s', (name, some) => {
    const { all, undocumented } = survey(join(root, name));
    expect(all).toEqual(expect.arrayContaining(some));
    expect(undocumented).toEqual([]);
  });

  test('an item without a comment is found', () => {
    // A comment counts for what begins on the next line.
    const text = `
      /** Said. */
      declare class Pool {
        constructor();
        /** @returns nothing */
        one(): void;
        /** Said. */
        two: { three: 3 };
      }
      declare namespace Pool {
        /** Said. */
        export interface Options {
          a?: 1;
          /** Said. */
          b?: 2;
        }
        export type Id = string;
        /** Said. */
        export class Base {
          /** Said. */
          code: string;
        }
        /** Said. */
        export class Derived extends Base {
          code: 'inherits what is said';
          more: 1;
        }
      }
      export = Pool;`;
    const file = moduleFile(text, 'pool.d.ts');
    expect(survey(file).undocumented.sort()).toEqual(
      ['Derived.more', 'Id', 'Options.a', 'Pool.constructor', 'Pool.one', 'Pool.two.three'].sort(),
    );
  });
});

describe('imports of types', () => {
  test('index.d.mts exports the same types by name', () => {
    const names = (file) => exportsOf(declarations(join(root, file))).map(({ name }) => name);
    expect(names('index.d.mts').sort()).toEqual([...new Set(names('index.d.ts'))].sort());
  });

  test("'bulkhead/worker' exports the same types", () => {
    expect(readFileSync(join(root, 'worker.d.mts'), 'utf8')).toBe(
      readFileSync(join(root, 'worker.d.ts'), 'utf8'),
    );
  });
});
