import { Breaker } from "#core/deployment/Breaker"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, hello, run, stateOf } from "../../support/Balanced.ts"
import { asked, azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

const busy: Canned = {
  status: 429,
  headers: { "retry-after": "5" },
  body: { error: { code: "429", message: "Rate limit." } }
}
const created = {
  type: "response.created",
  response: { id: "resp_1", object: "response", status: "in_progress", output: [] }
}

const says = (content: string) => ({ model: "gpt-4o", messages: [{ role: "user" as const, content }] })

describe("evidence about a deployment", () => {
  for (const code of ["rate_limit_exceeded", "invalid_api_key"]) {
    const streamed: Canned = {
      status: 200,
      headers: { "content-type": "text/event-stream" },
      body: [
        `event: response.created\ndata: ${JSON.stringify(created)}\n\n`,
        `event: error\ndata: ${JSON.stringify({ type: "error", code, message: "no" })}\n\n`
      ]
    }
    it.effect(`a stored response that was created, then ${code}, is not sent again`, () =>
      run(scripted([azure("east"), azure("west")], () => streamed), function*(lb, made) {
        const stored = { model: "gpt-4o", input: "hi", store: true }
        yield* Effect.exit(answer(Stream.runDrain(lb.responsesStream(stored))))
        assert.strictEqual(made.sends.length, 1, asked(made).join())
      }))
  }

  it.effect("what a health check is told stands: its one token cannot be to blame", () => {
    let isBusy = false
    const made = scripted([azure("east")], () => isBusy ? busy : completion)
    const chats = () => made.sends.filter(({ path }) => path.includes("chat")).length
    return run(made, function*(lb) {
      yield* answer(lb.chat(hello))
      isBusy = true
      yield* answer(lb.check({ completion: true }))
      assert.strictEqual(chats(), 2)
      yield* Effect.forkChild(Effect.exit(lb.chat(hello)))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(chats(), 2)
      yield* TestClock.adjust("1500 millis")
      assert.strictEqual(chats(), 3)
    })
  })

  it.effect("a right lacking for /files at one resource takes no chat from it", () => {
    const made = scripted(
      [azure("east"), azure("west")],
      ({ path, resource }) =>
        path.includes("/files")
          ? resource === "east"
            ? { status: 403, body: { error: { message: "no role" } } }
            : { status: 200, body: { data: [] } }
          : completion
    )
    return run(made, function*(lb) {
      for (let i = 0; i < 10; i++) yield* answer(lb.chat(hello))
      yield* TestClock.adjust("31 seconds")
      for (let i = 0; i < 5; i++) yield* Effect.exit(answer(lb.request({ path: "/files", method: "GET" })))
      const { resources } = yield* lb.snapshot
      assert.deepStrictEqual(resources.map(({ name, state }) => `${name} ${state}`), ["east healthy", "west healthy"])
    })
  })

  it.effect("a probe that got a 404 does not hold its slot while a peer thinks", () => {
    let sick = true
    const made = scripted(
      [azure("east", { tier: 1 }), azure("west", { tier: 2 })],
      ({ body, resource }) =>
        String(body).includes("odd")
          ? resource === "east" ? { status: 404, body: { error: { message: "?" } } } : { ...completion, after: 600_000 }
          : resource === "east" && sick
          ? { status: 500 }
          : { ...completion, after: 50 }
    )
    return run(made, function*(lb) {
      for (let i = 0; i < 40; i++) yield* answer(lb.chat(hello))
      sick = false
      yield* TestClock.adjust(6_000)
      const odd = { model: "gpt-4o", messages: [{ role: "user" as const, content: "odd" }] }
      for (let i = 0; i < 1; i++) yield* Effect.forkChild(Effect.ignore(lb.chat(odd)), { startImmediately: true })
      yield* TestClock.adjust(100)
      const before = made.sends.length
      for (let i = 0; i < 300; i++) yield* Effect.andThen(TestClock.adjust(900), answer(lb.chat(hello)))
      const after = asked(made).slice(before).filter((name) => name === "east").length
      assert.isAtLeast(after, 30)
    })
  })

  const filters: ReadonlyArray<[string, number, object]> = [
    ["gpt-image's", 400, {
      error: {
        code: "moderation_blocked",
        type: "image_generation_user_error",
        param: null,
        message: "Your request was rejected by our safety system."
      }
    }],
    ["Azure's dall-e", 400, {
      error: { code: "contentFilter", message: "Your task failed as a result of our safety system." }
    }],
    ["APIM's", 403, { statusCode: 403, message: "Request failed content safety check." }]
  ]
  for (const [whose, status, body] of filters) {
    it.effect(`${whose} content refusal is not shopped around`, () =>
      run(scripted([azure("a"), azure("b"), azure("c")], () => ({ status, body })), function*(lb, made) {
        const counts: Array<number> = []
        for (let i = 0; i < 8; i++) {
          const before = made.sends.length
          yield* Effect.exit(
            answer(lb.request({ path: "/images/generations", body: { model: "gpt-4o", prompt: "x" } }))
          )
          counts.push(made.sends.length - before)
        }
        assert.deepStrictEqual(counts, [1, 1, 1, 1, 1, 1, 1, 1])
      }))
  }

  it("one opening takes back one trip, however many of its failures are pardoned", () => {
    const breaker = new Breaker({
      consecutiveFailures: 5,
      successRatio: 0.8,
      minimumSamples: 5,
      window: 30_000,
      openFor: 5_000,
      maxOpenFor: 300_000
    })
    let now = 0
    breaker.fail(0, now, 1, "x")
    for (let i = 0; i < 4; i++) breaker.fail(breaker.epoch, now, 1, "x")
    // five probes fail for good
    for (let i = 0; i < 5; i++) {
      now = breaker.openUntil
      breaker.fail(breaker.enter(now), now, 1, "x")
    }
    now = breaker.openUntil
    breaker.succeed(breaker.enter(now), now)
    const epoch = breaker.epoch
    for (let i = 0; i < 5; i++) breaker.fail(epoch, now, 1, "x")
    const open = breaker.openUntil - now
    for (let i = 0; i < 5; i++) breaker.pardon(epoch, now, now)
    breaker.fail(breaker.enter(now), now, 1, "x")
    assert.isAtLeast(breaker.openUntil - now, open)
  })

  it.effect("with attempts: 1 a 403 is told in the service's own words", () => {
    const made = scripted([azure("a"), azure("b")], () => ({ status: 403, body: { error: { message: "no role" } } }))
    return run(made, function*(lb) {
      const error = yield* Effect.flip(answer(lb.chat(hello, { attempts: 1 })))
      assert.strictEqual(error.reason._tag, "Rejected", error.message)
    })
  })

  it.effect("one caller that gives up leaves no cooldown that others cannot try", () => {
    const made = scripted(
      [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
      ({ body, resource }) =>
        String(body).includes("poison")
          ? { ...busy, headers: { "retry-after": "300" }, after: resource === "a" ? 10 : 5_000 }
          : { ...completion, after: 10 }
    )
    return run(made, function*(lb) {
      for (let i = 0; i < 5; i++) yield* answer(lb.chat(hello))
      const fiber = yield* Effect.forkChild(lb.chat(says("poison")), { startImmediately: true })
      yield* TestClock.adjust(1_000)
      yield* Fiber.interrupt(fiber)
      const before = made.sends.length
      for (let i = 0; i < 200; i++) yield* Effect.andThen(TestClock.adjust(1_000), answer(lb.chat(hello)))
      assert.isAtLeast(asked(made).slice(before).filter((name) => name === "a").length, 100)
    })
  })

  it.effect("a deployment that refuses all is not closed by a caller that gives up", () => {
    let sick = false
    const made = scripted(
      [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
      ({ resource }) =>
        resource === "a" && sick
          ? { status: 404, body: { error: { message: "?" } }, after: 10 }
          : { ...completion, after: 2_000 }
    )
    return run(made, function*(lb) {
      yield* answer(lb.chat(hello))
      sick = true
      for (let i = 0; i < 8; i++) yield* answer(lb.chat(hello))
      assert.strictEqual((yield* stateOf("a")).state, "open")
      yield* TestClock.adjust(60_000)
      const fiber = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
      yield* TestClock.adjust(1_000)
      yield* Fiber.interrupt(fiber)
      assert.notInclude(["healthy", "slow-start", "warming"], (yield* stateOf("a")).state)
    })
  })

  it.effect("a row of denials is broken by another answer of that credential", () => {
    const made = scripted(
      [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
      ({ body, resource }) =>
        resource === "b" ? completion : String(body).includes("denied")
          ? { status: 403, body: { error: { message: "no" } } }
          : { status: 422, body: { error: { message: "no", param: "n", type: "invalid_request_error" } } }
    )
    return run(made, function*(lb) {
      for (let i = 0; i < 5; i++) {
        yield* answer(lb.chat(says("denied")))
        yield* Effect.exit(answer(lb.chat(says("wrong"), { attempts: 1 })))
      }
      const { resources } = yield* lb.snapshot
      assert.deepStrictEqual(resources.map(({ state }) => state), ["healthy", "healthy"])
    })
  })

  it.effect("polling /files without the right to, at night, does not keep chat from its first tier", () => {
    const made = scripted(
      [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
      ({ path }) => path.includes("/files") ? { status: 403, body: { error: { message: "no role" } } } : completion
    )
    return run(made, function*(lb) {
      for (let i = 0; i < 10; i++) yield* answer(lb.chat(hello))
      for (let i = 0; i < 120; i++) {
        yield* TestClock.adjust(10_000)
        yield* Effect.forkChild(Effect.exit(lb.request({ path: "/files", method: "GET" })), { startImmediately: true })
      }
      const before = made.sends.length
      for (let i = 0; i < 120; i++) yield* Effect.andThen(TestClock.adjust(1_000), answer(lb.chat(hello)))
      const there = asked(made).slice(before)
      assert.isAtLeast(there.filter((name) => name === "a").length, 100)
    })
  })

  for (
    const [what, path, body] of [["/audio/speech", "/audio/speech", {}], ["flex", "/chat/completions", {
      service_tier: "flex",
      messages: hello.messages
    }]] as const
  ) {
    it.effect(`${what}, which one deployment does not know, takes no chat from it`, () => {
      const made = scripted(
        [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
        ({ body, path, resource }) =>
          resource === "a" && (path.includes("speech") || String(body).includes("flex"))
            ? { status: 404, body: { error: { message: "Resource not found" } } }
            : completion
      )
      return run(made, function*(lb) {
        for (let i = 0; i < 60; i++) {
          yield* answer(lb.chat(hello))
          yield* Effect.exit(answer(lb.request({ path, body: { model: "gpt-4o", input: "x", ...body } })))
          yield* TestClock.adjust(500)
        }
        assert.include(["healthy"], (yield* stateOf("a")).state, asked(made).join().slice(0, 200))
      })
    })
  }

  it.effect("no deployment that denied is asked again while a search for an owner goes on, nor more than attempts", () => {
    const made = scripted(
      ["a", "b", "c", "d"].map((each, i) => azure(each, { tier: i + 1 })),
      ({ resource }) =>
        resource === "a" ? { status: 403, body: { error: { message: "no" } } } : { status: 500, body: {} },
      { failover: { attempts: 6 } }
    )
    return run(made, function*(lb) {
      yield* Effect.exit(
        answer(lb.responses({ model: "gpt-4o", input: "hi", previous_response_id: "resp_unknown0123456789" }))
      )
      assert.strictEqual(asked(made).filter((name) => name === "a").length, 1, asked(made).join())
    })
  })

  it.effect("a new key begins a new row of denials", () => {
    let status = 401
    const made = scripted(
      [azure("a", { tier: 1 }), azure("b", { tier: 2 })],
      ({ body, resource }) =>
        resource === "b" || (status === 200 && !String(body).includes("poison"))
          ? completion
          : { status: 403, body: { error: { message: "no" } } }
    )
    return run(made, function*(lb, _, { members }) {
      for (let i = 0; i < 6; i++) yield* answer(lb.chat(hello))
      status = 200
      for (const { resource } of members.all()) resource.renewCredential(resource.credential, 200_000)
      yield* answer(lb.chat(says("poison")))
      assert.strictEqual((yield* lb.snapshot).resources[0]!.state, "healthy", asked(made).join())
    })
  })
})
