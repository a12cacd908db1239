// A run that ends with its process. Arguments: the plan, the folder of the ledger, and the time
// after which something hangs (ms). Its last output is its report.

import { writeSync } from 'node:fs';
import { continueAll } from './calls.mjs';
import { callsOf } from './plan.mjs';
import { playSteps } from './play.mjs';
import { checkLedger, checkTasks } from './rules.mjs';
import { World } from './world.mjs';

const [, , text, folder, patience] = process.argv;
const plan = JSON.parse(text);
const world = new World(plan, folder);
const { how } = plan.end;
const HUNG = 99;

const uncaught = (error) => world.uncaught(error);
process.on('uncaughtException', uncaught);
process.on('unhandledRejection', (reason) => world.wrong('unhandled rejections', String(reason)));
process.on('exit', () => {
  // Unsettled tasks keep the process alive, unless the plan has called unref().
  const mayLeaveTasks =
    how !== 'leave' || callsOf(plan).some(({ call }) => ['ref', 'unref'].includes(call));
  if (!mayLeaveTasks) {
    checkTasks(world);
    for (const label of world.pending.values())
      world.wrong('hangs', `${label}, when the program has nothing left to wait for`);
  }
  checkLedger(world);
  const { violations, timeline } = world;
  writeSync(1, JSON.stringify({ violations, timeline }));
});

await playSteps(world);
continueAll(world);
switch (how) {
  case 'exit':
    process.exit(7);
    break;
  case 'throw':
    process.off('uncaughtException', uncaught);
    setImmediate(() => {
      throw new Error('thrown to end the program');
    });
    break;
  case 'killed':
    process.kill(process.pid, 'SIGKILL');
    break;
  default:
    world.isEnding = true;
    world.release();
    if (callsOf(plan).some(({ call }) => call === 'ref')) world.pool.unref();
    setTimeout(() => {
      world.wrong(
        'the end of the program',
        `something keeps it: ${[...world.pending.values()]}; ${process.getActiveResourcesInfo()}`,
      );
      process.exit(HUNG);
    }, Number(patience)).unref();
}
