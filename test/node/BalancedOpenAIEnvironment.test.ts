import { assert, describe, it } from "@effect/vitest"
import { runChild } from "../support/Child.ts"
import { type Handler, json, listen } from "../support/PlainServer.ts"

const chunk = (delta: unknown, finish_reason: string | null): string =>
  `data: ${JSON.stringify({ id: "1", choices: [{ index: 0, delta, finish_reason }] })}\n\n`

/** A service that answers everything, and has seen everything. */
const answer: Handler = ({ body, method }, response) => {
  if (method === "GET") return json(response, { object: "list", data: [] })
  const message = { role: "assistant", content: "Hello." }
  if (JSON.parse(String(body)).stream !== true) {
    return json(response, {
      id: "1",
      object: "chat.completion",
      choices: [{ index: 0, message, finish_reason: "stop" }]
    })
  }
  response.writeHead(200, { "content-type": "text/event-stream" })
  response.end(`${chunk(message, null)}${chunk({}, "stop")}data: [DONE]\n\n`)
}

/** Everything of the SDK's own environment that could change a request, each with a word that must go nowhere. */
const leaking = {
  OPENAI_API_KEY: "leaked-key",
  OPENAI_ADMIN_KEY: "leaked-admin",
  OPENAI_ORG_ID: "leaked-org",
  OPENAI_PROJECT_ID: "leaked-project",
  OPENAI_WEBHOOK_SECRET: "leaked-secret",
  OPENAI_API_VERSION: "2020-01-01-leaked",
  AZURE_OPENAI_API_KEY: "leaked-azure",
  // each of these may cross the border when a caller gives it with a call
  OPENAI_CUSTOM_HEADERS: [
    "Authorization: Bearer leaked",
    "api-key: leaked",
    "X-Session-Id: leaked",
    "OpenAI-Beta: leaked",
    "traceparent: leaked",
    "Accept-Language: leaked",
    "X-Ms-Client-Request-Id: leaked",
    "X-Leaked: leaked",
    "Cookie: leaked"
  ].join("\n")
}

describe("the environment of the official client", () => {
  it("changes nothing of what is sent", async () => {
    await using service = await listen(answer)
    await using elsewhere = await listen(answer)
    const [plain, changed] = await Promise.all([
      runChild("calls", [service.url]),
      runChild("calls", [service.url], {
        ...leaking,
        OPENAI_BASE_URL: `${elsewhere.url}/v1`,
        AZURE_OPENAI_ENDPOINT: elsewhere.url
      })
    ])
    assert.deepStrictEqual([plain.code, plain.stderr], [0, ""])
    assert.deepStrictEqual([changed.code, changed.stderr], [0, ""])
    assert.strictEqual(changed.stdout, plain.stdout)
    assert.deepInclude(JSON.parse(plain.stdout), { content: "Hello.", streamed: "Hello.", sessions: 0 })

    assert.strictEqual(elsewhere.received.length, 0)
    assert.strictEqual(service.received.length, 8)
    for (const { body, headers, url } of service.received) {
      assert.notInclude(JSON.stringify([url, headers, String(body)]), "leaked")
      assert.strictEqual(headers["api-key"], "east-key")
      assert.notProperty(headers, "authorization")
    }
    const betas = service.received.map(({ headers }) => headers["openai-beta"]).filter((beta) => beta !== undefined)
    assert.deepStrictEqual(betas, ["mine", "mine"])
  }, 15_000)
})
