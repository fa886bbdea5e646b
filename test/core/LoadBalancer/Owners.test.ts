import { assert, describe, it } from "@effect/vitest"
import { LoadBalancer } from "@evenkeel/core"
import { Effect, Stream } from "effect"
import { answer, hello, run, settle } from "../../support/Balanced.ts"
import { asked, azure, type Canned, completion, scripted } from "../../support/Scripted.ts"

const streaming = { "content-type": "text/event-stream" }

const event = (type: string, more: object): string => `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`

/** Reasoning that only the resource which made it can read. */
const reasoningOf = (resource: string) => ({
  type: "reasoning" as const,
  id: `rs_${resource}`,
  summary: [],
  encrypted_content: `enc-${resource}`
})

/** A response, whole or streamed; an input whose reasoning another resource made is refused. */
const respond = ({ body, resource }: { readonly body: unknown; readonly resource: string }): Canned => {
  const text = String(body)
  const maker = /enc-(\w+)/.exec(text)?.[1]
  if (maker !== undefined && maker !== resource) {
    const error = { message: "It is not mine.", type: "invalid_request_error", code: "invalid_encrypted_content" }
    return { status: 400, body: { error } }
  }
  const item = reasoningOf(resource)
  const id = `resp_${resource}`
  const response = { id, object: "response", status: "completed", output: [item] }
  if (!text.includes("\"stream\":true")) return { status: 200, body: response }
  return {
    status: 200,
    headers: streaming,
    body: [
      event("response.created", { response: { id, output: [] } }),
      event("response.output_item.added", { item }),
      event("response.output_item.done", { item }),
      event("response.output_text.delta", { delta: "x" }),
      event("response.completed", { response })
    ]
  }
}

const params = { model: "gpt-4o", input: "Think." }

describe("encrypted reasoning", () => {
  /** Asks for a response, and gives the resource that its reasoning names. */
  const think = {
    whole: Effect.flatMap(LoadBalancer, (lb) => Effect.asVoid(lb.responses(params))),
    streamed: Effect.flatMap(LoadBalancer, (lb) => Stream.runDrain(lb.responsesStream(params))),
    "streamed as bytes": Effect.flatMap(
      LoadBalancer,
      (lb) =>
        Effect.flatMap(
          lb.request({ path: "/responses", body: { ...params, stream: true } }),
          ({ stream }) => Stream.runDrain(stream)
        )
    )
  }
  for (const [name, ask] of Object.entries(think)) {
    it.effect(`goes back at once to the resource that made it, ${name}`, () =>
      run(scripted(["a", "b", "c", "d"].map((resource) => azure(resource)), respond), function*(lb, lbs) {
        for (let i = 0; i < 10; i++) {
          yield* answer(ask)
          const maker = lbs.sends.at(-1)!.resource
          const before = lbs.sends.length
          yield* answer(lb.responses({ ...params, input: [reasoningOf(maker), { role: "user", content: "Go on." }] }))
          assert.deepStrictEqual(asked(lbs).slice(before), [maker])
        }
        assert.isAbove(new Set(asked(lbs)).size, 1)
      }))
  }

  it.effect("is known as soon as the stream has ended, though its reader stops at the last event", () =>
    run(scripted(["a", "b", "c", "d"].map((resource) => azure(resource)), respond), function*(lb, lbs) {
      for (let i = 0; i < 6; i++) {
        const events = lb.responsesStream(params)
        yield* answer(Stream.runDrain(Stream.takeUntil(events, ({ type }) => type === "response.completed")))
        const maker = lbs.sends.at(-1)!.resource
        const before = lbs.sends.length
        yield* answer(lb.responses({ ...params, input: [reasoningOf(maker)] }))
        assert.deepStrictEqual(asked(lbs).slice(before), [maker])
      }
    }))
})

describe("a chat completion", () => {
  const id = "chatcmpl-abcdef123"
  const chunk = (delta: object, finish: string | null): string =>
    `data: ${JSON.stringify({ id, choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`
  const chat = ({ body, path, resource }: {
    readonly body: unknown
    readonly path: string
    readonly resource: string
  }): Canned => {
    if (path.includes(id)) {
      return resource === "b" ? completion : { status: 404, body: { error: { message: "There is none.", code: null } } }
    }
    return String(body).includes("\"stream\":true")
      ? {
        status: 200,
        headers: streaming,
        body: [chunk({ content: "a" }, null), chunk({}, "stop"), "data: [DONE]\n\n"]
      }
      : { status: 200, body: { ...(completion.body as object), id } }
  }
  // the first is the default, and the second is preferred
  const resources = [azure("a", { tier: 2 }), azure("b")]
  const read = Effect.flatMap(LoadBalancer, (lb) => settle(lb.request({ path: `/chat/completions/${id}` })))

  for (const store of [true, false]) {
    const place = store
      ? "read where it was made, because it is stored there"
      : "searched for like any other that nobody remembers, if not stored"
    const expected = store ? ["b", "b"] : ["b", "a", "b"]

    it.effect(`is ${place}`, () =>
      run(scripted(resources, chat), function*(lb, lbs) {
        yield* answer(lb.chat({ ...hello, store }))
        yield* read
        assert.deepStrictEqual(asked(lbs), expected)
      }))

    it.effect(`is ${place}, when it was streamed`, () =>
      run(scripted(resources, chat), function*(lb, lbs) {
        yield* answer(Stream.runDrain(lb.chatStream({ ...hello, store })))
        yield* read
        assert.deepStrictEqual(asked(lbs), expected)
      }))
  }
})
