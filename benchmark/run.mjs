// Compares bulkhead with its peers, side by side.
//
//   npm run bench                                 the main measures: ten to fifteen minutes
//   npm run bench -- --quick                      fewer and shorter ones: less than two minutes
//   npm run bench -- --all                        every measure with every pool: about three hours
//   npm run bench -- --test payload,cold          these measures
//   npm run bench -- --peers bulkhead,fork-json   these pools
//   npm run bench -- --rounds 7 --workers 4
//   npm run bench -- --save node-20.json          for `npm run bench:report`; other results in that file are kept
//   npm run -s bench -- --json                    JSON on stdout, instead of the tables
//   npm run bench -- --list                       lists measures and pools

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { dirname } from 'node:path';
import { parseArgs } from 'node:util';
import { compare } from './campaign.mjs';
import { judge } from './goals.mjs';
import { install } from './install.mjs';
import { describeMachine, machineLine } from './machine.mjs';
import { measures } from './measures/catalogue.mjs';
import { pools, threadPools } from './pools/catalogue.mjs';
import { descendants, kill } from './proc.mjs';
import { plainTable, tableOf } from './table.mjs';

/** @typedef {import('./campaign.mjs').Row} Row */

/**
 * @typedef {object} Campaign the output of --json and --save
 * @property {import('./machine.mjs').Machine} machine
 * @property {import('./campaign.mjs').Settings} settings
 * @property {{ test: string, load: number, rows: Row[] }[]} tests `load` of the machine before each
 */

const { values } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    test: { type: 'string' },
    peers: { type: 'string' },
    rounds: { type: 'string' },
    workers: { type: 'string', default: String(Math.max(2, availableParallelism())) },
    json: { type: 'boolean', default: false },
    save: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

/** Pools that --quick omits in addition. */
const notQuick = [
  'bulkhead-events',
  'bulkhead-advanced',
  'fork-json-queued',
  'workerpool-process',
  'jest-process',
];

if (values.list) {
  for (const [test, measure] of Object.entries(measures))
    console.log(`${test.padEnd(22)} ${measure.title}`);
  console.log(`\n${Object.keys(pools).join(' ')}`);
  process.exit(0);
}

const tests = values.test?.split(',') ?? Object.keys(measures).filter(isUsual);
const peers = values.peers?.split(',');
const settings = {
  rounds: Number(values.rounds ?? (values.quick ? 2 : values.all ? 5 : 3)),
  workers: Number(values.workers),
  quick: values.quick,
};
for (const name of peers ?? [])
  if (!Object.hasOwn(pools, name)) stop(`there is no pool "${name}": see --list`);
for (const test of tests)
  if (!Object.hasOwn(measures, test)) stop(`there is no measure "${test}": see --list`);
if (!(settings.rounds >= 1 && settings.workers >= 1))
  stop('--rounds and --workers take a number from 1');
install(tests.flatMap(poolsOf));
if (values.save) mkdirSync(dirname(values.save), { recursive: true });

/** @type {Campaign} */
const campaign = { machine: describeMachine(), settings, tests: [] };
const kept =
  values.save && existsSync(values.save)
    ? keptOf(JSON.parse(readFileSync(values.save, 'utf8')))
    : [];
say(machineLine(campaign.machine));
say(`${settings.workers} workers, medians of ${settings.rounds} rounds, in turn, a process each`);
if (loadavg()[0] > 0.5)
  say('The machine is not idle: expect all figures to be too low, and their spread too wide.');

// End the process that is being measured as well.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    kill(descendants(process.pid));
    process.exit(1);
  });
}

for (const test of tests) {
  const names = poolsOf(test);
  if (names.length === 0) continue;
  const load = Number(loadavg()[0].toFixed(2));
  const rows = await compare(test, names, settings, progress);
  campaign.tests.push({ test, load, rows });
  // Save after every measure, because a campaign takes long.
  if (values.save) save(values.save);
  print(test, rows, load);
}
if (values.json) console.log(JSON.stringify(campaign));

/**
 * @param {Campaign} before earlier content of the same file
 * @returns {Campaign['tests']} the tests that this run does not repeat
 */
function keptOf({ machine, settings: { rounds, workers, quick }, tests: measured }) {
  const { node, cpu, cores } = campaign.machine;
  const same =
    machine.node === node &&
    machine.cpu === cpu &&
    machine.cores === cores &&
    rounds === settings.rounds &&
    workers === settings.workers &&
    quick === settings.quick;
  if (!same)
    stop(
      `${values.save} is of another Node.js or machine, or has other settings: save this elsewhere`,
    );
  return measured.filter(({ test }) => !tests.includes(test));
}

/** @param {string} file */
function save(file) {
  const order = Object.keys(measures);
  const all = [...kept, ...campaign.tests].toSorted(
    (a, b) => order.indexOf(a.test) - order.indexOf(b.test),
  );
  writeFileSync(file, `${JSON.stringify({ ...campaign, tests: all })}\n`);
}

/** @param {string} test */
function isUsual(test) {
  const { long = false, quick = false } = measures[test];
  if (values.all) return true;
  return values.quick ? quick : !long;
}

/**
 * @param {string} test
 * @returns {string[]} in the order of its table
 */
function poolsOf(test) {
  const { pools: names, baseline = 'fork-json' } = measures[test];
  return names.filter((pool) => {
    if (peers) return peers.includes(pool);
    if (values.all || pool === baseline) return true;
    // The best known thread pool stands for all of them; --quick omits a few more.
    if (threadPools.includes(pool) && pool !== 'piscina-threads') return false;
    return !values.quick || !notQuick.includes(pool);
  });
}

/**
 * @param {string} test
 * @param {Row[]} rows
 * @param {number} load
 */
function print(test, rows, load) {
  const measure = measures[test];
  say(`\n${measure.title} (${test}; load before: ${load})\n`);
  say(plainTable(tableOf(measure, rows)));
  const verdicts = judge(measure.goals ?? [], rows);
  if (verdicts.length === 0) return;
  say('');
  say(
    plainTable([
      ['goal', 'bulkhead', ''],
      ...verdicts.map(({ goal, measured, met }) => [goal, measured, met]),
    ]),
  );
}

/** @param {string} text */
function say(text) {
  if (!values.json) console.log(text);
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\x1b[K`);
}

/**
 * @param {string} reason
 * @returns {never}
 */
function stop(reason) {
  console.error(reason);
  process.exit(1);
}
