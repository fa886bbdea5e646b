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
import { bareClient, type DoorOptions, effectDoor, fibers, promiseDoor, promises, urlOf } from "./Doors.ts"
import type { Contestant, ProcessRounds } from "./Measure.ts"
import { pairs } from "./Pairs.ts"
import type { Section } from "./Report.ts"

const CONCURRENCY = 64
const BARE = "bare AzureOpenAI, its own fetch"

type Kind = "small" | "long"

type Question = ReturnType<typeof question> | ReturnType<typeof longQuestion>

const goals: Readonly<Record<Kind, Readonly<Record<string, number>>>> = {
  small: {
    "lb.chat, telemetry off": 0.16,
    "lb.chat, a listener on": 0.42,
    "lb.openai, telemetry off": 0.32,
    "lb.openai, a listener on": 0.72
  },
  long: { "lb.chat, telemetry off": 0.5, "lb.openai, telemetry off": 1 }
}

/** The transport that goes through an `HttpClient` of `effect/http`. */
const httpClientTransport = HttpClientTransport.layer.pipe(Layer.provide(NodeHttpClient.layerUndici))

/** Everyone who can send a question over a socket, each as it does so many calls. */
const contestants: Readonly<
  Record<string, (endpoint: string, asked: Question) => Contestant["run"] | Promise<Contestant["run"]>>
> = {
  [BARE]: (endpoint, asked) => {
    const bare = bareClient(endpoint)
    return promises(CONCURRENCY, () => bare.chat.completions.create(asked))
  },
  "lb.chat, telemetry off": (endpoint, asked) => chat({ endpoint, telemetry: false }, asked),
  "lb.openai, telemetry off": (endpoint, asked) => openai({ endpoint, telemetry: false }, asked),
  "lb.chat, a listener on": (endpoint, asked) => chat({ endpoint, telemetry: true }, asked),
  "lb.openai, a listener on": (endpoint, asked) => openai({ endpoint, telemetry: true }, asked),
  "lb.chat over HttpClientTransport": (endpoint, asked) =>
    chat({ endpoint, telemetry: false, transport: httpClientTransport }, asked),
  "plain undici.request": (endpoint, asked) => {
    const dispatcher = new Undici.Agent()
    return promises(CONCURRENCY, async () => {
      const body = JSON.stringify(asked)
      const response = await Undici.request(urlOf(endpoint, asked.model), { method: "POST", headers, body, dispatcher })
      return response.body.json()
    })
  },
  "Effect around HttpClient on undici": async (endpoint, asked) => {
    const { execute } = await ManagedRuntime.make(NodeHttpClient.layerUndici).runPromise(HttpClient.HttpClient)
    return fibers(
      CONCURRENCY,
      Effect.suspend(() =>
        HttpClientRequest.post(urlOf(endpoint, asked.model), { headers }).pipe(
          HttpClientRequest.bodyJsonUnsafe(asked),
          execute,
          Effect.flatMap((response) => response.json)
        )
      )
    )
  }
}

const headers = { "api-key": "bench-key", "content-type": "application/json" }

const chat = async (options: DoorOptions, asked: Question) => {
  const { lb } = await effectDoor(options)
  return fibers(CONCURRENCY, lb.chat(asked))
}

const openai = (options: DoorOptions, asked: Question) => {
  const client = promiseDoor(options)
  return promises(CONCURRENCY, () => client.openai.chat.completions.create(asked))
}

/** One of them, for a process of its own. */
export const door = (endpoint: string, kind: Kind, name: string) =>
  contestants[name]!(endpoint, kind === "small" ? question("whole") : longQuestion("whole"))

export const wholeAnswers = async (endpoint: string, kind: Kind, sizes: ProcessRounds): Promise<Section> => {
  const names = Object.keys(contestants).filter((name) => name !== BARE)
  const rows = await pairs("calls", endpoint, kind, BARE, names, sizes, goals[kind])
  return {
    title: kind === "small"
      ? "A small prompt, an answer of 1 KB; 64 at a time"
      : "A prompt of 100 KB, an answer of 1 KB; 64 at a time",
    rows
  }
}
