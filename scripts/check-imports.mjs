// Checks the direction of imports in src/ and lib/:
//
// - no circle of files, in Rust (paths from `crate`, `super`, `self`) or JavaScript (`require`);
// - each room of src/ uses only the rooms below it, and `src/pool` only the crates listed here;
// - only `src/bindings` uses napi.
//
// Tests (`tests.rs`, items under `#[cfg(test)]`) and declarations (`mod x;`) do not count.
//
//   node scripts/check-imports.mjs [--graph]   --graph prints which room uses which

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const GROUND = ['buffer_pool', 'errors'];

/** @type {Record<string, string[]>} the rooms of src/, and the rooms that each may use */
const ROOMS = {
  bindings: ['supervisor', 'worker', 'pool', 'wire', 'shm', 'process', 'inspect', ...GROUND],
  supervisor: ['pool', 'wire', 'shm', 'process', 'inspect', ...GROUND],
  worker: ['wire', 'shm', 'process', ...GROUND],
  inspect: ['process', 'errors'],
  wire: GROUND,
  shm: GROUND,
  process: ['errors'],
  pool: ['buffer_pool'],
  buffer_pool: [],
  errors: [],
};

/** The crates that `src/pool` may use. */
const POOL_CRATES = ['hdrhistogram', 'serde', 'slotmap'];

/** The crates that only `src/bindings` may use. */
const NODE_API = ['napi', 'napi_derive'];

/**
 * @typedef {object} Import
 * @property {string} from the path of the file, from the root
 * @property {number} line
 * @property {string} to the path of the file that is imported
 */

/** @param {string} folder @param {string} extension */
function filesUnder(folder, extension) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/** Replaces everything but line breaks by spaces, so that places stay the same. */
const blank = (/** @type {string} */ text) => text.replace(/[^\n]/g, ' ');

/**
 * @param {string} source
 * @returns {string} the source without the contents of comments and strings
 */
function rustCode(source) {
  return source.replace(
    /\/\/[^\n]*|\/\*[\s\S]*?\*\/|b?r(#*)"[\s\S]*?"\1|b?"(?:\\[\s\S]|[^"\\])*"|b?'(?:\\[^\n]{1,8}?|[^'\\\n])'/g,
    blank,
  );
}

/**
 * @param {string} code
 * @param {number} start
 * @returns {number} the end of the item that starts there
 */
function endOfItem(code, start) {
  let depth = 0;
  for (let at = start; at < code.length; at++) {
    const char = code[at];
    if ('{(['.includes(char)) depth++;
    else if ('})]'.includes(char)) {
      depth--;
      if (depth === 0 && char === '}') return at + 1;
    } else if (char === ';' && depth === 0) return at + 1;
  }
  return code.length;
}

/**
 * @param {string} code
 * @returns {string} the code without items under `#[cfg(test)]` and `mod x;`
 */
function withoutTests(code) {
  const test = /#\[cfg\((?:all\()?test\b[^\]]*\]/g;
  for (let found = test.exec(code); found !== null; found = test.exec(code)) {
    const end = endOfItem(code, test.lastIndex);
    code = code.slice(0, found.index) + blank(code.slice(found.index, end)) + code.slice(end);
  }
  return code.replace(/\bmod\s+\w+\s*;/g, blank);
}

/**
 * @param {string} tree what stands between `use` and `;`
 * @returns {{ path: string[], name: string }[]} each path in it, and the name that it gets
 */
function pathsOf(tree) {
  const brace = tree.indexOf('{');
  if (brace >= 0) {
    const prefix = tree
      .slice(0, brace)
      .split('::')
      .map((part) => part.trim())
      .filter(Boolean);
    const parts = [];
    let depth = 0;
    let part = '';
    for (const char of tree.slice(brace + 1, tree.lastIndexOf('}'))) {
      if (char === '{') depth++;
      if (char === '}') depth--;
      if (char === ',' && depth === 0) {
        parts.push(part);
        part = '';
      } else part += char;
    }
    return [...parts, part]
      .filter((each) => each.trim() !== '')
      .flatMap(pathsOf)
      .map(({ path, name }) => ({
        path: [...prefix, ...path.filter((each) => each !== 'self')],
        name,
      }));
  }
  const [path, alias] = tree.trim().split(/\s+as\s+/);
  const segments = path
    .split('::')
    .map((part) => part.trim())
    .filter(Boolean);
  return [{ path: segments, name: alias ?? segments.at(-1) ?? '' }];
}

const rustFiles = filesUnder('src', '.rs');
const rustSet = new Set(rustFiles);

/**
 * @param {string[]} module
 * @returns {string | undefined} the file of a module, `[]` for the crate
 */
function fileOf(module) {
  if (module.length === 0) return 'src/lib.rs';
  const path = `src/${module.join('/')}`;
  return [`${path}.rs`, `${path}/mod.rs`].find((file) => rustSet.has(file));
}

/**
 * @param {string} file
 * @returns {string[]}
 */
function moduleOf(file) {
  const parts = file.slice('src/'.length, -'.rs'.length).split('/');
  return ['lib', 'mod'].includes(/** @type {string} */ (parts.at(-1))) ? parts.slice(0, -1) : parts;
}

/** @type {Map<string, Map<string, string[]>>} by file, each name it re-exports and its full path */
const reexports = new Map();

/**
 * @param {string[]} module
 * @param {string[]} path
 * @returns {string[] | undefined} the path from the crate
 */
function absolute(module, path) {
  if (path[0] === 'crate') return path.slice(1);
  if (path[0] === 'self') return [...module, ...path.slice(1)];
  if (path[0] === 'super') {
    let up = 0;
    while (path[up] === 'super') up++;
    return [...module.slice(0, Math.max(0, module.length - up)), ...path.slice(up)];
  }
  return fileOf([...module, path[0]]) === undefined ? undefined : [...module, ...path];
}

/**
 * The deepest file on a path from the crate. A name that this file only re-exports leads on to the
 * file where it is declared.
 *
 * @param {string[]} path
 * @param {number} [hops]
 * @returns {string | undefined}
 */
function resolveRust(path, hops = 0) {
  for (let length = path.length; length >= 0; length--) {
    const file = fileOf(path.slice(0, length));
    if (file === undefined) continue;
    const name = path[length];
    const own = reexports.get(file)?.get(name);
    if (own !== undefined && hops < 8)
      return resolveRust([...own, ...path.slice(length + 1)], hops + 1);
    return file;
  }
  return undefined;
}

/** @type {Import[]} */
const imports = [];
/** @type {{ from: string, line: number, crate: string }[]} */
const crates = [];

const manifest = readFileSync(join(root, 'Cargo.toml'), 'utf8');
const dependencies = /\n\[dependencies\]\n([\s\S]*?)\n\[/.exec(manifest)?.[1] ?? '';
const crateNames = [...dependencies.matchAll(/^([\w-]+) *=/gm)].map(([, name]) =>
  name.replaceAll('-', '_'),
);
const CRATE = new RegExp(`(?<![\\w:])(${crateNames.join('|')})::`, 'g');
const USE = /(?<![\w])(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);/g;

/** @type {Map<string, string>} */
const rustSources = new Map();
for (const file of rustFiles) {
  if (/(^|\/)tests(\.rs|\/)/.test(file)) continue;
  rustSources.set(file, withoutTests(rustCode(readFileSync(join(root, file), 'utf8'))));
}
for (const [file, code] of rustSources) {
  const names = new Map();
  for (const [, isPublic, tree] of code.matchAll(USE)) {
    if (isPublic === undefined) continue;
    for (const { path, name } of pathsOf(tree)) {
      const target = absolute(moduleOf(file), path);
      if (target !== undefined) names.set(name, target);
    }
  }
  reexports.set(file, names);
}
for (const [file, code] of rustSources) {
  const module = moduleOf(file);
  const lineAt = (/** @type {number} */ at) => code.slice(0, at).split('\n').length;
  const isFacade = /(^|\/)(mod|lib)\.rs$/.test(file);
  let rest = code;
  for (const found of code.matchAll(USE)) {
    rest = rest.slice(0, found.index) + blank(found[0]) + rest.slice(found.index + found[0].length);
    for (const { path } of pathsOf(found[2])) {
      const target = absolute(module, path);
      if (target === undefined) continue;
      const to = resolveRust(target);
      // A facade that re-exports its own files is a declaration, as `mod x;` is.
      const declares = found[1] !== undefined && to?.startsWith(`${dirname(file)}/`);
      if (to !== undefined && to !== file && !(isFacade && declares))
        imports.push({ from: file, line: lineAt(found.index), to });
    }
  }
  for (const found of rest.matchAll(/(?<![\w:])(?:crate|super|self)(?:::\w+)+/g)) {
    const target = absolute(module, found[0].split('::'));
    const to = target && resolveRust(target);
    if (to !== undefined && to !== file)
      imports.push({ from: file, line: lineAt(found.index), to });
  }
  for (const found of code.matchAll(CRATE))
    crates.push({ from: file, line: lineAt(found.index), crate: found[1] });
}

const scriptFiles = filesUnder('lib', '.js');
const scriptSet = new Set(scriptFiles);
for (const file of scriptFiles) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    if (/^\s*(\/\/|\*)/.test(line)) continue;
    for (const [, name] of line.matchAll(/\brequire\('(\.[^']*)'\)/g)) {
      const path = normalize(join(dirname(file), name));
      const to = [path, `${path}.js`, `${path}/index.js`].find((each) => scriptSet.has(each));
      if (to !== undefined) imports.push({ from: file, line: index + 1, to });
    }
  }
}

/** @type {string[]} */
const problems = [];

/**
 * @param {string} file
 * @returns {string}
 */
const roomOf = (file) => file.slice('src/'.length).split('/')[0].replace(/\.rs$/, '');

for (const { from, line, to } of imports) {
  if (!from.startsWith('src/') || from === 'src/lib.rs') continue;
  const [room, other] = [roomOf(from), roomOf(to)];
  if (room === other || other === 'lib') continue;
  const allowed = ROOMS[room];
  if (allowed === undefined)
    problems.push(
      `${from}:${line}: ${room} is no known room. Add the room to ROOMS in scripts/check-imports.mjs`,
    );
  else if (!allowed.includes(other))
    problems.push(
      `${from}:${line}: ${room} uses ${other} (${to}). ${room} may use: ${allowed.join(', ') || 'nothing'}. ` +
        'Move the name down, or pass the value in as an argument',
    );
}
for (const { from, line, crate } of crates) {
  const room = roomOf(from);
  if (room === 'pool' && !POOL_CRATES.includes(crate))
    problems.push(
      `${from}:${line}: the pool uses the crate ${crate}. The pool is pure and may use: ${POOL_CRATES.join(', ')}`,
    );
  if (NODE_API.includes(crate) && room !== 'bindings')
    problems.push(
      `${from}:${line}: ${room} uses ${crate}. Only src/bindings knows Node-API: move the code there`,
    );
}

/** @type {Map<string, Map<string, number>>} by file, its imports and their lines */
const graph = new Map();
for (const { from, line, to } of imports) {
  const edges = graph.get(from) ?? new Map();
  if (!edges.has(to)) edges.set(to, line);
  graph.set(from, edges);
}

/** Groups of files that all reach each other (Tarjan). */
function circles() {
  /** @type {Map<string, { index: number, low: number, onStack: boolean }>} */
  const seen = new Map();
  /** @type {string[]} */
  const stack = [];
  /** @type {string[][]} */
  const groups = [];
  /** @param {string} file */
  function visit(file) {
    const node = { index: seen.size, low: seen.size, onStack: true };
    seen.set(file, node);
    stack.push(file);
    for (const to of graph.get(file)?.keys() ?? []) {
      const other = seen.get(to) ?? visit(to);
      if (other.onStack) node.low = Math.min(node.low, other.low);
    }
    if (node.low === node.index) {
      const group = stack.splice(stack.indexOf(file));
      for (const each of group) {
        const member = seen.get(each);
        if (member !== undefined) member.onStack = false;
      }
      if (group.length > 1) groups.push(group.sort());
    }
    return node;
  }
  for (const file of graph.keys()) if (!seen.has(file)) visit(file);
  return groups;
}

/**
 * @param {string[]} group
 * @returns {string[]} a shortest way from the first file of a circle back to it
 */
function wayAround(group) {
  const [start] = group;
  let ways = [[start]];
  for (;;) {
    const next = [];
    for (const way of ways) {
      for (const to of graph.get(/** @type {string} */ (way.at(-1)))?.keys() ?? []) {
        if (to === start) return [...way, to];
        if (group.includes(to) && !way.includes(to)) next.push([...way, to]);
      }
    }
    ways = next;
  }
}

for (const group of circles()) {
  const way = wayAround(group);
  const steps = way
    .slice(1)
    .map((to, i) => `  ${way[i]}:${graph.get(way[i])?.get(to)} imports ${to}`);
  problems.push(
    `${way[0]}:${graph.get(way[0])?.get(way[1])}: a circle of ${group.length} files (${group.join(', ')}):\n` +
      `${steps.join('\n')}\n  Move what both need into a file that imports neither`,
  );
}

if (process.argv.includes('--graph')) {
  const rooms = new Map();
  for (const { from, to } of imports) {
    const key = from.startsWith('src/') ? roomOf(from) : dirname(relative('lib', from));
    const other = to.startsWith('src/') ? roomOf(to) : dirname(relative('lib', to));
    if (key !== other) rooms.set(key, (rooms.get(key) ?? new Set()).add(other));
  }
  for (const [room, others] of rooms) console.log(`${room}: ${[...others].sort().join(', ')}`);
}
for (const problem of problems) console.error(problem);
const count = rustSources.size + scriptFiles.length;
console.log(`imports: ${count} files, ${imports.length} imports, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
