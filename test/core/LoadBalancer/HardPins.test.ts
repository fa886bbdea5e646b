import { assert, describe, it } from "@effect/vitest"
import { type ResponsesParams } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { answer, failure, type Fleet, fleet, hello, reasonOf, run, sent, service } from "../../support/Balanced.ts"

const names = ["east", "west", "north", "south", "centre"]

const quintet = () => fleet(names.map((name) => service(name)), { failover: { attempts: 1 } })

const ask: ResponsesParams = { model: "gpt-4o", input: "Say hello." }

/** The resource that was asked last. */
const lastOf = (one: Fleet) => one.sends.at(-1)!.resource

/** A response that another process made on a resource: this balancer has never heard of its id. */
const madeElsewhere = (one: Fleet, resource: string, body: object = {}) => {
  const owner = one.services[resource]!
  const made = owner.handle(
    {
      method: "POST",
      path: "/openai/v1/responses",
      headers: { "api-key": owner.apiKey },
      body: JSON.stringify({ ...ask, ...body })
    },
    0,
    () => 0.5
  )
  if (made._tag !== "Http") throw new Error("no answer")
  const { value } = made.parts.next()
  made.finished(0)
  return JSON.parse(String((value as { readonly data: string }).data))
}

describe("LoadBalancer hard pins", () => {
  it.effect("F8: a follow-up goes to the resource that made the response before it, every time", () =>
    run(quintet(), function*(lb, five) {
      let { id } = yield* answer(lb.responses(ask))
      const owner = lastOf(five)
      for (let i = 0; i < 10; i++) {
        ;({ id } = yield* answer(lb.responses({ ...ask, previous_response_id: id })))
        assert.strictEqual(lastOf(five), owner)
      }
      assert.strictEqual(five.sends.length, 11)
    }))

  it.effect("F8: a streamed response is followed too, also when its reader stopped early", () =>
    run(quintet(), function*(lb, five) {
      const begun = yield* answer(Stream.runCollect(Stream.take(lb.responsesStream(ask), 3)))
      const first = begun[0]!
      const id = first.type === "response.created" ? first.response.id : ""
      const owner = lastOf(five)
      for (let i = 0; i < 5; i++) {
        yield* answer(lb.responses({ ...ask, previous_response_id: id }))
        assert.strictEqual(lastOf(five), owner)
      }
    }))

  it.effect("F8: the owner is asked though others are idle and a session would go elsewhere", () =>
    run(quintet(), function*(lb, five) {
      const { id } = yield* answer(lb.responses(ask))
      const owner = lastOf(five)
      for (const session of ["a", "b", "c", "d", "e", "f"]) {
        yield* answer(lb.responses({ ...ask, previous_response_id: id }, { session }))
        assert.strictEqual(lastOf(five), owner)
      }
    }))

  it.effect("encrypted reasoning goes back to the resource that made it", () => {
    const five = fleet(names.map((name) => service(name, { reasoningTokens: 5 })), { failover: { attempts: 1 } })
    return run(five, function*(lb) {
      const stateless = { ...ask, store: false, include: ["reasoning.encrypted_content" as const] }
      const { output } = yield* answer(lb.responses(stateless))
      const owner = lastOf(five)
      const input = [...output, { role: "user" as const, content: "Go on." }] as Array<any>
      for (let i = 0; i < 5; i++) {
        yield* answer(lb.responses({ ...stateless, input }))
        assert.strictEqual(lastOf(five), owner)
      }
      assert.strictEqual(five.sends.length, 6)
    })
  })

  it.effect("encrypted reasoning that another process brought is searched for, also without its id", () => {
    const five = fleet(names.map((name) => service(name, { reasoningTokens: 5 })), { failover: { attempts: 1 } })
    return run(five, function*(lb) {
      const stateless = { ...ask, store: false, include: ["reasoning.encrypted_content" as const] }
      const { output } = madeElsewhere(five, "south", stateless)
      const { id: _, ...item } = output[0]
      const input = [item, { role: "user", content: "Go on." }] as Array<any>
      yield* answer(lb.responses({ ...stateless, input }))
      assert.strictEqual(lastOf(five), "south")
      const sends = five.sends.length
      yield* answer(lb.responses({ ...stateless, input }))
      assert.strictEqual(five.sends.length, sends + 1)
      assert.strictEqual(lastOf(five), "south")
    })
  })

  it.effect("a follow-up whose owner fails is tried there again, and never elsewhere", () =>
    run(fleet(names.map((name) => service(name))), function*(lb, five) {
      const { id } = yield* answer(lb.responses(ask))
      const owner = lastOf(five)
      five.services[owner]!.fault("gpt-4o", { kind: "status", status: 500, times: 2 })
      yield* answer(lb.responses({ ...ask, previous_response_id: id }))
      assert.deepStrictEqual(five.sends.map(({ resource }) => resource), [owner, owner, owner, owner])
      five.services[owner]!.fault("gpt-4o", { kind: "throttle", retryAfterMs: 60_000 })
      const error = yield* failure(lb.responses({ ...ask, previous_response_id: id }))
      reasonOf(error, "Throttled")
      assert.strictEqual(sent(five)[owner], 5)
      assert.strictEqual(five.sends.length, 5)
    }))

  it.effect("a search that comes back to a deployment that failed waits, as every retry there does", () => {
    const two = fleet([service("east"), service("west")], {
      tiers: { east: 1, west: 2 },
      failover: { backoff: "4 seconds", maxBackoff: "4 seconds" }
    })
    return run(two, function*(lb) {
      const { id } = madeElsewhere(two, "east")
      two.services["east"]!.fault("gpt-4o", { kind: "status", status: 500, times: 1 })
      yield* answer(lb.responses({ ...ask, previous_response_id: id }))
      assert.deepStrictEqual(two.sends.map(({ resource }) => resource), ["east", "west", "east"])
      const [, , again] = two.sends
      // west says within 10 ms that it does not know the response
      assert.isAbove(again!.at, 100)
    })
  })

  it.effect("an ordinary request pins nothing", () =>
    run(quintet(), function*(lb, five) {
      yield* answer(
        Effect.forEach(Array.from({ length: 30 }), () => lb.chat(hello), { concurrency: "unbounded" })
      )
      assert.isTrue(Object.values(sent(five)).every((count) => count > 0))
    }))
})
