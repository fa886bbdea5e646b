import { assert, describe, it } from "@effect/vitest"
import { createLoadBalancer, type LoadBalancerClient } from "@evenkeel/node"
import {
  balancing,
  base,
  chunk,
  completion,
  hello,
  service,
  stop,
  streaming,
  within
} from "../support/PlainBalancer.ts"
import { type Handler, listen, type PlainServer } from "../support/PlainServer.ts"
import { collect, eventually, failureAs, failureOf, inFlight } from "../support/Served.ts"

const all = `${chunk("a")}${chunk("b")}${stop}`
const slowly = streaming([chunk("a"), chunk("b"), stop])

interface Streamed extends AsyncDisposable {
  readonly server: PlainServer
  readonly lb: LoadBalancerClient
  readonly response: Response
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>
}

/** The response that the official client has, of a stream unless it is said otherwise. */
const ask = async (handler: Handler = slowly, stream = true, signal?: AbortSignal): Promise<Streamed> => {
  const server = await listen(handler)
  const lb = createLoadBalancer(balancing(service("r", server.url)))
  const options = signal === undefined ? {} : { signal }
  const response = await lb.openai.chat.completions.create({ ...hello, stream }, options).asResponse()
  return {
    server,
    lb,
    response,
    // not looked at before a test does
    get body() {
      return response.body!
    },
    [Symbol.asyncDispose]: async () => {
      await lb.close()
      await server[Symbol.asyncDispose]()
    }
  }
}

const textOf = (pieces: ReadonlyArray<Uint8Array | undefined>): string =>
  pieces.map((piece) => Buffer.from(piece ?? []).toString()).join("")

const iterate = (body: ReadableStream<Uint8Array>): Promise<Array<Uint8Array>> =>
  collect(body as unknown as AsyncIterable<Uint8Array>)

describe("a reader of a body", () => {
  it("answers reads that are asked for at once, all of them, in order", async () => {
    await using asked = await ask()
    const reader = asked.body.getReader()
    const reads = await within(Promise.all(Array.from({ length: 8 }, () => reader.read())))
    assert(Array.isArray(reads), String(reads))
    assert.strictEqual(textOf(reads.map(({ value }: { readonly value: Uint8Array | undefined }) => value)), all)
    assert.deepInclude(reads.at(-1), { done: true, value: undefined })
    const ends = reads.map(({ done }: { readonly done: boolean }) => done)
    assert.deepStrictEqual(ends, ends.toSorted((a: boolean, b: boolean) => Number(a) - Number(b)))
    assert.strictEqual(await within(reader.closed), undefined)
  })

  it("rejects every read that waits when the answer breaks, and those after it", async () => {
    await using server = await listen((_, response) => {
      response.writeHead(200, { "content-type": "application/octet-stream" })
      response.write("abc")
      setTimeout(() => response.destroy(), 30)
    })
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const response = await lb.openai.files.content("file-abcdef1")
    const reader = response.body!.getReader()
    await reader.read()
    const reads = [reader.read(), reader.read(), reader.read()].map(within)
    for (const failed of await Promise.all(reads)) assert.instanceOf(failed, TypeError)
    assert.instanceOf(await within(reader.read()), TypeError)
    assert.instanceOf(await within(reader.closed), TypeError)
  })

  it("reads no more once it was released, and leaves the rest to the next one", async () => {
    await using asked = await ask()
    const reader = asked.body.getReader()
    const { value } = await reader.read()
    reader.releaseLock()
    reader.releaseLock()
    assert.isFalse(asked.body.locked)
    assert.instanceOf(await within(reader.read()), TypeError)
    assert.instanceOf(await within(reader.cancel()), TypeError)
    assert.instanceOf(await within(reader.closed), TypeError)
    assert.strictEqual(textOf([value, ...await iterate(asked.body)]), all)
  })

  it("rejects a read that waits when it is released, and leaves the rest to the next one", async () => {
    await using asked = await ask()
    const reader = asked.body.getReader()
    const { value } = await reader.read()
    const waiting = within(reader.read())
    reader.releaseLock()
    const rest = within(iterate(asked.body))
    assert.instanceOf(await waiting, TypeError)
    assert.strictEqual(textOf([value, ...await rest as ReadonlyArray<Uint8Array>]), all)
  })

  it("ends every read that waits when it is cancelled", async () => {
    await using asked = await ask(streaming([chunk("a")], { stalls: true }))
    const reader = asked.body.getReader()
    await reader.read()
    const waiting = within(Promise.all([reader.read(), reader.read(), reader.read()]))
    await reader.cancel()
    const ended = { done: true, value: undefined }
    assert.deepStrictEqual(await waiting, [ended, ended, ended])
  })

  it("rejects every read that waits when there is an abort", async () => {
    const controller = new AbortController()
    await using asked = await ask(streaming([chunk("a")], { stalls: true }), true, controller.signal)
    const reader = asked.body.getReader()
    await reader.read()
    const waiting = [reader.read(), reader.read()].map(within)
    controller.abort()
    for (const failed of await Promise.all(waiting)) assert.propertyVal(failed, "name", "AbortError")
  })

  it("rejects a read after an abort", async () => {
    const controller = new AbortController()
    await using asked = await ask(streaming([chunk("a")], { stalls: true }), true, controller.signal)
    const reader = asked.body.getReader()
    await reader.read()
    controller.abort()
    assert.propertyVal(await within(reader.read()), "name", "AbortError")
    assert.propertyVal(await within(reader.closed), "name", "AbortError")
    await eventually(() => inFlight(asked.lb) === 0)
  })

  it("lets go of the connection when it is cancelled", async () => {
    await using asked = await ask(streaming([chunk("a")], { stalls: true }))
    const reader = asked.body.getReader()
    await reader.read()
    await reader.cancel()
    assert.isTrue((await reader.read()).done)
    await eventually(() => inFlight(asked.lb) === 0 && asked.server.connections().open === 0)
  })
})

describe("a body that has a reader", () => {
  const uses: ReadonlyArray<readonly [string, (body: Streamed["body"]) => unknown]> = [
    ["a second reader", (body) => body.getReader()],
    ["tee", (body) => body.tee()],
    ["cancel", (body) => body.cancel()],
    ["pipeTo", (body) => body.pipeTo(new WritableStream())],
    ["pipeThrough", (body) => body.pipeThrough(new TransformStream())],
    ["iteration", (body) => iterate(body)]
  ]
  for (const [name, use] of uses) {
    it(`refuses ${name}, and can be read on`, async () => {
      await using asked = await ask()
      const reader = asked.body.getReader()
      assert.isTrue(asked.body.locked)
      assert.instanceOf(await failureOf(Promise.resolve().then(() => use(asked.body))), TypeError)
      const { value } = await reader.read()
      reader.releaseLock()
      assert.strictEqual(textOf([value, ...await iterate(asked.body)]), all)
    })
  }
})

describe("both halves of a body", () => {
  it("say the same", async () => {
    await using asked = await ask()
    const halves = await Promise.all(asked.body.tee().map((half) => iterate(half)))
    assert.deepStrictEqual(halves.map(textOf), [all, all])
  })

  it("let go of the connection when both are cancelled", async () => {
    await using asked = await ask(streaming([chunk("a")], { stalls: true }))
    const [one, other] = asked.body.tee()
    const reader = one.getReader()
    await reader.read()
    await Promise.all([reader.cancel(), other.cancel()])
    await eventually(() => inFlight(asked.lb) === 0 && asked.server.connections().open === 0)
  })
})

describe("a response", () => {
  const uses: ReadonlyArray<readonly [string, (response: Response) => unknown]> = [
    ["text", (response) => response.text()],
    ["arrayBuffer", (response) => response.arrayBuffer()],
    ["its body's iteration", ({ body }) => iterate(body!)],
    ["its body's pipeTo", ({ body }) => body!.pipeTo(new WritableStream())],
    ["a read of its body", ({ body }) => body!.getReader().read()],
    ["its body's cancel", ({ body }) => body!.cancel()],
    ["text, beside a clone's", (response) => Promise.all([response.clone().text(), response.text()])],
    ["its body's iteration, beside a clone's text", async (response) => {
      const copy = response.clone()
      await Promise.all([copy.text(), iterate(response.body!)])
    }]
  ]
  for (const [kind, stream] of [["whole", false], ["streamed", true]] as const) {
    for (const [name, use] of uses) {
      it(`is used after ${name}, and cannot be read or cloned again: ${kind}`, async () => {
        await using asked = await ask(stream ? slowly : completion, stream)
        const { response } = asked
        assert.isFalse(response.bodyUsed)
        await use(response)
        assert.isTrue(response.bodyUsed)
        assert.throws(() => response.clone(), TypeError)
        await failureAs(response.text(), TypeError)
      })
    }

    it(`is not used by a look at its body, or by a clone: ${kind}`, async () => {
      await using asked = await ask(stream ? slowly : completion, stream)
      const { response } = asked
      assert.isFalse(response.body!.locked)
      const copy = response.clone()
      assert.isFalse(response.bodyUsed)
      assert.isFalse(copy.bodyUsed)
      assert.strictEqual(await response.text(), await copy.text())
    })

    it(`is not used by a reader that reads nothing, and can be read after it: ${kind}`, async () => {
      await using asked = await ask(stream ? slowly : completion, stream)
      const { response } = asked
      const reader = response.body!.getReader()
      assert.isFalse(response.bodyUsed)
      reader.releaseLock()
      assert.isFalse(response.bodyUsed)
      assert.isNotEmpty(await response.text())
    })

    it(`has nothing in its body once its text was read: ${kind}`, async () => {
      await using asked = await ask(stream ? slowly : completion, stream)
      const { response } = asked
      assert.isNotEmpty(await response.text())
      // it is empty, or cannot be read any more
      const rest = await within(Promise.resolve().then(() => iterate(response.body!)))
      if (!(rest instanceof TypeError)) assert.deepStrictEqual(rest, [])
    })
  }

  it("is empty where its body was taken and cancelled", async () => {
    await using asked = await ask(completion, false)
    await asked.body.cancel()
    assert.deepStrictEqual(await iterate(asked.body), [])
  })
})

describe("headers of a response", () => {
  it("have no names but those that came", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const { headers } = await lb.openai.chat.completions.create(hello).asResponse()
    for (const name of ["constructor", "toString", "hasOwnProperty", "__proto__", "valueOf"]) {
      assert.isNull(headers.get(name))
      assert.isFalse(headers.has(name))
    }
    assert.strictEqual(headers.get("Content-Type"), "application/json")
    assert.notInclude([...headers.keys()], "constructor")
  })

  it("are the same at lb.fetch", async () => {
    await using server = await listen(completion)
    await using lb = createLoadBalancer(balancing(service("r", server.url)))
    const { headers } = await lb.fetch(`${base}/models`)
    assert.isNull(headers.get("constructor"))
  })
})
