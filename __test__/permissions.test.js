// Node's permission model: what a pool needs of it, and what workers may do. bad-input.test.js has
// the pool without permission to start processes.

import { describe, expect, test } from 'vitest';
import { pool, program } from './support/harness.js';

const has = (flag) => process.allowedNodeEnvironmentFlags.has(flag);

/** The flag had another name before Node 23.5. */
const permission = has('--permission') ? '--permission' : '--experimental-permission';
const flags = [
  permission,
  '--allow-fs-read=*',
  '--allow-addons',
  '--allow-child-process',
  '--no-warnings',
];

const worker = `
  export const handlers = {
    echo: ({ data }) => data,
    may: () => ['fs.read', 'fs.write', 'child', 'net'].map((scope) => process.permission?.has(scope)),
    leave: () => process.disconnect(),
  };`;

/** The output, as JSON, of a program started with these flags. */
async function printed(source, { nodeArgs = flags, env } = {}) {
  const all = `
    import ProcessManager from 'bulkhead';
    const module = { worker: new URL('worker.mjs', import.meta.url), maxWorkers: 1 };
    const may = async (options) => {
      // Workers warn of flags of their own.
      const pool = new ProcessManager({ ...module, stdio: 'ignore', ...options });
      const answer = await pool.run({ type: 'may' });
      await pool.shutdown();
      return answer;
    };
    ${source}`;
  const { code, stdout, stderr } = await program(all, {
    nodeArgs,
    env,
    files: { 'worker.mjs': worker },
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe('permissions: the network', () => {
  const everything = `
    const pool = new ProcessManager(module);
    pool.on('error', (error) => console.error(error));
    const bytes = Buffer.alloc(300_000, 7);
    const text = 'ä'.repeat(300_000);
    console.log(JSON.stringify({
      may: await pool.run({ type: 'may' }),
      bytes: bytes.equals(await pool.run({ type: 'echo', data: bytes })),
      text: text === await pool.run({ type: 'echo', data: text }),
      many: (await Promise.all(Array.from({ length: 500 }, (_, i) => pool.run({ type: 'echo', data: i })))).length,
      left: await pool.run({ type: 'leave' }).then(() => 'answered', ({ code }) => code),
      again: await pool.run({ type: 'echo', data: 'again' }),
    }));
    await pool.shutdown();`;
  const outcome = {
    bytes: true,
    text: true,
    many: 500,
    left: 'ERR_WORKER_CRASHED',
    again: 'again',
  };

  test.skipIf(!has('--allow-net'))(
    '[XA18] a pool needs no permission for the network',
    async () => {
      expect(await printed(everything)).toEqual({ may: [true, false, true, false], ...outcome });
    },
  );

  test('[G20, XA18] a worker loads no module that needs the network', async () => {
    const manager = pool({ maxWorkers: 1, stdio: 'ignore' });
    // This API is undocumented, and present in every version.
    const loaded = await manager.exec(() => process.moduleLoadList);
    expect(loaded).toContain('NativeModule buffer');
    expect(loaded.filter((name) => name === 'NativeModule net')).toEqual([]);
  });
});

describe('permissions: restrictions of this process', () => {
  const SAME = [true, false, true];
  const shown = (answers) =>
    Object.fromEntries(Object.entries(answers).map(([key, may]) => [key, may.slice(0, 3)]));

  test.each(['as flags', 'in NODE_OPTIONS'])(
    '[G20, XC16] restrictions of this process apply to workers with flags and variables of their own (%s)',
    async (how) => {
      const source = `
      console.log(JSON.stringify({
        flags: await may({ execArgv: ['--no-deprecation'] }),
        variables: await may({ execArgv: [], env: { NODE_OPTIONS: '--no-deprecation' } }),
        none: await may({ execArgv: [], env: {} }),
      }));`;
      const options =
        how === 'as flags' ? {} : { nodeArgs: [], env: { NODE_OPTIONS: flags.join(' ') } };
      expect(shown(await printed(source, options))).toEqual({
        flags: SAME,
        variables: SAME,
        none: SAME,
      });
    },
  );

  test('[XC16] restrictions of this process give way to those that a worker’s own flags or variables name', async () => {
    const own = [permission, '--allow-fs-read=*', '--allow-fs-write=*', '--allow-addons'];
    const source = `
      const own = ${JSON.stringify(own)};
      console.log(JSON.stringify({
        flags: await may({ execArgv: own }),
        variables: await may({ execArgv: [], env: { NODE_OPTIONS: own.join(' ') } }),
      }));`;
    const theirs = [true, true, false];
    expect(shown(await printed(source))).toEqual({ flags: theirs, variables: theirs });
  });

  test('[XC16] restrictions for folders with unusual names are passed on unchanged', async () => {
    const source = `
      const pool = new ProcessManager({ maxWorkers: 1, stdio: 'ignore', execArgv: [] });
      const writes = () => ['/a b', '/c"d', '/a'].map((folder) => process.permission.has('fs.write', folder + '/file'));
      console.log(JSON.stringify([writes(), await pool.exec(writes)]));
      await pool.shutdown();`;
    const nodeArgs = [...flags, '--allow-fs-write=/a b/*', '--allow-fs-write', '/c"d/*'];
    expect(await printed(source, { nodeArgs })).toEqual(Array(2).fill([true, true, false]));
  });
});
