// Shows that the ledger notices when what it guards is taken away.
//
//   npm run mutation-check                    all of them
//   npm run mutation-check -- --only drain    one
//
// In a copy of the sources: with each seed first unchanged, which has to pass, then with one
// safeguard after the other removed, which has to fail. A mutation whose text is no longer in its
// file is an error, not a pass. The copy's addon is built in a target directory that is kept
// (target/mutation), so that only this crate is compiled again.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * @typedef {object} Mutation
 * @property {string} name
 * @property {string} what is taken away
 * @property {{ file: string, from: string, to: string }[]} edits each `from` is in its file exactly once
 * @property {number[]} seeds of runs of which one must fail, in the order in which they are tried
 */

/** @type {Mutation[]} */
const MUTATIONS = [
  {
    // A process takes milliseconds to die, in which the supervisor has read what it said last:
    // nothing is lost unless the supervisor has no time. That is what the nemesis stops the parent
    // for. What was written is not in the shared memory any more, except where a worker dies at the
    // fault points of a write, so the one does not stand in for the other.
    name: 'drain',
    what: 'reading what a dead worker had said before its tasks are settled',
    edits: [
      { file: 'src/supervisor/worker_task.rs', from: '        self.drain_channel();\n', to: '' },
    ],
    seeds: [42, 73, 15, 850],
  },
  {
    // Replies are in the shared memory, and not yet in the channel, for a millisecond while the
    // next task runs. So it takes tiny tasks, and workers that die within a task, many a time.
    name: 'held',
    what: 'reading what a dead worker had not written yet',
    edits: [
      { file: 'src/supervisor/worker_task.rs', from: '        self.take_in_held();\n', to: '' },
    ],
    seeds: [424, 808, 850, 748],
  },
  {
    name: 'epoch',
    what: 'dropping tasks that were taken back',
    edits: [
      {
        file: 'src/shm/claim.rs',
        from: 'if current != epoch {',
        to: 'if false && current != epoch {',
      },
    ],
    seeds: [42, 73, 15],
  },
  {
    name: 'worker-id',
    what: 'looking for the task of a reply among those of the worker that replies',
    edits: [
      {
        file: 'src/pool/state.rs',
        from: 'self.worker(key).is_some_and(|worker| worker.find(attempt_id).is_some())',
        to: `let key = self.anybodys(attempt_id).unwrap_or(key);
        self.worker(key).is_some_and(|worker| worker.find(attempt_id).is_some())`,
      },
      {
        file: 'src/pool/state/task_events.rs',
        from: '        let Some(worker) = slot.find_mut(key) else { return };\n        let Some(start) = worker.finish(',
        to: `        let key = self.anybodys(attempt_id).unwrap_or(key);
        let Some(slot) = self.slots.get_mut(key.slot) else { return };
        let Some(worker) = slot.find_mut(key) else { return };
        let Some(start) = worker.finish(`,
      },
      {
        file: 'src/pool/state.rs',
        from: '    /// Returns the unsettled task of this attempt at this worker.\n',
        to: `    fn anybodys(&mut self, attempt_id: AttemptId) -> Option<WorkerKey> {
        let mut workers = self.slots.iter_mut().filter_map(|slot| slot.worker.as_mut());
        workers.find_map(|worker| worker.find(attempt_id).is_some().then_some(worker.key))
    }

    /// Returns the unsettled task of this attempt at this worker.
`,
      },
    ],
    seeds: [46, 101, 39],
  },
  {
    name: 'at-most-once',
    what: 'the limit on how often a task may be started',
    edits: [
      {
        file: 'src/pool/state/task_events.rs',
        from: 'task.attempt <= task.retries {',
        to: 'task.attempt <= task.retries + 1 {',
      },
    ],
    seeds: [42, 73, 15],
  },
];

/** The duration of each run. */
const TASKS = 20_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values } = parseArgs({ options: { only: { type: 'string' } } });
const wanted = MUTATIONS.filter(({ name }) => values.only === undefined || name === values.only);
if (wanted.length === 0)
  throw new Error(`there is no mutation ${values.only}: ${MUTATIONS.map(({ name }) => name)}`);

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
 * @throws where a text is not there, or not once
 */
function mutated({ name, edits }) {
  const files = new Map();
  for (const { file, from, to } of edits) {
    const before = files.get(file) ?? readFileSync(join(root, file), 'utf8');
    const places = before.split(from).length - 1;
    if (places !== 1) {
      throw new Error(
        `mutation "${name}" is out of date: its text is ${places} times in ${file}, not once:\n${from}`,
      );
    }
    files.set(
      file,
      before.replace(from, () => to),
    );
  }
  return files;
}

/** The addon of what the copy has. */
function build() {
  const target = join(root, 'target', 'mutation');
  const { status } = spawnSync(
    'cargo',
    ['build', '--locked', '--quiet', '--lib', '--target-dir', target],
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
  // All of them first: that one is out of date had better be known before the long part.
  const patches = wanted.map(mutated);
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
