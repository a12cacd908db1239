// `captureStack`: on a missed deadline Node's own debugger finds out where the worker's JavaScript
// is.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { PoolClosedError, TaskTimeoutError } from '../index.mjs';
import { failure, fixture, isGone, pool, record, until } from './support/harness.js';

const worker = fixture('capture.mjs');
const lines = readFileSync(worker, 'utf8').split('\n');
const url = pathToFileURL(worker).href;

const capturing = { worker, captureStack: true, stdio: 'ignore' };
const limit = { timeout: 200 };

const exitsIn = (log) => log.filter(([event]) => event === 'exit').map(([, exit]) => exit);
const begunIn = (log) =>
  log.filter(([event, said]) => event === 'message' && said?.begun !== undefined);

/** The frames as `[function, source line]`, of this file's worker, innermost first. */
function framesOf(stuckAt) {
  const frames = stuckAt.split('\n').map((line) => {
    const [, name, file, row] = line.match(/^ {4}at (?:(.+) \()?(\S+?):(\d+):\d+\)?$/) ?? [];
    expect(file, line).toBeDefined();
    return { name, file, source: lines[Number(row) - 1]?.trim() };
  });
  return frames.filter(({ file }) => file === url).map(({ name, source }) => [name, source]);
}

/**
 * Runs the task until its error has a stack: on a busy machine there may be no time to capture it.
 */
const stuck = (manager, task) =>
  until(async () => {
    const error = await failure(manager.run(task, limit));
    expect(error).toBeInstanceOf(TaskTimeoutError);
    expect(error).toMatchObject({ timeout: 200 });
    return error.stuckAt;
  }, 'a stack');

test('[C1, L5] captureStack names function, file and line of a synchronous loop', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const log = record(manager, ['exit']);
  const stuckAt = await stuck(manager, { id: 'stuck', type: 'spin' });
  expect(framesOf(stuckAt)).toEqual([
    ['spin', 'for (;;);'],
    ['spin', 'spin();'],
  ]);
  // The task then ends as it does without the option.
  expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
  expect(exitsIn(log)[0]).toMatchObject({ signal: 'SIGTERM', reason: 'timeout' });
});

test('[C1] captureStack lists nested calls innermost first', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const stuckAt = await stuck(manager, { type: 'nested' });
  expect(framesOf(stuckAt).map(([name]) => name)).toEqual(['innermost', 'middle', 'outer']);
  expect(stuckAt).toContain('    at innermost (file://');
});

test('captureStack has the innermost frames of a deep recursion', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const stuckAt = await stuck(manager, { type: 'recursive' });
  expect(stuckAt.split('\n')).toHaveLength(50);
  expect(framesOf(stuckAt).slice(0, 3)).toEqual([
    ['spin', 'for (;;);'],
    ['descend', expect.stringContaining('const descend')],
    ['descend', expect.stringContaining('const descend')],
  ]);
});

test('an error event has the captured stack, and several workers are asked at once', async () => {
  const manager = pool({ ...capturing, minWorkers: 2, maxWorkers: 2, taskTimeout: 200 });
  await manager.startWorkers();
  const stacks = {};
  manager.on('error', (error) => {
    expect(error).toBeInstanceOf(TaskTimeoutError);
    stacks[error.taskId] ??= error.stuckAt;
  });
  await until(async () => {
    const before = manager.stats().tasks.failed;
    manager.distributeTask({ id: 'a', type: 'spin' });
    manager.distributeTask({ id: 'b', type: 'nested' });
    await until(() => manager.stats().tasks.failed === before + 2, 'both are overdue');
    await until(() => Object.keys(stacks).length === 2, 'both errors');
    return stacks.a && stacks.b;
  }, 'both stacks');
  expect(framesOf(stacks.a)[0][0]).toBe('spin');
  expect(framesOf(stacks.b)[0][0]).toBe('innermost');
});

test('a handler that awaits has no stack; if it ends in time, its worker stays, without a debugger', async () => {
  // The flags of this process are left out: what vitest preloads runs at times of its own.
  const manager = pool({ ...capturing, maxWorkers: 1, concurrency: 2, execArgv: [] });
  const survives = async () => {
    const pid = await manager.run({ type: 'pid' });
    const error = await failure(manager.run({ type: 'obey' }, limit));
    expect(error).toBeInstanceOf(TaskTimeoutError);
    const idle = !('stuckAt' in error);
    return (await manager.run({ type: 'pid' })) === pid && idle;
  };
  // On a busy machine, the worker may still be at the beginning of the task when it is asked, or
  // end the task too late.
  await until(survives, 'a worker that is asked while its task waits, and ends it in time');
  await until(
    async () => (await manager.run({ type: 'debugger' })).url === null,
    'the debugger is closed',
  );
  // The worker can be asked again.
  expect(framesOf(await stuck(manager, { type: 'spin' }))[0][0]).toBe('spin');
});

test('captureStack opens no port before a deadline is missed, and leaves the command line alone', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1, execArgv: ['--max-old-space-size=100'] });
  expect(await manager.run({ type: 'debugger' }, { timeout: 20_000 })).toEqual({
    url: null,
    execArgv: ['--max-old-space-size=100'],
    port: 0,
  });
});

test('without captureStack no worker is asked', async () => {
  const manager = pool({ worker, maxWorkers: 1, stdio: 'ignore' });
  const log = record(manager, ['message', 'exit']);
  expect(await manager.run({ type: 'debugger' })).toEqual({
    url: null,
    execArgv: process.execArgv,
    port: 9229,
  });
  await manager.run({ type: 'replaceHandler' });
  const error = await failure(manager.run({ type: 'obey' }, limit));
  expect(error).toBeInstanceOf(TaskTimeoutError);
  expect('stuckAt' in error).toBe(false);
  await manager.run({ type: 'echo' });
  expect(log.map(([, said]) => said)).not.toContain('SIGUSR1');
});

test('a worker with its own handler for the signal receives it, and the error has no stack', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const log = record(manager, ['message', 'exit']);
  await manager.run({ type: 'replaceHandler' });
  const error = await failure(manager.run({ type: 'obey' }, limit));
  expect(error).toBeInstanceOf(TaskTimeoutError);
  expect('stuckAt' in error).toBe(false);
  expect(log.map(([, said]) => said)).toContain('SIGUSR1');
});

test('a worker that would die of the signal is not sent it', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const log = record(manager, ['exit']);
  await manager.run({ type: 'removeHandler' });
  expect(await failure(manager.run({ type: 'wait' }, limit))).toBeInstanceOf(TaskTimeoutError);
  await manager.run({ type: 'echo' });
  expect(exitsIn(log)).toEqual([expect.objectContaining({ signal: 'SIGTERM', reason: 'timeout' })]);
});

test('a result that comes while the stack is captured is too late, and the worker stays', async () => {
  const manager = pool({ ...capturing, maxWorkers: 1 });
  const log = record(manager, ['result', 'error', 'exit']);
  const pid = await manager.run({ type: 'pid' });
  expect(await failure(manager.run({ type: 'endWhenAsked' }, limit))).toBeInstanceOf(
    TaskTimeoutError,
  );
  expect(await manager.run({ type: 'pid' })).toBe(pid);
  expect(log).toEqual([]);
});

test("Node's messages about the capturing debugger are dropped, the worker's own output is kept", async () => {
  const manager = pool({ ...capturing, maxWorkers: 1, stdio: 'pipe' });
  let printed = '';
  manager.on('stderr', (chunk) => {
    printed += chunk;
  });
  const stuckAt = await stuck(manager, { type: 'printing' });
  expect(framesOf(stuckAt)[0][0]).toBe('printing');
  await until(
    () => printed.length > 0 && manager.workers.every(({ state }) => state !== 'stopping'),
    'it is gone',
  );
  expect(new Set(printed.split('\n').slice(0, -1))).toEqual(new Set(['Debug this']));
  // In a worker that lives on, the end of a line or of the stream releases text that looked like
  // one of Node's messages.
  await failure(manager.run({ type: 'obey' }, limit));
  const error = await failure(manager.run({ type: 'printThenDie', data: 'my words\nDebug' }));
  expect(error.stderr).toBe('my words\nDebug');
  expect(printed).toMatch(/my words\nDebug$/);
});

describe('a stack that is being captured', () => {
  const ask = async () => {
    const manager = pool({ ...capturing, maxWorkers: 1 });
    const log = record(manager, ['message']);
    await manager.run({ type: 'replaceHandler' });
    const pid = await manager.run({ type: 'pid' });
    const error = failure(manager.run({ id: 1, type: 'wait' }, limit));
    await until(() => begunIn(log).length === 1, 'it runs');
    await until(() => log.some(([, said]) => said === 'SIGUSR1'), 'it is asked');
    return { manager, error, pid };
  };

  test('terminate() does not wait for a stack that is being captured', async () => {
    const { manager, error, pid } = await ask();
    await manager.terminate();
    expect(await error).toBeInstanceOf(PoolClosedError);
    expect(isGone(pid)).toBe(true);
  });

  test('shutdown() lets a capture end', async () => {
    const { manager, error } = await ask();
    expect(await manager.shutdown()).toMatchObject({ completed: 0, rejected: 1 });
    expect(await error).toBeInstanceOf(TaskTimeoutError);
  });

  test('cancel() ends a task at once while its stack is captured', async () => {
    const { manager, error } = await ask();
    expect(manager.cancel(1)).toBe(true);
    expect(await error).toMatchObject({ name: 'AbortError' });
  });

  test('a worker killed while its stack is captured leaves an overdue task', async () => {
    const { manager, error, pid } = await ask();
    process.kill(pid, 'SIGKILL');
    expect(await error).toBeInstanceOf(TaskTimeoutError);
    expect(await manager.run({ type: 'echo', data: 1 })).toBe(1);
  });
});

describe('a worker that lies about its debugger', () => {
  const UUID = '576bc918-3398-43b6-9967-2af6caeed5a4';

  /** A WebSocket frame of text. */
  const textFrame = (text) => {
    const head = Buffer.alloc(10);
    head[0] = 0x81;
    head[1] = 127;
    head.writeBigUInt64BE(BigInt(Buffer.byteLength(text)), 2);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const shakeHands = (socket, request) => {
    const [, key] = request.toString('latin1').match(/Sec-WebSocket-Key: (\S+)/i);
    const accept = createHash('sha1')
      .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
  };
  const endlessly = (socket, chunk) => {
    const write = () => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', write);
    write();
  };
  const event = JSON.stringify({
    method: 'Debugger.scriptParsed',
    params: { scriptId: '1', url: 'x'.repeat(1 << 18) },
  });

  test.each([
    ['that says nothing', () => {}],
    ['that hangs up', (socket) => socket.end()],
    ['that talks nonsense', (socket) => socket.write('\0\xff not HTTP at all\r\n\r\n')],
    [
      'that is an endless header',
      (socket) => endlessly(socket, 'HTTP/1.1 101 X\r\n'.padEnd(1 << 16, 'y')),
    ],
    [
      'that shakes hands and says nonsense',
      (socket, request) => {
        shakeHands(socket, request);
        socket.write(textFrame('{"id":1'));
      },
    ],
    [
      'that announces a frame of a tebibyte',
      (socket, request) => {
        shakeHands(socket, request);
        socket.write(Buffer.from([0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0]));
        endlessly(socket, Buffer.alloc(1 << 16, 'x'));
      },
    ],
    [
      'that never comes to an end',
      (socket, request) => {
        shakeHands(socket, request);
        endlessly(socket, textFrame(event));
      },
    ],
    [
      'that says that it is paused, with nothing in it',
      (socket, request) => {
        shakeHands(socket, request);
        socket.write(textFrame('{"method":"Debugger.paused","params":{"callFrames":[]}}'));
      },
    ],
  ])(
    'a task times out without a stack if its worker names a debugger at a server %s',
    async (_, serve) => {
      const sockets = new Set();
      let connections = 0;
      const server = createServer((socket) => {
        connections += 1;
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => sockets.delete(socket));
        socket.once('data', (request) => serve(socket, request));
      });
      onTestFinished(() => {
        for (const socket of sockets) socket.destroy();
        server.close();
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const line = `Debugger listening on ws://127.0.0.1:${server.address().port}/${UUID}\n`;

      const manager = pool({ ...capturing, maxWorkers: 1 });
      const error = await failure(manager.run({ type: 'lie', data: line }, limit));
      expect(error).toBeInstanceOf(TaskTimeoutError);
      expect('stuckAt' in error).toBe(false);
      expect(connections).toBe(1);
      await until(() => sockets.size === 0, 'the connection is closed');
      expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
    },
  );

  test.each([
    ['not of this machine', `ws://192.0.2.1:9229/${UUID}`],
    ['without a server', `ws://127.0.0.1:1/${UUID}`],
    ['that is none', 'ws://nonsense'],
  ])(
    'a task times out without a stack if its worker names a debugger at an address %s',
    async (_, address) => {
      const manager = pool({ ...capturing, maxWorkers: 1 });
      const line = `Debugger listening on ${address}\n`;
      const error = await failure(manager.run({ type: 'lie', data: line }, limit));
      expect(error).toBeInstanceOf(TaskTimeoutError);
      expect('stuckAt' in error).toBe(false);
      expect(await manager.run({ type: 'echo', data: 'next' })).toBe('next');
    },
  );
});
