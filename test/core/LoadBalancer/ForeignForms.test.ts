import type { TransportRequest } from "#core/transport/Transport"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { TestClock } from "effect/testing"
import { answer, overHttp, run } from "../../support/Balanced.ts"
import { asked, azure, completion, scripted } from "../../support/Scripted.ts"

const transcriptions = HttpClientRequest.post("https://api.openai.com/v1/audio/transcriptions")
const files = HttpClientRequest.post("https://api.openai.com/v1/files")

/** A form of a file, and of what is given. */
const formOf = (fields: Readonly<Record<string, string>>): FormData => {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  form.append("file", new File(["RIFF"], "x.wav", { type: "audio/wav" }))
  return form
}

/** A form as it was sent. */
const sentForm = ({ body, headers }: TransportRequest): Effect.Effect<FormData> => {
  const contentType = headers["content-type"]
  assert.match(contentType ?? "no content type", /^multipart\/form-data; ?boundary=/)
  return Effect.promise(() =>
    new Response(new Uint8Array(body as Uint8Array), { headers: { "content-type": contentType! } }).formData()
  )
}

describe("a form through the balanced HttpClient", () => {
  const forms: ReadonlyArray<readonly [string, (form: FormData) => HttpClientRequest.HttpClientRequest]> = [
    ["a form", (form) => HttpClientRequest.bodyFormData(transcriptions, form)],
    ["a raw body", (form) => HttpClientRequest.setBody(transcriptions, HttpBody.raw(form))]
  ]
  for (const [name, write] of forms) {
    it.effect(`names the deployment of its model, and keeps its boundary and its file: ${name}`, () => {
      const lbs = scripted([azure("other"), azure("east", { name: "served", model: "whisper" })], () => completion)
      return run(overHttp(lbs), function*() {
        const { status } = yield* answer(HttpClient.execute(write(formOf({ model: "whisper", language: "en" }))))
        assert.strictEqual(status, 200)
        assert.deepStrictEqual(asked(lbs), ["east"])
        const form = yield* sentForm(lbs.sends[0]!)
        assert.deepStrictEqual([form.getAll("model"), form.get("language")], [["served"], "en"])
        const file = form.get("file") as File
        assert.deepStrictEqual([file.name, file.type, file.size], ["x.wav", "audio/wav", 4])
      })
    })
  }

  it.effect("is written anew for another deployment", () => {
    const lbs = scripted(
      [
        azure("east", { name: "east-whisper", model: "whisper" }),
        azure("west", { name: "west-whisper", model: "whisper", tier: 2 })
      ],
      ({ resource }) => resource === "east" ? { status: 500 } : completion
    )
    return run(overHttp(lbs), function*() {
      const form = formOf({ model: "whisper" })
      const { status } = yield* answer(HttpClient.execute(HttpClientRequest.bodyFormData(transcriptions, form)))
      assert.strictEqual(status, 200)
      assert.deepStrictEqual(asked(lbs), ["east", "west"])
      const models = yield* Effect.forEach(lbs.sends, (send) => Effect.map(sentForm(send), (sent) => sent.get("model")))
      assert.deepStrictEqual(models, ["east-whisper", "west-whisper"])
    })
  })

  it.effect("goes to the default resource where it names no model, and is whole", () =>
    run(overHttp(scripted([azure("east"), azure("west")], () => completion)), function*(_, lbs) {
      const form = formOf({ purpose: "batch" })
      yield* answer(HttpClient.execute(HttpClientRequest.bodyFormData(files, form)))
      assert.deepStrictEqual(asked(lbs), ["east"])
      const sent = yield* sentForm(lbs.sends[0]!)
      assert.deepStrictEqual([...sent.keys()], ["purpose", "file"])
    }))
})

const texts = () =>
  new ReadableStream<string>({
    start: (controller) => {
      controller.enqueue("{\"a\":")
      controller.enqueue("\"é\"}")
      controller.close()
    }
  })

describe("a body of the balanced HttpClient that comes as texts", () => {
  it.effect("is sent as UTF-8, as the platform's fetch does", () =>
    run(overHttp(scripted([azure("east")], () => completion)), function*(_, lbs) {
      yield* HttpClient.execute(HttpClientRequest.setBody(files, HttpBody.raw(texts())))
      const stream = Stream.fromIterable(["{\"a\":", "\"é\"}"]) as unknown as Stream.Stream<Uint8Array>
      yield* HttpClient.execute(HttpClientRequest.bodyStream(files, stream))
      assert.deepStrictEqual(
        lbs.sends.map(({ body }) => new TextDecoder().decode(body as Uint8Array)),
        ["{\"a\":\"é\"}", "{\"a\":\"é\"}"]
      )
    }))

  it.effect("fails where a part is neither text nor bytes, and nothing is sent", () =>
    run(overHttp(scripted([azure("east")], () => completion)), function*(_, lbs) {
      const numbers = Stream.fromIterable([1, 2]) as unknown as Stream.Stream<Uint8Array>
      const error = yield* Effect.flip(HttpClient.execute(HttpClientRequest.bodyStream(files, numbers)))
      assert.match(String((error.reason as { readonly cause: unknown }).cause), /neither bytes nor text: a number/)
      assert.lengthOf(lbs.sends, 0)
    }))
})

describe("a request of the balanced HttpClient that is interrupted", () => {
  it.effect("lets go of a stream that is its body", () => {
    const lbs = scripted([azure("east")], () => completion)
    let pulls = 0
    let hasEnded = false
    const endless = Stream.fromEffectRepeat(Effect.map(Effect.sleep(1), () => {
      pulls++
      return new Uint8Array(10)
    })).pipe(Stream.ensuring(Effect.sync(() => {
      hasEnded = true
    })))
    return run(overHttp(lbs), function*() {
      const asking = HttpClient.execute(HttpClientRequest.bodyStream(files, endless))
      const fiber = yield* Effect.forkChild(asking, { startImmediately: true })
      for (let i = 0; i < 30; i++) yield* TestClock.adjust(1)
      assert.isAbove(pulls, 10)
      yield* Fiber.interrupt(fiber)
      assert.isTrue(hasEnded)
      const before = pulls
      for (let i = 0; i < 30; i++) yield* TestClock.adjust(1)
      assert.strictEqual(pulls, before)
      assert.lengthOf(lbs.sends, 0)
    })
  })

  it.effect("cancels a stream of the platform that is its body", () => {
    const lbs = scripted([azure("east")], () => completion)
    const pulled = Promise.withResolvers<void>()
    const cancelled = Promise.withResolvers<void>()
    const body = new ReadableStream<Uint8Array>({
      pull: () => {
        pulled.resolve()
        return new Promise(() => {})
      },
      cancel: () => cancelled.resolve()
    }, { highWaterMark: 0 })
    return run(overHttp(lbs), function*() {
      const asking = HttpClient.execute(HttpClientRequest.setBody(files, HttpBody.raw(body)))
      const fiber = yield* Effect.forkChild(asking, { startImmediately: true })
      yield* Effect.promise(() => pulled.promise)
      yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* Effect.promise(() => cancelled.promise)
      assert.lengthOf(lbs.sends, 0)
    })
  })
})
