// Shows that the ledger notices when what it guards is taken away.
//
//   npm run mutation-check                    all of them
//   npm run mutation-check -- --only drain    one
//   npm run mutation-check -- --check         says only whether each still applies
//
// It works in a copy of the sources: with each seed first unchanged, which has to pass, then with
// one safeguard after the other removed, which has to fail. Each mutation names a function (see
// rust-edit.mjs). A mutation that no longer applies is an error, not a pass. The target directory
// of the copy's addon (target/mutation) is kept, so that only this crate is compiled again.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { edited } from './rust-edit.mjs';

/**
 * @typedef {object} Mutation
 * @property {string} name
 * @property {string} what is taken away
 * @property {import('./rust-edit.mjs').Edit[]} edits
 * @property {number[]} seeds of runs, one must fail; tried in this order
 */

/** The worker that has the attempt, whichever it is. */
const ANY_WORKER = `let key = self.slots.iter_mut()
            .filter_map(|slot| slot.worker.as_mut())
            .find_map(|worker| worker.find(attempt_id).is_some().then_some(worker.key))
            .unwrap_or(key);`;

/** @type {Mutation[]} */
const MUTATIONS = [
  {
    // A process takes milliseconds to die, in which the supervisor reads what the process said
    // last. So nothing is lost unless the supervisor has no time: the nemesis stops the parent. A
    // written reply has left the journal, except where a worker dies at the fail points of a write,
    // so the journal does not stand in for the channel.
    name: 'drain',
    what: 'reading what a dead worker had said before its tasks are settled',
    edits: [{ in: 'src/supervisor', fn: 'drain_channel', body: '' }],
    seeds: [42, 73, 15, 850],
  },
  {
    // Replies are in the journal, and not yet in the channel, for a millisecond while the next task
    // runs. So this needs tiny tasks, and many workers that die within a task.
    name: 'held',
    what: 'reading what a dead worker had not written yet',
    edits: [{ in: 'src/supervisor', fn: 'read_journal', has: '&mut self', body: '' }],
    seeds: [424, 808, 850, 748],
  },
  {
    name: 'epoch',
    what: 'dropping tasks that were taken back',
    edits: [
      { in: 'src/shm', fn: 'claim', replace: [/current != epoch/, 'false && current != epoch'] },
    ],
    seeds: [42, 73, 15],
  },
  {
    name: 'worker-id',
    what: 'looking for the task of a reply among those of the worker that replies',
    edits: [
      { in: 'src/pool', fn: 'expects', has: 'AttemptId', first: ANY_WORKER },
      { in: 'src/pool', fn: 'replied', has: 'AttemptId', first: ANY_WORKER },
    ],
    seeds: [46, 101, 39],
  },
  {
    name: 'at-most-once',
    what: 'the limit on how often a task may be started',
    edits: [
      {
        in: 'src/pool',
        fn: 'retry_or_fail',
        replace: [/task\.attempt <= task\.retries/, 'task.attempt <= task.retries + 1'],
      },
    ],
    seeds: [42, 73, 15],
  },
];

/** The duration of each run. */
const TASKS = 20_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({
  options: { only: { type: 'string' }, check: { type: 'boolean', default: false } },
});
const wanted = MUTATIONS.filter(({ name }) => values.only === undefined || name === values.only);
if (wanted.length === 0)
  throw new Error(`there is no mutation ${values.only}: ${MUTATIONS.map(({ name }) => name)}`);

// All of them first: that one is out of date is better known before the long part.
const patches = wanted.map(mutated);
if (values.check) {
  console.log(`${wanted.length} mutations apply`);
  process.exit();
}

const copy = mkdtempSync(join(tmpdir(), 'bulkhead-mutation-'));
const addon = readdirSync(root).find((name) => /^bulkhead\..*\.node$/.test(name));
if (addon === undefined) throw new Error('build first: npm run build');
// What git knows and what lies beside it, ignored files aside.
const listed = execFileSync(
  'git',
  ['ls-files', '-z', '--cached', '--others', '--exclude-standard'],
  { cwd: root },
);
for (const name of listed.toString().split('\0').filter(Boolean)) {
  // With new timestamps: what an earlier check left in the target directory may be a mutation.
  cpSync(join(root, name), join(copy, name));
}
copyFileSync(join(root, 'native.cjs'), join(copy, 'native.cjs'));
cpSync(join(root, 'dist'), join(copy, 'dist'), { recursive: true });
symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'));

/**
 * @param {Mutation} mutation
 * @returns {Map<string, string>} the files it changes, changed
 * @throws where an edit does not apply
 */
function mutated({ name, edits }) {
  try {
    return edited(root, edits);
  } catch (error) {
    throw new Error(`mutation "${name}" is out of date`, { cause: error });
  }
}

/** The addon of what the copy has. */
function build() {
  const target = join(root, 'target', 'mutation');
  const { status } = spawnSync(
    'cargo',
    ['build', '--locked', '--quiet', '--lib', '--features', 'fail-points', '--target-dir', target],
    {
      cwd: copy,
      stdio: 'inherit',
      env: { ...process.env, RUSTFLAGS: '-Awarnings' },
    },
  );
  if (status !== 0) throw new Error('it does not compile');
  const library = process.platform === 'darwin' ? 'libbulkhead.dylib' : 'libbulkhead.so';
  copyFileSync(join(target, 'debug', library), join(copy, /** @type {string} */ (addon)));
  // That the addon can be loaded, before a run that cannot start counts as one that fails.
  const load = `require(${JSON.stringify(createRequire(import.meta.url).resolve(join(copy, 'index.js')))})`;
  execFileSync(process.execPath, ['-e', load]);
  return join(copy, /** @type {string} */ (addon));
}

/**
 * @param {number} seed
 * @returns {string | undefined} what does not hold, if anything
 */
function run(seed) {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(copy, 'scripts', 'ledger.mjs'), '--seed', String(seed), '--tasks', String(TASKS)],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], cwd: copy },
  );
  if (status === 0) return undefined;
  const history = /^history: (.*)$/m.exec(stdout)?.[1];
  if (history !== undefined) rmSync(history, { recursive: true, force: true });
  const broken = stdout.match(/^I\d+ does not hold, \d+ times/gm);
  if (broken === null)
    throw new Error(`the run with seed ${seed} failed, but no invariant did:\n${stdout}`);
  return broken.join('; ');
}

/** Seeds that hold unchanged. */
const controls = new Set();

/**
 * Plays it with the addon as it should be, once.
 *
 * @param {number} seed
 * @param {string} unchanged the addon
 * @throws where it does not hold
 */
function control(seed, unchanged) {
  if (controls.has(seed)) return;
  copyFileSync(unchanged, join(copy, /** @type {string} */ (addon)));
  const wrong = run(seed);
  if (wrong !== undefined)
    throw new Error(`the ledger fails without any mutation, seed ${seed}: ${wrong}`);
  console.log(`unchanged, seed ${seed}: holds`);
  controls.add(seed);
}

let missed = 0;
try {
  const unchanged = join(copy, 'unchanged.node');
  copyFileSync(build(), unchanged);
  for (const [index, { name, what, seeds }] of wanted.entries()) {
    for (const [file, text] of patches[index]) writeFileSync(join(copy, file), text);
    const changed = join(copy, `${name}.node`);
    copyFileSync(build(), changed);
    let found;
    for (const seed of seeds) {
      control(seed, unchanged);
      copyFileSync(changed, join(copy, /** @type {string} */ (addon)));
      found = run(seed);
      console.log(`without ${what} (${name}), seed ${seed}: ${found ?? 'holds all the same'}`);
      if (found !== undefined) break;
    }
    if (found === undefined) missed += 1;
    for (const file of patches[index].keys()) copyFileSync(join(root, file), join(copy, file));
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
if (missed > 0) {
  console.log(`${missed} of ${wanted.length} mutations were not noticed`);
  process.exitCode = 1;
}
