// Compilers and bundlers that users of the package have and the package itself has not: `npm run
// test:toolchain` installs them. Without them their tests are skipped, except where CI is set.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe } from 'vitest';
import { root } from './harness.js';

const folder = join(root, '__test__', 'toolchain');
const require = createRequire(join(folder, 'package.json'));

export const withToolchain = describe.skipIf(
  !existsSync(join(folder, 'node_modules')) && !process.env.CI,
);

/** Returns the path of a package of the toolchain. */
export function toolPath(name) {
  return join(folder, 'node_modules', name);
}

/** Returns the exports of such a package. */
export const tool = (name) => require(name);

/** Runs a program of Node's to its end, with any outcome. */
export function run(args, { cwd, ...options } = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd,
    encoding: 'utf8',
    timeout: 120_000,
    killSignal: 'SIGKILL',
    ...options,
  });
  return { status, stdout, stderr };
}
