'use strict';

// Finds the file of a worker module: what is named, or what Node or tsx would take for it.

const { existsSync, statSync } = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { fileURLToPath, pathToFileURL } = require('node:url');

/**
 * What TypeScript's own rule has in place of these: whoever writes `./worker.js` may mean the
 * source that becomes it.
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
/** `require.resolve` finds them, too; none is a worker. */
const DATA = /\.(?:json|node)$/;

/**
 * @param {string} url file URL that the user gave
 * @returns {string} file URL of what is to be loaded
 * @throws {Error} there is no such file; it names one that may be meant
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
 * As `child_process.fork` has it: without the extension, or the folder with an index.js or a
 * package.json.
 *
 * @param {string} file
 */
function asRequired(file) {
  try {
    const found = createRequire(file).resolve(file);
    return DATA.test(found) ? undefined : found;
  } catch {
    return undefined; // There is none.
  }
}

/**
 * As tsx resolves it.
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
 * A file that differs in its extension, or is the folder's index.
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
