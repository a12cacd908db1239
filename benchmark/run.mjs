// Compares bulkhead with its peers: `npm run bench`, a minute or two.
//
//   npm run bench -- --all                        every pool, the payload and the queue test as well: about 15 minutes
//   npm run bench -- --peers bulkhead,fork-json   these pools
//   npm run bench -- --test payload --rounds 3 --workers 4
//
// A round measures every pool once, each in a fresh process, in turn, so that what else the machine does hits all of
// them alike. A ratio is the median of the rounds' ratios; other figures are medians. Absolute figures move
// by a quarter between two runs: compare within one table only.

import { spawn } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { peers } from './peers.mjs';

/** @typedef {Record<string, any>} Figures what measure.mjs prints */
/** @typedef {{ title: string, cell: (rounds: Figures[], baseline: Figures[]) => string }} Column */

const baseline = 'fork-json';
const measure = fileURLToPath(new URL('measure.mjs', import.meta.url));

/** @type {Record<string, { title: string, columns: Column[] }>} */
const tests = {
  throughput: {
    title: 'Tiny tasks, 1 000 in flight',
    columns: [
      figure('tasks/s', 'perSecond', thousands),
      ratio('x fork-json', 'perSecond'),
      figure('main CPU µs/task', 'mainUs', (value) => value.toFixed(2)),
      figure('loop delay p99 ms', 'delayP99Ms', (value) => value.toFixed(1)),
      figure('round trip p50 µs', 'tripP50Us', (value) => value.toFixed(0)),
      figure('p99 µs', 'tripP99Us', (value) => value.toFixed(0)),
      figure('cold start ms', 'coldMs', (value) => value.toFixed(0)),
    ],
  },
  payload: {
    title: '1 MB there and back, one at a time',
    columns: [
      figure('string/s', 'stringPerSecond', (value) => value.toFixed(0)),
      ratio('x fork-json', 'stringPerSecond'),
      figure('Buffer/s', 'bufferPerSecond', (value) => value.toFixed(0)),
      ratio('x fork-json', 'bufferPerSecond'),
      { title: 'comes back as', cell: (rounds) => rounds[0].bufferBackAs },
    ],
  },
  queue: {
    title: '1 000 000 tasks of 100 bytes, waiting, each with its promise',
    columns: [
      figure('queued', 'queued', thousands),
      figure('µs/submit', 'submitUs', (value) => value.toFixed(2)),
      figure('RSS MB', 'rssMb', (value) => value.toFixed(0)),
      figure('bytes/task', 'bytesPerTask', (value) => value.toFixed(0)),
      ratio('x fork-json', 'bytesPerTask'),
    ],
  },
};

/**
 * @param {string} title
 * @param {string} key
 * @param {(value: number) => string} format
 * @returns {Column}
 */
function figure(title, key, format) {
  return {
    title,
    cell: (rounds) => {
      const value = median(rounds.map((round) => round[key]));
      return Number.isFinite(value) ? format(value) : '-';
    },
  };
}

/**
 * @param {string} title
 * @param {string} key
 * @returns {Column}
 */
function ratio(title, key) {
  return {
    title,
    cell: (rounds, base) => {
      const ratios = rounds.map((round, index) => round[key] / base[index]?.[key]).filter(Number.isFinite);
      return ratios.length === 0 ? '-' : median(ratios).toFixed(2);
    },
  };
}

/** @param {number} value */
function thousands(value) {
  return Math.round(value).toLocaleString('en').replaceAll(',', ' ');
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * @param {string} peer
 * @param {string} test
 * @param {number} workers
 * @returns {Promise<Figures>}
 */
async function measureOnce(peer, test, workers) {
  const args = ['--expose-gc', measure, peer, test, String(workers)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'], timeout: 180_000 });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    output += chunk;
  });
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (...ended) => resolve(ended));
  });
  const line = output.split('\n').find((text) => text.startsWith('{"name"'));
  if (line === undefined) throw new Error(`${peer} printed no figures (exit code ${code}, signal ${signal})`);
  return JSON.parse(line);
}

/**
 * @param {string} test
 * @param {string[]} names
 * @param {number} rounds
 * @param {number} workers
 */
async function compare(test, names, rounds, workers) {
  /** @type {Map<string, Figures[]>} */
  const measured = new Map(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      progress(`${test}: round ${round + 1} of ${rounds}, ${name}`);
      try {
        measured.get(name)?.push(await measureOnce(name, test, workers));
      } catch (error) {
        progress('');
        console.error(`${/** @type {Error} */ (error).message}: left out`);
        measured.delete(name);
      }
      names = names.filter((peer) => measured.has(peer));
    }
  }
  progress('');
  const { title, columns } = tests[test];
  console.log(`\n${title}; ${workers} workers, medians of ${rounds} rounds\n`);
  const base = measured.get(baseline) ?? [];
  const lines = [...measured].map(([name, figures]) => [name, ...columns.map((column) => column.cell(figures, base))]);
  printTable([['', ...columns.map((column) => column.title)], ...lines]);
  return measured;
}

/** @param {string[][]} rows the first one is the head */
function printTable(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) {
    const cells = row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])));
    console.log(cells.join('  ').trimEnd());
  }
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r${text}\x1b[K`);
}

const { values } = parseArgs({
  options: {
    all: { type: 'boolean', default: false },
    peers: { type: 'string' },
    test: { type: 'string' },
    rounds: { type: 'string' },
    workers: { type: 'string', default: String(Math.max(2, availableParallelism())) },
  },
});
const names =
  values.peers?.split(',') ?? (values.all ? Object.keys(peers) : ['bulkhead', baseline, 'tinypool-process']);
const chosen = values.test?.split(',') ?? (values.all ? Object.keys(tests) : ['throughput']);
const rounds = Number(values.rounds ?? (values.all ? 3 : 5));
for (const name of names) if (!Object.hasOwn(peers, name)) throw new Error(`there is no pool "${name}" to measure`);
for (const test of chosen) if (!Object.hasOwn(tests, test)) throw new Error(`there is no test "${test}"`);

console.log(`Node ${process.versions.node}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown CPU'}`);
const [load] = loadavg();
if (load > 0.5) console.log(`The machine is not idle (load ${load.toFixed(1)}): expect all figures to be too low.`);
for (const test of chosen) {
  const measured = await compare(test, [...names], rounds, Number(values.workers));
  const ours = measured.get('bulkhead');
  if (test !== 'throughput' || ours === undefined) continue;
  console.log();
  for (const [name, figures] of measured) {
    if (name.startsWith('bulkhead')) continue;
    const ratios = ours.map((round, index) => round.perSecond / figures[index].perSecond);
    console.log(`bulkhead runs ${median(ratios).toFixed(1)}x as many tiny tasks per second as ${name}`);
  }
}
