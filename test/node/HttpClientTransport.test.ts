import * as HttpClientTransport from "#core/transport/HttpClientTransport"
import { Transport } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { HealthMonitor, LoadBalancer, Telemetry } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import { inSmallSteps, letRun } from "../support/Interleaving.ts"
import { answer, balancing, chatUrl, completion, hello, post, service } from "../support/PlainBalancer.ts"
import { type Handler, json, listen } from "../support/PlainServer.ts"
import { eventually } from "../support/Served.ts"

const overFetch = HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer))

const send = (origin: string) =>
  Effect.flatMap(Transport, (transport) =>
    transport.send({
      resource: "east",
      origin,
      path: "/v1/chat/completions?x=%20",
      method: "POST",
      headers: { "content-type": "application/json", "api-key": "secret-key" },
      body: "{}"
    }))

const redirectTo = (location: string, status = 307): Handler => (_, response) => {
  response.writeHead(status, { location })
  response.end()
}

/** A fetch that follows redirects whatever it is told. */
const following: typeof fetch = (input, init) => fetch(input, { ...init, redirect: "follow" })

describe("a transport over a client of fetch", () => {
  it("gives the answer, whole and in parts", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("a", server.url)), { transport: overFetch })
    const response = await lb.fetch(chatUrl, post(hello))
    assert.deepStrictEqual([response.status, await response.json()], [200, answer])
    const raw = await lb.fetch("https://api.openai.com/v1/models")
    assert.deepStrictEqual(await raw.json(), answer)
  })

  for (const status of [301, 302, 303, 307, 308]) {
    it(`never follows a redirect: ${status}`, async () => {
      await using elsewhere = await listen(completion)
      await using east = await listen(redirectTo(`${elsewhere.url}/v1/chat/completions`, status))
      await using west = await listen(completion)
      await using lb = createLoadBalancer(
        balancing(service("east", east.url), service("west", west.url, { tier: 2 })),
        { transport: overFetch }
      )
      const response = await lb.fetch(chatUrl, post(hello))
      assert.deepStrictEqual([response.status, await response.json()], [200, answer])
      assert.lengthOf(east.received, 1)
      assert.lengthOf(elsewhere.received, 0)
      assert.deepInclude(lb.snapshot().deployments[0]!.totals, { failed: 1 })
    })
  }

  it("leaves no connection behind where the body of a redirect does not end", async () => {
    await using server = await listen((_, response) => {
      response.writeHead(307, { location: "https://elsewhere.example/" })
      response.write("moved")
    })
    await Effect.runPromise(Effect.map(send(server.url), ({ abort }) => abort()).pipe(Effect.provide(overFetch)))
    await eventually(() => server.connections().open === 0)
  })

  it.live("fails where a redirect was followed all the same, and gives no byte of that answer", () =>
    Effect.gen(function*() {
      const elsewhere = yield* Effect.acquireRelease(
        Effect.promise(() => listen((_, response) => json(response, { stolen: true }))),
        (server) => Effect.promise(() => server[Symbol.asyncDispose]())
      )
      for (const target of [elsewhere.url, ""]) {
        const handler: Handler = (received, response) =>
          received.url.startsWith("/moved") ? json(response, {}) : redirectTo(`${target}/moved`)(received, response)
        const server = yield* Effect.acquireRelease(
          Effect.promise(() => listen(handler)),
          (server) => Effect.promise(() => server[Symbol.asyncDispose]())
        )
        const error = yield* Effect.flip(send(server.url)).pipe(
          Effect.provide(overFetch),
          Effect.provideService(FetchHttpClient.Fetch, following)
        )
        assert.deepInclude(error, { kind: "protocol", code: "redirect", unsent: false })
      }
    }))

  it("sends nothing round a resource's own proxy or TLS, and says so", async () => {
    await using server = await listen(completion)
    for (const more of [{ proxy: server.url }, { proxy: "http://u:hunter2@proxy.example" }]) {
      const resource = { ...service("a", server.url), ...more }
      await using lb = createLoadBalancer({ ...balancing(resource), failover: { attempts: 1 } }, {
        transport: overFetch
      })
      const response = await lb.fetch(chatUrl, post(hello))
      assert.strictEqual(response.status, 503)
      const text = await response.text()
      assert.include(text, "need UndiciTransport")
      assert.notInclude(text, "hunter2")
    }
    assert.lengthOf(server.received, 0)
  })

  it.effect("takes an opaque redirect, whose status is 0, for a failure", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(send("https://east.example")).pipe(
        Effect.provide(overFetch),
        Effect.provideService(FetchHttpClient.Fetch, async () => Response.error())
      )
      assert.deepInclude(error, { kind: "protocol", code: "redirect" })
    }))

  it.effect("keeps what else the client was told of its fetch", () => {
    const seen: Array<RequestInit | undefined> = []
    const spy: typeof fetch = async (_, init) => {
      seen.push(init)
      return new Response("{}")
    }
    const init = Layer.succeed(FetchHttpClient.RequestInit, { cache: "no-store", redirect: "follow" })
    const fetching = FetchHttpClient.layer.pipe(Layer.provide(init))
    return Effect.gen(function*() {
      yield* send("https://east.example")
      assert.deepInclude(seen[0], { cache: "no-store", redirect: "manual" })
    }).pipe(
      Effect.provide(HttpClientTransport.layer.pipe(Layer.provide(fetching))),
      Effect.provideService(FetchHttpClient.Fetch, spy)
    )
  })

  it.effect("closes an answer whose caller is interrupted at any operation", () => {
    let answered = 0
    let open = 0
    const endless: typeof fetch = async (_, init) => {
      answered++
      open++
      init!.signal!.addEventListener("abort", () => open--)
      return new Response(new ReadableStream({ pull: () => new Promise(() => {}) }))
    }
    const balancer = LoadBalancer.layer(balancing(service("east", "https://east.example")), {
      healthMonitor: HealthMonitor.layerNone,
      telemetry: Telemetry.layerNoop
    })
    return Effect.gen(function*() {
      const lb = yield* LoadBalancer
      for (let step = 1; step <= 80; step++) {
        const fiber = yield* Effect.forkChild(inSmallSteps(lb.chat(hello)))
        yield* Effect.repeat(Effect.yieldNow, { times: step })
        yield* Fiber.interrupt(fiber)
        yield* letRun
        assert.strictEqual(open, 0, `after ${step} operations`)
      }
      assert.isAbove(answered, 0)
    }).pipe(
      Effect.provide(Layer.provide(balancer, overFetch)),
      Effect.provideService(FetchHttpClient.Fetch, endless)
    )
  })
})
