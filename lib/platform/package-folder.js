'use strict';

// Where this package lies. Its addon and the file that workers start with are files of its own, and
// stay behind where a bundler puts this one into another.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

/** Undefined in what some bundlers make an ES module of. */
const HERE = typeof __dirname === 'string' ? __dirname : undefined;
const NAME = 'bulkhead';
/** From dist/, and from lib/platform/ where a test loads it. */
const WAYS_UP = ['..', '../..'];

/** @type {string | undefined} */
let workerEntry;

/**
 * The folder of the package, as it was installed or checked out.
 *
 * @returns {string | undefined} undefined: this file is not one of the package
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
    return false; // There is none, or none that could be ours.
  }
}

/**
 * @returns {string} path of what a Node worker starts with
 * @throws {Error} this file has been moved away from it
 */
function workerEntryFile() {
  if (workerEntry !== undefined) return workerEntry;
  // A bundle may lie beside a worker.js of another program.
  const folder = packageFolder();
  const file = folder === undefined ? undefined : path.join(folder, 'dist', 'worker.js');
  if (file === undefined || !existsSync(file)) throw bundled();
  workerEntry = file;
  return file;
}

function bundled() {
  const where = typeof __filename === 'string' ? ` into ${__filename}` : '';
  const message =
    `bulkhead was bundled${where}, away from its native addon and from what its workers start with: mark it as external, ` +
    'and have it installed where the bundle runs (esbuild: --external:bulkhead; webpack: externals: { bulkhead: ' +
    '"commonjs bulkhead" }; Rollup and Rolldown: external: ["bulkhead"]; Vite: ssr.external: ["bulkhead"]; ncc: ' +
    '--external bulkhead; Next.js: serverExternalPackages: ["bulkhead"])';
  return Object.assign(new Error(message), { code: 'MODULE_NOT_FOUND' });
}

module.exports = { bundled, packageFolder, workerEntryFile };
