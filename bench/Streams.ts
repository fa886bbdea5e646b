// oxlint-disable no-await-in-loop -- one after the other is what is measured
/**
 * Streams of 50 chunks: what they cost, and what is added to the time to the first token.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type OpenAI from "openai"
import Undici from "undici"
import { CHUNKS, question } from "./Canned.ts"
import { bareClient, effectDoor, fibers, promiseDoor, promises, urlOf } from "./Doors.ts"
import { type Contestant, figureOf, type ProcessRounds, quantile } from "./Measure.ts"
import { pairs } from "./Pairs.ts"
import type { Row, Section } from "./Report.ts"

const CONCURRENCY = 64
const BARE = "bare AzureOpenAI, its own fetch"

type Question = ReturnType<typeof question>

/** A count of chunks that came, so that a door which loses some is not taken for a fast one. */
let chunks = 0

const readAll = async (client: OpenAI, asked: Question): Promise<void> => {
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    chunks += chunk.choices.length
  }
}

/** The bytes of a stream, neither decoded nor parsed: what no client can do without. */
const readBytes = async (endpoint: string, dispatcher: Undici.Agent, asked: Question): Promise<void> => {
  const response = await request(endpoint, dispatcher, asked)
  for await (const _ of response.body) { /* nothing */ }
  chunks += CHUNKS
}

/** The least that gives out events: its bytes as they come, decoded, and each event's JSON parsed. */
const readEvents = async (endpoint: string, dispatcher: Undici.Agent, asked: Question): Promise<void> => {
  const response = await request(endpoint, dispatcher, asked)
  const decoder = new TextDecoder()
  let rest = ""
  for await (const bytes of response.body) {
    const events = (rest + decoder.decode(bytes as Uint8Array, { stream: true })).split("\n\n")
    rest = events.pop()!
    for (const event of events) if (event !== "data: [DONE]") chunks += JSON.parse(event.slice(6)).choices.length
  }
}

const request = (endpoint: string, dispatcher: Undici.Agent, asked: Question) => {
  const headers = { "api-key": "bench-key", "content-type": "application/json" }
  const body = JSON.stringify({ ...asked, stream: true })
  return Undici.request(urlOf(endpoint, asked.model), { method: "POST", headers, body, dispatcher })
}

/** `paced`: every chunk in a packet of its own, as tokens come. `burst`: all in two packets. */
type Kind = "paced" | "burst"

const goals: Readonly<Record<string, number>> = { "lb.chatStream": 0.4, "lb.openai, stream: true": 0.6 }

/** Everyone who can read a stream, each as it does so many calls. */
const contestants: Readonly<
  Record<string, (endpoint: string, asked: Question) => Contestant["run"] | Promise<Contestant["run"]>>
> = {
  [BARE]: (endpoint, asked) => {
    const bare = bareClient(endpoint)
    return promises(CONCURRENCY, () => readAll(bare, asked))
  },
  "lb.chatStream": async (endpoint, asked) => {
    const { lb } = await effectDoor({ endpoint, telemetry: false })
    const drain = Stream.runForEach(lb.chatStream(asked), (chunk) =>
      Effect.sync(() => {
        chunks += chunk.choices.length
      }))
    return fibers(CONCURRENCY, drain)
  },
  "lb.openai, stream: true": (endpoint, asked) => {
    const { openai } = promiseDoor({ endpoint, telemetry: false })
    return promises(CONCURRENCY, () => readAll(openai, asked))
  },
  "plain undici.request, parsed": (endpoint, asked) => {
    const agent = new Undici.Agent()
    return promises(CONCURRENCY, () => readEvents(endpoint, agent, asked))
  },
  "plain undici.request, not parsed": (endpoint, asked) => {
    const agent = new Undici.Agent()
    return promises(CONCURRENCY, () => readBytes(endpoint, agent, asked))
  }
}

/** One of them, for a process of its own. */
export const door = async (endpoint: string, kind: Kind, name: string): Promise<Contestant["run"]> => {
  const run = await contestants[name]!(endpoint, question(kind))
  return async (calls) => {
    chunks = 0
    await run(calls)
    if (chunks !== calls * CHUNKS) throw new Error(`${name} gave ${chunks} chunks of ${calls * CHUNKS}`)
  }
}

export const streams = async (endpoint: string, kind: Kind, sizes: ProcessRounds): Promise<Section> => {
  const names = Object.keys(contestants).filter((name) => name !== BARE)
  // tokens come one by one: that is what the goals are about
  const rows = await pairs("streams", endpoint, kind, BARE, names, sizes, kind === "paced" ? goals : {})
  return {
    title: `Streams of 50 chunks, ${
      kind === "paced" ? "each in a packet of its own" : "all in two packets"
    }; 64 at a time`,
    rows
  }
}

/** Milliseconds from a call to its first token; the rest of the stream is read after that. */
type FirstToken = (asked: Question) => Promise<number>

const firstOfClient = (client: OpenAI): FirstToken => async (asked) => {
  const startedAt = performance.now()
  let took = 0
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    if (took === 0 && (chunk.choices[0]?.delta.content ?? "") !== "") took = performance.now() - startedAt
  }
  return took
}

const firstOfEffect = ({ lb }: Awaited<ReturnType<typeof effectDoor>>): FirstToken => async (asked) => {
  const startedAt = performance.now()
  let took = 0
  await Effect.runPromise(Stream.runForEach(lb.chatStream(asked), (chunk) =>
    Effect.sync(() => {
      if (took === 0 && (chunk.choices[0]?.delta.content ?? "") !== "") took = performance.now() - startedAt
    })))
  return took
}

/** The first packet as it comes, without reading it: what no client can be faster than. */
const firstOfUndici = (endpoint: string, dispatcher: Undici.Agent): FirstToken => async (asked) => {
  const startedAt = performance.now()
  let took = 0
  const response = await request(endpoint, dispatcher, asked)
  for await (const _ of response.body) {
    if (took === 0) took = performance.now() - startedAt
  }
  return took
}

export interface FirstTokenSizes {
  readonly rounds: number
  /** Streams of each contestant in a round. */
  readonly samples: number
  readonly warmup: number
}

/** One stream at a time, the contestants in turn. */
export const firstTokens = async (endpoint: string, { rounds, samples, warmup }: FirstTokenSizes): Promise<Section> => {
  const asked = question("burst")
  const agent = new Undici.Agent()
  const effect = await effectDoor({ endpoint, telemetry: false })
  const client = promiseDoor({ endpoint, telemetry: false })
  const contestants: ReadonlyArray<readonly [string, FirstToken]> = [
    [BARE, firstOfClient(bareClient(endpoint))],
    ["lb.chatStream", firstOfEffect(effect)],
    ["lb.openai, stream: true", firstOfClient(client.openai)],
    ["plain undici.request, nothing read", firstOfUndici(endpoint, agent)]
  ]
  /** Microseconds in ascending order, by contestant. */
  const round = async (length: number): Promise<ReadonlyArray<ReadonlyArray<number>>> => {
    const taken = contestants.map(() => new Array<number>())
    for (let i = 0; i < length; i++) {
      for (let turn = 0; turn < contestants.length; turn++) {
        const which = (i + turn) % contestants.length
        taken[which]!.push(1000 * await contestants[which]![1](asked))
      }
    }
    return taken.map((values) => values.toSorted((a, b) => a - b))
  }
  await round(warmup)
  const measured: Array<ReadonlyArray<ReadonlyArray<number>>> = []
  for (let i = 0; i < rounds; i++) measured.push(await round(samples))
  await Promise.all([effect.close(), client.close(), agent.close()])
  const rows: Array<Row> = []
  contestants.forEach(([name], which) => {
    for (const share of [0.5, 0.9, 0.99]) {
      const figure = figureOf(measured.map((values) => quantile(values[which]!, share)))
      rows.push({ what: `${name}: p${share * 100}`, unit: "us", figure })
    }
    if (!name.startsWith("lb.")) return
    const added = measured.map((values) => quantile(values[which]!, 0.99) - quantile(values[0]!, 0.99))
    rows.push({ what: `${name}: added at p99`, unit: "us", goal: 300, figure: figureOf(added) })
  })
  return { title: "Time to the first token; one at a time, p99 against the bare client's of the same round", rows }
}
