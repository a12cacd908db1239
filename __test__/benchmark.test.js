// The benchmark measures, notices wrong results, and writes its report. Only pools without a
// library take part: tests install nothing.

import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { judge } from '../benchmark/goals.mjs';
import { machineLine, measuredEnvironment } from '../benchmark/machine.mjs';
import { page } from '../benchmark/report/page.mjs';
import { plot } from '../benchmark/report/plot.mjs';
import { tableOf } from '../benchmark/table.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
let campaign;

beforeAll(async () => {
  const args = [
    '--quick',
    '--rounds',
    '2',
    '--test',
    'tiny,addon',
    '--peers',
    'bulkhead,fork-json',
    '--json',
  ];
  const { stdout } = await promisify(execFile)(process.execPath, [
    join(root, 'benchmark/run.mjs'),
    ...args,
  ]);
  campaign = JSON.parse(stdout);
}, 120_000);

test('the benchmark measures each pool once a round, and gets right results', () => {
  const [tiny, addon] = campaign.tests;
  expect(tiny.rows.map(({ pool }) => pool)).toEqual(['bulkhead', 'fork-json']);
  for (const { runs } of tiny.rows) {
    expect(runs).toHaveLength(2);
    for (const { figures } of runs) {
      expect(figures).toMatchObject({ wrong: 0 });
      expect(figures.perSecond).toBeGreaterThan(0);
    }
  }
  expect(addon.rows[0].runs[0].figures.bytes).toBeGreaterThan(0);
});

test('page and plot are made from the figures that the benchmark saved', () => {
  const text = page([campaign]);
  expect(text).toContain('### Tiny tasks, 1 000 in flight');
  expect(text).toContain('**not measured**');
  for (const theme of ['light', 'dark'])
    expect(plot(campaign, theme)).toMatch(/^<svg [\s\S]*bulkhead[\s\S]*<\/svg>\n$/);
});

test('measured processes start without what slows each start down, and the machine line says so', () => {
  const before = { ...process.env };
  Object.assign(process.env, { NODE_EXTRA_CA_CERTS: '/no/file', NODE_OPTIONS: '--no-warnings' });
  try {
    const env = measuredEnvironment();
    expect(env).toMatchObject({ PATH: process.env.PATH });
    expect(env).not.toHaveProperty('NODE_EXTRA_CA_CERTS');
    expect(env).not.toHaveProperty('NODE_OPTIONS');
  } finally {
    for (const name of ['NODE_EXTRA_CA_CERTS', 'NODE_OPTIONS']) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  }
  expect(machineLine(campaign.machine)).toMatch(/, without NODE_EXTRA_CA_CERTS and NODE_OPTIONS$/);
  const { unset: _, ...older } = campaign.machine;
  expect(machineLine(older)).not.toContain('without');
});

test('the benchmark refuses an unknown name', async () => {
  const run = promisify(execFile)(process.execPath, [
    join(root, 'benchmark/run.mjs'),
    '--peers',
    'unknown',
  ]);
  await expect(run).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no pool "unknown"'),
  });
});

describe('tables of the benchmark', () => {
  const measure = {
    columns: [
      { title: 'speed', key: 'speed' },
      { title: 'x', key: 'speed', ratio: true },
    ],
  };
  const rows = [
    {
      pool: 'bulkhead',
      runs: [{ figures: { speed: 30, wrong: 0 } }, { figures: { speed: 60, wrong: 2 } }],
    },
    {
      pool: 'fork-json',
      runs: [{ figures: { speed: 10, wrong: 0 } }, { figures: { speed: 12, wrong: 0 } }],
    },
    {
      pool: 'other',
      runs: [{ error: 'no result within 60 s' }, { figures: { speed: 6, wrong: 0 } }],
    },
  ];

  test('tables have ratios within each round, wrong results, and failures', () => {
    expect(tableOf(measure, rows)).toEqual([
      ['', 'speed', 'x', 'wrong results', 'failed'],
      ['bulkhead', '45', '4.00 (3.00..5.00)', '2', ''],
      ['fork-json', '11', '1.00 (1.00..1.00)', '0', ''],
      ['other', '6', '0.50', '0', '1 of 2: no result within 60 s'],
    ]);
  });

  test('tables compare with the pool that is hardest to beat', () => {
    const verdicts = judge(
      [
        { says: 'speed', key: 'speed', atLeast: 5, over: ['fork-json', 'other'], overName: 'all' },
        { says: 'speed', key: 'speed', atMost: 50 },
        { says: 'speed', key: 'speed', atLeast: 2, over: ['absent'] },
      ],
      rows,
    );
    expect(verdicts).toEqual([
      { goal: 'speed ≥ 5x all', measured: '4.00 (3.00..5.00) fork-json', met: 'not met' },
      { goal: 'speed ≤ 50.00', measured: '45.00', met: 'met' },
      { goal: 'speed ≥ 2x absent', measured: '-', met: 'not measured' },
    ]);
  });
});
