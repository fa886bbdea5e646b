import { defineConfig } from "vitest/config"

/** `pnpm test:packages`: what users get, packed, and installed outside this workspace. */
export default defineConfig({
  test: {
    include: ["test/packages/**/*.test.ts"],
    globalSetup: "test/packages/support/Registry.ts",
    maxWorkers: "100%",
    // a package manager and a registry take their time
    testTimeout: 180_000,
    hookTimeout: 180_000
  }
})
