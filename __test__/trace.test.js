// The task option `trace`: the place of a task in a distributed trace.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, test } from 'vitest';
import { failure, moduleFile, pool } from './support/harness.js';

const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

const worker = moduleFile(`
  export default (task, ctx) => {
    if (task.crash && ctx.attempt === 1) process.kill(process.pid, 'SIGKILL');
    const result = { trace: ctx.trace, has: ctx.trace !== undefined, task };
    return task.several ? [result] : result;
  };`);

describe('trace: the handler', () => {
  test('[S5] ctx.trace is the traceparent of the task, by every way of submitting one', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const task = { id: 1, data: 'untouched' };
    const expected = { trace, has: true, task };
    expect(await manager.run(task, { trace })).toEqual(expected);
    const result = new Promise((resolve) =>
      manager.once('result', (envelope) => resolve(envelope.result)),
    );
    manager.distributeTask(task, { trace });
    expect(await result).toEqual(expected);
    const several = { id: 1, several: true };
    const values = [];
    for await (const value of manager.stream(several, { trace })) values.push(value);
    expect(values).toEqual([{ ...expected, task: several }]);
    for await (const mapped of manager.map([task, task], { trace }))
      expect(mapped).toEqual(expected);
  });

  test('ctx.trace is undefined when the task has no traceparent', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    const tasks = Array.from({ length: 50 }, (_, id) =>
      manager.run({ id }, id % 2 === 0 ? { trace } : undefined),
    );
    const has = (await Promise.all(tasks)).map((result) => result.has);
    expect(has).toEqual(has.map((_, id) => id % 2 === 0));
  });

  test('ctx.trace arrives beside raw bytes, and in structured clone', async () => {
    const bytes = Buffer.from('bytes');
    const json = pool({ worker, maxWorkers: 1 });
    expect(await json.run({ bytes }, { trace })).toEqual({ trace, has: true, task: { bytes } });
    const advanced = pool({ worker, maxWorkers: 1, serialization: 'advanced' });
    const map = new Map([[1, 2]]);
    expect(await advanced.run({ map }, { trace })).toEqual({ trace, has: true, task: { map } });
  });

  test('ctx.trace is the same in every attempt', async () => {
    const manager = pool({ worker, maxWorkers: 1, retryDelay: 1, restart: { minDelay: 1 } });
    const task = { crash: true };
    expect(await manager.run(task, { trace, retries: 1 })).toEqual({ trace, has: true, task });
  });

  test('ctx.trace reaches the module that a task names', async () => {
    const manager = pool({ maxWorkers: 1 });
    expect(await manager.run({ id: 2 }, { trace, filename: worker })).toEqual({
      trace,
      has: true,
      task: { id: 2 },
    });
  });
});

test('trace reaches a worker in another language, in the frame of the task', async () => {
  const source = `
    import json, socket
    channel = socket.socket(fileno=3)
    def say(frame):
        channel.sendall(json.dumps(frame).encode() + b"\\n")
    for line in channel.makefile("rb"):
        frame = json.loads(line)
        if frame["type"] == "init":
            say({"type": "ready", "version": 1})
        elif frame["type"] == "task":
            say({"type": "result", "id": frame["id"], "result": frame.get("trace")})
        elif frame["type"] == "stop":
            break
  `.replaceAll('\n    ', '\n');
  const manager = pool({ worker: { command: 'python3', args: ['-c', source] }, maxWorkers: 1 });
  expect(await manager.run({ id: 1 }, { trace })).toBe(trace);
  expect(await manager.run({ id: 2 })).toBe(null);
});

test('trace is published on the diagnostics channels', async () => {
  const log = [];
  const subscriber = ({ taskId, trace }, name) => log.push([name, taskId, trace]);
  const channels = ['bulkhead:task:start', 'bulkhead:task:end'];
  for (const name of channels) subscribe(name, subscriber);
  const manager = pool({ worker, maxWorkers: 1 });
  try {
    await manager.run({ id: 1 }, { trace });
    await manager.run({ id: 2 });
  } finally {
    for (const name of channels) unsubscribe(name, subscriber);
  }
  expect(log).toEqual([
    ['bulkhead:task:start', 1, trace],
    ['bulkhead:task:end', 1, trace],
    ['bulkhead:task:start', 2, undefined],
    ['bulkhead:task:end', 2, undefined],
  ]);
});

describe('trace: the form of a W3C traceparent', () => {
  const id = '4bf92f3577b34da6a3ce929d0e0e4736';
  const parent = '00f067aa0ba902b7';

  test.each([
    `00-${id}-${parent}-00`,
    `00-${id}-${parent}-ff`,
    `01-${id}-${parent}-01`,
    `cc-${id}-${parent}-01-what-the-future-will-be-like`,
  ])('trace may be %s', async (valid) => {
    const manager = pool({ worker, maxWorkers: 1 });
    expect((await manager.run({}, { trace: valid })).trace).toBe(valid);
  });

  test.each([
    ['empty', ''],
    ['no version', `${id}-${parent}-01`],
    ['the forbidden version', `ff-${id}-${parent}-01`],
    ['an all-zero trace id', `00-${'0'.repeat(32)}-${parent}-01`],
    ['an all-zero parent id', `00-${id}-${'0'.repeat(16)}-01`],
    ['upper case', `00-${id.toUpperCase()}-${parent}-01`],
    ['a short trace id', `00-${id.slice(1)}-${parent}-01`],
    ['a long parent id', `00-${id}-${parent}0-01`],
    ['no hexadecimal flags', `00-${id}-${parent}-0g`],
    ['more behind the first version', `00-${id}-${parent}-01-more`],
    ['more without a dash', `01-${id}-${parent}-01more`],
    ['a newline at its end', `00-${id}-${parent}-01\n`],
    ['spaces around it', ` 00-${id}-${parent}-01 `],
  ])('trace with %s is refused', async (_, invalid) => {
    const manager = pool({ worker, maxWorkers: 1 });
    const error = await failure(manager.run({}, { trace: invalid }));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.code).toBe('ERR_INVALID_ARG_VALUE');
    expect(error.message).toContain("The property 'options.trace' must be a W3C traceparent");
    expect(() => manager.distributeTask({}, { trace: invalid })).toThrow(error.message);
  });

  test('trace must be a string', async () => {
    const manager = pool({ worker, maxWorkers: 1 });
    for (const trace of [null, 1, {}, Buffer.from('00')]) {
      expect(await failure(manager.run({}, { trace }))).toMatchObject({
        code: 'ERR_INVALID_ARG_TYPE',
      });
    }
    expect(manager.stats().tasks.accepted).toBe(0);
  });
});
