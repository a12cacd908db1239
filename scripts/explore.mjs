// Plays random sequences of events against the pool's state machine (`src/pool/tests.rs` in release
// mode).
//
//   npm run explore                        a million sequences of events, which takes some minutes
//   npm run explore -- --cases 20000000    more sequences
//   npm run explore -- --jobs 1            in one process; default: one for each core
//
// Every run plays other sequences. A failing one is shrunk, printed, and kept in
// proptest-regressions/. `cargo test` plays it first from then on, until that file is reverted. Add
// a named test for it as well, because a change of the generators makes another sequence of the
// seed.

import { execFileSync, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TEST = 'pool::tests::keeps_its_promises_whatever_happens';
const root = dirname(dirname(fileURLToPath(import.meta.url)));

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000000' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

/**
 * @param {'cases' | 'jobs'} name
 * @returns {number}
 */
function count(name) {
  const number = Number(values[name]);
  // The maximum of proptest.
  if (Number.isInteger(number) && number >= 1 && number < 2 ** 32) return number;
  console.error(
    `--${name} must be a whole number from 1 to ${2 ** 32 - 1}, and is ${values[name]}.`,
  );
  process.exit(2);
}

/** The executable of the crate's tests. */
function build() {
  const args = [
    'test',
    '--profile',
    'explore',
    '--lib',
    '--no-run',
    '--message-format=json-render-diagnostics',
  ];
  /** @type {import('node:child_process').StdioOptions} */
  const stdio = ['ignore', 'pipe', 'inherit'];
  const said = execFileSync('cargo', args, {
    cwd: root,
    stdio,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  const lines = said.trim().split('\n');
  const made = lines.map((line) => JSON.parse(line)).findLast(({ executable }) => executable);
  return made.executable;
}

/**
 * @param {string} program
 * @param {number} cases
 * @returns {Promise<{ code: number | null, output: string }>}
 */
function play(program, cases) {
  const env = { ...process.env, BULKHEAD_PROPTEST_CASES: String(cases), RUST_BACKTRACE: '0' };
  const child = spawn(program, ['--exact', TEST], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      // Every shrinking step prints something; only the last output counts.
      output = (output + text).slice(-(1 << 20));
    });
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, output: String(error) }));
    child.on('close', (code) => resolve({ code, output }));
  });
}

const cases = count('cases');
const jobs = Math.min(count('jobs'), cases);
const program = build();
console.log(`${cases} sequences in ${jobs} ${jobs === 1 ? 'process' : 'processes'}`);
const begin = performance.now();
const runs = await Promise.all(
  Array.from({ length: jobs }, (_, job) => play(program, Math.floor((cases + job) / jobs))),
);
const seconds = ((performance.now() - begin) / 1000).toFixed(0);
const failed = runs.filter(({ code, output }) => code !== 0 || !output.includes('1 passed'));
for (const { output } of failed) {
  const at = output.lastIndexOf('\nthread ');
  console.error(output.slice(at + 1));
}
if (failed.length > 0) {
  console.error(`failed after ${seconds} s`);
  process.exit(1);
}
console.log(`${cases} sequences kept every promise, in ${seconds} s`);
