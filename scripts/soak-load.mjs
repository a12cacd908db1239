// Loads a pool with tiny tasks and large bytes at the same time, at the machine's limit. No worker
// dies. Leaks show, including memory of a ring that was not released.
//
//   npm run soak:load -- --minutes 10
//
// Every result is compared with the expected one. The memory of this process and of the workers
// must not grow (as in soak.mjs). At the end every ring must accept its full size, and nothing may
// be left behind.

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { prepare } from '../__test__/ledger/run.mjs';
import { confine } from '../__test__/ledger/stage.mjs';
import { isRestored, possessions } from '../__test__/ledger/state.mjs';
import ProcessManager from '../index.mjs';
import { Memory, ownMemory } from './memory.mjs';

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
/**
 * Size of each worker's two rings (src/shm/ring.rs), and the offsets of their read positions
 * (src/shm/page.rs).
 */
const RING = 8 * MEBIBYTE;
const READ_UP_TO = [128, 192];
const PAGE_SIZE = 4096;
const TINY_LANES = 200;
const LARGE_LANES = 6;
const LARGEST = 4 * MEBIBYTE;

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
confine({ nodeArgs: ['--expose-gc'] });

const worker = new URL('../__test__/fixtures/soak-load.mjs', import.meta.url);
/** Source of the sent bytes, without repetitions. */
const source = Buffer.allocUnsafe(2 * LARGEST);
for (let i = 0, state = 1; i < source.length; i++) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
  source[i] = state >> 16;
}
const text = source.toString('latin1').replace(/[^ -~]/g, '.');
const done = { tiny: 0, large: 0, bytes: 0, wrong: 0 };

/**
 * Kinds of large tasks. Each sends a part of `source` from `at`, and checks the answer.
 *
 * @type {((at: number, size: number) => Promise<boolean>)[]}
 */
const kinds = [
  async (at, size) => {
    const data = source.subarray(at, at + size);
    return data.equals(await pool.run({ type: 'echo', data }));
  },
  async (at, size) => {
    const data = text.slice(at, at + size);
    return (await pool.run({ type: 'echo', data })) === data;
  },
  async (at, size) => {
    const data = `ж${text.slice(at, at + size / 2)}`;
    return (await pool.run({ type: 'echo', data })) === data;
  },
  async (at, size) => {
    const data = source.subarray(at, at + size);
    const places = [0, size >> 1, size - 1];
    const bytes = await pool.run({ type: 'look', data, places });
    return places.every((place, index) => bytes[index] === data[place]);
  },
  async (at, size) => {
    const made = await pool.run({ type: 'make', size, byte: at & 255 });
    return made.length === size && made[0] === (at & 255) && made[size - 1] === (at & 255);
  },
];

async function tinyLane() {
  while (performance.now() < end) {
    const data = done.tiny++;
    if ((await pool.run({ type: 'echo', data })) !== data) done.wrong += 1;
  }
}

async function largeLane() {
  while (performance.now() < end) {
    const size = Math.round(32 * KIBIBYTE * (LARGEST / (32 * KIBIBYTE)) ** Math.random());
    const at = Math.floor(Math.random() * (source.length - size));
    const right = await kinds[done.large++ % kinds.length](at, size);
    done.bytes += size;
    if (!right) done.wrong += 1;
  }
}

/**
 * Returns the read positions of a worker and of its supervisor. The worker has the shared memory as
 * descriptor 4.
 *
 * @param {number | null} pid
 */
function readUpTo(pid) {
  const fd = openSync(`/proc/${pid}/fd/4`, 'r');
  try {
    return READ_UP_TO.map((place) => {
      const number = Buffer.alloc(8);
      readSync(fd, number, 0, 8, place);
      return Number(number.readBigUInt64LE());
    });
  } finally {
    closeSync(fd);
  }
}

/** Resident memory of all workers; undefined while one is being replaced. */
function workersMemory() {
  const pages = pool.workers.map(
    ({ pid }) => readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1],
  );
  return pages.reduce((sum, number) => sum + Number(number), 0) * PAGE_SIZE;
}

/**
 * Returns whether bytes of a ring's full size pass through the shared memory in both directions,
 * with every worker.
 */
async function ringsAreEmpty() {
  const before = new Map(pool.workers.map(({ pid }) => [pid, readUpTo(pid)]));
  const full = source.subarray(0, RING);
  // Two tasks at a time keep two workers busy; the pool decides which worker gets which.
  for (let round = 0; round < 20; round++) {
    const echoes = await Promise.all([...before].map(() => pool.run({ type: 'echo', data: full })));
    if (!echoes.every((echo) => full.equals(echo))) return false;
  }
  return [...before].every(([pid, places]) =>
    readUpTo(pid).every((place, index) => place - places[index] >= full.length),
  );
}

await prepare();
const before = possessions();
const pool = new ProcessManager({ worker, maxQueue: 10 * (TINY_LANES + LARGE_LANES) });
await pool.startWorkers();
const memories = [new Memory(ownMemory), new Memory(workersMemory)];
const start = performance.now();
const end = start + Number(values.minutes) * 60_000;
await Promise.all([
  ...Array.from({ length: TINY_LANES }, tinyLane),
  ...Array.from({ length: LARGE_LANES }, largeLane),
]);
const seconds = (performance.now() - start) / 1000;
const [own, workers] = memories.map((memory) => memory.verdict());
const empty = await ringsAreEmpty();
await pool.shutdown();
// The last descriptors of a worker close after its output has been read.
const patience = performance.now() + 5_000;
while (!isRestored(possessions(), before) && performance.now() < patience) await sleep(20);
const after = possessions();

console.log(`
${seconds.toFixed(0)} s: ${done.tiny} tiny tasks, ${done.large} large ones of ${(done.bytes / 2 ** 30).toFixed(1)} GiB, ${done.wrong} wrong
children ${after.children.length}, descriptors ${after.descriptors} (${before.descriptors}), threads ${after.threads} (${before.threads})
memory, mean of each third in MiB: this process ${own.text}; the workers ${workers.text}
rings ${empty ? 'empty' : 'not empty'}`);
if (done.wrong > 0 || !empty || own.grows || workers.grows || !isRestored(after, before))
  process.exitCode = 1;
