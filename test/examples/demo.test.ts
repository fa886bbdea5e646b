import { assert, describe, it } from "@effect/vitest"
import { evenkeelConfig, run, startTwo } from "./support.ts"

describe("the demo", { timeout: 35_000 }, () => {
  it("breaks three of six deployments, and no caller sees an error", async () => {
    const { code, errors, out } = await run("demo.ts", {}, ["--seconds", "5"])
    assert.strictEqual(errors, "")
    // plain lines while it runs, because this is no terminal
    assert.notInclude(out, "\u001b")
    assert.match(out, /^[\d.]+ s of 5\.0 s: \d+ answered/m)
    assert.include(out, "▸ west/gpt-4o is gone: it refuses every connection")
    assert.include(out, "▸ west/gpt-4o is there again")
    assert.match(out, /west\/gpt-4o is failing: connection (broken|refused); next try in/)
    assert.match(out, /sweden\/gpt-4o is throttled/)
    // the table
    assert.match(out, /^ deployment +tier +served +share +first token +tokens in +cached +out$/m)
    for (const id of ["east/ptu", "west/gpt-4o", "france/gpt-4o", "sweden/gpt-4o", "japan/gpt-4o", "brazil/gpt-4o"]) {
      assert.match(out, new RegExp(`^ ${id} +[12] +[1-9]\\d* `, "m"))
    }
    assert.match(out, /from west\/gpt-4o +connection (broken|refused)/)
    assert.match(out, /from sweden\/gpt-4o +429, too many requests/)
    assert.match(out, /✓ \d+ calls, \d+ of them streamed and \d+ in sessions: no caller saw an error/)
    assert.notInclude(out, "✗")
    assert.strictEqual(code, 0)
  })

  it("ends with another exit code where callers see errors, because everything is down", async () => {
    const { code, out } = await run("demo.ts", {}, ["--seconds", "4", "--outage"])
    assert.include(out, "▸ every deployment is switched off")
    assert.match(out, /✗ \d+ calls, .*: \d+ callers? saw an error/)
    assert.match(out, /✗ \d+ callers?: 503 No deployment of "gpt-4o" answered/)
    assert.strictEqual(code, 1)
  })

  it("asks your own deployments where there are credentials, and says so first", async () => {
    await using simulator = await startTwo((resource) => `A keel, says ${resource}.`)
    const { code, out } = await run("demo.ts", evenkeelConfig(simulator))
    assert.match(out, /^Found EVENKEEL_CONFIG: asking your own deployments\. To simulate instead: --simulated\n/)
    assert.strictEqual(out.match(/A keel, says (eastus|sweden)\./g)?.length, 4)
    assert.match(out, /(eastus|sweden)\/gpt-4o: \d answers?, \d+ tokens in, \d+ out/)
    assert.notInclude(out, "Who served what")
    assert.strictEqual(code, 0)
  })

  it("says what is wrong with credentials that are not whole", async () => {
    const { code, errors } = await run("demo.ts", { AZURE_OPENAI_API_KEY: "secret" })
    assert.include(errors, "AZURE_OPENAI_ENDPOINT")
    assert.notInclude(errors, "secret")
    assert.strictEqual(code, 1)
  })

  it("names the error where credentials are wrong", async () => {
    await using simulator = await startTwo()
    const { apiKey, url } = simulator.resources[0]!
    const { code, errors, out } = await run("demo.ts", {
      AZURE_OPENAI_ENDPOINT: url,
      AZURE_OPENAI_API_KEY: `not-${apiKey}`,
      AZURE_OPENAI_DEPLOYMENTS: "gpt-4o"
    })
    assert.include(errors, "http 401")
    assert.notInclude(out + errors, `not-${apiKey}`)
    assert.strictEqual(code, 1)
  })

  it("refuses what it does not understand", async () => {
    const { code, errors } = await run("demo.ts", {}, ["--seconds", "two"])
    assert.deepStrictEqual([code, errors], [1, "--seconds takes a number from 3 to 60\n"])
  })
})
