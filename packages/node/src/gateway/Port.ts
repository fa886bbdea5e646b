/**
 * A port that the gateway listens on: what is open there, what is under way on each connection, and how they end.
 *
 * What a client has not sent yet takes nobody's place: a connection that sends slowly, or not at all, may be closed to make
 * room for another one. And one without a request holds up nobody who wants to stop.
 */
import type { GatewayConfig } from "@evenkeel/core"
import { type Linked, LinkedList } from "@evenkeel/core/internal"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as Refusals from "./Refusals.ts"

/** The gateway cannot listen. */
export class GatewayError extends Data.TaggedError("GatewayError")<{
  readonly host: string
  readonly port: number
  /** The system's word for it, such as `EADDRINUSE`. */
  readonly code: string
  readonly isForOperators: boolean
}> {
  override get message(): string {
    const { code, host, isForOperators, port } = this
    const own = isForOperators ? "gateway.operator" : "gateway"
    const hint = code === "EADDRINUSE"
      ? `: something else listens there; give another port as \`${own}.port\`, or 0 for any`
      : code === "EACCES"
      ? `: ports below 1024 are for root; give another as \`${own}.port\``
      : code === "EADDRNOTAVAIL" || code === "ENOTFOUND"
      ? `: this machine has no such address; give one of its own as \`${own}.host\``
      : ""
    return `The gateway cannot listen at ${host}:${port} (${code})${hint}.`
  }
}

/** Connections that may wait to be taken; the system's own limit holds as well. */
const BACKLOG = 4096

/** Milliseconds of silence after which a connection is probed; the system's own default is two hours. */
const PROBE_AFTER = 60_000

/** How often it is looked for requests that are late, in milliseconds. */
const LOOK_EVERY = 1000

/**
 * How long a connection that is kept may still bring a request once the gateway is told to stop, in milliseconds: it may
 * be on its way, and its answer says that it was the last.
 */
const LINGER = 1000

/** A connection. */
class Connection implements Linked<Connection> {
  readonly socket: Socket
  /** Answers that have not ended, in their order. */
  readonly answers: Array<Http.ServerResponse> = []
  latest: Http.ServerResponse | undefined
  list: LinkedList<Connection> | undefined
  previous: Connection | undefined
  next: Connection | undefined

  constructor(socket: Socket) {
    this.socket = socket
  }
}

const isIdle = ({ answers }: Connection): boolean => answers.length === 0

const isReceiving = ({ answers, latest }: Connection): boolean =>
  answers.length === 0 || (answers.length === 1 && latest?.req.complete === false)

/** What is told of each request, once its headers are there. */
export type Take = (request: Http.IncomingMessage, response: Http.ServerResponse, port: Port) => void

/**
 * One port.
 */
export class Port {
  readonly host: string
  /** Whether it is the operators' own, which asks for no key. */
  readonly isForOperators: boolean
  private readonly config: () => GatewayConfig
  private readonly take: Take
  private readonly connections = new Map<Socket, Connection>()
  /** The same, the one that was used the longest ago first. */
  private readonly byUse = new LinkedList<Connection>()
  private server: Http.Server | undefined
  private isDraining = false
  private isClosing = false

  /** @param config the one in use */
  constructor(host: string, isForOperators: boolean, config: () => GatewayConfig, take: Take) {
    this.host = host
    this.isForOperators = isForOperators
    this.config = config
    this.take = take
  }

  /** Connections that are open. */
  get size(): number {
    return this.connections.size
  }

  /** Begins to listen. Returns its URL. */
  listen(port: number): Effect.Effect<string, GatewayError> {
    return Effect.callback((resume) => {
      const { host } = this
      const { keepAlive, maxHeaders, receive } = this.config()
      const server = Http.createServer({
        maxHeaderSize: maxHeaders,
        requestTimeout: receive,
        headersTimeout: receive,
        keepAliveTimeout: keepAlive,
        connectionsCheckingInterval: Math.min(LOOK_EVERY, receive),
        noDelay: true,
        // finds out about clients that are gone without a word
        keepAlive: true,
        keepAliveInitialDelay: PROBE_AFTER,
        // the second of a kind is seen, and not left out
        joinDuplicateHeaders: true,
        // refused like everything else
        requireHostHeader: false
      }, (request, response) => this.requested(request, response))
      // bounded by their bytes; by their number they would be left out
      server.maxHeadersCount = 0
      server.on("connection", (socket) => this.connected(socket))
      server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => this.misread(error, socket))
      server.on("connect", (_request, socket: Socket) => refuse(socket, Refusals.badMethod))
      server.on("checkExpectation", (_request, response) => Refusals.answer(response, Refusals.unknownExpectation))
      const fail = ({ code = "unknown" }: NodeJS.ErrnoException) =>
        resume(Effect.fail(new GatewayError({ host, port, code, isForOperators: this.isForOperators })))
      server.once("error", fail)
      server.listen({ port, host, backlog: BACKLOG }, () => {
        server.off("error", fail)
        this.server = server
        const { address, family, port } = server.address() as AddressInfo
        resume(Effect.succeed(`http://${family === "IPv6" ? `[${address}]` : address}:${port}`))
      })
    })
  }

  private connected(socket: Socket): void {
    if (this.connections.size >= this.config().maxConnections && !this.closeOne(isReceiving)) {
      return refuse(socket, Refusals.busy)
    }
    const connection = new Connection(socket)
    this.connections.set(socket, connection)
    this.byUse.add(connection)
    socket.once("close", () => {
      this.forget(connection)
      // Node tells it only of the answer that is being written, and not of those behind it
      for (const response of connection.answers.slice()) response.destroy().emit("close")
    })
  }

  private forget(connection: Connection): void {
    this.connections.delete(connection.socket)
    this.byUse.delete(connection)
  }

  /** Closes the connection that was used the longest ago of those that may be. */
  private closeOne(may: (connection: Connection) => boolean): boolean {
    for (let connection = this.byUse.first; connection !== undefined; connection = connection.next) {
      if (!may(connection)) continue
      this.forget(connection)
      connection.socket.destroy()
      return true
    }
    return false
  }

  private requested(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const { socket } = request
    const connection = this.connections.get(socket)
    if (connection === undefined) return void socket.destroy()
    const { answers } = connection
    answers.push(response)
    connection.latest = response
    if (this.isDraining) response.shouldKeepAlive = false
    // a client has to read something of what is there; that nothing is there for long is not its fault
    response.setTimeout(this.config().stall, () => {
      if (socket.writableLength > 0) socket.destroy()
    })
    response.once("close", () => {
      answers.splice(answers.indexOf(response), 1)
      if (answers.length > 0 || connection.list === undefined) return
      this.byUse.delete(connection)
      this.byUse.add(connection)
      if (this.isClosing) socket.destroySoon()
    })
    this.take(request, response, this)
  }

  /** What a client sent cannot be read, or was not there in time. */
  private misread({ code }: NodeJS.ErrnoException, socket: Socket): void {
    const { answers, latest } = this.connections.get(socket) ?? {}
    // what comes after an answer, or before another, is no answer to this
    const isAnswered = latest?.req.complete === false
      ? latest.headersSent || answers!.length > 1
      : answers === undefined || answers.length > 0
    if (!socket.writable || code === "ECONNRESET" || isAnswered) socket.destroy()
    else refuse(socket, Refusals.unreadable(code))
  }

  /** Takes no new connection, and ends once what is under way has, or the grace time is over. */
  drain(grace: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { server } = this
      if (server === undefined) return Effect.void
      this.isDraining = true
      for (const { latest } of this.connections.values()) if (latest !== undefined) latest.shouldKeepAlive = false
      // Node's own would break off answers that are still being written
      server.closeIdleConnections = () => {}
      const closed = Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
      const linger = Math.min(LINGER, grace)
      const closing = Effect.gen({ self: this }, function*() {
        yield* Effect.sleep(linger)
        this.isClosing = true
        while (this.closeOne(isIdle));
        yield* Effect.sleep(grace - linger)
        for (const socket of this.connections.keys()) socket.destroy()
        return yield* Effect.never
      })
      return Effect.raceFirst(closed, closing)
    })
  }
}

/** Answers on a socket that has no request, and closes it. */
const refuse = (socket: Socket, refusal: Refusals.GatewayRefusal): void => {
  socket.on("error", () => {})
  socket.end(Refusals.asBytes(refusal), () => socket.destroy())
}
