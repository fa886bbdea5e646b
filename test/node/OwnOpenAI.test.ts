import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient, startSimulator } from "@evenkeel/node"
import { createRequire } from "node:module"
import OpenAI, { APIUserAbortError, InternalServerError, NotFoundError } from "openai"
import type { OpenAI as CommonOpenAI } from "openai" with { "resolution-mode": "require" }
import Newest from "openai-newest"
import { balancing, chunk, service, streaming } from "../support/PlainBalancer.ts"
import { json, listen } from "../support/PlainServer.ts"
import { collect, failureAs, failureOf, hello, messages, resource } from "../support/Served.ts"

/** What a CommonJS program has: another copy of the client than ours, in another file, with classes of its own. */
const Common: typeof CommonOpenAI = createRequire(import.meta.url)("openai")

type Client = typeof CommonOpenAI

const copies: ReadonlyArray<readonly [string, Client]> = [
  ["a CommonJS program's", Common],
  ["the newest that was tried", Newest as unknown as Client]
]

const unknown = { model: "gpt-unknown", messages }

/** Over a resource that answers. */
const answering = async (openai: Client, use: (lb: LoadBalancerClient<CommonOpenAI>) => Promise<void>) => {
  await using simulator = await startSimulator({ resources: [resource("east")] })
  await using lb = createLoadBalancer(balancing(simulator.resources[0]!.config()), { openai })
  await use(lb)
}

/** Counts the requests that a client builds in its own way. */
const watch = (client: CommonOpenAI): { requests: number } => {
  const built = { requests: 0 }
  const buildRequest = client.buildRequest.bind(client)
  client.buildRequest = (options, more) => {
    built.requests++
    return buildRequest(options, more)
  }
  return built
}

describe("the caller's own class of the official client", () => {
  it("is another one than ours", () => {
    assert.notStrictEqual<unknown>(Common, OpenAI)
    assert.notStrictEqual<unknown>(Common.NotFoundError, NotFoundError)
  })

  for (const [whose, Copy] of copies) {
    it(`is what \`lb.openai\` is an instance of, and so are its views, its streams and its pages: ${whose}`, () =>
      answering(Copy, async (lb) => {
        const clients: ReadonlyArray<CommonOpenAI> = [
          lb.openai,
          lb.session("a"),
          lb.openai.withOptions({ timeout: 5_000 }),
          lb.session("a").withOptions({ timeout: 5_000 })
        ]
        for (const client of clients) {
          assert.instanceOf(client, Copy)
          const { choices } = await client.chat.completions.create(hello)
          assert.strictEqual(choices[0]!.message.content, "Hello from here.")
          const chunks = await collect(await client.chat.completions.create({ ...hello, stream: true }))
          const streamed = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
          assert.strictEqual(streamed, "Hello from here.")
          assert.strictEqual((await client.models.list()).data.length, 1)
          const { data, response } = await client.responses.create({ model: "gpt-4o", input: "Hello" }).withResponse()
          assert.strictEqual(data.output_text, "Hello from here.")
          assert.isString(response.headers.get("x-request-id"))
        }
      }))

    it(`has the errors that come out: ${whose}`, () =>
      answering(Copy, async (lb) => {
        for (const client of [lb.openai, lb.session("a")]) {
          const error = await failureAs(client.chat.completions.create(unknown), Copy.NotFoundError)
          assert.strictEqual(error.code, "model_not_found")
          assert.notInstanceOf(error, NotFoundError)
          await failureAs(client.chat.completions.create({ ...unknown, stream: true }), Copy.NotFoundError)
          const aborted = client.chat.completions.create(hello, { signal: AbortSignal.abort() })
          await failureAs(aborted, Copy.APIUserAbortError)
        }
      }))

    it(`has the errors that streams break with: ${whose}`, async () => {
      await using server = await listen(streaming([chunk("Hel"), "data: {\"error\":{\"message\":\"Broken.\"}}\n\n"]))
      await using lb = createLoadBalancer(balancing(service("a", server.url)), { openai: Copy })
      const stream = await lb.openai.chat.completions.create({ model: "m", messages, stream: true })
      await failureAs(collect(stream), Copy.APIError)
    })

    it(`makes a request in its own way only where somebody would notice: ${whose}`, () =>
      answering(Copy, async (lb) => {
        const { openai } = lb
        const logged: Array<unknown> = []
        const log = (...words: ReadonlyArray<unknown>) => void logged.push(...words)
        const logging = openai.withOptions({
          logger: { debug: log, info: log, warn: log, error: log },
          logLevel: "debug"
        })
        const [own, ofLogging] = [watch(openai), watch(logging)]
        await openai.chat.completions.create(hello)
        await lb.session("a").chat.completions.create(hello, { timeout: 5_000 })
        await collect(await openai.chat.completions.create({ ...hello, stream: true }))
        assert.strictEqual(own.requests, 0)
        await openai.chat.completions.create(hello, { signal: new AbortController().signal })
        await openai.chat.completions.create(hello, { maxRetries: 2 })
        await openai.chat.completions.create(hello, { headers: { "x-session-id": "a" } })
        await failureOf(openai.chat.completions.create(unknown))
        assert.strictEqual(own.requests, 4)
        await logging.chat.completions.create(hello)
        assert.strictEqual(ofLogging.requests, 1)
        assert.isNotEmpty(logged)
      }))
  }

  it("asks a fetch of the caller's own once, in the client's way", async () => {
    await using server = await listen(streaming([chunk("Hel")]))
    await using lb = createLoadBalancer(balancing(service("a", server.url)))
    const seen: Array<readonly [string | undefined, boolean]> = []
    const answer = new Response("{}", { status: 500, headers: { "x-should-retry": "false" } })
    const client = lb.openai.withOptions({
      fetch: async (_, init) => {
        seen.push([init?.method, init?.signal instanceof AbortSignal])
        return answer
      }
    })
    await failureAs(client.chat.completions.create(hello), InternalServerError)
    assert.deepStrictEqual(seen, [["POST", true]])
  })

  it("sends options again that failed before", async () => {
    await using simulator = await startSimulator({ resources: [resource("east")] })
    await using lb = createLoadBalancer(balancing(simulator.resources[0]!.config()))
    const options = { method: "post" as const, path: "/chat/completions", body: { ...unknown } as object }
    await failureAs(lb.openai.request(options), NotFoundError)
    options.body = { ...hello }
    assert.strictEqual((await lb.openai.request<CommonOpenAI.ChatCompletion>(options)).choices.length, 1)
  })

  it("lets a stream follow the signal in its `fetchOptions`", async () => {
    await using simulator = await startSimulator({ resources: [resource("east")] })
    await using lb = createLoadBalancer(balancing(simulator.resources[0]!.config()))
    const signal = AbortSignal.abort()
    const stream = lb.openai.chat.completions.create({ ...hello, stream: true }, { fetchOptions: { signal } as object })
    await failureAs(stream, APIUserAbortError)
  })

  it("may be a class of one's own", async () => {
    await using server = await listen((_, response) => json(response, { error: { message: "No." } }, 404))
    class Traced extends OpenAI {
      readonly isTraced = true
      readonly seen: Array<string> = []
      protected override async prepareRequest(_: RequestInit, { url }: { url: string }): Promise<void> {
        this.seen.push(new URL(url).pathname)
      }
    }
    await using lb = createLoadBalancer(balancing(service("a", server.url)), { openai: Traced })
    assert.isTrue(lb.openai.isTraced)
    assert.instanceOf(await failureOf(lb.openai.models.list()), NotFoundError)
    assert.instanceOf(await failureOf(lb.openai.chat.completions.create({ model: "m", messages })), NotFoundError)
    assert.deepStrictEqual(lb.openai.seen, ["/v1/models", "/v1/chat/completions"])
  })

  it("is ours where none is given", async () => {
    await using lb: ReturnType<typeof createLoadBalancer> = createLoadBalancer(
      balancing(service("a", "http://[::1]:1"))
    )
    const client: OpenAI = lb.openai
    assert.instanceOf(client, OpenAI)
  })
})
