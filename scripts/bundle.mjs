// Puts lib/ together: dist/index.js is what the package's users load, dist/bootstrap.js what a Node worker starts with.
// Each is one file, as finding, reading and compiling thirty takes Node longer than anything else in the start of a worker.
// Nothing is renamed or left out: what runs is what lib/ says. `npm run build` and the tests make them.

import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

/** By absolute path, as tests may run from anywhere. */
const root = dirname(dirname(fileURLToPath(import.meta.url)));

export async function bundle() {
  await build({
    absWorkingDir: root,
    entryPoints: ['lib/index.js', 'lib/bootstrap.js'],
    outdir: 'dist',
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    charset: 'utf8',
    logLevel: 'warning',
  });
}

/** For vitest: what is tested is what lib/ says now. */
export const setup = bundle;
