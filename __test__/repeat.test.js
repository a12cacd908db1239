// Exits, terminations and shutdowns at bad moments, a few times in a row; `npm run repeat` does the
// same a thousand times.

import { expect, test } from 'vitest';
import { repeat, SCENARIOS } from './support/repeat.mjs';

test.each(Object.keys(SCENARIOS))(
  '[G5, G8, G14, H10] %s, 20 times: the process ends with its exit code, and nothing is left',
  async (name) => {
    expect(await repeat(name, 20)).toEqual([]);
  },
  120_000,
);
