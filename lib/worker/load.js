'use strict';

// Loads a worker module: ES module or CommonJS, JavaScript or TypeScript.

const { readFileSync, realpathSync } = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const process = require('node:process');
const { fileURLToPath, pathToFileURL } = require('node:url');
const { HOST } = require('../platform/runtime');
const { isRecursion } = require('../platform/worker-process');

const TYPESCRIPT = /\.[cm]?tsx?$/;
/** Node's type stripping does not support JSX. */
const JSX = /\.tsx$/;
const STRIP_FLAG = /^--experimental-(?:strip|transform)-types$/;
const IMPORT_FLAG = /^(?:--import|--loader|--experimental-loader)(?:=|$)/;
const REQUIRE_FLAG = /^(?:--require|-r)(?:=|$)/;
/** Flags that change how modules are found or loaded, or that run code which may do so. */
const LOADING_FLAG =
  /^(?:-r|--require|--import|--(?:experimental-)?loader|--preserve-symlinks|--experimental-(?:default-)?config-file)(?:=|$)/;
/** Extensions that `require` handles without a hook. */
const WITHOUT_HOOK = new Set(['.js', '.json', '.node']);
/**
 * Codes of files that import() cannot run but a `require` hook may, including types that Node
 * cannot strip.
 *
 * @type {Set<unknown>}
 */
const NOT_IMPORTED = new Set(['ERR_UNKNOWN_FILE_EXTENSION', 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX']);

/**
 * Codes that a retry would meet again: of Node's module loader, and some of ours.
 *
 * @type {Set<unknown>}
 */
const PERMANENT = new Set([
  'ERR_MODULE_NOT_FOUND',
  'ERR_FEATURE_UNAVAILABLE_ON_PLATFORM',
  'ERR_NO_HANDLER',
  'ERR_PACKAGE_IMPORT_NOT_DEFINED',
  'ERR_PACKAGE_PATH_NOT_EXPORTED',
  'ERR_POOL_DEPTH',
  'ERR_PROTOCOL',
  'ERR_REQUIRE_ESM',
  'ERR_UNKNOWN_BUILTIN_MODULE',
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_DIR_IMPORT',
  'ERR_UNSUPPORTED_ESM_URL_SCHEME',
  'MODULE_NOT_FOUND',
]);

/**
 * @param {string} url file URL of a file, see resolve.js
 * @returns {Promise<object>} the module's namespace
 */
async function load(url) {
  const file = fileURLToPath(url);
  try {
    return await (isHooked(file) ? loadHooked(url, file) : loadUnhooked(url, file));
  } catch (error) {
    if (doesNotParse(error)) locate(/** @type {SyntaxError} */ (error), file);
    throw error;
  }
}

/**
 * Loads a file that a `require` hook compiles: ts-node, esbuild-register, @swc-node/register and
 * similar. A loader given by `--import` goes first, because it may compile the same file for
 * import().
 *
 * @param {string} url
 * @param {string} file
 */
async function loadHooked(url, file) {
  if (hasFlag(IMPORT_FLAG)) {
    try {
      return await import(url);
    } catch (error) {
      if (!NOT_IMPORTED.has(codeOf(error))) throw error;
    }
  }
  return required(url, file);
}

/**
 * @param {string} url
 * @param {string} file
 */
function loadUnhooked(url, file) {
  if (TYPESCRIPT.test(file)) return loadTypeScript(url, file);
  return isCommonJs(file) ? { default: loadCommonJs(file) } : import(url);
}

/**
 * Returns whether Node certainly loads a file as CommonJS, and nothing else has a say in it. Where
 * the package has no type, only import() finds out.
 *
 * @param {string} file
 */
function isCommonJs(file) {
  if (HOST !== 'Node.js' || hasFlag(LOADING_FLAG)) return false;
  const real = realpathSync(file);
  const extension = path.extname(real);
  return extension === '.cjs' || (extension === '.js' && packageType(real) === 'commonjs');
}

/**
 * Loads a file as import() would, but without the loader of ES modules, which Node 20 and 22 take 5
 * ms to set up. `require` would have this package as the module's parent.
 *
 * @param {string} file
 * @returns {unknown} its `module.exports`
 */
function loadCommonJs(file) {
  const { _load } = /** @type {{ _load(file: string): unknown }} */ (
    /** @type {unknown} */ (Module)
  );
  return _load(file);
}

/**
 * @param {string} url
 * @param {string} file
 * @returns {object} the same shape as import() of a CommonJS module
 */
function required(url, file) {
  return { default: Module.createRequire(url)(file) };
}

/**
 * Returns whether `require` would run this file only because of a user's hook.
 *
 * @param {string} file
 */
function isHooked(file) {
  const extension = path.extname(file);
  const { _extensions } = /** @type {{ _extensions?: Record<string, unknown> }} */ (
    /** @type {unknown} */ (Module)
  );
  if (HOST !== 'Node.js' || WITHOUT_HOOK.has(extension) || _extensions?.[extension] === undefined)
    return false;
  return (
    extension === '.cts' ||
    (extension !== '.mts' && extension !== '.mjs' && packageType(file) !== 'module')
  );
}

/**
 * Returns the type of the package that a file belongs to.
 *
 * @param {string} file
 * @returns {unknown} undefined: there is no package, or it does not say
 */
function packageType(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).type;
    } catch (error) {
      // The loader reports a package.json that does not parse.
      if (error instanceof SyntaxError || folder === path.dirname(folder)) return undefined;
    }
  }
}

/**
 * @param {string} url
 * @param {string} file
 */
async function loadTypeScript(url, file) {
  if (HOST !== 'Node.js' || (stripsTypes() && !JSX.test(file))) return import(url);
  // A module that the user preloads by execArgv or NODE_OPTIONS may be a TypeScript loader. A
  // second one would conflict.
  if (hasFlag(IMPORT_FLAG) || hasFlag(REQUIRE_FLAG)) {
    try {
      return await import(url);
    } catch (error) {
      if (codeOf(error) !== 'ERR_UNKNOWN_FILE_EXTENSION') throw error;
    }
    await registerTsx(file);
    // Node caches the failed load of this URL. The module has not run yet, so it runs only once.
    return import(`${url}?tsx`);
  }
  await registerTsx(file);
  // tsx treats an imported .cts file as an ES module.
  return file.endsWith('.cts') ? required(url, file) : import(url);
}

/** @param {RegExp} pattern */
function hasFlag(pattern) {
  return nodeFlags().some((flag) => pattern.test(flag));
}

function stripsTypes() {
  // Newer than the types: 'strip' or 'transform'.
  const { typescript } = /** @type {{ typescript?: unknown }} */ (
    /** @type {unknown} */ (process.features)
  );
  return Boolean(typescript) || hasFlag(STRIP_FLAG);
}

function nodeFlags() {
  return [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(/\s+/)];
}

/**
 * Loads the user's tsx: from the folder of the worker module, or else from the current directory.
 *
 * @param {string} file
 */
async function registerTsx(file) {
  for (const from of [file, path.join(process.cwd(), 'here.js')]) {
    let entry;
    try {
      entry = Module.createRequire(from).resolve('tsx');
    } catch {
      continue; // Not installed here.
    }
    // As with `node --import tsx`, loading registers tsx for import and require.
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
      'use Node 22.18 or later (or 22.6 with execArgv: ["--experimental-strip-types"]), install tsx, or register a ' +
      'compiler by execArgv (-r ts-node/register)',
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
  return typeof thrown === 'object' && thrown !== null && 'code' in thrown
    ? thrown.code
    : undefined;
}

/**
 * Returns whether loading would fail again in the same way.
 *
 * @param {unknown} error
 */
function isPermanent(error) {
  return PERMANENT.has(codeOf(error)) || doesNotParse(error) || isRecursion(error);
}

/**
 * @param {unknown} error
 * @returns {boolean}
 */
function doesNotParse(error) {
  if (!(error instanceof SyntaxError)) return false;
  // Node's loader reports a module that does not parse. A SyntaxError of JSON.parse or eval has
  // frames of the module itself, and its input may be valid next time.
  const frame = /^\s+at .*$/m.exec(String(error.stack));
  return frame === null || frame[0].includes('node:internal/');
}

/**
 * Adds the file to the message, because Node shows it for uncaught errors only.
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
