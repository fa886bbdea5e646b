import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { renderStatus, renderView } from "../../../examples/demo/view.ts"
import { check } from "../../support/Check.ts"
import { deployment, picture, plain, snapshot, troubled } from "./pictures.ts"

const lineOf = (lines: ReadonlyArray<string>, start: string): string =>
  lines.find((line) => line.trimStart().startsWith(start)) ?? assert.fail(`No line begins with ${start}`)

describe("the live view", () => {
  it("fits 80 x 24, and uses it", () => {
    const lines = renderView(picture(), plain(80, 24))
    assert.strictEqual(lines.length, 23)
    assert.isAtMost(Math.max(...lines.map((line) => line.length)), 80)
    assert.isAtLeast(Math.max(...lines.map((line) => line.length)), 75)
  })

  it.prop("fits any terminal", [
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 250 })),
    Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 80 }))
  ], ([columns, rows]) => {
    const lines = renderView(picture(), plain(columns, rows))
    assert.isAtMost(lines.length, Math.max(1, rows - 1))
    for (const line of lines) assert.isAtMost(line.length, columns)
  }, check())

  it("says what is wrong with each, and until when", () => {
    const lines = renderView(picture(), plain(120, 40))
    assert.include(lineOf(lines, "east/ptu"), "throttled for 1.2 s: 429, too many requests")
    assert.include(lineOf(lines, "sweden/ptu"), "slow, 4.1 x peers")
    assert.include(lineOf(lines, "west/gpt-4o"), "failing: connection refused; next try in 2.3 s")
    assert.include(lineOf(lines, "france/gpt-4o"), "being tried with one call (connection broken)")
    assert.include(lineOf(lines, "japan/gpt-4o"), "draining")
    assert.include(lineOf(lines, "brazil/gpt-4o"), "back, at 40 %")
  })

  it("says it in fewer words where there is less room", () => {
    const lines = renderView(picture(), plain(80, 24))
    assert.include(lineOf(lines, "east/ptu"), "throttled, 1.2 s ")
    assert.include(lineOf(lines, "west/gpt-4o"), "refused, next 2.3 s ")
    for (const { id } of troubled.deployments) assert.notInclude(lineOf(lines, id), "…")
  })

  it("shows use of quota, requests in flight, first token, requests served and cache hits", () => {
    const lines = renderView(picture(), plain(80, 24))
    assert.match(lineOf(lines, "brazil/gpt-4o"), /███▌··· +50 % +3 +210 ms +100 +75 %$/)
    assert.match(lineOf(lines, "east/ptu"), /███████ 117 %/)
    assert.match(lineOf(lines, "japan/gpt-4o"), / –  +100 /)
    assert.match(lineOf(lines, "sweden/ptu"), / 1\.4 s /)
  })

  it("has no share of cache hits before there was a prompt", () => {
    const fresh = deployment("east/ptu", { totals: { ...deployment("").totals, promptTokens: 0, succeeded: 0 } })
    const lines = renderView(picture({ snapshot: snapshot(fresh) }), plain(80, 24))
    assert.match(lineOf(lines, "east/ptu"), / 0 +–$/)
  })

  it("puts each deployment below its tier", () => {
    const names = renderView(picture(), plain(80, 24)).map((line) => line.trim().split(/ {2,}/)[0]!)
    const at = (name: string) => names.findIndex((line) => line.startsWith(name))
    assert.isBelow(at("tier 1, provisioned"), at("east/ptu"))
    assert.isBelow(at("sweden/ptu"), at("tier 2"))
    assert.isBelow(at("tier 2"), at("west/gpt-4o"))
  })

  it("tells the last events, as many as there is room for", () => {
    const lines = renderView(picture(), plain(80, 24))
    assert.match(lines.at(-1)!, /^ +12 s {2}event 30 of thirty$/)
    assert.include(lines.at(-9)!, "event 22 of thirty")
    assert.strictEqual(renderView(picture({ log: [] }), plain(80, 24)).at(-1), "")
  })

  it("counts errors that callers saw", () => {
    assert.include(renderView(picture(), plain(80, 24))[1]!, "12 s of 20 s  25 calls/s  1,312 answered  no errors")
    assert.include(renderView(picture({ errors: 3 }), plain(80, 24))[1]!, "3 errors")
    assert.include(renderView(picture({ elapsed: 20_100 }), plain(80, 24))[1]!, "last answers")
  })

  it("has colours only where they are wanted", () => {
    assert.include(renderView(picture(), { columns: 80, rows: 24, color: true }).join("\n"), "\u001b[31m")
    assert.notInclude(renderView(picture(), plain(80, 24)).join("\n"), "\u001b")
  })
})

describe("the status line", () => {
  it("names those that are not well", () => {
    assert.strictEqual(
      renderStatus(picture({ errors: 2 })),
      "12 s of 20 s: 1,312 answered, 25 a second, 2 errors; east/ptu throttled, 1.2 s; west/gpt-4o refused, next 2.3 s; " +
        "france/gpt-4o being tried; japan/gpt-4o draining"
    )
  })

  it("says so where all are well", () => {
    const well = snapshot(deployment("east/ptu"), deployment("west/gpt-4o"))
    assert.match(renderStatus(picture({ snapshot: well })), /no errors; all 2 healthy$/)
  })
})
