// Checks docs/architecture.md: the section "Every file" names each file of src/ and lib/ once, and
// each path in backticks exists.
//
//   node scripts/check-rooms.mjs

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const PAGE = 'docs/architecture.md';

const lines = readFileSync(join(root, PAGE), 'utf8').split('\n');

/** @type {string[]} */
const problems = [];
/** @type {Map<string, number>} by path, the line that names the file */
const named = new Map();
let isListed = false;
let top = '';
let room = '';
for (const [index, line] of lines.entries()) {
  if (line.startsWith('## ')) isListed = line === '## Every file';
  if (line.startsWith('### ')) {
    top = `${line.slice(4).trim()}/`;
    room = '';
  }
  const cell = line.match(/^\| ([^|]+) \|/)?.[1];
  if (!isListed || cell === undefined) continue;
  const folder = cell.match(/^\*\*`([^`]+)`\*\*$/)?.[1];
  if (folder !== undefined) room = folder;
  else {
    for (const [, name] of cell.matchAll(/`([^`]+)`/g)) {
      const path = `${top}${room}${name}`;
      const at = `${PAGE}:${index + 1}`;
      if (named.has(path)) problems.push(`${at}: ${path} is named twice: keep one line`);
      else if (!existsSync(join(root, path)))
        problems.push(`${at}: ${path} does not exist: remove or rename it`);
      named.set(path, index + 1);
    }
  }
}
for (const folder of ['lib', 'src']) {
  for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    const path = `${folder}/${name}`;
    if (!/\.(js|rs)$/.test(name) || /(^|\/)(mod\.rs$|tests(\.rs$|\/))/.test(name)) continue;
    if (!named.has(path))
      problems.push(`${path}:1: not named in ${PAGE}: add it to the table of "Every file"`);
  }
}

/** A file with an ending of ours, or a folder, which ends with a slash or begins with a room's. */
const PATH =
  /^(?:[\w.-]+\/)*[\w.-]+\.(?:[cm]?js|rs|ts|md|toml)$|^(?:[\w-]+\/)+$|^(?:lib|src)\/\S+$/;

/** Made by the build, so a fresh checkout has no such folder. */
const BUILT = 'dist/';

// Elsewhere on the page a short name, such as `rows.rs`, follows a whole path of the same item (a
// paragraph, a step or a row), and is relative to the folder of one of them.
isListed = false;
/** @type {string[]} */
let folders = [];
let count = 0;
for (const [index, line] of lines.entries()) {
  if (line.startsWith('## ')) isListed = line === '## Every file';
  if (isListed) continue;
  if (/^(?:$|\||- |\d+\. )/.test(line)) folders = [];
  for (const [, path] of line.matchAll(/`([^`]+)`/g)) {
    if (!PATH.test(path) || path === BUILT) continue;
    count += 1;
    if (existsSync(join(root, path))) folders.push(path.endsWith('/') ? path : dirname(path));
    else if (!folders.some((folder) => existsSync(join(root, folder, path))))
      problems.push(`${PAGE}:${index + 1}: ${path} does not exist: rename it, or name its folder`);
  }
}

for (const problem of problems) console.error(problem);
console.log(`rooms: ${named.size} files named, ${count} paths, ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
