import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { assert, describe, it } from "@effect/vitest"
import { type Event, type LoadBalancerError } from "@evenkeel/core"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { fleet, hello, listen, run, sent, service } from "../../support/Balanced.ts"
import { tellsOf } from "../../support/Telling.ts"

const names = ["east", "west", "north"]

/** Calls that may be lost before anything can be known. */
const LOST = 5

describe("one of three resources that answers every call at once with", () => {
  const faults = [
    ["404 Resource not found", { kind: "status", error: "not-found" }],
    ["400 API version not supported", { kind: "status", error: "unsupported-api-version" }],
    ["405", { kind: "status", error: "method-not-allowed" }]
  ] satisfies ReadonlyArray<[string, SimulatedFault]>
  for (const [name, fault] of faults) {
    it.effect(`${name} costs no more than ${LOST} of 600 requests, loses its traffic, and is told of`, () =>
      run(fleet(names.map((each) => service(each))), function*(lb, made) {
        const events = yield* listen
        made.services["east"]!.fault("*", fault)
        const fibers: Array<Fiber.Fiber<unknown, LoadBalancerError>> = []
        let halfway = sent(made)
        for (let i = 0; i < 600; i++) {
          if (i === 300) halfway = sent(made)
          fibers.push(yield* Effect.forkChild(lb.chat(hello), { startImmediately: true }))
          yield* TestClock.adjust(100)
        }
        yield* TestClock.adjust("1 minute")
        const exits = yield* Effect.forEach(fibers, (fiber) => Fiber.await(fiber))
        const lost = exits.filter(Exit.isFailure).length
        assert.isAtMost(lost, LOST, "lost")
        assert.isAtMost(sent(made)["east"]! - halfway["east"]!, 10, "sent there in the second half minute")
        const told = events.find((event: Event) => tellsOf(event, "east"))
        assert.isDefined(told, "told")
        assert.isAtMost(told!.at, 60_000)
      }))
  }
})
