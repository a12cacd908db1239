// Messages of hundreds of megabytes: refused before a byte of them is copied, or delivered where
// they are allowed.

import { Buffer } from 'node:buffer';
import { expect, test } from 'vitest';
import { failure, fixture, pool } from './support/harness.js';

const MIB = 1 << 20;

test('[F9] a task of 1 GiB is refused before anything is copied', async () => {
  const manager = pool({ worker: fixture('basic.mjs'), maxWorkers: 1 });
  // Untouched memory is not resident: reading it to copy it would make it so.
  const data = Buffer.alloc(1024 * MIB);
  const before = process.memoryUsage.rss();
  const error = await failure(manager.run({ type: 'echo', data }));
  expect(error).toMatchObject({ code: 'ERR_MESSAGE_TOO_LARGE', limit: 64 * MIB });
  expect(error.size).toBeGreaterThan(1024 * MIB);
  expect(process.memoryUsage.rss() - before).toBeLessThan(256 * MIB);
  expect(manager.stats().tasks.accepted).toBe(0);
});

test.each([
  ['bytes', () => Buffer.alloc(256 * MIB, 'bulkhead')],
  ['text', () => 'bulkhead'.repeat(32 * MIB)],
])(
  '[F9] 256 MiB of %s round-trip, where maxMessageSize allows it',
  async (_, make) => {
    const manager = pool({
      worker: fixture('basic.mjs'),
      maxWorkers: 1,
      maxMessageSize: 300 * MIB,
    });
    const data = make();
    const back = await manager.run({ type: 'echo', data });
    // `toEqual` would walk through it byte by byte.
    expect(typeof data === 'string' ? back === data : data.equals(back)).toBe(true);
  },
  180_000,
);
