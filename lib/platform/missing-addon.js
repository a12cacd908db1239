'use strict';

// Explains why the native addon cannot be loaded, with a remedy.

const process = require('node:process');
const { addonId, ownTarget } = require('./own-addon');
const { bundled, packageFolder } = require('./package-folder');

/** The platforms of `napi.targets` in package.json. */
const SUPPORTED = [
  'linux-x64-gnu',
  'linux-x64-musl',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'darwin-x64',
  'darwin-arm64',
];

/**
 * @param {(id: string) => unknown} load `require` from a file of this package
 * @returns {Error} with the cause that concerns this platform
 */
function missingAddon(load) {
  const folder = packageFolder();
  if (folder === undefined) return bundled();
  const target = ownTarget() ?? reportedTarget();
  if (!SUPPORTED.includes(target)) {
    const there = `supported platforms are ${SUPPORTED.join(', ')}`;
    return failed(
      `bulkhead does not support ${target}: ${there}`,
      'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
      undefined,
    );
  }
  const cause = attempt(load, folder, target);
  const { code, message } = cause;
  if (code === 'ERR_DLOPEN_DISABLED') {
    return failed(
      'bulkhead cannot load its native addon: addons are switched off in this process; start it without --no-addons, ' +
        'or, with --permission, with --allow-addons',
      code,
      cause,
    );
  }
  if (code === 'MODULE_NOT_FOUND') {
    return failed(
      `bulkhead has no native addon for ${target} here: the package bulkhead-${target} is not installed; reinstall ` +
        'bulkhead without --omit=optional (and without a lockfile or a node_modules made on another platform), or run ' +
        '`npm run build` in a checkout',
      code,
      cause,
    );
  }
  return failed(
    `bulkhead cannot load its native addon for ${target}: ${message}`,
    code ?? 'ERR_DLOPEN_FAILED',
    cause,
  );
}

/**
 * Loads the addon of this platform alone, because the generated loader reports only that all
 * candidates have failed.
 *
 * @param {(id: string) => unknown} load
 * @param {string} folder of the package
 * @param {string} target
 * @returns {Error & { code?: string }}
 */
function attempt(load, folder, target) {
  try {
    load(addonId(folder, target));
  } catch (error) {
    return /** @type {Error} */ (error);
  }
  return new Error(`the loader native.cjs does not find the installed package bulkhead-${target}`);
}

/** The target by Node's report, which takes 5 ms and more. */
function reportedTarget() {
  const { arch, platform } = process;
  const report = /** @type {any} */ (process.report?.getReport());
  const musl = report?.header !== undefined && report.header.glibcVersionRuntime === undefined;
  return `${platform}-${arch}-${musl ? 'musl' : 'gnu'}`;
}

/**
 * @param {string} message
 * @param {string} code
 * @param {Error | undefined} cause
 */
function failed(message, code, cause) {
  const error = cause === undefined ? new Error(message) : new Error(message, { cause });
  return Object.assign(error, { code });
}

module.exports = { missingAddon };
