// The directory that workers start in: the option `cwd`, and a process that changes its own.

import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { pool, program, project, shellWorker } from './support/harness.js';

const worker = `export default () => { try { return process.cwd(); } catch ({ code }) { return code; } };`;

/**
 * Returns the output of a program as JSON. It runs `first` in its folder, and `then` once its pool
 * has one worker.
 */
async function printed(then, { first = '', options = '{}' } = {}) {
  const source = `
    import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
    import ProcessManager from 'bulkhead';
    const folder = process.cwd();
    mkdirSync('sub');
    ${first}
    const options = ${options};
    const pool = new ProcessManager({ worker: new URL('worker.mjs', import.meta.url), minWorkers: 1, maxWorkers: 1, ...options });
    const before = await pool.run(1);
    ${then}
    await pool.reload();
    const after = await pool.run(1);
    const short = (path) => path.startsWith(folder) ? '.' + path.slice(folder.length) : path;
    console.log(JSON.stringify([before, after].map(short)));
    await pool.shutdown();`;
  const { code, stdout, stderr } = await program(source, { files: { 'worker.mjs': worker } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

test('[XA13] workers that start after process.chdir() use the directory of the first ones', async () => {
  expect(await printed(`process.chdir('/');`)).toEqual(['.', '.']);
});

test('[XA13] a relative cwd is relative to the directory in which the pool was made', async () => {
  expect(await printed(`process.chdir('/');`, { options: `{ cwd: 'sub' }` })).toEqual([
    './sub',
    './sub',
  ]);
});

test('[XA13] workers start in the directory of the process after it was renamed', async () => {
  const outcome = await printed(`renameSync(folder + '/sub', folder + '/moved');`, {
    first: `process.chdir('sub');`,
  });
  expect(outcome).toEqual(['./sub', './moved']);
});

test('[XA13] workers start in the directory of the process after it was removed, or its name given to another', async () => {
  const first = `process.chdir('sub');`;
  const remove = `rmdirSync(folder + '/sub');`;
  expect(await printed(remove, { first })).toEqual(['./sub', 'ENOENT']);
  expect(await printed(`${remove} mkdirSync(folder + '/sub');`, { first })).toEqual([
    './sub',
    'ENOENT',
  ]);
  expect(await printed('', { first: first + remove })).toEqual(['ENOENT', 'ENOENT']);
});

test.skipIf(process.getuid?.() !== 0)(
  '[XA13] workers start in a directory that the process may no longer enter',
  async () => {
    const says = String.raw`printf '{"type":"result","id":%s,"result":"%s"}\n' "$id" "$(pwd -P)" >&3`;
    const source = `
    import { mkdirSync } from 'node:fs';
    import ProcessManager from 'bulkhead';
    mkdirSync('private', { mode: 0o700 });
    process.chdir('private');
    process.setgid(65534);
    process.setuid(65534);
    const worker = ${JSON.stringify(shellWorker(says))};
    const pool = new ProcessManager({ worker, maxWorkers: 1 });
    console.log(await pool.run(1));
    await pool.shutdown();`;
    const { code, stdout, stderr } = await program(source);
    expect({ code, stderr, stdout }).toEqual({
      code: 0,
      stderr: '',
      stdout: expect.stringMatching(/private\n$/),
    });
  },
);

test('[XA13] cwd is a path, a file URL, or a file URL as text', async () => {
  const folder = join(realpathSync(project({})), 'a b#c%20d');
  mkdirSync(folder);
  const url = pathToFileURL(folder);
  for (const cwd of [folder, url, url.href]) {
    expect(await pool({ maxWorkers: 1, cwd }).exec(() => process.cwd())).toBe(folder);
  }
});
