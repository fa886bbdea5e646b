import * as DefaultTransport from "#node/DefaultTransport"
import * as Runtime from "#node/Runtime"
import { assert, describe, it } from "@effect/vitest"
import { defaults } from "@evenkeel/core"
import { createLoadBalancer } from "@evenkeel/node"
import { answer, balancing, chatUrl, completion, hello, post, service } from "../support/PlainBalancer.ts"
import { listen } from "../support/PlainServer.ts"

describe("a Node that is too old", () => {
  for (const node of ["18.20.8", "20.20.2", "22.18.0", undefined]) {
    it(`is told in one sentence: ${node}`, () => {
      assert.throws(() => Runtime.detect({ node }), TypeError, /needs Node\.js 22\.19 or later, and this is/)
    })
  }

  it("is no other", () => {
    for (const node of ["22.19.0", "23.0.0", "24.21.0", "100.1.0"]) assert.strictEqual(Runtime.detect({ node }), "node")
    assert.strictEqual(Runtime.detect({ node: "20.0.0", bun: "1.4.5" }), "bun")
    assert.strictEqual(Runtime.detect({ node: "20.0.0", deno: "2.5.0" }), "deno")
    assert.strictEqual(Runtime.current, "node")
  })
})

describe("a runtime without undici", () => {
  it("is served through its own fetch", async () => {
    await using server = await listen(completion)
    const transport = DefaultTransport.layer(defaults, "bun")
    await using lb = createLoadBalancer(balancing(service("a", server.url)), { transport })
    const response = await lb.fetch(chatUrl, post(hello))
    assert.deepStrictEqual([response.status, await response.json()], [200, answer])
    // undici's own takes nothing compressed
    assert.notStrictEqual(server.received[0]!.headers["accept-encoding"], "identity")
  })
})
