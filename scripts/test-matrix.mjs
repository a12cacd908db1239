// Runs the whole test suite under every supported line of Node.js, one after the other, and prints
// a table.
//
//   npm run test:matrix                                  all lines
//   npm run test:matrix -- --only 24                     one line (or several: --only 22,24)
//   npm run test:matrix -- --only 24 cancel shutdown     further arguments for Vitest: words in file names
//   npm run test:matrix -- --only musl                   a Node.js linked with musl, see musl-node.mjs
//
// Vitest, its workers and the workers of the pools run under that line. The binaries are the newest
// npm packages `node-<platform>-<arch>`, kept in node_modules/.cache. The addon is that of the last
// `npm run build`, because Node-API is the same for all lines.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { muslNode } from './musl-node.mjs';

const LINES = ['20', '22', '24', '26'];
/** Runs only on request, because few systems meet its requirements. */
const MUSL = 'musl';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const cache = join(root, 'node_modules', '.cache', 'bulkhead-test-matrix');
const packageName = `node-${process.platform}-${process.arch}`;

/** @typedef {{ line: string, version: string, passed: number, failed: number, skipped: number, ok: boolean }} Outcome */

/**
 * @param {string[]} args
 * @returns {string | null} what npm printed, or null if it failed
 */
function npm(args) {
  const { status, stdout, error } = spawnSync('npm', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error) throw error;
  return status === 0 ? stdout : null;
}

/** @param {string} version */
const parts = (version) => version.split('.').map(Number);

/**
 * @param {string[]} versions
 * @returns {string | undefined}
 */
function newest(versions) {
  return versions.sort((a, b) => {
    const [left, right] = [parts(a), parts(b)];
    const place = left.findIndex((number, index) => number !== right[index]);
    return place === -1 ? 0 : left[place] - right[place];
  })[versions.length - 1];
}

/**
 * @param {string} line such as `24`
 * @returns {string} the newest version in the registry, or else the newest downloaded one
 */
function versionOf(line) {
  const answer = npm(['view', `${packageName}@${line}`, 'version', '--json']);
  const served = answer === null ? [] : [JSON.parse(answer)].flat();
  const version =
    newest(served) ?? newest(downloaded().filter((name) => name.startsWith(`${line}.`)));
  if (version === undefined) throw new Error(`${packageName} has no version of Node.js ${line}`);
  return version;
}

function downloaded() {
  mkdirSync(cache, { recursive: true });
  return readdirSync(cache);
}

/**
 * @param {string} version
 * @returns {string} the folder that holds `node`
 */
function download(version) {
  const folder = join(cache, version);
  const bin = join(folder, 'node_modules', packageName, 'bin');
  const works = () => {
    const { status, stdout } = spawnSync(join(bin, 'node'), ['--version'], { encoding: 'utf8' });
    return status === 0 && stdout.trim() === `v${version}`;
  };
  if (works()) return bin;
  rmSync(folder, { recursive: true, force: true });
  const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
  mkdirSync(folder, { recursive: true });
  npm(['install', '--prefix', folder, ...quiet, `${packageName}@${version}`]);
  if (!works()) throw new Error(`the node of ${packageName}@${version} does not run here`);
  return bin;
}

/**
 * @param {string} line
 * @returns {ReturnType<typeof muslNode>}
 */
function node(line) {
  const version = versionOf(line);
  return { version, bin: download(version), env: {}, before: [] };
}

/**
 * @param {string} line
 * @param {string[]} args for vitest
 * @returns {Outcome}
 */
function test(line, args) {
  const { version, bin, env, before } = line === MUSL ? muslNode(root, cache) : node(line);
  console.log(`\n=== Node.js ${version}${line === MUSL ? ' with musl' : ''} ===\n`);
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-matrix-'));
  try {
    const report = join(folder, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const vitest = [
      join(root, 'node_modules', 'vitest', 'vitest.mjs'),
      'run',
      ...reporters,
      ...args,
    ];
    const [command, ...rest] = [...before, join(bin, 'node'), ...vitest];
    // Programs that the tests start by the name `node` (npm, for example) must use the same
    // Node.js.
    const path = `${bin}${delimiter}${process.env.PATH}`;
    const options = { cwd: root, env: { ...process.env, ...env, PATH: path } };
    const { status, error } = spawnSync(command, rest, { ...options, stdio: 'inherit' });
    if (error) throw error;
    const { numPassedTests, numFailedTests, numPendingTests, numTotalTests } = JSON.parse(
      readFileSync(report, 'utf8'),
    );
    const ok = status === 0 && numTotalTests > 0;
    return {
      line,
      version,
      passed: numPassedTests,
      failed: numFailedTests,
      skipped: numPendingTests,
      ok,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values, tokens } = parseArgs({
  options: { only: { type: 'string' } },
  strict: false,
  allowPositionals: true,
  tokens: true,
});
const only = typeof values.only === 'string' ? values.only.split(',') : LINES;
const unknown = only.filter((line) => line !== MUSL && !LINES.includes(line));
if (unknown.length > 0) {
  console.error(`no such line: ${unknown.join(', ')} (there are ${LINES.join(', ')} and ${MUSL})`);
  process.exit(2);
}
const own = tokens.flatMap((token) => {
  if (token.kind !== 'option' || token.name !== 'only') return [];
  return token.inlineValue ? [token.index] : [token.index, token.index + 1];
});
const forVitest = process.argv.slice(2).filter((_, index) => !own.includes(index));

/** @type {Outcome[]} */
const outcomes = [];
for (const line of only) {
  try {
    outcomes.push(test(line, forVitest));
  } catch (error) {
    console.error(error);
    outcomes.push({ line, version: 'none', passed: 0, failed: 0, skipped: 0, ok: false });
  }
}
console.table(
  Object.fromEntries(
    outcomes.map(({ line, ok, ...counts }) => [line, { ...counts, outcome: ok ? 'ok' : 'FAILED' }]),
  ),
);
process.exit(outcomes.every(({ ok }) => ok) ? 0 : 1);
