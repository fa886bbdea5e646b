import { assert, describe, it } from "@effect/vitest"
import { answer, hello, overHttp, post, run } from "../../support/Balanced.ts"
import { asked, azure, completion, type Scripted, scripted } from "../../support/Scripted.ts"

const sentBody = ({ sends }: Scripted): Record<string, unknown> =>
  JSON.parse(String(sends[0]!.body)) as Record<string, unknown>

describe("a name beyond Latin-1", () => {
  it.effect("of a resource is told in a header of the answer, and the answer comes", () => {
    const more = { endpoint: "https://tokyo.openai.azure.com", apiKey: "k" }
    const lbs = scripted([azure("東京", {}, more)], () => completion)
    return run(overHttp(lbs), function*() {
      const { headers, status } = yield* answer(post(hello))
      assert.strictEqual(status, 200)
      assert.strictEqual(decodeURIComponent(headers["x-evenkeel-deployment"]!), "東京/gpt-4o")
    })
  })

  it.effect("that is half a character is no failure either", () => {
    const every = { name: "open", provider: "openai" as const, apiKey: "k", deployments: [{ name: "*" }] }
    const lbs = scripted([every], () => completion)
    return run(overHttp(lbs), function*() {
      assert.strictEqual((yield* answer(post({ ...hello, model: "gpt-\uD83D" }))).status, 200)
    })
  })
})

describe("a body of JSON", () => {
  for (const contentType of ["Application/JSON", "APPLICATION/JSON; Charset=UTF-8", "text/plain"]) {
    it.effect(`is understood whatever it is said to be: ${contentType}`, () => {
      const lbs = scripted([azure("east", { name: "served", model: "gpt-4o" })], () => completion)
      return run(overHttp(lbs), function*() {
        assert.strictEqual((yield* answer(post(hello, { contentType }))).status, 200)
        assert.strictEqual(sentBody(lbs)["model"], "served")
      })
    })
  }

  for (const stream of ["true", 1, null, false]) {
    it.effect(`keeps a stream that is not true, which is the service's to judge: ${JSON.stringify(stream)}`, () =>
      run(overHttp(scripted([azure("east")], () => completion)), function*(_, lbs) {
        assert.strictEqual((yield* answer(post({ ...hello, stream }))).status, 200)
        assert.strictEqual(sentBody(lbs)["stream"], stream)
      }))
  }
})

describe("a URL of Azure's classic API", () => {
  it.effect("asks for the model of the deployment that it names, where its body names none", () => {
    const lbs = scripted(
      [azure("east", { name: "served", model: "best" }), azure("west", { name: "other", model: "best", tier: 2 })],
      ({ resource }) => resource === "east" ? { status: 500 } : completion
    )
    return run(overHttp(lbs), function*() {
      const url = "https://east.openai.azure.com/openai/deployments/served/chat/completions?api-version=2024-10-21"
      assert.strictEqual((yield* answer(post({ messages: hello.messages }, { url }))).status, 200)
      assert.deepStrictEqual(asked(lbs), ["east", "west"])
      assert.deepStrictEqual(
        lbs.sends.map(({ body }) => (JSON.parse(String(body)) as { readonly model: string }).model),
        ["served", "other"]
      )
    })
  })
})
