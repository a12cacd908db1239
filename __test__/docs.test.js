// The code in the documentation: each block is run, type-checked, or otherwise compared with its
// subject. Blocks for which none of that is possible are listed here, with the reason.

import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, test } from 'vitest';
import { failure, moduleFile, pool, program, project, root } from './support/harness.js';
import { blocksIn, blocksOf, pages } from './support/pages.js';
import { shellProblems } from './support/shell-lines.js';

/** Blocks that cannot be checked: where they are, how they begin, and why. */
const UNCHECKED = [
  {
    page: 'docs/observability.md',
    begins: 'ProcessManager {',
    reason: 'what console.log() prints: printed.test.js',
  },
  {
    page: 'docs/environment.md',
    begins: 'bulkhead worker 1 (pid 4711): Debugger listening',
    reason: 'what Node.js prints: debugger.test.js',
  },
  { page: 'docs/architecture.md', begins: ' main process', reason: 'a drawing' },
  { page: 'docs/architecture.md', begins: 'lib/pool, lib/iterate', reason: 'a drawing' },
  { page: 'docs/protocol.md', begins: '  63            32 31', reason: 'a drawing' },
  {
    page: 'examples/python-worker/README.md',
    begins: '16 words, most often',
    reason: 'what the example prints: foreign-worker.test.js runs it',
  },
];

/** Names that fragments of a program use without declaring them. */
const PRELUDE = `
  declare const ProcessManager: typeof import('bulkhead').default;
  declare const processManager: import('bulkhead').ProcessManager;
  declare const pool: import('bulkhead').ProcessManager;
  declare const image: Buffer;
  declare const insert: (row: unknown) => Promise<void>;
`;

/**
 * The libraries that docs/migrating.md starts from. `npm run bench` installs them; without that
 * their types are `any`.
 */
const PEERS = ['jest-worker', 'piscina', 'poolifier', 'tinypool', 'workerpool'];
const peerFolder = (name) => join(root, 'benchmark', 'node_modules', name);
const peersInstalled = PEERS.every((name) => existsSync(peerFolder(name)));

const CONTRACTS = ['index.d.ts', 'worker.d.ts'];
const isContract = ({ page }) => CONTRACTS.includes(page);
const blocks = [...pages(), ...CONTRACTS].flatMap(blocksOf);
const inLanguages = (...languages) => blocks.filter(({ language }) => languages.includes(language));
const named = (list) => list.map((block) => [block.at, block]);

const code = inLanguages('js', 'mjs', 'cjs', 'ts', 'mts');
const isRequired = ({ text }) => /\brequire\(/.test(text) && !/^import /m.test(text);
const isOurs = ({ text }) =>
  /(?:from|require\()\s*'bulkhead'/.test(text) && !/^import type/m.test(text);
/** The blocks of docs/migrating.md by section: `before` uses another library, `after` this one. */
const migrations = code
  .filter(({ page, name }) => page === 'docs/migrating.md' && name === 'before.mjs')
  .map((before) => ({
    before,
    after: code.find((other) => other.section === before.section && isOurs(other)),
  }));

/** The files beside a program: those of its page, and before them those of its section. */
function filesFor({ page, section }) {
  const files = code.filter((block) => block.page === page && block.name !== undefined);
  const own = files.filter((block) => block.section === section);
  return Object.fromEntries([...files, ...own].map(({ name, text }) => [name, text]));
}

function runBlock(block) {
  const packages = ['tsx', ...(peersInstalled ? PEERS.map(peerFolder) : [])];
  return program(block.text, {
    name: isRequired(block) ? 'pasted.cjs' : 'pasted.mjs',
    files: filesFor(block),
    packages,
  });
}

/** TypeScript has to narrow `unknown` before it is used; JavaScript examples do not. */
function isAboutUnknown(number, message) {
  return number === 18046 || (number === 2339 && message.endsWith("on type 'unknown'."));
}

/** Declarations for the examples in the contracts: all types and classes that these have. */
function contractImports() {
  const source = readFileSync(join(root, 'index.d.mts'), 'utf8');
  const lists = [...source.matchAll(/^export (?:type )?\{[^}]*\} from '\.\/index\.js';/gm)].map(
    ([list]) =>
      list.replace('export', 'import').replace('./index.js', 'bulkhead').replaceAll(/\s+/g, ' '),
  );
  return [...lists, `import diagnostics_channel from 'node:diagnostics_channel';`].join(' ');
}

/** @returns {Map<string, string[]>} what is wrong, with its line, by the place of the block */
function typeErrors(list) {
  const folder = project({ 'prelude.d.ts': PRELUDE, 'package.json': '{ "type": "module" }' });
  for (const name of PEERS) {
    if (peersInstalled) symlinkSync(peerFolder(name), join(folder, name));
  }
  if (!peersInstalled) {
    writeFileSync(
      join(folder, 'peers.d.ts'),
      PEERS.map((name) => `declare module '${name}';`).join('\n'),
    );
  }
  const byFile = new Map();
  const folders = new Set();
  for (const block of list) {
    const own = join(folder, block.at.replaceAll(/[/:]/g, '-'));
    mkdirSync(own);
    // The imported module may be another block.
    for (const [name, text] of Object.entries(filesFor(block)))
      writeFileSync(join(own, name), text);
    const script = block.language.endsWith('ts') || isContract(block) ? 'ts' : 'js';
    const file = join(own, `block.${isRequired(block) ? 'c' : 'm'}${script}`);
    // A block without imports is made a module, so that its names are its own. Line numbers stay
    // the same.
    const text = isContract(block) ? `${contractImports()} ${block.text}` : block.text;
    writeFileSync(file, isRequired(block) ? text : `${text}\nexport {};\n`);
    byFile.set(file, block);
    folders.add(own);
  }
  const declarations = ['prelude.d.ts', ...(peersInstalled ? [] : ['peers.d.ts'])].map((name) =>
    join(folder, name),
  );
  const { options, errors } = ts.convertCompilerOptionsFromJson(
    {
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      module: 'nodenext',
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
      strict: true,
      // JavaScript examples: parameters have no types.
      noImplicitAny: false,
      allowJs: true,
      checkJs: true,
      noEmit: true,
      skipLibCheck: true,
    },
    folder,
  );
  expect(errors).toEqual([]);
  const compiled = ts.createProgram({ rootNames: [...byFile.keys(), ...declarations], options });
  const problems = new Map(list.map(({ at }) => [at, []]));
  for (const { code: number, file, start, messageText } of ts.getPreEmitDiagnostics(compiled)) {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    const block = byFile.get(file?.fileName);
    if (block?.language.endsWith('js') && isAboutUnknown(number, message)) continue;
    if (block === undefined) {
      // A file that a block imports is a block as well, and is checked there.
      if (folders.has(dirname(file?.fileName ?? ''))) continue;
      // No other code here has an error of its own, so this error belongs to the whole block.
      throw new Error(`${file?.fileName}: ${message}`);
    }
    const line = block.line + 1 + file.getLineAndCharacterOfPosition(start).line;
    problems.get(block.at).push(`${block.page}:${line}: ${message}`);
  }
  return problems;
}

describe('types: JavaScript and TypeScript examples agree with index.d.ts', () => {
  let problems;
  beforeAll(() => {
    problems = typeErrors(code);
  }, 120_000);

  test.each(named(code))('%s', (at) => {
    expect(problems.get(at)).toEqual([]);
  });

  test('a wrong example is reported with its line', () => {
    const page = [
      '```js',
      'pool.run({ id: 1 });',
      "pool.run({ id: 1 }, { retry: 'often' });",
      '```',
      '',
    ].join('\n');
    const [problem, ...others] = typeErrors(blocksIn('page.md', page)).get('page.md:1');
    expect(problem).toMatch(/^page\.md:3: .*'retry' does not exist/s);
    expect(others).toEqual([]);
  }, 120_000);
});

describe('each program that uses the package runs to its end', () => {
  const programs = code.filter(isOurs);

  test.each(named(programs))('%s', async (_, block) => {
    const { code: exitCode, signal, stdout, stderr } = await runBlock(block);
    expect({ exitCode, signal }, stderr).toEqual({ exitCode: 0, signal: null });
    expect(stdout + stderr).not.toBe('');
  });

  test('the docs contain programs', () => {
    expect(programs.filter(({ page }) => page === 'README.md').length).toBeGreaterThanOrEqual(6);
    expect(migrations).toHaveLength(6);
    for (const { before, after } of migrations) expect(after, before.at).toBeDefined();
  });
});

describe('code before and after a migration prints the same', () => {
  const runnable = migrations.filter(
    ({ before }) => peersInstalled || !PEERS.some((name) => before.text.includes(name)),
  );

  test.each(runnable.map(({ before, after }) => [before.section, before, after]))(
    '%s',
    async (_, before, after) => {
      const [old, now] = await Promise.all([runBlock(before), runBlock(after)]);
      expect(old.code, old.stderr).toBe(0);
      expect(now.stdout).toBe(old.stdout);
    },
  );
});

describe('shell examples name scripts, files and options that exist', () => {
  test.each(named(inLanguages('sh')))('%s', (_, { text }) => {
    expect(text.split('\n').flatMap(shellProblems)).toEqual([]);
  });

  test('a wrong shell example is reported', () => {
    expect(shellProblems('npm run no-such-script')).toHaveLength(1);
    expect(shellProblems('npm run bench -- --no-such-option')).toHaveLength(1);
    expect(shellProblems('npm install && node no-such-file.mjs   # really')).toHaveLength(1);
    expect(shellProblems('npx vitest run no-such-file')).toHaveLength(1);
    expect(shellProblems("A='b c' cargo test --manifest-path no/Cargo.toml")).toHaveLength(1);
    expect(shellProblems('make all')).toHaveLength(1);
  });
});

describe('JSON examples are one value a line', () => {
  test.each(named(inLanguages('json')))('%s', (_, { text }) => {
    for (const line of text.trimEnd().split('\n')) expect(JSON.parse(line)).toBeTypeOf('object');
  });
});

describe('frame examples are a line of JSON and as many bytes as it announces', () => {
  const frames = inLanguages('text').filter(({ text }) => text.startsWith('{'));

  test.each(named(frames))('%s', (_, { text }) => {
    const [line, ...rest] = text.trimEnd().split('\n');
    expect(line).toMatch(/\\n$/);
    const { bytes, shared } = JSON.parse(line.slice(0, -2));
    const raw = rest.join('\n').replaceAll(/\\x[0-9a-f]{2}/g, '.');
    expect(raw.length).toBe(shared === undefined ? bytes.reduce((sum, length) => sum + length) : 0);
  });
});

describe('Python examples are workers', () => {
  test.each(named(inLanguages('python')))('%s', async (_, { text }) => {
    const worker = { command: 'python3', args: [moduleFile(text, 'worker.py')] };
    const manager = pool({ worker, maxWorkers: 1, stdio: 'ignore' });
    expect(await manager.run({ id: 1, data: 'ab' })).toBe('abab');
    expect(await failure(manager.run({ id: 2 }))).toMatchObject({
      name: 'KeyError',
      message: "'data'",
    });
    await manager.shutdown();
    expect(manager.stats().tasks).toMatchObject({ completed: 1, failed: 1 });
  });
});

test('every code block has a language that is checked, or is listed with the reason', () => {
  const checked = new Set([...code, ...inLanguages('sh', 'json', 'python')]);
  for (const block of inLanguages('text')) if (block.text.startsWith('{')) checked.add(block);
  const left = blocks.filter((block) => !checked.has(block));
  const listed = UNCHECKED.map(({ page, begins }) =>
    left.find((block) => block.page === page && block.text.startsWith(begins)),
  );
  expect(
    left.filter((block) => !listed.includes(block)).map(({ at, language }) => `${at}: ${language}`),
  ).toEqual([]);
  // Every listed block still exists.
  expect(UNCHECKED.filter((_, index) => listed[index] === undefined)).toEqual([]);
});

test('import provides every name that require provides', () => {
  const names = (file, pattern) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(pattern)]
      .flatMap(([, list]) => list.match(/\w+/g))
      .sort();
  const required = names('index.d.ts', /^ {2}export (?:class|interface|type) (\w+)/gm);
  expect(required.length).toBeGreaterThan(20);
  expect(names('index.d.mts', /^export (?:type )?\{([^}]*)\}/gm)).toEqual(
    [...required, 'ProcessManager'].sort(),
  );
});

test('every link to a file of this repository leads to one', () => {
  const broken = pages().flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const links = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, link]) => link);
    const files = links.filter((link) => !/^[a-z]+:/.test(link));
    return files
      .filter((file) => !existsSync(join(root, dirname(page), file)))
      .map((file) => `${page}: ${file}`);
  });
  expect(broken).toEqual([]);
});
