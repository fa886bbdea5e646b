import { redraw, span, widthOf } from "#node/cli/TerminalText"
import { press } from "#node/cli/Top"
import { initial, render, renderOnce, shownOf, type TopState } from "#node/cli/TopView"
import type { Status } from "#node/gateway/OperatorPages"
import { assert, describe, it } from "@effect/vitest"
import { Option } from "effect"
import { stripVTControlCharacters } from "node:util"

const totals = {
  requests: 0,
  unanswered: 0,
  rejected: 0,
  interrupted: 0,
  failovers: 0,
  throttled: 0,
  promptTokens: 0,
  cachedTokens: 0,
  completionTokens: 0,
  cost: 0,
  unpriced: 0
}

const deployment = (id: string, more: object = {}) => ({
  id,
  resource: id,
  model: "gpt-4o",
  tier: 1,
  state: "healthy",
  inFlight: 2,
  waiting: 0,
  tokens: { used: 50_000, limit: 100_000, byOthers: 0 },
  requests: { used: 120 },
  utilisation: 0.5,
  latency: 1,
  decoding: 1,
  warmth: 1,
  cachedShare: 0.25,
  totals: { succeeded: 10, throttled: 1, failed: 2, promptTokens: 100, cost: 1.5, unpriced: 0 },
  ...more
})

const statusOf = (deployments: ReadonlyArray<object>, gateway: object = {}): Status =>
  ({
    deployments,
    models: [{ name: "gpt-4o", waiting: 3 }],
    resources: [],
    gateway: {
      at: 60_000,
      uptime: 90_000,
      isDraining: false,
      keys: [],
      history: [{ at: 0, ...totals, firstToken: undefined }],
      totals: {
        ...totals,
        requests: 120,
        promptTokens: 5000,
        completionTokens: 1000,
        cachedTokens: 2500,
        failovers: 7,
        cost: 0.5
      },
      latencies: { firstToken: { p50: 210, p95: 900 } },
      latenciesOf: { "east/gpt": { firstToken: { p50: 1400, p95: 2000 } } },
      happenings: [{
        at: 1,
        count: 3,
        level: "bad",
        about: "west/gpt",
        what: "out: http 503",
        more: "tried again in 5 s"
      }],
      ...gateway
    }
  }) as unknown as Status

const two = [deployment("east/gpt"), deployment("west/gpt", { state: "open", reason: "http 503", opensIn: 3900 })]

const stateOf = (more: Partial<TopState> = {}): TopState => ({
  ...initial("http://127.0.0.1:4000/"),
  status: statusOf(two),
  decisions: [{ at: 1, model: "gpt-4o", attempt: 2, winner: "east/gpt", because: "warm", text: "" }],
  ...more
})

const canvas = { columns: 180, rows: 30, color: false }

const key = (typed: string, name = typed, ctrl = false) => ({
  input: typed === "" ? Option.none<string>() : Option.some(typed),
  key: { name, ctrl, meta: false, shift: false }
})

/** What is left after some keys. */
const after = (state: TopState, ...keys: ReadonlyArray<ReturnType<typeof key>>): TopState => {
  let now = state
  for (const key of keys) {
    const change = press(now, key, canvas)
    if (change !== "quit") now = Object.assign({}, now, change)
  }
  return now
}

/** What of a line a terminal would obey. */
const commands = (line: string) => line.split("\u001b").slice(1).map((part) => /^[^A-Za-z]*./.exec(part)?.[0] ?? "")

describe("what evenkeel top shows", () => {
  it("is figures, models, a line for each deployment, the worst first, and what changed", () => {
    const lines = renderOnce(stateOf(), 180)
    const [head, figures, , model, , columns, first, second, , log] = lines
    assert.match(head!, /Evenkeel 127\.0\.0\.1:4000 {2}▲ 1 out of 2 deployments {2}up 90 s/)
    assert.include(figures, "requests 2/s  tokens 6,000/min  first token 210 ms, p95 900 ms  unanswered 0/min")
    assert.include(figures, "failovers 7/min  429s 0/min  cost $30.00/h  cached 50 %")
    assert.match(model!, /gpt-4o +█+·+ +50 % {2}100k of 200k a minute {2}1 of 2 healthy {2}3 in line/)
    assert.match(columns!, /STATE +DEPLOYMENT +TIER +QUOTA +TOKENS\/MIN +REQ\/MIN +NOW +FIRST +P95 +CACHED/)
    assert.match(first!, /✕ out +west\/gpt .* http 503, 4 s to go$/)
    assert.match(second!, /● healthy +east\/gpt +1 █████····· +50 % +50\.0k\/100k +120 +2 +1\.4 s +2\.0 s +25 %/)
    assert.match(log!, /✕ west\/gpt out: http 503, tried again in 5 s × 3$/)
  })

  it("fits every terminal, in rows and columns, whatever it is told", () => {
    const evil = "\u001b[2J\u001b]0;title\u0007\u202e\u0000\r\n\u009b31m東京‏e\u0301".repeat(40)
    const status = statusOf(
      Array.from(
        { length: 40 },
        (_, i) => deployment(`r${i}/${evil}`, { state: "open", reason: evil, region: evil, model: evil })
      ),
      { happenings: [{ at: 1, count: 2, level: "bad", about: evil, what: evil, more: evil }] }
    )
    const decisions = [{ at: 1, model: evil, attempt: 1, winner: evil, because: undefined, text: evil }]
    for (const columns of [1, 20, 40, 80, 120, 400]) {
      for (const rows of [1, 2, 5, 24, 200]) {
        for (const more of [{}, { showsDecisions: true }, { trouble: evil }, { status: undefined, trouble: evil }]) {
          const lines = render(stateOf({ status, decisions, ...more }), { columns, rows, color: true })
          assert.isAtMost(lines.length, Math.max(2, rows))
          for (const line of lines) {
            const plain = stripVTControlCharacters(line)
            assert.isAtMost(widthOf(plain), columns)
            assert.notMatch(plain, /\p{C}/u)
            // what is left to a terminal to obey is colours alone
            for (const command of commands(line)) assert.match(command, /^\[\d+m$/)
          }
        }
      }
    }
  })

  it("has no colour where none is wanted", () => {
    assert.notInclude(render(stateOf(), canvas).join(""), "\u001b")
    assert.include(render(stateOf(), { ...canvas, color: true }).join(""), "\u001b[31m")
  })

  it("says what is wrong with the gateway, and that what it shows is old", () => {
    assert.include(render(stateOf({ status: undefined }), canvas).join("\n"), "Asking http://127.0.0.1:4000/")
    const lines = render(stateOf({ trouble: "It does not answer." }), canvas)
    assert.include(lines[0], "✕ Not connected")
    assert.isTrue(lines.includes(" ✕ It does not answer. What is shown is old."))
    assert.isTrue(lines.some((line) => line.includes("east/gpt")))
  })
})

describe("keys of evenkeel top", () => {
  const many = stateOf({ status: statusOf(Array.from({ length: 100 }, (_, i) => deployment(`r${i}/gpt`))) })

  it("sort, filter, pause, and show decisions", () => {
    assert.strictEqual(after(stateOf(), key("s")).order, "quota")
    assert.strictEqual(after(stateOf(), ...Array.from({ length: 6 }, () => key("s"))).order, "state")
    const filtered = after(stateOf(), key("/"), key("W"), key("q"), key("", "backspace"), key("\r", "return"))
    assert.deepStrictEqual([filtered.filter, filtered.isTyping], ["W", false])
    assert.deepStrictEqual(shownOf(filtered).map(({ id }) => id), ["west/gpt"])
    assert.strictEqual(after(filtered, key("\u001b", "escape")).filter, "")
    assert.isTrue(after(stateOf(), key("p")).isPaused)
    const log = render(after(stateOf(), key("d")), canvas).join("\n")
    assert.include(log, "gpt-4o → east/gpt, attempt 2, warm cache of its session")
  })

  it("quit, but for a q that is typed", () => {
    assert.strictEqual(press(stateOf(), key("q"), canvas), "quit")
    assert.deepStrictEqual(press(stateOf({ isTyping: true }), key("q"), canvas), { filter: "q", offset: 0 })
    assert.deepStrictEqual(press(stateOf({ isTyping: true }), key("\u001b[A", "up"), canvas), {})
  })

  it("scroll, as far as there is something", () => {
    const end = after(many, key("\u001b[F", "end"))
    assert.include(render(end, canvas).join("\n"), "r99/gpt")
    assert.strictEqual(after(end, key("\u001b[B", "down")).offset, end.offset)
    assert.strictEqual(after(end, key("\u001b[A", "up")).offset, end.offset - 1)
    assert.strictEqual(after(end, key("\u001b[5~", "pageup"), key("\u001b[H", "home")).offset, 0)
    assert.strictEqual(after(many, key("k")).offset, 0)
    assert.match(render(after(many, key("j")), canvas).join("\n"), / 1 above, \d+ below/)
  })
})

describe("text for a terminal", () => {
  it("is drawn only where it changed", () => {
    assert.strictEqual(redraw(["a", "b"], ["a", "b"]), "")
    assert.strictEqual(redraw(["a", "b", "c"], ["a", "x"]), "\u001b[2;1Hx\u001b[K\u001b[3;1H\u001b[J")
    assert.strictEqual(redraw([], ["a"]), "\u001b[1;1Ha\u001b[K")
  })

  it("obeys nobody", () => {
    assert.strictEqual(span("\u001b[31mred\u001b[0m\u0007\u202eabc\u0085\u2028").text, "redabc")
    assert.strictEqual(widthOf("a東京"), 5)
  })
})
