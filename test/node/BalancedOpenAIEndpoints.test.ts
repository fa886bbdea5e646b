import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer } from "@evenkeel/node"
import type OpenAI from "openai"
import { type Handler, json, listen, type PlainServer, type Received } from "../support/PlainServer.ts"
import { collect, failureOf, resource, type ResourceOptions, serve } from "../support/Served.ts"

const east: ResourceOptions = resource("east")

describe("responses through lb.openai", () => {
  it("go on where they are stored, and are found there again", async () => {
    await using served = await serve([east, resource("west"), resource("north")])
    const { openai } = served.lb
    const firsts = await Promise.all(
      Array.from({ length: 9 }, () => openai.responses.create({ model: "gpt-4o", input: "Hello" }))
    )
    const before = served.sends()
    await Promise.all(firsts.map(async ({ id }) => {
      const next = await openai.responses.create({ model: "gpt-4o", input: "And?", previous_response_id: id })
      assert.strictEqual(next.previous_response_id, id)
      assert.strictEqual((await openai.responses.retrieve(id)).id, id)
      const streamed = await collect(
        await openai.responses.create({ model: "gpt-4o", input: "So?", previous_response_id: next.id, stream: true })
      )
      assert.strictEqual(streamed.at(-1)!.type, "response.completed")
    }))
    // none was asked for in a wrong place
    assert.strictEqual(served.sends() - before, 27)
    const { id } = firsts[0]!
    await openai.responses.delete(id)
    assert.propertyVal(await failureOf(openai.responses.retrieve(id)), "status", 404)
  })

  it("belong to a conversation, which is found wherever it is", async () => {
    await using served = await serve([east, resource("west"), resource("north")])
    const { openai } = served.lb
    const { id } = await openai.conversations.create({ metadata: { a: "b" } })
    await Promise.all(
      Array.from({ length: 6 }, () => openai.responses.create({ model: "gpt-4o", input: "Hello", conversation: id }))
    )
    const before = served.sends()
    await openai.responses.create({ model: "gpt-4o", input: "And?", conversation: { id } })
    assert.strictEqual((await openai.conversations.retrieve(id)).id, id)
    // its resource is known by now
    assert.strictEqual(served.sends() - before, 2)
  })
})

/** A balancer over compatible resources that are servers of our own: the first is the default one. */
const overPlain = (servers: Readonly<Record<string, PlainServer>>, models: Readonly<Record<string, string>>) =>
  createLoadBalancer({
    resources: Object.entries(servers).map(([name, { url }]) => ({
      name,
      provider: "compatible",
      endpoint: `${url}/v1`,
      apiKey: `${name}-key`,
      deployments: [{ name: `${models[name]!}-here`, model: models[name]! }]
    })),
    health: { check: { kind: "none" } }
  })

const files = ["file-aaaaaa", "file-bbbbbb", "file-cccccc", "file-dddddd", "file-eeeeee"]

const formOf = ({ body, headers }: Received): Promise<FormData> =>
  new Response(new Uint8Array(body), { headers: { "content-type": headers["content-type"]! } }).formData()

/** Files and a few endpoints with a model, as OpenAI has them. */
const platform: Handler = ({ body, method, url }, response) => {
  const { pathname, searchParams } = new URL(url, "http://platform")
  if (method === "GET" && pathname === "/v1/files") {
    const from = files.indexOf(searchParams.get("after") ?? "") + 1
    const data = files.slice(from, from + 2).map((id) => ({ id, object: "file" }))
    return json(response, { object: "list", data, has_more: from + 2 < files.length })
  }
  if (pathname === "/v1/audio/speech") {
    response.writeHead(200, { "content-type": "application/octet-stream" })
    return response.end(Buffer.from([0, 1, 2, 255, 254]))
  }
  if (pathname === "/v1/audio/transcriptions") return json(response, { text: "Hello." })
  if (pathname === "/v1/images/generations") return json(response, { created: 1, data: [{ b64_json: "AA==" }] })
  if (pathname === "/v1/moderations") {
    return json(response, { id: "modr-1", model: JSON.parse(String(body)).model, results: [] })
  }
  json(response, { error: { message: `nothing at ${method} ${url}`, type: "x", code: null, param: null } }, 404)
}

/** Answers that a batch gets, one after the other; the last one ever after. */
const inTurn = (...statuses: ReadonlyArray<number>): Handler => {
  let turn = 0
  return (_, response) => {
    const status = statuses[Math.min(turn++, statuses.length - 1)]!
    response.setHeader("retry-after-ms", "20")
    json(response, status === 200 ? { id: "batch_abcdef", object: "batch" } : { error: { message: "no" } }, status)
  }
}

const batch = { input_file_id: "file-aaaaaa", endpoint: "/v1/chat/completions", completion_window: "24h" } as const

describe("an endpoint with side effects", () => {
  it("is sent once when it may have been processed", async () => {
    await using server = await listen(inTurn(500))
    await using lb = overPlain({ a: server }, { a: "gpt-4o" })
    assert.propertyVal(await failureOf(lb.openai.batches.create(batch, { maxRetries: 3 })), "status", 503)
    assert.strictEqual(server.received.length, 1)
  })

  it("is sent again when it surely was not", async () => {
    await using server = await listen(inTurn(429, 429, 200))
    await using lb = overPlain({ a: server }, { a: "gpt-4o" })
    assert.strictEqual((await lb.openai.batches.create(batch)).id, "batch_abcdef")
    assert.strictEqual(server.received.length, 3)
    assert.deepStrictEqual(JSON.parse(String(server.received[2]!.body)), batch)
  })
})

describe("other endpoints of lb.openai", () => {
  it("list models, page by page where there are pages", async () => {
    await using served = await serve([east])
    const listed = await collect(served.lb.openai.models.list())
    assert.deepStrictEqual(listed.map(({ id }) => id), ["gpt-4o"])

    await using server = await listen(platform)
    await using lb = overPlain({ a: server }, { a: "gpt-4o" })
    assert.deepStrictEqual((await collect(lb.openai.files.list())).map(({ id }) => id), files)
    assert.deepStrictEqual(server.received.map(({ url }) => url), [
      "/v1/files",
      "/v1/files?after=file-bbbbbb",
      "/v1/files?after=file-dddddd"
    ])
    const first = await lb.openai.files.list()
    assert.isTrue(first.hasNextPage())
    assert.deepStrictEqual((await first.getNextPage()).data.map(({ id }) => id), files.slice(2, 4))
  })

  it("go to the default resource when they name no model", async () => {
    await using first = await listen(platform)
    await using second = await listen(platform)
    await using lb = overPlain({ a: first, b: second }, { a: "gpt-4o", b: "gpt-4o" })
    await Promise.all(Array.from({ length: 8 }, () => lb.openai.files.list()))
    assert.deepStrictEqual([first.received.length, second.received.length], [8, 0])
  })

  it("go to a deployment of their model when they name one", async () => {
    await using first = await listen(platform)
    await using second = await listen(platform)
    await using lb = overPlain({ a: first, b: second }, { a: "gpt-4o", b: "small" })
    const { openai } = lb
    const speech = await openai.audio.speech.create({ model: "small", voice: "alloy", input: "Hello" })
    assert.strictEqual((await speech.arrayBuffer()).byteLength, 5)
    await openai.images.generate({ model: "small", prompt: "a boat" })
    assert.strictEqual((await openai.moderations.create({ model: "small", input: "x" })).model, "small-here")
    assert.deepStrictEqual([first.received.length, second.received.length], [0, 3])
    assert.deepStrictEqual(second.received.map(({ body }) => JSON.parse(String(body)).model), [
      "small-here",
      "small-here",
      "small-here"
    ])
  })

  it("go to a deployment of their model when a form names it", async () => {
    await using first = await listen(platform)
    await using second = await listen(platform)
    await using lb = overPlain({ a: first, b: second }, { a: "gpt-4o", b: "whisper" })
    const file = new File([Buffer.from("riff")], "x.wav")
    const { text }: OpenAI.Audio.Transcription = await lb.openai.audio.transcriptions.create({ model: "whisper", file })
    assert.strictEqual(text, "Hello.")
    assert.deepStrictEqual([first.received.length, second.received.length], [0, 1])
    const [upload] = second.received
    const form = await formOf(upload!)
    assert.strictEqual(form.get("model"), "whisper-here")
  })
})
