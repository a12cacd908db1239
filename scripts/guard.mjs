// Counts the cost of a task, and compares it with the record in benches/figures.json: `npm run
// guard`.
//
//   npm run guard                 fails if a figure exceeds its limit
//   npm run guard -- --record     writes the figures to the record
//   npm run guard -- --top 30     also prints the functions with most instructions
//
// Nothing here measures time. benches/steady_state.rs plays the supervisor's side alone. Its
// allocations, its instructions (under callgrind) and its system calls (under strace) are the same
// in every run, even on a busy machine. benches/pool.mjs runs a whole pool under strace, with the
// addon of the last `npm run build`. Its number of system calls depends on scheduling: the lowest
// number of several runs counts, and the limit is wide. This figure is there to detect one system
// call for every task.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const record = join(root, 'benches', 'figures.json');

/** Maximum number of runs of the whole pool. */
const RUNS = 6;
/** Limits by kind of figure: a factor on the record, plus a constant. */
const LIMITS = {
  allocations: { of: 'allocations per task', times: 1.1, plus: 0.02 },
  bytes: { of: 'bytes allocated per task', times: 1.1, plus: 16 },
  // Another compiler may produce other code.
  instructions: { of: 'instructions per task', times: 1.2, plus: 20 },
  calls: { of: 'system calls per 1000 tasks', times: 1.1, plus: 1 },
  // One call for each task would be 1000.
  poolCalls: { of: 'system calls per 1000 tasks of a pool', times: 4, plus: 50 },
};
const STAGES = ['submit', 'reply', 'deliver'];

/**
 * @typedef {keyof typeof LIMITS} Kind
 * @typedef {{ kind: Kind, what: string, value: number }} Figure
 * @typedef {{ taken: Record<string, string>, figures: Record<Kind, Record<string, number>> }} Recorded
 */

const { values } = parseArgs({
  options: { record: { type: 'boolean', default: false }, top: { type: 'string' } },
});

/**
 * @param {string} sentence
 * @returns {never}
 */
function giveUp(sentence) {
  console.error(`\n${sentence}\n`);
  process.exit(1);
}

/**
 * Runs a program, and returns its standard output.
 *
 * @param {string} command
 * @param {string[]} args
 */
function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    // Log output must not be counted.
    env: { ...process.env, BULKHEAD_LOG: '' },
  });
  if (error) throw error;
  if (status !== 0) giveUp(`${command} ${args.join(' ')} has failed:\n${stdout}\n${stderr}`);
  return stdout;
}

/**
 * Returns the first line of a tool's version. null: the tool is missing and its figures are
 * omitted, which CI does not accept.
 *
 * @param {string} tool
 */
function version(tool) {
  const { stdout, error } = spawnSync(tool, ['--version'], { encoding: 'utf8' });
  if (!error) return stdout.split('\n')[0].replace('-- version ', '');
  if (process.env.CI) giveUp(`The guard needs ${tool}.`);
  console.log(`${tool} is not installed: what it would count is left out.`);
  return null;
}

/** Compiles benches/steady_state.rs like the addon, but with the names of its functions. */
function build() {
  console.log('compiling benches/steady_state.rs');
  // With an explicit target, cargo uses the folder in which `napi build` has compiled the
  // dependencies.
  const host =
    run('rustc', ['--version', '--verbose']).match(/^host: (.+)$/m)?.[1] ??
    giveUp('rustc has no host.');
  const bench = [
    'rustc',
    '--quiet',
    '--locked',
    '--profile',
    'bench',
    '--bench',
    'steady_state',
    '--target',
    host,
  ];
  const messages = run('cargo', [...bench, '--message-format', 'json', '--', '-C', 'strip=none']);
  const executables = messages
    .split('\n')
    .filter((line) => line.includes('"steady_state"'))
    .map((line) => JSON.parse(line).executable);
  return (
    executables.find((path) => typeof path === 'string') ??
    giveUp('Cargo does not say what it has compiled.')
  );
}

/**
 * @param {string} program
 * @returns {Figure[]}
 */
function allocations(program) {
  const { tasks, stages } = JSON.parse(run(program, []));
  const kinds = /** @type {const} */ (['allocations', 'bytes']);
  return kinds.flatMap((kind) =>
    STAGES.map((stage) => ({ kind, what: stage, value: stages[stage][kind] / tasks })),
  );
}

/**
 * @param {string} program
 * @param {string} folder
 * @returns {Figure[]}
 */
function instructions(program, folder) {
  const out = join(folder, 'callgrind');
  const options = [
    '--tool=callgrind',
    '--collect-atstart=no',
    '--toggle-collect=guard_*',
    `--callgrind-out-file=${out}`,
  ];
  const { tasks } = JSON.parse(
    run('valgrind', [...options, '--compress-strings=no', '--compress-pos=no', program]),
  );
  const { inclusive, exclusive } = costs(readFileSync(out, 'utf8'));
  if (values.top !== undefined) {
    const most = [...exclusive].sort(([, a], [, b]) => b - a).slice(0, Number(values.top));
    console.log(
      '\ninstructions per task, without those of the functions that are called from there',
    );
    for (const [name, cost] of most)
      console.log(`${(cost / tasks).toFixed(1).padStart(10)}  ${name}`);
  }
  return STAGES.map((stage) => {
    const cost =
      inclusive.get(`guard_${stage}`) ??
      giveUp(`callgrind has not seen the function guard_${stage}.`);
    return { kind: 'instructions', what: stage, value: cost / tasks };
  });
}

/**
 * Returns the cost of functions in a callgrind file, with and without their callees.
 *
 * @param {string} text
 */
function costs(text) {
  /** @type {Map<string, number>} */
  const inclusive = new Map();
  /** @type {Map<string, number>} */
  const exclusive = new Map();
  let caller = '';
  let called = '';
  let isCall = false;
  for (const line of text.split('\n')) {
    const [, key, value] = line.match(/^(fn|cfn|calls)=(.*)$/) ?? [];
    if (key === 'fn') caller = value;
    else if (key === 'cfn') called = value;
    else if (key === 'calls') isCall = true;
    else if (/^\d+ \d+$/.test(line)) {
      const [sums, name] = isCall ? [inclusive, called] : [exclusive, caller];
      sums.set(name, (sums.get(name) ?? 0) + Number(line.split(' ')[1]));
      isCall = false;
    }
  }
  return { inclusive, exclusive };
}

/**
 * Counts the supervisor's side alone. The stand-in for a worker has other calls.
 *
 * @param {string} program
 * @param {string} folder
 * @returns {Figure[]}
 */
function callsAlone(program, folder) {
  const { output, made } = trace([program], folder);
  const ours = made.filter(({ name }) => name !== 'read' && name !== 'write');
  return [
    {
      kind: 'calls',
      what: "the supervisor's side alone",
      value: (ours.length / output.tasks) * 1000,
    },
  ];
}

/**
 * Counts a whole pool. Omitted are V8's helper threads and the thread that writes overdue replies,
 * because their calls depend on time.
 *
 * @param {string} folder
 * @returns {Figure[]}
 */
function callsOfPool(folder) {
  const { output, made } = trace([process.execPath, join(root, 'benches', 'pool.mjs')], folder);
  const { tasks, parent, worker } = output;
  const first = (/** @type {Record<string, string>} */ threads) =>
    String(Math.min(...Object.keys(threads).map(Number)));
  const threads = {
    'JavaScript in the parent': first(parent),
    supervisor: Object.keys(parent).find((thread) => parent[thread] === 'bulkhead'),
    'JavaScript in the worker': first(worker),
  };
  return Object.entries(threads).map(([what, thread]) => {
    const count = made.filter((call) => call.thread === thread).length;
    return { kind: 'poolCalls', what, value: (count / tasks) * 1000 };
  });
}

/**
 * Returns a program's output, and the system calls between its two marks.
 *
 * @param {string[]} command
 * @param {string} folder
 */
function trace(command, folder) {
  const log = join(folder, 'strace');
  const output = JSON.parse(run('strace', ['-f', '-o', log, ...command]));
  const lines = readFileSync(log, 'utf8').split('\n');
  const [begin, end] = ['begin', 'end'].map((mark) =>
    lines.findIndex((line) => line.includes(`/bulkhead-guard/${mark}`)),
  );
  if (begin < 0 || end < begin) giveUp('strace has not seen the beginning and the end.');
  // Skip signals, and the continuation of a call that another thread's call interrupts in the log.
  const made = lines.slice(begin + 1, end).flatMap((line) => {
    const [, thread, name] = line.match(/^(\d+) +(\w+)\(/) ?? [];
    return thread === undefined ? [] : [{ thread, name }];
  });
  return { output, made };
}

/**
 * Returns the lowest figures of several runs.
 *
 * @param {() => Figure[]} count
 * @param {(figures: Figure[]) => boolean} enough
 */
function lowest(count, enough) {
  let best = count();
  for (let i = 1; i < RUNS && !enough(best); i++) {
    const next = count();
    best = best.map((figure, at) => ({ ...figure, value: Math.min(figure.value, next[at].value) }));
  }
  return best;
}

/** @param {number} value */
const rounded = (value) => Number(value.toPrecision(4));

/**
 * @param {Kind} kind
 * @param {number} recorded
 */
const limit = (kind, recorded) => recorded * LIMITS[kind].times + LIMITS[kind].plus;

if (process.platform !== 'linux') {
  console.log('The guard counts with valgrind and strace, which are for Linux.');
  process.exit(0);
}
const tools = { valgrind: version('valgrind'), strace: version('strace') };
if (values.record && (tools.valgrind === null || tools.strace === null))
  giveUp('A record needs both.');
const taken = {
  machine: process.arch,
  rustc: run('rustc', ['--version']).trim(),
  node: process.version,
  valgrind: tools.valgrind ?? '',
  strace: tools.strace ?? '',
};
/** @type {Recorded} */
const recorded = JSON.parse(readFileSync(record, 'utf8'));
const kinds = /** @type {Kind[]} */ (Object.keys(LIMITS));

/** @param {Figure} figure */
function isFine({ kind, what, value }) {
  // Instructions depend on the machine.
  if (kind === 'instructions' && recorded.taken.machine !== process.arch) return true;
  const before = recorded.figures[kind]?.[what];
  return before !== undefined && value <= limit(kind, before);
}

const folder = mkdtempSync(join(tmpdir(), 'bulkhead-guard-'));
/** @type {Figure[]} */
let figures;
try {
  const program = build();
  figures = allocations(program);
  if (tools.valgrind !== null) figures.push(...instructions(program, folder));
  if (tools.strace !== null) {
    const enough = (/** @type {Figure[]} */ found) => !values.record && found.every(isFine);
    figures.push(...callsAlone(program, folder));
    figures.push(...lowest(() => callsOfPool(folder), enough));
  }
} finally {
  rmSync(folder, { recursive: true });
}

/** @param {(string | number)[]} columns */
const print = ([what, ...numbers]) =>
  console.log(
    String(what).padEnd(64) + numbers.map((number) => String(number).padStart(10)).join(''),
  );

print(['\n', 'found', 'recorded', 'limit']);
for (const figure of figures) {
  const { kind, what, value } = figure;
  const before = recorded.figures[kind]?.[what];
  const known = before === undefined ? ['-', '-'] : [before, rounded(limit(kind, before))];
  print([
    `${LIMITS[kind].of}, ${what}`,
    rounded(value),
    ...known,
    values.record ? '' : isFine(figure) ? 'ok' : 'TOO MANY',
  ]);
}
if (values.record) {
  const of = (/** @type {Kind} */ kind) => figures.filter((figure) => figure.kind === kind);
  const entries = kinds.map((kind) => [
    kind,
    Object.fromEntries(of(kind).map(({ what, value }) => [what, rounded(value)])),
  ]);
  writeFileSync(
    record,
    `${JSON.stringify({ taken, figures: Object.fromEntries(entries) }, null, 2)}\n`,
  );
  console.log('\nThat is the record now: benches/figures.json.');
} else if (!figures.every(isFine)) {
  const by = (/** @type {Record<string, string>} */ tools) => Object.values(tools).join(', ');
  giveUp(
    `A task costs more than it did. Recorded by ${by(recorded.taken)}; this is ${by(taken)}. If it has to be so, ` +
      '`npm run guard -- --record`, and say why in the commit.',
  );
}
