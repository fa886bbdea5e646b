/**
 * A service on loopback that gives scripted answers and keeps what it was sent.
 *
 * Each play has a base of its own below the one server, so that many can be under way at once.
 */
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"

/** One answer. Without a body it is empty; `json`, `text` and `bytes` come whole, `chunks` as they are written. */
export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly text?: string
  readonly bytes?: Uint8Array
  readonly chunks?: ReadonlyArray<string | Uint8Array>
  /** What follows the chunks. `cut`: the connection is destroyed. `hang`: nothing more comes. Default: a proper end. */
  readonly after?: "end" | "cut" | "hang"
  /** No byte is answered, not even the headers. */
  readonly silent?: boolean
  /** The connection is destroyed before a byte. */
  readonly reset?: boolean
}

/** A request as it arrived, as plain data: a form as its fields, JSON as what it says. */
export interface Sent {
  readonly method: string
  /** Below the API's base. */
  readonly path: string
  readonly query: string
  /** All but those of the connection, the credential and the client's own statistics. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

/** Answers in order, the last one again and again; or a function of the request and its number, from 0. */
export type Script = ReadonlyArray<Answer> | ((sent: Sent, index: number) => Answer)

/** A script that is being played. */
export interface Play {
  /** Origin and a path, without a trailing slash. */
  readonly base: string
  readonly sent: ReadonlyArray<Sent>
  /** Waits until so many requests have arrived. */
  readonly arrived: (count: number) => Promise<void>
  /** Waits until a connection was given up by the client before its answer was complete. */
  readonly abandoned: () => Promise<void>
}

export interface Server {
  /** Plays a script below a base of its own, or, in place of what was played there before, below a named one. */
  readonly play: (script: Script, name?: string) => Play
  readonly close: () => Promise<void>
}

/** Headers that no caller means: of the connection, of the credential, and the client's own statistics. */
const uninteresting =
  /^(host|connection|keep-alive|transfer-encoding|content-length|accept-encoding|accept-language|sec-fetch-.*|user-agent|authorization|api-key|x-stainless-.*)$/

class Played implements Play {
  readonly base: string
  readonly sent: Array<Sent> = []
  readonly script: Script
  /** Changes are waited for, never polled. */
  #waiting: Array<() => void> = []
  #abandoned = 0

  constructor(base: string, script: Script) {
    this.base = base
    this.script = script
  }

  next(sent: Sent): Answer {
    const index = this.sent.push(sent) - 1
    this.#changed()
    if (typeof this.script === "function") return this.script(sent, index)
    return this.script[Math.min(index, this.script.length - 1)] ?? { status: 500, text: "The script is empty." }
  }

  abandon(): void {
    this.#abandoned++
    this.#changed()
  }

  arrived(count: number): Promise<void> {
    return this.#until(() => this.sent.length >= count)
  }

  abandoned(): Promise<void> {
    return this.#until(() => this.#abandoned > 0)
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const look of waiting) look()
  }

  #until(holds: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (holds()) resolve()
        else this.#waiting.push(look)
      }
      look()
    })
  }
}

/** Listens on loopback until it is closed. */
export const listen = async (): Promise<Server> => {
  const plays = new Map<string, Played>()
  const sockets = new Set<Socket>()
  const server = Http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const [, id = "", rest = ""] = /^\/([^/]+)(\/.*)$/.exec(request.url ?? "") ?? []
    const play = plays.get(id)
    response.on("close", () => {
      if (!response.writableEnded) play?.abandon()
    })
    read(request, rest).then((sent) => write(response, play?.next(sent) ?? { status: 500 }), () => {})
  })
  server.on("connection", (socket) => {
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    play: (script, name) => {
      const id = name ?? `play${plays.size}`
      const play = new Played(`${origin}/${id}`, script)
      plays.set(id, play)
      return play
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
  }
}

const read = async (request: Http.IncomingMessage, rest: string): Promise<Sent> => {
  const parts: Array<Buffer> = []
  for await (const part of request) parts.push(part as Buffer)
  const url = new URL(rest, "http://play")
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(request.headers)) {
    if (!uninteresting.test(name)) headers[name] = String(value)
  }
  const type = headers["content-type"]
  // a boundary is made anew each time
  if (type !== undefined) headers["content-type"] = type.replace(/boundary=.*/, "boundary")
  return {
    method: request.method ?? "",
    path: url.pathname.replace(/^(\/openai)?\/v1(?=\/)/, ""),
    query: url.search,
    headers,
    body: await parse(Buffer.concat(parts), type)
  }
}

const parse = async (bytes: Buffer, type: string | undefined): Promise<unknown> => {
  if (bytes.length === 0) return undefined
  if (type?.startsWith("multipart/form-data") === true) {
    const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData()
    return Promise.all(Array.from(form, async ([name, value]) =>
      typeof value === "string"
        ? { name, value }
        : {
          name,
          file: value.name,
          type: value.type,
          value: Buffer.from(await value.arrayBuffer()).toString("latin1")
        }))
  }
  const text = bytes.toString()
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

const write = async (response: Http.ServerResponse, answer: Answer): Promise<void> => {
  const { bytes, chunks, headers = {}, json, reset = false, silent = false, status = 200, text, after = "end" } = answer
  if (silent) return
  if (reset) {
    response.socket?.destroy()
    return
  }
  if (chunks === undefined) {
    const whole = Buffer.from(json === undefined ? bytes ?? text ?? "" : JSON.stringify(json))
    const own = json === undefined ? {} : { "content-type": "application/json" }
    const length = status === 204 || status === 304 ? {} : { "content-length": String(whole.length) }
    response.writeHead(status, { ...own, ...length, ...headers }).end(whole)
    return
  }
  response.writeHead(status, { "content-type": "text/event-stream", ...headers })
  response.flushHeaders()
  for (const chunk of chunks) {
    response.write(chunk)
    // each chunk is to arrive by itself
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (after === "end") response.end()
  // what was written is to be read before the connection breaks
  else if (after === "cut") setImmediate(() => setImmediate(() => response.socket?.destroy()))
}
