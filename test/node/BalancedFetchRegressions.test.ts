import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import {
  answer,
  balancing,
  base,
  chatUrl,
  chunk,
  completion,
  hello,
  jsonHeaders,
  post,
  service,
  streaming,
  within
} from "../support/PlainBalancer.ts"
import { json, listen, type PlainServer } from "../support/PlainServer.ts"
import { eventually, inFlight, pause } from "../support/Served.ts"

const transcriptions = `${base}/audio/transcriptions`

const formOf = (model: string): FormData => {
  const form = new FormData()
  form.append("model", model)
  form.append("file", new File(["RIFF"], "x.wav"))
  return form
}

const sentModels = async ({ received }: PlainServer): Promise<ReadonlyArray<unknown>> => {
  const [{ body, headers }] = received as [typeof received[number]]
  const type = headers["content-type"]!
  const form = await new Response(new Uint8Array(body), { headers: { "content-type": type } }).formData()
  assert.strictEqual((form.get("file") as File).size, 4)
  return form.getAll("model")
}

describe("a name beyond Latin-1", () => {
  it("of a resource is told in a header of the answer, and the answer comes", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("東京", server.url)))
    const response = await within(lb.fetch(chatUrl, post(hello)))
    assert(response instanceof Response, String(response))
    assert.deepStrictEqual([response.status, await response.json()], [200, answer])
    assert.strictEqual(decodeURIComponent(response.headers.get("x-evenkeel-deployment")!), "東京/m")
  })

  it("of a model that a caller asks a wildcard for is answered", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url, { name: "*" })))
    const response = await within(lb.fetch(chatUrl, post({ ...hello, model: "模型" })))
    assert.propertyVal(response, "status", 200)
    assert.strictEqual((JSON.parse(server.received[0]!.body.toString()) as typeof hello).model, "模型")
  })

  const readings: ReadonlyArray<readonly [string, (response: Response) => Promise<unknown>]> = [
    ["its bytes", (response) => response.arrayBuffer()],
    ["a blob", (response) => response.blob()],
    ["a copy", (response) => response.clone().text()]
  ]
  for (const [name, read] of readings) {
    it(`does not keep the official client from reading an answer as ${name}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("東京", server.url)))
      const response = await lb.openai.chat.completions.create(hello).asResponse()
      const content = await within(read(response))
      assert.notInstanceOf(content, Error)
      assert.notStrictEqual(content, "nothing came of it")
    })
  }

  it("holds no stream for ever", async () => {
    await using server = await listen(streaming([chunk("a")], { stalls: true }))
    await using lb = createLoadBalancer({ ...balancing(service("東京", server.url)), timeouts: { total: 300 } })
    const response = await within(lb.fetch(chatUrl, post({ ...hello, stream: true })))
    assert(response instanceof Response, String(response))
    await eventually(() => inFlight(lb) === 0 && server.connections().open === 0)
  })
})

/** A server that takes a while. */
const slowly = () =>
  listen((_, response) => {
    setTimeout(() => json(response, answer), 60)
  })

/** What comes of a fetch that is aborted after so many microtasks. */
const abortAfter = async (lb: LoadBalancerClient, microtasks: number): Promise<string> => {
  const controller = new AbortController()
  const asking = lb.fetch(chatUrl, { ...post(hello), signal: controller.signal })
    .then(() => "answered", (error: Error) => error.name)
  for (let i = 0; i < microtasks; i++) await Promise.resolve()
  controller.abort()
  return asking
}

describe("an abort", () => {
  it("is heard in each of the microtasks between reading the body and sending", async () => {
    await using server = await slowly()
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, i) => abortAfter(lb, i)))
    assert.deepStrictEqual(outcomes, outcomes.map(() => "AbortError"))
    assert.strictEqual(inFlight(lb), 0)
  })

  it("is heard in each of the microtasks after the last chunk of a streamed body", async () => {
    await using server = await slowly()
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const ask = async (microtasks: number): Promise<string> => {
      const controller = new AbortController()
      const body = new ReadableStream({
        async pull(sink) {
          sink.enqueue(new TextEncoder().encode(JSON.stringify(hello)))
          sink.close()
          for (let i = 0; i < microtasks; i++) await Promise.resolve()
          controller.abort()
        }
      })
      const init = { method: "POST", headers: jsonHeaders, body, duplex: "half", signal: controller.signal }
      return lb.fetch(chatUrl, init as RequestInit).then(() => "answered", (error: Error) => error.name)
    }
    const outcomes = await Promise.all(Array.from({ length: 40 }, (_, i) => ask(i)))
    assert.deepStrictEqual(outcomes, outcomes.map(() => "AbortError"))
  })

  for (const kind of ["init", "Request"] as const) {
    it(`cancels a streamed body, which is read no more: given with ${kind}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      let pulls = 0
      let isCancelled = false
      const body = new ReadableStream({
        async pull(sink) {
          pulls++
          await pause(1)
          sink.enqueue(new Uint8Array(1_000))
        },
        cancel() {
          isCancelled = true
        }
      })
      const controller = new AbortController()
      const headers = { "content-type": "application/octet-stream" }
      const init = { method: "POST", headers, body, duplex: "half", signal: controller.signal } as RequestInit
      const asking = kind === "init"
        ? lb.fetch(`${base}/files`, init)
        : lb.fetch(new Request(`${base}/files`, init))
      const failed = within(asking)
      await eventually(() => pulls > 5)
      controller.abort()
      assert.propertyVal(await failed, "name", "AbortError")
      await eventually(() => isCancelled)
      const before = pulls
      await pause(50)
      assert.isAtMost(pulls - before, 1)
      assert.lengthOf(server.received, 0)
    })
  }
})

describe("a form", () => {
  for (const kind of ["init", "Request"] as const) {
    it(`is balanced by its model, and keeps its file: given with ${kind}`, async () => {
      await using server = await listen((_, response) => json(response, { text: "Hello." }))
      const other = service("other", "http://127.0.0.1:1", { name: "else" })
      await using lb = createLoadBalancer(
        balancing(other, service("a", server.url, { name: "served", model: "m" }))
      )
      const init = { method: "POST", body: formOf("m") }
      const asked = kind === "init" ? lb.fetch(transcriptions, init) : lb.fetch(new Request(transcriptions, init))
      assert.strictEqual((await asked).status, 200)
      assert.deepStrictEqual(await sentModels(server), ["served"])
    })
  }
})

describe("a body of JSON", () => {
  const types: ReadonlyArray<readonly [string, HeadersInit]> = [
    ["in capitals", { "content-type": "Application/JSON" }],
    ["with a character set, in capitals", { "Content-Type": "APPLICATION/JSON; Charset=UTF-8" }],
    ["of a kind of JSON", { "content-type": "application/vnd.api+json" }],
    ["missing, as for a text", {}],
    ["of plain text", { "content-type": "text/plain" }]
  ]
  for (const [name, headers] of types) {
    it(`is understood whose content type is ${name}`, async () => {
      await using server = await listen(completion)
      await using lb = createLoadBalancer(balancing(service("r", server.url, { name: "served", model: "m" })))
      const response = await lb.fetch(chatUrl, { ...post(hello), headers })
      assert.strictEqual(response.status, 200)
      const [{ body, headers: sent }] = server.received as [PlainServer["received"][number]]
      assert.strictEqual((JSON.parse(body.toString()) as typeof hello).model, "served")
      assert.match(sent["content-type"]!, /^application\/json/)
    })
  }
})

describe("a body of another kind", () => {
  const bodies: ReadonlyArray<readonly [string, () => RequestInit]> = [
    ["a text", () => ({ body: "grüß dich" })],
    ["parameters", () => ({ body: new URLSearchParams({ a: "1 2", b: "ü" }) })],
    ["a blob with a type", () => ({ body: new Blob(["x"], { type: "image/png" }) })],
    ["a blob without one", () => ({ body: new Blob(["x"]) })],
    ["bytes", () => ({ body: new Uint8Array([0, 255]) })],
    ["a stream", () => ({ body: new Blob(["x"]).stream(), duplex: "half" }) as RequestInit],
    ["a text with a type of its own", () => ({ body: "a,b", headers: { "content-type": "text/csv" } })]
  ]
  for (const [name, init] of bodies) {
    it(`is sent as the platform's fetch sends it: ${name}`, async () => {
      await using server = await listen((_, response) => json(response, {}))
      await using lb = createLoadBalancer(balancing(service("r", server.url)))
      await fetch(`${server.url}/v1/files`, { method: "POST", ...init() })
      await lb.fetch(`${base}/files`, { method: "POST", ...init() })
      await lb.fetch(new Request(`${base}/files`, { method: "POST", ...init() }))
      const sent = server.received.map(({ body, headers }) => [headers["content-type"], body.toString("hex")])
      assert.lengthOf(sent, 3)
      assert.deepStrictEqual(sent, [sent[0], sent[0], sent[0]])
    })
  }
})

describe("embeddings with stream: true", () => {
  it("are answered, and blame nobody", async () => {
    const usage = { prompt_tokens: 1, total_tokens: 1 }
    const list = { object: "list", data: [{ object: "embedding", embedding: [1], index: 0 }], usage }
    await using server = await listen((_, response) => json(response, list))
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    for (let i = 0; i < 6; i++) {
      const response = await lb.fetch(`${base}/embeddings`, post({ model: "m", input: "x", stream: true }))
      assert.deepStrictEqual([response.status, await response.json()], [200, list])
    }
    assert.strictEqual(lb.snapshot().deployments[0]!.state, "healthy")
  })
})
