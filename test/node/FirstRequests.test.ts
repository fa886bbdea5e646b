import * as UndiciTransport from "#node/UndiciTransport"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { listen } from "../support/PlainServer.ts"
import { eventually } from "../support/Served.ts"

// alone in its file: what undici is loaded for first happens once in a process
describe("the first requests of a process", () => {
  it("share one pool while undici is loaded for them, and leave nothing open", async () => {
    await using server = await listen((_, response) => setTimeout(() => response.end("fine"), 30))
    const send = Effect.gen(function*() {
      const { send } = yield* UndiciTransport.make({ connections: 2 })
      const request = { resource: "r", origin: server.url, path: "/", method: "GET", headers: {}, body: undefined }
      const ask = Effect.flatMap(send(request), ({ text }) => text)
      return yield* Effect.all(Array.from({ length: 10 }, () => ask), { concurrency: "unbounded" })
    })
    const texts = await Effect.runPromise(Effect.scoped(send))
    assert.lengthOf(texts, 10)
    assert.strictEqual(server.connections().made, 2)
    await eventually(() => server.connections().open === 0)
  })
})
