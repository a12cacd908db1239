// The Node worker of these tests. Its argument is the folder of the ledger. Its pid names a file in
// there, with one line for its life and one for each start of a task.

import { appendFileSync, closeSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CHANNEL = 3;
const log = join(process.argv[2], String(process.pid));
appendFileSync(log, 'life\n');

/** The deed of a task that has to fail. */
function misbehave(deed) {
  switch (deed) {
    case 'exit':
      return process.exit(5);
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      for (;;);
    case 'hang':
      for (;;);
    case 'stubborn':
      return new Promise(() => {});
    case 'close':
      try {
        closeSync(CHANNEL);
      } catch {
        // Another task has closed the channel, and the worker has not noticed yet.
      }
      return;
    case 'disconnect':
      return process.disconnect();
    case 'garbage':
      return writeSync(CHANNEL, 'neither JSON nor anything else\n');
    case 'stranger':
      return writeSync(
        CHANNEL,
        '{"type":"result","id":999999,"result":"of a task that is not mine"}\n',
      );
    case 'half':
      writeSync(CHANNEL, '{"type":"result","id":1,"res');
      return process.exit(0);
    case 'stray':
      return void Promise.reject(new Error('a stray rejection'));
    case 'uncaught':
      return void setImmediate(() => {
        throw new Error('thrown beside the task');
      });
    default:
      return undefined;
  }
}

/** Ends early when the pool has cancelled the task. */
async function wait(signal) {
  await sleep(10, undefined, { signal }).catch(() => {});
}

async function* values(u, n) {
  for (let i = 0; i < n; i++) {
    if (i % 3 === 2) await null;
    yield { u, i };
  }
}

export default async function processTask({ data: { u, n, deed, until } }, ctx) {
  appendFileSync(log, `start ${u} ${ctx.attempt}\n`);
  if (ctx.attempt <= until) await misbehave(deed);
  const answer = { u, v: n * 2 };
  switch (deed) {
    case 'throw':
      throw Object.assign(new RangeError('as planned'), { code: 'E_PLANNED', u });
    case 'stray':
    case 'uncaught':
      // Long enough for frames in transit to end the worker first.
      if (ctx.attempt <= until) await sleep(1_000);
      return answer;
    case 'wait':
      await wait(ctx.signal);
      return answer;
    case 'messages':
      ctx.send({ says: u });
      ctx.send({ says: u });
      return answer;
    case 'progress':
      ctx.progress(u);
      ctx.progress(u);
      return answer;
    case 'print':
      console.log(`task ${u}`);
      console.error(`task ${u}`);
      return answer;
    case 'huge':
      return { ...answer, text: '0'.repeat(10_000) };
    case 'forged':
      return { taskId: 'victim', result: answer, processedBy: 1 };
    case 'nothing':
      return undefined;
    case 'bigint':
      return {
        u,
        get v() {
          throw new TypeError('this result cannot be read');
        },
      };
    case 'values':
      return values(u, n);
    default:
      return answer;
  }
}

/** A function for proxies, which call it without a context. */
export function compute(u, n) {
  appendFileSync(log, `start ${u} 1\n`);
  return { u, v: n * 2 };
}
