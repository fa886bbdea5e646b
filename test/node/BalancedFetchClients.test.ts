import { assert, describe, it } from "@effect/vitest"
import OpenAI, { AzureOpenAI, InternalServerError } from "openai"
import {
  collect,
  failureAs,
  fast,
  hello,
  inFlight,
  serve,
  type Served,
  type ServeOptions,
  urlOf
} from "../support/Served.ts"

const version = "2025-04-01-preview"

const twoResources = (options?: ServeOptions) =>
  serve(
    ["east", "west"].map((name) => ({
      name,
      deployments: [
        { name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello from here." },
        { name: "emb", model: "text-embedding-3-small", latency: fast, dimensions: 8 }
      ]
    })),
    options
  )

/** Clients of others, each with a key of its own that must go nowhere. */
const clients: ReadonlyArray<readonly [string, ServeOptions, (served: Served) => OpenAI]> = [
  ["OpenAI", {}, ({ lb }) => new OpenAI({ apiKey: "foreign", fetch: lb.fetch })],
  [
    "OpenAI at a resource's v1",
    {},
    ({ lb, simulator }) =>
      new OpenAI({ apiKey: "foreign", baseURL: `${urlOf(simulator, "east")}/openai/v1/`, fetch: lb.fetch })
  ],
  [
    "AzureOpenAI at classic resources",
    { apiVersion: version },
    ({ lb, simulator }) =>
      new AzureOpenAI({ apiKey: "foreign", endpoint: urlOf(simulator, "east"), apiVersion: version, fetch: lb.fetch })
  ],
  ["AzureOpenAI with a token, at classic resources", { apiVersion: version }, ({ lb, simulator }) =>
    new AzureOpenAI({
      azureADTokenProvider: async () => "foreign",
      endpoint: urlOf(simulator, "west"),
      apiVersion: version,
      fetch: lb.fetch
    })],
  [
    "AzureOpenAI at v1 resources",
    {},
    ({ lb, simulator }) =>
      new AzureOpenAI({ apiKey: "foreign", endpoint: urlOf(simulator, "east"), apiVersion: version, fetch: lb.fetch })
  ],
  [
    "OpenAI at a resource's v1, of classic resources",
    { apiVersion: version },
    ({ lb, simulator }) =>
      new OpenAI({ apiKey: "foreign", baseURL: `${urlOf(simulator, "east")}/openai/v1`, fetch: lb.fetch })
  ]
]

describe("lb.fetch below a client of others", () => {
  for (const [name, options, make] of clients) {
    it(`balances ${name}`, async () => {
      await using served = await twoResources(options)
      const client = make(served)
      // at once, so that each of them gets some
      const answers = await Promise.all(Array.from({ length: 12 }, () => client.chat.completions.create(hello)))
      for (const answer of answers) {
        assert.strictEqual(answer.choices[0]!.message.content, "Hello from here.")
        assert.isString(answer._request_id)
      }
      const chunks = await collect(await client.chat.completions.create({ ...hello, stream: true }))
      assert.isFalse(chunks.some(({ choices, usage }) => choices.length === 0 && usage !== undefined && usage !== null))
      assert.strictEqual(chunks.at(-1)!.choices[0]!.finish_reason, "stop")
      const { data } = await client.embeddings.create({ model: "text-embedding-3-small", input: "one" })
      assert.strictEqual(data[0]!.embedding.length, 8)
      const first = await client.responses.create({ model: "gpt-4o", input: "Hello" })
      const next = await client.responses.create({ model: "gpt-4o", input: "And?", previous_response_id: first.id })
      assert.strictEqual(next.previous_response_id, first.id)
      for (const name of ["east", "west"]) {
        assert.isAbove(served.stats(name).requests, 0)
        assert.deepStrictEqual(served.stats(name).credentials, [`${name}-key`])
        assert.deepInclude(served.stats(name), { unauthorized: 0, inFlight: 0 })
      }
      const { deployments } = served.lb.snapshot()
      assert.strictEqual(inFlight(served.lb), 0)
      // known for what they are: chat, its stream, embeddings and both responses were settled by what was billed
      assert.strictEqual(
        deployments.reduce((sum, { totals }) => sum + totals.completionTokens, 0),
        ["east", "west"].reduce((sum, name) => sum + served.stats(name).deployments["gpt"]!.completionTokens, 0)
      )
    })

    it(`fails over below ${name}, which is told not to retry`, async () => {
      await using served = await twoResources({ ...options, failover: { backoff: 1, maxBackoff: 1 } })
      const client = make(served)
      served.service("east").fault("gpt", { kind: "status", status: 500 })
      await client.chat.completions.create(hello)
      served.service("west").fault("gpt", { kind: "status", status: 500 })
      const before = served.sends()
      const error = await failureAs(client.chat.completions.create(hello, { maxRetries: 2 }), InternalServerError)
      assert.strictEqual(error.status, 503)
      assert.isAtMost(served.sends() - before, 3)
    })
  }
})
