// The globals that lib/ uses, and when it reads them. A host may replace any global after the
// package was loaded, or lack it. So lib/ uses only those of the language, and has everything else
// from a `node:` module at load.

import { relative, sep } from 'node:path';
import { createContext, runInContext } from 'node:vm';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { moduleFile, root } from './support/harness.js';

/** The globals that V8 puts into a realm of its own, without any host. */
const language = new Set(runInContext('Object.getOwnPropertyNames(globalThis)', createContext()));
// Programs replace some of these (fake clocks, promise libraries), and Node adds to others.
for (const name of ['Date', 'Promise', 'console', 'globalThis', 'WebAssembly'])
  language.delete(name);
const ofModules = new Set(['require', 'module', '__dirname', '__filename', 'undefined']);

/** Globals taken at load, which only one of several hosts has. */
const AT_LOAD = {
  'lib/codec/binary.js': ['globalThis'],
  'lib/codec/cloneable.js': ['Date'],
  'lib/platform/runtime.js': ['globalThis'],
  'lib/worker/compile.js': ['globalThis'],
  'lib/worker/intrinsics.js': ['globalThis'],
};
/** The only file that may read a clock. */
const CLOCK = 'lib/clock.js';
const CLOCK_MODULES = new Set(['node:timers', 'node:timers/promises', 'node:perf_hooks']);
const CLOCK_METHODS = new Set(['nextTick', 'hrtime', 'uptime']);

/**
 * Returns whether an identifier is looked up as a variable, and is not the name of a property or a
 * declaration.
 */
function isVariable(node) {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  if (ts.isBindingElement(parent)) return parent.initializer === node;
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node;
  return (
    !ts.isMethodDeclaration(parent) &&
    !ts.isPropertyDeclaration(parent) &&
    !ts.isMetaProperty(parent)
  );
}

/** The violations in these files, as `<file>:<line> <what>`. */
function lateGlobals(files, base = root) {
  // The types of globals do not matter: a global is what no file here declares.
  const program = ts.createProgram(files, {
    allowJs: true,
    noEmit: true,
    noLib: true,
    noResolve: true,
    types: [],
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.Node20,
  });
  const checker = program.getTypeChecker();
  const found = [];
  for (const path of files) {
    const source = program.getSourceFile(path);
    const file = relative(base, path).split(sep).join('/');
    const report = (node, what) => {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
      found.push(`${file}:${line + 1} ${what}`);
    };
    const isOwn = (declaration) => files.includes(declaration.getSourceFile().fileName);
    const checkIdentifier = (node, late) => {
      const { text, parent } = node;
      if (!isVariable(node) || language.has(text) || ofModules.has(text)) return;
      const symbol = ts.isShorthandPropertyAssignment(parent)
        ? checker.getShorthandAssignmentValueSymbol(parent)
        : checker.getSymbolAtLocation(node);
      if (symbol?.declarations?.some(isOwn)) return;
      if (late || !AT_LOAD[file]?.includes(text)) report(node, text);
    };
    const visit = (node, late) => {
      if (ts.isIdentifier(node)) checkIdentifier(node, late);
      if (file !== CLOCK) {
        if (ts.isStringLiteral(node) && CLOCK_MODULES.has(node.text)) report(node, node.text);
        const isMethod = ts.isPropertyAccessExpression(node) && CLOCK_METHODS.has(node.name.text);
        if (isMethod && node.expression.getText(source) === 'process')
          report(node, `process.${node.name.text}`);
      }
      ts.forEachChild(node, (child) => visit(child, late || ts.isFunctionLike(node)));
    };
    visit(source, false);
  }
  return found;
}

test('[G16, XA1, XA2] lib/ uses no global but those of the language, and time from lib/clock.js only', () => {
  const { fileNames } = ts.parseJsonConfigFileContent(
    { include: ['lib/**/*.js'], compilerOptions: { allowJs: true } },
    ts.sys,
    root,
  );
  expect(fileNames.length).toBeGreaterThan(60);
  expect(lateGlobals(fileNames)).toEqual([]);
}, 120_000);

test('[XA1, XA2] the check of globals finds host globals, replaced language globals, and other sources of time', () => {
  const file = moduleFile(
    `'use strict';
    const { setImmediate } = require('node:timers');
    const early = performance;
    function late({ URL, Promise: P = Promise }, performance) {
      setImmediate(() => setTimeout(() => new URL(performance), Date.now()));
      process.nextTick(P, { Map, structuredClone, Buffer: 1 }, globalThis.fetch);
      return process.nextTick;
    }
    module.exports = { late, early };`,
    'late.cjs',
  );
  expect(lateGlobals([file], `${file}/..`)).toEqual([
    'late.cjs:2 node:timers',
    'late.cjs:3 performance',
    'late.cjs:4 Promise',
    'late.cjs:5 setTimeout',
    'late.cjs:5 Date',
    'late.cjs:6 process.nextTick',
    'late.cjs:6 process',
    'late.cjs:6 structuredClone',
    'late.cjs:6 globalThis',
    'late.cjs:7 process.nextTick',
    'late.cjs:7 process',
  ]);
}, 120_000);
