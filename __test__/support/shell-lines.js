// Checks of the commands in the documentation: the scripts, files and options they name exist. No
// command is run.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Placeholders for something of the reader's own. */
const PLACEHOLDER = /^(?:your-program\.mjs|<\w+>)$/;
/** Subcommands of cargo that come with it, or that a command of the same page installs. */
const CARGO = ['test', 'clippy', 'fmt', 'install', 'fuzz'];

/**
 * @param {string} line of a shell, with or without a comment
 * @returns {string[]} what is wrong
 */
export function shellProblems(line) {
  const code = line.replace(/(?:^|\s)#.*$/, '').trim();
  return code === ''
    ? []
    : code.split('&&').flatMap((command) => commandProblems(wordsOf(command)));
}

/** Splits a line into words as the shell does, without the assignments in front of the command. */
function wordsOf(command) {
  const words = [...command.matchAll(/(?:'[^']*'|"[^"]*"|\$\([^)]*\)|[^\s'"])+/g)].map(
    ([word]) => word,
  );
  const first = words.findIndex((word) => !/^\w+=/.test(word));
  return words.slice(first);
}

function commandProblems([command, ...args]) {
  switch (command) {
    case 'npm':
      return npmProblems(args);
    case 'npx':
      return npxProblems(args);
    case 'node':
      return nodeProblems(args);
    case 'bash':
      return fileProblems(args[0]);
    case 'cargo':
      return cargoProblems(args);
    default:
      return [`unknown command "${command}"`];
  }
}

function npmProblems(args) {
  const [command, name, ...rest] = args.filter((arg) => arg !== '-s');
  if (['install', 'ci'].includes(command))
    return name === undefined ? [] : [`npm ${command} ${name}`];
  const script = command === 'test' ? 'test' : name;
  if (command !== 'test' && command !== 'run') return [`npm has no "${command}" here`];
  if (!Object.hasOwn(scripts, script)) return [`package.json has no script "${script}"`];
  const [dashes, ...given] = command === 'run' ? rest : [];
  if (dashes === undefined) return [];
  if (dashes !== '--') return [`arguments of "${script}" come behind "--"`];
  const file = scripts[script].match(/^node (\S+)/)?.[1];
  return file === undefined ? [`"${script}" takes no arguments`] : flagProblems(file, given);
}

function npxProblems([program, command, filter]) {
  if (program !== 'vitest' || command !== 'run') return [`npx ${program} ${command}`];
  const found = readdirSync(join(root, '__test__')).some((file) => file.includes(filter));
  return found ? [] : [`no test file has "${filter}" in its name`];
}

function nodeProblems([file, ...args]) {
  if (PLACEHOLDER.test(file)) return [];
  const missing = fileProblems(file);
  return missing.length > 0 ? missing : flagProblems(file, args);
}

function cargoProblems([command, ...args]) {
  const manifest = args.indexOf('--manifest-path');
  const missing = manifest === -1 ? [] : fileProblems(args[manifest + 1]);
  return CARGO.includes(command) ? missing : [`cargo has no "${command}"`, ...missing];
}

function fileProblems(file) {
  return existsSync(join(root, file)) ? [] : [`there is no ${file}`];
}

/** Returns whether the program, or a module beside it, contains the names of these options. */
function flagProblems(file, args) {
  const folder = dirname(join(root, file));
  const sources = readdirSync(folder).filter((name) => name.endsWith('.mjs'));
  const text = sources.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  const flags = args.flatMap((arg) => arg.match(/^--([\w-]+)/)?.[1] ?? []);
  return flags.flatMap((flag) => {
    const known = new RegExp(`(?:['"]${flag}['"]|\\b${flag}):|'--${flag}'`).test(text);
    return known ? [] : [`${file} has no option --${flag}`];
  });
}
