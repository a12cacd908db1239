import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['__test__/**/*.test.{js,mjs,ts}'],
    globalSetup: './scripts/bundle.mjs',
    // A crash of the addon takes one test file with it, not the whole run.
    pool: 'forks',
    // Most tests start processes of their own: one file at a time keeps their clocks honest on
    // small machines.
    fileParallelism: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    teardownTimeout: 10_000,
    typecheck: {
      enabled: true,
      include: ['__test__/**/*.test-d.ts'],
      tsconfig: './tsconfig.json',
    },
  },
});
