// oxlint-disable no-await-in-loop -- by turns is how it is measured
/**
 * What the gateway costs: CPU of its process per request beside a plain proxy's, and what it adds to the first token of many
 * streams at a time.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { Agent, request as httpRequest } from "node:http"
import { apiVersion, type DeploymentName, question } from "./Canned.ts"
import { figureOf, type Measured, quantile, ratioOf, type Rounds, RUN_IN } from "./Measure.ts"
import type { Section } from "./Report.ts"

/** A process before the service, or the service itself. */
export interface Door {
  readonly name: string
  readonly port: number
  readonly pathOf: (name: DeploymentName) => string
  readonly agent: Agent
  /** Headers that it asks for besides those of any client. */
  readonly headers?: Readonly<Record<string, string>>
}

/** A process before the service, whose CPU is measured. */
export interface Edge extends Door {
  /** Microseconds of CPU that it has taken. */
  readonly cpu: () => Promise<number> | number
  readonly end: () => void
  /** Share of the answers that it is asked for: less than one where each takes it long, so that turns are of like length. */
  readonly share: number
}

export const start = async (kind: "gateway" | "proxy", endpoint: string): Promise<Edge> => {
  // what it logs is none of the figures
  const stdio = ["ignore", 2, 2, "ipc"] as const
  const child = fork(new URL("./Edge.ts", import.meta.url), [kind, endpoint], { stdio: [...stdio] })
  const [port] = await once(child, "message") as [number]
  const cpu = async () => {
    child.send("cpu")
    const [micros] = await once(child, "message") as [number]
    return micros
  }
  return { name: kind, port, pathOf: v1Path, agent: agentOf(), cpu, end: () => child.disconnect(), share: 1 }
}

export const v1Path = () => "/v1/chat/completions"

export const agentOf = () => new Agent({ keepAlive: true, maxSockets: Infinity })

/** One answer: when its first byte came, or a stream's first token, and the longest pause after that. */
interface Timed {
  readonly first: number
  readonly longestPause: number
}

const ask = ({ agent, headers, pathOf, port }: Door, model: DeploymentName, stream: boolean): Promise<Timed> =>
  new Promise((resolve, reject) => {
    const body = JSON.stringify({
      ...question(model),
      ...(stream ? { stream, stream_options: { include_usage: true } } : {})
    })
    const began = performance.now()
    let first = 0
    let last = 0
    let longestPause = 0
    const asked = httpRequest({
      host: "127.0.0.1",
      port,
      agent,
      method: "POST",
      path: pathOf(model),
      headers: {
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        "api-key": "x",
        ...headers
      }
    }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`))
      answer.on("data", (part: Buffer) => {
        const now = performance.now()
        if (first > 0) longestPause = Math.max(longestPause, now - last)
        // an event that tells but a role is held back until it is known that there is an answer
        else if (!stream || part.includes(" word")) first = now - began
        last = now
      })
      answer.on("end", () => resolve({ first, longestPause }))
      answer.on("error", reject)
    })
    asked.on("error", reject)
    asked.end(body)
  })

/** So many answers, so many at a time. */
const load = async (count: number, width: number, one: (i: number) => Promise<void>): Promise<void> => {
  let next = 0
  await Promise.all(Array.from({ length: width }, async () => {
    while (next < count) await one(next++)
  }))
}

/** Microseconds of CPU per whole answer, 64 at a time and by turns: one figure for each round. */
export const wholeAnswersOf = async (edges: ReadonlyArray<Edge>, sizes: Rounds): Promise<Measured> => {
  const answers = (edge: Edge, count: number) => load(count, 64, async () => void await ask(edge, "whole", false))
  const measured = new Map<string, Array<number>>()
  for (const edge of edges) {
    measured.set(edge.name, [])
    await answers(edge, sizes.warmup * edge.share)
  }
  for (let round = 0; round < sizes.rounds; round++) {
    for (let turn = 0; turn < edges.length; turn++) {
      const edge = edges[(round + turn) % edges.length]!
      const calls = sizes.calls * edge.share
      await answers(edge, calls * RUN_IN)
      const before = await edge.cpu()
      await answers(edge, calls)
      measured.get(edge.name)!.push((await edge.cpu() - before) / calls)
    }
  }
  return measured
}

/** Milliseconds that a steady stream lasts. */
const STREAM_LASTS = 1280

/** Many streams at a time, begun apart: their first bytes and longest pauses, sorted. */
const manyStreams = async (door: Door, width: number, each: number) => {
  const timed: Array<Timed> = []
  await Promise.all(Array.from({ length: width }, async (_, i) => {
    await new Promise((resolve) => setTimeout(resolve, (i / width) * STREAM_LASTS))
    for (let k = 0; k < each; k++) timed.push(await ask(door, "steady", true))
  }))
  return {
    firsts: timed.map(({ first }) => first).toSorted((a, b) => a - b),
    pauses: timed.map(({ longestPause }) => longestPause).toSorted((a, b) => a - b)
  }
}

const one = (value: number) => figureOf([value])

export interface GatewaySizes extends Rounds {
  /** How often both begin anew: what V8 makes of a process in its first seconds is a matter of chance, and stays. */
  readonly pairs: number
  readonly width: number
  readonly streams: number
}

export const gateway = async (endpoint: string, sizes: GatewaySizes): Promise<Section> => {
  const direct: Door = {
    name: "direct",
    port: Number(new URL(endpoint).port),
    pathOf: (name) => `/openai/deployments/${name}/chat/completions?api-version=${apiVersion}`,
    agent: agentOf()
  }
  const pair = async () => [await start("gateway", endpoint), await start("proxy", endpoint)]
  let edges = await pair()
  const measured = new Map(await wholeAnswersOf(edges, sizes))
  for (let again = 1; again < sizes.pairs; again++) {
    for (const { end } of edges) end()
    edges = await pair()
    for (const [name, more] of await wholeAnswersOf(edges, sizes)) measured.set(name, [...measured.get(name)!, ...more])
  }
  const streamed = new Map<string, Awaited<ReturnType<typeof manyStreams>>>()
  for (const door of [direct, ...edges]) {
    await manyStreams(door, sizes.width, 1)
    streamed.set(door.name, await manyStreams(door, sizes.width, sizes.streams))
  }
  for (const { end } of edges) end()
  const added = (name: string, share: number) =>
    one(1000 * (quantile(streamed.get(name)!.firsts, share) - quantile(streamed.get("direct")!.firsts, share)))
  const longest = (name: string) => one(1000 * quantile(streamed.get(name)!.pauses, 1))
  return {
    title:
      `gateway: CPU of its process, beside a plain proxy of node:http that parses; ${sizes.width} streams at a time`,
    rows: [
      {
        what: "a whole answer",
        unit: "x",
        figure: ratioOf(measured, "gateway", "proxy"),
        goal: 1.3,
        cpu: figureOf(measured.get("gateway")!)
      },
      { what: "the plain proxy", unit: "x", figure: one(1), cpu: figureOf(measured.get("proxy")!) },
      { what: "added to the first token, p50", unit: "us", figure: added("gateway", 0.5) },
      { what: "added to the first token, p99", unit: "us", figure: added("gateway", 0.99), goal: 1000 },
      { what: "the plain proxy, p99", unit: "us", figure: added("proxy", 0.99) },
      { what: "longest pause in a stream", unit: "us", figure: longest("gateway") },
      { what: "the plain proxy", unit: "us", figure: longest("proxy") },
      { what: "without either", unit: "us", figure: longest("direct") }
    ]
  }
}
