import type { TransportRequest, TransportResponse } from "#core/transport/Transport"
import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { ServerResponse } from "node:http"
import { type Handler, listen, type PlainServer } from "../support/PlainServer.ts"
import { eventually } from "../support/Served.ts"

const serve = (handler: Handler) =>
  Effect.acquireRelease(
    Effect.promise(() => listen(handler)),
    (server) => Effect.promise(() => server[Symbol.asyncDispose]())
  )

const until = (holds: () => boolean, what?: string) => Effect.promise(() => eventually(holds, what))

const request = (server: PlainServer, more: Partial<TransportRequest> = {}): TransportRequest => ({
  resource: "east",
  origin: server.url,
  path: "/v1/chat/completions",
  method: "POST",
  headers: { "content-type": "application/json", "api-key": "secret-key" },
  body: "{}",
  ...more
})

/** Every chunk up to the end. */
const readAll = (response: TransportResponse) =>
  Effect.gen(function*() {
    const chunks: Array<Uint8Array> = []
    while (true) {
      const exit = yield* Effect.exit(response.pull)
      if (Exit.isSuccess(exit)) chunks.push(exit.value)
      else if (Cause.hasInterrupts(exit.cause) || !isDone(exit.cause)) return yield* exit
      else return Buffer.concat(chunks)
    }
  })

const isDone = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) => Cause.isFailReason(reason) && Cause.isDone(reason.error))

const ok: Handler = (_, response) => response.end("fine")

/** An answer that has begun and goes on. */
const begun = (response: ServerResponse, first = "first"): void => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.write(first)
}

describe("connections", () => {
  it.live("are used again, call after call and after a stream that ended", () =>
    Effect.gen(function*() {
      const server = yield* serve(ok)
      const { send } = yield* UndiciTransport.make()
      for (let i = 0; i < 5; i++) {
        const response = yield* send(request(server))
        assert.strictEqual(response.status, 200)
        const text = i % 2 === 0 ? yield* response.text : String(yield* readAll(response))
        assert.strictEqual(text, "fine")
        yield* Effect.sleep(5)
      }
      assert.deepStrictEqual(server.connections(), { made: 1, open: 1 })
    }))

  it.live("are as many as there are calls at once, or as allowed", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => setTimeout(() => response.end("fine"), 30))
      const free = yield* UndiciTransport.make()
      const narrow = yield* UndiciTransport.make({ connections: 2 })
      const ask = ({ send }: typeof free) => Effect.flatMap(send(request(server)), ({ text }) => text)
      yield* Effect.all(Array.from({ length: 10 }, () => ask(free)), { concurrency: "unbounded" })
      assert.strictEqual(server.connections().made, 10)
      yield* Effect.all(Array.from({ length: 10 }, () => ask(narrow)), { concurrency: "unbounded" })
      assert.strictEqual(server.connections().made, 12)
    }))

  it.live("are not shared by resources, even at one origin", () =>
    Effect.gen(function*() {
      const server = yield* serve(ok)
      const { send } = yield* UndiciTransport.make()
      for (const resource of ["east", "west", "east", "west"]) {
        const response = yield* send(request(server, { resource }))
        yield* response.text
        yield* Effect.sleep(5)
      }
      assert.strictEqual(server.connections().made, 2)
    }))

  it.live("are made anew when the server closed them while idle", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        const { socket } = response
        response.end("fine", () => setTimeout(() => socket?.destroy(), 1))
      })
      const { send } = yield* UndiciTransport.make()
      for (let i = 1; i < 4; i++) {
        const { text } = yield* send(request(server))
        assert.strictEqual(yield* text, "fine")
        yield* until(() => server.connections().open === 0)
        yield* Effect.sleep(5)
        assert.strictEqual(server.connections().made, i)
      }
    }))

  it.live("are closed with the scope, and what waits for an answer fails", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => begun(response))
      const scope = yield* Scope.make()
      const { send } = yield* Scope.provide(UndiciTransport.make(), scope)
      const response = yield* send(request(server))
      yield* response.pull
      const pulled = yield* Effect.forkChild(Effect.exit(response.pull))
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(pulled)))
      yield* until(() => server.connections().open === 0)
    }))
})

describe("giving up", () => {
  it.live("before the headers closes the socket", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => {})
      const { send } = yield* UndiciTransport.make()
      const asked = yield* Effect.forkChild(send(request(server)))
      yield* until(() => server.received.length === 1)
      yield* Fiber.interrupt(asked)
      yield* until(() => server.connections().open === 0)
      assert.strictEqual(server.received.length, 1)
    }))

  it.live("while it waits for a connection sends nothing, and costs no connection", () =>
    Effect.gen(function*() {
      let answerFirst: (() => void) | undefined
      const server = yield* serve((_, response) => {
        if (answerFirst === undefined) answerFirst = () => response.end("fine")
        else response.end("fine")
      })
      const { send } = yield* UndiciTransport.make({ connections: 1 })
      const first = yield* Effect.forkChild(Effect.flatMap(send(request(server)), ({ text }) => text))
      yield* until(() => server.received.length === 1)
      const waiting = yield* Effect.forkChild(send(request(server, { path: "/never" })))
      yield* Effect.sleep(10)
      yield* Fiber.interrupt(waiting)
      answerFirst!()
      assert.strictEqual(yield* Fiber.join(first), "fine")
      yield* Effect.flatMap(send(request(server, { path: "/later" })), ({ text }) => text)
      assert.deepStrictEqual(server.received.map(({ url }) => url), ["/v1/chat/completions", "/later"])
      assert.strictEqual(server.connections().made, 1)
    }))

  it.live("while the request is under way sends no more of it", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => {})
      const { send } = yield* UndiciTransport.make()
      const asked = yield* Effect.forkChild(send(request(server, { body: "x".repeat(64 * 1024 * 1024) })))
      yield* until(() => server.connections().open === 1)
      yield* Fiber.interrupt(asked)
      yield* until(() => server.connections().open === 0)
      assert.strictEqual(server.received.length, 0)
    }))

  it.live("a body closes the socket, and ends a pull that waits", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => begun(response))
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server))
      assert.strictEqual(String(yield* response.pull), "first")
      const waiting = yield* Effect.forkChild(Effect.exit(response.pull))
      yield* Effect.yieldNow
      response.abort()
      response.abort()
      assert.isTrue(Exit.isFailure(yield* Fiber.join(waiting)))
      yield* until(() => server.connections().open === 0)
    }))

  it.live("a body that has ended leaves the connection as it is", () =>
    Effect.gen(function*() {
      const server = yield* serve(ok)
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server))
      yield* readAll(response)
      response.abort()
      response.discard()
      yield* Effect.sleep(10)
      assert.deepStrictEqual(server.connections(), { made: 1, open: 1 })
    }))

  it.live("a rest that ends soon keeps the connection; one that does not closes it", () =>
    Effect.gen(function*() {
      const held: Array<ServerResponse> = []
      const server = yield* serve((_, response) => {
        begun(response)
        held.push(response)
      })
      const { send } = yield* UndiciTransport.make()
      const ask = Effect.gen(function*() {
        const response = yield* send(request(server))
        yield* response.pull
        response.discard()
        response.discard()
      })
      yield* ask
      held[0]!.write("x".repeat(300_000))
      held[0]!.end("the rest")
      yield* until(() => held[0]!.writableFinished)
      yield* Effect.sleep(100)
      yield* ask
      assert.deepStrictEqual(server.connections(), { made: 1, open: 1 })
      yield* until(() => server.connections().open === 0)
    }))
})

describe("a body", () => {
  it.live("comes as it is sent, chunk by chunk", () =>
    Effect.gen(function*() {
      const held: Array<ServerResponse> = []
      const server = yield* serve((_, response) => {
        begun(response)
        held.push(response)
      })
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server))
      assert.strictEqual(String(yield* response.pull), "first")
      held[0]!.write("second")
      assert.strictEqual(String(yield* response.pull), "second")
      held[0]!.end()
      assert.strictEqual((yield* readAll(response)).length, 0)
    }))

  it.live("loses nothing to a pull that was interrupted", () =>
    Effect.gen(function*() {
      const held: Array<ServerResponse> = []
      const server = yield* serve((_, response) => {
        begun(response)
        held.push(response)
      })
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server))
      assert.strictEqual(String(yield* response.pull), "first")
      yield* Fiber.interrupt(yield* Effect.forkChild(response.pull, { startImmediately: true }))
      held[0]!.end("second")
      assert.strictEqual(String(yield* readAll(response)), "second")
    }))

  it.live("holds a fast server back while nobody reads, and is whole at the end", () =>
    Effect.gen(function*() {
      const total = 64
      let written = 0
      const server = yield* serve((_, response) => {
        const chunk = Buffer.alloc(1024 * 1024, "x")
        const write = (): void => {
          while (written < total) {
            written++
            if (!response.write(chunk)) return void response.once("drain", write)
          }
          response.end()
        }
        write()
      })
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server))
      yield* response.pull
      yield* Effect.sleep(150)
      // what the system's own buffers of a loopback connection take, and little more
      assert.isBelow(written, total / 2)
      const before = written
      yield* Effect.sleep(50)
      assert.isAtMost(written, before + 1)
      let rest = 0
      while (true) {
        const exit = yield* Effect.exit(response.pull)
        if (Exit.isFailure(exit)) break
        rest += exit.value.length
      }
      assert.strictEqual(written, total)
      assert.isAbove(rest, total * 1024 * 1024 - 200_000)
    }))

  it.live("may be large, both ways, and keeps every character", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ body }, response) => response.end(body))
      const { send } = yield* UndiciTransport.make()
      const text = "naïve €uro 🚢 ".repeat(300_000)
      for (const body of [text, new TextEncoder().encode(text)]) {
        const response = yield* send(request(server, { body }))
        assert.isTrue((yield* response.text) === text)
      }
      const again = yield* send(request(server, { body: text }))
      assert.isTrue(String(yield* readAll(again)) === text)
      assert.strictEqual(server.received[0]!.headers["content-length"], String(Buffer.byteLength(text)))
    }))

  it.live("may be nothing", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeHead(204)
        response.end()
      })
      const { send } = yield* UndiciTransport.make()
      const response = yield* send(request(server, { method: "DELETE", body: undefined }))
      assert.deepStrictEqual([response.status, yield* response.text], [204, ""])
      assert.strictEqual(server.received[0]!.body.length, 0)
    }))
})

describe("headers", () => {
  it.live("come in lower case, those that repeat joined, and are sent as they are given", () =>
    Effect.gen(function*() {
      const server = yield* serve((_, response) => {
        response.writeProcessing()
        response.writeEarlyHints({ link: "</x>; rel=preload" })
        response.writeHead(200, { "X-One": "1", "X-Two": ["a", "b"], "Set-Cookie": ["a=1", "b=2"] })
        response.end()
      })
      const { send } = yield* UndiciTransport.make()
      const { headers, status } = yield* send(request(server))
      assert.strictEqual(status, 200)
      assert.deepInclude(headers, { "x-one": "1", "x-two": "a, b", "set-cookie": "a=1, b=2" })
      assert.notProperty(headers, "link")
      assert.sameMembers(Object.keys(server.received[0]!.headers), [
        "host",
        "connection",
        "content-type",
        "api-key",
        "content-length",
        // what is compressed all the same is not given out as if it were not
        "accept-encoding"
      ])
    }))
})
