import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    globalSetup: "test/clients/python/setup.ts",
    include: ["test/clients/**/*.test.ts"],
    sequence: { concurrent: true },
    isolate: false,
    testTimeout: 30_000,
    silent: "passed-only"
  }
})
