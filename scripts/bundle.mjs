// Puts lib/ together: dist/index.js is what the package's users load, dist/worker.js what a Node
// worker starts with. Each is one file, as finding, reading and compiling thirty takes Node longer
// than anything else in the start of a worker. Nothing is renamed or left out: what runs is what
// lib/ says, and stack traces show its names. `npm run build` and the tests make them.
//
// Each module becomes a function that is called at once, below those of the modules that it
// requires:
//
//   const $errors_classes = (() => { const module = { exports: {} }; …; return module.exports; })();

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';

/** By absolute path, as tests may run from anywhere. */
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lib = join(root, 'lib');
const dist = join(root, 'dist');

/** A call that names one of our own modules, as esbuild prints it. */
const OWN_MODULE = /\brequire\("(\.[^"]+)"\)/g;

/** Entries in lib/, by their names in dist/. */
const ENTRIES = { 'index.js': 'index.js', 'worker.js': 'worker/main.js' };

export async function bundle() {
  await mkdir(dist, { recursive: true });
  // The package holds all of dist/, and so would hold a file that an earlier version has left
  // there.
  const stale = (await readdir(dist)).filter((name) => !Object.hasOwn(ENTRIES, name));
  await Promise.all(stale.map((name) => rm(join(dist, name), { recursive: true, force: true })));
  await Promise.all(Object.entries(ENTRIES).map(([to, from]) => bundleEntry(from, to)));
}

/**
 * @param {string} from path in lib/
 * @param {string} to name in dist/
 */
async function bundleEntry(from, to) {
  /** By path, in the order in which they are to run. @type {Map<string, string>} */
  const parts = new Map();
  const entry = await add(join(lib, from), parts, []);
  const text = ["'use strict';", ...parts.values(), `module.exports = ${entry};`, ''].join('\n');
  await writeFile(join(dist, to), text);
}

/**
 * Adds a module behind those that it requires.
 *
 * @param {string} path
 * @param {Map<string, string>} parts
 * @param {string[]} above the modules that led to this one
 * @returns {Promise<string>} the name that its exports have in the bundle
 */
async function add(path, parts, above) {
  const name = `$${relative(lib, path).replace(/\.js$/, '').replace(/\W/g, '_')}`;
  const circle = above.indexOf(path);
  if (circle !== -1)
    throw new Error(`modules require each other in a circle: ${[...above.slice(circle), path]}`);
  if (parts.has(path)) return name;
  const { code } = await transform(await readFile(path, 'utf8'), {
    platform: 'node',
    target: 'node20',
    charset: 'utf8',
    sourcefile: path,
    logLevel: 'warning',
  });
  /** @type {Map<string, string>} */
  const names = new Map();
  for (const [, id] of code.matchAll(OWN_MODULE)) {
    names.set(id, await add(join(dirname(path), `${id}.js`), parts, [...above, path]));
  }
  const body = code
    .replace(/^"use strict";\n/, '')
    .replace(OWN_MODULE, (_, id) => /** @type {string} */ (names.get(id)));
  parts.set(
    path,
    `
// ${relative(root, path)}
const ${name} = (() => {
const module = { exports: {} };
${body}return module.exports;
})();`,
  );
  return name;
}

/** For vitest: what is tested is what lib/ says now. */
export const setup = bundle;
