// The ledger of the workers of `fixtures/ledger.mjs`, compared with what the pool reported.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { wholeLines } from './lines.mjs';

/** The folder for the ledger of one test, which the workers get as their argument. */
export function ledgerFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'bulkhead-ledger-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Counts how often each task (0, 1, 2, …) was started and ended, and lists its attempts. */
export function readLedger(folder, tasks) {
  const starts = new Uint16Array(tasks);
  const ends = new Uint16Array(tasks);
  const attempts = new Map();
  for (const name of readdirSync(folder)) {
    for (const line of wholeLines(join(folder, name))) {
      const [mark, id, attempt] = line.split(' ');
      if (mark === 'end') {
        ends[id] += 1;
      } else {
        starts[id] += 1;
        attempts.set(Number(id), [...(attempts.get(Number(id)) ?? []), Number(attempt)]);
      }
    }
  }
  for (const told of attempts.values()) told.sort();
  return { starts, ends, attempts };
}
