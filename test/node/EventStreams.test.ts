import { Transport, type TransportResponse } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import OpenAI from "openai"
import { Stream } from "openai/streaming"
import { vi } from "vitest"
import { balancing, chunk, hello, service, stop, streaming, within } from "../support/PlainBalancer.ts"
import { type Handler, listen, type PlainServer } from "../support/PlainServer.ts"
import { collect, eventually, failureAs, inFlight } from "../support/Served.ts"

const texts = [...Array.from({ length: 20 }, (_, i) => chunk(`word ${i}`)), stop]

interface Streamed extends AsyncDisposable {
  readonly server: PlainServer
  readonly lb: LoadBalancerClient
  /** The client by itself, at the same server. */
  readonly bare: OpenAI
}

const serve = async (handler: Handler = streaming(texts, { every: 1 })): Promise<Streamed> => {
  const server = await listen(handler)
  const lb = createLoadBalancer(balancing(service("r", server.url)))
  const bare = new OpenAI({ apiKey: "k", baseURL: `${server.url}/v1`, maxRetries: 0 })
  return {
    server,
    lb,
    bare,
    [Symbol.asyncDispose]: async () => {
      await lb.close()
      await server[Symbol.asyncDispose]()
    }
  }
}

const ask = (client: OpenAI, options?: OpenAI.RequestOptions) =>
  client.chat.completions.create({ ...hello, stream: true }, options)

const contentOf = (chunks: ReadonlyArray<OpenAI.ChatCompletionChunk>): string =>
  chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")

const all = contentOf(
  Array.from({ length: 20 }, (_, i) => ({ choices: [{ delta: { content: `word ${i}` } }] }) as never)
)

const empty = async () => new Response("data: [DONE]\n\n", { headers: { "content-type": "text/event-stream" } })

describe("the official client", () => {
  it("asks the stream class of its options to make a stream", async () => {
    const asked: Array<ReadonlyArray<unknown>> = []
    const made = new Stream(async function*() {}, new AbortController())
    const __streamClass = {
      fromSSEResponse: (...given: ReadonlyArray<unknown>) => {
        asked.push(given)
        return made
      }
    }
    const client = new OpenAI({ apiKey: "k", fetch: empty })
    const given = await client.post("/chat/completions", { body: hello, stream: true, __streamClass } as never)
    assert.strictEqual(
      given,
      made,
      "This version of openai does not ask `__streamClass` for its streams: those of lb.openai are still right, but read "
        + "from bytes, and twice as dear. Look in openai's internal/parse for what took its place, and give eventStreams "
        + "to it; where there is nothing, remove EventStreams.ts and this test."
    )
    assert.instanceOf(asked[0]![0], Response)
    assert.instanceOf(asked[0]![1], AbortController)
    assert.strictEqual(asked[0]![2], client)
  })
})

/** Whether the body is locked, and the response used: before the stream is read, while it is, and after. */
const lockOf = async (client: OpenAI) => {
  const { data, response } = await ask(client).withResponse()
  const state = () => [response.body!.locked, response.bodyUsed]
  const seen = [state()]
  for await (const _ of data) {
    if (seen.length === 1) seen.push(state())
  }
  seen.push(state())
  await failureAs(response.text(), TypeError)
  assert.throws(() => response.clone(), TypeError)
  return seen
}

/** Whether a stream fails beside a reader of its body, and is read on after one that left. */
const besideReaders = async (client: OpenAI) => {
  const { data, response } = await ask(client).withResponse()
  response.body!.getReader()
  await failureAs(collect(data), TypeError)
  const other = await ask(client).withResponse()
  const reader = other.response.body!.getReader()
  await reader.read()
  reader.releaseLock()
  return contentOf(await collect(other.data)).endsWith("word 19")
}

/** How many lines the client logs of a stream, and whether our class is among the options. */
const logOf = async (client: OpenAI) => {
  const lines: Array<ReadonlyArray<unknown>> = []
  const logger = {
    error: () => {},
    warn: () => {},
    info: () => {},
    debug: (...line: Array<unknown>) => lines.push(line)
  }
  await collect(await ask(client.withOptions({ logger, logLevel: "debug" })))
  const sent = lines.find(([text]) => String(text).endsWith("sending request"))![1] as { readonly options: object }
  return [lines.length, "__streamClass" in sent.options]
}

describe("a stream of lb.openai", () => {
  it("parses each event once", async () => {
    const own = Array.from({ length: 20 }, (_, i) => chunk(`once ${i}`, i === 19 ? "stop" : null))
    await using served = await serve(streaming([...own, "data: [DONE]\n\n"], { every: 1 }))
    const parse = vi.spyOn(JSON, "parse")
    try {
      assert.lengthOf(await collect(await ask(served.lb.openai)), 20)
      assert.lengthOf(parse.mock.calls.filter(([text]) => text.startsWith("{\"id\":") && text.includes("once ")), 20)
    } finally {
      parse.mockRestore()
    }
  })

  it("is read from bytes where the client does not ask for more, with the same chunks", async () => {
    await using served = await serve()
    const response = await ask(served.lb.openai).asResponse()
    const chunks = await collect(Stream.fromSSEResponse<OpenAI.ChatCompletionChunk>(response, new AbortController()))
    assert.strictEqual(contentOf(chunks), all)
  })

  it("is read from bytes where the answer came through a fetch of the caller's own", async () => {
    await using served = await serve()
    const fetch: typeof globalThis.fetch = async (input, init) => {
      const { body, headers } = await served.lb.fetch(input, init)
      return new Response(body, { headers })
    }
    assert.strictEqual(contentOf(await collect(await ask(served.lb.openai.withOptions({ fetch })))), all)
  })

  it("leaves a stream class of the caller's own as it is", async () => {
    await using served = await serve()
    class Mine<A> extends Stream<A> {
      static override fromSSEResponse<A>(response: Response, controller: AbortController): Mine<A> {
        const stream = Stream.fromSSEResponse<A>(response, controller)
        return new Mine<A>(() => stream[Symbol.asyncIterator](), controller)
      }
    }
    const stream = await ask(served.lb.openai, { __streamClass: Mine } as never)
    assert.instanceOf(stream, Mine)
    assert.strictEqual(contentOf(await collect(stream)), all)
  })

  it("has a response whose body is locked while it is read, and used after, as the bare client's", async () => {
    await using served = await serve()
    assert.deepStrictEqual(await lockOf(served.lb.openai), await lockOf(served.bare))
  })

  it("fails as the bare client's where another reader has the body, and goes on after one that left", async () => {
    await using served = await serve()
    assert.deepStrictEqual([await besideReaders(served.lb.openai), await besideReaders(served.bare)], [true, true])
  })

  it("is whole beside a clone of its response", async () => {
    await using served = await serve()
    const { data, response } = await ask(served.lb.openai).withResponse()
    const text = response.clone().text()
    assert.strictEqual(contentOf(await collect(data)), all)
    assert.strictEqual(await text, texts.join(""))
  })

  it("closes its attempt as soon as the loop is left, whatever its fetch was told of signals", async () => {
    await using served = await serve(streaming([chunk("a"), chunk("b")], { stalls: true }))
    const fetch: typeof globalThis.fetch = (input, init) => served.lb.fetch(input, { ...init, signal: null })
    const deaf = served.lb.openai.withOptions({ fetch })
    for (const client of [served.lb.openai, deaf]) {
      // oxlint-disable no-await-in-loop -- one after the other
      for await (const _ of await ask(client)) break
      assert.strictEqual(inFlight(served.lb), 0)
      const stream = await ask(client)
      let chunks = 0
      const read = async () => {
        for await (const _ of stream) {
          // while the next one is waited for
          if (++chunks === 2) setTimeout(() => stream.controller.abort(), 20)
        }
      }
      assert.strictEqual(await within(read()), undefined)
      assert.strictEqual(chunks, 2)
      await eventually(() => inFlight(served.lb) === 0)
      // oxlint-enable no-await-in-loop
    }
  })

  it("leaves nothing of itself in the client's log", async () => {
    await using served = await serve()
    assert.deepStrictEqual(await logOf(served.lb.openai), await logOf(served.bare))
  })

  it("gives what the client makes of an event that it names", async () => {
    const named = "event: thread.started\ndata: {\"id\":\"t\"}\n\n"
    await using served = await serve(streaming([chunk("a"), named, chunk("b"), stop]))
    const given = await collect(await ask(served.lb.openai))
    assert.deepStrictEqual(given, await collect(await ask(served.bare)))
    assert.deepStrictEqual(given[1] as unknown, { event: "thread.started", data: { id: "t" } })
  })

  it("is whole where its pieces are there at once", async () => {
    const pieces = texts.map((text) => new TextEncoder().encode(text))
    const answer = (): TransportResponse => {
      const left = [...pieces]
      return {
        status: 200,
        headers: { "content-type": "text/event-stream" },
        pull: Effect.suspend(() => left.length === 0 ? Cause.done() : Effect.succeed(left.shift()!)),
        text: Effect.succeed(""),
        abort: () => {},
        discard: () => {}
      }
    }
    const transport = Layer.succeed(Transport, { send: () => Effect.sync(answer) })
    await using lb = createLoadBalancer(balancing(service("r", "http://127.0.0.1:9")), { transport })
    assert.strictEqual(contentOf(await collect(await ask(lb.openai))), all)
    assert.strictEqual(await (await ask(lb.openai).asResponse()).text(), texts.join(""))
  })
})
