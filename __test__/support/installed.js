// Projects of users in which the package is installed as npm does it, and programs that run in them
// to their end.

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import manifest from '../../package.json' with { type: 'json' };
import { project, root } from './harness.js';

/**
 * A project in which the package is a folder of its own, as npm installs it: tools treat links to
 * elsewhere as sources.
 *
 * @param {Record<string, string>} files by path
 * @param {string[]} links paths of other packages, which are linked
 * @returns {string} the folder
 */
export function installed(files, links = []) {
  const folder = join(project({}), 'user');
  const packages = join(folder, 'node_modules');
  const own = join(packages, 'bulkhead');
  mkdirSync(own, { recursive: true });
  const addons = readdirSync(root).filter((name) => name.endsWith('.node'));
  for (const name of ['package.json', ...manifest.files, ...addons]) {
    cpSync(join(root, name), join(own, name), { recursive: true });
  }
  for (const path of links) symlinkSync(path, join(packages, basename(path)));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/**
 * Runs a script of Node's in a project, to its end.
 *
 * @returns {Promise<{ error: Error | null, output: string }>}
 */
export function runIn(folder, args) {
  return new Promise((resolve) => {
    const options = {
      cwd: folder,
      timeout: 120_000,
      killSignal: 'SIGKILL',
      env: { ...process.env, NO_COLOR: '1' },
    };
    execFile(process.execPath, args, options, (error, stdout, stderr) =>
      resolve({ error, output: stdout + stderr }),
    );
  });
}

/**
 * Messages of runners about programs that do not end by themselves, and of Node about emitters that
 * leak.
 */
export const COMPLAINT = /open handle|did not exit|failed to exit|hanging|timed out|MaxListeners/i;
