import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import OpenAI, { APIError } from "openai"
import { answer, balancing, chunk, completion, hello, service, stop, streaming } from "../support/PlainBalancer.ts"
import { type Handler, json, listen } from "../support/PlainServer.ts"
import { collect, failureAs, messages } from "../support/Served.ts"

const DAY = 86_400_000

/** Answers after a while. */
const slowly: Handler = (_, response) => {
  setTimeout(() => json(response, answer), 60)
}

describe("a long timeout", () => {
  const timeouts: ReadonlyArray<readonly [string, number]> = [
    ["as long as a timer can be", 2_147_483_647],
    ["a minute less than that", 2_147_483_647 - 60_000],
    ["a moment more than a minute less", 2_147_483_647 - 59_999],
    ["thirty days", 30 * DAY],
    ["a text", "30 seconds" as never]
  ]
  for (const [name, timeout] of timeouts) {
    it(`is not over at once, of a call: ${name}`, async () => {
      await using server = await listen(slowly)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      const { choices } = await lb.openai.chat.completions.create(hello, { timeout })
      assert.strictEqual(choices[0]!.message.content, "Hello.")
    })

    it(`is not over at once, of a client: ${name}`, async () => {
      await using server = await listen(slowly)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      const { choices } = await lb.openai.withOptions({ timeout }).chat.completions.create(hello)
      assert.strictEqual(choices[0]!.message.content, "Hello.")
    })
  }

  it("is not over at once, where it is configured", async () => {
    await using server = await listen(slowly)
    const config = { ...balancing(service("r", server.url)), timeouts: { total: 2_147_483_647 } }
    await using lb = createLoadBalancer(config)
    assert.strictEqual((await lb.openai.chat.completions.create(hello)).id, "x")
  })

  for (const timeout of ["soon" as never, NaN, Infinity, -1, 0]) {
    it(`is refused where it is no duration, and nothing is sent: ${String(timeout)}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      const error = await failureAs(lb.openai.chat.completions.create(hello, { timeout }), APIError)
      assert.deepStrictEqual([error.status, error.code], [400, "invalid_request"])
      assert.lengthOf(server.received, 0)
    })
  }

  it("given as a text is the deadline", async () => {
    await using server = await listen(() => {})
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const asking = lb.openai.chat.completions.create(hello, { timeout: "100 millis" as never })
    const error = await failureAs(asking, APIError)
    assert.deepStrictEqual([error.status, error.code], [504, "timeout_total"])
  })
})

describe("one object of request options", () => {
  it("may be used for another request, with another body", async () => {
    await using server = await listen(completion)
    const deployments = [{ name: "d1", model: "m1" }, { name: "d2", model: "m2" }]
    await using lb = createLoadBalancer(balancing({ ...service("r", server.url), deployments }))
    const options = { method: "post" as const, path: "/chat/completions", body: { model: "m1", messages } as object }
    await lb.openai.request(options)
    options.body = { model: "m2", messages: [{ role: "user", content: "second" }] }
    await lb.openai.request(options)
    const bodies = server.received.map(({ body }) => body.toString())
    assert.deepStrictEqual(bodies.map((body) => body.match(/"model"/g)?.length), [1, 1])
    const sent = bodies.map((body) => JSON.parse(body) as { readonly model: string; readonly messages: unknown })
    assert.deepStrictEqual(sent.map(({ model }) => model), ["d1", "d2"])
    assert.deepStrictEqual(sent[1]!.messages, [{ role: "user", content: "second" }])
  })

  it("may be used for the same request again", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url, { name: "served", model: "m" })))
    const options = { method: "post" as const, path: "/chat/completions", body: { ...hello } }
    for (let i = 0; i < 3; i++) {
      await lb.openai.request(options)
    }
    const bodies = server.received.map(({ body }) => body.toString())
    assert.strictEqual(new Set(bodies).size, 1)
    assert.deepStrictEqual(JSON.parse(bodies[0]!), { ...hello, model: "served" })
  })
})

describe("post with stream: true", () => {
  it("in its body alone gives what the plain client gives", async () => {
    await using server = await listen(streaming([chunk("a"), stop], { every: 5 }))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const plain = new OpenAI({ apiKey: "k", baseURL: `${server.url}/v1`, maxRetries: 0, logLevel: "off" })
    const body = { ...hello, stream: true }
    const [balanced, expected] = [
      await lb.openai.post("/chat/completions", { body: { ...body } }),
      await plain.post("/chat/completions", { body: { ...body } })
    ]
    assert.isString(expected)
    assert.strictEqual(balanced, expected)
  })

  it("as an option too gives the events", async () => {
    await using server = await listen(streaming([chunk("a"), stop], { every: 5 }))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const given = await lb.openai.post("/chat/completions", { body: { ...hello, stream: true }, stream: true })
    const events = await collect(given as AsyncIterable<{ readonly id: string }>)
    assert.deepStrictEqual(events.map(({ id }) => id), ["x", "x"])
  })
})
