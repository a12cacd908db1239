'use strict';

// In an Electron app, `process.execPath` is the app. It runs as Node.js only if a variable asks for
// that, and starts the app a second time if its developer has disabled this.

/**
 * The process, with the properties that Electron adds.
 *
 * @type {NodeJS.Process & { type?: string, helperExecPath?: string }}
 */
const host = require('node:process');

/**
 * Returns how to start this process's own Node.js. Electron patches `child_process.fork()` to do
 * the same.
 *
 * @returns {{ execPath: string, env: string[] }} `env`: `KEY=value` entries to add to the worker's
 *   environment
 * @throws {Error} this process is such a second app, which must not start a third
 */
function ownNode() {
  if (host.versions.electron === undefined) return { execPath: host.execPath, env: [] };
  if (host.type !== undefined && host.env.ELECTRON_RUN_AS_NODE !== undefined) {
    const message =
      'This Electron app cannot run Node.js workers: its fuse "runAsNode" is off, so ELECTRON_RUN_AS_NODE has started ' +
      'the app itself again. Turn the fuse on, or use the pool in a separate Node.js process.';
    throw Object.assign(new Error(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
  }
  const helper = host.platform === 'darwin' ? host.helperExecPath : undefined;
  return { execPath: helper ?? host.execPath, env: ['ELECTRON_RUN_AS_NODE=1'] };
}

module.exports = { ownNode };
