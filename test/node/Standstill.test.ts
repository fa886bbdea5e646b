import { Deadlines } from "#core/attempt/Deadlines"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import { Effect } from "effect"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { listen } from "../support/PlainServer.ts"
import { completion } from "../support/Scripted.ts"
import { hello } from "../support/Served.ts"

/** Keeps the process from doing anything else. */
const stand = (millis: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)

/** In no list yet. */
const unlinked = { list: undefined, previous: undefined, next: undefined }

describe("a process that stood still", () => {
  it("takes what arrived meanwhile for being in time", () =>
    Effect.gen(function*() {
      const server = createServer().listen(0, "127.0.0.1")
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      yield* Effect.promise(() => once(server, "listening"))
      const client = connect((server.address() as AddressInfo).port, "127.0.0.1")
      const [socket] = (yield* Effect.promise(() => once(server, "connection"))) as [Socket]
      yield* Effect.addFinalizer(() => Effect.sync(() => (client.destroy(), socket.destroy())))
      const deadlines = yield* Deadlines.make(() => performance.now())
      const seen = { hasListeners: false, isExpired: false }
      let endsAt = Infinity
      const answer = {
        ...unlinked,
        endsAt: () => endsAt,
        stoodStill: () => {},
        expire: () => {
          seen.isExpired = true
        },
        close: () => {}
      }
      client.on("data", () => {
        seen.hasListeners = true
        deadlines.forget(answer)
      })
      yield* Effect.callback<void>((resume) => {
        // it has arrived, and is read when the process goes on
        socket.write("in time", () => {
          endsAt = performance.now() + 50
          deadlines.watch(answer)
          stand(300)
          resume(Effect.void)
        })
      })
      for (let i = 0; i < 100 && !seen.hasListeners && !seen.isExpired; i++) yield* Effect.sleep(20)
      assert.deepStrictEqual(seen, { hasListeners: true, isExpired: false })
    }).pipe(Effect.scoped, Effect.runPromise))

  it("does not wait for ever for what does not arrive", () =>
    Effect.gen(function*() {
      const deadlines = yield* Deadlines.make(() => performance.now())
      const endsAt = performance.now() + 20
      const expired = Effect.callback<void>((resume) =>
        deadlines.watch({
          ...unlinked,
          endsAt: () => endsAt,
          stoodStill: () => {},
          expire: () => resume(Effect.void),
          close: () => {}
        })
      )
      yield* Effect.sleep(1)
      setImmediate(() => stand(200))
      yield* Effect.timeout(expired, "5 seconds")
    }).pipe(Effect.scoped, Effect.runPromise))

  it("sleeps for as much longer", () =>
    Effect.gen(function*() {
      const deadlines = yield* Deadlines.make(() => performance.now())
      const began = performance.now()
      setTimeout(() => stand(400), 20)
      yield* deadlines.sleep(300)
      // it wakes ten times a second to see
      assert.isAtLeast(performance.now() - began, 600 - 100)
    }).pipe(Effect.scoped, Effect.runPromise))

  const standings = {
    "what it reads": () => stand(2000),
    "a timer": () => void setTimeout(stand, 0, 2000)
  }
  for (const [by, standing] of Object.entries(standings)) {
    it(`by ${by} finds nobody slow`, async () => {
      let stands = false
      await using server = await listen((_request, response) => {
        setTimeout(() => {
          response.setHeader("content-type", "application/json").end(JSON.stringify(completion.body))
          if (stands) standing()
        }, 50)
      })
      const deployments = [{ name: "gpt-4o" }]
      const lb = createLoadBalancer({
        resources: [{ name: "east", provider: "compatible", endpoint: `${server.url}/v1`, deployments }],
        health: { check: { kind: "none" } }
      })
      const ask = () => lb.openai.chat.completions.create(hello)
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      for (let i = 0; i < 30; i++) await ask()
      stands = true
      await ask()
      assert.isAtMost(lb.snapshot().deployments[0]!.latency, 5)
      await lb.close()
    })
  }
})
