/**
 * What every test of the gateway's edge asks besides: that nothing reached a deployment, that others go on, and that nothing
 * is held once a client is done.
 */
import { assert } from "@effect/vitest"
import type { ConfigInput } from "@evenkeel/core"
import { createHash } from "node:crypto"
import * as Http from "node:http"
import { connect, type Socket } from "node:net"
import { type Gated, gated } from "./Gated.ts"
import { fast, pause } from "./Served.ts"

type GatewayInput = NonNullable<ConfigInput["gateway"]>

/** A key of the gateway: `secret-of-` and its name. */
export const keyed = (name: string, more: object = {}) => ({
  name,
  sha256: createHash("sha256").update(`secret-of-${name}`).digest("hex"),
  ...more
})

export const deployment = { name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello from here." } as const

/** A gateway before one resource, which checks nothing by itself. */
export const edge = (
  gateway: GatewayInput = {},
  own: Partial<Parameters<typeof gated>[0][number]["deployments"][number]> = {},
  config: Partial<ConfigInput> = {}
): Promise<Gated> =>
  gated([{ name: "east", deployments: [{ ...deployment, ...own }] }], {
    health: { check: { kind: "none" } },
    ...config,
    gateway
  })

/** A chat with one message. */
export const chat = (more: object = {}): string =>
  JSON.stringify({ model: "gpt-4o", messages: [{ role: "user", content: "Hello" }], ...more })

/** A request as text, with the length of its body. */
export const written = (
  body: string,
  { headers = [], line = "POST /v1/chat/completions HTTP/1.1" }: {
    readonly headers?: ReadonlyArray<string>
    readonly line?: string
  } = {}
): string =>
  [
    line,
    "host: localhost",
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...headers,
    "",
    body
  ].join("\r\n")

/** What a request is answered on a connection of its own. */
export const ask = (
  { port }: Pick<Gated, "port">,
  { body, headers, method = body === undefined ? "GET" : "POST", path = "/v1/chat/completions" }: {
    readonly body?: string | Uint8Array
    readonly headers?: Http.OutgoingHttpHeaders
    readonly method?: string
    readonly path?: string
  }
): Promise<{ readonly status: number; readonly headers: Http.IncomingHttpHeaders; readonly body: Buffer }> =>
  new Promise((resolve, reject) => {
    const request = Http.request({ host: "127.0.0.1", port, method, path, headers, agent: false }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", reject)
      response.on(
        "end",
        () => resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) })
      )
    })
    request.on("error", reject)
    request.end(body)
  })

/** Requests that reached any deployment. */
export const sends = ({ simulator }: Pick<Gated, "simulator">): number =>
  simulator.resources.reduce((sum, { name }) => sum + simulator.service(name).stats(Date.now()).requests, 0)

/** Requests that are under way at any deployment. */
export const upstream = ({ simulator }: Gated): number =>
  simulator.resources.reduce((sum, { name }) => sum + simulator.service(name).stats(Date.now()).inFlight, 0)

/** Another client is served. */
export const goesOn = async (gateway: Gated, key?: string): Promise<void> => {
  const headers = { "content-type": "application/json", ...(key === undefined ? {} : { "api-key": key }) }
  const { body, status } = await ask(gateway, { body: chat(), headers })
  assert.strictEqual(status, 200, body.toString())
}

interface Counters {
  readonly connections: number
  readonly requests: number
  readonly streams: number
  readonly inFlight: number
}

/** What the gateway holds, as `/status` says, but for the connection that asks it. */
export const counters = async (gateway: Pick<Gated, "port">, key?: string): Promise<Counters> => {
  const headers = key === undefined ? {} : { "api-key": key }
  const { body, status } = await ask(gateway, { path: "/status", headers })
  assert.strictEqual(status, 200, body.toString())
  const { deployments, gateway: own } = JSON.parse(body.toString())
  return {
    connections: own.connections - 1,
    requests: own.requests,
    streams: own.keys.reduce((sum: number, { streams }: { readonly streams: number }) => sum + streams, 0),
    inFlight: deployments.reduce((sum: number, { inFlight }: { readonly inFlight: number }) => sum + inFlight, 0)
  }
}

/** Longest that anything is waited for, in milliseconds: a machine may be busy. */
const PATIENCE = 15_000

/** Waits until something holds. */
export const until = async (
  holds: () => boolean | Promise<boolean>,
  what = "It did not come about",
  millis = PATIENCE
): Promise<void> => {
  const end = performance.now() + millis
  while (!(await holds())) {
    assert.isBelow(performance.now(), end, what)
    await pause(5)
  }
}

/** Waits until nothing is held any more. */
export const atRest = async (gateway: Gated, key?: string): Promise<void> => {
  let held = await counters(gateway, key)
  const isAtRest = async () => {
    held = await counters(gateway, key)
    return Object.values(held).every((count) => count === 0)
  }
  await until(isAtRest).catch(() => {})
  assert.deepStrictEqual(held, { connections: 0, requests: 0, streams: 0, inFlight: 0 })
  await until(() => upstream(gateway) === 0, "Something is under way upstream")
}

/** A socket that is open, and what came on it so far. */
export interface Line extends Disposable {
  readonly socket: Socket
  readonly text: () => string
  /** Until its end, or so many milliseconds have passed. */
  readonly ended: (millis?: number) => Promise<string>
  /** Until this has come. */
  readonly has: (part: string, millis?: number) => Promise<string>
}

export const open = (port: number, options: { readonly allowHalfOpen?: boolean } = {}): Promise<Line> =>
  new Promise((resolve, reject) => {
    let text = ""
    let isOver = false
    const socket = connect({ port, host: "127.0.0.1", ...options })
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1")
    })
    socket.on("end", () => {
      isOver = true
    })
    socket.on("close", () => {
      isOver = true
    })
    socket.once("error", reject)
    socket.once("connect", () => {
      socket.on("error", () => {})
      resolve({
        socket,
        text: () => text,
        ended: async (millis) => {
          await until(() => isOver, "It does not end", millis)
          return text
        },
        has: async (part, millis) => {
          await until(() => text.includes(part), `"${part}" does not come`, millis)
          return text
        },
        [Symbol.dispose]: () => socket.destroy()
      })
    })
  })

/** Status, headers and body of an answer that is whole. */
export const parsed = (text: string): {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
} => {
  const [head = "", ...rest] = text.split("\r\n\r\n")
  const [line = "", ...lines] = head.split("\r\n")
  const headers = Object.fromEntries(lines.map((each): [string, string] => {
    const at = each.indexOf(":")
    return [each.slice(0, at).toLowerCase(), each.slice(at + 1).trim()]
  }))
  return { status: Number(line.split(" ")[1]), headers, body: rest.join("\r\n\r\n") }
}

/** The error of an answer in OpenAI's shape. */
export const errorOf = (body: string): { readonly code: string; readonly type: string; readonly message: string } => {
  const { error } = JSON.parse(body)
  assert.isString(error.message)
  assert.isString(error.type)
  return error
}
