'use strict';

// In an Electron app, `process.execPath` is the app: it is Node.js only where a variable says so,
// and starts the app once more where its maker has switched that off.

/** Properties that Electron adds. @type {NodeJS.Process & { type?: string, helperExecPath?: string }} */
const host = require('node:process');

/**
 * How to start this process's own Node.js, as `child_process.fork()` does, which Electron has a
 * version of its own of.
 *
 * @returns {{ execPath: string, env: string[] }} `env`, as `KEY=value`, is to be added to that of the worker
 * @throws {Error} this process is such a second app, which must not start a third
 */
function ownNode() {
  if (host.versions.electron === undefined) return { execPath: host.execPath, env: [] };
  if (host.type !== undefined && host.env.ELECTRON_RUN_AS_NODE !== undefined) {
    const message =
      'This Electron app cannot run Node.js workers: its fuse "runAsNode" is off, so that ELECTRON_RUN_AS_NODE has ' +
      'started the app itself once more. Turn the fuse on, or use the pool in a process of a Node.js of its own.';
    throw Object.assign(new Error(message), { code: 'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM' });
  }
  const helper = host.platform === 'darwin' ? host.helperExecPath : undefined;
  return { execPath: helper ?? host.execPath, env: ['ELECTRON_RUN_AS_NODE=1'] };
}

module.exports = { ownNode };
