import { assert, describe, it } from "@effect/vitest"
import { type LoadBalancerError } from "@evenkeel/core"
import { Effect, Schedule, Stream } from "effect"
import { answer, failure, heard, hello, reasonOf, run, settle, stateOf } from "../../support/Balanced.ts"
import { asked, azure, completion, scripted, tooLong } from "../../support/Scripted.ts"

/** Nothing was sent, for what is wrong with the request itself. */
const notSent = (error: LoadBalancerError) => {
  const reason = reasonOf(error, "Rejected")
  assert.deepStrictEqual([reason.status, reason.code], [400, "invalid_request"])
  assert.lengthOf(error.attempts, 0)
}

/** One resource of two deployments. */
const two = (reply: Parameters<typeof scripted>[1]) =>
  scripted([azure("east", {}, { deployments: [{ name: "gpt-4o" }, { name: "mini" }] })], reply)

/** An event of a chat's stream. */
const event = (delta: object, finish_reason: string | null = null) =>
  `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta, finish_reason }] })}\n\n`

const both = [azure("ptu", { provisioned: true }), azure("paygo", { tier: 2 })]

describe("a provisioned deployment that said that something was too long", () => {
  it.effect("is not closed to short prompts by an output limit", () => {
    const lbs = scripted(
      both,
      ({ body, resource }) => resource === "ptu" && String(body).includes("999999") ? tooLong : completion
    )
    return run(lbs, function*(lb) {
      yield* answer(lb.chat({ ...hello, max_tokens: 999_999 }))
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(asked(lbs), ["ptu", "paygo", "ptu"])
    })
  })

  it.effect("is not closed to short prompts by a conversation that the service keeps", () => {
    const lbs = scripted(
      both,
      ({ body, resource }) => resource === "ptu" && String(body).includes("resp_long") ? tooLong : completion
    )
    return run(lbs, function*(lb) {
      yield* settle(lb.responses({ model: "gpt-4o", input: "Go on.", previous_response_id: "resp_long" }))
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual([asked(lbs)[0], asked(lbs).at(-1)], ["ptu", "ptu"])
    })
  })

  it.effect("is asked all the same where no standard deployment is, and has the word", () =>
    run(scripted([azure("ptu", { provisioned: true })], () => tooLong), function*(lb, lbs) {
      for (let i = 0; i < 2; i++) {
        assert.strictEqual(reasonOf(yield* failure(lb.chat(hello)), "Rejected").code, "context_length_exceeded")
      }
      assert.lengthOf(lbs.sends, 2)
    }))
})

describe("what is wrong before it is sent", () => {
  it.effect("a header value of Latin-1 is sent", () =>
    run(scripted([azure("east")], () => completion), function*(lb, lbs) {
      yield* answer(lb.chat(hello, { headers: { "idempotency-key": "é\t1" } }))
      assert.strictEqual(lbs.sends[0]!.headers["idempotency-key"], "é\t1")
    }))

  for (const method of ["GE T", "GET\r\nX: y", ""]) {
    it.effect(`a method that is no token is refused: ${JSON.stringify(method)}`, () =>
      run(scripted([azure("east")], () => completion), function*(lb, lbs) {
        notSent(yield* failure(lb.request({ path: "/models", method })))
        assert.lengthOf(lbs.sends, 0)
      }))
  }
})

describe("a token provider that hangs", () => {
  it.effect("costs the time to connect, is blamed, and the request goes on", () => {
    const hanging = azure("east", {}, { apiKey: undefined, auth: () => new Promise<string>(() => {}) })
    const lbs = scripted([hanging, azure("west", { tier: 2 })], () => completion, { timeouts: { connect: 700 } })
    return run(lbs, function*(lb, _, { events }) {
      yield* answer(lb.chat(hello))
      assert.deepStrictEqual(asked(lbs), ["west"])
      const [first] = events.flatMap((event) => event._tag === "AttemptEnded" ? [event.attempt] : [])
      assert.deepInclude(first, { deployment: "east/gpt-4o", outcome: "failed", duration: 700 })
      assert.match(first!.reason, /credential/)
    })
  })
})

describe("an endpoint without a model", () => {
  it.effect("is not held back by draining one deployment, or all of a resource's", () =>
    run(two(() => completion), function*(lb, _, { members }) {
      for (const id of ["east/gpt-4o", "east/mini"]) {
        yield* members.drain(id)
        assert.strictEqual((yield* answer(lb.request({ path: "/files" }))).status, 200)
      }
    }))

  it.effect("is held back by its resource's breaker: it is sent as the best bet, and said to be", () =>
    run(two(() => ({ status: 401 })), function*(lb, _, { events }) {
      const ask = failure(lb.request({ path: "/files" }, { attempts: 1 }))
      // what an endpoint is denied opens nothing; what chat is denied does
      for (let i = 0; i < 6; i++) yield* ask
      assert.strictEqual((yield* lb.snapshot).resources[0]!.state, "healthy")
      for (let i = 0; i < 5; i++) yield* failure(lb.chat(hello))
      assert.lengthOf(heard(events, "Panicked"), 0)
      assert.strictEqual((yield* lb.snapshot).resources[0]!.state, "open")
      yield* ask
      assert.lengthOf(heard(events, "Panicked"), 1)
    }))

  it.effect("is not held back by any deployment's breaker or cooldown, even if all have one", () => {
    const lbs = two(({ path }) =>
      path.includes("files") ? completion : { status: 429, headers: { "retry-after": "60" } }
    )
    return run(lbs, function*(lb) {
      for (const model of ["gpt-4o", "mini"]) yield* failure(lb.chat({ ...hello, model }))
      assert.strictEqual((yield* answer(lb.request({ path: "/files" }))).status, 200)
    })
  })

  it.effect("does not hold its own server errors against a deployment", () =>
    run(two(({ path }) => path.includes("files") ? { status: 500 } : completion), function*(lb) {
      for (let i = 0; i < 8; i++) yield* settle(lb.request({ path: "/files" }))
      for (const id of ["east/gpt-4o", "east/mini"]) {
        assert.strictEqual((yield* stateOf(id)).state, "healthy")
      }
    }))

  it.effect("is over at once when its answer can have no body", () =>
    run(two(() => ({ status: 204, body: "" })), function*(lb) {
      assert.strictEqual((yield* answer(lb.request({ path: "/files/f", method: "DELETE" }))).status, 204)
      const { deployments } = yield* lb.snapshot
      assert.deepStrictEqual(deployments.map(({ inFlight }) => inFlight), [0, 0])
    }))
})

describe("limits hold whatever comes", () => {
  it.effect("a failover schedule that waits for ever ends with the deadline", () => {
    const lbs = scripted([azure("east"), azure("west")], () => ({ status: 500 }))
    const schedule = Schedule.modifyDelay(Schedule.forever, () => Effect.never)
    return run(lbs, function*(lb) {
      const error = yield* failure(lb.chat(hello, { schedule, timeout: "3 seconds" }))
      assert.deepInclude(reasonOf(error, "TimedOut"), { stage: "total", limit: 3000 })
    })
  })

  it.effect("a hundred and fifty thousand events in one chunk are all given out", () => {
    // the first event is held back, as it has no content yet, and given out with what follows
    const first = event({ role: "assistant", content: "" })
    const rest = `${event({ content: "a" }).repeat(150_000)}${event({}, "stop")}data: [DONE]\n\n`
    const headers = { "content-type": "text/event-stream" }
    const lbs = scripted([azure("east")], () => ({ status: 200, body: [first, rest], headers }))
    return run(lbs, function*(lb) {
      assert.strictEqual(yield* answer(Stream.runCount(lb.chatStream(hello))), 150_002)
    })
  })
})

describe("an empty session", () => {
  it.effect("is none: its requests are spread, and it is not remembered", () =>
    run(scripted(["a", "b", "c"].map((name) => azure(name)), () => completion), function*(lb, lbs) {
      for (let i = 0; i < 60; i++) yield* answer(lb.chat(hello, { session: "" }))
      assert.strictEqual(new Set(asked(lbs)).size, 3)
      assert.strictEqual((yield* lb.snapshot).sessions, 0)
    }))

  it.effect("leaves the prompt's cache key to be the session", () =>
    run(scripted([azure("a"), azure("b")], () => completion), function*(lb) {
      yield* answer(lb.chat({ ...hello, prompt_cache_key: "user-1" }, { session: "" }))
      assert.strictEqual((yield* lb.snapshot).sessions, 1)
    }))
})
