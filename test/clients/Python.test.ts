/**
 * Clients for Python, unchanged, against the gateway: each in a program of its own, in `python/`, which tells what came of
 * each scenario.
 */
import { assert, describe, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { inject } from "vitest"
import { reach, report, said, ways, weather } from "./Reach.ts"

const python = inject("python")
const folder = fileURLToPath(new URL("python/", import.meta.url))
const key = "ek-of-the-client"
const oneStreamKey = "ek-for-one-stream"
const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex")
const keys = [
  { name: "client", sha256: hashOf(key) },
  { name: "one stream", sha256: hashOf(oneStreamKey), streams: 1 }
]

interface Failed {
  readonly classes: ReadonlyArray<string>
  readonly status: number | null
  readonly code: string | null
  readonly retryAfter: string | null
  readonly message: string
}

/** A line that a program prints. */
interface Told {
  readonly scenario: string
  readonly result?: unknown
  readonly error?: Failed
}

interface Outcome {
  readonly told: ReadonlyMap<string, Told>
  /** How often each session was asked for. */
  readonly asked: (session: string) => number
  /** Requests that were under way when the program had ended. */
  readonly left: number
}

const runProgram = async (name: string, argument: string): Promise<Outcome> => {
  await using reached = await reach(ways[1]!, undefined, { keys })
  reached.fault({ kind: "throttle", retryAfterMs: 60_000, when: { text: "[throttle]" } })
  reached.fault({ kind: "status", status: 500, when: { text: "[unavailable]" } })
  reached.fault({ kind: "cut", afterEvents: 6, ending: "reset", when: { text: "[cut]" } })
  const { stdout } = await promisify(execFile)(python, [name, argument], {
    cwd: folder,
    env: {
      PATH: process.env["PATH"],
      PYTHONDONTWRITEBYTECODE: "1",
      // it asks elsewhere for prices when it is imported, unless it is told not to
      LITELLM_LOCAL_MODEL_COST_MAP: "True",
      EVENKEEL_URL: reached.origin,
      EVENKEEL_KEY: key,
      EVENKEEL_ONE_STREAM_KEY: oneStreamKey,
      EVENKEEL_SERVICES: reached.simulator.resources.map(({ url }) => url).join(" ")
    },
    timeout: 100_000
  })
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line) as Told)
  return {
    told: new Map(lines.map((line) => [line.scenario, line])),
    asked: (session) => reached.sessions.filter((each) => each === session).length,
    left: reached.inFlight()
  }
}

type Check = (told: Told, outcome: Outcome) => void

const gives = (expected: unknown): Check => ({ error, result }) => {
  assert.isUndefined(error, JSON.stringify(error))
  assert.deepStrictEqual(result, expected)
}

const inPieces: Check = ({ error, result }) => {
  assert.isUndefined(error, JSON.stringify(error))
  const { pieces, text } = result as { readonly text: string; readonly pieces: number }
  assert.strictEqual(text, said)
  assert.isAbove(pieces, 1)
}

/** The whole stream takes eight seconds. */
const endsAtOnce: Check = ({ error, result }) => {
  assert.isUndefined(error, JSON.stringify(error))
  const { seconds, wasUnderWay } = result as { readonly wasUnderWay: number; readonly seconds: number }
  assert.strictEqual(wasUnderWay, 1)
  assert.isBelow(seconds, 2)
}

const raises =
  (kind: string, rest: Partial<Failed> = {}, times?: number): Check => ({ error, scenario }, { asked }) => {
    assert.isDefined(error, "It raised nothing")
    assert.include(error.classes, kind)
    for (const [field, value] of Object.entries(rest)) assert.strictEqual(error[field as keyof Failed], value)
    if (times !== undefined) assert.strictEqual(asked(scenario), times, "times that it was asked")
  }

/** What is expected of every client that can do it. */
const expected: Readonly<Record<string, Check>> = {
  "chat": gives(said),
  "chat_async": gives(said),
  "stream": inPieces,
  "stream_usage": gives([true]),
  "broken": raises("Exception"),
  "tools": gives(report),
  "structured": gives(weather),
  "embeddings": gives([8, 8]),
  "abort": endsAtOnce,
  "cancelled": endsAtOnce,
  "left_by_with": endsAtOnce,
  "left_loop": endsAtOnce,
  // it was told nothing
  "timeout_repeated": raises("APITimeoutError", {}, 2),
  "timeout": raises("APITimeoutError"),
  "after_timeout": endsAtOnce,
  "headers": gives(["1", said]),
  "comes_again": gives([true, said]),
  "responses": gives(said),
  "responses_stream": inPieces,
  "responses_unknown": gives(0),
  "responses_structured": gives(weather),
  "responses_tools": gives(report),
  "responses_abort": endsAtOnce,
  "follow_up": gives([said, said]),
  // the simulated service keeps no items of the input
  "stored": gives([said, [], 404]),
  "background": gives(["queued", said, "cancelled"]),
  "files": gives(["lines.jsonl", 8, true, true]),
  "not_found": raises("NotFoundError", { status: 404 }, 1),
  "throttled": raises("RateLimitError", { status: 429, retryAfter: "60" }, 1),
  "unavailable": raises("InternalServerError", { status: 503 }, 1),
  // the client hears that it should not
  "told_to_repeat": raises("Exception", { status: 503 }, 1),
  // what is around the client does not
  "repeated": raises("Exception", { status: 503 }, 2),
  "responses_repeated": raises("Exception", { status: 503 }, 2),
  "refused": raises("BadRequestError", { status: 400 }, 1),
  "wrong_key": raises("AuthenticationError", { status: 401 }, 0)
}

const errors = ["not_found", "throttled", "unavailable", "refused", "wrong_key"]
const chatting = ["chat", "stream", "broken", "tools", "structured", "embeddings", "abort", ...errors]
const storing = ["stored", "background", "files"]
const official = [
  ...chatting,
  ...storing,
  "stream_usage",
  "headers",
  "left_by_with",
  "left_loop",
  "timeout_repeated",
  "timeout",
  "after_timeout",
  "responses",
  "responses_stream",
  "responses_structured",
  "responses_tools",
  "responses_abort"
]
const asynchronous = [...chatting, ...storing, "cancelled", "comes_again", "responses_stream"]
const langChain = [
  ...chatting,
  "chat_async",
  "cancelled",
  "responses",
  "responses_stream",
  "responses_tools",
  "follow_up",
  "repeated"
]
const liteLlm = [
  ...chatting,
  ...storing,
  "chat_async",
  "cancelled",
  "responses",
  "responses_stream",
  "responses_unavailable",
  "responses_unknown",
  "told_to_repeat",
  "repeated",
  "responses_repeated"
]

interface Program {
  readonly file: string
  readonly argument: string
  readonly scenarios: ReadonlyArray<string>
  /** Where this client differs. */
  readonly own?: Readonly<Record<string, Check>>
}

/** LiteLLM has a class of its own for 503. */
const unavailable = raises("ServiceUnavailableError", { status: 503 }, 1)
const ofLiteLlm = { unavailable, "responses_unavailable": unavailable }

const programs: ReadonlyArray<Program> = [
  { file: "official.py", argument: "openai", scenarios: official },
  { file: "official.py", argument: "azure", scenarios: official },
  { file: "official.py", argument: "azure-token", scenarios: ["chat", "wrong_key"] },
  { file: "official.py", argument: "azure-deployment", scenarios: ["chat", "wrong_key"] },
  { file: "official_async.py", argument: "openai", scenarios: asynchronous },
  { file: "official_async.py", argument: "azure", scenarios: asynchronous },
  { file: "langchain_chat.py", argument: "openai", scenarios: langChain },
  { file: "langchain_chat.py", argument: "azure", scenarios: langChain },
  { file: "litellm_sdk.py", argument: "openai", scenarios: liteLlm, own: ofLiteLlm },
  { file: "litellm_sdk.py", argument: "azure", scenarios: liteLlm, own: ofLiteLlm }
]

// one program after the other: two at a time take longer
describe.skipIf(python === "")("clients for Python, over the gateway", { concurrent: false, timeout: 120_000 }, () => {
  for (const { argument, file, own = {}, scenarios } of programs) {
    describe(`${file} ${argument}`, () => {
      let running: Promise<Outcome> | undefined
      const ran = () => running ??= runProgram(file, argument)

      it("tells what came of all that it can do, and leaves nothing under way", async () => {
        const { left, told } = await ran()
        assert.deepStrictEqual(Array.from(told.keys()).toSorted(), scenarios.toSorted())
        assert.strictEqual(left, 0)
      })

      for (const name of scenarios) {
        it(name.replaceAll("_", " "), async () => {
          const outcome = await ran()
          const told = outcome.told.get(name)
          assert.isDefined(told)
          const check = own[name] ?? expected[name]!
          check(told, outcome)
        })
      }
    })
  }
})
