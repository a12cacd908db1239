// Ids that tie the rows of docs/reliability.md and docs/features.md to the tests that show them.
//
// A test in JavaScript has its ids at the beginning of its title, `[B4, L8] a worker that …`, or of
// the parameter that its title begins with. A test in Rust has them in a comment on the line above
// its attribute, `// [B4]`.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const IDS = String.raw`\[(X?[A-Z]\d+(?:, X?[A-Z]\d+)*)\]`;
const IN_TITLE = new RegExp(String.raw`^(?!\s*//).*?['"\x60]${IDS} \S`, 'gm');
const ABOVE_RUST = new RegExp(String.raw`^ *// ${IDS}\n *#\[`, 'gm');
const FILES = /^(?:`[^`]+`(?:, `[^`]+`)*)?(?:; )?/;

/**
 * @param {string} folder
 * @param {RegExp} names
 * @returns {string[]} paths in the repository, sorted
 */
function filesIn(folder, names) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => names.test(path) && !path.includes('node_modules'))
    .map((path) => join(folder, path))
    .sort();
}

/** @returns {Map<string, Set<string>>} ids, and the files of their tests as the docs name them */
export function testsById() {
  /** @type {Map<string, Set<string>>} */
  const tests = new Map();
  /** @param {string} path @param {string} name @param {RegExp} pattern */
  const collect = (path, name, pattern) => {
    for (const [, ids] of readFileSync(join(root, path), 'utf8').matchAll(pattern))
      for (const id of ids.split(', ')) tests.set(id, (tests.get(id) ?? new Set()).add(name));
  };
  for (const path of filesIn('__test__', /^[\w.-]+\.test(?:-d)?\.[jt]s$/))
    collect(path, path.slice('__test__/'.length), IN_TITLE);
  for (const path of filesIn('src', /\.rs$/)) collect(path, path, ABOVE_RUST);
  return tests;
}

/**
 * @param {string} line
 * @returns {string[] | undefined} the cells, if the line is a row of a table that begins with an id
 */
export function rowOf(line) {
  const cells = line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
  return /^X?[A-Z]\d+$/.test(cells[0] ?? '') ? cells : undefined;
}

/**
 * @param {string} cell a column of tests: `Y ` in docs/features.md, files, and words of its own
 * @param {Set<string> | undefined} files those that hold a test of the row
 * @returns {string} the cell with these files
 */
export function withFiles(cell, files) {
  const mark = /^Y\b/.test(cell) ? 'Y ' : '';
  const words = cell.slice(mark.length).replace(FILES, '');
  const named = [...(files ?? [])].map((file) => `\`${file}\``).join(', ');
  return (mark + [named, words].filter((part) => part !== '').join('; ')).trimEnd();
}
