// Bundles a program with one of the tools of this folder, for bundled.test.js: node bundle.mjs
// BUNDLER FOLDER external|inside
//
// In a process of its own, as bundlers leave threads and processes running. Prints the path of what
// came of it.

import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);

const out = (folder, name) => join(folder, 'out', name);

/** Each bundles a program and returns the path of the result; with `external`, without bulkhead. */
const bundlers = {
  async esbuild(folder, external) {
    const outfile = out(folder, 'bundle.cjs');
    const options = {
      entryPoints: [join(folder, 'main.mjs')],
      bundle: true,
      platform: 'node',
      logLevel: 'error',
    };
    require('esbuild').buildSync({
      ...options,
      format: 'cjs',
      outfile,
      external: external ? ['bulkhead'] : [],
    });
    return outfile;
  },

  async 'esbuild-esm'(folder, external) {
    const outfile = out(folder, 'bundle.mjs');
    const options = {
      entryPoints: [join(folder, 'main.mjs')],
      bundle: true,
      platform: 'node',
      logLevel: 'error',
    };
    const banner = {
      js: `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);`,
    };
    require('esbuild').buildSync({
      ...options,
      format: 'esm',
      outfile,
      banner,
      external: external ? ['bulkhead'] : [],
    });
    return outfile;
  },

  webpack: (folder, external) => runWebpack(folder, external, 'production'),
  'webpack-development': (folder, external) => runWebpack(folder, external, 'development'),

  async rollup(folder, external) {
    const { rollup } = require('rollup');
    const plugins = [
      require('@rollup/plugin-node-resolve').nodeResolve(),
      require('@rollup/plugin-commonjs')(),
    ];
    const isExternal = (id) => id.startsWith('node:') || (external && id === 'bulkhead');
    const bundle = await rollup({ input: join(folder, 'main.mjs'), external: isExternal, plugins });
    await bundle.write({ file: out(folder, 'bundle.mjs'), format: 'esm' });
    await bundle.close();
    return out(folder, 'bundle.mjs');
  },

  async vite(folder, external) {
    const { build } = await import('vite');
    await build({
      root: folder,
      configFile: false,
      logLevel: 'error',
      build: { ssr: join(folder, 'main.mjs'), outDir: out(folder, 'vite') },
      ssr: external ? { external: ['bulkhead'] } : { noExternal: true },
    });
    return out(folder, join('vite', readdirSync(out(folder, 'vite'))[0]));
  },

  async ncc(folder, external) {
    const options = { quiet: true, cache: false, externals: external ? ['bulkhead'] : [] };
    const { code, assets } = await require('@vercel/ncc')(join(folder, 'main.cjs'), options);
    const made = {
      'index.cjs': code,
      ...Object.fromEntries(Object.entries(assets).map(([k, v]) => [k, v.source])),
    };
    for (const [name, text] of Object.entries(made)) {
      mkdirSync(dirname(out(folder, name)), { recursive: true });
      writeFileSync(out(folder, name), text);
    }
    return out(folder, 'index.cjs');
  },
};

async function runWebpack(folder, external, mode) {
  const stats = await new Promise((resolve, reject) => {
    const options = {
      mode,
      target: 'node',
      entry: join(folder, 'main.mjs'),
      externals: external ? { bulkhead: 'commonjs bulkhead' } : {},
      output: { path: out(folder, 'webpack'), filename: 'main.cjs' },
    };
    require('webpack')(options, (error, stats) => (error ? reject(error) : resolve(stats)));
  });
  if (stats.hasErrors()) throw new Error(stats.toString('errors-only'));
  return out(folder, join('webpack', 'main.cjs'));
}

const [name, folder, where] = process.argv.slice(2);
console.log(await bundlers[name](folder, where === 'external'));
process.exit();
