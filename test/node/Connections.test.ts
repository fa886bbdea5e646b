import type { Connection, TransportRequest } from "#core/transport/Transport"
import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { answer, balancing, chatUrl, completion, hello, post, service, streaming } from "../support/PlainBalancer.ts"
import { type Handler, listen, type PlainServer } from "../support/PlainServer.ts"
import { eventually, pause } from "../support/Served.ts"

const serve = (handler: Handler) =>
  Effect.acquireRelease(
    Effect.promise(() => listen(handler)),
    (server) => Effect.promise(() => server[Symbol.asyncDispose]())
  )

const request = (server: { readonly url: string }, more: Partial<TransportRequest> = {}): TransportRequest => ({
  resource: "east",
  origin: server.url,
  path: "/v1/chat/completions",
  method: "POST",
  headers: { "content-type": "application/json" },
  body: "{}",
  ...more
})

const repeatable = { isRepeatable: true }

/** A server whose connections can be lost without a word: whatever is sent on one of those is answered by a reset. */
interface Losing extends AsyncDisposable {
  readonly url: string
  /** Loses those that are open, or, with `"all"`, those to come too. */
  readonly lose: (which?: "all") => void
  /** Requests that arrived, those that were lost included. */
  readonly arrived: () => number
}

const losing = async (
  answerWith: (response: Http.ServerResponse) => void = (response) => void response.end(JSON.stringify(answer)),
  reset: (socket: Socket) => void = (socket) => socket.resetAndDestroy()
): Promise<Losing> => {
  const open = new Set<Socket>()
  const lost = new Set<Socket>()
  const reported = new Set<Socket>()
  let losesAll = false
  let arrived = 0
  const server = Http.createServer({ keepAliveTimeout: 60_000 }, (asked, response) => {
    asked.resume()
    asked.on("end", () => {
      if (reported.has(asked.socket)) return
      arrived++
      response.setHeader("content-type", "application/json")
      answerWith(response)
    })
  })
  server.on("connection", (socket) => {
    open.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => open.delete(socket))
    socket.prependListener("data", () => {
      if (reported.has(socket) || (!losesAll && !lost.has(socket))) return
      reported.add(socket)
      arrived++
      reset(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    lose: (which) => {
      losesAll = which === "all"
      for (const socket of open) lost.add(socket)
    },
    arrived: () => arrived,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      })
  }
}

const lose = (...given: Parameters<typeof losing>) =>
  Effect.acquireRelease(
    Effect.promise(() => losing(...given)),
    (server) => Effect.promise(() => server[Symbol.asyncDispose]())
  )

const answerSlowly = (response: Http.ServerResponse) => setTimeout(() => response.end(JSON.stringify(answer)), 100)
const read = async (responses: ReadonlyArray<Response>) => {
  for (const response of responses) assert.deepStrictEqual([response.status, await response.json()], [200, answer])
}
describe("connections whose far end is gone", () => {
  it("are noticed by no caller and held against nobody, 90 of them at once", async () => {
    await using a = await losing(answerSlowly)
    await using b = await losing(answerSlowly)
    await using c = await losing(answerSlowly)
    await using lb = createLoadBalancer(balancing(service("a", a.url), service("b", b.url), service("c", c.url)))
    const askAll = () => Promise.all(Array.from({ length: 90 }, () => lb.fetch(chatUrl, post(hello))))
    await read(await askAll())
    for (const server of [a, b, c]) server.lose()
    await read(await askAll())
    const { deployments, resources } = lb.snapshot()
    for (const { totals } of deployments) assert.deepInclude(totals, { failed: 0 })
    for (const { state } of [...deployments, ...resources]) assert.strictEqual(state, "healthy")
  })

  const ends: ReadonlyArray<readonly [string, (socket: Socket) => void]> = [
    ["reset", (socket) => void socket.resetAndDestroy()],
    ["closed", (socket) => void socket.destroy()]
  ]
  it.live.each(ends)(
    "are replaced, and what was sent on one is sent once more, on a new one: %s",
    ([, end]) =>
      Effect.gen(function*() {
        const server = yield* lose(undefined, end)
        const { send } = yield* UndiciTransport.make()
        yield* (yield* send(request(server, repeatable))).text
        server.lose()
        yield* Effect.sleep(10)
        assert.strictEqual((yield* send(request(server, repeatable))).status, 200)
        assert.strictEqual(server.arrived(), 3)
      })
  )

  it.live("that are lost again at once fail, after one repetition", () =>
    Effect.gen(function*() {
      const server = yield* lose()
      const { send } = yield* UndiciTransport.make()
      yield* (yield* send(request(server, repeatable))).text
      server.lose("all")
      yield* Effect.sleep(10)
      assert.deepInclude(yield* Effect.flip(send(request(server, repeatable))), { kind: "reset", blameless: false })
      assert.strictEqual(server.arrived(), 3)
    }))

  it.live("are nobody's fault where nothing may be sent again, and nothing is", () =>
    Effect.gen(function*() {
      const server = yield* lose()
      const { send } = yield* UndiciTransport.make()
      yield* (yield* send(request(server))).text
      server.lose()
      yield* Effect.sleep(10)
      const error = yield* Effect.flip(send(request(server)))
      assert.deepInclude(error, { kind: "stale", blameless: true, unsent: false })
      assert.strictEqual(server.arrived(), 2)
    }))

  it("open no breaker, where nothing may be sent again", async () => {
    await using server = await losing()
    await using lb = createLoadBalancer(balancing(service("a", server.url)))
    const upload = () => lb.fetch("https://api.openai.com/v1/batches", post({ input_file_id: "x" }))
    for (let i = 0; i < 8; i++) {
      await (await upload()).text()
      server.lose()
      await pause(10)
      assert.strictEqual((await upload()).status, 503)
    }
    const { deployments, resources } = lb.snapshot()
    for (const { state } of [...deployments, ...resources]) assert.strictEqual(state, "healthy")
  })

  it.live("are not taken for those that are new, or that had begun to answer", () =>
    Effect.gen(function*() {
      const fresh = yield* lose()
      const { send } = yield* UndiciTransport.make()
      fresh.lose("all")
      assert.deepInclude(yield* Effect.flip(send(request(fresh, repeatable))), { kind: "reset" })
      assert.strictEqual(fresh.arrived(), 1)
      const begun = yield* lose(undefined, (socket) => {
        socket.write("HTTP/1.1 200 OK\r\ncontent-le")
        setTimeout(() => socket.resetAndDestroy(), 20)
      })
      yield* (yield* send(request(begun, repeatable))).text
      begun.lose("all")
      yield* Effect.sleep(10)
      assert.deepInclude(yield* Effect.flip(send(request(begun, repeatable))), { kind: "reset" })
      assert.strictEqual(begun.arrived(), 2)
    }))
})

describe("the age of connections", () => {
  it.live("is bounded, so that a change of address is followed", () =>
    Effect.gen(function*() {
      const server = yield* serve(completion)
      const young = yield* UndiciTransport.make({ maxAge: 60_000 })
      const old = yield* UndiciTransport.make({ maxAge: 20 })
      const ask = ({ send }: typeof young) => Effect.flatMap(send(request(server)), ({ text }) => text)
      for (const transport of [young, old]) {
        yield* ask(transport)
        yield* Effect.sleep(50)
        yield* ask(transport)
      }
      yield* Effect.promise(() => eventually(() => server.connections().open === 2))
      assert.strictEqual(server.connections().made, 3)
    }))
})

const connection = (controller: AbortController): Connection => ({
  proxy: undefined,
  tls: undefined,
  removed: controller.signal
})

describe("connections of a resource that is removed", () => {
  it.live("are closed, those in use when their requests have ended", () =>
    Effect.gen(function*() {
      const held: Array<Http.ServerResponse> = []
      const server = yield* serve(({ url }, response) => {
        if (url !== "/stream") return void response.end("fine")
        response.write("first")
        held.push(response)
      })
      const { send } = yield* UndiciTransport.make()
      const controller = new AbortController()
      const through = { connection: connection(controller) }
      const stream = yield* send(request(server, { ...through, path: "/stream" }))
      assert.strictEqual(String(yield* stream.pull), "first")
      yield* (yield* send(request(server, through))).text
      yield* Effect.promise(() => eventually(() => server.connections().open === 2))
      controller.abort()
      yield* Effect.promise(() => eventually(() => server.connections().open === 1))
      held[0]!.end("last")
      assert.strictEqual(String(yield* stream.pull), "last")
      yield* Effect.promise(() => eventually(() => server.connections().open === 0))
    }))

  it("are so by a balancer's `remove`, and not while a deployment is left", async () => {
    await using a = await listen(completion)
    await using b = await listen(completion)
    const two = { ...service("a", a.url), deployments: [{ name: "m" }, { name: "n" }] }
    await using lb = createLoadBalancer(balancing(two, service("b", b.url)))
    for (let i = 0; i < 20; i++) await (await lb.fetch(chatUrl, post(hello))).text()
    const { open } = a.connections()
    assert.isAbove(open, 0)
    await lb.deployments.remove("a/m")
    await pause(30)
    assert.strictEqual(a.connections().open, open)
    await lb.deployments.remove("a/n")
    await eventually(() => a.connections().open === 0)
    await lb.deployments.add(service("a", a.url))
    for (let i = 0; i < 20; i++) await (await lb.fetch(chatUrl, post(hello))).text()
    assert.isAbove(a.connections().open, 0)
  })
})

/** TLS settings whose look-up of names ends like this, so many times. */
const trouble = (code: string, times: number) => {
  let looked = 0
  return {
    looked: () => looked,
    tls: {
      autoSelectFamily: false,
      lookup: (
        _host: string,
        _options: object,
        done: (error: Error | null, address?: string, family?: number) => void
      ) => ++looked <= times ? done(Object.assign(new Error(code), { code })) : done(null, "127.0.0.1", 4)
    }
  }
}
const named = ({ url }: PlainServer) => ({ url: url.replace("127.0.0.1", "localhost") })

describe("this machine's own trouble", () => {
  for (const code of ["EMFILE", "ENFILE", "EADDRNOTAVAIL", "ENOBUFS"]) {
    it.live(`is waited out: ${code}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(completion)
        const { looked, tls } = trouble(code, 2)
        const { send } = yield* UndiciTransport.make({ tls })
        assert.strictEqual((yield* send(request(named(server)))).status, 200)
        assert.strictEqual(looked(), 3)
      }))
  }

  it.live("is no longer waited out than connecting may take, and says what it is", () =>
    Effect.gen(function*() {
      const { looked, tls } = trouble("EMFILE", Infinity)
      const { send } = yield* UndiciTransport.make({ tls, connectTimeout: 300 })
      const error = yield* Effect.flip(send(request({ url: "http://localhost:9" })))
      assert.deepInclude(error, { kind: "local", code: "EMFILE", unsent: true, blameless: true })
      assert.strictEqual(error.message, "local (EMFILE)")
      assert.isAtLeast(looked(), 2)
    }))

  it.live("is given up with its caller", () =>
    Effect.gen(function*() {
      const { looked, tls } = trouble("EMFILE", Infinity)
      const { send } = yield* UndiciTransport.make({ tls })
      const asked = yield* Effect.forkChild(send(request({ url: "http://localhost:9" })))
      yield* Effect.promise(() => eventually(() => looked() > 0))
      yield* Fiber.interrupt(asked)
      const before = looked()
      yield* Effect.sleep(150)
      assert.strictEqual(looked(), before)
    }))

  it("is held against no resource and no deployment", async () => {
    const { tls } = trouble("EMFILE", Infinity)
    const transport = UndiciTransport.layer({ tls, connectTimeout: 20 })
    const at = "http://localhost:9"
    const failover = { backoff: 1, maxBackoff: 1, budgetPerSecond: 100 }
    await using lb = createLoadBalancer({ ...balancing(service("a", at), service("b", at)), failover }, { transport })
    for (let i = 0; i < 12; i++) {
      const response = await lb.fetch(chatUrl, post(hello))
      assert.strictEqual(response.status, 503)
      assert.include(await response.text(), "local (EMFILE)")
    }
    const { deployments, resources } = lb.snapshot()
    for (const { state } of [...deployments, ...resources]) assert.strictEqual(state, "healthy")
  })
})

describe("more requests than connections", () => {
  it.live("wait for one, for as long as connecting may take, and are given up unsent", () =>
    Effect.gen(function*() {
      const held: Array<Http.ServerResponse> = []
      const server = yield* serve((_, response) => {
        response.write("first")
        held.push(response)
      })
      const impatient = yield* UndiciTransport.make({ connections: 2, connectTimeout: 500 })
      for (let i = 0; i < 2; i++) yield* impatient.send(request(server))
      const error = yield* Effect.flip(impatient.send(request(server)))
      assert.deepInclude(error, { kind: "local", code: "every connection is in use", unsent: true, blameless: true })
      assert.lengthOf(server.received, 2)
      const patient = yield* UndiciTransport.make({ connections: 1 })
      yield* patient.send(request(server))
      const waiting = yield* Effect.forkChild(patient.send(request(server)))
      yield* Effect.sleep(30)
      assert.lengthOf(server.received, 3)
      held[2]!.end()
      assert.strictEqual((yield* Fiber.join(waiting)).status, 200)
      assert.lengthOf(server.received, 4)
    }))

  it("are served by another resource, and held against none", async () => {
    await using a = await listen(streaming(["{", "}"], { stalls: true }))
    await using b = await listen(completion)
    const transport = UndiciTransport.layer({ connections: 2, connectTimeout: 1_000 })
    await using lb = createLoadBalancer(
      balancing(service("a", a.url), service("b", b.url, { tier: 2 })),
      { transport }
    )
    const hanging = [1, 2].map(() => lb.fetch(chatUrl, post(hello)).catch(() => undefined))
    await eventually(() => a.received.length === 2)
    const others = await Promise.all(Array.from({ length: 6 }, () => lb.fetch(chatUrl, post(hello))))
    for (const { status } of others) assert.strictEqual(status, 200)
    assert.strictEqual(lb.snapshot().resources[0]!.state, "healthy")
    assert.lengthOf(a.received, 2)
    await lb.close()
    await Promise.all(hanging)
  })
})
