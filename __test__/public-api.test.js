// Random plans against the public API, each played by a real pool with real workers. They have
// calls with good and bad arguments, signals, kills, listeners that call the pool, and every way to
// end. `public-api/rules.mjs` and `public-api/tasks.mjs` state what has to hold. All plans are
// played in a program of their own, which sees uncaught errors, and has to end by itself.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BAD_CALLS } from './public-api/bad-calls.mjs';
import { root } from './support/harness.js';
import { outputOf } from './support/output.mjs';

/** Plans of a run of the whole suite; `npm run explore:api` plays as many as told. */
const PLANS = process.env.FC_RUNS ?? '120';
/**
 * Time limit (ms). The plans take about half a minute; the rest is for busy machines, and for
 * shrinking.
 */
const PATIENCE = 600_000;

/** The output of the program, and how it ended. */
async function explore(...args) {
  const child = spawn(process.execPath, [join(root, 'scripts', 'explore-api.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { code, signal, stdout, stderr } = await outputOf(child).closed;
  return { code, signal, printed: `${stdout}${stderr}` };
}

describe('random plans', () => {
  test(
    'the public API keeps its promises under random calls, kills, re-entrant listeners and ends',
    async () => {
      const { code, signal, printed } = await explore('--runs', PLANS, '--timeline');
      console.log(printed.split('\n', 1)[0]);
      expect({ code, signal }, printed).toEqual({ code: 0, signal: null });
    },
    PATIENCE,
  );

  test('every bad call of the random plans has a name of its own', () => {
    const names = BAD_CALLS.map(({ what }) => what);
    expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
  });
});
