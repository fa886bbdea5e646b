import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer, type LoadBalancerError } from "@evenkeel/core"
import { type Duration, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  type Fleet,
  fleet,
  hello,
  reasonOf,
  run,
  sent,
  service,
  statsNow,
  statsOf
} from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"

const names = ["east", "west", "north"]

const BAD = "[bad tenant]"

const bad = { model: "gpt-4o", messages: [{ role: "user" as const, content: `${BAD} Say hello.` }] }

/** Three resources, of whose limits the balancer is not told, where one prompt meets a fault everywhere. */
const three = (fault: SimulatedFault): Fleet => {
  const made = fleet(names.map((name) => service(name)), { unlimited: true })
  for (const each of Object.values(made.services)) each.fault("*", { when: { text: BAD }, ...fault })
  return made
}

const statesNow = Effect.gen(function*() {
  const { deployments, models, resources } = yield* (yield* LoadBalancer).snapshot
  return new Set([
    ...[...deployments, ...resources].map(({ state }) => state),
    ...models.map(({ waiting }) => waiting > 0 ? "waiting" : "healthy")
  ])
})

const allHealthy = Effect.map(statesNow, (states) => assert.deepStrictEqual([...states], ["healthy"]))

/** How many of so many requests, one every so often, are answered. */
const answered = (count: number, every: Duration.Input) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    const fibers: Array<Fiber.Fiber<unknown, LoadBalancerError>> = []
    for (let i = 0; i < count; i++) {
      fibers.push(yield* Effect.forkChild(lb.chat(hello), { startImmediately: true }))
      yield* TestClock.adjust(every)
    }
    yield* TestClock.adjust("2 minutes")
    const exits = yield* Effect.forEach(fibers, (fiber) => Fiber.await(fiber))
    return exits.filter(Exit.isSuccess).length
  })

/** Asks again and again for what nobody gives it. */
const nuisance = (params: object, every: Duration.Input) =>
  Effect.gen(function*() {
    const lb = yield* LoadBalancer
    for (;;) {
      yield* Effect.forkChild(Effect.ignore(lb.chat({ ...bad, ...params })), { startImmediately: true })
      yield* Effect.sleep(every)
    }
  })

describe("a parameter that is too long", () => {
  for (
    const [param, value] of [["user", "u".repeat(80)], ["prompt_cache_key", "k".repeat(80)]] as const
  ) {
    it.effect(`(${param} of 80 characters) is no prompt that is too long: the next 20 requests go where they went`, () => {
      const made = fleet([service("ptu", { provisioned: true }), service("standard")], {
        tiers: { ptu: 1, standard: 2 }
      })
      return run(made, function*(lb) {
        const error = yield* failure(lb.chat({ ...hello, [param]: value }))
        assert.deepInclude(reasonOf(error, "Rejected"), { status: 400, code: "string_above_max_length" })
        const before = sent(made)["ptu"]!
        for (let i = 0; i < 20; i++) yield* answer(lb.chat(hello))
        assert.strictEqual(sent(made)["ptu"]! - before, 20)
      })
    })
  }
})

const prompt = (text: string) => ({ model: "gpt-4o", messages: [{ role: "user" as const, content: text }] })

const tooLong = {
  status: 400,
  body: {
    error: {
      message: "This model's maximum context length is 4096 tokens. However, your messages resulted in 25000 tokens.",
      type: "invalid_request_error",
      param: "messages",
      code: "context_length_exceeded"
    }
  }
}

/** A provisioned deployment before a standard one, too short for what has these letters in it. */
const refusingLetters = (letters: string) =>
  scripted(
    [azure("ptu", { provisioned: true, tier: 1 }), azure("standard", { tier: 2 })],
    ({ body, resource }) => resource === "ptu" && String(body).includes(letters) ? tooLong : completion
  )

describe("a prompt that is too long for a provisioned deployment", () => {
  it.effect("in Chinese (6,000 characters) shuts out none in English of 8,000 characters, which is shorter", () =>
    run(refusingLetters("漢字"), function*(lb, made) {
      yield* lb.chat(prompt("漢字".repeat(3_000)))
      assert.deepStrictEqual(asked(made), ["ptu", "standard"])
      yield* lb.chat(prompt("words of English ".repeat(470)))
      assert.deepStrictEqual(asked(made), ["ptu", "standard", "ptu"])
    }))

  it.effect("is remembered, but not for ever: a day later one of its length is tried there again", () =>
    run(refusingLetters("very long"), function*(lb, made) {
      const long = prompt("very long ".repeat(10_000))
      yield* lb.chat(long)
      yield* lb.chat(long)
      assert.deepStrictEqual(asked(made), ["ptu", "standard", "standard"])
      yield* TestClock.adjust("1 day")
      yield* lb.chat(long)
      assert.deepStrictEqual(asked(made).slice(3), ["ptu", "standard"])
    }))
})

describe("a request that is larger than a minute's limit, or asks for a tier without capacity", () => {
  const cases = [
    ["429 Request too large", {}, { kind: "throttle", error: "openai-too-large-429" }],
    ["429 Request too large, with a time", {}, {
      kind: "throttle",
      error: "openai-too-large-429",
      retryAfterMs: 10_000
    }],
    ["429 of flex", { service_tier: "flex" }, { kind: "throttle", error: "flex-unavailable-429" }],
    ["429 of flex, with a time", { service_tier: "flex" }, {
      kind: "throttle",
      error: "flex-unavailable-429",
      retryAfterMs: 10_000
    }]
  ] satisfies ReadonlyArray<[string, object, SimulatedFault]>
  for (const [name, params, fault] of cases) {
    it.effect(`(${name}), one every 0.5 s, costs none of 200 others its answer`, () =>
      run(three(fault), function*() {
        yield* Effect.forkChild(nuisance(params, "500 millis"), { startImmediately: true })
        assert.strictEqual(yield* answered(200, "250 millis"), 200)
        yield* allHealthy
      }))
  }

  it.effect("tells the caller in the service's own words", () =>
    run(three({ kind: "throttle", error: "openai-too-large-429" }), function*() {
      const error = yield* failure((yield* LoadBalancer).chat(bad))
      assert.match(JSON.stringify(error.reason), /must be reduced/)
    }))

  it.effect("that asks for a tier without capacity leaves that tier alone for a while, and no other", () =>
    run(three({ kind: "throttle", error: "flex-unavailable-429", when: { serviceTier: "flex" } }), function*(lb, made) {
      yield* Effect.ignore(answer(lb.chat({ ...hello, service_tier: "flex" })))
      const before = made.sends.length
      yield* answer(lb.chat({ ...hello, service_tier: "default" }))
      yield* answer(lb.chat(hello))
      assert.strictEqual(made.sends.length - before, 2)
    }))
})

describe("an endpoint with limits of its own", () => {
  const limits = {
    "x-ratelimit-limit-requests": "2",
    "x-ratelimit-remaining-requests": "0",
    "x-ratelimit-limit-tokens": "1000",
    "x-ratelimit-remaining-tokens": "0"
  }
  const batch = { path: "/batches", body: { input_file_id: "file-1", endpoint: "/v1/chat/completions" } }
  const asks = [["/batches", batch], ["/files", { path: "/files", method: "GET" }]] as const
  for (const [path, request] of asks) {
    for (const count of [1, 3]) {
      it.effect(`(429 on ${path}, ${count} resources) is asked once, and cools no chat, nor says what chat may use`, () => {
        const made = fleet(names.slice(0, count).map((name) => service(name, { tpm: 1_000_000, rpm: 6_000 })))
        for (const each of Object.values(made.services)) {
          each.fault("*", { kind: "throttle", retryAfterMs: 30_000, headers: limits, when: { path } })
        }
        return run(made, function*(lb) {
          const refused = yield* Effect.forkChild(
            Effect.exit(Effect.flatMap(lb.request(request), ({ text }) => text)),
            { startImmediately: true }
          )
          yield* TestClock.adjust("5 seconds")
          const there = made.sends.filter((send) => send.request.path.endsWith(path))
          // each resource has its own limit; none is asked again before its time
          assert.strictEqual(new Set(there.map(({ resource }) => resource)).size, there.length)

          const before = sent(made)
          for (let i = 0; i < 30; i++) yield* answer(lb.chat(hello))
          const after = sent(made)
          // of three that differ a little, the slowest gets a ninth of what comes one by one
          const least = count === 1 ? 30 : 2
          for (const name of names.slice(0, count)) assert.isAtLeast(after[name]! - before[name]!, least)
          for (const { requests, tokens } of (yield* lb.snapshot).deployments) {
            assert.deepStrictEqual([requests.limit, tokens.limit], [6_000, 1_000_000])
          }
          yield* allHealthy
          yield* TestClock.adjust("2 minutes")
          assert.isTrue(Exit.isFailure(yield* Fiber.join(refused)))
        })
      })
    }
  }
})

describe("one forbidden request", () => {
  const firewalls = [
    ["a page", { kind: "status", error: "firewall-html-403" }, 403, /Forbidden/],
    ["JSON", { kind: "status", error: "firewall-json-403" }, 403, /firewall policy/],
    ["a role that is missing", { kind: "status", error: "azure-permission-denied" }, 401, /does not have access/]
  ] satisfies ReadonlyArray<[string, SimulatedFault, number, RegExp]>
  for (const [what, fault, status, words] of firewalls) {
    it.effect(`(${what}) leaves 90 others where they would have gone, and is told in the service's own words`, () =>
      run(three(fault), function*(lb, made) {
        const error = yield* failure(lb.chat(bad))
        const before = sent(made)
        assert.strictEqual(yield* answered(90, "100 millis"), 90)
        const after = sent(made)
        for (const name of names) assert.isAtLeast(after[name]! - before[name]!, 15, name)
        yield* allHealthy
        const reason = reasonOf(error, "Rejected")
        assert.strictEqual(reason.status, status)
        assert.match(`${reason.description} ${JSON.stringify(reason.body)}`, words)
      }))

    it.effect(`(${what}) between every two good ones opens nothing`, () =>
      run(three(fault), function*(lb) {
        for (let i = 0; i < 40; i++) {
          yield* failure(lb.chat(bad))
          yield* answer(lb.chat(hello))
        }
        yield* allHealthy
      }))
  }

  for (const status of [401, 403]) {
    it.effect(`(${status} for files.list) opens no resource`, () =>
      run(three({ kind: "status", status, when: { path: "/files" } }), function*(lb, made) {
        const error = yield* failure(Effect.flatMap(lb.request({ path: "/files" }), ({ text }) => text))
        const before = sent(made)
        assert.strictEqual(yield* answered(90, "100 millis"), 90)
        const after = sent(made)
        for (const name of names) assert.isAtLeast(after[name]! - before[name]!, 15, name)
        yield* allHealthy
        assert.strictEqual(reasonOf(error, "Rejected").status, status)
      }))
  }
})

describe("a resource that forbids everything", () => {
  for (const status of [401, 403]) {
    it.effect(`(${status}) is left after several in a row, and nobody loses an answer`, () =>
      run(fleet(names.map((name) => service(name))), function*(_, made) {
        made.services["east"]!.fault("*", { kind: "status", status })
        assert.strictEqual(yield* answered(60, "100 millis"), 60)
        const sends = statsOf(made.services["east"]).requests
        assert.isAtLeast(sends, 2)
        assert.isAtMost(sends, 10)
        assert.include([...yield* statesNow], "open")
      }))

    it.effect(`(${status}), as all do, is told in the service's own words`, () =>
      run(fleet(names.map((name) => service(name))), function*(_, made) {
        for (const each of Object.values(made.services)) each.fault("*", { kind: "status", status })
        const error = yield* failure((yield* LoadBalancer).chat(hello))
        assert.strictEqual(reasonOf(error, "Rejected").status, status)
        assert.strictEqual((yield* statsNow(made.services["east"])).requests, 1)
      }))
  }
})
