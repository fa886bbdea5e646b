import { defineConfig } from "vitest/config"

/** Tests in a real browser, which not everybody has: `pnpm test:browser`. */
export default defineConfig({
  test: {
    include: ["test/browser/**/*.test.ts"],
    sequence: { concurrent: true },
    maxConcurrency: 4,
    testTimeout: 60_000
  }
})
