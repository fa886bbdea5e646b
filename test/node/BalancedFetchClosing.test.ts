import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import {
  balancing,
  base,
  chatUrl,
  chunk,
  completion,
  errorOf,
  event,
  hello,
  jsonHeaders,
  post,
  service,
  stop,
  streaming,
  within
} from "../support/PlainBalancer.ts"
import { type Handler, listen } from "../support/PlainServer.ts"
import { collect, eventually, inFlight, pause } from "../support/Served.ts"

/** Half of a file, and then nothing. */
const half: Handler = (_, response) => {
  response.writeHead(200, { "content-type": "application/octet-stream" })
  response.write(Buffer.from([1, 2, 3]))
}

describe("a raw body that is read while its balancer is closed", () => {
  const readings: ReadonlyArray<
    readonly [string, (response: Response, close: () => Promise<void>) => Promise<unknown>]
  > = [
    ["read to its end", async (response, close) => {
      const reading = within(response.arrayBuffer())
      await pause(30)
      await close()
      return reading
    }],
    ["between two reads", async (response, close) => {
      const reader = response.body!.getReader()
      assert.deepStrictEqual([...(await reader.read()).value!], [1, 2, 3])
      await close()
      return within(reader.read())
    }],
    ["not read yet", async (response, close) => {
      await close()
      return within(response.arrayBuffer())
    }],
    ["iterated", async (response, close) => {
      const reading = within(collect(response.body as unknown as AsyncIterable<Uint8Array>))
      await pause(30)
      await close()
      return reading
    }]
  ]
  for (const [name, read] of readings) {
    it(`fails, and is not given text for bytes: ${name}`, async () => {
      await using server = await listen(half)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      const response = await lb.fetch(`${base}/files/file-abcdef1/content`)
      assert.instanceOf(await read(response, lb.close), TypeError)
      await eventually(() => inFlight(lb) === 0)
    })
  }

  it("fails for the official client too", async () => {
    await using server = await listen(half)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const response = await lb.openai.files.content("file-abcdef1")
    const reading = within(response.arrayBuffer())
    await pause(30)
    await lb.close()
    assert.instanceOf(await reading, TypeError)
  })
})

describe("a stream that had wholly come when its balancer was closed", () => {
  it("ends well after its last event", async () => {
    const response = { id: "resp_1", object: "response", status: "completed", output: [] }
    await using server = await listen(streaming([
      event("response.created", { response }),
      event("response.output_text.delta", { delta: "a" }),
      event("response.completed", { response })
    ]))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const stream = await lb.openai.responses.create({ model: "m", input: "x", stream: true })
    const seen: Array<string> = []
    for await (const { type } of stream) {
      seen.push(type)
      if (type === "response.completed") await lb.close()
    }
    assert.deepStrictEqual(seen, ["response.created", "response.output_text.delta", "response.completed"])
  })

  it("is given out though nothing of it had been read", async () => {
    await using server = await listen((_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" })
      response.end(`${chunk("a")}${chunk("b")}${stop}`)
    })
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const stream = await lb.openai.chat.completions.create({ ...hello, stream: true })
    await eventually(() => lb.snapshot().deployments[0]!.totals.succeeded === 1)
    await lb.close()
    const contents = (await collect(stream)).map(({ choices }) => choices[0]?.delta.content)
    assert.deepStrictEqual(contents.slice(0, 2), ["a", "b"])
  })
})

describe("a stream that had not come to its end when its balancer was closed", () => {
  it("ends with an error event in each of its copies", async () => {
    await using server = await listen(streaming([chunk("a")], { stalls: true }))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const response = await lb.fetch(chatUrl, post({ ...hello, stream: true }))
    const copies = [response, response.clone()]
    await pause(20)
    await lb.close()
    for (const copy of await Promise.all(copies.map((body) => within(body.text())))) {
      assert.match(String(copy), /\n\ndata: \{"error":\{[^\n]*\n\n$/)
    }
  })
})

describe("closing", () => {
  it("ends a fetch whose body never comes, and cancels that", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    let isCancelled = false
    const body = new ReadableStream({
      pull: () => new Promise(() => {}),
      cancel: () => {
        isCancelled = true
      }
    })
    const init = { method: "POST", headers: jsonHeaders, body, duplex: "half" } as RequestInit
    const asking = within(lb.fetch(chatUrl, init))
    await pause(20)
    await lb.close()
    const response = await asking
    assert(response instanceof Response, String(response))
    assert.deepStrictEqual([response.status, (await errorOf(response)).code], [503, "unavailable_closed"])
    assert.isTrue(isCancelled)
    assert.lengthOf(server.received, 0)
  })
})
