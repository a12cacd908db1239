// Judges a run by its files alone. These invariants hold in every run:
//
//   I1   every accepted task settles, once
//   I2   nothing settles that was not accepted
//   I3   a task starts once, or once more for each of its retries; each start is told its attempt
//   I4   the payload in the worker is the one that was sent; a result is that of exactly one end
//   I5   a task that is said not to have run has no start; none starts after it has settled
//   I6   a start has one end at most, in its process (a task that may have run has one, or none)
//   I7   a single worker starts tasks in the order of their submission, whatever happens to it
//   I8   events of a worker come before its exit, and none comes after it
//   I9   in the end nothing is left, the counters add up, and closing keeps its time limit
//
// These follow, where the pool may make no excuses:
//
//   I10  a worker's death costs what it was running, and nothing that it had finished or sent
//   I11  no worker dies, no task fails and no change of the pool fails without a cause

import { BREAKING_DEEDS, DEADLY_DEEDS, DEADLY_STRIKES } from './plan.mjs';

/** Time for closing a pool (ms), on top of its grace periods. */
const BUDGET = 15_000;
/**
 * The time for which a worker may hold a reply before it writes it, far longer than it does (µs). A
 * busy machine lets it wait.
 */
const HELD = 50_000;

/**
 * @param {import('./history.mjs').History} history
 * @returns {{ invariant: string, what: string }[]} what does not hold
 */
export function check(history) {
  return new Checker(history).check();
}

class Checker {
  #plan;
  #events;
  #lives;
  #found = [];
  /** Task -> what is known of it. */
  #tasks = new Map();
  /** Pid -> what is known of it. */
  #workers = new Map();

  constructor({ plan, events, workers }) {
    this.#plan = plan;
    this.#events = events;
    this.#lives = workers;
  }

  check() {
    for (const event of this.#events) this.#hear(event);
    for (const lines of this.#lives) this.#read(lines);
    for (const [id, task] of this.#tasks) this.#judge(id, task);
    for (const [pid, worker] of this.#workers) this.#judgeWorker(pid, worker);
    this.#judgeOrder();
    this.#judgeEnd();
    return this.#found;
  }

  #wrong(invariant, what) {
    this.#found.push({ invariant, what });
  }

  #worker(pid) {
    if (!this.#workers.has(pid)) {
      this.#workers.set(pid, {
        lines: [],
        strikes: [],
        crashed: [],
        online: undefined,
        exit: undefined,
        claims: false,
      });
    }
    return this.#workers.get(pid);
  }

  // ---- The parent's word

  #hear(event) {
    switch (event.event) {
      case 'invoke':
        return this.#tasks.set(event.id, {
          ...event,
          accepted: false,
          settled: [],
          starts: [],
          ends: [],
          said: [],
          told: [],
        });
      case 'accepted':
        this.#tasks.get(event.id).accepted = true;
        return undefined;
      case 'cancel':
        this.#tasks.get(event.id).cancelled = true;
        return undefined;
      case 'settled':
        return this.#hearSettled(event);
      case 'retry':
        return this.#tasks.get(event.id)?.told.push(event.attempt);
      case 'online':
        return this.#hearOnline(event);
      case 'exit':
        return this.#hearExit(event);
      case 'changed':
        return this.#hearChanged(event);
      case 'strike':
        return event.pid === undefined
          ? undefined
          : this.#worker(event.pid).strikes.push(event.what);
      default:
        return undefined;
    }
  }

  #hearSettled(event) {
    const task = this.#tasks.get(event.id);
    if (!task?.accepted)
      return this.#wrong('I2', `task ${event.id} was never accepted, and is ${event.as}`);
    task.settled.push(event);
    if (event.pid === undefined || event.pid === null) return undefined;
    const worker = this.#worker(event.pid);
    // A promise's reactions come after the events of their batch; an event does not.
    if (worker.exit !== undefined && !task.promised) {
      this.#wrong('I8', `task ${event.id} of ${event.pid} is ${event.as} after its exit`);
    }
    if (event.code === 'ERR_WORKER_CRASHED' && event.maybeExecuted) worker.crashed.push(event.id);
    return undefined;
  }

  #hearOnline({ pid }) {
    const worker = this.#worker(pid);
    if (worker.online !== undefined) this.#wrong('I8', `${pid} is online twice`);
    if (worker.exit !== undefined) this.#wrong('I8', `${pid} is online after its exit`);
    worker.online = true;
  }

  #hearChanged({ what, code, message }) {
    if (code === undefined || code === 'ERR_POOL_CLOSED') return;
    this.#wrong('I11', `${what}() failed: ${message}`);
  }

  #hearExit(event) {
    const worker = this.#worker(event.pid);
    if (worker.exit !== undefined) this.#wrong('I8', `${event.pid} exits twice`);
    worker.exit = event;
  }

  // ---- The workers' word

  #read(lines) {
    for (const line of lines) {
      const worker = this.#worker(line.pid);
      if (line.mark === 'life') worker.claims = line.claims;
      else this.#readTask(worker, line);
      worker.lines.push(line);
    }
  }

  #readTask(worker, line) {
    const task = this.#tasks.get(line.id);
    if (task === undefined)
      return this.#wrong('I2', `${line.pid} has a task ${line.id} that was not submitted`);
    if (line.mark === 'start') {
      task.starts.push({ ...line, before: worker.lines.at(-1) });
    } else if (line.mark === 'end') {
      task.ends.push(line);
    } else if (line.mark === 'said') {
      task.said.push(line);
    } else {
      this.#wrong('I4', `task ${line.id} arrived changed at ${line.pid}`);
    }
    return undefined;
  }

  // ---- Tasks

  #judge(id, task) {
    if (!task.accepted) {
      if (task.starts.length > 0) this.#wrong('I2', `task ${id} was never accepted, and starts`);
      return;
    }
    task.starts.sort((a, b) => a.at - b.at);
    if (task.settled.length !== 1) {
      this.#wrong(
        'I1',
        `task ${id} has ${task.settled.length} outcomes: ${task.settled.map(outcome).join(', ')}`,
      );
    }
    this.#judgeStarts(id, task);
    this.#judgeEnds(id, task);
    const [settled] = task.settled;
    if (settled === undefined) return;
    this.#judgeOutcome(id, task, settled);
    this.#judgeLateStarts(id, task, settled);
  }

  #judgeStarts(id, { starts, retries, told }) {
    const numbers = starts.map(({ attempt }) => attempt);
    const list = `starts ${numbers.join(', ')}, retries ${retries}`;
    if (starts.length > retries + 1) this.#wrong('I3', `task ${id} starts too often: ${list}`);
    const rises = numbers.every((number, index) => index === 0 || number > numbers[index - 1]);
    if (!rises || numbers.some((number) => number < 1 || number > retries + 1)) {
      this.#wrong('I3', `task ${id} is told wrong numbers: ${list}`);
    }
    // A retry is reported for an attempt that may have died; only then comes the next attempt.
    for (const number of numbers) {
      if (number > 1 && !told.includes(number))
        this.#wrong('I3', `task ${id} starts again untold: ${list}`);
    }
  }

  #judgeEnds(id, { starts, ends }) {
    for (const end of ends) {
      const same = ({ pid, attempt }) => pid === end.pid && attempt === end.attempt;
      if (!starts.some(same))
        this.#wrong('I6', `task ${id} ends in ${end.pid} without a start there`);
      if (ends.filter(same).length > 1)
        this.#wrong('I6', `start ${end.attempt} of task ${id} ends more than once`);
    }
  }

  #judgeOutcome(id, task, settled) {
    const { as, code, maybeExecuted } = settled;
    const planned = code === 'E_PLANNED';
    if (as === 'fulfilled' || planned) this.#judgeAnswer(id, task, settled);
    if (maybeExecuted === false && task.starts.length > 0) {
      this.#wrong('I5', `task ${id} is said not to have run (${code}), and starts`);
    }
    if (!this.#hasCause(task, settled))
      this.#wrong('I11', `task ${id} (${task.deed}) is ${outcome(settled)}`);
  }

  #judgeAnswer(id, { ends, retries }, settled) {
    const count = ends.length;
    if (count < 1 || (retries === 0 && count > 1))
      this.#wrong('I4', `task ${id} is fulfilled, and has ${count} ends`);
    const { attempt, pid } = settled;
    const end = ends.find(
      (end) => (attempt ?? end.attempt) === end.attempt && (pid ?? end.pid) === end.pid,
    );
    if (count > 0 && end?.digest !== settled.digest) {
      this.#wrong(
        'I4',
        `task ${id} is answered with ${settled.digest} by ${pid}, its end says ${end?.digest}`,
      );
    }
  }

  /** Returns whether a task may end like this. */
  #hasCause({ deed, timeout, cancelled }, { as, code }) {
    if (as === 'cancelled') return cancelled === true;
    // A late or dying worker may still have its answer, but not after a deed that cannot be
    // survived.
    if (as === 'fulfilled') return deed !== 'throw';
    switch (code) {
      case 'E_PLANNED':
        return deed === 'throw';
      case 'ERR_TASK_TIMEOUT':
        return timeout > 0;
      case 'ERR_WORKER_CRASHED':
        return true;
      case 'ERR_PROTOCOL':
        return Object.values(this.#plan.faults).some((fault) => DEADLY_DEEDS.has(fault));
      case 'ERR_POOL_CLOSED':
        return this.#plan.close !== 'drain';
      default:
        return false;
    }
  }

  /**
   * A worker that claims its tasks starts none that has settled. (One that does not may have it in
   * its channel.)
   */
  #judgeLateStarts(id, { starts }, settled) {
    for (const { pid, at, before } of starts) {
      // The process may have been stopped for any time between the claim and its line. If it has
      // written another line in between, the claim came after that line.
      const claimed = before?.at ?? 0;
      if (this.#worker(pid).claims && claimed > settled.at) {
        this.#wrong(
          'I5',
          `task ${id} is ${outcome(settled)} at ${settled.at}, and starts in ${pid} at ${at}`,
        );
      }
    }
  }

  // ---- Workers

  #judgeWorker(pid, worker) {
    const { options } = this.#plan;
    const { exit, crashed, lines } = worker;
    if (exit === undefined) {
      // The file of a worker that never reached a task may have nothing but its first line.
      if (worker.online) this.#wrong('I8', `${pid} is online, and has no exit`);
      return;
    }
    if (crashed.length > options.concurrency) {
      this.#wrong(
        'I10',
        `the death of ${pid} (${deathOf(exit)}) costs ${crashed.length} tasks: ${crashed.join(', ')}`,
      );
    }
    for (const { id } of lines.filter((line) => this.#isWasted(line, worker))) {
      this.#wrong(
        'I10',
        `the death of ${pid} (${deathOf(exit)}) costs task ${id}, which it had answered`,
      );
    }
    if (options.concurrency === 1 && worker.claims) {
      const last = lines.findLastIndex(({ mark }) => mark === 'start');
      // Frames behind nonsense are not read, nor are the replies that were held before it.
      const broken = lines.find((line) => this.#breaksChannel(line));
      const heard = broken && lines.filter(({ at }) => at < broken.at - HELD);
      for (const { mark, id, attempt } of heard ?? lines.slice(0, last)) {
        if (mark === 'end' && this.#isCost(id, attempt, worker)) {
          this.#wrong(
            'I10',
            `the death of ${pid} costs task ${id}, which it had ended before it began another`,
          );
        }
      }
    }
    if (!this.#hasDeathCause(worker))
      this.#wrong('I11', `${pid} dies without a cause: ${deathOf(exit)}`);
  }

  /**
   * Returns whether this start came to nothing by the worker's death: the task fails for it, or
   * restarts.
   */
  #isCost(id, attempt, { crashed }) {
    const { timeout, cancelled, told } = this.#tasks.get(id);
    return crashed.includes(id) || (timeout === 0 && !cancelled && told.includes(attempt + 1));
  }

  /** Returns whether the line tells of an answer that the pool could read, and did not. */
  #isWasted({ mark, id, attempt }, worker) {
    if (mark !== 'said' || !this.#isCost(id, attempt, worker)) return false;
    return !worker.lines.some((line) => this.#breaksChannel(line));
  }

  /** Returns whether the line starts a task that breaks the channel. */
  #breaksChannel({ mark, id }) {
    return mark === 'start' && BREAKING_DEEDS.has(this.#tasks.get(id)?.deed);
  }

  #hasDeathCause({ exit, strikes, lines }) {
    const started = lines
      .filter(({ mark }) => mark === 'start')
      .map(({ id }) => this.#tasks.get(id));
    switch (exit.reason) {
      case 'crashed':
      case 'startup':
        return (
          strikes.some((what) => DEADLY_STRIKES.has(what)) ||
          started.some((task) => DEADLY_DEEDS.has(task?.deed)) ||
          this.#isPoint(exit)
        );
      case 'timeout':
        return this.#some(({ timeout }) => timeout > 0);
      case 'aborted':
        return this.#some(({ cancelled }) => cancelled);
      default:
        return true;
    }
  }

  /** Returns whether it may be the death that the plan has for every worker. */
  #isPoint({ code, signal }) {
    const how = this.#plan.point?.how;
    return (
      how !== undefined && [signal, signal === 'SIGABRT' ? 'abort' : `exit-${code}`].includes(how)
    );
  }

  #some(holds) {
    for (const task of this.#tasks.values()) if (holds(task)) return true;
    return false;
  }

  // ---- The whole

  #judgeOrder() {
    const { ranked, changes, options } = this.#plan;
    const { maxWorkers, maxTasksPerWorker, maxWorkerAge } = options;
    // A worker that is replaced goes on with its tasks while its successor starts.
    const replaced = changes || maxTasksPerWorker !== undefined || maxWorkerAge !== undefined;
    const retried = this.#some(({ retries }) => retries > 0);
    if (maxWorkers > 1 || replaced || retried || ranked) return;
    const starts = [...this.#tasks.values()]
      .flatMap((task) => task.starts)
      .sort((a, b) => a.at - b.at);
    for (const [index, start] of starts.entries()) {
      const before = starts[index - 1];
      if (before !== undefined && before.id > start.id) {
        this.#wrong('I7', `task ${start.id} starts after ${before.id}, which was submitted later`);
      }
    }
  }

  #judgeEnd() {
    const begin = this.#events.find(({ event }) => event === 'begin');
    const end = this.#events.find(({ event }) => event === 'end');
    if (begin === undefined || end === undefined) return this.#wrong('I9', 'the run has no end');
    const { after, stats, closed, stuck } = end;
    if (stuck) this.#wrong('I1', 'the pool was stuck: nothing happened for a minute');
    if (after.children.length > 0)
      this.#wrong('I9', `children are left: ${after.children.join(', ')}`);
    for (const what of ['descriptors', 'threads']) {
      const [first, last] = [begin.before[what], after[what]];
      if (last > first) this.#wrong('I9', `${last} ${what} in the end, ${first} at the start`);
    }
    const budget = BUDGET + 3 * this.#plan.options.gracePeriod;
    if (closed.took > budget) this.#wrong('I9', `closing took ${closed.took} ms`);
    return this.#judgeCounters(stats.tasks);
  }

  #judgeCounters(counters) {
    const tasks = [...this.#tasks.values()];
    const settled = (as) => tasks.filter((task) => task.settled[0]?.as === as).length;
    const heard = {
      accepted: tasks.filter((task) => task.accepted).length,
      completed: settled('fulfilled'),
      failed: settled('rejected'),
      cancelled: settled('cancelled'),
      retried: tasks.reduce((sum, task) => sum + task.told.length, 0),
    };
    for (const [name, count] of Object.entries(heard)) {
      if (counters[name] !== count)
        this.#wrong('I9', `stats() counts ${counters[name]} ${name}, there are ${count}`);
    }
  }
}

function outcome({ as, code, maybeExecuted }) {
  if (code === undefined) return as;
  return `${as} with ${code}${maybeExecuted === undefined ? '' : `, maybeExecuted ${maybeExecuted}`}`;
}

function deathOf({ code, signal, reason }) {
  return `${signal ?? `code ${code}`}, ${reason}`;
}
