// The memory of this process has a bound when workers are slow, stopped, flood the pool, or stop in
// the middle of a message. Each test measures a program of its own by its resident memory beyond a
// baseline. 64 MiB of that are for V8 and the allocator; the options allow the rest.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { moduleFile, PROC, program, project } from './support/harness.js';

const MIB = 2 ** 20;
/** Memory of V8's heap and the allocator on top of what waits. */
const ROOM = 64 * MIB;

/**
 * Tasks of 2 MB for the slow worker. `BULKHEAD_BOUNDS_TASKS=5000` sends ten gigabytes, which takes
 * minutes.
 */
const TASKS = Number(process.env.BULKHEAD_BOUNDS_TASKS ?? 200);
/** Time limit of a program (ms). */
const LIMIT = 100_000 + 100 * TASKS;

/** The beginning of each program. */
const METER = `
  import { once } from 'node:events';
  import { setImmediate as turn } from 'node:timers/promises';
  import ProcessManager from 'bulkhead';
  import { processState } from ${PROC};
  let base = 0;
  let most = 0;
  const look = () => { most = Math.max(most, process.memoryUsage.rss()); };
  const begin = () => {
    for (let i = 0; i < 4; i++) globalThis.gc();
    base = most = process.memoryUsage.rss();
    setInterval(look, 5).unref();
  };
  const end = (about) => {
    look();
    console.log(JSON.stringify({ grown: most - base, ...about }));
  };
  const stop = async (pid) => {
    process.kill(pid, 'SIGSTOP');
    while (processState(pid) !== 'T') await turn();
  };
  // V8 collects what was sent or delivered; these tests do not measure that.
  let uncollected = 0;
  const used = (length) => {
    uncollected += length;
    if (uncollected > ${8 * MIB}) {
      globalThis.gc();
      uncollected = 0;
    }
    return length;
  };
  const block = (ms) => {
    for (const until = performance.now() + ms; performance.now() < until; ) look();
  };`;

/** Runs a program with that beginning, and returns what it reported by `end()`. */
async function measured(source) {
  const options = { nodeArgs: ['--expose-gc'], timeout: LIMIT };
  const { code, stdout, stderr } = await program(METER + source, options);
  expect({ code, stderr, stdout }).toEqual({ code: 0, stderr: '', stdout: expect.anything() });
  return JSON.parse(stdout);
}

/** A worker that reads one frame at a time, and replies to it when it gets SIGUSR1. */
const SLOW = `
import os, signal
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
replies = os.fdopen(3, 'wb', buffering=0)
for line in os.fdopen(os.dup(3), 'rb', buffering=1 << 16):
    head = line[:80]
    if b'"type":"init"' in head:
        replies.write(b'{"type":"ready","version":1}\\n')
    elif b'"type":"task"' in head:
        signal.sigwait([signal.SIGUSR1])
        at = head.index(b'"id":') + 5
        replies.write(b'{"type":"result","id":%s,"result":%d}\\n' % (head[at:head.index(b',', at)], len(line)))
    elif b'"type":"stop"' in head:
        break
`;

/**
 * Sends that number of bytes in messages, prints them, or yields them as values. Answers each
 * message with the number of bytes it got.
 */
const SPEAKER = JSON.stringify(
  moduleFile(`
    import { writeSync } from 'node:fs';
    let heard = 0;
    process.on('message', () => process.send({ heard: ++heard }));
    const piece = 'x'.repeat(30_000);
    const chunk = Buffer.alloc(64 << 10, 'flood\\n');
    export const handlers = {
      echo: ({ data }) => data,
      size: ({ data }) => data.length,
      messages: ({ size }, { send }) => { for (let said = 0; said < size; said += piece.length) send(piece); },
      print: ({ fd, size }) => { for (let left = size; left > 0; ) left -= writeSync(fd, chunk, 0, Math.min(left, chunk.length)); },
      async *values({ count }) { for (let i = 0; i < count; i++) yield Array(70).fill(piece); },
    };`),
);

describe.skipIf(process.platform !== 'linux')(
  'the memory of this process',
  { timeout: LIMIT + 20_000 },
  () => {
    test('[H11, XC2] memory follows the bytes that wait for a slow worker, not all that it was ever sent', async () => {
      const worker = { command: 'python3', args: ['-c', SLOW] };
      const options = { worker, maxWorkers: 1, concurrency: 8, maxQueueBytes: 32 * MIB };
      const { grown, done } = await measured(`
      const manager = new ProcessManager(${JSON.stringify(options)});
      const data = Array.from({ length: 70 }, () => 'x'.repeat(30_000));
      let done = 0;
      manager.on('result', () => done++);
      manager.on('error', ({ code }) => { if (code !== 'ERR_POOL_CLOSED') throw new Error(code); });
      await manager.startWorkers();
      const [{ pid }] = manager.workers;
      const fill = () => {
        for (;;) {
          try {
            manager.distributeTask({ data });
            used(2 * ${MIB});
          } catch ({ code }) {
            if (code === 'ERR_QUEUE_FULL') return;
            throw new Error(code);
          }
        }
      };
      begin();
      // At least seven tasks are in transit at any time.
      while (done < ${TASKS}) {
        fill();
        const replied = once(manager, 'result');
        process.kill(pid, 'SIGUSR1');
        await replied;
      }
      end({ done });
      await manager.terminate();`);
      expect(done).toBe(TASKS);
      expect(grown).toBeLessThan(32 * MIB + 8 * 2 * MIB + ROOM);
    });

    test('[H11, XC8] broadcast() leaves out a worker that does not read, and send() to it is false, until it reads again', async () => {
      const { grown, reached, refused, ...told } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, minWorkers: 2, maxWorkers: 2 });
      const heard = [0, 0, 0];
      manager.on('message', (message, { id }) => { heard[id] = message.heard; });
      await manager.startWorkers();
      const message = Array.from({ length: 35 }, () => 'x'.repeat(30_000));
      const [stopped, reads] = manager.workers;
      await stop(stopped.pid);
      begin();
      const reached = [0, 0, 0];
      for (let i = 1; i <= 250; i++) {
        reached[manager.broadcast(message)]++;
        while (heard[reads.id] < i) await turn();
      }
      const refused = manager.send(stopped.id, message);
      look();
      process.kill(stopped.pid, 'SIGCONT');
      while (heard[stopped.id] < reached[2]) await turn();
      const sent = manager.send(stopped.id, message);
      while (heard[stopped.id] < reached[2] + 1) await turn();
      end({ reached, refused, sent, heard });
      await manager.shutdown();`);
      expect(reached[0]).toBe(0);
      expect(reached[1] + reached[2]).toBe(250);
      // 16 MiB, and the capacity of the channel itself.
      expect(reached[2]).toBeGreaterThanOrEqual(15);
      expect(reached[2]).toBeLessThan(20);
      expect({ refused, ...told }).toEqual({
        refused: false,
        sent: true,
        heard: [0, reached[2] + 1, 250],
      });
      expect(grown).toBeLessThan(16 * MIB + ROOM);
    });

    test('[XC8] a message larger than the bound is sent if no other message waits', async () => {
      const { sent } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, maxWorkers: 1 });
      await manager.startWorkers();
      const [{ pid }] = manager.workers;
      await stop(pid);
      begin();
      const large = Array.from({ length: 700 }, () => 'x'.repeat(30_000));
      const sent = [large, 'small', large].map((message) => manager.send(1, message));
      process.kill(pid, 'SIGCONT');
      end({ sent });
      await manager.shutdown();`);
      expect(sent).toEqual([true, false, false]);
    });

    test('[XC2] tasks cancelled before a stopped worker took them leave no bytes behind', async () => {
      const { grown, ...told } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, maxWorkers: 1 });
      await manager.startWorkers();
      const [{ pid }] = manager.workers;
      await stop(pid);
      const data = Array.from({ length: 70 }, () => 'x'.repeat(30_000));
      const codes = {};
      begin();
      for (let i = 0; i < 200; i++) {
        const controller = new AbortController();
        const outcome = manager.run({ type: 'size', data }, { signal: controller.signal }).catch(({ code }) => code);
        // The message is sent.
        while (manager.workers[0].running.length === 0) await turn();
        controller.abort();
        const code = await outcome;
        codes[code] = (codes[code] ?? 0) + 1;
        used(2 * ${MIB});
      }
      end({ codes });
      process.kill(pid, 'SIGCONT');
      if (await manager.run({ type: 'size', data }) !== 70) throw new Error('what is sent afterwards is cut');
      if (manager.workers[0].pid !== pid) throw new Error('a worker is lost');
      await manager.shutdown();`);
      expect(told).toEqual({ codes: { ABORT_ERR: 200 } });
      expect(grown).toBeLessThan(2 * 2 * MIB + ROOM);
    });

    test('a flood of messages while the main thread is blocked waits in the worker', async () => {
      const { grown, heard } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, maxWorkers: 1 });
      let heard = 0;
      manager.on('message', ({ length }) => { heard += used(length ?? 0); });
      await manager.startWorkers();
      begin();
      const said = manager.run({ type: 'messages', size: ${400 * MIB} });
      // Enough time for the worker to send as much as it can: it sends a hundred megabytes in a
      // fraction of that.
      for (let i = 0; i < 3; i++) {
        block(700);
        await turn();
      }
      await said;
      end({ heard });
      await manager.shutdown();`);
      expect(heard).toBeGreaterThanOrEqual(400 * MIB);
      expect(grown).toBeLessThan(16 * MIB + ROOM);
    });

    test('a stream whose reader pauses holds no more values than highWaterMark', async () => {
      const { grown, read } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, maxWorkers: 1 });
      await manager.startWorkers();
      begin();
      let read = 0;
      for await (const value of manager.stream({ type: 'values', count: 120 }, { highWaterMark: 16 })) {
        read += value.length;
        used(2 * ${MIB});
        // Enough time for the worker to yield all that its credit allows.
        if (read % 3500 === 70) block(300);
      }
      end({ read });
      await manager.shutdown();`);
      expect(read).toBe(120 * 70);
      expect(grown).toBeLessThan(16 * 2 * MIB + ROOM);
    });

    test('output with a listener waits in the worker while the main thread is blocked', async () => {
      const { grown, heard } = await measured(`
      const manager = new ProcessManager({ worker: ${SPEAKER}, maxWorkers: 1, stdio: 'pipe' });
      let heard = 0;
      for (const name of ['stdout', 'stderr']) manager.on(name, ({ length }) => { heard += used(length); });
      await manager.startWorkers();
      begin();
      for (const fd of [1, 2]) {
        const printed = manager.run({ type: 'print', fd, size: ${200 * MIB} });
        block(1_000);
        await printed;
      }
      while (heard < ${400 * MIB}) await turn();
      end({ heard });
      await manager.shutdown();`);
      expect(heard).toBe(400 * MIB);
      expect(grown).toBeLessThan(16 * MIB + ROOM);
    });

    test('standard error that is not read delays the worker that prints, and neither memory nor another worker', async () => {
      const folder = project({
        'main.mjs': `${METER}
        const manager = new ProcessManager({ worker: ${SPEAKER}, minWorkers: 2, maxWorkers: 2 });
        await manager.startWorkers();
        begin();
        const printed = manager.run({ type: 'print', fd: 2, size: ${200 * MIB} }).catch(({ code }) => code);
        for (let i = 0; i < 2_000; i++) {
          const echoed = await manager.run({ type: 'echo', data: i });
          if (echoed !== i) throw new Error(echoed);
        }
        await manager.terminate();
        end({ printed: await printed });
        process.exit();`,
      });
      const child = spawn(process.execPath, ['--expose-gc', join(folder, 'main.mjs')], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      onTestFinished(() => child.kill('SIGKILL'));
      const { stdout } = child;
      child.stderr.pause();
      let text = '';
      stdout.setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
      await new Promise((resolve) => child.once('exit', resolve));
      child.stderr.destroy();
      const { grown, printed } = JSON.parse(text);
      expect(printed).toBe('ERR_POOL_CLOSED');
      expect(grown).toBeLessThan(ROOM);
    });

    test('workers that stop in the middle of a large message cost at most twice what they have sent of it', async () => {
      const worker = {
        command: 'python3',
        args: [
          '-c',
          `import os, time
channel = os.fdopen(3, 'wb', buffering=0)
channel.write(b'{"type":"ready","version":1}\\n')
frame = b'{"type":"message","message":"' + b'x' * ${8 * MIB}
while frame:
    frame = frame[channel.write(frame[:1 << 16]):]
os.write(1, b'begun')
time.sleep(1000)`,
        ],
      };
      const { grown } = await measured(`
      const manager = new ProcessManager({ worker: ${JSON.stringify(worker)}, minWorkers: 8, maxWorkers: 8, stdio: 'pipe' });
      let begun = 0;
      begin();
      manager.on('stdout', ({ length }) => { begun += length; });
      await manager.startWorkers();
      while (begun < 8 * 5) await turn();
      end();
      await manager.terminate();`);
      expect(grown).toBeLessThan(2 * 8 * 8 * MIB + ROOM);
    });
  },
);
