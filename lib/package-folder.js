'use strict';

// Where this package lies. Its addon and the file that workers start with are files beside this one, and stay behind where a
// bundler puts this one into another.

const { existsSync, readFileSync } = require('node:fs');
const path = require('node:path');

/** Undefined in what some bundlers make an ES module of. */
const HERE = typeof __dirname === 'string' ? __dirname : undefined;
const NAME = 'bulkhead';

/** What a Node worker starts with. */
const BOOTSTRAP = path.join(HERE ?? '', 'bootstrap.js');
let bootstrapSeen = false;

/**
 * Whether this file is one of the package as it was installed (or checked out).
 *
 * @returns {boolean}
 */
function inOwnPackage() {
  if (HERE === undefined) return false;
  try {
    return JSON.parse(readFileSync(path.join(HERE, '..', 'package.json'), 'utf8')).name === NAME;
  } catch {
    return false; // There is none, or none that could be ours.
  }
}

/**
 * @returns {string} path of what a Node worker starts with
 * @throws {Error} this file has been moved away from it
 */
function bootstrapFile() {
  bootstrapSeen ||= HERE !== undefined && existsSync(BOOTSTRAP);
  if (!bootstrapSeen) throw bundled();
  return BOOTSTRAP;
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

module.exports = { bootstrapFile, bundled, inOwnPackage };
