import { Activity } from "#node/gateway/Activity"
import type { Status } from "#node/gateway/OperatorPages"
import { assert, describe, it } from "@effect/vitest"
import type { Event, Events } from "@evenkeel/core"
import { gated } from "../../support/Gated.ts"
import { fast, messages } from "../../support/Served.ts"

const start = 1_000_000

const requestEnded = (outcome: Events.RequestEnded["outcome"]) =>
  ({ _tag: "RequestEnded", at: start, outcome }) as Events.RequestEnded

const attemptEnded = (deployment: string, more: Partial<Events.AttemptEnded>, at = start) =>
  ({
    _tag: "AttemptEnded",
    at,
    operation: "chat",
    streamed: true,
    attempt: { deployment, outcome: "success" },
    ...more
  }) as Events.AttemptEnded

const cooled = (deployment: string, at: number, reason = "http 429"): Event => ({
  _tag: "CooledDown",
  at,
  deployment,
  pool: undefined,
  reason,
  coolFor: 1500
})

describe("what went on of late", () => {
  it("counts how requests ended, what they billed, and what was moved", () => {
    const activity = new Activity(start)
    for (const outcome of ["success", "Throttled", "Unavailable", "Rejected", "interrupted"] as const) {
      activity.take(requestEnded(outcome))
    }
    const usage = { promptTokens: 100, cachedTokens: 60, cacheWriteTokens: 0, completionTokens: 20, reasoningTokens: 0 }
    activity.take(attemptEnded("a/x", { usage, cost: 0.5 }))
    activity.take(attemptEnded("a/x", { usage, cost: undefined }))
    activity.take({ ...attemptEnded("a/x", {}), attempt: { outcome: "throttled" } } as Events.AttemptEnded)
    activity.take({ _tag: "FailedOver", at: start, from: "a/x", reason: "http 500" } as Events.FailedOver)
    assert.deepStrictEqual(activity.snapshot([], start).totals, {
      requests: 5,
      unanswered: 2,
      rejected: 1,
      interrupted: 1,
      failovers: 1,
      throttled: 1,
      promptTokens: 200,
      cachedTokens: 120,
      completionTokens: 40,
      cost: 0.5,
      unpriced: 1
    })
  })

  it("keeps the totals of the last minutes, and no more", () => {
    const activity = new Activity(start)
    for (let i = 1; i <= 100; i++) {
      activity.take(requestEnded("success"))
      activity.mark(start + 5000 * i)
    }
    const { history } = activity.snapshot([], start + 500_000)
    assert.strictEqual(history.length, 60)
    assert.deepStrictEqual([history[0]!.requests, history.at(-1)!.requests], [41, 100])
  })

  it("has times in milliseconds of each deployment that is there, of streams and whole answers apart", () => {
    const activity = new Activity(start)
    for (let i = 1; i <= 20; i++) activity.take(attemptEnded("a/x", { firstByte: 10 * i }))
    activity.take(attemptEnded("a/y", { streamed: false, firstByte: 900 }))
    activity.take(attemptEnded("a/gone", { firstByte: 5 }))
    const { latencies, latenciesOf } = activity.snapshot([{ id: "a/x" }, { id: "a/y" }, { id: "a/z" }], start)
    assert.deepStrictEqual(latenciesOf, {
      "a/x": { firstToken: { p50: 100, p95: 190 }, answer: undefined },
      "a/y": { firstToken: undefined, answer: { p50: 900, p95: 900 } }
    })
    assert.deepStrictEqual(latencies.answer, { p50: 900, p95: 900 })
    const later = activity.snapshot([{ id: "a/x" }], start + 300_000)
    assert.deepStrictEqual(later.latenciesOf["a/x"], { firstToken: undefined, answer: undefined })
  })

  it("tells what happens again once, with how often", () => {
    const activity = new Activity(start)
    for (let i = 0; i < 10; i++) activity.take(cooled("a/x", start + i))
    activity.take(cooled("a/y", start + 10))
    const [last, first] = activity.snapshot([], start + 10).happenings
    assert.include(last, { about: "a/y", count: 1, level: "warning" })
    assert.include(first, { about: "a/x", count: 10, at: start + 9, more: "for 2 s" })
    activity.take(cooled("a/x", start + 100_000))
    assert.strictEqual(activity.snapshot([], start + 100_000).happenings[0]!.count, 1)
  })

  it("is bounded, whatever services say and however many deployments come and go", () => {
    const activity = new Activity(start)
    for (let i = 0; i < 3000; i++) {
      activity.take(cooled(`a/${i}`, start, "x".repeat(10_000)))
      activity.take(attemptEnded(`a/${i}`, { firstByte: 1 }))
    }
    const { happenings, latenciesOf } = activity.snapshot(
      Array.from({ length: 3000 }, (_, i) => ({ id: `a/${i}` })),
      start
    )
    assert.strictEqual(happenings.length, 60)
    assert.isBelow(happenings[0]!.what.length, 500)
    assert.strictEqual(Object.keys(latenciesOf).length, 2000)
  })

  it("is part of what /status says", async () => {
    const deployments = [{ name: "gpt", model: "gpt-4o", latency: fast }]
    await using gateway = await gated([{ name: "east", deployments }, { name: "west", deployments }])
    gateway.simulator.service("east").fault("gpt", { kind: "throttle", retryAfterMs: 60_000 })
    const ask = () =>
      fetch(`${gateway.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ model: "gpt-4o", messages, stream: true })
      }).then((response) => response.text())
    for (let i = 0; i < 10; i++) await ask()
    const status = await fetch(`${gateway.url}/status`).then((response) => response.json()) as Status
    const { happenings, latenciesOf, totals } = status.gateway
    assert.include(totals, { requests: 10, unanswered: 0, failovers: 1, throttled: 1 })
    assert.isAbove(totals.completionTokens, 0)
    assert.isAbove(latenciesOf["west/gpt"]!.firstToken!.p50, 0)
    assert.strictEqual(happenings.find(({ about }) => about === "east/gpt")?.level, "neutral")
    assert.isTrue(happenings.some(({ what }) => what.startsWith("told to wait: http 429")))
  })
})

describe("decisions", () => {
  it("are told in short, and only those that are news, where that is asked", async () => {
    await using gateway = await gated([{
      name: "east",
      deployments: [{ name: "gpt", model: "gpt-4o", latency: fast }]
    }])
    const get = async (query: string) =>
      (await fetch(`${gateway.url}/decisions${query}`)).json() as Promise<ReadonlyArray<Record<string, unknown>>>
    await fetch(`${gateway.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "gpt-4o", messages })
    }).then((response) => response.text())
    const [whole] = await get("")
    const [brief] = await get("?brief&after=0")
    assert.deepStrictEqual(Object.keys(whole!), ["at", "explanation", "text"])
    assert.include(brief, { at: whole!["at"], text: whole!["text"], winner: "east/gpt", because: "only-candidate" })
    assert.notProperty(brief, "explanation")
    assert.deepStrictEqual(await get(`?after=${String(whole!["at"])}`), [])
  })
})
