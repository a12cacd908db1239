// NODE_V8_COVERAGE, with which c8 and node:test measure the code of workers as well.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { program, project } from './support/harness.js';

/**
 * The number of calls of `covered` in worker.mjs, as V8 has written it for all processes of a
 * program. Null: nothing is written.
 */
async function calls(options) {
  const folder = join(project({}), 'coverage');
  const source = `
    import ProcessManager from 'bulkhead';
    const pool = new ProcessManager({ worker: new URL('worker.mjs', import.meta.url), maxWorkers: 1, ...${options} });
    for (let i = 0; i < 3; i++) await pool.run(1);
    await pool.shutdown();`;
  const files = { 'worker.mjs': 'export default function covered() { return 1; }' };
  const { code, stderr } = await program(source, { files, env: { NODE_V8_COVERAGE: folder } });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  if (!existsSync(folder)) return null;
  const scripts = readdirSync(folder).flatMap(
    (file) => JSON.parse(readFileSync(join(folder, file), 'utf8')).result,
  );
  const functions = scripts
    .filter(({ url }) => url.endsWith('/worker.mjs'))
    .flatMap(({ functions }) => functions);
  return functions.find(({ functionName }) => functionName === 'covered')?.ranges[0].count ?? null;
}

test('[XC16] NODE_V8_COVERAGE covers workers, without env and with an env that does not mention it', async () => {
  expect(await calls('{}')).toBe(3);
  expect(await calls('{ env: {} }')).toBe(3);
});

test('[XC16] env may switch off the coverage of workers', async () => {
  expect(await calls('{ env: { NODE_V8_COVERAGE: undefined } }')).toBe(null);
  expect(await calls(`{ env: { NODE_V8_COVERAGE: '' } }`)).toBe(null);
});
