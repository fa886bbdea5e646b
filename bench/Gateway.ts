// oxlint-disable no-await-in-loop -- by turns is how it is measured
/**
 * What the gateway costs: CPU of its process per request beside a plain proxy's, and what it adds to the first token of many
 * streams at a time.
 */
import { Agent, request as httpRequest } from "node:http"
import { apiVersion, type DeploymentName, question } from "./Canned.ts"
import { askChild, startChild } from "./Child.ts"
import { figureOf, measureProcesses, type Process, type ProcessRounds, quantile, ratioOf } from "./Measure.ts"
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

/** A process before the service, which answers 64 at a time. */
export type Edge = Door & Process

export const edgeOf = (door: Door, process: Omit<Process, "run">): Edge => ({
  ...door,
  ...process,
  run: (count) => load(count, 64, async () => void await ask(door, "whole", false))
})

export const start = async (kind: "gateway" | "proxy", endpoint: string): Promise<Edge> => {
  const { child, first: port } = await startChild<number>("./Edge.ts", [kind, endpoint])
  const door = { name: kind, port, pathOf: v1Path, agent: agentOf() }
  return edgeOf(door, { name: kind, cpu: () => askChild<number>(child, "cpu"), end: () => child.disconnect() })
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

export interface GatewaySizes extends ProcessRounds {
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
  const streamed = new Map<string, Awaited<ReturnType<typeof manyStreams>>>()
  const begin = async () => [await start("gateway", endpoint), await start("proxy", endpoint)]
  const measured = await measureProcesses(begin, sizes.begins, sizes, async (edges) => {
    for (const door of [direct, ...edges]) {
      await manyStreams(door, sizes.width, 1)
      streamed.set(door.name, await manyStreams(door, sizes.width, sizes.streams))
    }
  })
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
