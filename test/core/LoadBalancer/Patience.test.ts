import { Transport } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, Deployments, LoadBalancer } from "@evenkeel/core"
import { type Cause, Clock, Effect, Fiber, Layer, Queue, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, failure, hello, reasonOf, run, stateOf } from "../../support/Balanced.ts"
import { azure } from "../../support/Scripted.ts"
import { timed, type TimedReply } from "../../support/Timed.ts"

const names = ["east", "west", "north"]

const asUsual = (): TimedReply => ({ after: 100 })

/** What is usual, until something else is said. */
const changing = () => {
  let current = asUsual
  return { reply: () => current(), become: (reply: () => TimedReply) => void (current = reply) }
}

const streamed = (options: CallOptions = {}) =>
  Effect.flatMap(LoadBalancer, (lb) => answer(Stream.runDrain(lb.chatStream(hello, options))))

const took = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const began = yield* Clock.currentTimeMillis
    yield* effect
    return (yield* Clock.currentTimeMillis) - began
  })

const minutes = (count: number) => count * 60_000

describe("a chat stream that thinks in silence", () => {
  for (const minute of [79 / 60, 10, 29]) {
    it.effect(`is waited for and bought once, with all defaults: ${minute.toFixed(1)} minutes`, () =>
      run(timed(names, () => ({ after: minutes(minute) })), function*(lb, lbs) {
        const fiber = yield* Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
        yield* TestClock.adjust(minutes(minute) + 1000)
        yield* Fiber.join(fiber)
        assert.lengthOf(lbs.sends, 1)
      }))
  }

  it.effect("is waited for where all of them think for long, whoever else could be asked", () =>
    run(timed(names, () => ({ after: 79_000 })), function*(_, lbs) {
      yield* Effect.replicateEffect(streamed(), 40)
      assert.lengthOf(lbs.sends, 40)
    }))

  it.effect("is ended by a shorter limit of the caller's own", () =>
    run(timed(names, () => ({ after: 79_000 })), function*(lb) {
      const own = { timeouts: { firstEvent: "20 seconds" }, attempts: 1 } as const
      const error = yield* failure(Stream.runDrain(lb.chatStream(hello, own)))
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "first-event", limit: 20_000 })
      const other = { timeouts: { firstContent: "30 seconds" }, attempts: 1 } as const
      const later = yield* failure(Stream.runDrain(lb.chatStream(hello, other)))
      assert.deepInclude(reasonOf(later, "TimedOut"), { stage: "first-content", limit: 30_000 })
    }))
})

describe("a stream of the responses API", () => {
  it.effect("has a first event to show within a minute, as one is promised at once", () =>
    run(timed(["east"], () => ({ after: "never" })), function*(lb) {
      const ask = Stream.runDrain(lb.responsesStream({ model: "gpt-4o", input: "Hello." }, { attempts: 1 }))
      const error = yield* failure(ask)
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "first-event", limit: 60_000 })
    }))
})

const long: TimedReply = { after: 400_000 }

/** What a stream meets once thirty have shown what is usual, how long it takes, and how often it is sent. */
const meetings: ReadonlyArray<{
  readonly what: string
  readonly met: ReadonlyArray<TimedReply>
  readonly took: number
  readonly sends: number
  readonly names?: ReadonlyArray<string>
  readonly options?: CallOptions
}> = [
  { what: "asked for elsewhere, once it takes far longer than any", met: [{ after: "never" }], took: 60_100, sends: 2 },
  {
    what: "asked for elsewhere too where another refused it before",
    met: [{ after: 10, status: 500 }, { after: "never" }],
    took: 60_110,
    sends: 3
  },
  {
    what: "waited for the second time, as a long one must be able to come",
    met: [long, long],
    took: 460_000,
    sends: 2
  },
  { what: "waited for where there is nobody else", met: [long], took: 400_000, sends: 1, names: ["east"] },
  {
    what: "waited for where the caller allows no other attempt",
    met: [long],
    took: 400_000,
    sends: 1,
    options: { attempts: 1 }
  }
]

describe("a stream that does not begin", () => {
  it.effect.each(meetings)("is $what", ({ met, names: asked = names, options = {}, sends, took: expected }) => {
    const script = changing()
    const lbs = timed(asked, script.reply)
    return run(lbs, function*() {
      yield* Effect.replicateEffect(streamed(), 30)
      const replies = [...met]
      script.become(() => replies.shift() ?? { after: 100 })
      assert.approximately(yield* took(streamed(options)), expected, 100)
      assert.lengthOf(lbs.sends, 30 + sends)
      for (const name of asked) assert.deepInclude(yield* stateOf(name), { state: "healthy", inFlight: 0 })
    })
  })

  for (const [which, hanging, state] of [["one of them", ["east"], "open"], ["all", names, "healthy"]] as const) {
    it.effect(`is held against a deployment only where its peers answer: ${which} silent`, () => {
      let hangs = false
      const lbs = timed(
        names,
        ({ resource }) => ({ after: hangs && hanging.some((name) => name === resource) ? "never" : 100 })
      )
      return run(lbs, function*(lb) {
        const ask = Effect.forkChild(Stream.runDrain(lb.chatStream(hello)), { startImmediately: true })
        yield* Effect.replicateEffect(streamed(), 30)
        hangs = true
        for (let i = 0; i < 60; i++) yield* ask
        for (let i = 0; i < 70; i++) {
          yield* ask
          yield* TestClock.adjust("1 second")
        }
        assert.isAtLeast((yield* stateOf("east")).totals.failed, 5)
        assert.strictEqual((yield* stateOf("east")).state, state)
      })
    })
  }
})

/** Streams that say what is put into them, each into its own. */
const spoken = () => {
  const streams: Array<Queue.Queue<string, Cause.Done>> = []
  const transport = Layer.succeed(Transport, {
    send: () =>
      Effect.gen(function*() {
        const queue = yield* Queue.unbounded<string, Cause.Done>()
        streams.push(queue)
        return {
          status: 200,
          headers: { "content-type": "text/event-stream" },
          text: Effect.succeed(""),
          pull: Effect.map(Queue.take(queue), (text) => new TextEncoder().encode(text)),
          abort: () => {},
          discard: () => {}
        }
      })
  })
  const resources = ["east", "west"].map((name) => azure(name))
  const layer = LoadBalancer.layer({ resources, health: { check: { kind: "none" } } }).pipe(Layer.provide(transport))
  return { streams, layer }
}

const chunk = (delta: object, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`

const whole = chunk({ content: "Hi." }, "stop") + "data: [DONE]\n\n"

describe("a sign of life", () => {
  for (const [what, sign] of [["a comment", ": still here\n\n"], ["a role", chunk({ role: "assistant" })]] as const) {
    it.effect(`keeps a stream from being given up for another: ${what}`, () => {
      const { layer, streams } = spoken()
      return Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const members = yield* Deployments
        const ask = Stream.runDrain(lb.chatStream(hello))
        for (let i = 0; i < 30; i++) {
          const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
          yield* TestClock.adjust(100)
          yield* Queue.offer(streams.at(-1)!, whole)
          yield* Fiber.join(fiber)
        }
        const fiber = yield* Effect.forkChild(ask, { startImmediately: true })
        const waiting = streams.at(-1)!
        for (let i = 0; i < 10; i++) {
          yield* TestClock.adjust("50 seconds")
          yield* Queue.offer(waiting, sign)
        }
        yield* TestClock.adjust("50 seconds")
        yield* Queue.offer(waiting, whole)
        yield* Fiber.join(fiber)
        assert.lengthOf(streams, 31)
        assert.deepStrictEqual(members.all().map(({ totals }) => totals.failed), [0, 0])
      }).pipe(Effect.provide(layer))
    })
  }
})
