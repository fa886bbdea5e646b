import { decode } from "#core/config/Config"
import * as Credential from "#core/deployment/Credential"
import { isSafePath, Resource } from "#core/deployment/Resource"
import { assert, describe, it } from "@effect/vitest"
import { type ResourceInput } from "@evenkeel/core"
import { Result, Schema } from "effect"
import { check } from "../../support/Check.ts"

const noEntra = () => () => Promise.reject(new Error("no Entra ID here"))

const make = (input: Partial<ResourceInput> = {}): Resource => {
  const config = Result.getOrThrow(decode({
    resources: [{
      name: "east",
      provider: "azure",
      endpoint: "https://east.openai.azure.com",
      apiKey: "key-east",
      deployments: [{ name: "gpt-4o" }],
      ...input
    }]
  }))
  const [resource] = config.resources
  return new Resource(resource!, Credential.make(resource!, noEntra), config.health)
}

const v1 = make()
const classic = make({ apiVersion: "2024-10-21" })
const openAi = make({ provider: "openai", endpoint: "https://api.openai.com/v1" })
const proxied = make({ provider: "compatible", endpoint: "https://gate.example/llm/v1" })

describe("a path at a resource", () => {
  it("is below /openai/v1 of Azure, with neither deployment nor version in it", () => {
    assert.strictEqual(v1.pathOf("/chat/completions", "", "gpt-4o"), "/openai/v1/chat/completions")
    assert.strictEqual(
      v1.pathOf("/responses/resp_1", "stream=true", undefined),
      "/openai/v1/responses/resp_1?stream=true"
    )
  })

  it("names deployment and version in Azure's classic API", () => {
    assert.strictEqual(
      classic.pathOf("/chat/completions", "", "gpt-4o"),
      "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    )
    assert.strictEqual(classic.pathOf("/responses", "", "gpt-4o"), "/openai/responses?api-version=2024-10-21")
    assert.strictEqual(
      classic.pathOf("/files", "limit=2", undefined),
      "/openai/files?limit=2&api-version=2024-10-21"
    )
  })

  it("is below the base of OpenAI, and of what is compatible", () => {
    assert.strictEqual(openAi.pathOf("/embeddings", "", "m"), "/v1/embeddings")
    assert.strictEqual(proxied.pathOf("/embeddings", "", "m"), "/llm/v1/embeddings")
    assert.deepStrictEqual(proxied.basePaths, ["/llm/v1"])
  })

  it("encodes a deployment's name", () => {
    assert.strictEqual(
      classic.pathOf("/embeddings", "", "a/../b?c#d"),
      "/openai/deployments/a%2F..%2Fb%3Fc%23d/embeddings?api-version=2024-10-21"
    )
  })

  it("has no fragment, and no line break, whatever the query", () => {
    assert.strictEqual(openAi.pathOf("/files", "a=1#b", undefined), "/v1/files?a=1")
    assert.notMatch(openAi.pathOf("/files", "a=1\r\nhost: evil", undefined), /[\r\n ]/)
  })
})

describe("the paths that a resource remembers", () => {
  it("do not grow with the models that callers ask for", () => {
    const resource = make({ provider: "compatible", endpoint: "https://any.example/v1", deployments: [{ name: "*" }] })
    const sizeOf = (value: unknown): number =>
      value instanceof Map ? [...value.values()].reduce<number>((sum, inner) => sum + 1 + sizeOf(inner), 0) : 0
    const remembered = () => Object.values(resource).reduce((sum: number, value) => sum + sizeOf(value), 0)
    for (let i = 0; i < 10_000; i++) {
      assert.strictEqual(resource.pathOf("/chat/completions", "", `made-up-${i}`), "/v1/chat/completions")
    }
    assert.isBelow(remembered(), 100)
  })
})

const unsafe = [
  "",
  "chat/completions",
  "https://elsewhere/v1/files",
  "//elsewhere/files",
  "/../admin",
  "/files/..",
  "/files/./x",
  "/files//x",
  "/files/",
  "/%2e%2e/admin",
  "/.%2E/admin",
  "/files/%2e",
  "/%252e%252e/admin",
  "/files/a%2fb",
  "/files/a%5cb",
  "/files/a%252fb",
  "/files\\..\\admin",
  "/files/%00",
  "/files/a%0d%0ab",
  "/files/a\tb",
  "/files?x=1",
  "/files#x",
  "/files/%",
  "/files/%zz",
  "/files/%ff"
]

describe("an unsafe path", () => {
  it.each(unsafe)("%j is refused", (path) => {
    assert.isFalse(isSafePath(path))
    for (const resource of [v1, classic, openAi, proxied]) {
      assert.throws(() => resource.pathOf(path, "", "gpt-4o"), RangeError)
    }
  })

  it.each(["/files", "/files/file-1/content", "/responses/resp_1", "/models/ft:gpt-4o:acme::1", "/x/ü.y", "/a%20b"])(
    "%j is not one",
    (path) => {
      assert.isTrue(isSafePath(path))
    }
  )
})

const piece = Schema.Union([
  Schema.Literals([
    "/",
    "/",
    "..",
    ".",
    "%2e",
    "%2f",
    "%5c",
    "%25",
    "2e",
    "\\",
    "@",
    ":",
    "//",
    "http:",
    "?",
    "#",
    "\t"
  ]),
  Schema.String
])

describe("any path", () => {
  it.prop("is refused, or stays below the base of its own resource", {
    pieces: Schema.Array(piece),
    query: Schema.String,
    deployment: Schema.UndefinedOr(Schema.String)
  }, ({ deployment, pieces, query }) => {
    const path = `/${pieces.join("")}`
    const named = deployment?.isWellFormed() === false ? "x" : deployment
    for (const resource of [v1, classic, openAi, proxied]) {
      if (!isSafePath(path)) {
        assert.throws(() => resource.pathOf(path, query, named), RangeError)
        continue
      }
      const url = new URL(resource.pathOf(path, query, named), resource.origin)
      const base = resource === classic ? `${resource.origin}/openai/` : `${resource.origin}${resource.basePaths[0]}/`
      assert.isTrue(url.href.startsWith(base), url.href)
      assert.strictEqual(url.username + url.password + url.hash, "")
      assert.notInclude(decodeURIComponent(url.pathname).split("/"), "..")
    }
  }, check())
})

describe("a resource's health", () => {
  it("is good again with a new credential", () => {
    const resource = make()
    resource.breaker.trip(0, 1, "http 401")
    const other = Credential.make({ provider: "azure", auth: { _tag: "None" }, headers: {} }, noEntra)
    resource.renewCredential(other, 100)
    assert.isTrue(resource.breaker.isClosed)
    assert.strictEqual(resource.credential, other)
  })

  it("says when an answer brought it back", () => {
    const resource = make()
    const told: Array<string> = []
    resource.breaker.onChange = (state) => told.push(state)
    resource.answered(resource.breaker.enter(0), 10)
    resource.breaker.trip(10, 1, "down")
    resource.answered(resource.breaker.enter(5010), 5020)
    assert.deepStrictEqual(told, ["open", "half-open", "closed"])
    assert.strictEqual(resource.lastAnswerAt, 5020)
  })

  it("shows no key, however it is looked at", () => {
    const resource = make()
    assert.notInclude(JSON.stringify(resource), "key-east")
    assert.notInclude(String(resource), "key-east")
    assert.notInclude(Object.values(resource).map(String).join(" "), "key-east")
  })
})
