import * as SimulatedService from "#core/simulation/SimulatedService"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport } from "#core/transport/Transport"
import * as SimulatorServer from "#node/simulator/SimulatorServer"
import { assert, describe, it } from "@effect/vitest"
import { InvalidConfig, LoadBalancer, LoadBalancerError, Selector } from "@evenkeel/core"
import type { Event } from "@evenkeel/core"
import { createLoadBalancer, layer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { inspect } from "node:util"
import { eventually, fast, hello, pause, resource, serve } from "../support/Served.ts"

describe("createLoadBalancer", () => {
  it("throws at once, with every mistake and no key", () => {
    try {
      createLoadBalancer({
        resources: [
          { name: "east", provider: "azure", apiKey: "secret", endpoint: "nowhere", deployments: [] },
          { name: "east", provider: "openai", apiKey: "secret", deployments: [{ name: "gpt-4o", tpm: -1 }] }
        ],
        defaultResource: "west"
      })
    } catch (error) {
      assert.instanceOf(error, LoadBalancerError)
      assert.instanceOf(error.reason, InvalidConfig)
      const paths = error.reason.issues.map(({ path }) => path)
      assert.includeMembers(paths, [
        "resources[0].endpoint",
        "resources[0].deployments",
        "resources[1].deployments[0].tpm"
      ])
      assert.notInclude(inspect(error, { depth: 10 }), "secret")
      return
    }
    assert.fail("It did not throw")
  })

  it("says so where a layer of its options waits while it is built, and leaves nothing of it", async () => {
    let released = false
    const slow = Layer.effect(
      Transport,
      Effect.gen(function*() {
        yield* Effect.acquireRelease(Effect.void, () => Effect.sync(() => released = true))
        yield* Effect.sleep("1 hour")
        return Transport.of({ send: () => Effect.never })
      })
    )
    const config = {
      resources: [{ name: "one", provider: "openai", apiKey: "k", deployments: [{ name: "m" }] }]
    } as const
    assert.throws(() => createLoadBalancer(config, { transport: slow }), /A layer in the options waits/)
    await eventually(() => released)
  })

  it("sends nothing before it is asked", async () => {
    await using served = await serve([resource("east")], { health: { check: { kind: "models" } } })
    assert.strictEqual(served.lb.snapshot().deployments.length, 1)
    await pause(30)
    assert.strictEqual(served.sends(), 0)
  })

  it("checks what is idle on its own", async () => {
    await using served = await serve([resource("east")], { health: { check: { kind: "models", interval: 20 } } })
    await eventually(() => served.sends() > 2)
  })

  it("can be changed while it runs", async () => {
    await using served = await serve([resource("east")])
    await using more = await SimulatorServer.startSimulator({ resources: [resource("west")] })
    const { deployments, openai } = served.lb
    await deployments.add(more.resources[0]!.config())
    await Promise.all(Array.from({ length: 20 }, () => openai.chat.completions.create(hello)))
    assert.isAbove(more.service("west").stats(0).requests, 0)
    assert.isTrue(await deployments.drain("east/gpt"))
    const before = served.stats("east").requests
    await Promise.all(Array.from({ length: 10 }, () => openai.chat.completions.create(hello)))
    assert.strictEqual(served.stats("east").requests, before)
    assert.isTrue(await deployments.remove("east/gpt"))
    assert.isFalse(await deployments.remove("east/gpt"))
    assert.deepStrictEqual(served.lb.snapshot().deployments.map(({ id }) => id), ["west/gpt"])
    assert.isTrue(await deployments.update("west/gpt", { weight: 2 }))
    assert.strictEqual(served.lb.snapshot().deployments[0]!.weight, 2)
    assert.instanceOf(
      await deployments.update("west/gpt", { weight: -1 }).catch((error: unknown) => error),
      LoadBalancerError
    )
  })

  it("takes layers in the place of its own", async () => {
    const services = [resource("east"), resource("west")].map((options) => SimulatedService.make(options))
    await using lb = createLoadBalancer({ resources: services.map((service) => service.config()) }, {
      transport: SimulatedTransport.layer(services),
      selector: Selector.layer((candidates) => candidates.find(({ id }) => id === "west/gpt")!)
    })
    await Promise.all(Array.from({ length: 6 }, () => lb.openai.chat.completions.create(hello)))
    assert.deepStrictEqual(services.map((service) => service.stats(0).requests), [0, 6])
  })
})

/** Reads events until there are so many. */
const take = async (events: AsyncIterable<Event>, count: number): Promise<Array<Event>> => {
  const all: Array<Event> = []
  for await (const event of events) {
    all.push(event)
    if (all.length === count) break
  }
  return all
}

describe("events of lb.events()", () => {
  it("come in order, to each of those who listen, from when they began", async () => {
    await using served = await serve([resource("east")])
    await served.lb.openai.chat.completions.create(hello)
    const first = take(served.lb.events(), 4)
    const second = take(served.lb.events(), 2)
    await served.lb.openai.chat.completions.create(hello)
    await served.lb.openai.chat.completions.create(hello)
    const tags = (await first).map(({ _tag }) => _tag)
    assert.deepStrictEqual(tags, ["AttemptEnded", "RequestEnded", "AttemptEnded", "RequestEnded"])
    assert.deepStrictEqual((await second).map(({ _tag }) => _tag), tags.slice(0, 2))
  })

  it("lose the oldest when nobody reads, and no more than that", async () => {
    await using served = await serve([resource("east", { latency: { ...fast, baseMs: 0 } })])
    const events = served.lb.events()
    await Promise.all(Array.from({ length: 600 }, () => served.lb.openai.chat.completions.create(hello)))
    const held = await take(events, 1_024)
    assert.strictEqual(held.length, 1_024)
    assert.strictEqual((await events.next()).done, true)
  })

  it("end for all who wait when the balancer is closed, or the reader stops", async () => {
    await using served = await serve([resource("east")])
    const events = served.lb.events()
    const waiting = [events.next(), events.next(), events.next()]
    await events.return!()
    assert.deepStrictEqual((await Promise.all(waiting)).map(({ done }) => done), [true, true, true])
    const others = served.lb.events()
    const pending = [others.next(), others.next()]
    await served.lb.close()
    assert.deepStrictEqual((await Promise.all(pending)).map(({ done }) => done), [true, true])
  })

  it("reach everyone who waits for one", async () => {
    await using served = await serve([resource("east")])
    const events = served.lb.events()
    const waiting = [events.next(), events.next()]
    await served.lb.openai.chat.completions.create(hello)
    assert.deepStrictEqual((await Promise.all(waiting)).map(({ value }) => (value as Event)._tag), [
      "AttemptEnded",
      "RequestEnded"
    ])
  })
})

describe("the layer for Node", () => {
  it.live("balances over real sockets", () =>
    Effect.gen(function*() {
      const running = yield* Effect.acquireDisposable(
        Effect.promise(() => SimulatorServer.startSimulator({ resources: [resource("east"), resource("west")] }))
      )
      const balanced = layer({ resources: running.resources.map((started) => started.config()) })
      yield* Effect.gen(function*() {
        const lb = yield* LoadBalancer
        running.service("east").fault("gpt", { kind: "status", status: 500 })
        for (let i = 0; i < 4; i++) {
          const answer = yield* lb.chat(hello)
          assert.strictEqual(answer.choices[0]!.message.content, "Hello from here.")
        }
      }).pipe(Effect.provide(balanced))
      // released with the layer
      yield* Effect.promise(() => running.close())
    }))

  it.live("fails with every mistake", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.provide(LoadBalancer, layer({ resources: [] })))
      assert.strictEqual(error.reason._tag, "InvalidConfig")
    }))
})
