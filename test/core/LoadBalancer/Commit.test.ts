import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import {
  answer,
  failure,
  fleet,
  heard,
  hello,
  reasonOf,
  run,
  sent,
  service,
  stateOf,
  steady
} from "../../support/Balanced.ts"

const says = (word: string) => ({ reply: () => `${word} `.repeat(40) })

/** East is asked first; both answer at length, and each with nothing but its own word. */
const pair = () =>
  fleet([service("east", says("east")), service("west", says("west"))], {
    tiers: { east: 1, west: 2 },
    timeouts: { firstEvent: "2 seconds", firstContent: "4 seconds", idle: "3 seconds" }
  })

const chatText = Effect.map(
  LoadBalancer,
  (lb) => Stream.map(lb.chatStream(hello), ({ choices }) => choices[0]?.delta.content ?? "")
).pipe(Stream.unwrap)

const responseText = Effect.map(LoadBalancer, (lb) =>
  Stream.map(
    lb.responsesStream({ model: "gpt-4o", input: "Say hello." }),
    (event) => event.type === "response.output_text.delta" ? event.delta : ""
  )).pipe(Stream.unwrap)

const cut = (afterEvents: number, ending: "end" | "reset"): SimulatedFault => ({ kind: "cut", afterEvents, ending })

/** What may go wrong before the first content of a chat: its first two events have none. */
const beforeContent: ReadonlyArray<{ readonly what: string; readonly fault: SimulatedFault }> = [
  { what: "a 503", fault: { kind: "status", status: 503 } },
  { what: "a 429", fault: { kind: "throttle", retryAfterMs: 60_000 } },
  { what: "no connection", fault: { kind: "refused" } },
  { what: "a broken connection", fault: { kind: "reset" } },
  { what: "silence", fault: { kind: "hang" } },
  { what: "an empty stream", fault: { kind: "empty" } },
  { what: "an empty stream that says it is done", fault: { kind: "empty", done: true } },
  { what: "a page of HTML", fault: { kind: "unreadable" } },
  ...[0, 1, 2].flatMap((afterEvents) => [
    { what: `an end after ${afterEvents} events`, fault: cut(afterEvents, "end") },
    { what: `a broken connection after ${afterEvents} events`, fault: cut(afterEvents, "reset") },
    { what: `a stall after ${afterEvents} events`, fault: { kind: "hang", afterEvents } as const },
    {
      what: `a limit inside the 200 after ${afterEvents} events`,
      fault: { kind: "errorInStream", afterEvents } as const
    },
    {
      what: `a server error inside the 200 after ${afterEvents} events`,
      fault: { kind: "errorInStream", afterEvents, type: "server_error", code: "server_error" } as const
    },
    { what: `no JSON after ${afterEvents} events`, fault: { kind: "malformed", how: "json", afterEvents } as const },
    {
      what: `half a character after ${afterEvents} events`,
      fault: { kind: "malformed", how: "utf8", afterEvents } as const
    }
  ])
]

const afterContent: ReadonlyArray<{ readonly what: string; readonly fault: SimulatedFault; readonly why: RegExp }> = [
  { what: "an early end", fault: cut(8, "end"), why: /cut short/ },
  { what: "a broken connection", fault: cut(8, "reset"), why: /reset/ },
  { what: "a stall", fault: { kind: "hang", afterEvents: 8 }, why: /timeout idle/ },
  { what: "a limit", fault: { kind: "errorInStream", afterEvents: 8 }, why: /rate_limit_exceeded/ },
  {
    what: "a server error",
    fault: { kind: "errorInStream", afterEvents: 8, type: "server_error", code: "server_error" },
    why: /server_error/
  },
  { what: "no JSON", fault: { kind: "malformed", how: "json", afterEvents: 8 }, why: /no JSON/ },
  { what: "half a character", fault: { kind: "malformed", how: "utf8", afterEvents: 8 }, why: /no JSON|cut short/ },
  { what: "a lost blank line", fault: { kind: "malformed", how: "blankLine", afterEvents: 8 }, why: /no JSON/ }
]

describe("LoadBalancer commit point", () => {
  for (const [kind, words] of Object.entries({ chat: chatText, response: responseText })) {
    it.effect.each(beforeContent)(
      `$what before the content of a ${kind} is invisible: another deployment answers`,
      (given) => {
        const two = pair()
        return run(two, function*() {
          two.services["east"]!.fault("gpt-4o", given.fault)
          assert.strictEqual(yield* answer(Stream.mkString(words)), "west ".repeat(40))
          assert.deepStrictEqual(sent(two), { east: 1, west: 1 })
          assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
          assert.strictEqual(two.services["east"]!.stats(0).inFlight, 0)
        })
      }
    )

    it.effect.each(afterContent)(
      `$what in the middle of a ${kind} is a typed error, and nothing is spliced`,
      (given) => {
        const two = pair()
        return run(two, function*() {
          two.services["east"]!.fault("gpt-4o", given.fault)
          let events = 0
          let text = ""
          const error = yield* failure(
            Stream.runForEach(words, (piece) =>
              Effect.sync(() => {
                events++
                text += piece
              }))
          )
          const { delivered, deployment, why } = reasonOf(error, "StreamInterrupted")
          assert.match(why, given.why)
          assert.strictEqual(deployment, "east/gpt-4o")
          assert.strictEqual(delivered.events, events)
          // what a service says of its own failure is one more event of a response
          assert.oneOf(events, kind === "chat" ? [8] : [8, 9])
          // the last word may be half of one; no other generation's word is in it
          assert.isTrue("east ".repeat(40).startsWith(text), text)
          assert.deepStrictEqual(sent(two), { east: 1, west: 0 })
          assert.deepInclude(yield* stateOf("east"), { inFlight: 0, waiting: 0 })
          assert.strictEqual(two.services["east"]!.stats(0).inFlight, 0)
        })
      }
    )
  }

  it.effect.each(
    [
      { what: "a 503", fault: { kind: "status", status: 503 } },
      { what: "no connection", fault: { kind: "refused" } },
      { what: "a broken connection", fault: { kind: "reset" } },
      { what: "an empty body", fault: { kind: "empty" } },
      { what: "half of a body", fault: { kind: "truncated" } },
      { what: "half of a body and a broken connection", fault: { kind: "cut", afterEvents: 0, ending: "reset" } },
      { what: "a page of HTML", fault: { kind: "unreadable" } },
      { what: "an error inside the 200", fault: { kind: "errorInStream" } }
    ] as const
  )("$what instead of a whole answer is invisible: another deployment answers", ({ fault }) => {
    const two = pair()
    return run(two, function*(lb) {
      two.services["east"]!.fault("gpt-4o", fault)
      const { choices } = yield* answer(lb.chat(hello))
      assert.strictEqual(choices[0]!.message.content, "west ".repeat(40))
      assert.deepStrictEqual(sent(two), { east: 1, west: 1 })
    })
  })

  it.effect("an error inside a 200 cools its deployment down for as long as that answer's headers say", () =>
    run(pair(), function*(lb, two, { events }) {
      two.services["east"]!.fault("gpt-4o", { kind: "errorInStream", headers: { "retry-after": "33" } })
      yield* answer(Stream.runDrain(lb.responsesStream({ model: "gpt-4o", input: "Say hello." })))
      assert.deepStrictEqual(heard(events, "CooledDown").map(({ coolFor }) => coolFor), [33_000])
      assert.strictEqual((yield* stateOf("east")).totals.throttled, 1)
    }))

  it.effect("the usage of a stream that broke after its usage chunk is in the error", () =>
    run(fleet([service("east")]), function*(lb, one) {
      // a filter result, a role, three pieces, a finish, the usage; only [DONE] is missing
      one.services["east"]!.fault("gpt-4o", cut(7, "end"))
      const error = yield* failure(Stream.runDrain(lb.chatStream(hello)))
      const { delivered } = reasonOf(error, "StreamInterrupted")
      assert.deepInclude(delivered.usage, { completionTokens: 3 })
      assert.strictEqual((yield* stateOf("east")).totals.completionTokens, 3)
    }))

  it.effect("the usage chunk reaches only a caller that asked for it", () =>
    run(fleet([service("east")]), function*(lb) {
      const silent = yield* answer(Stream.runCollect(lb.chatStream(hello)))
      assert.isTrue(silent.every(({ usage }) => usage === undefined || usage === null))
      assert.strictEqual(silent.at(-1)!.choices[0]!.finish_reason, "stop")
      const asked = lb.chatStream({ ...hello, stream_options: { include_usage: true } })
      const told = yield* answer(Stream.runCollect(asked))
      assert.strictEqual(told.at(-1)!.usage!.completion_tokens, 3)
      assert.deepInclude((yield* stateOf("east")).totals, { completionTokens: 6 })
    }))

  it.effect("a function call and an answer without a word are content: they commit", () => {
    const calls = { reply: () => ({ calls: [{ name: "look", arguments: { at: "sea" } }] }) }
    const two = fleet([service("east", calls), service("west", { reply: () => "" })], { tiers: { east: 1, west: 2 } })
    return run(two, function*(lb) {
      const tools = [{
        type: "function" as const,
        function: { name: "look", parameters: { type: "object", properties: { at: { type: "string" } } } }
      }]
      const called = yield* answer(Stream.runCollect(lb.chatStream({ ...hello, tools })))
      assert.strictEqual(called.at(-1)!.choices[0]!.finish_reason, "tool_calls")
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 503 })
      const wordless = yield* answer(Stream.runCollect(lb.chatStream(hello)))
      assert.strictEqual(wordless.at(-1)!.choices[0]!.finish_reason, "stop")
      assert.deepStrictEqual(sent(two), { east: 2, west: 1 })
    })
  })

  it.effect("reasoning commits a response, though no word has come yet", () => {
    const thinking = { reasoningTokens: 50, latency: { ...steady, perOutputTokenMs: 100 } }
    const one = fleet([service("east", thinking)], { timeouts: { firstContent: "300 millis", idle: "200 millis" } })
    return run(one, function*(lb) {
      const types = yield* answer(
        lb.responsesStream({ model: "gpt-4o", input: "Think." }).pipe(Stream.map(({ type }) => type), Stream.runCollect)
      )
      assert.strictEqual(types.at(-1), "response.completed")
      assert.strictEqual(one.sends.length, 1)
    })
  })
})
