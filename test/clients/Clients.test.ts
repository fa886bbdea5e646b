import { assert, describe, it } from "@effect/vitest"
import { eventually, failureOf, pause } from "../support/Served.ts"
import { models, reach, type Reached, report, said, ways, weather } from "./Reach.ts"
import type { Failure } from "./Subject.ts"
import { agents } from "./subjects/agents.ts"
import { aiSdk } from "./subjects/aiSdk.ts"
import { effectAi } from "./subjects/effectAi.ts"
import { langChain } from "./subjects/langChain.ts"
import { official } from "./subjects/official.ts"

const subjects = [...official, ...aiSdk, ...langChain, ...agents, ...effectAi]

/** What makes every deployment answer so. */
const failures: Readonly<Record<Failure, (reached: Reached) => void>> = {
  "not found": () => {},
  "throttled": ({ fault }) => fault({ kind: "throttle", retryAfterMs: 60_000 }),
  "unavailable": ({ fault }) => fault({ kind: "status", status: 500 })
}

for (const way of ways) {
  for (const subject of subjects) {
    describe(`${subject.name}, over ${way.name}`, () => {
      it("gets answers, though resources fail", async () => {
        await using reached = await reach(way)
        reached.fault({ kind: "status", status: 503, times: 1 })
        assert.strictEqual(await subject.chat(reached), said)
        // each failed once, and saw no key but its own
        assert.deepStrictEqual(reached.stats().map(({ credentials }) => credentials), [["east-key"], ["west-key"]])
      })

      it("gets answers of classic resources", async () => {
        await using reached = await reach(way, "2025-04-01-preview")
        assert.strictEqual(await subject.chat(reached), said)
      })

      it("reads a stream as it comes", async () => {
        await using reached = await reach(way)
        const pieces = await subject.stream(reached)
        assert.strictEqual(pieces.join(""), said)
        assert.isAbove(pieces.filter((piece) => piece !== "").length, 1)
      })

      it("does not take a broken stream for a whole one", async () => {
        await using reached = await reach(way)
        reached.fault({ kind: "cut", afterEvents: 6, ending: "reset" })
        await failureOf(subject.stream(reached))
      })

      it("calls tools, and goes on with what they give", async () => {
        await using reached = await reach(way)
        const cities: Array<string> = []
        const text = await subject.tools(reached, (city) => {
          cities.push(city)
          return "21 degrees"
        })
        assert.deepStrictEqual([text, cities], [report, [weather.city]])
      })

      it("gets structured outputs", async () => {
        await using reached = await reach(way)
        assert.deepStrictEqual(await subject.structured(reached), weather)
      })

      it.skipIf(subject.embed === undefined)("gets embeddings", async () => {
        await using reached = await reach(way)
        assert.lengthOf(await subject.embed!(reached), 8)
      })

      for (const failure of Object.keys(failures) as ReadonlyArray<Failure>) {
        it(`throws its own error, and asks once: ${failure}`, async () => {
          await using reached = await reach(way)
          failures[failure](reached)
          const error = await failureOf(subject.chat(reached, failure === "not found" ? "gpt-unknown" : models.chat))
          assert.isTrue(subject.isOwn(error, failure), String(error))
          await pause(20)
          assert.lengthOf(reached.sessions, 1)
        })
      }

      it("aborts, and nothing goes on", async () => {
        await using reached = await reach(way)
        const sends = () => reached.stats().reduce((sum, { requests }) => sum + requests, 0)
        const controller = new AbortController()
        const failing = failureOf(subject.abort(reached, controller.signal))
        // a busy machine takes its time to load a client
        await eventually(() => sends() === 1, "It was not sent", 20_000)
        controller.abort()
        const error = await failing
        assert.isTrue(subject.isOwn(error, "aborted"), String(error))
        await eventually(() => reached.inFlight() === 0)
        await eventually(() => reached.stats().every(({ inFlight }) => inFlight === 0))
        assert.strictEqual(sends(), 1)
      })

      for (const [option, { ask, isHeard }] of Object.entries(subject.sessions)) {
        it(`${isHeard ? "names" : "does not name"} its session by ${option}`, async () => {
          await using reached = await reach(way)
          await ask(reached, "user-42")
          await eventually(() => reached.sessions.length === 1)
          assert.deepStrictEqual(reached.sessions, [isHeard ? "user-42" : undefined])
        })
      }
    })
  }
}
