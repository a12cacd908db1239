'use strict';

// Finds the file of a worker module: the named file, or the one that Node or tsx would resolve the
// name to.

const { existsSync, statSync } = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');

/**
 * TypeScript sources by the extension of the file they compile to: `./worker.js` may mean its
 * source.
 *
 * @type {Readonly<Record<string, string[]>>}
 */
const SOURCES = Object.freeze({
  '.js': ['.ts', '.tsx'],
  '.jsx': ['.tsx'],
  '.mjs': ['.mts'],
  '.cjs': ['.cts'],
});
const CODE = ['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts', '.tsx', '.jsx'];
/** `require.resolve` finds these files, but none is a worker. */
const DATA = /\.(?:json|node)$/;

/**
 * @param {string} url file URL given by the user
 * @returns {string} file URL to load
 * @throws {Error} there is no such file; the message suggests a similar one
 */
function resolveModule(url) {
  const file = fileURLToPath(url);
  const kind = kindOf(file);
  if (kind === 'file') return url;
  const found = asRequired(file) ?? sourceOf(file);
  if (found !== undefined) return pathToFileURL(found).href;
  const similar = similarTo(file);
  const hint = similar === undefined ? '' : `; did you mean ${similar}?`;
  throw kind === 'directory'
    ? coded(
        'ERR_UNSUPPORTED_DIR_IMPORT',
        `worker module is a directory without an index.js: ${file}${hint}`,
      )
    : coded('ERR_MODULE_NOT_FOUND', `worker module not found: ${file}${hint}`);
}

/**
 * Resolves a file like `child_process.fork`: without the extension, or a folder with an index.js or
 * a package.json.
 *
 * @param {string} file
 */
function asRequired(file) {
  try {
    const found = createRequire(file).resolve(file);
    return DATA.test(found) ? undefined : found;
  } catch {
    return undefined; // Not found.
  }
}

/**
 * Resolves a file like tsx.
 *
 * @param {string} file
 */
function sourceOf(file) {
  const { dir, name, ext } = path.parse(file);
  const sources = SOURCES[ext];
  if (sources !== undefined)
    return firstFile(sources.map((source) => path.join(dir, name + source)));
  return firstFile(['.ts', '.tsx', '/index.ts', '/index.tsx'].map((end) => file + end));
}

/**
 * Finds a file with another extension, or the index of the folder.
 *
 * @param {string} file
 */
function similarTo(file) {
  const { dir, name } = path.parse(file);
  return firstFile(
    [file, path.join(dir, name), path.join(file, 'index')].flatMap((stem) =>
      CODE.map((end) => stem + end),
    ),
  );
}

/** @param {string[]} files */
function firstFile(files) {
  return files.find((file) => kindOf(file) === 'file');
}

/** @param {string} file */
function kindOf(file) {
  if (!existsSync(file)) return undefined;
  return statSync(file).isDirectory() ? 'directory' : 'file';
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code });
}

module.exports = { resolveModule };
