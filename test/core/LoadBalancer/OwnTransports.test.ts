import { assert, describe, it } from "@effect/vitest"
import {
  HealthMonitor,
  LoadBalancer,
  Telemetry,
  Transport,
  type TransportRequest,
  type TransportResponse
} from "@evenkeel/core"
import { Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { hello } from "../../support/Balanced.ts"
import { azure } from "../../support/Scripted.ts"

type Wait = "send" | "text" | "first chunk" | "next chunk" | "raw chunk"

const event = `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta: { content: "Hi" } }] })}\n\n`

/** Knows nothing but effects that can be interrupted, and one wait of it has no end. */
const stuckAt = (wait: Wait) => {
  let waiting = 0
  const never = Effect.onExit(
    Effect.suspend(() => {
      waiting++
      return Effect.never
    }),
    () => Effect.sync(() => waiting--)
  )
  let chunks = 0
  const response: TransportResponse = {
    status: 200,
    headers: { "content-type": wait === "text" ? "application/json" : "text/event-stream" },
    text: never,
    pull: Effect.suspend(() =>
      wait === "next chunk" && chunks++ === 0 ? Effect.succeed(new TextEncoder().encode(event)) : never
    ),
    abort: () => {},
    discard: () => {}
  }
  return {
    layer: over({ send: () => wait === "send" ? never : Effect.succeed(response) }),
    waiting: () => waiting
  }
}

/** A balancer of short limits over a transport. */
const over = (transport: Transport["Service"]) =>
  LoadBalancer.layer({
    resources: [azure("east")],
    timeouts: { firstContent: "1 second", idle: "1 second", total: "1 second" },
    failover: { attempts: 1 }
  }, { healthMonitor: HealthMonitor.layerNone, telemetry: Telemetry.layerNoop }).pipe(
    Layer.provide(Layer.succeed(Transport, transport))
  )

const asks: Readonly<Record<Wait, Effect.Effect<unknown, unknown, LoadBalancer>>> = {
  send: Effect.flatMap(LoadBalancer, (lb) => lb.chat(hello)),
  text: Effect.flatMap(LoadBalancer, (lb) => lb.chat(hello)),
  "first chunk": Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(lb.chatStream(hello))),
  "next chunk": Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(lb.chatStream(hello))),
  "raw chunk": Effect.flatMap(LoadBalancer, (lb) => Effect.flatMap(lb.request({ path: "/models" }), ({ text }) => text))
}

const waits = Object.keys(asks) as ReadonlyArray<Wait>

describe("a transport that knows interruption alone", () => {
  it.effect.each(waits)("is interrupted by a time limit: %s", (wait) => {
    const { layer, waiting } = stuckAt(wait)
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(asks[wait])
      yield* TestClock.adjust(900)
      assert.strictEqual(waiting(), 1)
      yield* TestClock.adjust(200)
      const exit = fiber.pollUnsafe()
      assert.isTrue(exit !== undefined && Exit.isFailure(exit))
      assert.match(String(exit), /timeout|limit|deadline/)
      assert.strictEqual(waiting(), 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect.each(waits)("is interrupted with its caller: %s", (wait) => {
    const { layer, waiting } = stuckAt(wait)
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(asks[wait])
      yield* TestClock.adjust(100)
      assert.strictEqual(waiting(), 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(waiting(), 0)
    }).pipe(Effect.provide(layer))
  })
})

describe("a transport whose abort throws", () => {
  it.effect("costs no other request its end when the balancer closes", () => {
    const response: TransportResponse = {
      status: 200,
      headers: {},
      text: Effect.never,
      pull: Effect.never,
      abort: () => {
        throw new Error("no")
      },
      discard: () => {}
    }
    return Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(over({ send: () => Effect.succeed(response) }), scope)
      const one = yield* Effect.forkChild(Effect.provideContext(asks.text, context))
      const other = yield* Effect.forkChild(Effect.provideContext(asks.text, context))
      yield* TestClock.adjust(100)
      yield* Effect.exit(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(1)
      assert.isDefined(one.pollUnsafe())
      assert.isDefined(other.pollUnsafe())
    })
  })
})

/** An abortable transport that answers at once, and counts what is open. */
const abortableOne = () => {
  let open = 0
  const send = (request: TransportRequest) =>
    Effect.sync(() => {
      open++
      const response: TransportResponse = {
        status: 200,
        headers: {},
        text: Effect.succeed("{}"),
        pull: Effect.never,
        abort: () => {
          open = 0
        },
        discard: () => {}
      }
      request.onStart?.(response)
      return response
    })
  return { transport: Transport.of({ send: Object.assign(send, { isAbortable: true }) }), open: () => open }
}

type Wrap = (transport: Transport["Service"]) => Transport["Service"]

const wrappers: ReadonlyArray<{ readonly what: string; readonly wrap: Wrap; readonly open: number }> = [
  {
    what: "it holds the answer back",
    wrap: ({ send }) => ({ send: (request) => Effect.tap(send(request), () => Effect.never) }),
    open: 1
  },
  {
    what: "it holds the answer back, and is else what it wraps",
    wrap: (inner) => ({ ...inner, send: (request) => Effect.tap(inner.send(request), () => Effect.never) }),
    open: 1
  },
  {
    what: "it holds the request back, and is else what it wraps",
    wrap: (inner) => ({ ...inner, send: (request) => Effect.andThen(Effect.never, inner.send(request)) }),
    open: 0
  }
]

describe("a transport that wraps an abortable one", () => {
  it.effect.each(wrappers)("ends with a time limit, and leaves nothing open: $what", ({ open, wrap }) => {
    const inner = abortableOne()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(asks.send)
      yield* TestClock.adjust(900)
      assert.strictEqual(inner.open(), open)
      yield* TestClock.adjust(200)
      assert.match(String(fiber.pollUnsafe()), /limit/)
      assert.strictEqual(inner.open(), 0)
    }).pipe(Effect.provide(over(wrap(inner.transport))))
  })

  it.effect.each(wrappers)("ends with its caller, and leaves nothing open: $what", ({ open, wrap }) => {
    const inner = abortableOne()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(asks.send)
      yield* TestClock.adjust(900)
      assert.strictEqual(inner.open(), open)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(inner.open(), 0)
    }).pipe(Effect.provide(over(wrap(inner.transport))))
  })

  it.effect.each(wrappers)("leaves nothing open of a check that takes too long: $what", ({ open, wrap }) => {
    const inner = abortableOne()
    return Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(Effect.flatMap(LoadBalancer, (lb) => lb.check()))
      yield* TestClock.adjust(900)
      assert.strictEqual(inner.open(), open)
      yield* TestClock.adjust("1 minute")
      assert.isFalse((yield* Fiber.join(fiber)).ok)
      assert.strictEqual(inner.open(), 0)
    }).pipe(Effect.provide(over(wrap(inner.transport))))
  })
})
