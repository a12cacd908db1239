'use strict';

// What runs this JavaScript: Node.js, or Bun or Deno, which take themselves for Node.js and mostly
// are.

const process = require('node:process');
const { ownNode } = require('./electron');
const { nodeFlags } = require('./node-flags');

/** @type {NodeJS.ProcessVersions & { bun?: string, deno?: string }} */
const { bun, deno } = process.versions;

/** @type {'Node.js' | 'Bun' | 'Deno'} */
const HOST = bun !== undefined ? 'Bun' : deno !== undefined ? 'Deno' : 'Node.js';
/** Structured clones are bytes of the JavaScript engine's own. */
const ENGINE = HOST === 'Bun' ? 'JavaScriptCore' : 'V8';

/** What a worker may be allowed by Deno. */
const DENO_PERMISSIONS = ['env', 'ffi', 'import', 'net', 'read', 'run', 'sys', 'write'];

/**
 * Globals of the others, as far as they are of use.
 *
 * @type {{ Bun?: { main: string }, Deno?: { build: { standalone?: boolean }, permissions: DenoPermissions } }}
 *
 * @typedef {{ querySync(descriptor: { name: string }): { state: string } }} DenoPermissions
 */
const globals = /** @type {any} */ (globalThis);

/**
 * What workers run on unless the user says otherwise: what this process runs on.
 *
 * @returns {{ execPath: string, execArgv: string[], env: string[] }} `env`, as `KEY=value`, is to be added to that of the
 *   worker
 */
function ownRuntime() {
  const { execPath, env } = ownNode();
  return { execPath, execArgv: HOST === 'Deno' ? denoFlags() : nodeFlags(process.execArgv), env };
}

/**
 * As in this process, as far as a permission is not for certain files or hosts only: then a worker
 * has it not at all.
 */
function denoFlags() {
  return [
    'run',
    '--no-prompt',
    ...DENO_PERMISSIONS.filter(denoPermits).map((name) => `--allow-${name}`),
  ];
}

/** @param {string} name of a permission */
function denoPermits(name) {
  return globals.Deno?.permissions.querySync({ name }).state === 'granted';
}

/**
 * A program that is one file with its runtime starts itself, whatever it is told to run.
 *
 * @throws {Error} this is one
 */
function assertRuntime() {
  const single =
    isSea() ||
    globals.Bun?.main.startsWith('/$bunfs/') === true ||
    globals.Deno?.build.standalone === true;
  if (!single) return;
  const message =
    'This program is a single executable, on which no workers can run: give the pool the option "execPath", ' +
    'a Node.js, Bun or Deno that they are to run on.';
  throw Object.assign(new Error(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
}

function isSea() {
  // Newer than the types, and than the oldest Node.js. The others have no such module.
  const { getBuiltinModule } = /** @type {{ getBuiltinModule?: (id: string) => any }} */ (
    /** @type {unknown} */ (process)
  );
  return HOST === 'Node.js' && getBuiltinModule?.('node:sea')?.isSea() === true;
}

module.exports = { ENGINE, HOST, assertRuntime, denoPermits, ownRuntime };
