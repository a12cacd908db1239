'use strict';

// Loads a worker module: ES module or CommonJS, JavaScript or TypeScript.

const { existsSync, statSync } = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const process = require('node:process');
const { fileURLToPath, pathToFileURL } = require('node:url');
const { HOST } = require('../host');

const TYPESCRIPT = /\.[cm]?tsx?$/;
/** Of these, Node's own type stripping knows nothing. */
const JSX = /\.tsx$/;
const STRIP_FLAG = /^--experimental-(?:strip|transform)-types$/;
const LOADER_FLAG = /^(?:--import|--loader|--experimental-loader|--require|-r)(?:=|$)/;

/** Codes of Node's module loader, and some of ours, that the next attempt would meet again. */
/** @type {Set<unknown>} */
const PERMANENT = new Set([
  'ERR_MODULE_NOT_FOUND',
  'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
  'ERR_NO_HANDLER',
  'ERR_PACKAGE_IMPORT_NOT_DEFINED',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_PROTOCOL',
  'ERR_REQUIRE_ESM',
  'ERR_UNKNOWN_BUILTIN_MODULE',
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_UNSUPPORTED_ESM_URL_SCHEME',
  'MODULE_NOT_FOUND',
]);

/**
 * @param {string} url file URL
 * @returns {Promise<object>} the module's namespace
 */
async function load(url) {
  const file = fileURLToPath(url);
  if (!existsSync(file)) throw coded('ERR_MODULE_NOT_FOUND', `worker module not found: ${file}`);
  if (statSync(file).isDirectory()) {
    throw coded('ERR_UNSUPPORTED_DIR_IMPORT', `worker module is a directory: ${file}`);
  }
  try {
    return await (TYPESCRIPT.test(file) ? loadTypeScript(url, file) : import(url));
  } catch (error) {
    if (doesNotParse(error)) locate(/** @type {SyntaxError} */ (error), file);
    throw error;
  }
}

/**
 * @param {string} url
 * @param {string} file
 */
async function loadTypeScript(url, file) {
  if (HOST !== 'Node.js' || (stripsTypes() && !JSX.test(file))) return import(url);
  // What the user loads by execArgv or NODE_OPTIONS may well be a loader for TypeScript; then a second one is in the way.
  if (hasLoader()) {
    try {
      return await import(url);
    } catch (error) {
      if (codeOf(error) !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
    }
    await registerTsx(file);
    // Node remembers that this URL could not be loaded. The module has not run yet, so this is not a second time.
    return import(`${url}?tsx`);
  }
  await registerTsx(file);
  // tsx takes a .cts file for an ES module when it is imported.
  return file.endsWith('.cts') ? { default: createRequire(url)(file) } : import(url);
}

function hasLoader() {
  return nodeFlags().some((flag) => LOADER_FLAG.test(flag));
}

function stripsTypes() {
  // Newer than the types: 'strip' or 'transform'.
  const { typescript } = /** @type {{ typescript?: unknown }} */ (/** @type {unknown} */ (process.features));
  return Boolean(typescript) || nodeFlags().some((flag) => STRIP_FLAG.test(flag));
}

function nodeFlags() {
  return [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)];
}

/**
 * tsx is the user's: it is looked for where the worker's own imports would be, then where the pool was started.
 *
 * @param {string} file
 */
async function registerTsx(file) {
  for (const from of [file, path.join(process.cwd(), 'here.js')]) {
    let entry;
    try {
      entry = createRequire(from).resolve('tsx');
    } catch {
      continue; // Not installed there.
    }
    // As `node --import tsx` does: loading it is all it takes, for import and for require.
    await import(pathToFileURL(entry).href);
    return;
  }
  throw typeScriptUnsupported(file);
}

/** @param {string} file */
function typeScriptUnsupported(file) {
  return coded(
    'ERR_UNKNOWN_FILE_EXTENSION',
    `worker module is TypeScript, which Node ${process.versions.node} does not run by itself: ${file}; ` +
      'use Node 22.18 or later (or 22.6 with execArgv: ["--experimental-strip-types"]), or install tsx',
  );
}

/**
 * @param {string} code
 * @param {string} message
 */
function coded(code, message) {
  return Object.assign(new Error(message), { code });
}

/** @param {unknown} thrown */
function codeOf(thrown) {
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown ? thrown.code : undefined;
}

/**
 * Whether loading would fail again in the same way.
 *
 * @param {unknown} error
 */
function isPermanent(error) {
  return PERMANENT.has(codeOf(error)) || doesNotParse(error);
}

/**
 * @param {unknown} error
 * @returns {boolean}
 */
function doesNotParse(error) {
  if (!(error instanceof SyntaxError)) return false;
  // A module that does not parse is reported by Node's loader. A SyntaxError of JSON.parse or of eval has frames of the
  // module itself: what it read may be better next time.
  const frame = /^\s+at .*$/m.exec(String(error.stack));
  return frame === null || frame[0].includes('node:internal/');
}

/**
 * Node shows the place only where nobody catches the error.
 *
 * @param {SyntaxError} error
 * @param {string} file
 */
function locate(error, file) {
  const { message, stack } = error;
  error.message = `${message} (in ${file}, or in a module that it imports)`;
  error.stack = String(stack).replace(message, () => error.message);
}

module.exports = { isPermanent, load };
