import { assert, describe, it } from "@effect/vitest"
import { collect, eventually, fast, hello, inFlight, resource, serve, type Served } from "../support/Served.ts"

const names = Array.from({ length: 10 }, (_, i) => `r${i}`)

const said = "Everything is on an even keel."

const serveTen = () =>
  serve(names.map((name) => resource(name, { latency: { ...fast, baseMs: 20 }, reply: () => said })))

/** One call, and whether it was answered whole. */
const ask = async ({ lb }: Served, i: number): Promise<boolean> => {
  const client = i % 3 === 0 ? lb.session(`user-${i % 50}`) : lb.openai
  switch (i % 4) {
    case 0:
      return (await client.chat.completions.create(hello)).choices[0]!.message.content === said
    case 1: {
      const chunks = await collect(await client.chat.completions.create({ ...hello, stream: true }))
      return chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("") === said
    }
    case 2: {
      const events = await collect(await client.responses.create({ model: "gpt-4o", input: "Hello", stream: true }))
      return events.at(-1)!.type === "response.completed"
    }
    default:
      return (await client.responses.create({ model: "gpt-4o", input: "Hello" })).output_text === said
  }
}

describe("a thousand calls at once over ten deployments", () => {
  it("are all answered, evenly, and leave nothing in flight", async () => {
    await using served = await serveTen()
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => ask(served, i)))
    assert.isTrue(answers.every((isWhole) => isWhole))
    await eventually(() => inFlight(served.lb) === 0)
    assert.strictEqual(served.sends(), 1_000)
    for (const name of names) {
      const { abandoned, inFlight, requests } = served.stats(name)
      assert.deepStrictEqual([abandoned, inFlight], [0, 0])
      // sessions have homes, so that not all are quite level
      assert.isAbove(requests, 40, name)
      assert.isBelow(requests, 220, name)
    }
  }, 20_000)

  it("are all answered while faults strike, with no more sends than the attempts allow", async () => {
    await using served = await serveTen()
    for (const name of names.slice(0, 3)) {
      served.service(name).fault("gpt", { kind: "status", status: 500, times: 4 })
      served.service(name).fault("gpt", { kind: "cut", afterEvents: 1, ending: "reset", times: 8 })
      served.service(name).fault("gpt", { kind: "throttle", retryAfterMs: 100, times: 20 })
    }
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, i) => ask(served, i)))
    assert.isTrue(answers.every((isWhole) => isWhole))
    await eventually(() => inFlight(served.lb) === 0)
    assert.isAtLeast(served.sends(), 1_000)
    assert.isBelow(served.sends(), 1_200)
  }, 20_000)

  it("can all be left at any moment", async () => {
    await using served = await serveTen()
    const outcomes = await Promise.allSettled(Array.from({ length: 600 }, async (_, i) => {
      const signal = AbortSignal.timeout(1 + (i % 60))
      const stream = await served.lb.openai.chat.completions.create({ ...hello, stream: true }, { signal })
      for await (const _ of stream) { /* read */ }
    }))
    assert.strictEqual(outcomes.length, 600)
    await eventually(() => inFlight(served.lb) === 0 && names.every((name) => served.stats(name).inFlight === 0))
    assert.isAtMost(served.sends(), 600)
    assert.strictEqual((await served.lb.openai.chat.completions.create(hello)).choices[0]!.message.content, said)
  }, 20_000)
})
