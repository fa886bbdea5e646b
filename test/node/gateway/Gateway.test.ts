import { assert, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import OpenAI, { AuthenticationError, AzureOpenAI, NotFoundError, PermissionDeniedError, RateLimitError } from "openai"
import { until } from "../../support/Edge.ts"
import { gated } from "../../support/Gated.ts"
import { failureAs, fast } from "../../support/Served.ts"

const deployments = [
  { name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello from here." },
  { name: "emb", model: "text-embedding-3-small", latency: fast, dimensions: 8 }
] as const

const east = { name: "east", deployments: [...deployments] }
const west = { name: "west", deployments: [...deployments] }

const messages = [{ role: "user" as const, content: "Hello" }]

const ask = (client: OpenAI) => client.chat.completions.create({ model: "gpt-4o", messages })

const clientOf = (url: string, apiKey = "any") => new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })

describe("the gateway", () => {
  it("answers the official client, whole and streamed, and says who answered", async () => {
    await using gateway = await gated([east, west])
    const client = clientOf(gateway.url)
    const { data, response } = await client.chat.completions.create({ model: "gpt-4o", messages }).withResponse()
    assert.strictEqual(data.choices[0]?.message.content, "Hello from here.")
    assert.match(response.headers.get("x-evenkeel-deployment") ?? "", /^(?:east|west)\/gpt$/)
    assert.strictEqual(response.headers.get("x-evenkeel-attempts"), "1")
    assert.ok((response.headers.get("x-evenkeel-request-ids") ?? "") !== "")
    let text = ""
    for await (const chunk of await client.chat.completions.create({ model: "gpt-4o", messages, stream: true })) {
      text += chunk.choices[0]?.delta.content ?? ""
    }
    assert.strictEqual(text, "Hello from here.")
    const { data: vectors } = await client.embeddings.create({ model: "text-embedding-3-small", input: "a" })
    assert.strictEqual(vectors.length, 1)
  })

  it("answers unchanged clients of Azure, by the names of deployments", async () => {
    await using gateway = await gated([east, west])
    const client = new AzureOpenAI({ apiKey: "any", endpoint: gateway.url, apiVersion: "2024-10-21", maxRetries: 0 })
    const answer = await client.chat.completions.create({ model: "gpt", messages })
    assert.strictEqual(answer.choices[0]?.message.content, "Hello from here.")
  })

  it("lists the models that are configured", async () => {
    await using gateway = await gated([east])
    const { data } = await clientOf(gateway.url).models.list()
    assert.deepStrictEqual(data.map(({ id }) => id).toSorted(), ["gpt-4o", "text-embedding-3-small"])
  })

  it("keeps, finds, cancels and deletes responses where they are", async () => {
    await using gateway = await gated([east, west])
    const client = clientOf(gateway.url)
    const made = await client.responses.create({ model: "gpt-4o", input: "Hello", store: true })
    assert.strictEqual((await client.responses.retrieve(made.id)).id, made.id)
    assert.isArray((await client.responses.inputItems.list(made.id)).data)
    await client.responses.delete(made.id)
    await failureAs(client.responses.retrieve(made.id), NotFoundError)
  })

  it("fails over before its caller notices, and says how often it tried", async () => {
    await using gateway = await gated([east, west])
    gateway.simulator.service("east").fault("*", { kind: "status", status: 500 })
    const client = clientOf(gateway.url)
    const attempts = new Set<string | null>()
    for (let i = 0; i < 10; i++) {
      const { response } = await client.chat.completions.create({ model: "gpt-4o", messages }).withResponse()
      assert.strictEqual(response.headers.get("x-evenkeel-deployment"), "west/gpt")
      attempts.add(response.headers.get("x-evenkeel-attempts"))
    }
    assert.ok(attempts.has("2"))
  })
})

const keyed = (name: string, more: object = {}) => ({
  name,
  sha256: createHash("sha256").update(`secret-of-${name}`).digest("hex"),
  ...more
})

describe("keys of the gateway", () => {
  it("let in whoever has one, as Bearer or api-key, and nobody else", async () => {
    await using gateway = await gated([east], { gateway: { keys: [keyed("a"), keyed("b", { operator: true })] } })
    await ask(clientOf(gateway.url, "secret-of-a"))
    await ask(new AzureOpenAI({ apiKey: "secret-of-b", endpoint: gateway.url, apiVersion: "2024-10-21" }))
    for (const wrong of ["secret-of-c", "secret-of-", createHash("sha256").update("secret-of-a").digest("hex")]) {
      const error = await failureAs(ask(clientOf(gateway.url, wrong)), AuthenticationError)
      assert.notInclude(error.message, wrong)
    }
    const refused = await fetch(`${gateway.url}/v1/models`)
    assert.deepStrictEqual([refused.status, refused.headers.get("www-authenticate")], [401, "Bearer"])
  })

  it("open no more than the models that they name", async () => {
    await using gateway = await gated([east], { gateway: { keys: [keyed("a", { models: ["gpt-4o"] })] } })
    const client = clientOf(gateway.url, "secret-of-a")
    await client.chat.completions.create({ model: "gpt-4o", messages })
    assert.deepStrictEqual((await client.models.list()).data.map(({ id }) => id), ["gpt-4o"])
    await failureAs(client.embeddings.create({ model: "text-embedding-3-small", input: "a" }), PermissionDeniedError)
    const form = new FormData()
    for (const model of ["gpt-4o", "text-embedding-3-small"]) form.append("model", model)
    const authorization = "Bearer secret-of-a"
    const two = await fetch(`${gateway.url}/v1/images/edits`, {
      method: "POST",
      body: form,
      headers: { authorization }
    })
    assert.strictEqual(two.status, 400)
    await failureAs(client.files.list().then((page) => page.data), PermissionDeniedError)
  })

  it("have limits of their own, and say when to come back", async () => {
    await using gateway = await gated([east], { gateway: { keys: [keyed("a", { rpm: 2 }), keyed("b")] } })
    const [a, b] = ["a", "b"].map((key) => clientOf(gateway.url, `secret-of-${key}`)) as [OpenAI, OpenAI]
    await ask(a)
    await ask(a)
    const error = await failureAs(ask(a), RateLimitError)
    assert.isAbove(Number(error.headers?.get("retry-after")), 0)
    await ask(b)
    assert.strictEqual(gateway.simulator.service("east").stats(Date.now()).deployments["gpt"]!.requests, 3)
  })

  it("open the operator's pages to operators alone", async () => {
    await using gateway = await gated([east], { gateway: { keys: [keyed("a"), keyed("b", { operator: true })] } })
    const statusOf = async (path: string, key: string) =>
      (await fetch(gateway.url + path, { headers: { authorization: `Bearer secret-of-${key}` } })).status
    for (const path of ["/status", "/metrics", "/decisions", "/explain?model=gpt-4o"]) {
      assert.deepStrictEqual([await statusOf(path, "a"), await statusOf(path, "b")], [403, 200])
      await Promise.all([{}, { authorization: "Bearer secret-of-c" }].map(async (headers) => {
        const refused = await fetch(gateway.url + path, { headers: headers as Record<string, string> })
        assert.strictEqual(refused.status, 401)
        assert.strictEqual(refused.headers.get("www-authenticate"), "Bearer")
        const { error } = await refused.json() as {
          readonly error: { readonly code: string; readonly message: string }
        }
        assert.strictEqual(error.code, "invalid_api_key")
        assert.include(error.message, "This page is for operators")
      }))
    }
    assert.strictEqual((await fetch(`${gateway.url}/healthz`)).status, 200)
    await until(async () => (await fetch(`${gateway.url}/readyz`)).status === 200)
  })
})

describe("metrics of the gateway", () => {
  it("tell what each key asked for, and was answered", async () => {
    await using gateway = await gated([east], { gateway: { keys: [keyed("a"), keyed("b", { operator: true })] } })
    await ask(clientOf(gateway.url, "secret-of-a"))
    await failureAs(ask(clientOf(gateway.url, "wrong")), AuthenticationError)
    const headers = { authorization: "Bearer secret-of-b" }
    const page = await (await fetch(`${gateway.url}/metrics`, { headers })).text()
    assert.match(
      page,
      /^evenkeel_gateway_requests_total\{[^}]*evenkeel_key="a"[^}]*http_response_status_code="200"[^}]*\} [1-9]/m
    )
    assert.match(page, /^evenkeel_gateway_requests_total\{[^}]*http_response_status_code="401"[^}]*\} [1-9]/m)
    assert.match(
      page,
      /^evenkeel_gateway_tokens_total\{[^}]*evenkeel_key="a"[^}]*gen_ai_token_type="output"[^}]*\} [1-9]/m
    )
    assert.notInclude(page, "secret")
  })
})
