// A pool whose workers are Python processes: node examples/python-worker/run.mjs

import { fileURLToPath } from 'node:url';
import { inflateSync } from 'node:zlib';
import ProcessManager from 'bulkhead';

const pool = new ProcessManager({
  worker: { command: 'python3', args: [fileURLToPath(new URL('worker.py', import.meta.url))] },
  maxWorkers: 2,
});

const text = 'The sea is calm tonight. The tide is full, the moon lies fair upon the straits.';
const numbers = [1_000_003, 600_851_475_143, 999_999_000_001];

try {
  const { total, top } = await pool.run({ type: 'words', data: text });
  console.log(
    `${total} words, most often ${top.map(([word, count]) => `"${word}" (${count})`).join(', ')}`,
  );

  const factors = await Promise.all(numbers.map((data) => pool.run({ type: 'factors', data })));
  for (const [i, number] of numbers.entries()) console.log(`${number} = ${factors[i].join(' x ')}`);

  // A Buffer arrives in Python as bytes, and Python's bytes come back as a Buffer.
  const original = Buffer.from(text.repeat(1000));
  const compressed = await pool.run({ type: 'compress', data: original });
  const intact = inflateSync(compressed).equals(original);
  console.log(
    `${original.length} bytes compressed to ${compressed.length}, ${intact ? 'intact' : 'DAMAGED'}`,
  );

  // What Python raises arrives as an error, with Python's traceback as its stack.
  await pool.run({ type: 'factors', data: 'twelve' }).catch((error) => {
    console.log(`${error.name}: ${error.message}`);
  });
} finally {
  await pool.shutdown();
}
