import { assert, describe, it } from "@effect/vitest"
import type { LoadBalancerClient } from "@evenkeel/node"
import {
  type APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError
} from "openai"
import { bareClient } from "../support/Bare.ts"
import { listen } from "../support/PlainServer.ts"
import { failureAs, failureOf, hello, inFlight, resource, serve } from "../support/Served.ts"

/** No waiting between attempts, and as many of them as the attempts allow. */
const eager = { failover: { backoff: 1, maxBackoff: 1, maxWait: 0, budgetPerSecond: 100 } }

const create = (lb: LoadBalancerClient, options?: { maxRetries?: number; timeout?: number }) =>
  lb.openai.chat.completions.create(hello, options)

/** What our own errors tell besides what OpenAI's do. */
const attemptsOf = (error: APIError): ReadonlyArray<{ deployment: string; outcome: string; status?: number }> =>
  (error.error as { attempts: ReadonlyArray<{ deployment: string; outcome: string }> }).attempts

describe("a request that the service refuses", () => {
  it("is sent once, however often it may be", async () => {
    await using served = await serve([resource("east"), resource("west")])
    for (const name of ["east", "west"]) served.service(name).fault("gpt", { kind: "status", status: 400 })
    await failureAs(create(served.lb, { maxRetries: 3 }), BadRequestError)
    assert.strictEqual(served.sends(), 1)
  })

  it("is a 404 for a model that nobody serves, and nothing is sent", async () => {
    await using served = await serve([resource("east")])
    const asked = served.lb.openai.chat.completions.create({ ...hello, model: "gpt-none" }, { maxRetries: 3 })
    const error = await failureAs(asked, NotFoundError)
    assert.strictEqual(error.code, "model_not_found")
    assert.include(error.message, "gpt-none")
    assert.include(error.message, "gpt-4o")
    assert.strictEqual(served.sends(), 0)
  })
})

describe("a request that no deployment answers", () => {
  it("is a 429 with the soonest wait when all are throttled", async () => {
    await using served = await serve([resource("east"), resource("west")], eager)
    served.service("east").fault("gpt", { kind: "throttle", retryAfterMs: 60_000 })
    served.service("west").fault("gpt", { kind: "throttle", retryAfterMs: 30_000 })
    const error = await failureAs(create(served.lb, { maxRetries: 3 }), RateLimitError)
    assert.strictEqual(error.code, "rate_limit_exceeded")
    assert.approximately(Number(error.headers.get("retry-after-ms")), 30_000, 2_000)
    assert.approximately(Number(error.headers.get("retry-after")), 30, 2)
    assert.sameMembers(attemptsOf(error).map(({ deployment, outcome }) => `${deployment} ${outcome}`), [
      "east/gpt throttled",
      "west/gpt throttled"
    ])
    assert.isString(error.requestID)
    assert.strictEqual(served.sends(), 2)
    // no send at all while both are told to wait
    await failureAs(create(served.lb, { maxRetries: 3 }), RateLimitError)
    assert.strictEqual(served.sends(), 2)
  })

  it("is a 503 that lists the attempts, and is never retried by the client", async () => {
    await using served = await serve([resource("east"), resource("west"), resource("north"), resource("south")], eager)
    for (const name of ["east", "west", "north", "south"]) {
      served.service(name).fault("gpt", { kind: "status", status: 500 })
    }
    const error = await failureAs(create(served.lb, { maxRetries: 5 }), InternalServerError)
    assert.strictEqual(error.status, 503)
    assert.strictEqual(error.headers.get("x-should-retry"), "false")
    const attempts = attemptsOf(error)
    assert.strictEqual(new Set(attempts.map(({ deployment }) => deployment)).size, 3)
    assert.isTrue(attempts.every(({ outcome, status }) => outcome === "failed" && status === 500))
    assert.strictEqual(served.sends(), 3)
  })

  it("is the service's own 401 when every key is wrong, and names no key", async () => {
    await using served = await serve([resource("east"), resource("west")], eager)
    for (const name of ["east", "west"]) served.service(name).setCredentials({ apiKey: "changed" })
    const error = await failureAs(create(served.lb), AuthenticationError)
    assert.strictEqual(error.status, 401)
    for (const name of ["east", "west"]) assert.isAbove(served.stats(name).unauthorized, 0)
    const told = JSON.stringify([error.message, error.error, [...error.headers]])
    assert.notMatch(told, /east-key|west-key/)
  })

  it("is a 504 when its time is over, from the call, from the client or from the configuration", async () => {
    await using served = await serve([resource("east")], { timeouts: { models: { "gpt-4o": { total: 350 } } } })
    served.service("east").fault("gpt", { kind: "hang" })
    const { openai } = served.lb
    const calls = [
      () => openai.chat.completions.create(hello, { timeout: 300, maxRetries: 3 }),
      () => openai.chat.completions.create(hello),
      () => openai.chat.completions.create({ ...hello, stream: true }, { timeout: 300 }),
      () => openai.withOptions({ timeout: 300 }).chat.completions.create(hello)
    ]
    for (const [i, call] of calls.entries()) {
      const start = performance.now()
      const error = await failureAs(call(), InternalServerError)
      assert.deepStrictEqual([error.status, error.code], [504, "timeout_total"])
      assert.isBelow(performance.now() - start, 2_000)
      assert.strictEqual(served.sends(), i + 1)
    }
    assert.strictEqual(inFlight(served.lb), 0)
  })

  it("is a 504 for endpoints without a model too", { timeout: 6_000 }, async () => {
    await using server = await listen(() => {})
    await using served = await serve([resource("east")], {
      each: (given) => ({ ...given, provider: "compatible", endpoint: `${server.url}/v1` })
    })
    const listed = served.lb.openai.models.list({ timeout: 100 })
    // not awaited for longer than three seconds, so that what is wrong is told before the test's own end
    const error = await failureOf(Promise.race([listed, new Promise((resolve) => setTimeout(resolve, 3_000))]))
    assert.propertyVal(error, "status", 504)
  })
})

describe("a request that one deployment fails", () => {
  for (
    const [name, fault] of [
      ["throttles", { kind: "throttle", retryAfterMs: 60_000 }],
      ["answers 500", { kind: "status", status: 500 }],
      ["answers 404 DeploymentNotFound", { kind: "status", error: "deployment-not-found" }],
      ["resets", { kind: "reset" }],
      ["answers what cannot be read", { kind: "unreadable" }],
      ["answers half", { kind: "truncated" }]
    ] as const
  ) {
    it(`is answered by another when it ${name}`, async () => {
      await using served = await serve([resource("east"), resource("west")])
      served.service("east").fault("gpt", fault)
      await Promise.all(Array.from({ length: 6 }, async (_, i) => {
        const stream = i % 2 === 0
        if (stream) {
          for await (const _ of await served.lb.openai.chat.completions.create({ ...hello, stream })) { /* read */ }
        } else {
          assert.strictEqual((await create(served.lb)).choices[0]!.message.content, "Hello from here.")
        }
      }))
      assert.isAbove(served.stats("east").requests, 0)
    })
  }

  it("is answered by another when its key is refused, which the other never sees", async () => {
    await using served = await serve([resource("east"), resource("west")])
    served.service("east").setCredentials({ apiKey: "changed" })
    for (let i = 0; i < 100 && served.stats("east").unauthorized < 5; i++) await create(served.lb)
    assert.strictEqual(served.stats("east").unauthorized, 5)
    assert.strictEqual(served.lb.snapshot().resources[0]!.state, "open")
    assert.deepStrictEqual(served.stats("west").credentials, ["west-key"])
    // the bare client raises
    const bare = bareClient(served.simulator, "east").chat.completions.create({ ...hello, model: "gpt" })
    await failureAs(bare, AuthenticationError)
  })
})
