import { assert, describe, it } from "@effect/vitest"
import { runEvenkeel, startEvenkeel } from "../../support/Child.ts"

/** Names every module that is loaded. */
const naming = `import { registerHooks } from "node:module"
registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })`

describe("the command evenkeel", () => {
  it("loads nothing of the library before a command runs that needs it", async () => {
    const { code, stderr } = await runEvenkeel(["--help"], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(naming)}`
    })
    assert.strictEqual(code, 0)
    const own = stderr.match(/packages\/\S+\.ts/g) ?? []
    assert.include(own, "packages/node/src/cli/Evenkeel.ts")
    assert.deepStrictEqual(own.filter((file) => !/node\/src\/(?:bin\.ts|cli\/)/.test(file)), [])
  })

  it("ends with 2 where the command line or the configuration is wrong, and says why", async () => {
    const wrong = await runEvenkeel(["serve", "--config", "no-such.yaml"])
    assert.strictEqual(wrong.code, 2)
    assert.match(
      wrong.stderr,
      /^\s*ERROR\n {2}The configuration from no-such\.yaml is not valid:\n {2}- no such file exists/
    )
    assert.notMatch(wrong.stderr, /\.ts:\d+/)
    const flag = await runEvenkeel(["serve", "--port", "70000"])
    assert.strictEqual(flag.code, 2)
    assert.include(flag.stderr, "Expected: a number from 0 to 65535")
    assert.strictEqual((await runEvenkeel(["swerve"])).code, 2)
  })

  it("ends with 0 when what serves is told to stop", async () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const serving = startEvenkeel(["serve", "--port", "0"], { OPENAI_API_KEY: "any" })
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await serving.said(/Evenkeel listens at/)
      serving.child.kill(signal)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      assert.deepInclude(await serving.ended, { code: 0, signal: null })
    }
  })

  it("writes the completions of every command", async () => {
    const { stdout } = await runEvenkeel(["--completions", "bash"])
    for (const word of ["serve", "key", "--config"]) assert.include(stdout, word)
  })
})
