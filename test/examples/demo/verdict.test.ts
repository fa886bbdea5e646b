import { assert, describe, it } from "@effect/vitest"
import type { Served } from "../../../examples/demo/journal.ts"
import { renderTable } from "../../../examples/demo/table.ts"
import { type Evidence, judge } from "../../../examples/demo/verdict.ts"
import { deployment, plain, served, snapshot } from "./pictures.ts"

const broken = { killed: "west/gpt-4o", throttled: "japan/gpt-4o", slowed: "france/gpt-4o" }

const many = (call: Served): ReadonlyArray<Served> => Array.from({ length: 10 }, () => call)

/** A demo in which everything went as it should. */
const good: Evidence = {
  tally: { started: 10, answered: 10, failed: 0, streamed: 6, inSessions: 4, errors: new Map() },
  served: [
    ...many(served("france/gpt-4o", 1_000)),
    ...many(served("brazil/gpt-4o", 2_000)),
    served("france/gpt-4o", 11_000, { firstToken: 1_300, isSession: true }),
    ...many(served("brazil/gpt-4o", 12_000)),
    ...many(served("west/gpt-4o", 13_500))
  ],
  movedOn: new Map([
    ["west/gpt-4o", new Map([["connection broken", 4], ["connection refused", 5]])],
    ["japan/gpt-4o", new Map([["429, too many requests", 2]])]
  ]),
  moments: { killedAt: 3_000, revivedAt: 9_000, slowedAt: 10_000, healedAt: 16_000 },
  broken,
  throttledAnswers: 2
}

const holds = (change: Partial<Evidence>): ReadonlyArray<boolean> =>
  judge({ ...good, ...change }).map(({ holds }) => holds)

describe("the verdict", () => {
  it("holds where things broke, and no caller noticed", () => {
    assert.deepStrictEqual(judge(good), [
      { holds: true, text: "10 calls, 6 of them streamed and 4 in sessions: no caller saw an error" },
      { holds: true, text: "west/gpt-4o was down: 9 calls moved on; it served 10 after its return" },
      { holds: true, text: "japan/gpt-4o answered 429 2 times: 2 calls moved on" },
      {
        holds: true,
        text: "france/gpt-4o was slowed down: first token 200 ms, then 1.3 s",
        more: "its share of the calls without a session: 50 %, then 0 %"
      }
    ])
  })

  it("fails where a caller saw an error, and says which", () => {
    const errors = new Map([["503 No deployment answered.", 1]])
    const verdict = judge({ ...good, tally: { ...good.tally, answered: 9, failed: 1, errors } })
    assert.deepStrictEqual(verdict[0], {
      holds: false,
      text: "10 calls, 6 of them streamed and 4 in sessions: 1 caller saw an error"
    })
    assert.deepStrictEqual(verdict.at(-1), { holds: false, text: "1 caller: 503 No deployment answered." })
  })

  it("fails where a call has neither answer nor error, or where there was none", () => {
    assert.isFalse(holds({ tally: { ...good.tally, answered: 9 } })[0])
    assert.isFalse(holds({ tally: { ...good.tally, started: 0, answered: 0 } })[0])
  })

  it("fails where nothing had to be moved, or the dead one did not return", () => {
    const { movedOn } = good
    assert.isFalse(holds({ movedOn: new Map([...movedOn].filter(([id]) => id !== broken.killed)) })[1])
    assert.isFalse(holds({ moments: { ...good.moments, revivedAt: 14_000 } })[1])
    assert.isFalse(holds({ moments: {} })[1])
  })

  it("fails where nothing was throttled", () => {
    assert.isFalse(holds({ throttledAnswers: 0 })[2])
    assert.isFalse(holds({ movedOn: new Map() })[2])
  })

  it("fails where the slow one was not slow, or kept its calls", () => {
    const fast = good.served.map((served) => ({ ...served, firstToken: 200 }))
    assert.isFalse(holds({ served: fast })[3])
    const kept = good.served.map((served) =>
      served.deployment === "west/gpt-4o" ? { ...served, deployment: broken.slowed, firstToken: 1_300 } : served
    )
    assert.isFalse(holds({ served: kept })[3])
    assert.isFalse(holds({ served: [] })[3])
  })

  it("leaves open whether calls left the slow one where there was no time for it", () => {
    const slow = judge({ ...good, served: good.served.slice(0, 22) }).at(3)!
    assert.deepStrictEqual([slow.holds, slow.more], [true, undefined])
  })

  it("asks only for what broke where everything did", () => {
    assert.deepStrictEqual(holds({ broken: undefined }), [true])
  })
})

describe("the final table", () => {
  const summary = {
    snapshot: snapshot(
      deployment("east/ptu", { tier: 1 }),
      deployment("brazil/gpt-4o", {
        cachedShare: 0,
        totals: { ...deployment("").totals, succeeded: 300, promptTokens: 10_000, cachedTokens: 0 }
      })
    ),
    firstToken: (id: string) => id === "east/ptu" ? 150 : undefined,
    movedOn: good.movedOn,
    verdict: judge(good)
  }

  it("says who served what, what was moved and why, and whether callers noticed", () => {
    assert.deepStrictEqual(renderTable(summary, plain(80, 24)), [
      "",
      " Who served what",
      " deployment     tier   served   share  first token  tokens in  cached     out",
      " east/ptu          1      100    25 %       150 ms     40,000    75 %   4,000",
      " brazil/gpt-4o     2      300    75 %            –     10,000     0 %   4,000",
      " all                      400                          50,000    60 %   8,000",
      "",
      " What was moved to another deployment, and why",
      "    4  from west/gpt-4o    connection broken",
      "    5  from west/gpt-4o    connection refused",
      "    2  from japan/gpt-4o   429, too many requests",
      "",
      " ✓ 10 calls, 6 of them streamed and 4 in sessions: no caller saw an error",
      " ✓ west/gpt-4o was down: 9 calls moved on; it served 10 after its return",
      " ✓ japan/gpt-4o answered 429 2 times: 2 calls moved on",
      " ✓ france/gpt-4o was slowed down: first token 200 ms, then 1.3 s",
      "   its share of the calls without a session: 50 %, then 0 %"
    ])
  })

  it("shows what does not hold, and that nothing was moved", () => {
    const lines = renderTable(
      { ...summary, movedOn: new Map(), verdict: [{ holds: false, text: "no" }] },
      plain(80, 24)
    )
    assert.include(lines, "     nothing")
    assert.strictEqual(lines.at(-1), " ✗ no")
  })
})
