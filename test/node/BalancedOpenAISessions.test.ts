import { assert, describe, it } from "@effect/vitest"
import type { LoadBalancerClient } from "@evenkeel/node"
import OpenAI from "openai"
import { collect, fast, hello, resource, serve, type Served } from "../support/Served.ts"

const names = ["east", "west", "north", "south", "middle", "coast"]

/** Six resources, so that what should stay in one place by chance does so once in 6 ** (calls - 1). */
const serveSix = () =>
  serve(names.map((name) => ({
    ...resource(name),
    deployments: [
      { name: "gpt", model: "gpt-4o", latency: fast, reply: () => "Hello from here." },
      { name: "emb", model: "text-embedding-3-small", latency: fast }
    ]
  })))

/** Sends that each resource got, those that got none left out. */
const spread = (served: Served): Array<number> =>
  names.map((name) => served.stats(name).requests).filter((requests) => requests > 0)

type Ask = (client: OpenAI) => PromiseLike<unknown>

const asks: ReadonlyArray<readonly [string, Ask]> = [
  ["chat", (client) => client.chat.completions.create(hello)],
  ["streamed chat", (client) => client.chat.completions.create({ ...hello, stream: true }).then(collect)],
  ["the chat helper", (client) => client.chat.completions.stream(hello).finalChatCompletion()],
  ["parsed chat", (client) => client.chat.completions.parse(hello)],
  ["responses", (client) => client.responses.create({ model: "gpt-4o", input: "Hello" })],
  ["the responses helper", (client) => client.responses.stream({ model: "gpt-4o", input: "Hi" }).finalResponse()],
  ["embeddings", (client) => client.embeddings.create({ model: "text-embedding-3-small", input: "Hello" })],
  ["the client's verbs", (client) => client.post("/chat/completions", { body: hello })],
  ["a response as it is", (client) => client.chat.completions.create(hello).asResponse()]
]

/** Ways to say which session a chat belongs to. */
const ways: ReadonlyArray<readonly [string, (lb: LoadBalancerClient, session: string) => Promise<unknown>]> = [
  ["lb.session", (lb, session) => lb.session(session).chat.completions.create(hello)],
  [
    "the header x-session-id",
    (lb, session) => lb.openai.chat.completions.create(hello, { headers: { "x-session-id": session } })
  ],
  [
    "the header in any case, in Headers",
    (lb, session) => lb.openai.chat.completions.create(hello, { headers: new Headers({ "X-Session-Id": session }) })
  ],
  ["prompt_cache_key", (lb, session) => lb.openai.chat.completions.create({ ...hello, prompt_cache_key: session })]
]

/** Milliseconds that 2,000 of them take, after some to warm up. */
const measure = (make: (i: number) => unknown): number => {
  for (let i = 0; i < 500; i++) make(i)
  const start = performance.now()
  for (let i = 0; i < 2_000; i++) make(i)
  return performance.now() - start
}

const times = async (count: number, run: () => PromiseLike<unknown>): Promise<void> => {
  for (let i = 0; i < count; i++) await run()
}

describe("a session", () => {
  for (const [name, ask] of asks) {
    it(`keeps to its home: ${name}`, async () => {
      await using served = await serveSix()
      await times(8, () => ask(served.lb.session("user-42")))
      assert.deepStrictEqual(spread(served), [8])
      assert.strictEqual(served.lb.snapshot().sessions, 1)
    })
  }

  for (const [name, ask] of ways) {
    it(`is named by ${name}`, async () => {
      await using served = await serveSix()
      await times(8, () => ask(served.lb, "user-42"))
      assert.deepStrictEqual(spread(served), [8])
    })
  }

  it("has the same home whoever names it, and however", async () => {
    await using served = await serveSix()
    for (const [, ask] of ways) await ask(served.lb, "user-7")
    assert.deepStrictEqual(spread(served), [ways.length])
    assert.strictEqual(served.lb.snapshot().sessions, 1)
  })

  it("is the caller's option before the header, and the header before prompt_cache_key", async () => {
    await using served = await serveSix()
    const { lb } = served
    await lb.session("a").chat.completions.create(
      { ...hello, prompt_cache_key: "c" },
      { headers: { "x-session-id": "b" } }
    )
    await lb.session("a").chat.completions.create(hello)
    assert.strictEqual(lb.snapshot().sessions, 1)
    await lb.openai.chat.completions.create({ ...hello, prompt_cache_key: "c" }, { headers: { "x-session-id": "b" } })
    await lb.session("b").chat.completions.create(hello)
    assert.strictEqual(lb.snapshot().sessions, 2)
  })

  it("is one of many, which spread", async () => {
    await using served = await serveSix()
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => served.lb.session(`user-${i}`).chat.completions.create(hello))
    )
    assert.strictEqual(served.lb.snapshot().sessions, 60)
    assert.isAtLeast(spread(served).length, 4)
  })

  it("leaves the client as it is for others", async () => {
    await using served = await serveSix()
    const session = served.lb.session("user-1")
    await session.chat.completions.create(hello)
    const before = served.lb.snapshot().sessions
    await times(12, () => served.lb.openai.chat.completions.create(hello))
    assert.strictEqual(served.lb.snapshot().sessions, before)
    assert.isAtLeast(spread(served).length, 2)
  })

  it("is a view of the one client: a real one, and cheap", async () => {
    await using served = await serveSix()
    const { lb } = served
    const view = lb.session("user-1")
    assert.instanceOf(view, OpenAI)
    assert.strictEqual(view.baseURL, lb.openai.baseURL)
    assert.strictEqual(view.chat, view.chat)
    assert.instanceOf(view.chat.completions, OpenAI.Chat.Completions)
    const ofView = measure((i) => lb.session(`user-${i}`).chat.completions)
    const ofClient = measure(() => new OpenAI({ apiKey: "x" }).chat.completions)
    // measured at a tenth; a third allows for a busy machine
    assert.isBelow(ofView, ofClient / 3)
  })

  it("moves when its home fails, and the answer is the other's own", async () => {
    await using served = await serveSix()
    const session = served.lb.session("user-42")
    await session.chat.completions.create(hello)
    const home = names.find((name) => served.stats(name).requests > 0)!
    served.service(home).fault("gpt", { kind: "status", status: 500 })
    await times(6, () => session.chat.completions.create(hello))
    // one failed try at most before each success, and all successes in one other place
    const others = names.filter((name) => name !== home && served.stats(name).requests > 0)
    assert.strictEqual(others.length, 1)
    assert.strictEqual(served.stats(others[0]!).requests, 6)
  })

  it("goes through withOptions of its view as well", async () => {
    await using served = await serveSix()
    const view = served.lb.session("user-42").withOptions({ timeout: 5_000 })
    await times(8, () => view.chat.completions.create(hello))
    assert.deepStrictEqual(spread(served), [8])
  })
})
