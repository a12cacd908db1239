// Packs the package for users into a folder:
//
//   npm run pack                      into the current folder
//   npm run pack -- some/folder       into this folder
//
// Prints the output of `npm pack --json`. The tarball has the files of a plain `npm pack`, but a
// reduced manifest, without the fields for a checkout (scripts, devDependencies, …). npm would
// expect a package with a `prepare` script to run it at installation, and warn.
//
// `npm publish` in the checkout is refused (`--refuse`, as its `prepublishOnly`): publish the
// tarball.

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const MANIFEST = 'package.json';
/** Manifest fields that only a checkout needs. */
const OURS = ['scripts', 'devDependencies', 'overrides', 'napi'];

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * @param {string} cwd
 * @param {string[]} args
 * @returns {string} JSON
 */
function pack(cwd, args) {
  // Ignore scripts: `prepare` would build the addon.
  const all = ['pack', '--json', '--ignore-scripts', ...args];
  const { status, stdout, error } = spawnSync('npm', all, {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`npm ${all.join(' ')} in ${cwd} ended with ${status}`);
  return stdout;
}

/** @returns {string[]} the files that npm would pack */
function files() {
  const printed = JSON.parse(pack(root, ['--dry-run']));
  // npm 11 prints a list, npm 12 an object by name.
  const [{ files }] = Array.isArray(printed) ? printed : Object.values(printed);
  return files.map((/** @type {{ path: string }} */ { path }) => path);
}

/** @param {string} destination */
function packInto(destination) {
  const stage = mkdtempSync(join(tmpdir(), 'bulkhead-pack-'));
  try {
    for (const file of files()) {
      mkdirSync(dirname(join(stage, file)), { recursive: true });
      copyFileSync(join(root, file), join(stage, file));
    }
    const manifest = JSON.parse(readFileSync(join(root, MANIFEST), 'utf8'));
    const published = Object.entries(manifest).filter(([key]) => !OURS.includes(key));
    writeFileSync(
      join(stage, MANIFEST),
      `${JSON.stringify(Object.fromEntries(published), null, 2)}\n`,
    );
    console.log(pack(stage, ['--pack-destination', destination]).trim());
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

if (process.argv[2] === '--refuse') {
  console.error(
    '\nThe checkout cannot be published: run `npm run pack`, and publish the tarball that it makes.\n',
  );
  process.exit(1);
}
packInto(resolve(process.argv[2] ?? '.'));
