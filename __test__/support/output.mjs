/**
 * Collects the output of a child process, and how it ends.
 *
 * @param {import('node:child_process').ChildProcess} child both of whose output streams are pipes
 */
export function outputOf(child) {
  const output = { stdout: '', stderr: '' };
  for (const stream of /** @type {const} */ (['stdout', 'stderr'])) {
    child[stream]?.setEncoding('utf8').on('data', (text) => {
      output[stream] += text;
    });
  }
  const closed = new Promise((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal, ...output })),
  );
  return { output, closed };
}
