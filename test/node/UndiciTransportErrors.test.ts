import type { TransportErrorKind } from "#core/transport/Transport"
import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { inspect } from "node:util"

/** A server of TCP that does this to each connection, once it has heard something. */
const tcp = (heard: (socket: Net.Socket) => void) =>
  Effect.acquireRelease(
    Effect.promise(() =>
      new Promise<{ readonly server: Net.Server; readonly port: number; readonly sockets: Set<Net.Socket> }>(
        (resolve) => {
          const sockets = new Set<Net.Socket>()
          const server = Net.createServer((socket) => {
            sockets.add(socket)
            socket.on("error", () => {})
            socket.once("data", () => heard(socket))
          })
          server.listen(0, "127.0.0.1", () =>
            resolve({ server, port: (server.address() as Net.AddressInfo).port, sockets }))
        }
      )
    ),
    ({ server, sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) {
          socket.destroy()
        }
        server.close()
      })
  )

const closedPort = Effect.scoped(Effect.map(tcp(() => {}), ({ port }) => port))

const send = (origin: string) =>
  Effect.flatMap(UndiciTransport.make({ connectTimeout: 300 }), (transport) =>
    transport.send({
      resource: "east",
      origin,
      path: "/v1/chat/completions",
      method: "POST",
      headers: { "api-key": "secret-key" },
      body: "secret prompt"
    }))

const failureOf = (origin: string) => Effect.flip(Effect.scoped(send(origin)))

/** What a server can do to a request, and what that is called. */
const afterSending: ReadonlyArray<readonly [string, TransportErrorKind, (socket: Net.Socket) => void]> = [
  ["a reset before the headers", "reset", (socket) => socket.resetAndDestroy()],
  ["an end before the headers", "reset", (socket) => socket.end()],
  ["an end within the headers", "reset", (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-le")],
  ["what is no HTTP", "protocol", (socket) => socket.end("Good morning.\r\n\r\n")]
]

const head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"

const withinBody: ReadonlyArray<readonly [string, TransportErrorKind, (socket: Net.Socket) => void]> = [
  ["a reset", "reset", (socket) => {
    socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`)
    setTimeout(() => socket.resetAndDestroy(), 20)
  }],
  ["an end before the last chunk", "reset", (socket) => {
    socket.end(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`)
  }],
  ["an end before the length that was said", "reset", (socket) => {
    socket.end(`${head}content-length: 100\r\n\r\nfirst`)
  }],
  ["a chunk that is none", "protocol", (socket) => {
    socket.write(`${head}transfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n`)
    setTimeout(() => socket.end("what?\r\n"), 20)
  }]
]

describe("a failure of the network", () => {
  it.live("is `connect` when nobody listens: nothing was sent", () =>
    Effect.gen(function*() {
      const error = yield* failureOf(`http://127.0.0.1:${yield* closedPort}`)
      assert.deepInclude(error, { kind: "connect", code: "ECONNREFUSED", unsent: true })
    }))

  it.live("is `dns` when the name is not known: nothing was sent", () =>
    Effect.gen(function*() {
      const error = yield* failureOf("http://no-such-host.invalid")
      assert.deepInclude(error, { kind: "dns", unsent: true })
    }))

  it.live("is `tls` when the port speaks something else: nothing was sent", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"))
      const error = yield* failureOf(`https://127.0.0.1:${port}`)
      assert.deepInclude(error, { kind: "tls", unsent: true })
    }))

  it.live("is `connect-timeout` when the handshake takes too long: nothing was sent", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp(() => {})
      const start = performance.now()
      const error = yield* failureOf(`https://127.0.0.1:${port}`)
      assert.deepInclude(error, { kind: "connect-timeout", unsent: true })
      assert.isBelow(performance.now() - start, 2_500)
    }))

  it.live("is `connect` when the connection ends in the handshake", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.resetAndDestroy())
      const error = yield* failureOf(`https://127.0.0.1:${port}`)
      assert.include(["connect", "tls"], error.kind)
      assert.isTrue(error.unsent)
    }))

  for (const [name, kind, heard] of afterSending) {
    it.live(`is \`${kind}\` when the answer is ${name}: it may have been processed`, () =>
      Effect.gen(function*() {
        const { port } = yield* tcp(heard)
        const error = yield* failureOf(`http://127.0.0.1:${port}`)
        assert.deepInclude(error, { kind, unsent: false })
      }))
  }

  for (const [name, kind, heard] of withinBody) {
    it.live(`is \`${kind}\` when the body ends by ${name}`, () =>
      Effect.gen(function*() {
        const { port } = yield* tcp(heard)
        const pulled = yield* send(`http://127.0.0.1:${port}`)
        assert.strictEqual(String(yield* pulled.pull), "first")
        const failed = yield* Effect.flip(pulled.pull)
        assert.isFalse(Cause.isDone(failed), "It ended as if all were well")
        assert.deepInclude(failed, { kind, unsent: false })
        const whole = yield* send(`http://127.0.0.1:${port}`)
        assert.deepInclude(yield* Effect.flip(whole.text), { kind, unsent: false })
      }))
  }

  it.live("shows neither a header nor a body of the request, however it is printed", () =>
    Effect.gen(function*() {
      const { port } = yield* tcp((socket) => socket.end("Good morning.\r\n\r\n"))
      const refused = yield* closedPort
      for (const origin of [`http://127.0.0.1:${port}`, `http://127.0.0.1:${refused}`, `https://127.0.0.1:${port}`]) {
        const error = yield* failureOf(origin)
        const printed = [inspect(error, { depth: 20, showHidden: true }), String(error), JSON.stringify(error)].join()
        assert.notMatch(printed, /secret/)
      }
    }))
})
