'use strict';

// The runtime of this process: Node.js, or Bun or Deno, which identify as Node.js and are mostly
// compatible.

const process = require('node:process');
const { ownNode } = require('./electron');
const { nodeFlags } = require('./node-flags');

/** @type {NodeJS.ProcessVersions & { bun?: string, deno?: string }} */
const { bun, deno } = process.versions;

/** @type {'Node.js' | 'Bun' | 'Deno'} */
const HOST = bun !== undefined ? 'Bun' : deno !== undefined ? 'Deno' : 'Node.js';
/** The JavaScript engine, which decides the format of structured clones. */
const ENGINE = HOST === 'Bun' ? 'JavaScriptCore' : 'V8';

/** The permissions of Deno. */
const DENO_PERMISSIONS = ['env', 'ffi', 'import', 'net', 'read', 'run', 'sys', 'write'];

/**
 * Globals of Bun and Deno.
 *
 * @type {{ Bun?: { main: string }, Deno?: { build: { standalone?: boolean }, permissions:
 *   DenoPermissions } }}
 * @typedef {{ querySync(descriptor: { name: string }): { state: string } }} DenoPermissions
 */
const globals = /** @type {any} */ (globalThis);

/**
 * Returns the runtime that workers use by default: that of this process.
 *
 * @returns {{ execPath: string, execArgv: string[], env: string[] }} `env`: `KEY=value` entries to
 *   add to the worker's environment
 */
function ownRuntime() {
  const { execPath, env } = ownNode();
  return { execPath, execArgv: HOST === 'Deno' ? denoFlags() : nodeFlags(process.execArgv), env };
}

/**
 * Returns the permissions of this process as flags. A permission for certain files or hosts only is
 * not passed on.
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
 * Refuses a single executable without `execPath`: such a program always starts itself.
 *
 * @throws {Error} this process is a single executable
 */
function assertRuntime() {
  const single =
    isSea() ||
    globals.Bun?.main.startsWith('/$bunfs/') === true ||
    globals.Deno?.build.standalone === true;
  if (!single) return;
  const message =
    'This program is a single executable, which cannot run workers: set the option "execPath" of the pool to a Node.js, ' +
    'Bun or Deno for its workers.';
  throw Object.assign(new Error(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
}

function isSea() {
  // Newer than the types, and than the oldest supported Node.js. Bun and Deno have no such module.
  const { getBuiltinModule } = /** @type {{ getBuiltinModule?: (id: string) => any }} */ (
    /** @type {unknown} */ (process)
  );
  return HOST === 'Node.js' && getBuiltinModule?.('node:sea')?.isSea() === true;
}

module.exports = { ENGINE, HOST, assertRuntime, denoPermits, ownRuntime };
