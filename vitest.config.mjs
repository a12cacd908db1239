import { defineConfig } from 'vitest/config';

/** Suites that take 10 s or more, or need packages of their own: `npm run test:long`. */
const LONG = [
  'bounds',
  'bundled',
  'collected-buffers',
  'crash-ledger',
  'directory',
  'docs',
  'environment',
  'examples',
  'exec-compiled',
  'fail-points',
  'flood',
  'hostile-worker',
  'hosts',
  'keep-alive',
  'large-messages',
  'ledger',
  'limits',
  'long-strings',
  'package',
  'public-api',
  'reload',
  'repeat',
  'resize',
  'runners',
  'runtimes',
  'shared-bytes',
  'spawn-faults',
  'standby',
  'threads',
  'throwing',
  'typescript-loaders',
  'unkillable',
  'value-limits',
  'values',
  'worker-module',
];

/** Suites that measure memory, processor time or delays, or open Node's debugger port. */
const ALONE = [
  'bad-input',
  'blocked-main',
  'cancel',
  'capture-stack',
  'debugger',
  'large-queue',
  'memory-kill',
  'nice',
  'stopped-parent',
];

/** @param {string[]} names of suites */
const files = (names) => names.map((name) => `__test__/${name}.test.js`);

/**
 * @param {string} name
 * @param {number} order in which the projects run, one after the other
 * @param {object} options
 */
const project = (name, order, options) => ({
  extends: /** @type {const} */ (true),
  test: { name, sequence: { groupOrder: order }, ...options },
});

export default defineConfig({
  test: {
    globalSetup: './scripts/bundle.mjs',
    // A crash of the addon takes one test file with it, not the whole run.
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    projects: [
      // Most of these tests wait for processes, so that two cores can serve four files.
      project('short', 0, {
        include: ['__test__/*.test.js'],
        exclude: files([...LONG, ...ALONE]),
        maxWorkers: 4,
        typecheck: {
          enabled: true,
          include: ['__test__/*.test-d.ts'],
          tsconfig: './tsconfig.json',
        },
      }),
      project('alone', 1, { include: files(ALONE), fileParallelism: false }),
      project('long', 2, { include: files(LONG), maxWorkers: 2 }),
    ],
  },
});
