// The document that this package was first specified by: its code is pasted here with only the
// import changed, and does what the document says.

import { describe, expect, test } from 'vitest';
import {
  failure,
  isGone,
  moduleFile,
  pool,
  program,
  record,
  startProgram,
  until,
} from './support/harness.js';

const BASIC_USAGE = `
import ProcessManager from 'bulkhead';

// Create a new process manager
const processManager = new ProcessManager();

// Start worker processes (one per CPU core)
processManager.startWorkers();

// Distribute tasks to workers
processManager.distributeTask({
  id: 1,
  data: 'some data to process'
});

// Handle results (in your application code)
processManager.on('result', (result) => {
  console.log('Task completed:', result);
});

// Shutdown workers when done
processManager.shutdown();
`;

const ERROR_HANDLING = `
processManager.on('error', (error) => {
  console.error('Worker error:', error);
  // Handle worker errors appropriately
});
`;

const GRACEFUL_SHUTDOWN = `
// Handle application shutdown
process.on('SIGTERM', () => {
  processManager.shutdown();
  process.exit(0);
});
`;

const IMAGE_PROCESSING = `
// Distribute image processing tasks
const imageTasks = images.map((image, index) => ({
  id: index,
  type: 'image-processing',
  data: image
}));

imageTasks.forEach(task => processManager.distributeTask(task));
`;

const DATA_ANALYSIS = `
// Distribute data analysis tasks
const analysisTasks = datasets.map((dataset, index) => ({
  id: index,
  type: 'data-analysis',
  data: dataset
}));

analysisTasks.forEach(task => processManager.distributeTask(task));
`;

const WORKER_PROCESS = `
const yourProcessingFunction = (data: string): string => data.toUpperCase();

// In worker-process.ts
export function processTask(task: any) {
  // Your custom processing logic here
  return {
    taskId: task.id,
    result: yourProcessingFunction(task.data),
    processedBy: process.pid
  };
}
`;

/** The basic usage with options for the constructor. */
function basicUsage(options) {
  const source = BASIC_USAGE.replace('new ProcessManager()', `new ProcessManager(${options})`);
  expect(source).not.toBe(BASIC_USAGE);
  return source;
}

function expectCompleted({ code, stdout, stderr, pid }, result) {
  expect(stderr).toBe('');
  const [, processedBy] =
    stdout.match(/^Task completed: \{ taskId: 1, result: .+, processedBy: (\d+) \}\n$/) ?? [];
  expect(stdout).toBe(
    `Task completed: { taskId: 1, result: '${result}', processedBy: ${processedBy} }\n`,
  );
  expect(Number(processedBy)).not.toBe(pid);
  expect(isGone(Number(processedBy))).toBe(true);
  expect(code).toBe(0);
}

describe('basic usage', () => {
  test('basic usage prints the result of a task accepted right before shutdown(), and ends by itself', async () => {
    expectCompleted(await program(BASIC_USAGE), 'some data to process');
  });

  test('basic usage works the same from TypeScript', async () => {
    const options = { name: 'main.ts', nodeArgs: ['--import', 'tsx'], packages: ['tsx'] };
    expectCompleted(await program(BASIC_USAGE, options), 'some data to process');
  });
});

describe('custom task processing', () => {
  test('custom task processing is a TypeScript worker module, whose envelope is the result', async () => {
    const files = { 'worker-process.ts': WORKER_PROCESS };
    const source = basicUsage(`{ worker: './worker-process.ts', maxWorkers: 1 }`);
    const cwd = `process.chdir(new URL('.', import.meta.url).pathname);\n`;
    expectCompleted(
      await program(cwd + source, { files, packages: ['tsx'] }),
      'SOME DATA TO PROCESS',
    );
  });

  test('custom task processing with an unexported function fails, and the error says what was looked for', async () => {
    const source = 'function processTask(task: any) { return task.data; }';
    const manager = pool({
      worker: moduleFile(source, 'worker-process.ts', { packages: ['tsx'] }),
    });
    manager.on('error', () => {});
    const error = await failure(manager.run({ id: 1, data: 1 }));
    expect(error).toMatchObject({ code: 'ERR_POOL_BROKEN', cause: { code: 'ERR_WORKER_START' } });
    expect(error.message).toContain('worker-process.ts');
    expect(error.message).toContain('exported function "processTask"');
  });
});

test('error handling: what a task throws is an error event, and the program goes on', async () => {
  const files = {
    'worker.mjs': `export function processTask() { throw new RangeError('no such pixel'); }`,
  };
  const source = basicUsage(`{ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 1 }`);
  const { code, stdout, stderr } = await program(source + ERROR_HANDLING, { files });
  expect(stderr).toMatch(
    /^Worker error: RangeError: no such pixel\n {4}at processTask \(.*worker\.mjs:1:/,
  );
  expect(stderr).toMatch(/taskId: 1,/);
  expect(stdout).toBe('');
  expect(code).toBe(0);
});

test('graceful shutdown: a SIGTERM leaves no process behind', async () => {
  const files = {
    'worker.mjs': `
      import { spawn } from 'node:child_process';
      export const handlers = {
        busy(task, ctx) { ctx.send(process.pid); for (;;); },
        async waiting(task, ctx) {
          const child = spawn('sleep', ['60']);
          ctx.send(process.pid);
          ctx.send(child.pid);
          await new Promise(() => {});
        },
      };`,
  };
  const source = `
    import ProcessManager from 'bulkhead';
    const processManager = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 3, minWorkers: 3 });
    await processManager.startWorkers();
    ${GRACEFUL_SHUTDOWN}
    const pids = processManager.workers.map(({ pid }) => pid);
    processManager.on('message', (pid) => {
      pids.push(pid);
      if (pids.length === 6) console.log('pids', JSON.stringify(pids));
    });
    processManager.distributeTask({ id: 1, type: 'busy' });
    processManager.distributeTask({ id: 2, type: 'waiting' });`;
  const running = startProgram(source, { files });
  const line = await running.line(/^pids/);
  const pids = JSON.parse(line.slice('pids'.length));
  expect(pids.filter(isGone)).toEqual([]);
  running.child.kill('SIGTERM');
  expect(await running.exit).toMatchObject({ code: 0, signal: null, stderr: '' });
  await until(() => pids.every(isGone), `gone: ${pids}`);
});

describe('a thousand tasks each', () => {
  const INPUT = `
    const images = Array.from({ length: 1000 }, (_, index) => Buffer.alloc(64, index));
    const datasets = Array.from({ length: 1000 }, (_, index) => ({ values: [index, 1, 2], name: 'set ' + index }));`;
  const CHECK = `
    const results = { image: [], analysis: [] };
    const pids = new Set();
    processManager.on('result', ({ taskId, result, processedBy }) => {
      const kind = typeof result === 'object' && 'sum' in result ? results.analysis : results.image;
      kind.push(taskId);
      pids.add(processedBy);
      expectRight(taskId, result);
    });
    await processManager.shutdown();
    const ascending = (ids) => ids.sort((a, b) => a - b).every((id, index) => id === index);
    const { image, analysis } = results;
    const all = image.length === 1000 && analysis.length === 1000 && ascending(image) && ascending(analysis);
    console.log(JSON.stringify({ all, workers: pids.size }));`;

  test('image processing and data analysis run with a handler for each type', async () => {
    const files = {
      'worker.mjs': `
        export const handlers = {
          'image-processing': (task) => task.data.map((byte) => 255 - byte),
          'data-analysis': ({ data }) => ({ name: data.name, sum: data.values.reduce((a, b) => a + b) }),
        };`,
    };
    const source = `
      import assert from 'node:assert';
      import ProcessManager from 'bulkhead';
      const processManager = new ProcessManager({ worker: new URL('./worker.mjs', import.meta.url), maxWorkers: 2, minWorkers: 2 });
      await processManager.startWorkers();
      function expectRight(id, result) {
        if (Buffer.isBuffer(result)) assert.deepEqual(result, Buffer.alloc(64, 255 - (id % 256)));
        else assert.deepEqual(result, { name: 'set ' + id, sum: id + 3 });
      }
      ${INPUT}${IMAGE_PROCESSING}${DATA_ANALYSIS}${CHECK}`;
    const { code, stdout, stderr } = await program(source, { files });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toEqual({ all: true, workers: 2 });
  });

  test('image processing and data analysis run with the built-in worker, whose result is the data', async () => {
    const source = `
      import assert from 'node:assert';
      import ProcessManager from 'bulkhead';
      const processManager = new ProcessManager();
      function expectRight(id, result) {
        if (Buffer.isBuffer(result)) assert.deepEqual(result, images[id]);
        else assert.deepEqual(result, { sum: true, ...datasets[id] });
      }
      ${INPUT}
      datasets.forEach((dataset, index) => { datasets[index] = { sum: true, ...dataset }; });
      ${IMAGE_PROCESSING}${DATA_ANALYSIS}${CHECK}`;
    const { code, stdout, stderr } = await program(source);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ all: true });
  });
});

describe('the events of the reference', () => {
  const WORKER = `
    export function processTask(task, ctx) {
      ctx.send({ step: 1, of: task.id });
      process.send('step 2 of ' + task.id);
      if (task.data === 'bad') throw new TypeError('bad data');
      return task.data;
    }`;

  test('the message event carries what a worker sends, and its results, in order', async () => {
    const manager = pool({ worker: moduleFile(WORKER), maxWorkers: 1 });
    const log = record(manager, ['message', 'result']);
    for (const id of [1, 2, 3]) manager.distributeTask({ id, data: `data ${id}` });
    await manager.run({ id: 4, data: 'data 4' });
    await manager.shutdown();

    const { pid } = log[0][2];
    const worker = { id: 1, pid };
    const expected = [1, 2, 3, 4].flatMap((id) => {
      const envelope = { taskId: id, result: `data ${id}`, processedBy: pid };
      const said = [{ step: 1, of: id }, `step 2 of ${id}`, envelope].map((message) => [
        'message',
        message,
        worker,
      ]);
      return id === 4
        ? said
        : [...said, ['result', envelope, expect.objectContaining({ workerId: 1, attempt: 1 })]];
    });
    expect(log).toEqual(expected);
    expect(pid).not.toBe(process.pid);
  });

  test('the error event reports an error of a worker', async () => {
    const manager = pool({ worker: moduleFile(WORKER), maxWorkers: 1 });
    const log = record(manager, ['error', 'result']);
    manager.distributeTask({ id: 'a', data: 'bad' });
    manager.distributeTask({ id: 'b', data: 'good' });
    await manager.shutdown();
    expect(log.map(([event, { taskId }]) => [event, taskId])).toEqual([
      ['error', 'a'],
      ['result', 'b'],
    ]);
    expect(log[0][1]).toBeInstanceOf(TypeError);
    expect(log[0][1].message).toBe('bad data');
  });

  test('the exit event reports the exit of a worker process', async () => {
    const manager = pool({ worker: moduleFile(WORKER), minWorkers: 2 });
    const log = record(manager, ['exit']);
    await manager.startWorkers();
    const pids = manager.workers.map(({ pid }) => pid);
    await manager.shutdown();
    expect(
      log.map(([, { pid, code, signal }]) => ({ pid, code, signal })).sort((a, b) => a.pid - b.pid),
    ).toEqual(pids.sort((a, b) => a - b).map((pid) => ({ pid, code: 0, signal: null })));
  });
});
