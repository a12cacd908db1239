// The place of runs: a process with few descriptors, and a folder for the history.

import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A variable that marks the process in which runs take place. */
const CONFINED = 'BULKHEAD_LEDGER_CONFINED';
const DESCRIPTORS = 512;

/**
 * Continues only in a process that can open at most 512 descriptors and has these environment
 * variables and additional arguments. Otherwise starts such a process, waits for it and exits as it
 * does.
 *
 * @param {{ env?: Record<string, string>, args?: string[], nodeArgs?: string[] }} what
 */
export function confine({ env = {}, args = [], nodeArgs = [] }) {
  if (process.env[CONFINED] === '1') return;
  const [node, script, ...given] = process.argv;
  const command = [
    '-c',
    `ulimit -n ${DESCRIPTORS} && exec "$@"`,
    'sh',
    node,
    ...nodeArgs,
    script,
    ...given,
    ...args,
  ];
  const { status, signal } = spawnSync('sh', command, {
    stdio: 'inherit',
    env: { ...process.env, ...env, [CONFINED]: '1' },
  });
  if (signal !== null) console.log(`the run was ended by ${signal}`);
  process.exit(status ?? 1);
}

export function randomSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

/** @param {number} seed */
export function historyFolder(seed) {
  return mkdtempSync(join(tmpdir(), `bulkhead-ledger-${seed}-`));
}

/** The first few violations of each invariant. */
export function summary(wrong) {
  const byInvariant = new Map();
  for (const { invariant, what } of wrong)
    byInvariant.set(invariant, [...(byInvariant.get(invariant) ?? []), what]);
  return [...byInvariant]
    .map(
      ([invariant, all]) =>
        `${invariant} does not hold, ${all.length} times:\n  ${all.slice(0, 5).join('\n  ')}`,
    )
    .join('\n');
}
