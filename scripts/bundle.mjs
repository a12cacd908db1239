// Bundles lib/: users of the package load dist/index.js, and a Node worker starts with
// dist/worker.js. Each is one file, because Node takes longer to find, read and compile thirty
// files than for the rest of a worker's start. Nothing is renamed: the code is that of lib/, and
// stack traces show its names. Only comments are omitted, which each worker would have to read and
// to keep in memory. `npm run build` and the tests create the bundles.
//
// Each module becomes a function that is called immediately, after those of the modules that it
// requires:
//
//   const $errors_classes = (() => { const module = { exports: {} }; …; return module.exports; })();

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';

/** Absolute paths, because tests run from any directory. */
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const lib = join(root, 'lib');
const dist = join(root, 'dist');

/** Matches a call that requires one of our own modules, as esbuild prints the call. */
const OWN_MODULE = /\brequire\("(\.[^"]+)"\)/g;

/** Matches a comment that has its lines to itself, as esbuild prints the comments that it keeps. */
const COMMENT = /^[ \t]*\/\*\*.*?\*\/\n/gms;

/** Entries in lib/, by their names in dist/. */
const ENTRIES = { 'index.js': 'index.js', 'worker.js': 'worker/main.js' };

export async function bundle() {
  await mkdir(dist, { recursive: true });
  // The package contains all of dist/, so files of an earlier version must go.
  const stale = (await readdir(dist)).filter((name) => !Object.hasOwn(ENTRIES, name));
  await Promise.all(stale.map((name) => rm(join(dist, name), { recursive: true, force: true })));
  await Promise.all(Object.entries(ENTRIES).map(([to, from]) => bundleEntry(from, to)));
}

/**
 * @param {string} from path in lib/
 * @param {string} to name in dist/
 */
async function bundleEntry(from, to) {
  /** Module code by path, in the order of execution. @type {Map<string, string>} */
  const parts = new Map();
  const entry = await add(join(lib, from), parts, []);
  const text = ["'use strict';", ...parts.values(), `module.exports = ${entry};`, ''].join('\n');
  // Each project of the tests bundles before it begins, while tests of another may load the file.
  const path = join(dist, to);
  const present = await readFile(path, 'utf8').catch(() => undefined);
  if (present !== text) await writeFile(path, text);
}

/**
 * Adds a module after those that it requires.
 *
 * @param {string} path
 * @param {Map<string, string>} parts
 * @param {string[]} above the requiring modules that led to this one
 * @returns {Promise<string>} the name of its exports in the bundle
 */
async function add(path, parts, above) {
  const name = `$${relative(lib, path).replace(/\.js$/, '').replace(/\W/g, '_')}`;
  const circle = above.indexOf(path);
  if (circle !== -1)
    throw new Error(`modules require each other in a circle: ${[...above.slice(circle), path]}`);
  if (parts.has(path)) return name;
  const code = await withoutComments(await readFile(path, 'utf8'), path);
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

/**
 * @param {string} source
 * @param {string} path
 */
async function withoutComments(source, path) {
  /** @type {import('esbuild').TransformOptions} */
  const options = {
    platform: 'node',
    target: 'node20',
    // One character beyond Latin-1 would double the memory for the whole bundle.
    charset: 'ascii',
    sourcefile: path,
    logLevel: 'warning',
  };
  const printed = await transform(source, options);
  const code = printed.code.replace(COMMENT, '');
  const minified = await Promise.all(
    [printed.code, code].map((text) => transform(text, { ...options, minify: true })),
  );
  if (minified[0].code !== minified[1].code)
    throw new Error(`omitting the comments would change the code of ${path}`);
  return code;
}

/** For Vitest: the tests run the current code of lib/. */
export const setup = bundle;
