// Checks the length of lines: Rust, and comments in JavaScript and TypeScript, have at most 100
// columns; Markdown has one sentence a line. (Biome formats JavaScript, rustfmt most of Rust.)
//
//   node scripts/check-lines.mjs [path…]
//
// Strings, addresses, tables, code blocks, headings and HTML do not count. The end of a sentence is
// a guess: reported is a line with two sentences, or one that ends within a sentence.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const COLUMNS = 100;

const SKIPPED = [/^benchmark\/results\//, /^fuzz\/corpus\//, /^proptest-regressions\//];

/** The end of a sentence and the beginning of the next, on one line. */
const TWO_SENTENCES = /(?<!\b(?:e\.g|i\.e|etc|vs|cf|Mr|no))[.!?][)"'”*_`]*\s+(?=[A-Z`[“"(*_])/;

/** A type in a JSDoc comment, which has to be on one line. */
const JSDOC_TYPE = /(@\w+) \{.*\}/;

/** How a line of a paragraph ends that another line follows. */
const SENTENCE_END = /[.!?:…][)"'”*_`\]]*(\([^)]*\))?$/;

/**
 * @param {string} file
 * @param {string[]} lines
 * @returns {[number, string][]} each line that is too long, by its index from 0, and what to do
 */
function codeProblems(file, lines) {
  return lines.flatMap((line, index) => {
    const isComment = /^\s*(\/\/|\/?\*)/.test(line);
    if (!isComment && (!file.endsWith('.rs') || line.includes('"'))) return [];
    // Preformatted, such as the usage of a script.
    if (/^\s*\/\/ {3,}\S/.test(line)) return [];
    const text = line.replace(/\S*https?:\/\/\S+/g, '').replace(JSDOC_TYPE, '$1');
    const columns = [...text].length;
    if (columns <= COLUMNS) return [];
    return [[index, `${columns} columns, more than ${COLUMNS}: wrap the line`]];
  });
}

/**
 * @param {string[]} lines of a page
 * @returns {[number, string][]}
 */
function proseProblems(lines) {
  /** @type {[number, string][]} */
  const problems = [];
  let fence = false;
  for (const [index, raw] of lines.entries()) {
    if (/^\s*```/.test(raw)) fence = !fence;
    const isProse = (/** @type {string} */ line) => !/^\s*(```|\||#|<|$)/.test(line);
    if (fence || !isProse(raw)) continue;
    const line = raw.replace(/^\s*([-*]|\d+\.)\s+/, '').replace(/`[^`]*`/g, '`x`');
    if (TWO_SENTENCES.test(line))
      problems.push([index, 'two sentences on one line: begin the second on a line of its own']);
    const next = lines[index + 1] ?? '';
    const goesOn = isProse(next) && !/^\s*([-*]|\d+\.)\s/.test(next);
    if (goesOn && !SENTENCE_END.test(line.trimEnd()))
      problems.push([index, 'a sentence is broken over two lines: join them']);
  }
  return problems;
}

const paths = process.argv.slice(2);
const listed = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr}`);
const files = listed.stdout
  .split('\n')
  .filter((file) => /\.(rs|md|[cm]?js|[cm]?ts)$/.test(file))
  .filter((file) => !SKIPPED.some((pattern) => pattern.test(file)))
  .filter((file) => paths.length === 0 || paths.some((path) => file.startsWith(path)));

let count = 0;
for (const file of files) {
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const problems = file.endsWith('.md') ? proseProblems(lines) : codeProblems(file, lines);
  for (const [index, text] of problems) console.error(`${file}:${index + 1}: ${text}`);
  count += problems.length;
}
console.log(`lines: ${files.length} files, ${count} problems`);
process.exitCode = count === 0 ? 0 : 1;
