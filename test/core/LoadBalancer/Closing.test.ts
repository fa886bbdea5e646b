import { assert, describe, it } from "@effect/vitest"
import { Deployments, HealthMonitor, LoadBalancer, Selector } from "@evenkeel/core"
import { Clock, Context, Effect, Exit, Fiber, Layer, Option, Random, Scheduler, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { answer, type Fleet, fleet, hello, service } from "../../support/Balanced.ts"
import { countSleepers } from "../../support/Interleaving.ts"

/** A balancer in a scope of its own, and what may be asked of it while it is closed. */
const opened = (one: Fleet) =>
  Effect.gen(function*() {
    const scope = yield* Scope.make()
    const context = yield* Random.withSeed(Layer.buildWithScope(one.layer, scope), 1)
    return {
      lb: Context.get(context, LoadBalancer),
      deployments: Context.get(context, Deployments),
      close: Scope.close(scope, Exit.void)
    }
  })

/** Nothing of the balancer is left: no socket at the service, nothing counted in flight, no timer. */
const assertClosed = (one: Fleet, lb: LoadBalancer["Service"], asleep: number) =>
  Effect.gen(function*() {
    for (const [name, service] of Object.entries(one.services)) {
      assert.strictEqual(service.stats(0).inFlight, 0, `sockets of ${name}`)
    }
    const { deployments } = yield* lb.snapshot
    for (const { id, inFlight, waiting } of deployments) assert.deepStrictEqual([inFlight, waiting], [0, 0], id)
    assert.strictEqual(asleep, 0, "timers")
  })

const long = { reply: () => "x".repeat(4000) }

const situations: ReadonlyArray<{
  readonly what: string
  readonly fault?: Parameters<Fleet["services"][string]["fault"]>[1]
  readonly ask: (lb: LoadBalancer["Service"]) => Effect.Effect<unknown, unknown>
}> = [
  { what: "a request that waits for its answer", ask: (lb) => lb.chat(hello), fault: { kind: "hang" } },
  {
    what: "a stream that waits for its first event",
    ask: (lb) => Stream.runDrain(lb.chatStream(hello)),
    fault: { kind: "hang" }
  },
  { what: "a stream in its middle", ask: (lb) => Stream.runDrain(lb.chatStream(hello)) },
  {
    what: "a stream whose reader is busy",
    ask: (lb) => Stream.runForEach(lb.chatStream(hello), () => Effect.sleep("10 minutes"))
  },
  {
    what: "a stream that stalls",
    ask: (lb) => Stream.runDrain(lb.chatStream(hello)),
    fault: { kind: "hang", afterEvents: 5 }
  },
  {
    what: "a request that waits for a cooldown",
    ask: (lb) => lb.chat(hello),
    fault: { kind: "throttle", retryAfterMs: 9000 }
  },
  { what: "a request between two attempts", ask: (lb) => lb.chat(hello), fault: { kind: "status", status: 500 } },
  { what: "a raw answer that nobody reads", ask: (lb) => Effect.andThen(lb.request({ path: "/models" }), Effect.never) }
]

/** Its credential never comes. */
const withoutCredential = {
  name: "east",
  provider: "compatible" as const,
  endpoint: "https://east.invalid/v1",
  auth: () => new Promise<string>(() => {}),
  deployments: [{ name: "gpt-4o" }]
}

describe("LoadBalancer closing", () => {
  it.effect.each(situations)("leaves no socket, no timer and nothing in flight: $what", ({ ask, fault, what }) => {
    const one = fleet([service("east", long)], { failover: { backoff: "8 seconds" } })
    return Effect.gen(function*() {
      const sleepers = yield* countSleepers
      yield* Effect.gen(function*() {
        const { close, lb } = yield* opened(one)
        if (fault !== undefined) one.services["east"]!.fault("gpt-4o", fault)
        // the caller lives on outside of the balancer's scope, on a clock of its own
        const caller = yield* Effect.forkChild(ask(lb), { startImmediately: true })
        yield* TestClock.adjust(500)
        assert.isUndefined(caller.pollUnsafe(), what)
        yield* close
        yield* TestClock.adjust(0)
        yield* TestClock.adjust(1)
        const busy = what.includes("busy") ? 1 : 0
        yield* assertClosed(one, lb, sleepers.asleep() - busy)
        const sends = one.sends.length
        yield* TestClock.adjust("2 hours")
        assert.strictEqual(one.sends.length, sends, "sends after closing")
        assert.isTrue(what.includes("nobody reads") || caller.pollUnsafe() !== undefined, "the caller waits for ever")
        yield* Fiber.interrupt(caller)
      }).pipe(Effect.provideService(Clock.Clock, sleepers.clock))
      assert.strictEqual(sleepers.asleep(), 0)
    })
  })

  it.effect("a balancer that is closed sends nothing more, and says so", () => {
    const one = fleet([service("east")])
    return Effect.gen(function*() {
      const { close, lb } = yield* opened(one)
      yield* answer(lb.chat(hello))
      yield* close
      assert.isTrue(Exit.isFailure(yield* Effect.exit(answer(lb.chat(hello)))))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(answer(Stream.runDrain(lb.chatStream(hello))))))
      assert.strictEqual(one.sends.length, 1)
    })
  })

  it.effect("what waits for a credential is told that it was closed, and of nothing else", () =>
    Effect.gen(function*() {
      const { transport } = fleet([service("east")])
      const scope = yield* Scope.make()
      const layer = LoadBalancer.layer({ resources: [withoutCredential] }).pipe(Layer.provide(transport))
      const context = yield* Layer.buildWithScope(layer, scope)
      const lb = Context.get(context, LoadBalancer)
      const told: Array<string> = []
      Context.get(context, Deployments).events.listen((event: { readonly _tag: string }) => told.push(event._tag))
      const asked = yield* Effect.forkChild(Effect.flip(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust(100)
      yield* Scope.close(scope, Exit.void)
      const { attempts, reason } = yield* answer(Fiber.join(asked))
      assert.deepInclude(reason, { _tag: "Unavailable", limitedBy: "closed" })
      assert.deepStrictEqual(attempts.map(({ outcome }) => outcome), ["abandoned"])
      assert.deepStrictEqual(told, ["AttemptEnded", "RequestEnded"])
    }))

  it.effect("who is about to ask for a credential when the balancer closes does not wait for it", () =>
    Effect.gen(function*() {
      const { transport } = fleet([service("east")])
      const scope = yield* Scope.make()
      const selector = Selector.layer((candidates) => {
        Effect.runFork(Scope.close(scope, Exit.void))
        return candidates[0]!
      })
      const layer = LoadBalancer.layer({ resources: [withoutCredential] }, { selector }).pipe(Layer.provide(transport))
      const lb = Context.get(yield* Layer.buildWithScope(layer, scope), LoadBalancer)
      const asked = yield* Effect.forkChild(Effect.flip(lb.chat(hello)), { startImmediately: true })
      yield* TestClock.adjust(1)
      assert.isDefined(asked.pollUnsafe())
      assert.deepInclude((yield* Fiber.join(asked)).reason, { _tag: "Unavailable", limitedBy: "closed" })
    }))

  it.effect("the stream of events ends with the balancer", () => {
    const one = fleet([service("east")])
    return Effect.gen(function*() {
      const { close, lb } = yield* opened(one)
      const reader = yield* Effect.forkChild(Stream.runCollect(lb.events), { startImmediately: true })
      yield* answer(lb.chat(hello))
      yield* close
      yield* TestClock.adjust("1 second")
      assert.isDefined(reader.pollUnsafe())
      yield* Fiber.interrupt(reader)
    })
  })

  it.effect("with active checks on, none of their timers is left", () => {
    const one = fleet([service("east"), service("west")], {}, { healthMonitor: HealthMonitor.layer })
    return Effect.gen(function*() {
      const sleepers = yield* countSleepers
      yield* Effect.gen(function*() {
        const { close, lb } = yield* opened(one)
        yield* answer(lb.chat(hello))
        yield* TestClock.adjust("2 minutes")
        assert.isAbove(sleepers.asleep(), 0)
        yield* close
        yield* assertClosed(one, lb, sleepers.asleep())
      }).pipe(Effect.provideService(Clock.Clock, sleepers.clock))
    })
  })
})

/** Holds each fiber back once, at its very beginning. */
class Hesitant extends Scheduler.MixedScheduler {
  private readonly known = new WeakSet<object>()

  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (this.known.has(fiber)) return super.shouldYield(fiber)
    this.known.add(fiber)
    return true
  }
}

describe("a request whose scheduler holds its attempt back", () => {
  it("ends when the balancer is closed before the attempt begins", async () => {
    const one = fleet([service("east")])
    const { close, lb } = await Effect.runPromise(opened(one))
    const held = Effect.provideService(lb.chat(hello), Scheduler.Scheduler, new Hesitant())
    const asked = Effect.runFork(held)
    const isReserved = () => Effect.runSync(lb.snapshot).deployments[0]!.inFlight === 1
    for (let turn = 0; turn < 100 && !isReserved(); turn++) await new Promise((resolve) => setImmediate(resolve))
    assert.isTrue(isReserved())
    await Effect.runPromise(close)
    const exit = await Effect.runPromise(Effect.timeoutOption(Fiber.await(asked), "2 seconds"))
    assert.isTrue(Option.isSome(exit))
  })
})
