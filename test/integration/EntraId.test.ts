import { EntraTokens } from "#core/deployment/Credential"
import * as EntraId from "#node/EntraId"
import * as SimulatorServer from "#node/simulator/SimulatorServer"
import * as UndiciTransport from "#node/UndiciTransport"
import { getBearerTokenProvider } from "@azure/identity"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import type { ConfigInput } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { hello, resource } from "../support/Served.ts"

/**
 * `@azure/identity` with a credential that needs no cloud: its provider, which caches a token until it expires, is the
 * real one.
 */
const fakeIdentity = () => {
  const asked: Array<string> = []
  const counts = { loaded: 0, credentials: 0, providers: 0 }
  class FakeCredential {
    constructor() {
      counts.credentials++
    }
    async getToken(scopes: string | Array<string>) {
      asked.push(String(scopes))
      return { token: `token-${asked.length}`, expiresOnTimestamp: Date.now() + 3_600_000 }
    }
  }
  type Identity = Awaited<ReturnType<NonNullable<Parameters<typeof EntraId.makeTokens>[0]>>>
  const load = async (): Promise<Identity> => {
    counts.loaded++
    return {
      DefaultAzureCredential: FakeCredential as unknown as Identity["DefaultAzureCredential"],
      getBearerTokenProvider: (credential, scope) => {
        counts.providers++
        return getBearerTokenProvider(credential, scope)
      }
    }
  }
  return { asked, counts, load }
}

const names = ["east", "west", "north"]

const simulator = (bearerTokens: ReadonlyArray<string>) =>
  Effect.acquireDisposable(
    Effect.promise(() =>
      SimulatorServer.startSimulator({ resources: names.map((name) => resource(name, {}, { bearerTokens })) })
    )
  )

const balancer = (
  running: SimulatorServer.Simulator,
  identity: ReturnType<typeof fakeIdentity>,
  scopes: Readonly<Record<string, string>> = {}
) => {
  const config: ConfigInput = {
    resources: running.resources.map((started) => {
      const { apiKey: _, ...given } = started.config()
      return { ...given, auth: "entra", scope: scopes[started.name] }
    }),
    health: { check: { kind: "none" } }
  }
  return LoadBalancer.layer(config).pipe(
    Layer.provide(UndiciTransport.layer()),
    Layer.provide(Layer.succeed(EntraTokens, EntraId.makeTokens(identity.load)))
  )
}

const credentialsOf = (running: SimulatorServer.Simulator) =>
  Object.fromEntries(names.map((name) => [name, running.service(name).stats(0).credentials]))

describe("Entra ID", () => {
  it.live("is loaded with the first call, and shared by all resources of a scope", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1"])
      const identity = fakeIdentity()
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        assert.deepStrictEqual(identity.counts, { loaded: 0, credentials: 0, providers: 0 })
        yield* Effect.all(Array.from({ length: 30 }, () => lb.chat(hello)), { concurrency: "unbounded" })
      }).pipe(Effect.provide(balancer(running, identity)))
      assert.deepStrictEqual(identity.counts, { loaded: 1, credentials: 1, providers: 1 })
      assert.deepStrictEqual(identity.asked, ["https://ai.azure.com/.default"])
      const sent = ["Bearer token-1"]
      assert.deepStrictEqual(credentialsOf(running), { east: sent, west: sent, north: sent })
    }))

  it.live("has a token of its own for each scope", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1", "token-2"])
      const identity = fakeIdentity()
      const scope = "https://cognitiveservices.azure.com/.default"
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* Effect.all(Array.from({ length: 60 }, () => lb.chat(hello)), { concurrency: "unbounded" })
      }).pipe(Effect.provide(balancer(running, identity, { north: scope })))
      assert.strictEqual(identity.counts.providers, 2)
      assert.sameMembers(identity.asked, ["https://ai.azure.com/.default", scope])
      const { east, north, west } = credentialsOf(running)
      assert.deepStrictEqual(east, west)
      assert.notDeepEqual(east, north)
    }))

  it.live("renews the token once after a 401, on the same deployment, and nobody notices", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1"])
      const identity = fakeIdentity()
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* lb.chat(hello)
        for (const name of names) {
          running.service(name).setCredentials({ apiKey: "other", bearerTokens: ["token-2", "token-3", "token-4"] })
        }
        for (let i = 0; i < 12; i++) yield* lb.chat(hello)
        const { resources } = yield* lb.snapshot
        assert.isTrue(resources.every(({ state }) => state === "healthy"))
      }).pipe(Effect.provide(balancer(running, identity)))
      // a resource's first refusal renews; three resources need three at most
      const refused = names.reduce((sum, name) => sum + running.service(name).stats(0).unauthorized, 0)
      assert.isAtMost(refused, 3)
      assert.isAtMost(identity.asked.length, 4)
    }))

  it.live("asks for few new tokens when many calls are refused at once", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1"])
      const identity = fakeIdentity()
      const bearerTokens = Array.from({ length: 40 }, (_, i) => `token-${i + 2}`)
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        yield* lb.chat(hello)
        for (const name of names) running.service(name).setCredentials({ apiKey: "other", bearerTokens })
        yield* Effect.all(Array.from({ length: 30 }, () => lb.chat(hello)), { concurrency: "unbounded" })
      }).pipe(Effect.provide(balancer(running, identity)))
      assert.isBelow(identity.asked.length, 10)
    }))

  it.live("opens the resource when the new token is refused too, five times in a row", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1", "token-2", "token-3"])
      running.service("east").setCredentials({ apiKey: "other", bearerTokens: [] })
      const identity = fakeIdentity()
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        // until it was asked by five, twice each
        for (let i = 0; i < 200 && running.service("east").stats(0).requests < 10; i++) yield* lb.chat(hello)
        const { resources } = yield* lb.snapshot
        assert.strictEqual(resources.find(({ name }) => name === "east")!.state, "open")
      }).pipe(Effect.provide(balancer(running, identity)))
      // once with the token that was there, once with the renewed one
      assert.strictEqual(running.service("east").stats(0).unauthorized, 10)
    }))

  it.live("says what is missing when the package is not there, and tries again the next time", () =>
    Effect.gen(function*() {
      const running = yield* simulator(["token-1"])
      const identity = fakeIdentity()
      let isThere = false
      const load = () => isThere ? identity.load() : Promise.reject(new Error("install the package @azure/identity"))
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        const error = yield* Effect.flip(lb.chat(hello, { attempts: 1 }))
        assert.include(error.message, "install the package @azure/identity")
        assert.strictEqual(running.service("east").stats(0).requests, 0)
        isThere = true
        yield* lb.chat(hello)
      }).pipe(Effect.provide(balancer(running, { ...identity, load })))
    }))
})

describe("a token provider of one's own", () => {
  it("is asked at each attempt, and again after a 401", async () => {
    await using running = await SimulatorServer.startSimulator({
      resources: [resource("east", {}, { bearerTokens: ["first"] })]
    })
    let token = "first"
    let asked = 0
    const { apiKey: _, ...given } = running.resources[0]!.config()
    await using lb = createLoadBalancer({
      resources: [{
        ...given,
        auth: async () => {
          asked++
          return token
        }
      }]
    })
    await lb.openai.chat.completions.create(hello)
    await lb.openai.chat.completions.create(hello)
    assert.strictEqual(asked, 2)
    running.service("east").setCredentials({ apiKey: "other", bearerTokens: ["second"] })
    // the old token is still given once, as by a cache that is about to expire
    const later = lb.openai.chat.completions.create(hello)
    token = "second"
    await later
    await lb.openai.chat.completions.create(hello)
    assert.deepStrictEqual(running.service("east").stats(0).credentials.at(-1), "Bearer second")
    assert.isAtMost(running.service("east").stats(0).unauthorized, 1)
    assert.isAtMost(asked, 5)
  })
})
