// Pools in workers of pools: as deep as tasks want, and never without end because of how a module
// begins.

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { failure, pool, program, project } from './support/harness.js';

const RECURSION = 'a worker cannot start a pool of its own module: ';
const restart = '{ limit: 2, minDelay: 1, maxDelay: 5 }';
const imports = `
  import { ProcessManager } from 'bulkhead';
  import { isWorker } from 'bulkhead/worker';`;
const selfPool = `new ProcessManager({ worker: import.meta.url, maxWorkers: 2, restart: ${restart}, stdio: 'ignore' }).on('error', () => {})`;
const handler = 'export default ({ data }) => data * 2;';

/**
 * Runs a program that prints the outcome of its pool as JSON: a result, or the codes of the error
 * and of its cause.
 */
async function outcomeOf(source, { name, files } = {}) {
  const { stdout, stderr } = await program(source, { name, files });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

const report = `
  const report = (outcome) => outcome.then(
    (value) => console.log(JSON.stringify({ value })),
    ({ code, cause, message }) => console.log(JSON.stringify({ code, cause: cause?.cause?.code, message })),
  );`;

describe('[XA12] a module that starts a pool of itself', () => {
  test.each([
    ['with a task when it is loaded', `await report(${selfPool}.run({ data: 1 }));`],
    [
      'in setup()',
      `export const setup = async () => { await ${selfPool}.run({ data: 1 }); }; if (!isWorker) await report(${selfPool}.run({ data: 1 }));`,
    ],
    [
      'by startWorkers() when it is loaded',
      `const pool = ${selfPool}; if (isWorker) await pool.startWorkers(); else await report(pool.startWorkers());`,
    ],
  ])(
    '[D16] a module that starts a pool of itself %s is refused in its workers: the pool breaks at once',
    async (_, start) => {
      // In a worker the refusal is thrown on, as it is without a catch.
      const thrownOn = report.replace('(outcome) => ', '(outcome) => isWorker ? outcome : ');
      const outcome = await outcomeOf(`${imports}${thrownOn}${handler}${start}`);
      expect(outcome).toMatchObject({ code: 'ERR_POOL_BROKEN', cause: 'ERR_POOL_RECURSION' });
      expect(outcome.message).toContain(RECURSION);
      expect(outcome.message).toContain('main.mjs');
      expect(outcome.message).toContain('isWorker of "bulkhead/worker"');
    },
  );

  test('a CommonJS module that starts itself behind `require.main === module` is refused, as that is true in a worker', async () => {
    const source = `
      const { ProcessManager } = require('bulkhead');
      module.exports = ({ data }) => data * 2;
      if (require.main === module) {
        const pool = new ProcessManager({ worker: __filename, maxWorkers: 2, restart: ${restart}, stdio: 'ignore' });
        pool.on('error', () => {});
        const ended = pool.startWorkers();
        if (process.send) pool.distributeTask(1);
        ended.catch((error) => console.log(JSON.stringify({ cause: error.cause.cause.code })));
      }`;
    expect(await outcomeOf(source, { name: 'main.cjs' })).toEqual({ cause: 'ERR_POOL_RECURSION' });
  });

  test('a module that starts itself once loaded, while its worker is idle, is refused; its worker serves on', async () => {
    const source = `${imports}${report}${handler}
      const pool = ${selfPool.replace('maxWorkers: 2', 'maxWorkers: 1')};
      const later = async () => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (isWorker) await pool.run({ data: 1 }).catch(({ code }) => process.send(code));
        else {
          const refused = new Promise((resolve) => pool.once('message', resolve));
          await pool.startWorkers();
          pool.ref();
          await report(Promise.all([await refused, pool.run({ data: 21 })]));
          await pool.shutdown();
        }
      };
      void later();`;
    expect(await outcomeOf(source)).toEqual({ value: ['ERR_POOL_RECURSION', 42] });
  });

  test('a module that starts itself only where isWorker is false has its workers', async () => {
    const source = `${imports}${report}
      export default ({ data }) => [isWorker, data * 2];
      if (!isWorker) { const pool = ${selfPool}; await report(pool.run({ data: 21 })); await pool.shutdown(); }`;
    expect(await outcomeOf(source)).toEqual({ value: [true, 42] });
    const common = `
      const { ProcessManager } = require('bulkhead');
      const { isWorker } = require('bulkhead/worker');
      module.exports = ({ data }) => [isWorker, data * 2];
      if (!isWorker) {
        const pool = new ProcessManager({ worker: __filename, maxWorkers: 1 });
        pool.run({ data: 21 }).then((value) => { console.log(JSON.stringify(value)); return pool.shutdown(); });
      }`;
    expect(await outcomeOf(common, { name: 'main.cjs' })).toEqual([true, 42]);
  });

  test('a module that starts itself by way of another module is refused', async () => {
    const other = (name) => `
      import { ProcessManager } from 'bulkhead';
      const worker = new URL('./${name}', import.meta.url);
      const pool = new ProcessManager({ worker, maxWorkers: 1, restart: ${restart}, stdio: 'ignore' });
      await pool.run(1);
      export default () => 1;`;
    const folder = project({ 'one.mjs': other('two.mjs'), 'two.mjs': other('one.mjs') });
    const manager = pool({ worker: join(folder, 'one.mjs'), maxWorkers: 1, stdio: 'ignore' });
    manager.on('error', () => {});
    const { message } = await failure(manager.startWorkers());
    expect(message).toContain(`${RECURSION}${join(folder, 'one.mjs')}`);
  });

  test('a `filename` of a task that starts itself when it is loaded is refused, with the built-in worker as well', async () => {
    const source = `${imports}${handler}
      const pool = new ProcessManager({ maxWorkers: 2, stdio: 'ignore' });
      const outcome = pool.run({ data: 1 }, { filename: import.meta.url });
      if (isWorker) await outcome;
      else console.log(JSON.stringify(await outcome.catch(({ code }) => ({ code }))));`;
    expect(await outcomeOf(source)).toEqual({ code: 'ERR_POOL_RECURSION' });
  });

  test('[D16] a module may start itself for a task, or make such a pool without starting it', async () => {
    const folder = project({
      'worker.mjs': `
        import { ProcessManager } from 'bulkhead';
        const pool = new ProcessManager({ worker: import.meta.url, maxWorkers: 1 });
        export default ({ levels }) => (levels === 0 ? 'bottom' : pool.run({ levels: levels - 1 }));
        export const teardown = () => pool.shutdown();`,
    });
    const manager = pool({ worker: join(folder, 'worker.mjs'), maxWorkers: 1 });
    await expect(manager.run({ levels: 2 })).resolves.toBe('bottom');
    const builtin = pool({ maxWorkers: 1 });
    await expect(
      builtin.run({ levels: 1 }, { filename: join(folder, 'worker.mjs') }),
    ).resolves.toBe('bottom');
  });
});

test('[XA12] isWorker of "bulkhead/worker" is false outside of a worker', async () => {
  expect((await import('../worker.mjs')).isWorker).toBe(false);
});
