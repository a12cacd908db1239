// Checks the spelling in the repository with typos (https://github.com/crate-ci/typos), which
// `typos.toml` configures. Without typos it says how to install it; under `CI` that is an error.
//
//   node scripts/check-spelling.mjs [path…]

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const paths = process.argv.slice(2);

const { status, error } = spawnSync('typos', ['--format', 'brief', ...paths], {
  cwd: root,
  stdio: 'inherit',
});
if (error !== undefined && !('code' in error && error.code === 'ENOENT')) throw error;
if (error !== undefined) {
  console.log(
    'spelling: not checked. Install typos: pip install typos, or cargo install typos-cli',
  );
  process.exitCode = process.env.CI ? 1 : 0;
} else if (status === 0) {
  console.log('spelling: no problems');
} else {
  console.error('Correct the word, or allow it in typos.toml with a reason');
  process.exitCode = 1;
}
