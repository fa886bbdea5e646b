/** In a file of its own, since the table of prices is loaded once in a process. */
import { Transport } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { azure, completion } from "../support/Scripted.ts"
import { hello } from "../support/Served.ts"

/** Answers at once. */
const transport = Layer.succeed(Transport, {
  send: () =>
    Effect.succeed({
      status: 200,
      headers: { "content-type": "application/json" },
      text: Effect.succeed(JSON.stringify(completion.body)),
      pull: Effect.never,
      abort: () => {},
      discard: () => {}
    })
})

describe("the first answer", () => {
  it("has its cost, though the prices are loaded with the first balancer", async () => {
    await using lb = createLoadBalancer({ resources: [azure("east")] }, { transport })
    const ended = lb.events().next()
    await lb.openai.chat.completions.create(hello)
    const { value } = await ended
    assert.strictEqual(value._tag, "AttemptEnded")
    assert.closeTo(value.cost, (5 * 2.5 + 5 * 10) / 1_000_000, 1e-9)
  })
})
