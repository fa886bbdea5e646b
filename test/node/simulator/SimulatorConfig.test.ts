import * as SimulatorConfig from "#node/simulator/SimulatorConfig"
import { startSimulator } from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"

const issuesOf = (input: unknown): ReadonlyArray<string> => {
  const decoded = SimulatorConfig.decode(input)
  return Result.isSuccess(decoded) ? [] : decoded.failure.map(({ message, path }) => `${path}: ${message}`)
}

const deployment = { name: "gpt-4o" }
const resource = { name: "east", deployments: [deployment] }

describe("what to simulate, as data", () => {
  it("becomes a simulator, with its limits, its words and its faults", async () => {
    const options = Result.getOrThrow(SimulatorConfig.decode({
      seed: 3,
      resources: [{
        ...resource,
        provider: "openai",
        apiKey: "key",
        faults: [{ kind: "status", status: 503, times: 1 }],
        deployments: [{ ...deployment, tpm: 1_000, rpm: 10, latency: { baseMs: 1, jitter: 0 }, reply: "Hello." }]
      }]
    }))
    await using simulator = await startSimulator(options)
    const [started] = simulator.resources
    assert.deepInclude(started!.config(), { name: "east", provider: "openai", apiKey: "key" })
    const ask = () =>
      fetch(`${started!.baseUrl}/chat/completions`, {
        method: "POST",
        headers: { authorization: "Bearer key" },
        body: JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }] })
      })
    assert.strictEqual((await ask()).status, 503)
    const answer = await ask()
    assert.strictEqual(answer.headers.get("x-ratelimit-limit-tokens"), "1000")
    assert.include(await answer.text(), "Hello.")
  })

  it("shares one quota among those that name a pool", () => {
    const pooled = [{ ...deployment, pool: "global" }]
    const { resources } = Result.getOrThrow(SimulatorConfig.decode({
      pools: [{ name: "global", tpm: 1_000, window: "bucket" }],
      resources: [{ name: "east", deployments: pooled }, { name: "west", deployments: pooled }]
    }))
    const [east, west] = resources.map(({ deployments }) => deployments[0]!.pool)
    assert.isDefined(east)
    assert.strictEqual(east, west)
    assert.deepInclude(east!.options, { name: "global", tpm: 1_000 })
  })

  it("tells every mistake in the words of a configuration", () => {
    assert.deepStrictEqual(
      issuesOf({
        pools: [{ name: "global", rpm: -1 }],
        resources: [
          { name: "a b", port: 5001, deployments: [{ name: "x", pool: "globla" }, { ...deployment, latancy: {} }] },
          {
            name: "west",
            port: 5001,
            provider: "azur",
            deployments: [
              { ...deployment, pool: "global", tpm: 1, faults: [{ kind: "slow" }, { kind: "slwo" }, "slow"] },
              { ...deployment, faults: [{ kind: "cut", afterEvents: 1, ending: "stop" }] }
            ]
          },
          { name: "west" }
        ]
      }).map((issue) => issue.replace(/"status", .* or "unknownLimits"/, "…")),
      [
        "pools[0].rpm: expected a number above 0, found -1",
        "resources[0].name: expected a name of letters, digits, `-` and `_`, found \"a b\"",
        "resources[0].deployments[1].latancy: unknown key; did you mean `latency`?",
        "resources[1].provider: expected \"azure\" or \"openai\", found \"azur\"",
        "resources[1].deployments[0].faults[0].factor: is missing",
        "resources[1].deployments[0].faults[1].kind: expected …, found \"slwo\"",
        "resources[1].deployments[0].faults[2]: expected an object, found \"slow\"",
        "resources[1].deployments[1].faults[0].ending: expected \"end\" or \"reset\", found \"stop\"",
        "resources[2].deployments: is missing: list at least one deployment",
        "resources[2].name: \"west\" is already the name of resources[1]; names must be unique",
        "resources[0].deployments[0].pool: is not the name of a pool; did you mean \"global\"?",
        "resources[1].port: is already that of resources[0]; give another, or 0 for any",
        "resources[1].deployments[1].name: \"gpt-4o\" is already the name of resources[1].deployments[0]; names must be unique",
        "resources[1].deployments[0].tpm: is its pool's; give it there"
      ]
    )
  })

  it("takes anything for a mistake that is none of it, and shows no key", () => {
    for (const input of [undefined, null, "text", [], {}, { resources: [] }, { resources: [null] }, { pools: [3] }]) {
      assert.isNotEmpty(issuesOf(input))
    }
    assert.deepStrictEqual(issuesOf({ resources: [{ ...resource, apiKey: 1234 }] }), [
      "resources[0].apiKey: expected the key, without spaces around it, found a number"
    ])
  })
})
