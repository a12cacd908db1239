// Workers that are not Node's: the example in Python, and programs that break the protocol.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { ProtocolError, SerializationError, WorkerCrashedError } from '../index.mjs';
import { failure, isGone, pool, program, record, root, until } from './support/harness.js';

const python = { command: 'python3', args: [join(root, 'examples/python-worker/worker.py')] };

describe('the Python worker of the examples', () => {
  test('[W21] a Python worker serves tasks, in JSON and in bytes', async () => {
    const manager = pool({ worker: python });
    const original = Buffer.from('The sea is calm tonight. '.repeat(10_000));
    const [words, factors, compressed] = await Promise.all([
      manager.run({ type: 'words', data: 'the cat and the hat' }),
      manager.run({ type: 'factors', data: 600_851_475_143 }),
      manager.run({ type: 'compress', data: original }),
    ]);
    expect(words).toEqual({ total: 5, top: [['the', 2], expect.anything(), expect.anything()] });
    expect(factors).toEqual([71, 839, 1471, 6857]);
    expect(Buffer.isBuffer(compressed)).toBe(true);
    expect(inflateSync(compressed).equals(original)).toBe(true);
    expect(await manager.shutdown()).toEqual({ completed: 0, rejected: 0, killed: 0 });
  });

  test('a Python worker serves hundreds of tasks by events', async () => {
    const manager = pool({ worker: python });
    const log = record(manager, ['result', 'error']);
    for (let id = 0; id < 300; id++) manager.distributeTask({ id, type: 'factors', data: 30 });
    const { completed, killed } = await manager.shutdown();
    expect({ completed, killed }).toEqual({ completed: 300, killed: 0 });
    expect(log.map(([, { taskId, result }]) => [taskId, result]).sort(([a], [b]) => a - b)).toEqual(
      Array.from({ length: 300 }, (_, id) => [id, [2, 3, 5]]),
    );
    expect(log[0][2]).toMatchObject({ attempt: 1, runTime: expect.any(Number) });
  });

  test('an exception in a Python worker is reported with its traceback, and the worker lives on', async () => {
    const manager = pool({ worker: python, maxWorkers: 1 });
    await manager.startWorkers();
    const [{ pid }] = manager.workers;
    const error = await failure(manager.run({ id: 'x', type: 'factors', data: 'twelve' }));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'TypeError', taskId: 'x', workerId: 1, pid });
    expect(error.stack).toContain('Traceback');
    expect(await failure(manager.run({ type: 'unknown', data: 1 }))).toMatchObject({
      name: 'KeyError',
      pid,
    });
    await expect(manager.run({ type: 'factors', data: 7 })).resolves.toEqual([7]);
  });

  test('a Python worker that is killed is replaced', async () => {
    const manager = pool({ worker: python, maxWorkers: 1, restart: { minDelay: 1 } });
    await manager.startWorkers();
    const [{ pid }] = manager.workers;
    const exit = once(manager, 'exit');
    process.kill(pid, 'SIGKILL');
    expect((await exit)[0]).toMatchObject({ pid, signal: 'SIGKILL', reason: 'crashed' });
    await expect(manager.run({ type: 'factors', data: 8 })).resolves.toEqual([2, 2, 2]);
  });

  test('a Python worker is killed when its task takes too long', async () => {
    const manager = pool({
      worker: python,
      maxWorkers: 1,
      gracePeriod: 100,
      restart: { minDelay: 1 },
    });
    // A large prime: minutes of work.
    const error = await failure(
      manager.run({ type: 'factors', data: 9_007_199_254_740_881 }, { timeout: 200 }),
    );
    expect(error).toMatchObject({ code: 'ERR_TASK_TIMEOUT', timeout: 200 });
    await expect(manager.run({ type: 'factors', data: 9 })).resolves.toEqual([3, 3]);
  });

  test('the Python example program does what its README shows', async () => {
    const { code, stdout, stderr } = await program(
      `import ${JSON.stringify(join(root, 'examples/python-worker/run.mjs'))};`,
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('600851475143 = 71 x 839 x 1471 x 6857\n');
    expect(stdout).toContain('intact\n');
    expect(stdout).toMatch(/^TypeError: /m);
  });

  test('options for Node workers are refused for a Python worker', async () => {
    const manager = pool({ worker: python, maxWorkers: 1 });
    expect(await failure(manager.exec(() => 1))).toMatchObject({ code: 'ERR_INVALID_ARG_VALUE' });
    expect(await failure(manager.run({ data: 1n }))).toBeInstanceOf(SerializationError);
  });
});

/**
 * A worker in the shell. It is ready, and answers each task with what `answer` prints; `$id` is the
 * number of its attempt,
 * `$frame` the whole line.
 */
function shell(answer, { ready = `say '{"type":"ready","version":1}'` } = {}) {
  const script = `
    say() { printf '%s\\n' "$1" >&3; }
    ${ready}
    while read -r frame <&3; do
      case "$frame" in
        *'"type":"stop"'*) exit 0 ;;
        *'"type":"task"'*)
          id=\${frame#*'"id":'}; id=\${id%%,*}
          case "$frame" in
            *good*) say '{"type":"result","id":'"$id"',"elapsed":5,"result":"good"}' ;;
            *) ${answer} ;;
          esac ;;
      esac
    done`;
  return { command: 'sh', args: ['-c', script] };
}

describe('a worker that breaks the protocol', () => {
  const breaches = {
    'says what is no JSON': [`say 'garbage'`, /garbage/],
    'says JSON that is not right': [`say '{"type":"result","id":'"$id"','`, /./],
    'says half a line, and then something else': [`printf '{"type":"res' >&3; say 'ult"'`, /./],
    'says JSON that is no frame': [`say '[1,2,3]'`, /./],
    'says a number': [`say '7'`, /./],
    'says null': [`say 'null'`, /./],
    'says an empty line': [`say ''`, /./],
    'says a frame of an unknown type': [`say '{"type":"surprise"}'`, /./],
    'says a frame without a type': [`say '{"id":1}'`, /./],
    'answers a task that it does not have': [
      `say '{"type":"result","id":987654321,"result":1}'`,
      /./,
    ],
    'answers with an id that is no number': [
      `say '{"type":"result","id":"'"$id"'","result":1}'`,
      /./,
    ],
    'answers with a negative id': [`say '{"type":"result","id":-1,"result":1}'`, /./],
    'answers with an id that is too large': [
      `say '{"type":"result","id":18446744073709551616,"result":1}'`,
      /./,
    ],
    'announces negative bytes': [
      `say '{"type":"result","id":'"$id"',"bytes":[-1],"result":null}'`,
      /./,
    ],
    'announces more bytes than may be': [
      `say '{"type":"result","id":'"$id"',"bytes":[99999999999],"result":null}'`,
      /./,
    ],
    'says what is not UTF-8': [`printf '{"type":"message","message":"\\377\\376"}\\n' >&3`, /./],
    'says a line without an end': [`yes | tr -d '\\n' >&3`, /./],
    'says that it is ready once more, in another version': [
      `say '{"type":"ready","version":99}'`,
      /./,
    ],
  };

  test.each(Object.entries(breaches))('%s', async (_, [answer, what]) => {
    const manager = pool({
      worker: shell(answer),
      maxWorkers: 2,
      minWorkers: 2,
      maxMessageSize: 100_000,
      gracePeriod: 100,
      restart: { minDelay: 1 },
    });
    const log = record(manager, ['error', 'exit']);
    await manager.startWorkers();
    const error = await failure(manager.run({ id: 'its', data: 'bad' }));
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({ code: 'ERR_PROTOCOL', taskId: 'its', maybeExecuted: true });
    expect(error.what).toMatch(what);
    expect(error.what.length).toBeLessThan(1_000);
    expect(error.message).toContain(`pid ${error.pid}`);
    // The other worker does not notice.
    const results = Array.from({ length: 10 }, () => manager.run({ data: 'good' }));
    expect(await Promise.all(results)).toEqual(Array(10).fill('good'));
    await until(() => isGone(error.pid), `gone: ${error.pid}`);
    expect(log.filter(([event]) => event === 'error')).toEqual([]);
    expect(manager.stats().tasks).toMatchObject({ accepted: 11, completed: 10, failed: 1 });
  });

  test.each([
    ['that have no place in it', '[["Buffer",["a","b"]]]', /path of a binary does not exist/],
    ['of an unknown type', '[["Function",[]]]', /Function/],
    ['that are not a whole number of elements', '[["Float64Array",[]]]', /Float64Array/],
    ['that it does not describe', '[]', /./],
    ['that it describes as what is no list', '{"length":1}', /./],
  ])('a worker that answers with bytes %s breaks the protocol', async (_, binary, what) => {
    const answer = `
      say '{"type":"result","id":'"$id"',"bytes":[3],"binary":${binary},"result":null}'
      printf 'abc' >&3`;
    const manager = pool({ worker: shell(answer), maxWorkers: 1, restart: { minDelay: 1 } });
    const error = await failure(manager.run({ id: 'its', data: 'bad' }));
    expect(error).toBeInstanceOf(ProtocolError);
    expect(error).toMatchObject({ taskId: 'its', maybeExecuted: true });
    expect(error.what).toMatch(what);
    await expect(manager.run({ data: 'good' })).resolves.toBe('good');
  });

  test('a worker that breaks the protocol without a task is an error of the pool', async () => {
    const manager = pool({
      worker: shell(
        `say '{"type":"result","id":'"$id"',"result":"first"}'; say 'and then garbage'`,
      ),
      maxWorkers: 1,
      restart: { minDelay: 1 },
    });
    const error = once(manager, 'error').then(
      ([value]) => value,
      (reason) => reason,
    );
    await expect(manager.run({ data: 'bad' })).resolves.toBe('first');
    expect(await error).toBeInstanceOf(ProtocolError);
    expect((await error).what).toContain('garbage');
    expect(await error).not.toHaveProperty('taskId');
    await expect(manager.run({ data: 'good' })).resolves.toBe('good');
  });

  test('a worker that answers twice breaks the protocol, and the first answer counts', async () => {
    const manager = pool({
      worker: shell(`
        say '{"type":"result","id":'"$id"',"result":"first"}'
        say '{"type":"result","id":'"$id"',"result":"second"}'`),
      maxWorkers: 1,
      restart: { minDelay: 1 },
    });
    const log = record(manager, ['result', 'error']);
    manager.distributeTask({ id: 1, data: 'bad' });
    await until(() => log.length === 2, 'a result and an error');
    expect(log.map(([event, { result, what }]) => [event, result ?? what])).toEqual([
      ['result', 'first'],
      ['error', expect.stringContaining('second')],
    ]);
    await expect(manager.run({ data: 'good' })).resolves.toBe('good');
    expect(manager.stats().tasks).toMatchObject({ accepted: 2, completed: 2 });
  });
});

test('[D13] descriptors that a worker sends along with its frames are dropped, and none of the frames', async () => {
  // Each answer comes in two pieces, and both carry descriptors: a read ends where some are.
  const script = String.raw`
import array, json, os, socket
channel = socket.socket(fileno=3)
files = [os.open('/dev/null', os.O_RDONLY) for _ in range(8)]
ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', files))]
def say(frame):
    line = (json.dumps(frame) + '\n').encode()
    channel.sendmsg([line[:9]], ancillary)
    channel.sendmsg([line[9:]], ancillary)
say({'type': 'ready', 'version': 1})
for line in channel.makefile('rb'):
    frame = json.loads(line)
    if frame['type'] == 'stop': break
    if frame['type'] == 'task': say({'type': 'result', 'id': frame['id'], 'result': frame['task']['data']})
`;
  const descriptors = () => readdirSync('/proc/self/fd').length;
  const manager = pool({ worker: { command: 'python3', args: ['-c', script] }, maxWorkers: 1 });
  expect(await manager.run({ data: 'first' })).toBe('first');
  const before = descriptors();
  const data = Array.from({ length: 300 }, (_, index) => index);
  expect(await Promise.all(data.map((index) => manager.run({ data: index })))).toEqual(data);
  expect(descriptors()).toBeLessThanOrEqual(before + 4);
});

test('frames of a worker may have extra fields, come in pieces, and be large', async () => {
  const manager = pool({
    worker: shell(`
      say '{"type":"log","text":"some words"}'
      say '{"type":"message","message":{"from":"shell","extra":1},"unknown":true}'
      printf '{"type":"result","id":%s,' "$id" >&3
      printf '"elapsed":12,"new":{},"result":"ä' >&3
      head -c 200000 /dev/zero | tr '\\0' x >&3
      say '"}'`),
    maxWorkers: 1,
  });
  const log = record(manager, ['message', 'error']);
  const result = await manager.run({ data: 'bad' });
  expect(createHash('sha1').update(result).digest('hex')).toBe(
    createHash('sha1')
      .update(`ä${'x'.repeat(200_000)}`)
      .digest('hex'),
  );
  expect(log[0]).toEqual([
    'message',
    { from: 'shell', extra: 1 },
    { id: 1, pid: expect.any(Number) },
  ]);
  expect(log.filter(([event]) => event === 'error')).toEqual([]);
});

test('[F8] a result nested 100 000 deep arrives', async () => {
  const deep = `awk 'BEGIN { for (i = 0; i < 100000; i++) printf "["; for (i = 0; i < 100000; i++) printf "]" }' >&3`;
  const manager = pool({
    worker: shell(`printf '{"type":"result","id":%s,"result":' "$id" >&3; ${deep}; say '}'`),
    maxWorkers: 1,
  });
  let depth = 0;
  for (let value = await manager.run({ data: 'bad' }); value !== undefined; [value] = value)
    depth += 1;
  expect(depth).toBe(100_000);
  await expect(manager.run({ data: 'good' })).resolves.toBe('good');
});

test('errors of a foreign worker may be anything, and arrive as errors', async () => {
  for (const [wire, expected] of [
    [
      '{"name":"Oops","message":"text","code":7,"fields":{"a":1}}',
      { name: 'Oops', message: 'text', code: 7, a: 1 },
    ],
    ['{"class":"RangeError","message":"range"}', { name: 'RangeError', message: 'range' }],
    [
      '{"class":"process","name":"__proto__","message":"m","fields":{"__proto__":{"polluted":1}}}',
      { message: 'm' },
    ],
    ['"only text"', {}],
    ['null', {}],
    ['{}', { message: '' }],
    ['{"message":{"no":"text"},"stack":7,"cause":[1]}', { cause: [1] }],
  ]) {
    const manager = pool({
      worker: shell(`say '{"type":"error","id":'"$id"',"error":${wire}}'`),
      maxWorkers: 1,
    });
    const error = await failure(manager.run({ id: 'e', data: 'bad' }));
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ ...expected, taskId: 'e' });
    expect({}.polluted).toBeUndefined();
    await expect(manager.run({ data: 'good' })).resolves.toBe('good');
    await manager.shutdown();
  }
});

test('[D3] a worker that closes its channel and goes on has crashed in its task', async () => {
  const manager = pool({
    worker: shell(`exec 3>&-; sleep 60`),
    maxWorkers: 1,
    gracePeriod: 100,
    restart: { minDelay: 1 },
  });
  const error = await failure(manager.run({ data: 'bad' }));
  expect(error).toBeInstanceOf(WorkerCrashedError);
  expect(error).toMatchObject({ signal: 'SIGTERM', channelClosed: true });
  expect(error.message).toContain('closed its channel');
  await until(() => isGone(error.pid), `gone: ${error.pid}`);
  await expect(manager.run({ data: 'good' })).resolves.toBe('good');
});

test('[XC15] a worker that closes its channel and exits by itself, or before it is ready, is reported as such', async () => {
  // The pool is not blamed for the exit, however short the grace period.
  const exits = pool({
    worker: shell(`exec 3>&-; exit 7`),
    maxWorkers: 1,
    gracePeriod: 0,
    restart: { minDelay: 1 },
  });
  const crashed = await failure(exits.run({ data: 'bad' }));
  expect(crashed).toMatchObject({ exitCode: 7, signal: null, channelClosed: false });
  expect(crashed.message).toContain('exited with code 7');

  const worker = { command: 'sh', args: ['-c', 'exec 3>&-; sleep 60'] };
  const silent = pool({ worker, maxWorkers: 1, gracePeriod: 1, restart: { limit: 0 } });
  record(silent, ['error']);
  const { cause } = await failure(silent.run({}));
  expect(cause).toMatchObject({ reason: 'exit', signal: 'SIGTERM', channelClosed: true });
  expect(cause.message).toBe(
    'the worker closed its channel before it was ready, and was ended for that',
  );
});

test('the standard error of a foreign worker is in the error of its crash', async () => {
  const manager = pool({
    worker: shell(`echo 'last words' >&2; exit 9`),
    maxWorkers: 1,
    stdio: 'ignore',
    restart: { minDelay: 1 },
  });
  const error = await failure(manager.run({ id: 1, data: 'bad' }));
  expect(error).toMatchObject({
    code: 'ERR_WORKER_CRASHED',
    exitCode: 9,
    signal: null,
    phase: 'running',
  });
  expect(error.stderr).toBe('last words\n');
});

test('a foreign worker gets one task at a time, so that a crash costs one', async () => {
  const manager = pool({
    worker: shell(`kill -9 $$`),
    maxWorkers: 1,
    prefetch: 8,
    restart: { minDelay: 1 },
  });
  const outcomes = await Promise.all(
    Array.from({ length: 9 }, (_, index) =>
      manager.run({ data: index === 4 ? 'bad' : 'good' }).catch((error) => error.constructor.name),
    ),
  );
  expect(outcomes).toEqual([
    ...Array(4).fill('good'),
    'WorkerCrashedError',
    ...Array(4).fill('good'),
  ]);
});

test('a foreign worker has the given environment and directory, and no descriptor of this process', async () => {
  const manager = pool({
    worker: shell(`
      fds=; for fd in /proc/$$/fd/*; do if [ -e "$fd" ]; then fds="$fds \${fd##*/}"; fi; done
      say '{"type":"result","id":'"$id"',"result":["'"$ONLY"'","'"$(pwd)"'","'"$HOME"'","'"$fds"'"]}'`),
    maxWorkers: 1,
    env: { ONLY: 'this', PATH: process.env.PATH },
    cwd: '/usr',
  });
  // 3 is the channel, and 4 a page of memory that programs may ignore.
  await expect(manager.run({ data: 'bad' })).resolves.toEqual(['this', '/usr', '', ' 0 1 2 3 4']);
});
