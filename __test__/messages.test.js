// send() and broadcast(): messages of the pool's user to workers.

import { describe, expect, test } from 'vitest';
import { failure, fixture, moduleFile, pool } from './support/harness.js';

const worker = fixture('streams.mjs');

describe('send()', () => {
  test('[T16] send() reaches its worker, in order, and before the tasks that follow', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    await manager.startWorkers();
    const values = [1, 'two', { three: [3] }, null, false];
    for (const value of values) expect(manager.send(1, value)).toBe(true);
    expect(await manager.run({ type: 'heard' })).toEqual(values);
  });

  test('send() carries bytes, in both serialisations', async () => {
    for (const serialization of ['json', 'advanced']) {
      const manager = pool({ worker, maxWorkers: 1, serialization });
      await manager.startWorkers();
      const sent = [
        Buffer.from('abc'),
        { deep: [new Float64Array([1.5, -0])] },
        Buffer.alloc(300_000, 7),
      ];
      for (const value of sent) manager.send(1, value);
      const heard = await manager.run({ type: 'heard' });
      expect(heard.length).toBe(3);
      expect(Buffer.from(heard[0]).equals(sent[0])).toBe(true);
      expect(heard[1].deep[0]).toEqual(sent[1].deep[0]);
      expect(Buffer.from(heard[2]).equals(sent[2])).toBe(true);
    }
  });

  test('send() returns false for no such worker, one not ready yet, and one that is gone', async () => {
    const manager = pool({ worker, minWorkers: 1, maxWorkers: 2 });
    expect(manager.send(1, 'early')).toBe(false);
    expect(manager.broadcast('early')).toBe(0);
    expect(manager.workers).toEqual([]);
    await manager.startWorkers();
    expect(manager.send(1, 'now')).toBe(true);
    expect(manager.send(2, 'now')).toBe(false);
    await manager.shutdown();
    for (const tell of [() => manager.send(1, 'late'), () => manager.broadcast('late')]) {
      expect((await failure(tell)).code).toBe('ERR_POOL_CLOSED');
    }
  });

  test('send() throws for a message that cannot be sent, and sends nothing', async () => {
    const manager = pool({ worker, maxWorkers: 1, maxMessageSize: 1000 });
    await manager.startWorkers();
    const wrong = [
      [1, undefined, 'ERR_SERIALIZATION'],
      [1, () => {}, 'ERR_SERIALIZATION'],
      [1, 1n, 'ERR_SERIALIZATION'],
      [1, 'x'.repeat(2000), 'ERR_MESSAGE_TOO_LARGE'],
      [1, 'é'.repeat(600), 'ERR_MESSAGE_TOO_LARGE'],
      [1, Buffer.alloc(1001), 'ERR_MESSAGE_TOO_LARGE'],
      [0, 'x', 'ERR_OUT_OF_RANGE'],
      ['1', 'x', 'ERR_INVALID_ARG_TYPE'],
    ];
    for (const [workerId, message, code] of wrong) {
      expect((await failure(() => manager.send(workerId, message))).code).toBe(code);
    }
    expect(await manager.run({ type: 'heard' })).toEqual([]);
  });

  test('send() reaches a busy worker once it reads again', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    await manager.startWorkers();
    const busy = manager.run({ type: 'block', ms: 50 });
    expect(manager.send(1, 'meanwhile')).toBe(true);
    await busy;
    expect(await manager.run({ type: 'heard' })).toEqual(['meanwhile']);
  });

  test('a message listener of a worker that throws is an uncaught exception, as under fork', async () => {
    const source = `process.on('message', () => { throw new Error('in a listener'); }); export default () => 1;`;
    const manager = pool({ worker: moduleFile(source), maxWorkers: 1, stdio: 'ignore' });
    await manager.startWorkers();
    const exit = new Promise((resolve) => manager.once('exit', resolve));
    manager.send(1, 'x');
    expect(await exit).toMatchObject({ code: 1, reason: 'crashed' });
    expect(await manager.run(1)).toBe(1);
  });
});

describe('broadcast()', () => {
  test('[T16] broadcast() reaches every worker that is ready, and returns how many', async () => {
    const manager = pool({ worker, minWorkers: 3, maxWorkers: 3 });
    await manager.startWorkers();
    expect(manager.broadcast({ hello: 'all' })).toBe(3);
    const replies = await Promise.all(
      Array.from({ length: 60 }, () => manager.run({ type: 'heard' })),
    );
    expect(replies.every((heard) => heard.length === 1 && heard[0].hello === 'all')).toBe(true);
  });
});
