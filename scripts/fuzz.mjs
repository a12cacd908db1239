// Runs the fuzz targets in fuzz/: `npm run fuzz`.
//
//   npm run fuzz                                 every target, a fixed number of executions: half a minute on two cores
//   npm run fuzz -- --target pool --runs 1000000 one target, for longer
//   npm run fuzz -- --seconds 600                time for each target (s)
//   npm run fuzz -- --target pool --input FILE   one input again, such as one that crashed
//   npm run fuzz -- --minimise                   makes the inputs found so far the corpus, without redundant ones
//   npm run fuzz -- --build                      only compiles
//
// As many targets run side by side as there are cores. Each prints one line when it has ended, and
// behind the last lines of its output if it has failed.
//
// Inputs that reach new code are kept in fuzz/target/corpus and used by the next run. An input that
// fails is kept in fuzz/artifacts, and the script exits with 1.

import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'fuzz');

/**
 * `runs`: executions in about ten seconds on a small machine. `longest`: size of the longest input
 * (bytes).
 *
 * @type {Map<string, { runs: number, longest: number }>}
 */
const TARGETS = new Map([
  ['decoder', { runs: 80_000, longest: 2048 }],
  ['envelope', { runs: 150_000, longest: 2048 }],
  ['binary', { runs: 150_000, longest: 1024 }],
  ['splitter', { runs: 80_000, longest: 2048 }],
  ['page', { runs: 60_000, longest: 4096 }],
  ['pool', { runs: 12_000, longest: 2048 }],
]);

/**
 * @param {string} sentence
 * @returns {never}
 */
function giveUp(sentence) {
  console.error(`\n${sentence}\n`);
  process.exit(1);
}

const { values } = parseArgs({
  options: {
    target: { type: 'string', multiple: true },
    runs: { type: 'string' },
    seconds: { type: 'string' },
    input: { type: 'string' },
    minimise: { type: 'boolean', default: false },
    build: { type: 'boolean', default: false },
  },
});
const targets = values.target ?? [...TARGETS.keys()];
for (const target of targets) {
  if (!TARGETS.has(target))
    giveUp(`There is no target ${target}; there are ${[...TARGETS.keys()].join(', ')}.`);
}
if (values.input !== undefined && targets.length !== 1) giveUp('--input goes with one --target.');

if (spawnSync('cargo', ['fuzz', '--version'], { stdio: 'ignore' }).status !== 0) {
  giveUp(
    'Fuzzing needs cargo-fuzz and a C++ compiler: `cargo install cargo-fuzz --locked`, and the package g++ or clang of ' +
      'your system.',
  );
}

// No sanitizer: the code under test is safe Rust and counts its own memory. Thus stable Rust
// suffices, and runs twice as fast.
/** @param {string} command */
const cargoFuzz = (command) => ['fuzz', command, '--fuzz-dir', folder, '--sanitizer', 'none'];
const build = spawnSync('cargo', cargoFuzz('build'), { cwd: root, stdio: 'inherit' });
if (build.status !== 0) giveUp('The fuzz targets could not be built: see the messages above.');
if (values.build) process.exit(0);

/**
 * @param {string} target
 * @param {string[]} args of libFuzzer
 * @param {(line: string) => void} [onLine]
 * @returns {Promise<number>} exit code
 */
function libFuzzer(target, args, onLine = console.error) {
  const command = [...cargoFuzz('run'), target, ...args];
  const child = spawn('cargo', command, { cwd: root, stdio: ['ignore', 'inherit', 'pipe'] });
  createInterface({ input: child.stderr }).on('line', onLine);
  return new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
}

/** @param {string} target */
function corpora(target) {
  const found = join(folder, 'target', 'corpus', target);
  const kept = join(folder, 'corpus', target);
  for (const path of [found, kept]) mkdirSync(path, { recursive: true });
  return { found, kept };
}

/**
 * @param {string} target
 * @returns {Promise<boolean>} no input has failed
 */
async function fuzz(target) {
  const { found, kept } = corpora(target);
  const { runs, longest } = /** @type {{ runs: number, longest: number }} */ (TARGETS.get(target));
  const bound =
    values.seconds === undefined
      ? `-runs=${values.runs ?? runs}`
      : `-max_total_time=${values.seconds}`;
  const args = [
    found,
    kept,
    '--',
    bound,
    `-max_len=${longest}`,
    `-dict=${join(folder, 'wire.dict')}`,
  ];
  /** @type {Map<string, number>} */
  const stats = new Map();
  /** @type {string[]} */
  const last = [];
  const code = await libFuzzer(
    target,
    [...args, '-timeout=20', '-rss_limit_mb=1024', '-print_final_stats=1'],
    (line) => {
      const stat = line.match(/^stat::(\w+):\s+(\d+)/) ?? line.match(/ (cov): (\d+) /);
      if (stat) stats.set(stat[1], Number(stat[2]));
      last.push(line);
      if (last.length > 100) last.shift();
    },
  );
  if (code !== 0) console.error(last.join('\n'));
  const columns = [
    target.padEnd(9),
    `${stats.get('number_of_executed_units') ?? '?'} executions`.padStart(20),
    `${stats.get('average_exec_per_sec') ?? '?'}/s`.padStart(9),
    `${stats.get('cov') ?? '?'} edges`.padStart(11),
    `${stats.get('peak_rss_mb') ?? '?'} MB`.padStart(8),
    code === 0 ? 'ok' : 'FAILED',
  ];
  console.log(columns.join('  '));
  return code === 0;
}

/** @param {string} target */
async function minimise(target) {
  const { found, kept } = corpora(target);
  const fresh = `${kept}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh);
  // Selects inputs by the code that they reach, not by how often: a tenth of the inputs remains.
  const code = await libFuzzer(
    target,
    [fresh, found, kept, '--', '-merge=1', '-use_counters=0'],
    () => {},
  );
  if (code !== 0) giveUp(`The corpus of ${target} could not be merged.`);
  rmSync(kept, { recursive: true });
  renameSync(fresh, kept);
  const files = readdirSync(kept);
  const bytes = files.reduce((sum, file) => sum + statSync(join(kept, file)).size, 0);
  console.log(`${target}: ${files.length} inputs, ${bytes} bytes`);
}

/** Fuzzes all targets, as many at a time as there are cores. @returns {Promise<boolean>} none has failed */
async function fuzzAll() {
  const waiting = targets.values();
  let sound = true;
  const inTurn = async () => {
    for (const target of waiting) if (!(await fuzz(target))) sound = false;
  };
  await Promise.all(Array.from({ length: availableParallelism() }, inTurn));
  return sound;
}

let sound = true;
if (values.input !== undefined) sound = (await libFuzzer(targets[0], [values.input])) === 0;
else if (values.minimise) for (const target of targets) await minimise(target);
else sound = await fuzzAll();
process.exit(sound ? 0 : 1);
