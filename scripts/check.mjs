// Runs every fast check of the sources and the documentation, and goes on after one that fails.
//
//   npm run check

import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const scripts = dirname(fileURLToPath(import.meta.url));

const failed = ['imports', 'rooms', 'words', 'lines', 'spelling'].filter((name) => {
  const { status } = spawnSync(process.execPath, [join(scripts, `check-${name}.mjs`)], {
    stdio: 'inherit',
  });
  return status !== 0;
});
if (failed.length > 0) console.error(`Failed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
