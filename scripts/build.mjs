// Builds the native addon. `npm install` runs this script (as `prepare`), and so does `npm run
// build`.
//
//   node scripts/build.mjs            release build
//   node scripts/build.mjs --debug    debug build: quick to compile, with debug assertions
//   node scripts/build.mjs --publish  release build for the packages in npm/: without fail points
//
// Creates bulkhead.<platform>.node, its loader native.cjs, its types native.d.cts, and dist/ (see
// bundle.mjs). Cargo compiles only what has changed, so a second run takes a second.

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const require = createRequire(import.meta.url);

/**
 * @param {string} sentence the problem and its remedy
 * @returns {never}
 */
function giveUp(sentence) {
  console.error(`\n${sentence}\n`);
  process.exit(1);
}

if (process.platform === 'win32') {
  giveUp('bulkhead does not support Windows yet: it runs on Linux and macOS (and so in WSL).');
}

if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) {
  giveUp(
    'bulkhead is built from source here and needs stable Rust, but there is no working `cargo` on the PATH: ' +
      'see https://rustup.rs, then run `npm install` again.',
  );
}

const napi = join(dirname(require.resolve('@napi-rs/cli/package.json')), 'dist', 'cli.js');
const profile = process.argv.includes('--debug') ? [] : ['--release'];
// The tests have workers die at fail points. No released addon may have them.
const features = process.argv.includes('--publish') ? [] : ['--features', 'fail-points'];
const files = ['--js', 'native.cjs', '--dts', 'native.d.cts'];
const args = ['build', '--platform', ...profile, ...features, ...files];
const build = spawnSync(process.execPath, [napi, ...args], {
  cwd: root,
  stdio: 'inherit',
});
if (build.error) throw build.error;
if (build.status !== 0)
  giveUp('The native addon of bulkhead could not be built: see the messages above.');

await bundle();
