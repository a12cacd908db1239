'use strict';

// The native addon, and the types by which the other files know it.

const process = require('node:process');
const { missingAddon } = require('./platform/missing-addon');
const { addonId, ownTarget } = require('./platform/own-addon');
const { packageFolder } = require('./platform/package-folder');

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
  return loadOwn() ?? loadAny();
}

/** @returns {NativeAddon | undefined} undefined: the addon is not where it should be */
function loadOwn() {
  try {
    // A build of the addon elsewhere, for which napi's loader looks.
    if (process.env.NAPI_RS_NATIVE_LIBRARY_PATH !== undefined) return undefined;
    const [folder, target] = [packageFolder(), ownTarget()];
    if (folder === undefined || target === undefined) return undefined;
    return require(addonId(folder, target));
  } catch {
    return undefined; // `loadAny` has the reason.
  }
}

/** @returns {NativeAddon} */
function loadAny() {
  // A variable, so that no bundler takes the addon in.
  const loader = '../native.cjs';
  try {
    return require(loader);
  } catch {
    // The loader's own error names every candidate that it knows, and blames npm.
    throw missingAddon((id) => require(id));
  }
}

module.exports = load();
