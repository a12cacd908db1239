// The programs of the README, as a reader would paste them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { program, root } from './support/harness.js';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```/gm)].map(([, text]) => text);
/** A block that begins with the name of a file is that file. */
const nameOf = (text) => text.match(/^\/\/ ([\w-]+\.\w+)\n/)?.[1];
const files = Object.fromEntries(blocks.flatMap((text) => (nameOf(text) ? [[nameOf(text), text]] : [])));
const programs = blocks.filter((text) => text.includes("from 'bulkhead'"));

describe('each program runs to its end', () => {
  test.each(programs.map((text, index) => [nameOf(text) ?? `program ${index + 1}`, text]))('%s', async (_, text) => {
    const { code, signal, stdout, stderr } = await program(text, { name: 'pasted.mjs', files, packages: ['tsx'] });
    expect({ code, signal }, stderr).toEqual({ code: 0, signal: null });
    expect(stdout + stderr).not.toBe('');
  });
});

test('there are programs at all', () => {
  expect(programs.length).toBeGreaterThanOrEqual(6);
  expect(Object.keys(files)).toEqual(expect.arrayContaining(['worker-process.ts', 'main.mjs', 'worker.mjs']));
});
