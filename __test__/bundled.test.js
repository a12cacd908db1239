// Programs that a bundler has put into one file. With bulkhead as an external they work; with
// bulkhead inside of the bundle they throw an error that says so.

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from './support/harness.js';
import { installed } from './support/installed.js';
import { run, withToolchain } from './support/toolchain.js';

const files = {
  'package.json': '{ "name": "user" }',
  'main.mjs': `
    import { ProcessManager } from 'bulkhead';
    const pool = new ProcessManager({ maxWorkers: 1 });
    pool.exec(() => 'works').then((value) => { console.log(value); return pool.shutdown(); });`,
  'main.cjs': `
    const { ProcessManager } = require('bulkhead');
    const pool = new ProcessManager({ maxWorkers: 1 });
    pool.exec(() => 'works').then((value) => { console.log(value); return pool.shutdown(); });`,
};

const script = join(root, '__test__', 'toolchain', 'bundle.mjs');

/** Path of the bundle. */
function bundle(name, folder, where) {
  const { status, stdout, stderr } = run([script, name, folder, where], { cwd: folder });
  expect(status, stderr).toBe(0);
  return stdout.trim();
}

const BUNDLERS = [
  'esbuild',
  'esbuild-esm',
  'webpack',
  'webpack-development',
  'rollup',
  'vite',
  'ncc',
];

withToolchain('[XA8] a program that was bundled by', () => {
  test.each(BUNDLERS)(
    '%s: bulkhead works as an external, and its error without that names the remedy',
    (name) => {
      const folder = installed(files);
      const works = run([bundle(name, folder, 'external')], { cwd: folder });
      expect(works).toEqual({ status: 0, stdout: 'works\n', stderr: '' });

      const { status, stdout, stderr } = run([bundle(name, folder, 'inside')], { cwd: folder });
      expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
      // The error comes after the line of the bundle that threw it, which may be the whole bundle.
      const error = stderr.split('\n').find((line) => line.startsWith('Error: '));
      expect(error).toMatch(
        /^Error: bulkhead was bundled.* away from its native addon.*: mark bulkhead as external/,
      );
      for (const how of [
        'esbuild: --external:bulkhead',
        'webpack: externals',
        'Rollup',
        'ssr.external',
        'ncc: --external',
      ]) {
        expect(error).toContain(how);
      }
    },
  );
});
