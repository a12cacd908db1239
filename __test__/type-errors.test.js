// What TypeScript says where a task names a handler or a type that the worker module does not have:
// the wrong name and the known ones, in few lines.

import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { moduleFile, root } from './support/harness.js';

const DECLARATIONS = `
  import ProcessManager from 'bulkhead';
  type Double = (task: { data: number }) => AsyncGenerator<number>;
  declare const typed: ProcessManager<{ handlers: { double: Double; half: Double } }>;
  declare const both: ProcessManager<{ default: Double; handlers: { half: Double } }>;
  declare const named: ProcessManager<{ double: Double; half: Double }>;
  declare const untyped: ProcessManager;
  declare const anyName: string;
  const task = { type: 'triple' as const, data: 1 };
  export {};
`;

const HANDLERS = `'"double" | "half" | undefined'`;
const TYPES = `'"double" | "half"'`;
const PROBLEM = `'NoHandlerForType<"triple", "double" | "half">'`;
const NO_DEFAULT = 'this worker module has no default handler: name a handler by the option';

/** Calls, and what the error says. */
const WRONG = [
  ...['run', 'stream', 'distributeTask'].flatMap((method) => [
    [
      `named.${method}({ data: 1 }, { handler: 'triple' })`,
      [`Type '"triple"' is not assignable to type ${HANDLERS}.`],
    ],
    [
      `typed.${method}({ type: 'triple', data: 1 })`,
      [`Type '"triple"' is not assignable to type ${TYPES}.`],
    ],
    [`typed.${method}(task)`, [`Type '"triple"' is not assignable to type ${TYPES}.`]],
    [
      `both.${method}({ type: 'halve', data: 'not for the default handler' })`,
      [`Type '"halve"' is not assignable to type '"half"'.`],
    ],
    [`both.${method}({ type: 'halve' })`, [`Type '"halve"' is not assignable to type '"half"'.`]],
    [
      `typed.${method}({ data: 1 })`,
      [`Property 'type' is missing`, `{ type: "double" | "half"; }`],
    ],
    [`named.${method}({ data: 1 })`, [NO_DEFAULT]],
    [
      `typed.${method}({ type: 'double', data: 'text' })`,
      [`Type 'string' is not assignable to type 'number'.`],
    ],
  ]),
  [
    `named.map([{ data: 1 }], { handler: 'triple' })`,
    [`Type '"triple"' is not assignable to type ${HANDLERS}.`],
  ],
  [`typed.map([{ type: 'triple', data: 1 }])`, [PROBLEM]],
  [`typed.map([{ type: 'double', data: 1 }, { type: 'triple', data: 1 }])`, [PROBLEM]],
  [`typed.map(new Set([task]))`, [PROBLEM]],
  [`typed.map((async function* () { yield task; })())`, [PROBLEM]],
  [`typed.map([Promise.resolve(task)])`, [PROBLEM]],
  [`typed.map([{ data: 1 }])`, ['NoHandlerForType<undefined, "double" | "half">']],
  [`both.map([{ type: 'halve' }])`, ['NoHandlerForType<"halve", "half">']],
  [`named.map([{ data: 1 }])`, [NO_DEFAULT]],
  [
    `named.run({ data: 1 }, { handler: anyName })`,
    [`Type 'string' is not assignable to type ${HANDLERS}.`],
  ],
  [`typed.run({ type: anyName, data: 1 })`, [`Type 'string' is not assignable to type ${TYPES}.`]],
];

const RIGHT = [
  `named.run({ data: 1 }, { handler: 'double' })`,
  `typed.stream({ type: 'half', data: 1 })`,
  `both.distributeTask({ type: 'anything', data: 1 })`,
  `both.map([{ data: 1 }, { data: 2 }])`,
  `untyped.run({ type: 'triple' }, { handler: 'any name' })`,
  `untyped.stream(task, { handler: anyName })`,
  `untyped.distributeTask('any task', { handler: anyName })`,
  `untyped.map(['any', 1], { handler: anyName })`,
];

/** @returns {Map<string, string[]>} the errors of each statement, all compiled as one module */
function errorsOf(statements) {
  const file = moduleFile([DECLARATIONS, ...statements].join('\n'), 'main.mts');
  const program = ts.createProgram([file], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    types: ['node'],
    typeRoots: [`${root}/node_modules/@types`],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  });
  const first = DECLARATIONS.split('\n').length;
  const errors = new Map(statements.map((statement) => [statement, []]));
  for (const { file: where, start, messageText } of ts.getPreEmitDiagnostics(program)) {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    const line = where?.getLineAndCharacterOfPosition(start).line ?? -1;
    const statement = statements[line - first];
    if (statement === undefined) throw new Error(`${where?.fileName}:${line}: ${message}`);
    errors.get(statement).push(message);
  }
  return errors;
}

describe('TypeScript: a task without a handler', () => {
  let errors;
  beforeAll(() => {
    errors = errorsOf([...WRONG.map(([statement]) => statement), ...RIGHT]);
  }, 120_000);

  test.each(WRONG)('%s: the error names what is wrong', (statement, texts) => {
    const [message, ...others] = errors.get(statement);
    for (const text of texts) expect(message).toContain(text);
    expect(message).not.toContain('No overload matches');
    expect(message.split('\n').length).toBeLessThanOrEqual(3);
    expect(others).toEqual([]);
  });

  test.each(RIGHT.map((statement) => [statement]))('%s: no error', (statement) => {
    expect(errors.get(statement)).toEqual([]);
  });
});
