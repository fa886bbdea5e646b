import { assert, describe, it } from "@effect/vitest"
import { getEventListeners } from "node:events"
import type OpenAI from "openai"
import { collect, eventually, hello, inFlight, resource, serve, type Served, slow } from "../support/Served.ts"

const open = ({ lb }: Served, options?: OpenAI.RequestOptions) =>
  lb.openai.chat.completions.create({ ...hello, stream: true }, options)

const serveOne = () => serve([resource("east")])

/** Talks for 20 seconds, unless it is stopped. */
const serveSlow = () => serve([resource("east", { latency: slow, reply: () => "x".repeat(4_000) })])

/** The balancer and the service agree that nothing is under way, and that one answer was not heard to its end. */
const isLeft = ({ lb, stats }: Served): boolean => inFlight(lb) === 0 && stats("east").abandoned === 1

describe("a streamed answer through lb.openai", () => {
  it("can be passed on as the body of another response", async () => {
    await using served = await serveOne()
    const response = await open(served).asResponse()
    const passed = new Response(response.body, { headers: response.headers })
    assert.isTrue((await passed.text()).endsWith("data: [DONE]\n\n"))
    await eventually(() => inFlight(served.lb) === 0)
  })
})

describe("a caller that leaves a stream", () => {
  it("stops it by breaking out of the loop", async () => {
    await using served = await serveSlow()
    let chunks = 0
    for await (const _ of await open(served)) {
      if (++chunks === 5) break
    }
    await eventually(() => isLeft(served))
    assert.isBelow(served.stats("east").deployments["gpt"]!.completionTokens, 100)
  })

  it("leaves no listener on a signal that it uses again and again", async () => {
    await using served = await serveOne()
    const { signal } = new AbortController()
    for (let i = 0; i < 5; i++) {
      await served.lb.openai.chat.completions.create(hello, { signal })
      await collect(await open(served, { signal }))
      for await (const _ of await open(served, { signal })) break
      const init = { method: "POST", headers: { "content-type": "application/json" }, signal }
      const body = JSON.stringify({ ...hello, stream: i % 2 === 0 })
      await (await served.lb.fetch("https://api.openai.com/v1/chat/completions", { ...init, body })).text()
    }
    await eventually(() => getEventListeners(signal, "abort").length === 0)
  })

  it("stops it by cancelling the body", async () => {
    await using served = await serveSlow()
    const response = await open(served).asResponse()
    const reader = response.body!.getReader()
    await reader.read()
    await reader.cancel()
    await eventually(() => isLeft(served))
    const again = await open(served).asResponse()
    await again.body!.cancel()
    await eventually(() => inFlight(served.lb) === 0 && served.stats("east").abandoned === 2)
  })
})
