import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import * as Spans from "#core/telemetry/Spans"
import { assert, describe, it } from "@effect/vitest"
import { Deployments, LoadBalancer, Telemetry, type TelemetryOptions, type Transport } from "@evenkeel/core"
import {
  Clock,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  Random,
  References,
  Scope,
  Stream,
  Tracer
} from "effect"
import { TestClock } from "effect/testing"
import {
  answer,
  failure,
  type Fleet,
  fleet,
  type FleetConfig,
  heard,
  hello,
  listen,
  run,
  service,
  settle,
  stateOf
} from "../../support/Balanced.ts"
import { amount } from "../../support/Check.ts"
import { inSmallSteps, letRun, Striker } from "../../support/Interleaving.ts"
import { azure, type Canned, completion, scripted } from "../../support/Scripted.ts"
import { endOf, makeRecorder, type RecordedSpan, type Recorder, traced } from "../../support/Spans.ts"

const telemetry = (options: TelemetryOptions = {}) => ({
  telemetry: Telemetry.layer({ metrics: false, logs: false, ...options })
})

const pair = (
  config: FleetConfig = {},
  options: TelemetryOptions = {},
  wrap?: (transport: Transport["Service"]) => Transport["Service"]
) => fleet([service("east", {}, { region: "eastus" }), service("west")], config, telemetry(options), wrap)

const tiered: FleetConfig = { tiers: { east: 1, west: 2 }, failover: { attempts: 2 } }

type Test<A, E> = Effect.Effect<A, E, LoadBalancer | Deployments | Scope.Scope>

/** Runs a test, and gives the spans that were made meanwhile. */
const record = <A, E>(
  fleet: Fleet,
  test: Test<A, E> | ((lb: LoadBalancer["Service"]) => Generator<Test<any, any>, A, never>)
) => {
  const recorder = makeRecorder()
  const running = typeof test === "function" ? run(fleet, test) : run(fleet, test)
  return Effect.as(traced(recorder, running as Effect.Effect<A, unknown, Scope.Scope>), recorder)
}

const recordScripted = <A, E>(
  reply: () => Canned,
  resources: Parameters<typeof scripted>[0],
  test: Test<A, E>,
  options: TelemetryOptions = {}
) => {
  const recorder = makeRecorder()
  const { layer } = scripted(resources, reply, {}, telemetry(options))
  return Effect.as(traced(recorder, Effect.scoped(Effect.provide(test, layer))), recorder)
}

const chat = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(hello)))
const stream = Effect.flatMap(LoadBalancer, (lb) => answer(Stream.runDrain(lb.chatStream(hello))))

const attributesOf = (span: RecordedSpan | undefined) => Object.fromEntries(span?.attributes ?? [])

const eventsOf = ({ events }: RecordedSpan) => events.map(({ name }) => name)

/** The only request, and its attempts. */
const only = (recorder: Recorder) => {
  const requests = recorder.requests()
  assert.lengthOf(requests, 1)
  return { request: requests[0]!, attempts: recorder.childrenOf(requests[0]!) }
}

/** Every span ended once, its parent after it, and nothing was told of it later. */
const assertEndedOnce = (recorder: Recorder) => {
  for (const span of recorder.spans) {
    assert.lengthOf(span.ends, 1, span.name)
    assert.deepStrictEqual(span.late, [], span.name)
    const parent = recorder.spans.find((other) => Option.getOrUndefined(span.parent) === other)
    if (parent !== undefined) assert.isTrue(parent.ends[0]!.at >= span.ends[0]!.at, `${span.name} outlives its parent`)
    assert.isFalse(endOf(span) !== "error" && span.attributes.has("error.type"), span.name)
  }
}

const nothingInFlight = (names: ReadonlyArray<string> = ["east", "west"]) =>
  Effect.forEach(
    names,
    (name) =>
      Effect.map(stateOf(name), ({ inFlight, waiting }) => assert.deepStrictEqual([inFlight, waiting], [0, 0], name))
  )

describe("spans of a request", () => {
  it.effect("are one client span, and a child for each attempt", () =>
    Effect.gen(function*() {
      const { attempts, request } = only(yield* record(pair(), chat))
      assert.strictEqual(request.name, "chat gpt-4o")
      assert.strictEqual(request.kind, "client")
      assert.isTrue(Option.isNone(request.parent))
      assert.lengthOf(attempts, 1)
      assert.match(attempts[0]!.name, /^attempt (?:east|west)\/gpt-4o$/)
      assert.strictEqual(attempts[0]!.kind, "client")
      assert.deepStrictEqual([request, attempts[0]!].map(endOf), ["ok", "ok"])
      assert.deepStrictEqual([request.duration, attempts[0]!.duration], [102, 102])
    }))

  it.effect("say what the GenAI conventions ask of a chat", () =>
    Effect.gen(function*() {
      const body = {
        ...completion.body as object,
        id: "chatcmpl-1",
        model: "gpt-4o-2024-11-20",
        service_tier: "default",
        system_fingerprint: "fp_1",
        usage: {
          prompt_tokens: 50,
          completion_tokens: 20,
          prompt_tokens_details: { cached_tokens: 30, cache_write_tokens: 10 },
          completion_tokens_details: { reasoning_tokens: 8 }
        }
      }
      const params = {
        ...hello,
        temperature: 0.5,
        top_p: 0.9,
        frequency_penalty: 0.1,
        presence_penalty: 0.2,
        max_completion_tokens: 77,
        seed: 42,
        n: 2,
        reasoning_effort: "low",
        response_format: { type: "json_schema", json_schema: {} },
        stop: ["the end of a secret"],
        service_tier: "flex"
      }
      const asking = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(params as never)))
      const { request } = only(yield* recordScripted(() => ({ status: 200, body }), [azure("east")], asking))
      assert.deepStrictEqual(attributesOf(request), {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "azure.ai.openai",
        "azure.resource_provider.namespace": "Microsoft.CognitiveServices",
        "gen_ai.request.max_tokens": 77,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.frequency_penalty": 0.1,
        "gen_ai.request.presence_penalty": 0.2,
        "gen_ai.request.seed": 42,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
        "server.address": "east.openai.azure.com",
        "server.port": 443,
        "evenkeel.deployment": "east/gpt-4o",
        "evenkeel.attempts": 1,
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.model": "gpt-4o-2024-11-20",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 50,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 30,
        "gen_ai.usage.cache_creation.input_tokens": 10,
        "gen_ai.usage.reasoning.output_tokens": 8
      })
    }))

  it.effect("use the names in development where that is asked for", () =>
    Effect.gen(function*() {
      const usage = { prompt_tokens: 50, completion_tokens: 2, prompt_tokens_details: { cache_write_tokens: 10 } }
      const reply = () => ({ status: 200, body: { ...completion.body as object, usage } })
      const { request } = only(yield* recordScripted(reply, [azure("east")], chat, { genAi: "latest" }))
      assert.strictEqual(request.attributes.get("gen_ai.usage.cache_write.input_tokens"), 10)
      assert.isFalse(request.attributes.has("gen_ai.usage.cache_creation.input_tokens"))
    }))

  it.effect("name the provider that answered, and what is OpenAI's own only of OpenAI", () =>
    Effect.gen(function*() {
      const body = { ...completion.body as object, service_tier: "flex", system_fingerprint: "fp_1" }
      const ask = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat({ ...hello, service_tier: "flex" })))
      const replies: Array<Canned> = [{ status: 500 }, { status: 200, body }]
      const resources = [azure("east"), {
        name: "open",
        provider: "openai" as const,
        apiKey: "open-key",
        deployments: [{ name: "gpt-4o", tier: 2 }]
      }]
      const recorder = yield* recordScripted(() => replies.shift()!, resources, ask)
      const { request } = only(recorder)
      assert.deepInclude(attributesOf(request), {
        "gen_ai.provider.name": "openai",
        "server.address": "api.openai.com",
        "openai.api.type": "chat_completions",
        "openai.request.service_tier": "flex",
        "openai.response.service_tier": "flex",
        "openai.response.system_fingerprint": "fp_1"
      })
      const compatible = { ...resources[1]!, provider: "compatible" as const, endpoint: "https://local.test:8443/v1" }
      const other = only(yield* recordScripted(() => ({ status: 200, body }), [compatible], ask))
      assert.deepInclude(attributesOf(other.request), {
        "gen_ai.provider.name": "openai",
        "server.address": "local.test",
        "server.port": 8443
      })
    }))

  it.effect("of responses and of embeddings say what these are", () =>
    Effect.gen(function*() {
      const two = fleet(
        [
          service("think", { name: "o4-mini", reasoningTokens: 200, reply: undefined }),
          service("vectors", { name: "text-embedding-3-small", model: "text-embedding-3-small" })
        ],
        {},
        telemetry()
      )
      const recorder = yield* record(two, function*(lb) {
        const thinking = {
          model: "o4-mini",
          input: "Think.",
          max_output_tokens: 900,
          reasoning: { effort: "high" },
          text: { format: { type: "text" } }
        }
        yield* answer(lb.responses(thinking as never))
        yield* answer(Stream.runDrain(lb.responsesStream(thinking as never)))
        yield* answer(
          lb.embeddings({ model: "text-embedding-3-small", input: "words", dimensions: 8, encoding_format: "float" })
        )
        yield* answer(Effect.flatMap(lb.request({ path: "/models" }), ({ text }) => text))
      })
      const [whole, streamed, vectors, other] = recorder.requests()
      assert.deepStrictEqual(recorder.requests().map(({ name }) => name), [
        "chat o4-mini",
        "chat o4-mini",
        "embeddings text-embedding-3-small",
        "request"
      ])
      for (const request of [whole, streamed]) {
        assert.deepInclude(attributesOf(request), {
          "gen_ai.operation.name": "chat",
          "gen_ai.request.max_tokens": 900,
          "gen_ai.request.reasoning.level": "high",
          "gen_ai.output.type": "text",
          "gen_ai.response.finish_reasons": ["completed"]
        })
        assert.isAbove(request!.attributes.get("gen_ai.usage.reasoning.output_tokens") as number, 0)
        assert.match(String(request!.attributes.get("gen_ai.response.id")), /^resp_/)
      }
      assert.isFalse(whole!.attributes.has("gen_ai.request.stream"))
      assert.isTrue(streamed!.attributes.get("gen_ai.request.stream"))
      assert.isAbove(streamed!.attributes.get("gen_ai.response.time_to_first_chunk") as number, 0)
      assert.deepInclude(attributesOf(vectors), {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.embeddings.dimension.count": 8,
        "gen_ai.request.encoding_formats": ["float"]
      })
      assert.isAbove(vectors!.attributes.get("gen_ai.usage.input_tokens") as number, 0)
      assert.isFalse(vectors!.attributes.has("gen_ai.usage.output_tokens"))
      // a path has ids in it, of which there are many
      assert.notInclude(JSON.stringify(attributesOf(other)), "/models")
      assertEndedOnce(recorder)
    }))

  it.effect("say nothing of one choice, and nothing of settings that are none", () =>
    Effect.gen(function*() {
      const odd = {
        ...hello,
        n: 1,
        temperature: "a canary",
        max_tokens: 5,
        seed: NaN,
        reasoning_effort: "not one word",
        service_tier: "x".repeat(500),
        response_format: { type: "toString" }
      }
      const asking = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(odd as never)))
      const { request } = only(yield* recordScripted(() => completion, [azure("east")], asking))
      const settings = [...request.attributes.keys()].filter((name) => /request|output\.type/.test(name))
      assert.deepStrictEqual(settings, ["gen_ai.request.model", "gen_ai.request.max_tokens"])
    }))

  it.effect("tell of each attempt where it went, why, and what it came to; a failure that was mended marks only its own", () =>
    Effect.gen(function*() {
      const limited = { tpm: 100_000, rpm: 600 }
      const services = [service("east", limited, { region: "eastus" }), service("west", limited)]
      const two = fleet(services, tiered, telemetry())
      const recorder = yield* record(two, function*() {
        two.services["east"]!.fault("*", { kind: "throttle", retryAfterMs: 20_000, times: 1 })
        yield* chat
      })
      const { attempts: [first, second], request } = only(recorder)
      assert.deepStrictEqual([request, first!, second!].map(endOf), ["ok", "error", "ok"])
      assert.isFalse(request.attributes.has("error.type"))
      const { "evenkeel.request_ids": ids, ...told } = attributesOf(first)
      assert.lengthOf(ids as ReadonlyArray<string>, 1)
      assert.deepInclude(told, {
        "evenkeel.deployment": "east/gpt-4o",
        "evenkeel.resource": "east",
        "evenkeel.region": "eastus",
        "evenkeel.tier": 1,
        "evenkeel.attempt.role": "first",
        "http.request.method": "POST",
        "http.response.status_code": 429,
        "evenkeel.outcome": "throttled",
        "error.type": "429"
      })
      assert.isFalse(first!.attributes.has("http.request.resend_count"))
      assert.deepInclude(attributesOf(second), {
        "evenkeel.deployment": "west/gpt-4o",
        "evenkeel.tier": 2,
        "evenkeel.attempt.role": "failover",
        "http.request.resend_count": 1,
        "http.response.status_code": 200,
        "evenkeel.outcome": "success"
      })
      // the request tells it
      assert.isFalse(second!.attributes.has("gen_ai.usage.input_tokens"))
      assert.strictEqual(request.attributes.get("gen_ai.usage.input_tokens"), 3)
      assert.strictEqual(typeof second!.attributes.get("evenkeel.ratelimit.remaining_tokens"), "number")
      assert.strictEqual(typeof second!.attributes.get("evenkeel.ratelimit.remaining_requests"), "number")
      assert.deepStrictEqual(request.events.map(({ attributes, name }) => [name, attributes]), [[
        "evenkeel.failover",
        { "evenkeel.deployment": "east/gpt-4o", "error.type": "429", "evenkeel.delay": 0 }
      ]])
      assertEndedOnce(recorder)
    }))

  it.effect("count every repetition, also one with a new credential, which is no attempt of the request's own", () =>
    Effect.gen(function*() {
      let token = 0
      const replies: Array<Canned> = [{ status: 401 }, completion]
      const resource = azure("east", {}, { apiKey: undefined, auth: () => `token-${++token}` } as never)
      const { attempts, request } = only(yield* recordScripted(() => replies.shift()!, [resource], chat))
      assert.deepStrictEqual(attempts.map(({ attributes }) => attributes.get("http.request.resend_count")), [
        undefined,
        1
      ])
      assert.deepStrictEqual(attempts.map(({ attributes }) => attributes.get("evenkeel.attempt.role")), [
        "first",
        "retry"
      ])
      assert.strictEqual(request.attributes.get("evenkeel.attempts"), 1)
    }))

  it.effect("tell of commit, failover, wait, panic and moved sessions, in order", () =>
    Effect.gen(function*() {
      const two = pair({ ...tiered, failover: { attempts: 3 } })
      const recorder = yield* record(two, function*(lb) {
        const { east, west } = two.services
        const asking = answer(Stream.runDrain(lb.chatStream(hello, { session: "a" })))
        yield* asking
        east!.fault("*", { kind: "throttle", retryAfterMs: 3000, times: 1 })
        yield* asking
        east!.fault("*", { kind: "throttle", retryAfterMs: 3000, times: 1 })
        west!.fault("*", { kind: "throttle", retryAfterMs: 2000, times: 1 })
        yield* TestClock.adjust("10 seconds")
        yield* asking
        for (const { fault } of [east!, west!]) fault("*", { kind: "status", status: 500, times: 40 })
        for (let i = 0; i < 30; i++) yield* settle(lb.chat(hello))
      })
      const [, moved, waited, ...later] = recorder.requests()
      assert.deepStrictEqual(eventsOf(moved!), ["evenkeel.failover", "evenkeel.commit", "evenkeel.session.moved"])
      assert.deepStrictEqual(moved!.events[2]!.attributes, {
        "evenkeel.session.from": "east/gpt-4o",
        "evenkeel.session.to": "west/gpt-4o",
        "evenkeel.session.move_reason": "failed"
      })
      assert.deepInclude(attributesOf(moved), {
        "evenkeel.session.id": "a",
        "evenkeel.session.placement": "moved"
      })
      // of the one that answered, which has none, and not of the one that did not
      assert.isFalse(moved!.attributes.has("evenkeel.region"))
      assert.include(eventsOf(waited!), "evenkeel.wait")
      const wait = waited!.events.find(({ name }) => name === "evenkeel.wait")
      assert.isAbove(wait!.attributes["evenkeel.delay"] as number, 0)
      assert.isAbove(waited!.attributes.get("evenkeel.waited") as number, 0)
      const panic = later.flatMap(({ events }) => events).find(({ name }) => name === "evenkeel.panic")
      assert.match(String(panic?.attributes["evenkeel.deployment"]), /^(?:east|west)\/gpt-4o$/)
      for (const { ends, events, startedAt } of recorder.spans) {
        const times = [startedAt, ...events.map(({ at }) => at), ends[0]!.at]
        assert.deepStrictEqual(times.toSorted((a, b) => Number(a - b)), times)
      }
      assertEndedOnce(recorder)
    }))

  it.effect("tell of an error in few words of our own, and of what ended the search", () =>
    Effect.gen(function*() {
      const two = pair(tiered)
      const recorder = yield* record(two, function*() {
        for (const { fault } of Object.values(two.services)) fault("*", { kind: "status", status: 503 })
        yield* failure(chat)
      })
      const { attempts, request } = only(recorder)
      assert.deepStrictEqual([request, ...attempts].map(endOf), ["error", "error", "error"])
      assert.deepInclude(attributesOf(request), { "error.type": "Unavailable", "evenkeel.limited_by": "attempts" })
      assert.deepStrictEqual(attempts.map(({ attributes }) => attributes.get("error.type")), ["503", "503"])
      const [{ exit }] = request.ends as [RecordedSpan["ends"][number]]
      const error = Option.getOrUndefined(Exit.findErrorOption(exit)) as Error
      assert.strictEqual(error.message, "Unavailable after 2 attempts, limited by attempts")
      assert.isUndefined(error.stack)
      // the last failure was followed by nothing
      assert.deepStrictEqual(eventsOf(request), ["evenkeel.failover"])
    }))
})

/** Holds the first content of two streams, until both have some. */
class Gate {
  isShut = false
  private held = 0
  private readonly opened = Deferred.makeUnsafe<void>()

  watch(transport: Transport["Service"]): Transport["Service"] {
    const hold = (bytes: Uint8Array): Effect.Effect<void> => {
      if (!this.isShut || !new TextDecoder().decode(bytes).includes("\"content\":\"I")) return Effect.void
      if (++this.held === 2) Deferred.doneUnsafe(this.opened, Effect.void)
      return Deferred.await(this.opened)
    }
    return {
      send: (request) =>
        Effect.map(transport.send(request), (response) => ({ ...response, pull: Effect.tap(response.pull, hold) }))
    }
  }
}

type Ends = readonly [request: ReturnType<typeof endOf>, ...attempts: ReadonlyArray<ReturnType<typeof endOf>>]

const two = (config: FleetConfig = {}) => fleet([service("east"), service("west")], config, telemetry())

/** Every way in which a request may end. */
const endings: ReadonlyArray<{
  readonly what: string
  readonly ends: Ends
  readonly ask: (lb: LoadBalancer["Service"]) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly faults?: ReadonlyArray<SimulatedFault>
  readonly config?: FleetConfig
}> = [
  { what: "a whole answer", ends: ["ok", "ok"], ask: (lb) => lb.chat(hello) },
  { what: "a stream read to its end", ends: ["ok", "ok"], ask: (lb) => Stream.runDrain(lb.chatStream(hello)) },
  {
    what: "a stream that came in one piece",
    ends: ["ok", "ok"],
    ask: (lb) => Stream.runDrain(lb.chatStream(hello, { session: "a" })),
    faults: [{ kind: "slow", factor: 0.001 }]
  },
  {
    what: "a stream stopped early",
    ends: ["interrupted", "interrupted"],
    ask: (lb) => Stream.runDrain(Stream.take(lb.chatStream(hello), 2))
  },
  {
    what: "a stream broken after its commit",
    ends: ["error", "error"],
    ask: (lb) => Stream.runDrain(lb.chatStream(hello)),
    faults: [{ kind: "cut", afterEvents: 4, ending: "reset" }]
  },
  {
    what: "an error in a stream",
    ends: ["error", "error"],
    ask: (lb) => Stream.runDrain(lb.chatStream(hello)),
    faults: [{ kind: "errorInStream", afterEvents: 4 }]
  },
  {
    what: "a stream that stalls",
    ends: ["error", "error"],
    ask: (lb) => Stream.runDrain(lb.chatStream(hello)),
    faults: [{ kind: "hang", afterEvents: 5 }]
  },
  {
    what: "a stream whose scope is closed before it is pulled again",
    ends: ["interrupted", "interrupted"],
    ask: (lb) => Effect.scoped(Effect.flatMap(Stream.toPull(lb.chatStream(hello)), (pull) => pull))
  },
  {
    what: "a stream past its deadline",
    ends: ["error", "interrupted"],
    ask: (lb) => Stream.runForEach(lb.chatStream(hello, { timeout: 150 }), () => Effect.sleep(100))
  },
  { what: "the request's own deadline", ends: ["error", "interrupted"], ask: (lb) => lb.chat(hello, { timeout: 50 }) },
  {
    what: "a time limit of the caller's",
    ends: ["interrupted", "interrupted"],
    ask: (lb) => Effect.timeout(lb.chat(hello), 50)
  },
  {
    what: "a refusal of the service",
    ends: ["error", "error"],
    ask: (lb) => lb.chat({ ...hello, temperature: 9 })
  },
  {
    what: "the service's content filter",
    ends: ["error", "error"],
    ask: (lb) => lb.chat(hello),
    faults: [{ kind: "status", error: "content-filter" }]
  },
  {
    what: "a failure everywhere",
    ends: ["error", "error", "error", "error"],
    ask: (lb) => lb.chat(hello),
    faults: [{ kind: "status", status: 500 }]
  },
  {
    what: "a wait that the caller breaks off",
    ends: ["interrupted", "error"],
    ask: (lb) => Effect.timeout(lb.chat(hello), 500),
    faults: [{ kind: "throttle", retryAfterMs: 4000 }]
  },
  {
    what: "a wait that would be too long",
    ends: ["error", "error"],
    ask: (lb) => lb.chat(hello),
    faults: [{ kind: "throttle", retryAfterMs: 400_000 }]
  },
  {
    what: "a raw answer that is read",
    ends: ["ok", "ok"],
    ask: (lb) => Effect.flatMap(lb.request({ path: "/models" }), ({ text }) => text)
  },
  {
    what: "a raw answer whose reader dies",
    ends: ["interrupted", "interrupted"],
    ask: (lb) => Effect.andThen(lb.request({ path: "/models" }), Effect.die("something else"))
  }
]

describe("each span ends exactly once, and well unless something failed", () => {
  it.effect.each(endings)("$what", ({ ask, config = {}, ends, faults = [] }) =>
    Effect.gen(function*() {
      const one = fleet(
        [service("east")],
        { failover: { backoff: 100 }, timeouts: { idle: 1000 }, ...config },
        telemetry()
      )
      const recorder = yield* record(one, function*(lb) {
        for (const fault of faults) one.services["east"]!.fault("*", fault)
        yield* settle(ask(lb))
        yield* nothingInFlight(["east"])
      })
      const { attempts, request } = only(recorder)
      assert.deepStrictEqual([request, ...attempts].map(endOf), [...ends])
      assertEndedOnce(recorder)
    }))

  const situations: ReadonlyArray<{
    readonly what: string
    readonly ask: (lb: LoadBalancer["Service"]) => Effect.Effect<unknown, unknown>
    readonly fault?: SimulatedFault
  }> = [
    { what: "a request under way", ask: (lb) => lb.chat(hello), fault: { kind: "hang" } },
    {
      what: "a stream whose reader is busy",
      ask: (lb) => Stream.runForEach(lb.chatStream(hello), () => Effect.sleep("10 seconds"))
    },
    { what: "a request that waits", ask: (lb) => lb.chat(hello), fault: { kind: "throttle", retryAfterMs: 9000 } },
    {
      what: "a raw answer that nobody reads",
      ask: (lb) => Effect.andThen(lb.request({ path: "/models" }), Effect.never)
    }
  ]

  it.effect.each(situations)(
    "where the balancer is closed under it: $what",
    ({ ask, fault }) =>
      Effect.gen(function*() {
        const one = fleet([service("east", { reply: () => "x".repeat(4000) })], {}, telemetry())
        const recorder = makeRecorder()
        yield* traced(
          recorder,
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            const context = yield* Random.withSeed(Layer.buildWithScope(one.layer, scope), 1)
            if (fault !== undefined) one.services["east"]!.fault("gpt-4o", fault)
            const caller = yield* Effect.forkChild(ask(Context.get(context, LoadBalancer)), { startImmediately: true })
            yield* TestClock.adjust(500)
            yield* Scope.close(scope, Exit.void)
            yield* TestClock.adjust("1 minute")
            yield* Fiber.interrupt(caller)
          })
        )
        const { request } = only(recorder)
        // whoever asked is told that nothing more comes
        assert.strictEqual(endOf(request), "error")
        assertEndedOnce(recorder)
      })
  )

  it.effect("of both attempts of a hedged request; the request tells what the winner said", () =>
    Effect.gen(function*() {
      const both = two()
      const recorder = yield* record(both, function*(lb) {
        yield* Effect.replicateEffect(stream, 40)
        both.services["east"]!.fault("*", { kind: "hang", times: 1 })
        for (let i = 0; i < 6; i++) yield* answer(Stream.runDrain(lb.chatStream(hello, { hedge: true })))
        yield* nothingInFlight()
      })
      assertEndedOnce(recorder)
      const hedged = recorder.requests().filter((request) => eventsOf(request).includes("evenkeel.hedge"))
      assert.lengthOf(hedged, 1)
      const [late, winner] = recorder.childrenOf(hedged[0]!)
      assert.deepStrictEqual([hedged[0]!, late!, winner!].map(endOf), ["ok", "interrupted", "ok"])
      assert.strictEqual(late!.attributes.get("evenkeel.attempt.role"), "first")
      assert.strictEqual(winner!.attributes.get("evenkeel.attempt.role"), "hedge")
      assert.strictEqual(hedged[0]!.attributes.get("evenkeel.deployment"), "west/gpt-4o")
      const hedge = hedged[0]!.events.find(({ name }) => name === "evenkeel.hedge")!
      assert.strictEqual(hedge.attributes["evenkeel.deployment"], "east/gpt-4o")
      assert.isAbove(hedge.attributes["evenkeel.delay"] as number, 0)
    }))

  it.effect.each([{ how: "piece by piece", factor: 1 }, { how: "in one piece", factor: 0.000_1 }])(
    "where both of a hedged request answer in the same moment, $how: it ends with the one that was given",
    ({ factor }) =>
      Effect.gen(function*() {
        const gate = new Gate()
        const services = [service("east"), service("west")]
        const both = fleet(services, { tiers: { east: 1, west: 2 } }, telemetry(), (transport) => gate.watch(transport))
        const recorder = makeRecorder()
        const test = Effect.gen(function*() {
          const lb = yield* LoadBalancer
          const events = yield* listen
          yield* Effect.replicateEffect(stream, 40)
          for (const { fault } of Object.values(both.services)) fault("*", { kind: "slow", factor })
          gate.isShut = true
          yield* answer(inSmallSteps(Stream.runDrain(lb.chatStream(hello, { hedge: true, session: "s" }))))
          yield* letRun
          assert.lengthOf(heard(events, "RequestEnded"), 41)
          assert.lengthOf(heard(events, "AttemptEnded"), 42)
          yield* nothingInFlight()
        })
        yield* traced(recorder, run(both, test))
        assertEndedOnce(recorder)
        const request = recorder.requests().at(-1)!
        assert.strictEqual(eventsOf(request).filter((name) => name === "evenkeel.commit").length, 2)
        assert.strictEqual(endOf(request), "ok")
        const given = recorder.childrenOf(request).find(({ attributes }) =>
          attributes.get("evenkeel.deployment") === request.attributes.get("evenkeel.deployment")
        )
        assert.strictEqual(endOf(given!), "ok")
      })
  )

  it.effect("where the caller is interrupted at any operation", () =>
    Effect.gen(function*() {
      for (const moment of ["headers", "chunk", "failure"] as const) {
        for (let step = 0; step < 55; step += amount(1, 4)) {
          const striker = new Striker(moment, step)
          const both = pair({}, {}, (transport) => striker.watch(transport))
          const recorder = yield* record(both, function*(lb) {
            const events = yield* listen
            if (moment === "failure") both.services["east"]!.fault("*", { kind: "refused", times: 1 })
            if (moment === "chunk") both.services["east"]!.fault("*", { kind: "slow", factor: 0.001 })
            const fiber = yield* Effect.forkChild(inSmallSteps(Stream.runDrain(lb.chatStream(hello, { session: "s" }))))
            striker.strike = Effect.sync(() => fiber.interruptUnsafe())
            yield* letRun
            yield* TestClock.adjust("5 seconds")
            yield* Fiber.await(fiber)
            assert.lengthOf(heard(events, "RequestEnded"), 1, `${moment} ${step}`)
          })
          assertEndedOnce(recorder)
        }
      }
    }), { timeout: 60_000 })
})

describe("a request's parent", () => {
  it.effect("is the span of whoever asked", () =>
    Effect.gen(function*() {
      const recorder = yield* record(pair(), Effect.withSpan(chat, "page"))
      const page = recorder.spans.find(({ name }) => name === "page")!
      const { request } = only(recorder)
      assert.deepStrictEqual(Option.getOrUndefined(request.parent), page)
      assert.strictEqual(request.traceId, page.traceId)
      assertEndedOnce(recorder)
    }))

  it.effect("is the next one outside of those that may have no children", () =>
    Effect.gen(function*() {
      const annotations = Context.make(Tracer.DisablePropagation, true)
      const hidden = Effect.withSpan(chat, "hidden", { annotations })
      const recorder = yield* record(pair(), Effect.withSpan(Effect.withTracerEnabled(true)(hidden), "page"))
      const { request } = only(recorder)
      assert.strictEqual((Option.getOrUndefined(request.parent) as RecordedSpan | undefined)?.name, "page")
    }))

  it.effect("is made with the balancer's own tracer, where the caller's fiber has none", () =>
    Effect.gen(function*() {
      const recorder = makeRecorder()
      const two = pair()
      yield* Effect.scoped(run({ ...two, layer: Layer.provide(two.layer, recorder.layer) }, chat))
      assert.lengthOf(only(recorder).attempts, 1)
    }))

  it.effect("is below the span that its headers name, where the caller's fiber has none", () =>
    Effect.gen(function*() {
      const [traceId, spanId] = ["1".repeat(32), "2".repeat(16)]
      const headers = { traceparent: `00-${traceId}-${spanId}-01` }
      const ask = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(hello, { headers })))
      const { request } = only(yield* record(pair(), ask))
      assert.strictEqual(request.traceId, traceId)
      assert.strictEqual(Option.getOrUndefined(request.parent)?.spanId, spanId)
      const inside = yield* record(pair(), Effect.withSpan(ask, "page"))
      assert.notStrictEqual(only(inside).request.traceId, traceId)
      const odd = { traceparent: `00-${"0".repeat(32)}-${spanId}-01` }
      const none = Effect.flatMap(LoadBalancer, (lb) => answer(lb.chat(hello, { headers: odd })))
      assert.isTrue(Option.isNone(only(yield* record(pair(), none)).request.parent))
    }))

  it.effect("that is not sampled has no child that is", () =>
    Effect.gen(function*() {
      const recorder = yield* record(pair(), Effect.withSpan(chat, "page", { sampled: false }))
      const { attempts, request } = only(recorder)
      for (const span of [request, ...attempts]) {
        assert.isFalse(span.sampled)
        assert.strictEqual(span.attributes.size, 0)
      }
      assertEndedOnce(recorder)
      const quiet = yield* record(pair(), Effect.provideService(chat, Tracer.MinimumTraceLevel, "Error"))
      assert.deepStrictEqual(quiet.spans.map(({ sampled }) => sampled), [false])
    }))

  it.effect("gives what it gives to every span around it: annotations and links", () =>
    Effect.gen(function*() {
      const other = Tracer.externalSpan({ traceId: "1".repeat(32), spanId: "2".repeat(16) })
      const recorder = yield* record(
        pair(),
        chat.pipe(Effect.annotateSpans("team", "search"), Effect.linkSpans(other))
      )
      const { request } = only(recorder)
      assert.strictEqual(request.attributes.get("team"), "search")
      assert.deepStrictEqual(request.links.map(({ span }) => span), [other])
    }))
})

describe("no spans are made", () => {
  it.effect.each([
    { what: "where spans are off", options: { spans: false }, ask: chat },
    { what: "where tracing is off", options: {}, ask: Effect.withTracerEnabled(chat, false) },
    {
      what: "where nothing is passed on",
      options: {},
      ask: Effect.provideService(chat, Tracer.DisablePropagation, true)
    }
  ])("$what", ({ ask, options }) =>
    Effect.gen(function*() {
      assert.isEmpty((yield* record(pair({}, options), ask)).spans)
    }))

  it.effect("with Effect's own tracer, which nobody reads; then nothing is looked at but that", () =>
    Effect.gen(function*() {
      const clock = yield* Clock.Clock
      const trace = Spans.make(
        clock,
        { captureContent: true, propagate: true, isLatest: false },
        Tracer.nativeTracer
      )
      const untouchable = new Proxy({}, {
        get: () => {
          throw new Error("looked at")
        }
      }) as never
      assert.isUndefined(trace(untouchable, "gpt-4o", untouchable, Context.empty()))
      assert.isUndefined(
        trace(untouchable, "gpt-4o", untouchable, Context.make(Tracer.Tracer, Tracer.nativeTracer))
      )
      const off = Context.make(Tracer.Tracer, makeRecorder().tracer).pipe(Context.add(References.TracerEnabled, false))
      assert.isUndefined(trace(untouchable, "gpt-4o", untouchable, off))
    }))
})

const headersOf = ({ sends }: Fleet) => sends.map(({ request: { headers } }) => headers)

describe("trace context", () => {
  it.effect("goes to the service where that was asked for: of each attempt its own", () =>
    Effect.gen(function*() {
      const two = pair(tiered, { propagate: true })
      const recorder = yield* record(two, function*(lb) {
        two.services["east"]!.fault("*", { kind: "status", status: 500, times: 1 })
        const headers = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "vendor=1" }
        yield* answer(lb.chat(hello, { headers }))
        yield* Effect.withSpan(chat, "page", { sampled: false })
      })
      const attempts = recorder.spans.filter(({ name }) => name.startsWith("attempt"))
      assert.deepStrictEqual(
        headersOf(two).map(({ traceparent }) => traceparent),
        attempts.map(({ sampled, spanId, traceId }) => `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`)
      )
      // it belongs to another `traceparent`
      for (const { b3, tracestate } of headersOf(two)) assert.deepStrictEqual([b3, tracestate], [undefined, undefined])
    }))

  it.effect("stays here otherwise; what the caller gives crosses as ever", () =>
    Effect.gen(function*() {
      const two = pair()
      const own = { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, tracestate: "vendor=1" }
      yield* record(two, function*(lb) {
        yield* Effect.withSpan(chat, "page")
        yield* answer(lb.chat(hello, { headers: own }))
      })
      const [first, second] = headersOf(two)
      for (const name of ["traceparent", "tracestate", "b3"]) assert.notProperty(first, name)
      assert.deepInclude(second, own)
    }))

  it.effect("whose ids are none is not passed on", () =>
    Effect.gen(function*() {
      const two = pair({}, { propagate: true })
      const { tracer } = makeRecorder()
      const odd = Tracer.make({
        span: (options) => Object.assign(tracer.span(options), { spanId: "noop\r\nx: y", traceId: "noop" })
      })
      yield* Effect.provideService(run(two, chat), Tracer.Tracer, odd)
      assert.notProperty(headersOf(two)[0], "traceparent")
    }))

  it.effect("reaches the transport: what it does is part of the attempt", () =>
    Effect.gen(function*() {
      const two = pair({}, {}, (transport) => ({
        send: (request) => Effect.withSpan(transport.send(request), "http")
      }))
      const recorder = yield* record(two, chat)
      const { attempts } = only(recorder)
      assert.deepStrictEqual(recorder.childrenOf(attempts[0]!).map(({ name }) => name), ["http"])
      assertEndedOnce(recorder)
    }))
})

const refuse = () => {
  throw new Error("the collector is away")
}

describe("a tracer that throws", () => {
  const methods = ["span", "attribute", "event", "end", "sampled", "traceId", "spanId", "annotations"] as const

  it.effect.each(methods.map((method) => ({ method })))(
    "at $method harms no request, and leaves nothing in flight",
    ({ method }) =>
      Effect.gen(function*() {
        const recorder = makeRecorder()
        const tracer = Tracer.make({
          span: (options) => {
            if (method === "span") return refuse()
            const span = recorder.tracer.span(options)
            const property = method === "attribute" || method === "event" || method === "end"
              ? { value: refuse }
              : { get: refuse }
            return Object.defineProperty(span, method, property)
          }
        })
        const two = pair(tiered, { propagate: true, captureContent: true })
        const test = run(two, function*(lb, _, { events }) {
          two.services["east"]!.fault("*", { kind: "status", status: 500, times: 1 })
          yield* chat
          yield* stream
          yield* settle(Effect.timeout(lb.chat(hello), 30))
          yield* answer(Stream.runDrain(Stream.take(lb.chatStream(hello), 2)))
          yield* failure(lb.chat({ ...hello, temperature: 9 }))
          assert.lengthOf(heard(events, "RequestEnded"), 5)
          yield* nothingInFlight()
        })
        yield* Effect.provideService(test, Tracer.Tracer, tracer)
        // what it has begun is ended all the same, so that it keeps nothing
        if (method !== "attribute" && method !== "event") return
        assert.isAbove(recorder.spans.length, 0)
        for (const { ends, name } of recorder.spans) assert.lengthOf(ends, 1, name)
      })
  )

  it.effect("for good keeps no request from the others", () =>
    Effect.gen(function*() {
      const two = pair()
      const broken = Tracer.make({ span: refuse })
      const recorder = yield* record(
        two,
        Effect.andThen(Effect.provideService(chat, Tracer.Tracer, broken), chat)
      )
      only(recorder)
      assertEndedOnce(recorder)
    }))
})

describe("listeners", () => {
  it.effect("that come or go half way harm nothing, and spans are told to their end", () =>
    Effect.gen(function*() {
      const two = pair()
      const recorder = yield* record(two, function*(lb) {
        const { events: hub } = yield* Deployments
        const told: Array<string> = []
        for (
          const ask of [lb.chat(hello), Stream.runDrain(lb.chatStream(hello)), Effect.timeout(lb.chat(hello), 70)]
        ) {
          const fiber = yield* Effect.forkChild(Effect.exit(ask), { startImmediately: true })
          yield* TestClock.adjust(50)
          const stop = hub.listen(({ _tag }) => told.push(_tag))
          yield* TestClock.adjust("1 second")
          stop()
          yield* Fiber.join(fiber)
        }
        // each of them is told of the end of what had begun
        assert.deepStrictEqual(told, [1, 2, 3].flatMap(() => ["AttemptEnded", "RequestEnded"]))
      })
      assert.deepStrictEqual(recorder.requests().map(endOf), ["ok", "ok", "interrupted"])
      assertEndedOnce(recorder)
    }))

  it.effect("a span whose telemetry was closed first ends all the same", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const built = yield* Layer.buildWithScope(Telemetry.layer({ metrics: false, logs: false }), scope)
      const one = fleet([service("east")], {}, { telemetry: Layer.succeedContext(built) })
      const recorder = yield* record(one, function*(lb) {
        const fiber = yield* Effect.forkChild(lb.chat(hello), { startImmediately: true })
        yield* TestClock.adjust(50)
        yield* Scope.close(scope, Exit.void)
        yield* TestClock.adjust(100)
        yield* Fiber.join(fiber)
      })
      assert.deepStrictEqual(recorder.spans.map(endOf), ["ok", "ok"])
      assertEndedOnce(recorder)
    }))
})
