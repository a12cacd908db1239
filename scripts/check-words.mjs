// Checks words: names that the project has given up, and phrasings that docs/style.md rules out, in
// code, comments, documentation, error texts and tests. Each finding names what to write instead.
//
//   node scripts/check-words.mjs [--count] [path…]   --count prints the number of findings by file

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const RUST = /\.rs$/;
const SCRIPT = /\.([cm]?js|[cm]?ts)$/;
const PROSE = /\.md$/;

/**
 * Names that are given up: the pattern, what to write instead, and the files in which it is
 * searched (default: all).
 *
 * @type {[RegExp, string, RegExp?][]}
 */
const RETIRED = [
  [/\bHearing\b|\bhearing::/, 'Reader'],
  [/\bis_deaf\b/, 'is_closed'],
  [/\btake_in\b/, 'on_bytes'],
  [/\bLOOK_EVERY\b/, 'STALL_CHECK_INTERVAL'],
  [/\bWALKING_PACE\b/, 'MIN_PROGRESS_BYTES'],
  [/\bPATIENCE\b/, 'MAX_STALLED_CHECKS', /^src\/supervisor\//],
  [/\b[Oo]utlets?\b/, 'outbox'],
  [/\b[Oo]bituar(y|ies)\b/, 'exit report'],
  [/\bbury\b|\bburied\b/, 'take_link'],
  [/\blast_words\b/, 'oom_message'],
  [/\blastWords\b/, 'summarizeStderr'],
  [/\bRungs?\b/, 'Escalation'],
  [/\bLife::Leaving\b/, 'Stopping'],
  [/\btake_step\b/, 'perform_stop_action'],
  [/\bBeside::|\benum Beside\b|\bBeside\b/, 'Replacement', RUST],
  [/\bSeats?\b/, 'slot'],
  [/\bhand_over\b/, 'promote_successor'],
  [/\bsee_to_(renewals|resize|reload)\b|\bsee_to_\w+/, 'advance_…'],
  [/\bforesee\w*\b/, 'prestart_successor'],
  [/\bRenewals?\b|\brenewals?\b/, 'replacement'],
  [/\bvacate\b/, 'drain_slot'],
  [/\bsend_ahead\b/, 'prefetch'],
  [/\bheld_back\b/, 'prefetch_suspended'],
  [/\btaken_back\b/, 'reclaimed'],
  [/\bput_back\b/, 'requeue_front'],
  [/\bhesitates\b/, 'note_unclaimed', RUST],
  [/\bend_start\b/, 'finish_attempt'],
  [/\bgive_up\b/, 'cancel_attempt', RUST],
  [/\bWireId\b|\bwire_id\b/, 'AttemptId'],
  [/\bNewStart\b/, 'NewAttempt'],
  [/\bSticky\b/, 'AffinityKey'],
  [/\brehomed?\b/, 'reassign'],
  [/\b(is_)?hungry\b/, 'wants_immediate_dispatch'],
  [/\b[Cc]ondemn\w*/, 'kill_for_protocol_error'],
  [/\bTie\b|\btie::/, 'EnvironmentGuard'],
  [/\bHot\b|\bhot::|\bheadedSubmitter\b/, 'FastFunction'],
  [/\bKEPT_FROM\b/, 'MIN_POOLED'],
  [/\bLEAST_PART\b/, 'MAX_OVERSIZE'],
  [/\bWay::(Up|Down)\b|\benum Way\b/, 'Direction'],
  [/\blet_go\b/, 'journal_clear', RUST],
  [/\b[Pp]artings?\b/, 'shutdown'],
  [/\bLiveness\b|\bliveness\b/, 'KeepAlive'],
  [/\bAnnouncedTask\b/, 'EventTask'],
  [/#(disappoint|takeBack|conclude)\b/, '#rejectPending, #rollback, #close', SCRIPT],
  [/\bamidst\b|\bAmidst\b/, 'duringUserCode, or "during" in prose'],
  [/\bLATER\b/, 'PENDING'],
  [/\bDownFrame\b/, 'a frame to the worker'],
];

/** Phrasings, and what to do about each. @type {[RegExp, string][]} */
const PHRASES = [
  [/\banew\b/i, 'write "again" or name the new thing'],
  [/\bin the midst\b/i, 'write "during" or "while"'],
  [/\bwhoever\b/i, 'name the actor'],
  [/\b(somebody|nobody|everybody)\b/i, 'name the actor: worker, supervisor, caller, task'],
  [/\bfor want of\b/i, 'write "without"'],
  [/\b(is|are|was|were) to be\b/i, 'name the actor and use the active voice'],
  [/\bso many\b/i, 'name the number or its unit'],
];

/** How the first sentence of a doc comment does not begin. */
const OPENER = /^(Of|What|So|Since|Whether|Some\w*|Nobody|Whoever)\b/;
const OPENER_REMEDY = 'begin with a noun phrase (types, fields) or a verb in the third person';

/** Files that may hold what is ruled out. */
const SKIPPED = [
  /^scripts\/check-words\.mjs$/, // the list itself
  /^docs\/style\.md$/, // names what is ruled out
  /^benchmark\/results\//,
  /^fuzz\/corpus\//,
  /^proptest-regressions\//,
  /(^|\/)(package-lock\.json|Cargo\.lock)$/,
];

/** @type {{ file: RegExp, line: RegExp, reason: string }[]} lines that stay, with the reason */
const ALLOWED = [
  { file: /^README\.md$/, line: /to be or not to be/, reason: 'Hamlet, input of an example' },
];

/**
 * @param {string} file
 * @param {string[]} lines
 * @returns {{ index: number, text: string }[]}
 */
function docComments(file, lines) {
  const found = [];
  for (const [index, line] of lines.entries()) {
    if (RUST.test(file)) {
      const text = /^\s*\/\/[/!] ?(.*)$/.exec(line)?.[1];
      const before = lines[index - 1] ?? '';
      if (text !== undefined && !/^\s*\/\/[/!]/.test(before)) found.push({ index, text });
    } else if (SCRIPT.test(file)) {
      const opening = /^\s*\/\*\* ?(.*)$/.exec(line)?.[1];
      if (opening === undefined) continue;
      if (opening !== '') found.push({ index, text: opening });
      else found.push({ index: index + 1, text: (lines[index + 1] ?? '').replace(/^\s*\* ?/, '') });
    }
  }
  return found;
}

/**
 * @param {string} file
 * @returns {string[]}
 */
function problemsOf(file) {
  /** @type {string[]} */
  const problems = [];
  const lines = readFileSync(join(root, file), 'utf8').split('\n');
  const allowed = ALLOWED.filter((each) => each.file.test(file));
  const report = (/** @type {number} */ index, /** @type {string} */ text) => {
    if (!allowed.some((each) => each.line.test(lines[index])))
      problems.push(`${file}:${index + 1}: ${text}`);
  };
  for (const [index, line] of lines.entries()) {
    for (const [pattern, remedy, where] of RETIRED) {
      const found = where === undefined || where.test(file) ? pattern.exec(line) : null;
      if (found !== null) report(index, `"${found[0]}" is a retired name: use ${remedy}`);
    }
    for (const [pattern, remedy] of PHRASES) {
      // A phrase may be broken at the end of a line; a comment goes on behind its marks.
      const next = (lines[index + 1] ?? '').replace(/^\s*(\/\/[/!]?|\*|>)?\s*/, '');
      const both = `${line} ${next}`;
      const found = pattern.exec(both);
      if (found !== null && found.index < line.length) report(index, `"${found[0]}": ${remedy}`);
    }
  }
  if (!PROSE.test(file)) {
    for (const { index, text } of docComments(file, lines)) {
      const found = OPENER.exec(text);
      if (found !== null)
        report(index, `a doc comment begins with "${found[0]}": ${OPENER_REMEDY}`);
    }
  }
  return problems;
}

const paths = process.argv.slice(2).filter((arg) => !arg.startsWith('--'));
const listed = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr}`);
const files = listed.stdout
  .split('\n')
  .filter((file) => /\.(rs|md|toml|json|yml|sh|py|[cm]?js|[cm]?ts)$|^\.ci\/run$/.test(file))
  .filter((file) => !SKIPPED.some((pattern) => pattern.test(file)))
  .filter((file) => paths.length === 0 || paths.some((path) => file.startsWith(path)));

let count = 0;
for (const file of files) {
  const problems = problemsOf(file);
  count += problems.length;
  if (!process.argv.includes('--count')) for (const problem of problems) console.error(problem);
  else if (problems.length > 0) console.log(`${String(problems.length).padStart(4)} ${file}`);
}
console.log(`words: ${files.length} files, ${count} problems`);
process.exitCode = count === 0 ? 0 : 1;
