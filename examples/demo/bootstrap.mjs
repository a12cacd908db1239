// The demo's job: how sure is the mean delay of the flights by airport or hour? The bootstrap draws
// the flights 250 times, each time with other weights, and looks how far the means differ.
// Nearly all of its time is arithmetic on numbers that are there: it makes little garbage, so a
// single process uses little more than one core.

import { readColumns, reports } from '../data-analysis/flights.mjs';

/**
 * @typedef {import('../data-analysis/flights.mjs').Report} Report
 * @typedef {object} Sample the `data` of a task: a row group of the file and a report
 * @property {string} file
 * @property {Report} report
 * @property {number} rowStart
 * @property {number} rowEnd
 * @typedef {import('../data-analysis/flights.mjs').Table} Table `sums` has for each key and each
 *   resample the number of flights, and the sum of their delays
 */

/** The reports of the demo: with few keys, because each has all resamples. */
export const demoReports = /** @type {const} */ (['origin', 'destination', 'hour']);

const resamples = 250;
const width = 2 * resamples;

/** How often a resample draws a flight, for 4096 equally probable cases: Poisson, with mean 1. */
const weights = Uint8Array.from({ length: 4096 }, (_, index) => {
  let weight = 0;
  let probability = Math.exp(-1);
  for (let sum = probability; sum < (index + 0.5) / 4096; sum += probability)
    probability /= ++weight;
  return weight;
});

/**
 * Draws the resamples of a row group.
 *
 * @param {Sample} sample
 * @returns {Promise<Table>}
 */
export async function bootstrap({ file, report, rowStart, rowEnd }) {
  const { columns, key } = reports[report];
  const [delays, values] = await readColumns(file, ['delay', ...columns], { rowStart, rowEnd });
  /** @type {Map<string, Float64Array>} */
  const found = new Map();
  for (let row = rowStart; row < rowEnd; row++) {
    const name = key(/** @type {never} */ (values[row - rowStart]), /** @type {never} */ (''));
    let sums = found.get(name);
    if (sums === undefined) {
      sums = new Float64Array(width);
      found.set(name, sums);
    }
    draw(sums, Number(delays[row - rowStart]), row);
  }
  const keys = [...found.keys()].sort();
  const sums = new Float64Array(keys.length * width);
  keys.forEach((name, index) => {
    sums.set(/** @type {Float64Array} */ (found.get(name)), index * width);
  });
  return { keys, sums };
}

/**
 * Adds a flight to the resamples. Its number seeds the random numbers, so every process draws the
 * same.
 *
 * @param {Float64Array} sums
 * @param {number} delay
 * @param {number} row
 */
function draw(sums, delay, row) {
  let random = Math.imul(row + 1, 0x9e3779b1) | 1;
  for (let at = 0; at < width; at += 2) {
    random ^= random << 13;
    random ^= random >>> 17;
    random ^= random << 5;
    const weight = weights[random >>> 20];
    sums[at] += weight;
    sums[at + 1] += weight * delay;
  }
}

/**
 * @param {Table[]} tables of one report
 * @param {string} key
 * @returns {{ mean: number, error: number }} of the delay (minutes), and its standard error
 */
export function meanDelay(tables, key) {
  const total = new Float64Array(width);
  for (const { keys, sums } of tables) {
    const start = keys.indexOf(key) * width;
    for (let i = 0; start >= 0 && i < width; i++) total[i] += sums[start + i];
  }
  const means = Array.from({ length: resamples }, (_, i) => total[2 * i + 1] / total[2 * i]);
  const mean = means.reduce((sum, value) => sum + value, 0) / resamples;
  const variance = means.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (resamples - 1);
  return { mean, error: Math.sqrt(variance) };
}
