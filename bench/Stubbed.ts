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
import { type Contestant, figureOf, measure, type Rounds } from "./Measure.ts"
import type { Section } from "./Report.ts"

const endpoint = "https://stubbed.invalid"

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

export const stubbed = async (concurrency: number, sizes: Rounds): Promise<Section> => {
  const asked = question("whole")
  const bare = bareClient(endpoint, stubbedFetch)
  const lean = bareClient(endpoint, leanFetch)
  const off = await effectDoor({ endpoint, telemetry: false, transport: atOnce })
  const on = await effectDoor({ endpoint, telemetry: true, transport: atOnce })
  const later = await effectDoor({ endpoint, telemetry: false, transport: nextTurn })
  const client = promiseDoor({ endpoint, telemetry: false, transport: atOnce })
  const contestants: ReadonlyArray<Contestant & { readonly goal?: number }> = [
    { name: "lb.chat, telemetry off", goal: concurrency === 1 ? 10 : 12, run: fibers(concurrency, off.lb.chat(asked)) },
    { name: "lb.chat, a listener on", goal: 20, run: fibers(concurrency, on.lb.chat(asked)) },
    { name: "lb.chat, the answer a turn later", run: fibers(concurrency, later.lb.chat(asked)) },
    {
      name: "lb.openai, telemetry off",
      run: promises(concurrency, () => client.openai.chat.completions.create(asked))
    },
    { name: "bare AzureOpenAI, stubbed fetch", run: promises(concurrency, () => bare.chat.completions.create(asked)) },
    {
      name: "bare AzureOpenAI, stubbed fetch, LeanResponse",
      run: promises(concurrency, () => lean.chat.completions.create(asked))
    },
    {
      name: "writing and reading the JSON alone",
      run: promises(concurrency, async () => JSON.parse(answerText + (JSON.stringify(asked) === "" ? "." : "")))
    },
    {
      name: "Effect.runPromise(Effect.succeed)",
      run: promises(concurrency, () => Effect.runPromise(Effect.succeed(1)))
    }
  ]
  const measured = await measure(contestants, sizes)
  await Promise.all([off, on, later, client].map((door) => door.close()))
  return {
    title: `The network stubbed; ${concurrency === 1 ? "one call after the other" : `${concurrency} at a time`}`,
    rows: contestants.map(({ goal, name }) => ({ what: name, unit: "us", figure: figureOf(measured.get(name)!), goal }))
  }
}
