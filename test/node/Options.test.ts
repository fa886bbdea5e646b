import { assert, describe, it } from "@effect/vitest"
import { InvalidConfig, LoadBalancer, LoadBalancerError } from "@evenkeel/core"
import { createLoadBalancer, createLoadBalancerFromEnvironment, layer } from "@evenkeel/node"
import { Effect, Layer } from "effect"
import { resource, serve } from "../support/Served.ts"

const right = { resources: [{ name: "one", provider: "openai", apiKey: "k", deployments: [{ name: "m" }] }] } as const

/** What is wrong, by path. */
const issuesOf = (make: () => unknown): Readonly<Record<string, string>> => {
  try {
    make()
  } catch (error) {
    assert.instanceOf(error, LoadBalancerError)
    assert.instanceOf(error.reason, InvalidConfig)
    return Object.fromEntries(error.reason.issues.map(({ message, path }) => [path, message]))
  }
  return assert.fail("It did not throw")
}

describe("the options beside a configuration", () => {
  it("are known ones, and a mistake in them is told with those of the configuration", () => {
    const issues = issuesOf(() =>
      createLoadBalancer({ ...right, defaultResource: "two" }, { telemetri: Layer.empty, fetch: () => {} } as never)
    )
    assert.strictEqual(issues["options.telemetri"], "unknown key; did you mean `telemetry`?")
    assert.match(issues["options.fetch"]!, /^unknown key; known here: .*`transport`/)
    assert.isString(issues["defaultResource"])
  })

  it("are layers, and `telemetry: true` is told what would be right", () => {
    const issues = issuesOf(() => createLoadBalancer(right, { telemetry: true, instrumentation: {} } as never))
    assert.match(issues["options.telemetry"]!, /^expected a layer, such as `Telemetry\.layer\(.*\)`, found true$/)
    assert.match(issues["options.instrumentation"]!, /^expected a layer, such as `OtlpLive.* found an object$/)
  })

  it("have the class of the official client, and not its module or an instance", () => {
    for (const openai of [{ OpenAI: Array }, Array, () => {}]) {
      const issues = issuesOf(() => createLoadBalancer(right, { openai } as never))
      assert.match(issues["options.openai"]!, /^expected the class `OpenAI` of the package openai, found/)
    }
  })

  it("are an object", () => {
    assert.match(issuesOf(() => createLoadBalancer(right, "fast" as never))["options"]!, /^expected an object, found/)
  })

  it("are looked at where the environment configures, too", () => {
    assert.property(
      issuesOf(() => createLoadBalancerFromEnvironment({ telemetry: true } as never)),
      "options.telemetry"
    )
  })

  it.effect("are looked at by layers", () =>
    Effect.gen(function*() {
      const wrong = { telemetry: true } as never
      for (const made of [layer(right, wrong), LoadBalancer.layer(right, wrong) as ReturnType<typeof layer>]) {
        const error = yield* Effect.flip(Effect.provide(LoadBalancer, made))
        assert.match(error.message, /options\.telemetry: expected a layer/)
      }
    }))
})

describe("a balancer that was closed", () => {
  it("takes no more deployments, and says so", async () => {
    const served = await serve([resource("east")])
    const { deployments } = served.lb
    const more = { ...right.resources[0], name: "more" }
    await deployments.add(more)
    await served[Symbol.asyncDispose]()
    for (const change of [deployments.add({ ...more, name: "other" }), deployments.update("more/m", { weight: 2 })]) {
      const error = await change.then(() => undefined, (cause: unknown) => cause)
      assert.instanceOf(error, LoadBalancerError)
      assert.match(error.message, /the load balancer was closed; create another/)
    }
    assert.notInclude(served.lb.snapshot().resources.map(({ name }) => name), "other")
  })

  it("tells of unknown keys in what is added or changed", async () => {
    await using served = await serve([resource("east")])
    const { deployments } = served.lb
    const added = await deployments.add({ ...right.resources[0], tires: 1 } as never).catch(String)
    assert.include(added, "unknown key")
    const changed = await deployments.update("east/gpt", { wieght: 1 } as never).catch(String)
    assert.match(String(changed), /wieght: unknown key; did you mean `weight`\?/)
  })
})
