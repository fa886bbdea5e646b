import { evenkeel } from "#node/cli/Evenkeel"
import { assert, describe, it } from "@effect/vitest"
import { sample } from "../../support/Check.ts"
import { nowhere, runEvenkeel, startEvenkeel } from "../../support/Child.ts"

/** Names every module that is loaded. */
const naming = `import { registerHooks } from "node:module"
registerHooks({ load: (url, context, next) => (console.error(url), next(url, context)) })`

describe("the command evenkeel", { concurrent: false }, () => {
  it("loads nothing of the library before a command runs that needs it", async () => {
    const { code, stderr } = await runEvenkeel(["--help"], {
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(naming)}`
    })
    assert.strictEqual(code, 0)
    const own = stderr.match(/packages\/\S+\.ts/g) ?? []
    assert.include(own, "packages/node/src/cli/Evenkeel.ts")
    assert.deepStrictEqual(own.filter((file) => !/node\/src\/(?:bin\.ts|OwnPackage\.ts|cli\/)/.test(file)), [])
  })

  it("tells of itself, and of each command, on one screen of 80 columns and 24 lines, the last for the prompt", async () => {
    const commands = evenkeel.subcommands.flatMap(({ commands }) => commands.map(({ name }) => [name]))
    await Promise.all(
      sample([[], ...commands], 3).map(async (command) => {
        const { stdout } = await runEvenkeel([...command, "--help"])
        const rows = stdout.trim().split("\n").reduce((sum, { length }) => sum + Math.max(1, Math.ceil(length / 80)), 0)
        assert.isAtMost(rows, 23, stdout)
        if (command.length > 0) assert.include(stdout, "Run 'evenkeel --help' for global flags")
        else for (const flag of ["--completions", "--log-level", "--version"]) assert.include(stdout, flag)
      })
    )
  })

  it("ends with 2 where the command line is wrong, and says why", async () => {
    const { code, stderr } = await runEvenkeel(["serve", "--port", "70000"])
    assert.strictEqual(code, 2)
    assert.include(stderr, "Invalid value for flag --port: \"70000\". Expected: a number from 0 to 65535")
  })

  it("ends with 0 when what serves is told to stop", async () => {
    const serving = startEvenkeel(["serve", "--port", "0"], nowhere)
    await serving.said(/Evenkeel listens at/)
    serving.child.kill("SIGTERM")
    assert.deepInclude(await serving.ended, { code: 0, signal: null })
  })

  it("writes the completions of every command", async () => {
    const { stdout } = await runEvenkeel(["--completions", "bash"])
    for (const word of ["serve", "check", "simulate", "key", "--config"]) assert.include(stdout, word)
  })
})
