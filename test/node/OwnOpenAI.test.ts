import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient, startSimulator } from "@evenkeel/node"
import { createRequire } from "node:module"
import OpenAI, { NotFoundError } from "openai"
import type { OpenAI as CommonOpenAI } from "openai" with { "resolution-mode": "require" }
import { balancing, chunk, service, streaming } from "../support/PlainBalancer.ts"
import { json, listen } from "../support/PlainServer.ts"
import { collect, failureAs, failureOf, hello, messages, resource } from "../support/Served.ts"

/** What a CommonJS program has: another copy of the client than ours, in another file, with classes of its own. */
const Common: typeof CommonOpenAI = createRequire(import.meta.url)("openai")

const unknown = { model: "gpt-unknown", messages }

/** Over a resource that answers. */
const answering = async (use: (lb: LoadBalancerClient<CommonOpenAI>) => Promise<void>) => {
  await using simulator = await startSimulator({ resources: [resource("east")] })
  await using lb = createLoadBalancer(balancing(simulator.resources[0]!.config()), { openai: Common })
  await use(lb)
}

describe("the caller's own class of the official client", () => {
  it("is another one than ours", () => {
    assert.notStrictEqual<unknown>(Common, OpenAI)
    assert.notStrictEqual<unknown>(Common.NotFoundError, NotFoundError)
  })

  it("is what `lb.openai` is an instance of, and so are its views, its streams and its pages", () =>
    answering(async (lb) => {
      const clients: ReadonlyArray<CommonOpenAI> = [
        lb.openai,
        lb.session("a"),
        lb.openai.withOptions({ timeout: 5_000 }),
        lb.session("a").withOptions({ timeout: 5_000 })
      ]
      for (const client of clients) {
        assert.instanceOf(client, Common)
        // oxlint-disable no-await-in-loop -- one after the other
        const { choices } = await client.chat.completions.create(hello)
        assert.strictEqual(choices[0]!.message.content, "Hello from here.")
        const chunks = await collect(await client.chat.completions.create({ ...hello, stream: true }))
        const streamed = chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")
        assert.strictEqual(streamed, "Hello from here.")
        assert.strictEqual((await client.models.list()).data.length, 1)
        // oxlint-enable no-await-in-loop
      }
    }))

  it("has the errors that come out", () =>
    answering(async (lb) => {
      for (const client of [lb.openai, lb.session("a")]) {
        // oxlint-disable no-await-in-loop -- one after the other
        const error = await failureAs(client.chat.completions.create(unknown), Common.NotFoundError)
        assert.strictEqual(error.code, "model_not_found")
        assert.notInstanceOf(error, NotFoundError)
        await failureAs(client.chat.completions.create({ ...unknown, stream: true }), Common.NotFoundError)
        const aborted = client.chat.completions.create(hello, { signal: AbortSignal.abort() })
        await failureAs(aborted, Common.APIUserAbortError)
        // oxlint-enable no-await-in-loop
      }
    }))

  it("has the errors that streams break with", async () => {
    await using server = await listen(streaming([chunk("Hel"), "data: {\"error\":{\"message\":\"Broken.\"}}\n\n"]))
    await using lb = createLoadBalancer(balancing(service("a", server.url)), { openai: Common })
    const stream = await lb.openai.chat.completions.create({ model: "m", messages, stream: true })
    await failureAs(collect(stream), Common.APIError)
  })

  it("may be a class of one's own", async () => {
    await using server = await listen((_, response) => json(response, { error: { message: "No." } }, 404))
    class Traced extends OpenAI {
      readonly isTraced = true
    }
    await using lb = createLoadBalancer(balancing(service("a", server.url)), { openai: Traced })
    assert.isTrue(lb.openai.isTraced)
    assert.instanceOf(await failureOf(lb.openai.models.list()), NotFoundError)
  })

  it("is ours where none is given", async () => {
    await using lb: ReturnType<typeof createLoadBalancer> = createLoadBalancer(
      balancing(service("a", "http://[::1]:1"))
    )
    const client: OpenAI = lb.openai
    assert.instanceOf(client, OpenAI)
  })
})
