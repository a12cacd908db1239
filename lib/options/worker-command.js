'use strict';

// How a worker process is started: command line, environment, directory, and the options in its
// first frame.

const process = require('node:process');
const { fileURLToPath } = require('node:url');
const { inspectorFlags } = require('../platform/inspector-flags');
const { nodeOptions, quoted, splitOptions } = require('../platform/node-flags');
const { workerEntryFile } = require('../platform/package-folder');
const { namesRestrictions, ownRestrictions } = require('../platform/permission');
const { ENGINE, HOST, assertRuntime, ownRuntime } = require('../platform/runtime');
const { ancestorsOfPools } = require('../platform/worker-process');
const { invalidType, invalidValue } = require('./argument-errors');
const { isUrl, moduleUrl } = require('./module-url');
const { ownOptions, text, texts } = require('./validators');

/**
 * The program of a pool's workers: bulkhead's own program, the module of the option `worker`, or
 * another program.
 *
 * @typedef {'built-in' | 'module' | 'command'} WorkerKind
 */

const COVERAGE = 'NODE_V8_COVERAGE';

/**
 * Variables that connect this process to its own parent. A worker must not write to that channel.
 */
const NOT_INHERITED = ['NODE_CHANNEL_FD', 'NODE_CHANNEL_SERIALIZATION_MODE', 'NODE_UNIQUE_ID'];

/**
 * @param {Record<string, unknown>} own the pool's options
 */
function resolveCommand(own) {
  const directory = workingDirectory(own.cwd);
  if (isCommand(own.worker)) {
    const command = commandWorker(own);
    return { ...command, env: withRestrictions(environment(own.env), command.args), ...directory };
  }
  const runtime = ownRuntime();
  const env = withAdded(environment(own.env), runtime.env);
  const command = nodeWorker(own, runtime, env);
  return { ...command, env: withRestrictions(env, command.args), ...directory };
}

/**
 * @param {unknown} worker
 * @returns {boolean}
 */
function isCommand(worker) {
  return typeof worker === 'object' && worker !== null && !isUrl(worker) && !Array.isArray(worker);
}

/**
 * @param {Record<string, unknown>} own
 * @param {{ execPath: string, execArgv: string[] }} runtime
 * @param {string[]} env `KEY=value`
 */
function nodeWorker(own, runtime, env) {
  if (own.worker !== undefined && typeof own.worker !== 'string' && !isUrl(own.worker)) {
    throw invalidType(
      'options.worker',
      'of type string or an instance of URL or { command, args }',
      own.worker,
    );
  }
  const execPath =
    own.execPath === undefined ? runtime.execPath : text('options.execPath', own.execPath);
  // The flags of Bun, Deno and a single executable application are valid for the same executable
  // only.
  const same = HOST === 'Node.js' || execPath === runtime.execPath;
  const inherited = same ? runtime.execArgv : [];
  const execArgv = own.execArgv === undefined ? inherited : texts('options.execArgv', own.execArgv);
  const argv = own.argv === undefined ? [] : texts('options.argv', own.argv);
  const worker = own.worker === undefined ? null : moduleUrl('options.worker', own.worker);
  if (own.execPath === undefined) assertRuntime();
  // Other runtimes have inspector flags as well, but treat ports differently.
  const ofNode = HOST === 'Node.js' || execPath !== runtime.execPath;
  const inspector = ofNode ? inspectorFlags(execArgv, variable('NODE_OPTIONS', env)) : null;
  return {
    worker,
    kind: worker === null ? /** @type {const} */ ('built-in') : /** @type {const} */ ('module'),
    command: execPath,
    args: [...execArgv, workerEntryFile(), ...argv],
    isNode: ofNode,
    // Each worker's own port follows the flags: the last flag wins.
    inspect: inspector && { position: execArgv.length, host: inspector.host, port: inspector.port },
    waits: inspector?.waits === true,
    initOptions: JSON.stringify({
      worker,
      argv,
      captureStack: own.captureStack === true || undefined,
      engine: ENGINE === 'V8' ? undefined : ENGINE,
      ancestors: ancestorsOfPools(),
    }),
  };
}

/** @param {Record<string, unknown>} own */
function commandWorker(own) {
  for (const key of ['argv', 'execArgv', 'execPath']) {
    if (own[key] === undefined) continue;
    throw invalidValue(
      `options.${key}`,
      own[key],
      'is for Node workers only: pass the arguments of a { command, args } worker in options.worker.args',
    );
  }
  if (own.serialization === 'advanced') {
    throw invalidValue(
      'options.serialization',
      'advanced',
      "must be 'json' with a { command, args } worker",
    );
  }
  if (own.captureStack === true) {
    throw invalidValue(
      'options.captureStack',
      true,
      'is for Node workers only: a { command, args } worker has no JavaScript stack',
    );
  }
  const worker = ownOptions('options.worker', own.worker, ['command', 'args']);
  return {
    worker: null,
    kind: /** @type {const} */ ('command'),
    command: text('options.worker.command', worker.command),
    args: worker.args === undefined ? [] : texts('options.worker.args', worker.args),
    isNode: false,
    inspect: null,
    waits: false,
    initOptions: '{}',
  };
}

/**
 * Resolves the directory once, for all workers of the pool: this process may change its own later.
 *
 * @param {unknown} cwd
 * @returns {{ cwd: string | null, ownCwd: boolean }}
 */
function workingDirectory(cwd) {
  if (cwd !== undefined)
    return { cwd: fileURLToPath(moduleUrl('options.cwd', cwd)), ownCwd: false };
  try {
    return { cwd: process.cwd(), ownCwd: true };
  } catch {
    // The directory was removed. Workers can be started in a removed directory all the same.
    return { cwd: null, ownCwd: false };
  }
}

/**
 * @param {unknown} env
 * @returns {string[]} `KEY=value`
 */
function environment(env) {
  if (env === undefined) return inheritedEnvironment();
  if (typeof env !== 'object' || env === null || Array.isArray(env)) {
    throw invalidType('options.env', 'of type object', env);
  }
  const pairs = [];
  for (const [key, value] of Object.entries(env)) {
    if (value === undefined) continue;
    const name = `options.env.${key}`;
    if (key === '' || key.includes('=') || key.includes('\0')) {
      throw invalidValue(name, key, 'must have a name without "=" and NUL characters');
    }
    if (!['string', 'number', 'boolean', 'bigint'].includes(typeof value)) {
      throw invalidType(name, 'of type string', value);
    }
    pairs.push(`${key}=${text(name, String(value), { empty: true })}`);
  }
  // As in child_process: a program that sets its own variables keeps the measurement of coverage.
  const coverage = process.env[COVERAGE];
  if (coverage && !Object.hasOwn(env, COVERAGE)) pairs.push(`${COVERAGE}=${coverage}`);
  return pairs;
}

/** Returns a copy of the environment, so that all workers of a pool get the same. */
function inheritedEnvironment() {
  const pairs = [];
  for (const [key, value] of Object.entries(process.env)) {
    if (NOT_INHERITED.includes(key)) continue;
    pairs.push(`${key}=${key === 'NODE_OPTIONS' ? nodeOptions(String(value)) : value}`);
  }
  return pairs;
}

/**
 * Passes the restrictions of this process (the permission model) on, as child_process in newer
 * versions of Node.js does. Flags or variables of a worker that name restrictions replace them.
 *
 * @param {string[]} pairs `KEY=value`
 * @param {readonly string[]} args
 */
function withRestrictions(pairs, args) {
  const options = variable('NODE_OPTIONS', pairs);
  const flags = [...args, ...splitOptions(options)].some(namesRestrictions)
    ? []
    : ownRestrictions();
  if (flags.length === 0) return pairs;
  return withAdded(pairs, [`NODE_OPTIONS=${[options, ...flags.map(quoted)].join(' ').trim()}`]);
}

/**
 * @param {string} name
 * @param {string[]} pairs `KEY=value`
 * @returns {string} empty if the variable is missing
 */
function variable(name, pairs) {
  const pair = pairs.findLast((pair) => pair.startsWith(`${name}=`));
  return pair === undefined ? '' : pair.slice(name.length + 1);
}

/**
 * @param {string[]} pairs `KEY=value`
 * @param {string[]} added replace variables of the same name
 */
function withAdded(pairs, added) {
  const nameOf = (/** @type {string} */ pair) => pair.slice(0, pair.indexOf('='));
  const names = added.map(nameOf);
  return [...pairs.filter((pair) => !names.includes(nameOf(pair))), ...added];
}

module.exports = { resolveCommand };
