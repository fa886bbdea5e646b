import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import { gzipSync } from "node:zlib"
import {
  answer,
  balancing,
  base,
  chatUrl,
  completion,
  errorOf,
  hello,
  jsonHeaders,
  post,
  service
} from "../support/PlainBalancer.ts"
import { type Handler, listen } from "../support/PlainServer.ts"
import { inFlight } from "../support/Served.ts"

/** Answers encoded, though nobody asked for it. */
const encoded = (status = 200): Handler => (_, response) => {
  response.writeHead(status, { ...jsonHeaders, "content-encoding": "gzip" })
  response.end(gzipSync(JSON.stringify(answer)))
}

/** Whether bytes of something else are in a text. */
const hasControl = (text: string): boolean => [...text].some((character) => character < " ")

describe("an encoding of an answer", () => {
  it("is asked for by nobody", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const headers = { ...jsonHeaders, "accept-encoding": "gzip" }
    await lb.fetch(chatUrl, { ...post(hello), headers })
    await lb.fetch(`${base}/models`)
    await lb.openai.chat.completions.create(hello)
    assert.deepStrictEqual(server.received.map(({ headers: sent }) => sent["accept-encoding"]), [
      "identity",
      "identity",
      "identity"
    ])
  })

  for (const [name, path, init] of [["a chat", "/chat/completions", post(hello)], ["a list", "/models", {}]] as const) {
    it(`that comes all the same is a failure with a name, never bytes: of ${name}`, async () => {
      await using server = await listen(encoded())
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      const response = await lb.fetch(`${base}${path}`, init)
      assert.isAtLeast(response.status, 500)
      assert.match(await response.text(), /content-encoding gzip/)
      assert.strictEqual(inFlight(lb), 0)
    })
  }

  it("of a refusal is not shown as text, and the refusal keeps its status", async () => {
    await using server = await listen(encoded(400))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const response = await lb.fetch(chatUrl, post(hello))
    assert.strictEqual(response.status, 400)
    const { message } = await errorOf(response)
    assert.notMatch(message, /\uFFFD/)
    assert.isFalse(hasControl(message), JSON.stringify(message))
  })

  it("that one service forces sends its requests to another", async () => {
    await using odd = await listen(encoded())
    await using plain = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("odd", odd.url), service("plain", plain.url, { tier: 2 })))
    const response = await lb.fetch(chatUrl, post(hello))
    assert.deepStrictEqual([response.status, await response.json()], [200, answer])
    assert.lengthOf(odd.received, 1)
  })
})
