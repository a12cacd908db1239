// The examples, run as a reader runs them.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  analyse,
  equalTables,
  flightsFile,
  merge,
  rowGroups,
} from '../examples/data-analysis/flights.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const minute = 60_000;
let folder;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bulkhead-examples-'));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** @returns exit code and output; never rejects */
async function example(name, ...args) {
  const file = join(root, 'examples', name, 'index.mjs');
  const child = promisify(execFile)(process.execPath, [file, ...args], {
    cwd: folder,
    timeout: 2 * minute,
  });
  const { stdout, stderr, code = 0 } = await child.catch((error) => error);
  return { code, stdout, stderr };
}

describe('image-processing', () => {
  test(
    'image-processing makes a thumbnail of every shipped photograph',
    async () => {
      const output = join(folder, 'thumbnails');
      const { code, stdout, stderr } = await example(
        'image-processing',
        '--output',
        output,
        '--size',
        '100',
      );
      expect(stderr).toContain('56/56');
      expect(stdout).toContain('56 thumbnails');
      expect(code).toBe(0);

      const files = (await readdir(output, { recursive: true })).filter((file) =>
        file.endsWith('.webp'),
      );
      expect(files).toHaveLength(56);
      const { width, height, format } = await sharp(
        join(output, 'paper-kit-2/fabio-mangione.jpg.100.webp'),
      ).metadata();
      expect({ longest: Math.max(width, height), format }).toEqual({
        longest: 100,
        format: 'webp',
      });
    },
    minute,
  );

  test(
    'image-processing takes a folder, and continues when a picture is broken',
    async () => {
      const pictures = await mkdtemp(join(folder, 'pictures-'));
      await writeFile(join(pictures, 'broken.jpg'), 'no picture');
      await sharp({ create: { width: 40, height: 20, channels: 3, background: 'red' } }).toFile(
        join(pictures, 'red.png'),
      );
      const output = join(folder, 'of-folder');
      const { code, stdout, stderr } = await example(
        'image-processing',
        pictures,
        '--output',
        output,
      );
      expect(await readdir(output)).toEqual(['red.png.320.webp']);
      expect(stdout).toContain('1 thumbnails');
      expect(stdout).toContain('1 could not be made');
      expect(stderr).toContain('broken.jpg');
      expect(code).toBe(1);
    },
    minute,
  );
});

describe('data-analysis', () => {
  test(
    'data-analysis finds in shards what a single process finds',
    async () => {
      const { code, stdout } = await example(
        'data-analysis',
        '--report',
        'origin',
        '--report',
        'hour',
      );
      expect(stdout).toContain('3,000,000 flights, 2 reports, 22 tasks');
      expect(stdout).toMatch(/^ORD +166341 +25\.5 % +9\.3 .*O'Hare/m);
      expect(stdout).toContain('Both answers are equal.');
      expect(code).toBe(0);
    },
    minute,
  );

  test(
    'data-analysis notices a difference',
    async () => {
      const [first, second] = await rowGroups();
      const whole = {
        file: flightsFile,
        report: 'destination',
        rowStart: first.rowStart,
        rowEnd: second.rowEnd,
      };
      const one = await analyse(whole);
      const parts = [await analyse({ ...whole, ...first }), await analyse({ ...whole, ...second })];
      expect(equalTables(merge(parts), one)).toBe(true);
      expect(equalTables(merge(parts.slice(1)), one)).toBe(false);
      expect(equalTables(merge([...parts, parts[0]]), one)).toBe(false);
    },
    minute,
  );

  test('data-analysis refuses a report that does not exist', async () => {
    const { code, stderr } = await example('data-analysis', '--report', 'carrier');
    expect(stderr).toContain('There is no report "carrier"');
    expect(code).toBe(2);
  });
});

test(
  'the demo prints what it measured',
  async () => {
    const { stdout, code } = await example('demo', '--row-groups', '1');
    expect(code).toBe(0);
    for (const line of [
      /^tasks +3 +3$/m,
      /^processor time +[\d.]+ s +[\d.]+ s here$/m,
      /^tasks per second +[\d.]+ +[\d.]+$/m,
      /^speed-up +1\.00x +[\d.]+x$/m,
      /^event-loop delay, p99 +[\d.]+ ms +[\d.]+ ms$/m,
      /^event-loop delay, max +[\d.]+ ms +[\d.]+ ms$/m,
      /^Both gave the same answer: at eight in the evening flights leave [\d.]+ minutes late/m,
      /^The single process used [\d.]+ cores/m,
    ]) {
      expect(stdout).toMatch(line);
    }
  },
  minute,
);
