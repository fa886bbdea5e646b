/**
 * Whole answers over real sockets: each door against the bare client.
 */
import * as HttpClientTransport from "#core/transport/HttpClientTransport"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import Undici from "undici"
import { longQuestion, question } from "./Canned.ts"
import { bareClient, effectDoor, fibers, promiseDoor, promises, urlOf } from "./Doors.ts"
import { type Contestant, figureOf, measure, ratioOf, type Rounds } from "./Measure.ts"
import type { Section } from "./Report.ts"

const CONCURRENCY = 64
const BARE = "bare AzureOpenAI, its own fetch"

type Question = ReturnType<typeof question> | ReturnType<typeof longQuestion>

const goals: Readonly<Record<string, { readonly small?: number; readonly long?: number }>> = {
  "lb.chat, telemetry off": { small: 0.35, long: 0.5 },
  "lb.chat, a listener on": { small: 0.42 },
  "lb.openai, telemetry off": { small: 0.65, long: 1 },
  "lb.openai, a listener on": { small: 0.72 }
}

/** The transport that goes through an `HttpClient` of `effect/http`. */
const httpClientTransport = HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layerUndici))

/** Everyone who can send a question over a socket, and what closes it all. */
const contestantsOf = async (endpoint: string, asked: Question) => {
  const bare = bareClient(endpoint)
  const effects = await Promise.all([false, true].map((telemetry) => effectDoor({ endpoint, telemetry })))
  const clients = [false, true].map((telemetry) => promiseDoor({ endpoint, telemetry }))
  const agent = new Undici.Agent()
  const httpClient = ManagedRuntime.make(NodeHttpClient.layerUndici)
  const { execute } = await httpClient.runPromise(HttpClient.HttpClient)
  const overHttpClient = await effectDoor({ endpoint, telemetry: false, transport: httpClientTransport })
  const url = urlOf(endpoint, asked.model)
  const headers = { "api-key": "bench-key", "content-type": "application/json" }
  const effectRequest = Effect.suspend(() =>
    HttpClientRequest.post(url, { headers }).pipe(
      HttpClientRequest.bodyJsonUnsafe(asked),
      execute,
      Effect.flatMap((response) => response.json)
    )
  )
  const undiciRequest = async () => {
    const body = JSON.stringify(asked)
    const response = await Undici.request(url, { method: "POST", headers, body, dispatcher: agent })
    return response.body.json()
  }
  const contestants: ReadonlyArray<Contestant> = [
    { name: BARE, run: promises(CONCURRENCY, () => bare.chat.completions.create(asked)) },
    { name: "lb.chat, telemetry off", run: fibers(CONCURRENCY, effects[0]!.lb.chat(asked)) },
    {
      name: "lb.openai, telemetry off",
      run: promises(CONCURRENCY, () => clients[0]!.openai.chat.completions.create(asked))
    },
    { name: "lb.chat, a listener on", run: fibers(CONCURRENCY, effects[1]!.lb.chat(asked)) },
    {
      name: "lb.openai, a listener on",
      run: promises(CONCURRENCY, () => clients[1]!.openai.chat.completions.create(asked))
    },
    { name: "lb.chat over HttpClientTransport", run: fibers(CONCURRENCY, overHttpClient.lb.chat(asked)) },
    { name: "plain undici.request", run: promises(CONCURRENCY, undiciRequest) },
    { name: "Effect around HttpClient on undici", run: fibers(CONCURRENCY, effectRequest) }
  ]
  const close = async () => {
    await Promise.all([...effects, ...clients, overHttpClient].map((door) => door.close()))
    await httpClient.dispose()
    await agent.close()
  }
  return { contestants, close }
}

export const wholeAnswers = async (endpoint: string, kind: "small" | "long", sizes: Rounds): Promise<Section> => {
  const asked = kind === "small" ? question("whole") : longQuestion("whole")
  const { close, contestants } = await contestantsOf(endpoint, asked)
  const measured = await measure(contestants, sizes)
  await close()
  return {
    title: kind === "small"
      ? "A small prompt, an answer of 1 KB; 64 at a time"
      : "A prompt of 100 KB, an answer of 1 KB; 64 at a time",
    rows: contestants.map(({ name }) => ({
      what: name,
      unit: "x",
      figure: ratioOf(measured, name, BARE),
      goal: goals[name]?.[kind],
      cpu: figureOf(measured.get(name)!)
    }))
  }
}
