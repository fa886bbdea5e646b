import { decode } from "#core/config/Config"
import { Deployments } from "#core/deployment/Deployments"
import { isSafePath } from "#core/deployment/Resource"
import * as InboundRequest from "#core/http/InboundRequest"
import * as LlmRequest from "#core/request/LlmRequest"
import { assert, describe, it } from "@effect/vitest"
import { LoadBalancerError, type ResourceInput } from "@evenkeel/core"
import { Effect, Result, Schema } from "effect"
import { check } from "../../support/Check.ts"

const azure = (
  name: string,
  ...deployments: Array<NonNullable<ResourceInput["deployments"]>[number]>
): ResourceInput => ({
  name,
  provider: "azure",
  endpoint: `https://${name}.openai.azure.com`,
  apiKey: "k",
  deployments
})

const compatible = (endpoint: string): ResourceInput => ({
  name: new URL(endpoint).hostname,
  provider: "compatible",
  endpoint,
  deployments: [{ name: "llama" }]
})

const of = (...resources: ReadonlyArray<ResourceInput>): Deployments["Service"] =>
  Effect.runSync(
    Deployments.pipe(Effect.provide(Deployments.layer(Result.getOrThrow(decode({ resources })))), Effect.scoped)
  )

const east = of(azure("east", { name: "chat-prod", model: "gpt-4o" }, { name: "v1", model: "gpt-5" }))

/** Path, query and model that a URL of some host asks for. */
const target = (path: string, deployments = east) => {
  const found = InboundRequest.targetOf(`https://any.example${path}`, deployments)
  const [plain = "", query = ""] = path.split("?")
  assert.deepStrictEqual(InboundRequest.targetOfPath(plain, query, deployments), found)
  return found
}

describe("a URL of the API", () => {
  const chat = { path: "/chat/completions", query: "", model: undefined }
  const version = "api-version=2024-10-21"
  const dated = { ...chat, query: version }

  it.each<[string, InboundRequest.Target]>([
    ["/v1/chat/completions", chat],
    ["/openai/v1/chat/completions", chat],
    ["/openai/v1/chat/completions?api-version=v1", { ...chat, query: "api-version=v1" }],
    [`/openai/deployments/chat-prod/chat/completions?${version}`, { ...dated, model: "gpt-4o" }],
    [`/openai/deployments/gpt-4o/chat/completions?${version}`, { ...dated, model: "gpt-4o" }],
    [`/openai/deployments/a%20b/chat/completions?${version}`, { ...dated, model: "a b" }],
    [`/openai/responses?${version}`, { ...dated, path: "/responses" }],
    ["/v1/files/file-1/content?limit=1", { path: "/files/file-1/content", query: "limit=1", model: undefined }],
    // a Foundry project, a gateway, bases of other providers
    ["/api/projects/P/openai/v1/chat/completions", chat],
    ["/llm/v1/chat/completions", chat],
    ["/team%20a/llm/v1/chat/completions", chat],
    [`/aoai/openai/deployments/chat-prod/chat/completions?${version}`, { ...dated, model: "gpt-4o" }],
    ["/v1/account/gateway/openai/v1/chat/completions", chat],
    ["/v1/account/gateway/openai/chat/completions", chat],
    ["/v1beta/openai/chat/completions", chat],
    ["/v1/openai/chat/completions", chat],
    ["/v1/v1/chat/completions", chat],
    ["/openai/openai/v1/chat/completions", chat],
    ["/v1/deployments/chat-prod/chat/completions", { ...chat, model: "gpt-4o" }],
    // what follows an endpoint is never a base
    ["/v1/files/v1/content", { ...chat, path: "/files/v1/content" }],
    ["/v1/models/openai/models/x", { ...chat, path: "/models/openai/models/x" }],
    ["/v1/threads/t/v1/files", { ...chat, path: "/threads/t/v1/files" }],
    // and a deployment may have any name
    ["/openai/deployments/v1/chat/completions", { ...chat, model: "gpt-5" }],
    ["/openai/deployments/openai/chat/completions", { ...chat, model: "openai" }],
    ["/openai/deployments/chat/completions", { path: "/completions", query: "", model: "chat" }],
    ["/openai/deployments/deployments/chat/completions", { ...chat, model: "deployments" }],
    // endpoints that nobody knows yet, below the bases that every service has
    ["/v1/novelties/n_1", { ...chat, path: "/novelties/n_1" }],
    ["/openai/v1/novelties", { ...chat, path: "/novelties" }],
    [`/openai/deployments/chat-prod/extensions/chat?${version}`, {
      ...dated,
      path: "/extensions/chat",
      model: "gpt-4o"
    }],
    [`/openai/deployments?${version}`, { ...dated, path: "/deployments" }]
  ])("is understood, whatever its host: %s", (path, expected) => {
    assert.deepStrictEqual(target(path), expected)
  })

  it.each([
    "",
    "/",
    "/v1",
    "/v1/",
    "/openai",
    "/openai/v1/",
    "/chat/completions",
    "/v2/chat/completions",
    "/xv1/chat/completions",
    "/v1x/chat/completions",
    "/llm/v1/novelties",
    "/llm/v1/chatter",
    "/api/projects/P/openai/v1",
    "/v1/../admin",
    "/llm/../v1/models",
    "/v1/%2e%2e/admin",
    "/v1/files/..%2fadmin",
    "/a%2fb/v1/models",
    "//v1/models",
    "/v1//models",
    "/llm//v1/models",
    "/v1\\models",
    "/v1/models#x",
    "/v1/%zz/models",
    "/openai/deployments/%2e%2e/chat/completions",
    "/openai/deployments//chat/completions"
  ])("is not what this is: %s", (path) => {
    assert.isUndefined(target(path))
  })

  it.each([
    "/v1/models",
    "any.example/v1/models",
    "//any.example/v1/models",
    "https:/any.example/v1/models",
    "https:///v1/models",
    "file:///v1/models",
    "https://user@any.example/v1/models",
    "https://user:secret@any.example/v1/models",
    "https://any.example\\v1/models",
    "https://any.example?/v1/models",
    "https://any.example#/v1/models"
  ])("has a host of http, and no user: %s", (url) => {
    assert.isUndefined(InboundRequest.targetOf(url, east))
  })

  it("is also below the path of a configured resource, the longest that fits", () => {
    const deployments = of(
      { ...azure("east", { name: "gpt" }), endpoint: "https://gate.example/aoai" },
      compatible("https://b.example/api/paas/v4"),
      compatible("https://c.example/v1/proxy")
    )
    for (
      const [path, expected] of [
        ["/aoai/openai/v1/novelties", "/novelties"],
        ["/aoai/openai/novelties", "/novelties"],
        ["/api/paas/v4/chat/completions", "/chat/completions"],
        ["/v1/proxy/chat/completions", "/chat/completions"],
        ["/v1/proxy/novelties", "/novelties"],
        ["/v1/novelties", "/novelties"]
      ] as const
    ) {
      assert.strictEqual(target(path, deployments)?.path, expected, path)
    }
    assert.isUndefined(target("/api/paas/v4", deployments))
    assert.isUndefined(target("/api/paas/chat/completions", deployments))
  })

  it("may be below nothing, where a configured resource is", () => {
    const deployments = of(compatible("https://plain.example"))
    assert.strictEqual(target("/chat/completions", deployments)?.path, "/chat/completions")
    assert.strictEqual(target("/v1/chat/completions", deployments)?.path, "/chat/completions")
    assert.isUndefined(target("/../admin", deployments))
  })
})

const named = (deployments: Deployments["Service"]) => target("/openai/deployments/chat/responses", deployments)?.model

describe("a deployment that a URL names", () => {
  it("stands for its model, at whichever resource, where all of that name serve one", () => {
    const gpt = { name: "chat", model: "gpt-4o" }
    assert.strictEqual(named(of(azure("east", { name: "x" }), azure("west", gpt))), "gpt-4o")
    assert.strictEqual(named(of(azure("east", gpt), azure("west", gpt))), "gpt-4o")
  })

  it("is taken for a model where they serve several, or none has that name", () => {
    const several = of(azure("east", { name: "chat", model: "a" }), azure("west", { name: "chat", model: "b" }))
    assert.strictEqual(named(several), "chat")
    assert.strictEqual(named(of(azure("east", { name: "x" }))), "chat")
    assert.strictEqual(named(of({ ...compatible("https://b.example/v1"), deployments: [{ name: "*" }] })), "chat")
  })
})

describe("the refusal of a URL", () => {
  it.each([
    ["https://gw.example:8443/secret?key=secret", "https://gw.example:8443/v1"],
    ["https://user:secret@gw.example/v1/models", "https://gw.example/v1"],
    ["secret", "https://anything/v1"],
    ["file:///secret", "https://anything/v1"]
  ])("says what base URL would do, and nothing more of it than its origin: %s", (url, base) => {
    const { message } = InboundRequest.unknownTarget(url)
    assert.include(message, `Give the client ${base} as its base URL`)
    assert.notInclude(message, "secret")
  })
})

const piece = Schema.Union([
  Schema.Literals(["/", "/", "v1", "openai", "deployments", "chat", "completions", "files", "..", "%2e", "%2f", "//"]),
  Schema.String
])

describe("any path", () => {
  it.prop("asks for a safe path, which it ends with, or for nothing", {
    pieces: Schema.Array(piece),
    query: Schema.String
  }, ({ pieces, query }) => {
    const path = `/${pieces.join("")}`
    const found = InboundRequest.targetOfPath(path, query, east)
    if (found === undefined) return
    assert.isTrue(isSafePath(found.path), found.path)
    assert.isTrue(path.endsWith(found.path))
    assert.strictEqual(found.query, query)
  }, check())
})

const read = (path: string, body: string | undefined, contentType: string | undefined, isHeldToModel = false) =>
  InboundRequest.read({
    method: "POST",
    target: { path, query: "", model: undefined },
    headers: {},
    body: body === undefined ? undefined : new TextEncoder().encode(body),
    contentType,
    session: undefined,
    isHeldToModel
  })

const form = (...names: ReadonlyArray<string>) =>
  names.map((name) => `--x\r\ncontent-disposition: form-data; name="model"\r\n\r\n${name}\r\n`).join("") +
  "--x--\r\n"

describe("a body", () => {
  it.each([
    ["/chat/completions", undefined, undefined],
    ["/chat/completions", "", "application/json"],
    ["/embeddings", "{", "application/json"],
    ["/responses", "text", "text/plain"],
    ["/completions", "{\"model\":", "application/json"],
    ["/images/generations", "{\"model\":", "application/json; charset=utf-8"],
    ["/vector_stores", "{", "application/merge-patch+json"]
  ])("of %s that is none is refused: %j as %s", async (path, body, type) => {
    const refused = await read(path, body, type)
    assert.isTrue(refused instanceof LoadBalancerError && refused.reason._tag === "Rejected")
  })

  it.each([
    ["/responses/resp_1/cancel", "", "application/json"],
    ["/responses/resp_1/cancel", undefined, undefined],
    ["/uploads/upload_1/parts", "{\"a\":1}\n{", "application/jsonl"],
    ["/vector_stores", "[]", "application/json"]
  ])("of %s is passed on: %j as %s", async (path, body, type) => {
    const asked = await read(path, body, type)
    assert.isFalse(asked instanceof LoadBalancerError)
  })

  it("of a form that names several models is none of who is held to some, and else sent as it is", async () => {
    const [body, contentType] = [form("one", "two"), "multipart/form-data; boundary=x"]
    const held = await read("/audio/transcriptions", body, contentType, true)
    assert.include(held instanceof LoadBalancerError ? held.message : "", "more than one model")
    const asked = await read("/audio/transcriptions", body, contentType)
    if (asked instanceof LoadBalancerError) return assert.fail(asked.message)
    assert.strictEqual(asked.model, "one")
    const sent = new TextDecoder().decode(asked.body.withModel("mine") as Uint8Array)
    assert.include(sent, "\r\n\r\nmine\r\n")
    assert.include(sent, "\r\n\r\ntwo\r\n")
  })

  it("with a model whose name has no end is no request", async () => {
    const asked = await read("/chat/completions", JSON.stringify({ model: "m".repeat(257) }), "application/json")
    assert.isTrue(!(asked instanceof LoadBalancerError) && LlmRequest.problemOf(asked) !== undefined)
  })
})
