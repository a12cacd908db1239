// The pages of the documentation, and the code blocks in them.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Every page for readers, by its path from the root. */
export function pages() {
  const examples = readdirSync(join(root, 'examples')).map((name) => `examples/${name}/README.md`);
  const docs = readdirSync(join(root, 'docs')).flatMap((name) =>
    name.endsWith('.md') ? [`docs/${name}`] : [],
  );
  const others = [
    'README.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
    'benchmark/README.md',
  ];
  return [...others, ...docs, ...examples].filter((page) => existsSync(join(root, page)));
}

/**
 * @typedef {object} Block
 * @property {string} page
 * @property {number} line of its fence, from 1: its first line of code is the next one
 * @property {string} at where it is, as `page:line`
 * @property {string} section the heading of the second level that it is under
 * @property {string} language as its fence says
 * @property {string} text
 * @property {string | undefined} name of the file that it is, where its first line says one: `// worker.mjs`
 */

/**
 * Returns the blocks of a page, or of the documentation comments in a `.d.ts`.
 *
 * @param {string} page
 * @returns {Block[]}
 */
export function blocksOf(page) {
  return blocksIn(page, readFileSync(join(root, page), 'utf8'));
}

/**
 * @param {string} page
 * @param {string} source
 * @returns {Block[]}
 */
export function blocksIn(page, source) {
  const lines = source
    .split('\n')
    .map((line) => (page.endsWith('.ts') ? line.replace(/^ *\* ?/, '') : line));
  const blocks = [];
  let section = '';
  let open = null;
  for (const [index, line] of lines.entries()) {
    const fence = line.match(/^ *```(.*)$/);
    if (fence !== null && open === null) {
      open = {
        page,
        line: index + 1,
        at: `${page}:${index + 1}`,
        section,
        language: fence[1].trim(),
        lines: [],
      };
    } else if (fence !== null) {
      const { lines: own, ...block } = open;
      const text = own.map((each) => `${each}\n`).join('');
      blocks.push({ ...block, text, name: text.match(/^\/\/ ([\w-]+\.\w+)\n/)?.[1] });
      open = null;
    } else if (open !== null) {
      open.lines.push(line);
    } else if (line.startsWith('## ')) {
      section = line.slice(3);
    }
  }
  if (open !== null) throw new Error(`${open.at}: the block does not end`);
  return blocks;
}
