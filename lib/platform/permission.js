'use strict';

const process = require('node:process');
const { splitOptions } = require('./node-flags');
const { HOST, denoPermits } = require('./runtime');

/** `--experimental-permission` is the name in Node.js 20. */
const RESTRICTS = /^--(?:experimental-)?permission(?:-audit)?$/;
const ALLOWS = /^--allow-[a-z-]+(?:=|$)/;
const WITH_VALUE = /^--allow-fs-(?:read|write|vfs)$/;

/** @type {{ permission?: { has(scope: string): boolean } }} */
const { permission } = /** @type {any} */ (process);

/**
 * Checks the permission to start workers. An addon bypasses the permission models of Node and Deno,
 * but a user who forbids child processes means workers too.
 */
function assertMaySpawn() {
  if (HOST === 'Deno' && !denoPermits('run')) throw denied('--allow-run');
  if (permission !== undefined && !permission.has('child')) throw denied('--allow-child-process');
}

/** @param {string} flag of Node.js */
function namesRestrictions(flag) {
  return RESTRICTS.test(flag);
}

/** @returns {string[]} the permission flags that this process was started with */
function ownRestrictions() {
  if (HOST !== 'Node.js' || permission === undefined) return [];
  const flags = [...splitOptions(process.env.NODE_OPTIONS ?? ''), ...process.execArgv];
  const own = [];
  for (let i = 0; i < flags.length; i++) {
    if (WITH_VALUE.test(flags[i]) && i + 1 < flags.length) own.push(`${flags[i]}=${flags[++i]}`);
    else if (RESTRICTS.test(flags[i]) || ALLOWS.test(flags[i])) own.push(flags[i]);
  }
  return own;
}

/** @param {string} flag */
function denied(flag) {
  const message = `Access to this API has been restricted. Use ${flag} to let bulkhead start its workers.`;
  return Object.assign(new Error(message), {
    code: 'ERR_ACCESS_DENIED',
    permission: 'ChildProcess',
  });
}

module.exports = { assertMaySpawn, namesRestrictions, ownRestrictions };
