// The worst of moments to leave, a few times in a row; `npm run repeat` does the same a thousand
// times.

import { expect, test } from 'vitest';
import { repeat, SCENARIOS } from './support/repeat.mjs';

test.each(Object.keys(SCENARIOS))(
  '%s, 20 times: the exit code is the one asked for, and nothing is left',
  async (name) => {
    expect(await repeat(name, 20)).toEqual([]);
  },
  120_000,
);
