'use strict';

// The native addon, and the types by which the other files know it.

const process = require('node:process');
const { missingAddon } = require('./platform/missing-addon');

// The build declares the addon's types in native.d.cts, from src/bindings/.

/** @typedef {typeof import('../native.cjs')} NativeAddon */
/** @typedef {import('../native.cjs').ProcessManager} NativePool */
/** @typedef {NonNullable<ReturnType<NativePool['drain']>>} NativeBatch */

if (process.platform === 'win32') {
  throw new Error(
    'bulkhead does not support Windows yet: it runs on Linux and macOS (and so in WSL)',
  );
}

/** @returns {NativeAddon} */
function load() {
  // A variable, so that no bundler takes the addon in.
  const addon = '../native.cjs';
  try {
    return require(addon);
  } catch {
    // The loader's own error names every candidate that it knows, and blames npm.
    throw missingAddon((id) => require(id));
  }
}

module.exports = load();
