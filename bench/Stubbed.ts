/**
 * What a call costs without a network: the answer is there at once.
 */
import { Transport, type TransportResponse } from "#core/transport/Transport"
import { make as leanResponse } from "#node/LeanResponse"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { answerHeaders, answerText, question } from "./Canned.ts"
import { bareClient, effectDoor, fibers, promiseDoor, promises } from "./Doors.ts"
import type { Contestant, ProcessRounds } from "./Measure.ts"
import { alone } from "./Pairs.ts"
import type { Section } from "./Report.ts"

const endpoint = "https://stubbed.invalid"
const asked = question("whole")

const answer: TransportResponse = {
  status: 200,
  headers: answerHeaders,
  pull: Cause.done(),
  text: Effect.succeed(answerText),
  abort: () => {},
  discard: () => {}
}

/** A transport that has the answer already. */
export const atOnce: Layer.Layer<Transport> = Layer.succeed(Transport, {
  send: Object.assign(() => Effect.succeed(answer), { isAbortable: true })
})

/** A transport that has it a turn of the event loop later, so that the call has to wait for it as for any network. */
const nextTurn: Layer.Layer<Transport> = Layer.succeed(Transport, {
  send: Object.assign(
    () =>
      Effect.callback<TransportResponse>((resume) => {
        setImmediate(() => resume(Effect.succeed(answer)))
      }),
    { isAbortable: true }
  )
})

const stubbedFetch = async () => new Response(answerText, { headers: answerHeaders })

/** The same with the response of our own client, to see what that saves. */
const leanFetch = async () => leanResponse(answerText, 200, answerHeaders)

type Kind = "1" | "64"

const goals: Readonly<Record<Kind, Readonly<Record<string, number>>>> = {
  1: { "lb.chat, telemetry off": 10, "lb.chat, a listener on": 20 },
  64: { "lb.chat, telemetry off": 12, "lb.chat, a listener on": 20 }
}

const chat = async (concurrency: number, telemetry: boolean, transport: Layer.Layer<Transport>) => {
  const { lb } = await effectDoor({ endpoint, telemetry, transport })
  return fibers(concurrency, lb.chat(asked))
}

const bare = (concurrency: number, fetch: typeof globalThis.fetch) => {
  const client = bareClient(endpoint, fetch)
  return promises(concurrency, () => client.chat.completions.create(asked))
}

/** Everyone who can do without a network, each as it does so many calls at a time. */
const contestants: Readonly<
  Record<string, (concurrency: number) => Contestant["run"] | Promise<Contestant["run"]>>
> = {
  "lb.chat, telemetry off": (concurrency) => chat(concurrency, false, atOnce),
  "lb.chat, a listener on": (concurrency) => chat(concurrency, true, atOnce),
  "lb.chat, the answer a turn later": (concurrency) => chat(concurrency, false, nextTurn),
  "lb.openai, telemetry off": (concurrency) => {
    const client = promiseDoor({ endpoint, telemetry: false, transport: atOnce })
    return promises(concurrency, () => client.openai.chat.completions.create(asked))
  },
  "bare AzureOpenAI, stubbed fetch": (concurrency) => bare(concurrency, stubbedFetch),
  "bare AzureOpenAI, stubbed fetch, LeanResponse": (concurrency) => bare(concurrency, leanFetch),
  "writing and reading the JSON alone": (concurrency) =>
    promises(concurrency, async () => JSON.parse(answerText + (JSON.stringify(asked) === "" ? "." : ""))),
  "Effect.runPromise(Effect.succeed)": (concurrency) =>
    promises(concurrency, () => Effect.runPromise(Effect.succeed(1)))
}

/** One of them, for a process of its own. */
export const door = (_: string, kind: Kind, name: string) => contestants[name]!(Number(kind))

export const stubbed = async (kind: Kind, sizes: ProcessRounds): Promise<Section> => ({
  title: `The network stubbed; ${kind === "1" ? "one call after the other" : `${kind} at a time`}`,
  rows: await alone("stubbed", kind, Object.keys(contestants), sizes, goals[kind])
})
