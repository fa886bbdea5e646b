import { invalidConfig } from "#core/Errors"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { inspect } from "node:util"
import { answer, failure, hello, overHttp, post, run, settle } from "../../support/Balanced.ts"
import { azure, completion, scripted, tooLong } from "../../support/Scripted.ts"

/** Arrays in arrays, too deep for anything that recurses. */
const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`

describe("an error of the balancer", () => {
  it.effect("lists the request ids of an attempt once", () => {
    const headers = { "x-request-id": "id-1", "apim-request-id": "id-1", "x-ms-client-request-id": "id-1" }
    const lbs = scripted([azure("east")], () => ({ ...tooLong, headers }))
    return run(lbs, function*(lb) {
      const error = yield* failure(lb.chat(hello))
      assert.deepStrictEqual(error.attempts.map(({ requestIds }) => requestIds), [["id-1"]])
      assert.strictEqual(error.message.split("id-1").length, 2)
    })
  })

  it.effect("is printed once: its message, and not its fields again", () =>
    run(scripted([azure("east")], () => tooLong), function*(lb) {
      const exit = yield* settle(Effect.flip(lb.chat(hello)))
      assert(Exit.isSuccess(exit))
      for (const depth of [0, 2, 20]) {
        const printed = inspect(exit.value, { depth })
        assert.strictEqual(printed.split("It is too long.").length, 2)
        assert.strictEqual(printed.split("east/gpt-4o").length, 2)
        assert.notMatch(printed, /reason:|attempts:|_tag/)
        assert.include(printed, exit.value.message)
      }
    }))
})

describe("an error that nobody catches", () => {
  it("says its mistakes as a message and as data, as Node prints it", () => {
    const error = invalidConfig("the given object", [{ path: "resources", message: "is missing" }])
    // as Node prints what ends a process
    const printed = inspect(error, { customInspect: false })
    assert.isAtMost(printed.split("is missing").length - 1, 2, printed)
  })
})

describe("a request that the balancer refuses", () => {
  it.effect("is not said to have been refused by the service", () =>
    run(scripted([azure("east")], () => completion), function*(lb) {
      const error = yield* Effect.flip(lb.chat(hello, { timeout: 0 }))
      assert.match(error.message, /^`timeout` is no positive duration.*nothing was sent\.$/)
      assert(error.reason._tag === "Rejected")
      assert.strictEqual(error.reason.by, "balancer")
    }))
})

describe("JSON that is too deep to look into", () => {
  it.effect("is refused by the balanced client of HTTP, and nothing is sent", () =>
    run(overHttp(scripted([azure("east")], () => completion)), function*(_, lbs) {
      const { status } = yield* answer(post(`{"model":"gpt-4o","messages":${deep}}`))
      assert.strictEqual(status, 400)
      assert.lengthOf(lbs.sends, 0)
    }))

  it.effect("is told as the service's refusal where it comes as an answer", () => {
    const body = `{"error":{"message":"It is wrong.","param":${deep}}}`
    const lbs = scripted([azure("east")], () => ({ status: 400, body }))
    return run(overHttp(lbs), function*() {
      assert.strictEqual((yield* answer(post(hello))).status, 400)
    })
  })
})
