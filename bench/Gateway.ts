// oxlint-disable no-await-in-loop -- by turns is how it is measured
/**
 * What the gateway costs: CPU of its process per request beside a plain proxy's, and what it adds to the first token of many
 * streams at a time.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import { Agent, request as httpRequest } from "node:http"
import { apiVersion, type DeploymentName, question } from "./Canned.ts"
import { figureOf, quantile } from "./Measure.ts"
import type { Section } from "./Report.ts"

/** A process before the service, or the service itself. */
interface Door {
  readonly name: string
  readonly port: number
  readonly pathOf: (name: DeploymentName) => string
  readonly process: ChildProcess | undefined
  readonly agent: Agent
}

const start = async (kind: "gateway" | "proxy", endpoint: string): Promise<Door> => {
  const process = fork(new URL("./Edge.ts", import.meta.url), [kind, endpoint], { stdio: "inherit" })
  const [port] = await once(process, "message") as [number]
  return { name: kind, port, pathOf: () => "/v1/chat/completions", process, agent: agentOf() }
}

const agentOf = () => new Agent({ keepAlive: true, maxSockets: Infinity })

const cpuOf = async ({ process }: Door): Promise<number> => {
  process!.send("cpu")
  const [micros] = await once(process!, "message") as [number]
  return micros
}

/** One answer: when its first byte came, and the longest pause after that. */
interface Timed {
  readonly first: number
  readonly longestPause: number
}

const ask = ({ agent, pathOf, port }: Door, model: DeploymentName, stream: boolean): Promise<Timed> =>
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
      headers: { "content-type": "application/json", "content-length": String(Buffer.byteLength(body)), "api-key": "x" }
    }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`status ${answer.statusCode}`))
      answer.on("data", () => {
        const now = performance.now()
        if (first === 0) first = now - began
        else longestPause = Math.max(longestPause, now - last)
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

export interface GatewaySizes {
  readonly rounds: number
  readonly calls: number
  readonly warmup: number
  readonly width: number
  readonly streams: number
}

export const gateway = async (endpoint: string, sizes: GatewaySizes): Promise<Section> => {
  const direct: Door = {
    name: "direct",
    port: Number(new URL(endpoint).port),
    pathOf: (name) => `/openai/deployments/${name}/chat/completions?api-version=${apiVersion}`,
    process: undefined,
    agent: agentOf()
  }
  const doors = [await start("gateway", endpoint), await start("proxy", endpoint)]
  const cpu = new Map(doors.map(({ name }) => [name, [] as Array<number>]))
  for (const door of doors) await load(sizes.warmup, 64, async () => void await ask(door, "whole", false))
  for (let round = 0; round < sizes.rounds; round++) {
    for (let turn = 0; turn < doors.length; turn++) {
      const door = doors[(round + turn) % doors.length]!
      const before = await cpuOf(door)
      await load(sizes.calls, 64, async () => void await ask(door, "whole", false))
      cpu.get(door.name)!.push((await cpuOf(door) - before) / sizes.calls)
    }
  }
  const [ours, plain] = [cpu.get("gateway")!, cpu.get("proxy")!]
  const streamed = new Map<string, Awaited<ReturnType<typeof manyStreams>>>()
  for (const door of [direct, ...doors]) {
    await manyStreams(door, sizes.width, 1)
    streamed.set(door.name, await manyStreams(door, sizes.width, sizes.streams))
  }
  for (const { process } of doors) process!.disconnect()
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
        figure: figureOf(ours.map((value, i) => value / plain[i]!)),
        goal: 1.3,
        cpu: figureOf(ours)
      },
      { what: "the plain proxy", unit: "x", figure: one(1), cpu: figureOf(plain) },
      { what: "added to the first token, p50", unit: "us", figure: added("gateway", 0.5) },
      { what: "added to the first token, p99", unit: "us", figure: added("gateway", 0.99), goal: 1000 },
      { what: "the plain proxy, p99", unit: "us", figure: added("proxy", 0.99) },
      { what: "longest pause in a stream", unit: "us", figure: longest("gateway") },
      { what: "the plain proxy", unit: "us", figure: longest("proxy") },
      { what: "without either", unit: "us", figure: longest("direct") }
    ]
  }
}
