import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import { APIError } from "openai"
import { balancing, base, chatUrl, chunk, event, hello, post, service, streaming } from "../support/PlainBalancer.ts"
import { listen } from "../support/PlainServer.ts"
import { collect, failureAs } from "../support/Served.ts"

type Json = Record<string, unknown>

/** A balancer over a service that streams these texts, and then breaks. */
const broken = async (texts: ReadonlyArray<string>, use: (lb: LoadBalancerClient) => Promise<void>) => {
  await using server = await listen(streaming(texts, { every: 1 }))
  const lb = createLoadBalancer(balancing(service("east", server.url)))
  try {
    await use(lb)
  } finally {
    await lb.close()
  }
}

/** The last event of what is streamed: its lines, and what it says. */
const lastOf = async (lb: LoadBalancerClient, url: string, body: object) => {
  const text = await (await lb.fetch(url, post({ ...body, stream: true }))).text()
  assert.isTrue(text.endsWith("\n\n"))
  const lines = text.slice(0, -2).split("\n\n").at(-1)!.split("\n")
  return { lines, data: JSON.parse(lines.at(-1)!.slice("data: ".length)) as Json }
}

const responsesUrl = `${base}/responses`
const created = event("response.created", { sequence_number: 0, response: { id: "resp_1" } })
const text = (sequence_number?: number) => event("response.output_text.delta", { delta: "Hi", sequence_number })
const asked = { model: "m", input: "Hi" }

/** What OpenAI's types, and the schemas of the AI SDK since its first, want of an error event. */
const isErrorEvent = ({ code, message, param, sequence_number, type }: Json): boolean =>
  type === "error" && typeof code === "string" && typeof message === "string" && param === null
  && Number.isInteger(sequence_number)

describe("a stream of responses that breaks", () => {
  it("ends in an error event as OpenAI has it, next in its order", () =>
    broken([created, text(1), text(41)], async (lb) => {
      const { data, lines } = await lastOf(lb, responsesUrl, asked)
      assert.strictEqual(lines[0], "event: error")
      assert.isTrue(isErrorEvent(data), JSON.stringify(data))
      assert.deepInclude(data, { code: "stream_interrupted", sequence_number: 42 })
      assert.match(data["message"] as string, /east\/m broke after 3 events/)
    }))

  it("counts its events where they have no numbers", () =>
    broken([created, text(), text()], async (lb) => {
      assert.deepInclude((await lastOf(lb, responsesUrl, asked)).data, { sequence_number: 3 })
    }))

  const error = { type: "too_many_requests", code: "rate_limit_exceeded", message: "Slow down.", param: null }
  it.each<[string, Json, Json]>([
    ["Azure's nested one", { error }, {
      error,
      code: "rate_limit_exceeded",
      message: "Slow down.",
      sequence_number: 2
    }],
    ["OpenAI's nested one", { error, sequence_number: 7 }, { error, code: "rate_limit_exceeded", sequence_number: 7 }],
    ["OpenAI's flat one", { code: "server_error", message: "Oops.", param: null, sequence_number: 7 }, {
      code: "server_error",
      message: "Oops.",
      sequence_number: 7
    }],
    ["one without a code", { code: null, message: "Oops." }, {
      code: "server_error",
      message: "Oops.",
      sequence_number: 2
    }]
  ])(
    "tells the service's own words in that form: %s",
    (_, said, told) =>
      broken([created, text(1), event("error", said)], async (lb) => {
        const { data, lines } = await lastOf(lb, responsesUrl, asked)
        assert.strictEqual(lines[0], "event: error")
        assert.isTrue(isErrorEvent(data), JSON.stringify(data))
        assert.deepInclude(data, told)
        const raised: APIError = await failureAs(
          lb.openai.responses.create({ ...asked, stream: true }).then(collect),
          APIError
        )
        assert.include(raised.message, (told["message"] ?? "Slow down.") as string)
      })
  )

  it("raises with its attempts in the official client", () =>
    broken([created, text(1)], async (lb) => {
      const raised: APIError = await failureAs(
        lb.openai.responses.create({ ...asked, stream: true }).then(collect),
        APIError
      )
      assert.strictEqual(raised.code, "stream_interrupted")
      const { attempts, delivered } = raised.error as { attempts: Array<Json>; delivered: Json }
      assert.deepInclude(attempts[0], { deployment: "east/m", outcome: "failed" })
      assert.deepInclude(delivered, { events: 2 })
    }))
})

describe("a chat stream that breaks", () => {
  it("ends in a chunk that is an error, as OpenAI has it", () =>
    broken([chunk("Hi"), chunk("there")], async (lb) => {
      const { data, lines } = await lastOf(lb, chatUrl, hello)
      assert.lengthOf(lines, 1)
      assert.hasAllKeys(data, ["error"])
      assert.deepInclude(data["error"], { type: "stream_interrupted", code: "stream_interrupted", param: null })
      const raised: APIError = await failureAs(
        lb.openai.chat.completions.create({ ...hello, stream: true }).then(collect),
        APIError
      )
      assert.deepInclude((raised.error as { attempts: Array<Json> }).attempts[0], { deployment: "east/m" })
    }))

  it.each<[string, string, Json]>([
    ["a chunk", `data: {"error":{"message":"Oops.","code":"server_error"}}\n\n`, {
      message: "Oops.",
      code: "server_error"
    }],
    ["an event", `event: error\ndata: {"message":"Oops.","code":7}\n\n`, { message: "Oops.", code: 7 }]
  ])("tells the service's own words: %s", (_, said, told) =>
    broken([chunk("Hi"), said], async (lb) => {
      const { data, lines } = await lastOf(lb, chatUrl, hello)
      assert.lengthOf(lines, 1)
      assert.deepStrictEqual(data, { error: told })
    }))
})
