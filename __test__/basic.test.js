// The simplest use of a pool, and the harness itself.

import { once } from 'node:events';
import { expect, test } from 'vitest';
import { fixture, pool, program } from './support/harness.js';

test('[H7, T1] run() runs a task in another process', async () => {
  const manager = pool({ worker: fixture('basic.mjs') });
  await expect(manager.run({ id: 1, type: 'echo', data: 'hello' })).resolves.toBe('hello');
  expect(await manager.run({ type: 'pid' })).not.toBe(process.pid);
});

test('distributeTask() reports its result by an event', async () => {
  const manager = pool();
  manager.distributeTask({ id: 'a', data: { n: 1 } });
  const [result, info] = await once(manager, 'result');
  expect(result).toEqual({ taskId: 'a', result: { n: 1 }, processedBy: expect.any(Number) });
  expect(info).toEqual({
    workerId: expect.any(Number),
    attempt: 1,
    waitTime: expect.any(Number),
    runTime: expect.any(Number),
  });
});

test('[H7] the package works as an installed package', async () => {
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 1 });
    console.log(await pool.run({ id: 1, data: 42 }));`;
  expect(await program(source)).toMatchObject({ code: 0, stdout: '42\n', stderr: '' });
});
