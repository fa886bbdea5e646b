import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { APIError } from "openai"
import { collect, eventually, failureAs, failureOf, hello, inFlight, resource, serve } from "../support/Served.ts"

const words = "Once upon a time there was a balancer that never let a stream end as if all were well."

const serveOne = (fault: SimulatedFault) =>
  serve([resource("east", { reply: () => words })], { timeouts: { idle: 400 } }).then((served) => {
    served.service("east").fault("gpt", fault)
    return served
  })

/** Ways in which a stream breaks after its content has begun. */
const breaks: ReadonlyArray<readonly [string, SimulatedFault]> = [
  ["a reset", { kind: "cut", afterEvents: 9, ending: "reset" }],
  ["an end without its end", { kind: "cut", afterEvents: 9, ending: "end" }],
  ["an error event", { kind: "errorInStream", afterEvents: 9 }],
  ["an end in the middle of an event", { kind: "malformed", how: "utf8", afterEvents: 9 }],
  ["a stall", { kind: "hang", afterEvents: 9 }],
  ["an event that is no JSON", { kind: "malformed", how: "json", afterEvents: 9 }]
]

describe("a stream that breaks after its content began", () => {
  for (const [name, fault] of breaks) {
    it(`raises in the loop: ${name}`, async () => {
      await using served = await serveOne(fault)
      let text = ""
      const read = async () => {
        const stream = await served.lb.openai.chat.completions.create({ ...hello, stream: true }, { maxRetries: 3 })
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ""
      }
      const error = await failureOf(read())
      // the client itself calls a bad event a SyntaxError
      if (fault.kind !== "malformed" || fault.how === "utf8") assert.instanceOf(error, APIError)
      assert.isNotEmpty(text)
      assert.isTrue(words.startsWith(text))
      assert.strictEqual(served.sends(), 1)
      await eventually(() => inFlight(served.lb) === 0)
    })
  }

  it("says what was delivered, and by whom, where the service said nothing", async () => {
    await using served = await serveOne({ kind: "cut", afterEvents: 9, ending: "reset" })
    const error = await failureAs(
      served.lb.openai.chat.completions.create({ ...hello, stream: true }).then(collect),
      APIError
    )
    assert.strictEqual(error.code, "stream_interrupted")
    assert.match(error.message, /east\/gpt broke after \d+ events/)
    assert.notInclude(error.message, words.slice(0, 10))
  })
})

describe("a stream that breaks before its content begins", () => {
  const early: ReadonlyArray<readonly [string, SimulatedFault]> = [
    ["a reset", { kind: "cut", afterEvents: 1, ending: "reset" }],
    ["an end without its end", { kind: "cut", afterEvents: 1, ending: "end" }],
    ["an error event", { kind: "errorInStream", afterEvents: 1 }],
    ["no event at all", { kind: "empty" }],
    ["nothing but its end", { kind: "empty", done: true }],
    ["an end in the middle of an event", { kind: "malformed", how: "utf8", afterEvents: 9 }],
    ["a stall", { kind: "hang", afterEvents: 1 }]
  ]
  for (const [name, fault] of early) {
    it(`comes whole from another deployment: ${name}`, async () => {
      const timeouts = { firstEvent: 400, firstContent: 500 }
      await using served = await serve([resource("east"), resource("west")], { timeouts })
      served.service("east").fault("gpt", fault)
      await Promise.all(Array.from({ length: 4 }, async () => {
        const stream = await served.lb.openai.chat.completions.create({ ...hello, stream: true })
        const chunks = await collect(stream)
        assert.strictEqual(new Set(chunks.map(({ id }) => id).filter((id) => id !== "")).size, 1)
        const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")
        assert.strictEqual(text, "Hello from here.")
      }))
      assert.isAbove(served.stats("east").requests, 0)
      await eventually(() => inFlight(served.lb) === 0)
    })
  }
})
