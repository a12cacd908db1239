// Draws a progress bar in a terminal, or prints a line at every quarter into a file or pipe.

/**
 * @typedef {object} Progress
 * @property {(done: number) => void} update the number of finished items
 * @property {() => void} end keeps the last state on the screen
 */

/**
 * @param {string} label
 * @param {number} total
 * @param {NodeJS.WriteStream} [out]
 * @returns {Progress}
 */
export function startProgress(label, total, out = process.stderr) {
  const width = 30;
  const started = performance.now();
  let shown = -1;

  /** @param {number} done */
  function draw(done) {
    const share = total === 0 ? 1 : done / total;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (out.isTTY) {
      const percent = Math.floor(share * 100);
      if (percent === shown && done < total) return;
      shown = percent;
      const bar = '█'.repeat(Math.round(share * width)).padEnd(width, '░');
      out.write(`\r${label} ${bar} ${done}/${total} ${seconds} s\x1b[K`);
    } else {
      const quarter = Math.floor(share * 4);
      if (quarter === shown) return;
      shown = quarter;
      out.write(`${label} ${done}/${total} after ${seconds} s\n`);
    }
  }

  draw(0);
  return {
    update: draw,
    end() {
      if (out.isTTY) out.write('\n');
    },
  };
}
