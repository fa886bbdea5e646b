import { assert, describe, it } from "@effect/vitest"
import { HealthMonitor, InvalidConfig, LoadBalancerError, Policy, Selector } from "@evenkeel/core"
import { createLoadBalancer, createLoadBalancerFromEnvironment } from "@evenkeel/node/promises"
import OpenAI from "openai"
import { azure } from "../support/Scripted.ts"

const config = { resources: [azure("east")] }

/** Where the mistakes are that this throws. */
const mistakes = (create: () => unknown): ReadonlyArray<string> => {
  try {
    create()
  } catch (error) {
    assert.instanceOf(error, LoadBalancerError)
    assert.instanceOf(error.reason, InvalidConfig)
    return error.reason.issues.map(({ path }) => path)
  }
  return assert.fail("It did not throw")
}

describe("createLoadBalancer of @evenkeel/node/promises", () => {
  it("takes what is no layer", async () => {
    class Client extends OpenAI {}
    await using lb = createLoadBalancer(config, { openai: Client, warnings: false })
    assert.instanceOf(lb.openai satisfies Client, Client)
  })

  it("takes no layer, which another copy of Effect made", () => {
    const layers = { selector: Selector.layer(Policy.leastLoaded), healthMonitor: HealthMonitor.layerNone }
    const expected = ["options.selector", "options.healthMonitor"]
    // @ts-expect-error -- none is among its options
    assert.deepStrictEqual(mistakes(() => createLoadBalancer(config, layers)), expected)
    // @ts-expect-error -- nor here
    assert.deepStrictEqual(mistakes(() => createLoadBalancerFromEnvironment(layers)), expected)
  })

  it("tells of other mistakes in its options as @evenkeel/node does", () => {
    // @ts-expect-error -- there is no such option
    assert.deepStrictEqual(mistakes(() => createLoadBalancer(config, { warning: false })), ["options.warning"])
  })
})
