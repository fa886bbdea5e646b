import { assert, describe, it } from "@effect/vitest"
import { eventually, fast, hello, inFlight, pause, resource, serve, type Served } from "../support/Served.ts"

const names = ["east", "west", "north"]

const said = "Everything is on an even keel."

/** A whole answer: a stream that has begun cannot be repeated, and is tested below. */
const ask = async ({ lb }: Served, i: number): Promise<string | null> => {
  const client = i % 3 === 0 ? lb.session(`user-${i % 10}`) : lb.openai
  return (await client.chat.completions.create(hello)).choices[0]!.message.content
}

describe("deployments that go down and come up again", () => {
  it("are no caller's failure while another is up", async () => {
    await using served = await serve(names.map((name) => resource(name, { latency: fast, reply: () => said })), {
      health: { openFor: 50, maxOpenFor: 100, slowStart: 0, check: { interval: 50 } },
      failover: { budgetPerSecond: 100 }
    })
    const traffic = new AbortController()
    let answered = 0
    const failures: Array<unknown> = []
    const callers = Array.from({ length: 8 }, async (_, caller) => {
      for (let i = caller; !traffic.signal.aborted; i++) {
        try {
          assert.strictEqual(await ask(served, i), said)
          answered++
        } catch (error) {
          failures.push(error)
        }
        await pause(2)
      }
    })
    for (const name of names) {
      await pause(100)
      await served.simulator.down(name)
      await pause(150)
      await served.simulator.up(name)
      // well again before the next one goes
      const before = served.stats(name).requests
      await eventually(() => served.stats(name).requests > before + 5, `${name} gets no traffic again`)
    }
    traffic.abort()
    await Promise.all(callers)
    assert.deepStrictEqual(failures, [])
    assert.isAbove(answered, 50)
    assert.strictEqual(inFlight(served.lb), 0)
  }, 20_000)

  it("fail a stream only if its content had begun, and then say so", async () => {
    const slowly = { ...fast, perOutputTokenMs: 5 }
    await using served = await serve(
      ["east", "west"].map((name) => resource(name, { latency: slowly, reply: () => said.repeat(20) }))
    )
    const streams = Array.from({ length: 20 }, async () => {
      let text = ""
      try {
        for await (const chunk of await served.lb.openai.chat.completions.create({ ...hello, stream: true })) {
          text += chunk.choices[0]?.delta.content ?? ""
        }
        return { text, isWhole: true }
      } catch {
        return { text, isWhole: false }
      }
    })
    await eventually(() => served.stats("east").inFlight > 0 && served.stats("west").inFlight > 0)
    await pause(60)
    await served.simulator.down("east")
    const ends = await Promise.all(streams)
    for (const { isWhole, text } of ends) {
      assert.strictEqual(isWhole, text === said.repeat(20))
      assert.isTrue(said.repeat(20).startsWith(text))
    }
    assert.isTrue(ends.some(({ isWhole }) => isWhole) && ends.some(({ isWhole }) => !isWhole))
    await eventually(() => inFlight(served.lb) === 0)
  })

  it("are all tried again when all were down", async () => {
    await using served = await serve(names.map((name) => resource(name)), {
      health: { openFor: 50, maxOpenFor: 100, check: { interval: 50 } },
      failover: { backoff: 1, maxBackoff: 1, budgetPerSecond: 100 }
    })
    await served.lb.openai.chat.completions.create(hello)
    await Promise.all(names.map((name) => served.simulator.down(name)))
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => ask(served, 0)))
    assert.isTrue(outcomes.every(({ status }) => status === "rejected"))
    await Promise.all(names.map((name) => served.simulator.up(name)))
    // the first call after it is the best bet of an outage, or finds a breaker half open
    assert.strictEqual(await ask(served, 0), "Hello from here.")
    await eventually(() => served.lb.snapshot().resources.every(({ state }) => state === "healthy"))
    assert.strictEqual(inFlight(served.lb), 0)
  })
})
