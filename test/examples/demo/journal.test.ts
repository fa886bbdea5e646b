import { assert, describe, it } from "@effect/vitest"
import type { Event } from "@evenkeel/core"
import { inWords, Journal } from "../../../examples/demo/journal.ts"

const START = 1_000_000
const ids = ["east/ptu", "west/gpt-4o"]

const journalOf = (...events: ReadonlyArray<Event>): Journal => {
  const journal = new Journal(START, ids)
  for (const event of events) journal.take(event)
  return journal
}

const opened = (at: number): Event => ({
  _tag: "BreakerOpened",
  at: START + at,
  target: "resource",
  name: "west",
  reason: "connect (ECONNREFUSED)",
  openFor: 5_000
})
const closed = (at: number): Event => ({ _tag: "BreakerClosed", at: START + at, target: "resource", name: "west" })
const movedOn = (at: number, reason = "reset (ECONNRESET)"): Event => ({
  _tag: "FailedOver",
  at: START + at,
  model: "gpt-4o",
  from: "west/gpt-4o",
  reason,
  errorType: "reset",
  delay: 0
})
const cooled = (at: number): Event => ({
  _tag: "CooledDown",
  at: START + at,
  deployment: "east/ptu",
  pool: undefined,
  reason: "http 429",
  coolFor: 1_200
})
const ended = (at: number, change: Partial<Extract<Event, { _tag: "RequestEnded" }>> = {}): Event => ({
  _tag: "RequestEnded",
  at: START + at,
  model: "gpt-4o",
  operation: "chat",
  streamed: true,
  session: undefined,
  placement: undefined,
  deployment: "east/ptu",
  place: undefined,
  outcome: "success",
  limitedBy: undefined,
  attempts: 1,
  duration: 400,
  waited: 0,
  overhead: 0,
  firstByte: 200,
  usage: undefined,
  answer: undefined,
  ...change
})

const textsOf = (journal: Journal) => journal.entries().map(({ text }) => text)

describe("the journal", () => {
  it("says in words what happened to a deployment", () => {
    assert.deepStrictEqual(textsOf(journalOf(opened(0), opened(6_000), closed(9_000), opened(20_000))), [
      "west/gpt-4o is failing: connection refused; next try in 5.0 s",
      "west/gpt-4o still fails: connection refused; next try in 5.0 s",
      "west/gpt-4o is back; it gets its share again, step by step",
      "west/gpt-4o is failing: connection refused; next try in 5.0 s"
    ])
  })

  it("tells of many like events in one entry, for a while", () => {
    const journal = journalOf(movedOn(0), movedOn(100), movedOn(3_900), movedOn(4_100), cooled(4_200), cooled(5_000))
    assert.deepStrictEqual(textsOf(journal), [
      "3 calls moved on from west/gpt-4o: connection broken",
      "1 call moved on from west/gpt-4o: connection broken",
      "east/ptu is throttled, 2 times: others take over"
    ])
    assert.strictEqual(journal.entries()[0]!.at, 0)
  })

  it("counts what was moved, by deployment and reason", () => {
    const journal = journalOf(movedOn(0), movedOn(1), movedOn(2, "http 429 rate_limit_exceeded"))
    assert.deepStrictEqual(Array.from(journal.movedOn.get("west/gpt-4o")!), [
      ["connection broken", 2],
      ["429, too many requests", 1]
    ])
    // the cooldown that goes with a 429 has an entry of its own
    assert.deepStrictEqual(textsOf(journal), ["2 calls moved on from west/gpt-4o: connection broken"])
  })

  it("keeps what was answered, and when", () => {
    const journal = journalOf(ended(1_000), ended(2_000, { session: "one" }), ended(3_000, { outcome: "Unavailable" }))
    assert.deepStrictEqual(journal.served, [
      { deployment: "east/ptu", startedAt: 600, endedAt: 1_000, isSession: false, firstToken: 200 },
      { deployment: "east/ptu", startedAt: 1_600, endedAt: 2_000, isSession: true, firstToken: 200 }
    ])
  })

  it("takes the time to the first token from streams", () => {
    const journal = journalOf(
      ...Array.from({ length: 8 }, (_, i) => ended(i, { firstByte: 100 })),
      ...Array.from({ length: 8 }, (_, i) => ended(10 + i, { firstByte: 300 })),
      ended(21, { streamed: false, firstByte: 9_000 })
    )
    assert.strictEqual(journal.firstToken("east/ptu"), 200)
    assert.strictEqual(journal.recentFirstToken("east/ptu"), 300)
    assert.isUndefined(journal.firstToken("west/gpt-4o"))
  })

  it("measures the rate over the last seconds", () => {
    const journal = journalOf(...Array.from({ length: 60 }, (_, i) => ended(100 * i)))
    assert.approximately(journal.perSecond(START + 6_000), 10, 0.5)
    assert.approximately(journal.perSecond(START + 7_500), 5, 0.5)
    assert.strictEqual(journal.perSecond(START + 20_000), 0)
  })

  it("has what the demo did itself", () => {
    const journal = journalOf()
    journal.note(START + 3_000, "west/gpt-4o is gone")
    assert.deepStrictEqual(journal.entries(), [{ at: 3_000, text: "▸ west/gpt-4o is gone", tone: "cyan" }])
  })
})

describe("a reason", () => {
  it.each([
    ["connect (ECONNREFUSED)", "connection refused"],
    ["connect-timeout", "no connection in time"],
    ["connect (EHOSTUNREACH)", "no connection"],
    ["reset (UND_ERR_SOCKET)", "connection broken"],
    ["http 429 rate_limit_exceeded", "429, too many requests"],
    ["timeout first-event", "timeout first-event"]
  ])("%s is told as %s", (reason, words) => {
    assert.strictEqual(inWords(reason), words)
  })
})
