import { TransportError } from "#core/transport/Transport"
import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import { Effect } from "effect"
import * as Diagnostics from "node:diagnostics_channel"
import { getEventListeners } from "node:events"
import type { Socket } from "node:net"
import { runChild } from "../support/Child.ts"
import {
  balancing,
  chatUrl,
  completion,
  errorOf,
  hello,
  jsonHeaders,
  post,
  service,
  within
} from "../support/PlainBalancer.ts"
import { type Handler, json, listen } from "../support/PlainServer.ts"
import { eventually, failureOf, inFlight, messages, pause, resource, serve } from "../support/Served.ts"

/** A stream that begins and goes no further. */
const stalls: Handler = (_, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" })
  const delta = { role: "assistant", content: "a" }
  response.write(`data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta, finish_reason: null }] })}\n\n`)
}

/** A form with these models. */
const formOf = (...models: ReadonlyArray<string>) => {
  const form = new FormData()
  for (const model of models) form.append("model", model)
  form.append("prompt", "A boat")
  return form
}

/** Arrays in arrays, too deep for anything that recurses. */
const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`

describe("what cannot be sent", () => {
  const wrong: ReadonlyArray<readonly [string, string, RequestInit]> = [
    ["a header with a control character", chatUrl, {
      ...post(hello),
      headers: { ...jsonHeaders, "x-client-request-id": "a\u0001b" }
    }],
    ["a method that is no token", "https://api.openai.com/v1/files", { method: "GE T" }]
  ]
  for (const [name, address, init] of wrong) {
    it(`is refused by fetch and blames no resource: ${name}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      for (let i = 0; i < 6; i++) {
        const response = await lb.fetch(address, init)
        assert.strictEqual(response.status, 400)
        assert.strictEqual((await errorOf(response)).code, "invalid_request")
      }
      assert.lengthOf(server.received, 0)
      assert.strictEqual(lb.snapshot().resources[0]!.state, "healthy")
    })
  }

  it("is no failure to connect where the transport is given it", async () => {
    await using server = await listen(completion)
    const send = Effect.gen(function*() {
      const transport = yield* UndiciTransport.make()
      const request = { resource: "r", origin: server.url, path: "/", method: "GET", body: undefined }
      return yield* Effect.flip(transport.send({ ...request, headers: { traceparent: "→" } }))
    })
    const { kind } = await Effect.runPromise(Effect.scoped(send))
    assert.strictEqual(kind, "protocol")
  })
})

describe("an abort", () => {
  it("is heard while a streamed body does not come", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const controller = new AbortController()
    const body = new ReadableStream({ pull: () => new Promise(() => {}) })
    const init = { method: "POST", headers: jsonHeaders, body, duplex: "half", signal: controller.signal }
    const failed = failureOf(lb.fetch(chatUrl, init as RequestInit))
    await pause(20)
    controller.abort()
    assert.propertyVal(await within(failed), "name", "AbortError")
    assert.lengthOf(server.received, 0)
  })
})

describe("an answer that nobody reads to its end", () => {
  for (const [name, isRead] of [["unread", false], ["half read", true]] as const) {
    it(`lets go of its caller's signal with its deadline: ${name}`, async () => {
      await using server = await listen(stalls)
      await using lb = createLoadBalancer({ ...balancing(service("r", server.url)), timeouts: { total: 1_000 } })
      const { signal } = new AbortController()
      const response = await lb.fetch(chatUrl, { ...post({ ...hello, stream: true }), signal })
      if (isRead) assert.isFalse((await response.body!.getReader().read()).done)
      assert.lengthOf(getEventListeners(signal, "abort"), 1)
      await eventually(() => getEventListeners(signal, "abort").length === 0 && inFlight(lb) === 0)
    })
  }
})

describe("an error of the network after the request was sent", () => {
  for (const code of ["EHOSTUNREACH", "ENETUNREACH", "EPROTO", "ERR_SSL_BAD_RECORD_MAC", "ECONNRESET"]) {
    it(`may have been processed: ${code}`, async () => {
      const sockets = new Map<number, Socket>()
      const connected = (message: unknown) => {
        const { socket } = message as { readonly socket: Socket }
        sockets.set(socket.localPort!, socket)
      }
      Diagnostics.subscribe("undici:client:connected", connected)
      await using server = await listen((_, response) => {
        const error = Object.assign(new Error(`read ${code}`), { code })
        sockets.get(response.socket!.remotePort!)!.destroy(error)
      })
      const send = Effect.gen(function*() {
        const transport = yield* UndiciTransport.make()
        const request = { resource: "r", origin: server.url, path: "/v1/fine_tuning/jobs", method: "POST" }
        return yield* Effect.flip(Effect.timeout(transport.send({ ...request, headers: {}, body: "{}" }), 2_000))
      })
      const error = await Effect.runPromise(Effect.scoped(send))
      Diagnostics.unsubscribe("undici:client:connected", connected)
      assert(error instanceof TransportError)
      assert.deepInclude(error, { kind: "reset", code })
      assert.isFalse(error.unsent)
      assert.lengthOf(server.received, 1)
    })
  }
})

describe("a form that names a model", () => {
  it("is sent once where sending it again could do more than cost twice", async () => {
    await using server = await listen((_, response) => json(response, { error: { message: "no" } }, 500))
    const two = [service("a", server.url), service("b", server.url)]
    await using lb = createLoadBalancer(balancing(...two))
    const response = await lb.fetch("https://api.openai.com/v1/videos", { method: "POST", body: formOf("m") })
    assert.isAtLeast(response.status, 500)
    assert.lengthOf(server.received, 1)
  })

  it("is of its session", async () => {
    await using server = await listen((_, response) => json(response, { text: "Hello." }))
    const three = ["a", "b", "c"].map((name) => service(name, server.url))
    await using lb = createLoadBalancer(balancing(...three))
    const { audio } = lb.session("user-1")
    for (let i = 0; i < 12; i++) {
      await audio.transcriptions.create({ model: "m", file: new File(["x"], "x.wav") })
    }
    const served = lb.snapshot().deployments.filter(({ totals }) => totals.attempts > 0)
    assert.lengthOf(served, 1)
    assert.strictEqual(lb.snapshot().sessions, 1)
  })

  it("keeps a second model as it is", async () => {
    await using server = await listen((_, response) => json(response, {}))
    await using lb = createLoadBalancer(balancing(service("a", server.url, { name: "served", model: "m" })))
    const init = { method: "POST", body: formOf("m", "second") }
    assert.strictEqual((await lb.fetch("https://api.openai.com/v1/audio/transcriptions", init)).status, 200)
    const [{ body, headers }] = server.received as [typeof server.received[number]]
    const sent = await new Response(new Uint8Array(body), { headers: { "content-type": headers["content-type"]! } })
      .formData()
    assert.deepStrictEqual(sent.getAll("model"), ["served", "second"])
  })
})

describe("JSON that is too deep to look into", () => {
  it("is told as an error in the answer of a service", async () => {
    await using server = await listen((_, response) => {
      response.writeHead(400, jsonHeaders)
      response.end(`{"error":{"message":"It is wrong.","param":${deep}}}`)
    })
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    assert.propertyVal(await within(failureOf(lb.openai.chat.completions.create(hello))), "status", 400)
  })
})

describe("a balancer that is closed", () => {
  it("ends events that are asked for afterwards", async () => {
    const lb = createLoadBalancer(balancing(service("r", "http://127.0.0.1:1")))
    await lb.close()
    assert.deepInclude(await within(lb.events().next()), { done: true })
  })
})

describe("an empty session of the official client", () => {
  it("is none", async () => {
    await using served = await serve([resource("a"), resource("b"), resource("c")])
    const { chat } = served.lb.session("")
    const asking = Array.from({ length: 30 }, () => chat.completions.create({ model: "gpt-4o", messages }))
    await Promise.all(asking)
    assert.strictEqual(served.lb.snapshot().sessions, 0)
    assert.isAbove(["a", "b", "c"].filter((name) => served.stats(name).requests > 0).length, 1)
  })
})

describe("createLoadBalancerFromEnvironment", () => {
  it("serves as EVENKEEL_CONFIG says", async () => {
    await using served = await serve([resource("east")])
    const [started] = served.simulator.resources
    const EVENKEEL_CONFIG = JSON.stringify({ resources: [started!.config()] })
    const { code, stderr, stdout } = await runChild("environment", [], { EVENKEEL_CONFIG })
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.deepStrictEqual(JSON.parse(stdout), { content: "Hello from here." })
    assert.isAtLeast(served.stats("east").requests, 1)
  }, 15_000)

  it("throws InvalidConfig where nothing is set", async () => {
    const { code, stderr, stdout } = await runChild("environment", [])
    assert.deepStrictEqual([code, stderr], [0, ""])
    const { message, tag } = JSON.parse(stdout) as { readonly tag: string; readonly message: string }
    assert.strictEqual(tag, "InvalidConfig")
    for (const name of ["EVENKEEL_CONFIG", "OPENAI_API_KEY"]) assert.include(message, name)
  }, 15_000)
})
