'use strict';

// Finds the folder of this package. Its addon and its worker entry are separate files, which a
// bundler leaves behind.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

/** Undefined in the ES modules that some bundlers produce. */
const HERE = typeof __dirname === 'string' ? __dirname : undefined;
const NAME = 'bulkhead';
/** Paths to the package folder: from dist/, and from lib/platform/ in tests. */
const WAYS_UP = ['..', '../..'];

/** @type {string | undefined} */
let workerEntry;

/**
 * Returns the folder of the package as installed or checked out.
 *
 * @returns {string | undefined} undefined: this file is not in the package folder
 */
function packageFolder() {
  if (HERE === undefined) return undefined;
  for (const way of WAYS_UP) {
    const folder = path.join(HERE, way);
    if (isOwn(folder)) return folder;
  }
  return undefined;
}

/** @param {string} folder */
function isOwn(folder) {
  try {
    return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).name === NAME;
  } catch {
    return false; // No package.json, or not one of ours.
  }
}

/**
 * @returns {string} path of the worker entry
 * @throws {Error} this file has been bundled away from it
 */
function workerEntryFile() {
  if (workerEntry !== undefined) return workerEntry;
  // A bundle may lie beside another program's worker.js.
  const folder = packageFolder();
  const file = folder === undefined ? undefined : path.join(folder, 'dist', 'worker.js');
  if (file === undefined || !existsSync(file)) throw bundled();
  workerEntry = file;
  return file;
}

function bundled() {
  const where = typeof __filename === 'string' ? ` into ${__filename}` : '';
  const message =
    `bulkhead was bundled${where}, away from its native addon and its worker entry: mark bulkhead as external, ` +
    'and install it where the bundle runs (esbuild: --external:bulkhead; webpack: externals: { bulkhead: ' +
    '"commonjs bulkhead" }; Rollup and Rolldown: external: ["bulkhead"]; Vite: ssr.external: ["bulkhead"]; ncc: ' +
    '--external bulkhead; Next.js: serverExternalPackages: ["bulkhead"])';
  return Object.assign(new Error(message), { code: 'MODULE_NOT_FOUND' });
}

module.exports = { bundled, packageFolder, workerEntryFile };
