import { assert, describe, it } from "@effect/vitest"
import { type Policy, Selector } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { APIConnectionError } from "openai"
import { balancing, chatUrl, completion, hello, post, service, within } from "../support/PlainBalancer.ts"
import { listen } from "../support/PlainServer.ts"
import { failureAs, failureOf, inFlight } from "../support/Served.ts"

const boom = new Error("boom")

const throwing = Selector.layer(() => {
  throw boom
})

describe("a selector that throws", () => {
  for (const stream of [false, true]) {
    it(`is what lb.fetch is rejected with: ${stream ? "streamed" : "whole"}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url)), { selector: throwing })
      assert.strictEqual(await failureOf(lb.fetch(chatUrl, post({ ...hello, stream }))), boom)
      assert.strictEqual(inFlight(lb), 0)
      assert.lengthOf(server.received, 0)
    })

    it(`is the cause of what lb.openai is rejected with: ${stream ? "streamed" : "whole"}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url)), { selector: throwing })
      const error = await failureAs(lb.openai.chat.completions.create({ ...hello, stream }), APIConnectionError)
      assert.strictEqual(error.cause, boom)
      assert.notMatch(error.message, /closed/)
      assert.strictEqual(inFlight(lb), 0)
    })
  }

  it("does not keep a call that it aborts", async () => {
    await using server = await listen(completion)
    const controller = new AbortController()
    const aborting = Selector.layer((candidates) => {
      controller.abort(boom)
      return candidates[0]!
    })
    await using lb = createLoadBalancer(balancing(service("r", server.url)), { selector: aborting })
    const call = lb.fetch(chatUrl, { ...post(hello), signal: controller.signal })
    assert.strictEqual(await failureOf(call), boom)
    assert.strictEqual(inFlight(lb), 0)
  })

  it("does not keep a call of a balancer that it closes", async () => {
    await using server = await listen(() => {})
    const closing = Selector.layer((candidates) => {
      void lb.close()
      return candidates[0]!
    })
    const lb = createLoadBalancer(balancing(service("r", server.url)), { selector: closing })
    const response = await within(lb.fetch(chatUrl, post(hello)))
    assert.propertyVal(response, "status", 503)
    assert.strictEqual(inFlight(lb), 0)
  })
})

describe("a selector that gives no candidate", () => {
  const wrong: ReadonlyArray<readonly [string, (candidates: ReadonlyArray<Policy.Candidate>) => unknown]> = [
    ["nothing", () => undefined],
    ["an id", ([first]) => first!.id],
    ["a promise", async ([first]) => first]
  ]
  for (const [name, choose] of wrong) {
    it(`is said to be wrong: it gives ${name}`, async () => {
      await using server = await listen(completion)
      const selector = Selector.layer(choose as Policy.Policy)
      await using lb = createLoadBalancer(balancing(service("r", server.url)), { selector })
      const error = await failureAs(lb.fetch(chatUrl, post(hello)), TypeError)
      assert.match(error.message, /selector/)
      const { cause } = await failureAs(lb.openai.chat.completions.create(hello), APIConnectionError)
      assert.match((cause as Error).message, /selector/)
      assert.strictEqual(inFlight(lb), 0)
    })
  }
})
