// The data and the arithmetic of the example: three million flights within the USA in the first
// half of 2001, from a Parquet file, summed up by airport, route or hour. This file does not depend
// on processes. The workers run `analyse` on one shard each, and the single-process answer runs it
// on all rows at once.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { decompress } from 'fzstd';
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet';

const data = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '../data');

/** The flights, from the npm package vega-datasets. */
export const flightsFile = join(data, 'flights-3m.parquet');

/**
 * @typedef {keyof typeof reports} Report
 * @typedef {object} Shard the `data` of a task: a part of the file and a report
 * @property {string} file
 * @property {Report} report
 * @property {number} rowStart
 * @property {number} rowEnd the row after the last one
 * @typedef {object} Table the result: `width` numbers for every key
 * @property {string[]} keys
 * @property {Float64Array} sums for each key: flights, late flights, sum of the delays, sum of
 *   their squares, lowest, highest
 */

const width = 6;

/**
 * The delay from which a flight counts as late (minutes), as in the statistics of the US Bureau of
 * Transportation.
 */
const lateMinutes = 15;

const microsecondsPerHour = 3_600_000_000;

/** The reports: the columns that each needs, and how they form the grouping key. */
export const reports = {
  origin: { columns: ['origin'], key: (/** @type {string} */ origin) => origin },
  destination: {
    columns: ['destination'],
    key: (/** @type {string} */ destination) => destination,
  },
  route: {
    columns: ['origin', 'destination'],
    key: (/** @type {string} */ origin, /** @type {string} */ destination) =>
      `${origin}-${destination}`,
  },
  hour: {
    columns: ['date'],
    key: (/** @type {number} */ microseconds) =>
      `${String(Math.floor(microseconds / microsecondsPerHour) % 24).padStart(2, '0')} h`,
  },
};

/**
 * Returns the row groups of the file, a Parquet file's unit of parallel work.
 *
 * @param {string} [file]
 * @returns {Promise<{ rowStart: number, rowEnd: number }[]>}
 */
export async function rowGroups(file = flightsFile) {
  const metadata = await parquetMetadataAsync(await asyncBufferFromFile(file));
  let rowStart = 0;
  return metadata.row_groups.map((group) => {
    const shard = { rowStart, rowEnd: rowStart + Number(group.num_rows) };
    rowStart = shard.rowEnd;
    return shard;
  });
}

/**
 * Reads the rows of the shard and sums them up, one row group at a time.
 *
 * @param {Shard} shard
 * @returns {Promise<Table>}
 */
export async function analyse({ file, report, rowStart, rowEnd }) {
  const { columns, key } = reports[report];
  /** @type {Map<string, number[]>} */
  const found = new Map();
  for (const group of await rowGroups(file)) {
    const start = Math.max(rowStart, group.rowStart);
    const end = Math.min(rowEnd, group.rowEnd);
    if (start >= end) continue;
    const [delays, first, second] = await readColumns(file, ['delay', ...columns], group);
    for (let row = start - group.rowStart; row < end - group.rowStart; row++) {
      const delay = Number(delays[row]);
      const name = key(/** @type {never} */ (first[row]), /** @type {never} */ (second?.[row]));
      let sums = found.get(name);
      if (sums === undefined) {
        sums = [0, 0, 0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
        found.set(name, sums);
      }
      sums[0] += 1;
      if (delay >= lateMinutes) sums[1] += 1;
      sums[2] += delay;
      sums[3] += delay * delay;
      if (delay < sums[4]) sums[4] = delay;
      if (delay > sums[5]) sums[5] = delay;
    }
  }
  return toTable(found);
}

/**
 * @param {string} file
 * @param {string[]} columns
 * @param {{ rowStart: number, rowEnd: number }} group
 * @returns {Promise<ArrayLike<unknown>[]>} in the order of `columns`
 */
export async function readColumns(file, columns, group) {
  /** @type {Map<string, ArrayLike<unknown>>} */
  const found = new Map();
  await parquetRead({
    ...group,
    file: await asyncBufferFromFile(file),
    columns,
    compressors: { ZSTD: (input, length) => decompress(input, new Uint8Array(length)) },
    parsers: { timestampFromMicroseconds: Number },
    onChunk: ({ columnName, columnData }) => found.set(columnName, columnData),
  });
  return columns.map((name) => {
    const values = found.get(name);
    if (values === undefined) throw new Error(`${file} has no column "${name}"`);
    return values;
  });
}

/**
 * Adds up the tables of the shards. All sums are whole numbers, so the order does not change any
 * digit.
 *
 * @param {Table[]} tables
 * @returns {Table}
 */
export function merge(tables) {
  /** @type {Map<string, number[]>} */
  const found = new Map();
  for (const { keys, sums } of tables) {
    keys.forEach((key, index) => {
      const row = Array.from(sums.subarray(index * width, (index + 1) * width));
      const total = found.get(key);
      if (total === undefined) {
        found.set(key, row);
        return;
      }
      for (let column = 0; column < 4; column++) total[column] += row[column];
      total[4] = Math.min(total[4], row[4]);
      total[5] = Math.max(total[5], row[5]);
    });
  }
  return toTable(found);
}

/**
 * @param {Map<string, number[]>} found
 * @returns {Table} sorted by key
 */
function toTable(found) {
  const keys = [...found.keys()].sort();
  const sums = new Float64Array(keys.length * width);
  keys.forEach((key, index) => {
    sums.set(/** @type {number[]} */ (found.get(key)), index * width);
  });
  return { keys, sums };
}

/**
 * @param {Table} one
 * @param {Table} other
 */
export function equalTables(one, other) {
  return (
    one.keys.length === other.keys.length &&
    one.keys.every((key, index) => key === other.keys[index]) &&
    one.sums.every((sum, index) => sum === other.sums[index])
  );
}

/**
 * @typedef {object} Line
 * @property {string} key
 * @property {number} flights
 * @property {number} late share of the flights, 0 to 1
 * @property {number} mean delay in minutes; below zero is early
 * @property {number} deviation standard deviation of the delay, minutes
 * @property {number} lowest
 * @property {number} highest
 */

/**
 * Returns the statistics of a table.
 *
 * @param {Table} table
 * @returns {Line[]} most flights first
 */
export function describe({ keys, sums }) {
  return keys
    .map((key, index) => {
      const [flights, late, total, squares, lowest, highest] = sums.subarray(
        index * width,
        (index + 1) * width,
      );
      const mean = total / flights;
      return {
        key,
        flights,
        late: late / flights,
        mean,
        deviation: Math.sqrt(squares / flights - mean * mean),
        lowest,
        highest,
      };
    })
    .sort((a, b) => b.flights - a.flights);
}

/** @returns {Map<string, string>} "name, city" of the airports, by their IATA code */
export function airportNames() {
  const lines = readFileSync(join(data, 'airports.csv'), 'utf8').trim().split(/\r?\n/);
  return new Map(
    lines.slice(1).map((line) => {
      const [iata, name, city] = line.split(',');
      return [iata, `${name}, ${city}`];
    }),
  );
}
