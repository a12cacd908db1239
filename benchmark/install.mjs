// Installs the compared libraries, which are not dependencies of bulkhead, into benchmark/, in the
// versions of its lock file.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { pools } from './pools/catalogue.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));

/** @param {string} file @returns {any} */
const json = (file) => JSON.parse(readFileSync(folder + file, 'utf8'));

/** @type {Record<string, string>} */
export const versions = json('package.json').dependencies;

/** @param {string[]} names of pools, whose libraries are going to be there */
export function install(names) {
  const libraries = new Set(names.flatMap((name) => pools[name].library ?? []));
  const missing = [...libraries].filter((library) => installed(library) !== versions[library]);
  if (missing.length === 0) return;
  console.error(`Installing ${missing.join(', ')} into benchmark/node_modules, once: npm ci`);
  const npm = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (npm.status === 0) return;
  console.error('That failed. `--peers bulkhead,fork-json` needs none of them.');
  process.exit(1);
}

/**
 * @param {string} library
 * @returns {string | undefined} the installed version
 */
function installed(library) {
  try {
    return json(`node_modules/${library}/package.json`).version;
  } catch {
    return undefined;
  }
}
