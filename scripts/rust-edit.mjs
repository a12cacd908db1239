// Small edits of Rust sources by the name of a function, so that moved or reformatted code needs no
// change here.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * @typedef {object} Edit
 * @property {string} in a folder or a file; the function is searched for in all of its files
 * @property {string} fn the function's name
 * @property {string} [has] a text of the function's head or body, where several have the same name
 * @property {string} [body] replaces the body
 * @property {string} [first] statements to insert at the beginning of the body
 * @property {[RegExp, string]} [replace] replaces what the pattern matches in the body, once
 */

/** Code in which a brace is no brace: comments, strings and characters. */
const OPAQUE =
  /\/\/[^\n]*|\/\*[\s\S]*?\*\/|b?r(#*)"[\s\S]*?"\1|b?"(?:\\[\s\S]|[^"\\])*"|b?'(?:\\[^']+|[^'\\])'/g;

/**
 * @param {string} root
 * @param {string} path a folder or a file, in `root`
 * @returns {string[]} paths of Rust files, in `root`
 */
function rustFiles(root, path) {
  if (path.endsWith('.rs')) return [path];
  const entries = readdirSync(join(root, path), { recursive: true, encoding: 'utf8' });
  return entries
    .filter((name) => name.endsWith('.rs') && !/(^|\/)tests(\.rs|\/)/.test(name))
    .map((name) => join(path, name))
    .sort();
}

/**
 * @param {string} text of a file
 * @param {string} name of a function
 * @returns {{ head: number, open: number, close: number }[]} where its definitions are: the `fn`,
 *   and behind the opening and at the closing brace of the body
 */
function functions(text, name) {
  // As long as the text, so that positions are the same.
  const bare = text.replace(OPAQUE, (opaque) => opaque.replace(/[^\n]/g, ' '));
  return [...bare.matchAll(new RegExp(`\\bfn\\s+${name}\\b`, 'g'))].flatMap(({ index }) => {
    const open = bare.slice(index).search(/[{;]/) + index;
    if (bare[open] !== '{') return [];
    let depth = 0;
    for (let close = open; close < bare.length; close++) {
      if (bare[close] === '{') depth += 1;
      if (bare[close] === '}') depth -= 1;
      if (depth === 0) return [{ head: index, open: open + 1, close }];
    }
    throw new Error(`the body of ${name} has no end`);
  });
}

/**
 * Applies edits.
 *
 * @param {string} root
 * @param {Edit[]} edits
 * @returns {Map<string, string>} the new text of each file that changes, by path in `root`
 * @throws {Error} where an edit does not apply to exactly one place
 */
export function edited(root, edits) {
  /** @type {Map<string, string>} */
  const files = new Map();
  for (const edit of edits) {
    const found = rustFiles(root, edit.in).flatMap((file) => {
      const text = files.get(file) ?? readFileSync(join(root, file), 'utf8');
      return functions(text, edit.fn)
        .filter(({ head, close }) => text.slice(head, close).includes(edit.has ?? ''))
        .map((place) => ({ file, text, ...place }));
    });
    if (found.length !== 1) {
      const where = found.map(({ file }) => file).join(', ') || 'nowhere';
      throw new Error(`fn ${edit.fn} must be once in ${edit.in}, and is in: ${where}`);
    }
    const [{ file, text, open, close }] = found;
    files.set(
      file,
      text.slice(0, open) + changed(text.slice(open, close), edit) + text.slice(close),
    );
  }
  return files;
}

/**
 * @param {string} body
 * @param {Edit} edit
 * @returns {string}
 */
function changed(body, { fn, body: whole, first, replace }) {
  if (whole !== undefined) return whole;
  if (first !== undefined) return `\n        ${first}${body}`;
  if (replace === undefined) throw new Error(`fn ${fn}: the edit says nothing`);
  const [pattern, text] = replace;
  const places = [...body.matchAll(new RegExp(pattern, 'g'))].length;
  if (places !== 1) throw new Error(`fn ${fn}: ${pattern} matches ${places} times, not once`);
  return body.replace(pattern, () => text);
}
