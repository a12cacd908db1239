// Pools under users' test runners and fake clocks: Jest (in Node.js's environment and in jsdom),
// Vitest, node:test and sinon. hosts.test.js has what concerns any runner; here the environment is
// another one, and time stands still.

import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { endsWell, moduleFile, program, root } from './support/harness.js';
import { COMPLAINT, installed, runIn } from './support/installed.js';

/** The folder into which `npm run test:runners` installs them. */
const packages = join(root, '__test__', 'runners', 'node_modules');
const isThere = existsSync(packages);
// Where everything else is required, these are, too.
const suite = isThere || process.env.CI ? describe : describe.skip;

const text = (name) => readFileSync(join(root, '__test__', 'support', name), 'utf8');
const drillFiles = { 'drill.cjs': text('drill.cjs'), 'drill-worker.mjs': text('drill-worker.mjs') };

/** Runs a test runner to its end, which must come by itself and without a warning. */
async function expectToPass(folder, args, verdict) {
  const { error, output } = await runIn(folder, args);
  expect(error, output).toBe(null);
  expect(output).toMatch(verdict);
  expect(output).not.toMatch(COMPLAINT);
}

/** A test file of Jest, for a pool that is made under a clock, or before the clock is replaced. */
function jestFile({ before = '', after = '' }) {
  return `
    const { pathToFileURL } = require('node:url');
    ${before}
    const { drill, expected } = require('./drill.cjs');
    const ProcessManager = require('bulkhead');
    const worker = new URL('drill-worker.mjs', pathToFileURL(__filename));
    test('a pool does all that it does', async () => {
      expect(await drill(ProcessManager, worker, () => { ${after} })).toEqual(expected);
    });
    test('and so does one of a second copy', async () => {
      jest.resetModules();
      const Second = require('bulkhead');
      expect(Second).not.toBe(ProcessManager);
      const pool = new Second({ worker });
      expect(await pool.run({ data: [1, { two: 2 }] })).toEqual([1, { two: 2 }]);
      expect(await pool.run({ data: 1n }).catch((error) => error)).toBeInstanceOf(ProcessManager.SerializationError);
      await pool.shutdown();
    });`;
}

const jestFiles = {
  'plain.test.cjs': jestFile({}),
  'before.test.cjs': jestFile({ before: 'jest.useFakeTimers({ now: 0 });' }),
  'after.test.cjs': jestFile({ after: 'jest.useFakeTimers({ now: 0 });' }),
  'legacy.test.cjs': jestFile({ after: 'jest.useFakeTimers({ legacyFakeTimers: true });' }),
};

suite('Jest', { timeout: 250_000 }, () => {
  const jest = join(packages, 'jest', 'bin', 'jest.js');
  const jsdom = join(packages, 'jest-environment-jsdom');

  test.each([
    ['node', false, 'node'],
    ['node', true, 'node'],
    ['jsdom', false, jsdom],
    ['jsdom', true, jsdom],
  ])(
    '[G16, XA1, XA2] a pool works in Jest (%s, fake timers everywhere: %s)',
    async (_, enableGlobally, testEnvironment) => {
      const config = {
        testMatch: ['**/*.test.cjs'],
        testEnvironment,
        transform: {},
        testTimeout: 60_000,
        fakeTimers: { enableGlobally },
      };
      const folder = installed({
        ...drillFiles,
        ...jestFiles,
        'jest.config.json': JSON.stringify(config),
      });
      await expectToPass(folder, [jest, '--runInBand'], /Tests: +8 passed, 8 total/);
    },
  );
});

/** A test file of Vitest. The package is loaded behind `before`. */
function vitestFile({ before = '', after = '' }) {
  return `
    import { pathToFileURL } from 'node:url';
    import { expect, test, vi } from 'vitest';
    import { drill, expected } from './drill.cjs';
    test('a pool does all that it does', async () => {
      ${before}
      const { default: ProcessManager } = await import('bulkhead');
      // In the jsdom environment Vite makes an address of its server of \`new URL('…',
      // import.meta.url)\`.
      const worker = new URL('drill-worker.mjs', pathToFileURL(process.cwd() + '/'));
      expect(await drill(ProcessManager, worker, () => { ${after} })).toEqual(expected);
      vi.useRealTimers();
    });`;
}

const ALL = `['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate', 'Date', 'performance', 'hrtime']`;
const vitestFiles = {
  'plain.test.mjs': vitestFile({}),
  'before.test.mjs': vitestFile({ before: `vi.useFakeTimers({ toFake: ${ALL} });` }),
  'after.test.mjs': vitestFile({ after: `vi.useFakeTimers({ toFake: ${ALL} });` }),
  'default.test.mjs': vitestFile({ before: 'vi.useFakeTimers();' }),
};

suite('Vitest', { timeout: 250_000 }, () => {
  const ours = join(root, 'node_modules');

  test.each([
    ['4', 'forks', 'node', ours],
    ['4', 'threads', 'node', ours],
    ['4', 'vmThreads', 'node', ours],
    ['3', 'forks', 'jsdom', packages],
  ])(
    '[G16, XA1, XA2] a pool works in Vitest %s, with and without fake timers (%s, %s)',
    async (_, pool, environment, from) => {
      const folder = installed({ ...drillFiles, ...vitestFiles });
      // Vitest and the tests import these by name.
      for (const [name, place] of Object.entries({ vitest: from, jsdom: packages }))
        symlinkSync(join(place, name), join(folder, 'node_modules', name));
      const own = ['run', '--root', folder, '--testTimeout=60000', '--no-file-parallelism'];
      const args = [...own, `--pool=${pool}`, `--environment=${environment}`];
      await expectToPass(
        folder,
        [join(from, 'vitest', 'vitest.mjs'), ...args],
        /Tests +4 passed \(4\)/,
      );
    },
  );
});

/** A program that makes a pool under a clock, or replaces the clock later. */
const drillProgram = ({ before = '', after = '', restore = '' }) => `
  import { deepEqual } from 'node:assert/strict';
  import { writeSync } from 'node:fs';
  import { drill, expected } from './drill.cjs';
  ${before}
  const { default: ProcessManager } = await import('bulkhead');
  const worker = new URL('drill-worker.mjs', import.meta.url);
  deepEqual(await drill(ProcessManager, worker, () => { ${after} }), expected);
  ${restore}
  writeSync(1, 'done');`;

const clocks = {
  sinon: {
    imports: `import sinon from ${JSON.stringify(join(packages, 'sinon', 'lib', 'sinon.js'))};`,
    install: 'globalThis.clock = sinon.useFakeTimers();',
    restore: 'clock.restore();',
    needed: true,
  },
  'node:test': {
    imports: `import { mock } from 'node:test';`,
    install: 'mock.timers.enable();',
    restore: 'mock.timers.reset();',
    needed: false,
  },
};

for (const [name, { imports, install, restore, needed }] of Object.entries(clocks)) {
  (needed ? suite : describe)(`The fake clock of ${name}`, () => {
    test.each([
      ['before the package is loaded', { before: install }],
      ['when the pool is made', { after: install }],
    ])(
      '[G16, XA2] a pool works under a fake clock that is installed %s',
      async (_, when) => {
        const source = imports + drillProgram({ ...when, restore });
        const outcome = await program(source, {
          files: drillFiles,
          nodeArgs: ['--no-warnings'],
          timeout: 60_000,
        });
        expect(outcome).toMatchObject(endsWell('done'));
      },
      70_000,
    );

    test.each([
      ['before the package is loaded', install, ''],
      ['when the pool is made', '', install],
    ])(
      '[G16, XA2] what a listener throws is an uncaught exception under a fake clock that is installed %s',
      async (_, before, after) => {
        const source = `
        ${imports}
        import { writeSync } from 'node:fs';
        ${before}
        const { default: ProcessManager } = await import('bulkhead');
        const pool = new ProcessManager({ maxWorkers: 1 });
        ${after}
        const thrown = new Promise((resolve) => process.once('uncaughtException', (error, origin) => resolve([error.message, origin])));
        pool.once('result', () => { throw new Error('on purpose'); });
        pool.distributeTask(1);
        writeSync(1, JSON.stringify(await thrown));
        await pool.shutdown();`;
        const outcome = await program(source, { nodeArgs: ['--no-warnings'] });
        const printed = JSON.stringify(['on purpose', 'uncaughtException']);
        expect(outcome).toMatchObject(endsWell(printed));
      },
    );

    test('[G16, XA2] workers work where a preload has installed a fake clock in them', async () => {
      const preload = moduleFile(`${imports} ${install}`, 'preload.mjs');
      const source = `
        import { deepEqual } from 'node:assert/strict';
        import { drill, expected } from './drill.cjs';
        import ProcessManager from 'bulkhead';
        class Pool extends ProcessManager {
          constructor(options) {
            super({ ...options, execArgv: ['--no-warnings', '--import', ${JSON.stringify(preload)}] });
          }
        }
        const faked = new Pool();
        deepEqual(await faked.exec(() => Date.now()), 0);
        await faked.shutdown();
        deepEqual(await drill(Pool, new URL('drill-worker.mjs', import.meta.url)), expected);`;
      const outcome = await program(source, {
        files: drillFiles,
        timeout: 60_000,
      });
      expect(outcome).toMatchObject(endsWell());
    }, 70_000);
  });
}

test('[G16, XA1] a pool works where globals are gone or another Promise is in place', async () => {
  const source = `
    import { deepEqual } from 'node:assert/strict';
    import { drill, expected } from './drill.cjs';
    import ProcessManager from 'bulkhead';
    const worker = new URL('drill-worker.mjs', import.meta.url);
    const { then } = Promise.prototype;
    const gone = ['setImmediate', 'setTimeout', 'setInterval', 'clearImmediate', 'clearTimeout', 'clearInterval',
      'queueMicrotask', 'structuredClone', 'performance', 'Buffer', 'URL', 'fetch'];
    const outcome = drill(ProcessManager, worker, () => {
      for (const name of gone) delete globalThis[name];
    });
    deepEqual(await outcome, expected);
    globalThis.Promise = class { constructor() { throw new Error('not this one'); } };
    const pool = new ProcessManager({ worker });
    pool.ready();
    deepEqual(await pool.run({ data: 1 }), 1);
    for await (const value of pool.map([{ data: 2 }])) deepEqual(value, 2);
    for await (const value of pool.stream({ type: 'count', data: 1 })) deepEqual(value, 0);
    await pool.shutdown();`;
  const outcome = await program(source, {
    files: drillFiles,
    timeout: 60_000,
  });
  expect(outcome).toMatchObject(endsWell());
}, 70_000);
