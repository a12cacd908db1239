// How the native addon is found; where it cannot be loaded, the error names the reason.

import { cpSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { installed } from './support/installed.js';
import { run } from './support/toolchain.js';

const { arch, platform } = process;
const libc =
  platform !== 'linux'
    ? ''
    : process.report.getReport().header.glibcVersionRuntime
      ? '-gnu'
      : '-musl';
const target = `${platform}-${arch}${libc}`;

const print = `
  const about = ({ message, code, cause }) => ({ message, code, cause: cause && about(cause) });
  try { require('bulkhead'); console.log('{}'); } catch (error) { console.log(JSON.stringify(about(error))); }`;

/** Runs a program in a project whose bulkhead was changed, and returns what it prints. */
function printed(change, { source = print, nodeArgs = [] } = {}) {
  const folder = installed({ 'package.json': '{ "name": "user" }', 'main.cjs': source });
  const own = join(folder, 'node_modules', 'bulkhead');
  change(own, folder);
  const { stdout, stderr } = run([...nodeArgs, 'main.cjs'], { cwd: folder });
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

const addonIn = (own) =>
  join(
    own,
    readdirSync(own).find((name) => name.endsWith('.node')),
  );

/** Moves the addon into the package that npm installs for this platform. */
function moveToPackage(own, folder) {
  const addon = addonIn(own);
  const platformPackage = join(folder, 'node_modules', `bulkhead-${target}`);
  mkdirSync(platformPackage);
  const main = basename(addon);
  writeFileSync(
    join(platformPackage, 'package.json'),
    JSON.stringify({ name: `bulkhead-${target}`, version: '0.1.0', main }),
  );
  renameSync(addon, join(platformPackage, main));
}

/** Uses the addon in this process and in a worker. */
const use = `
  const { ProcessManager } = require('bulkhead');
  const pool = new ProcessManager({ maxWorkers: 1 });
  pool.run({ data: 'works' }).then((value) => { console.log(JSON.stringify(value)); return pool.shutdown(); });`;

describe('the native addon is found', () => {
  const withoutLoader = (own) => rmSync(join(own, 'native.cjs'));

  test('beside the package, without a generated loader', () => {
    expect(printed(withoutLoader, { source: use })).toBe('works');
  });

  test('in the package of its platform, without a generated loader', () => {
    const change = (own, folder) => {
      withoutLoader(own);
      moveToPackage(own, folder);
    };
    expect(printed(change, { source: use })).toBe('works');
  });

  test('by the generated loader, where the executable does not show its libc', () => {
    const pretence = `Object.defineProperty(process, 'execPath', { value: '/dev/null' });`;
    expect(printed(moveToPackage, { source: pretence + print })).toEqual({});
  });

  test('where NAPI_RS_NATIVE_LIBRARY_PATH says, for the addons of packagers', () => {
    const elsewhere = (own, folder) => {
      renameSync(addonIn(own), join(folder, 'elsewhere.node'));
      // The name is taken, by an addon that cannot be loaded.
      writeFileSync(join(own, `bulkhead.${target}.node`), 'no addon');
    };
    const pretence = `process.env.NAPI_RS_NATIVE_LIBRARY_PATH = require('node:path').resolve('elsewhere.node');`;
    expect(printed(elsewhere, { source: pretence + use })).toBe('works');
  });
});

describe('[XA8] without its native addon, bulkhead names the reason', () => {
  test('the missing package of this platform is named, and no other', () => {
    const { message, code, cause } = printed((own) => rmSync(addonIn(own)));
    expect({ message, code }).toEqual({
      message: expect.stringMatching(
        `^bulkhead has no native addon for ${target} here: the package bulkhead-${target} is not installed; .*omit=optional`,
      ),
      code: 'MODULE_NOT_FOUND',
    });
    expect(cause).toMatchObject({ code: 'MODULE_NOT_FOUND' });
    expect(cause.cause).toBe(undefined);
    expect(cause.message).toContain(`Cannot find module 'bulkhead-${target}'`);
    // Each candidate that is named belongs to this platform.
    const named = JSON.stringify([message, cause]).match(/bulkhead-\w+-\w+(?:-\w+)?(?=[' ])/g);
    expect(new Set(named)).toEqual(new Set([`bulkhead-${target}`]));
    expect(JSON.stringify([message, cause])).not.toMatch(/wasm|npm has a bug/);
  });

  test('--no-addons is named', () => {
    const refused = printed(() => {}, { nodeArgs: ['--no-addons'] });
    expect(refused).toMatchObject({
      code: 'ERR_DLOPEN_DISABLED',
      cause: { code: 'ERR_DLOPEN_DISABLED' },
    });
    expect(refused.message).toMatch(
      /addons are switched off in this process; start it without --no-addons/,
    );
  });

  test('an addon that cannot be loaded is named, with what the system says as the cause', () => {
    const refused = printed((own) => writeFileSync(addonIn(own), 'no addon'));
    expect(refused).toMatchObject({
      code: 'ERR_DLOPEN_FAILED',
      cause: { code: 'ERR_DLOPEN_FAILED' },
    });
    expect(refused.message).toContain(`bulkhead cannot load its native addon for ${target}: `);
    expect(refused.message).toContain(refused.cause.message);
  });

  test('an unsupported platform is named, with those that are supported', () => {
    const pretence = `Object.defineProperty(process, 'arch', { value: 'mips' });`;
    const refused = printed((own) => rmSync(addonIn(own)), { source: pretence + print });
    expect(refused.code).toBe('ERR_FEATURE_UNAVAILABLE_ON_PLATFORM');
    expect(refused.message).toMatch(
      /^bulkhead does not support \S+-mips\S*: supported platforms are .*linux-x64-gnu.*darwin-arm64/,
    );
  });

  test('bundled JavaScript is named where it lies in another place than the addon', () => {
    const refused = printed((own, folder) => {
      cpSync(join(own, 'dist', 'index.js'), join(folder, 'copy', 'index.js'));
      renameSync(own, join(folder, 'node_modules', 'gone'));
      cpSync(
        join(folder, 'copy', 'index.js'),
        join(folder, 'node_modules', 'bulkhead', 'index.js'),
      );
    });
    expect(refused.code).toBe('MODULE_NOT_FOUND');
    expect(refused.message).toMatch(
      /^bulkhead was bundled into \S+index\.js, away from its native addon/,
    );
  });
});

test.each([
  [
    'that has found the addon, but not what workers start with,',
    (own) => rmSync(join(own, 'dist', 'worker.js')),
  ],
  [
    'beside a worker.js of another program',
    (own) => writeFileSync(join(own, 'package.json'), '{ "name": "user" }'),
  ],
])('[XA8] a bundle %s throws when a pool is made', (_, change) => {
  const source = `
    const { ProcessManager } = require('bulkhead');
    try { new ProcessManager(); } catch ({ message, code }) { console.log(JSON.stringify({ message, code })); }`;
  const refused = printed(change, { source });
  expect(refused.code).toBe('MODULE_NOT_FOUND');
  expect(refused.message).toMatch(
    /^bulkhead was bundled .*its worker entry: mark bulkhead as external/,
  );
});
