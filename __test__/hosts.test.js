// Pools where JavaScript does not run in plain Node.js: in users' test runners, which load modules
// in their own ways and report what is left open, and in Electron.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isGone, program, root, until } from './support/harness.js';
import { COMPLAINT, installed, runIn } from './support/installed.js';

const worker = `
  import { appendFileSync } from 'node:fs';
  appendFileSync(new URL('./pids.txt', import.meta.url), process.pid + '\\n');
  export default ({ data }) => {
    if (data === 'throw') throw new TypeError('on purpose');
    return data;
  };`;

/**
 * Test files of a user. There are several, so that one process or thread has to load more than one.
 */
function testFiles(imports, extension) {
  const pool = `new ProcessManager({ worker: path.resolve('worker.mjs'), maxWorkers: 1 })`;
  const uses = `${imports}
    const pool = ${pool};
    afterAll(() => pool.shutdown());
    test('values come back as what they are to this file', async () => {
      expect(await pool.run({ data: [1, { two: 2 }] })).toEqual([1, { two: 2 }]);
      expect(await pool.run({ data: [] })).toBeInstanceOf(Array);
      expect(await pool.run({ data: new Uint8Array([1, 2]) })).toEqual(new Uint8Array([1, 2]));
    });
    test('and so do errors', async () => {
      expect(await pool.run({ data: 'throw' }).catch((error) => error)).toBeInstanceOf(TypeError);
      expect(await pool.run({ data: 1n }).catch((error) => error)).toBeInstanceOf(SerializationError);
    });`;
  const forgets = `${imports}
    test('a pool is left to itself, idle', async () => {
      expect(await ${pool}.run({ data: 1 })).toBe(1);
    });
    test('and another one, that was never used', () => {
      expect(${pool}.workers).toEqual([]);
    });`;
  return {
    [`uses.test.${extension}`]: uses,
    [`again.test.${extension}`]: uses,
    [`forgets.test.${extension}`]: forgets,
  };
}

const required = testFiles(
  `const path = require('node:path');
   const { ProcessManager, SerializationError } = require('bulkhead');`,
  'cjs',
);
const imported = testFiles(
  `import path from 'node:path';
   import { ProcessManager, SerializationError } from 'bulkhead';`,
  'mjs',
);

/** Runs a test runner to its end twice, and checks what it leaves behind. */
async function expectToPass(folder, args, verdict, pools = 3) {
  for (let run = 0; run < 2; run++) {
    const { error, output } = await runIn(folder, args);
    expect(error, output).toBe(null);
    expect(output).toMatch(verdict);
    expect(output).not.toMatch(COMPLAINT);
  }
  const pids = readFileSync(join(folder, 'pids.txt'), 'latin1').trim().split('\n').map(Number);
  expect(pids).toHaveLength(2 * pools);
  await until(() => pids.every(isGone), `gone: ${pids}`);
}

const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');

function jestProject() {
  const config = {
    testMatch: ['**/*.test.cjs'],
    testEnvironment: 'node',
    transform: {},
    testTimeout: 60_000,
  };
  return installed({
    'worker.mjs': worker,
    ...required,
    'jest.config.json': JSON.stringify(config),
  });
}

test.each([
  ['in its own process', ['--runInBand']],
  ['in processes', ['--maxWorkers=2']],
  ['in threads', ['--maxWorkers=2', '--workerThreads']],
])(
  '[G16] a pool works in Jest, %s',
  async (_, args) => {
    await expectToPass(jestProject(), [jest, ...args], /Tests: +6 passed, 6 total/);
  },
  250_000,
);

test('[G16] Jest finds no open handle of a pool that was shut down', async () => {
  // Jest finds the other pools, rightly, and says where they were made.
  const args = ['--detectOpenHandles', '--testPathIgnorePatterns=forgets'];
  await expectToPass(jestProject(), [jest, ...args], /Tests: +4 passed, 4 total/, 2);
}, 250_000);

test.each([
  ['in processes', ['--pool=forks']],
  ['in threads', ['--pool=threads']],
  ['in one thread that is used again', ['--pool=threads', '--no-isolate', '--maxWorkers=1']],
  ['in contexts of threads', ['--pool=vmThreads', '--maxWorkers=1']],
])(
  '[G16] a pool works in Vitest, %s',
  async (_, args) => {
    const folder = installed({ 'worker.mjs': worker, ...imported });
    const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs');
    const own = ['run', '--root', folder, '--globals', '--testTimeout=60000'];
    await expectToPass(folder, [vitest, ...own, ...args], /Tests +6 passed \(6\)/);
  },
  250_000,
);

describe('Electron, as its documentation describes it', () => {
  const seen = (options) => `
    const seen = await new ProcessManager(${options}).exec(() => [process.execPath, process.env.ELECTRON_RUN_AS_NODE, process.env.A]);
    console.log(JSON.stringify([process.execPath, ...seen]));`;

  /** Runs a program that believes itself to be an Electron app. */
  const app = (source, { type = 'browser', ...options } = {}) => {
    const electron = `
      Object.defineProperty(process.versions, 'electron', { value: '40.0.0' });
      process.type = ${JSON.stringify(type)} ?? undefined;
      const { default: ProcessManager } = await import('bulkhead');`;
    return program(electron + source, options);
  };

  test.each(['browser', 'utility', null])(
    '[G17] workers in Electron start with its binary, which runs as Node.js (process.type: %s)',
    async (type) => {
      for (const options of ['{}', '{ env: { A: 1 } }', '{ env: { ELECTRON_RUN_AS_NODE: "" } }']) {
        const { code, stdout, stderr } = await app(seen(options), { type });
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        const [own, execPath, asNode, a] = JSON.parse(stdout);
        expect({ execPath, asNode, a }).toEqual({
          execPath: own,
          asNode: '1',
          a: options.includes('A:') ? '1' : null,
        });
      }
    },
  );

  test('[G17] workers in Electron on macOS start with its helper, unless another binary is given', async () => {
    const source = `
      Object.defineProperty(process, 'platform', { value: 'darwin' });
      process.helperExecPath = '/nowhere/app helper';
      const start = (options) => new ProcessManager({ maxWorkers: 1, ...options }).on('error', () => {}).startWorkers();
      console.log(await start().catch(({ cause }) => cause.message));
      await start({ execPath: process.execPath });
      console.log('started');`;
    const { stdout } = await app(source);
    expect(stdout).toMatch(/\/nowhere\/app helper.*\nstarted\n/);
  });

  test('[G17] an Electron app that cannot run as Node.js throws, and does not start itself again and again', async () => {
    const source = `
      try {
        new ProcessManager();
      } catch ({ code, message }) {
        console.log(code, message);
      }
      new ProcessManager({ worker: { command: 'true' } });`;
    const { code, stdout } = await app(source, { env: { ELECTRON_RUN_AS_NODE: '1' } });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ERR_FEATURE_UNAVAILABLE_ON_PLATFORM .*"runAsNode" is off/);
    // Where the variable takes effect, there is no process type.
    const { stdout: heeded } = await app(seen('{}'), {
      type: null,
      env: { ELECTRON_RUN_AS_NODE: '1' },
    });
    expect(JSON.parse(heeded)[2]).toBe('1');
  });

  test('[G17] outside of Electron nothing is added to the environment', async () => {
    const { stdout } = await program(`import ProcessManager from 'bulkhead'; ${seen('{}')}`);
    expect(JSON.parse(stdout)[2]).toBe(null);
  });
});
