import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answer, heard, hello, overHttp, post, run } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

const agents: ReadonlyArray<readonly [agent: string, header: string]> = [
  ["Claude Code", "X-Claude-Code-Session-Id"],
  ["OpenCode", "x-session-affinity"],
  ["Codex CLI", "session-id"],
  ["older Codex CLI", "session_id"],
  ["Codex CLI, by its thread", "thread-id"],
  ["older Codex CLI, by its conversation", "conversation_id"]
]

/** The sessions of requests to each of two doors, with these headers, this body and this option. */
const sessionsOf = (headers: Record<string, string>, more: object = {}, session?: string) => {
  const lbs = scripted([azure("east")], () => completion)
  return run(overHttp(lbs), function*(lb, _, { events }) {
    const body = { ...hello, ...more }
    yield* answer(lb.request({ path: "/chat/completions", body }, { headers, session }))
    yield* answer(post(body, { headers }))
    for (const sent of lbs.sends) {
      for (const name of Object.keys(sent.headers)) assert.notMatch(name, /session|thread|conversation/)
    }
    return heard(events, "RequestEnded").map((event) => event.session)
  })
}

describe("a session", () => {
  for (const [agent, header] of agents) {
    it.effect(`is named by the header that ${agent} sends, which crosses no border`, () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* sessionsOf({ [header]: "s1" }, { prompt_cache_key: "key" }), ["s1", "s1"])
      }))
  }

  it.effect("is named by x-session-id before any of these", () =>
    Effect.gen(function*() {
      const headers = Object.fromEntries(agents.map(([, header], i) => [header, `agent-${i}`]))
      assert.deepStrictEqual(yield* sessionsOf(headers), ["agent-0", "agent-0"])
      assert.deepStrictEqual(yield* sessionsOf({ ...headers, "X-Session-Id": "mine" }), ["mine", "mine"])
    }))

  it.effect("is named by the caller's option before all headers", () =>
    Effect.gen(function*() {
      const [first] = yield* sessionsOf({ "x-session-id": "header", "session-id": "agent" }, {}, "option")
      assert.strictEqual(first, "option")
    }))

  it.effect("is not named by an empty header", () =>
    Effect.gen(function*() {
      const headers = { "x-session-id": "", "x-claude-code-session-id": " " }
      assert.deepStrictEqual(yield* sessionsOf(headers, { prompt_cache_key: "key" }), ["key", "key"])
    }))
})
