import { assert, describe, it } from "@effect/vitest"
import { answer, hello, run, stateOf } from "../../support/Balanced.ts"
import { read } from "../../support/Events.ts"
import { azure, scripted } from "../../support/Scripted.ts"

const choice = (delta: string, finish: string): string =>
  `{"id":"x","choices":[{"index":0,"delta":${delta},"finish_reason":${finish}}]}`

const event = (data: string): string => `data: ${data}\n\n`

const content = event(choice(`{"content":"a"}`, "null"))
const stop = event(choice("{}", `"stop"`))
const usage = event(`{"id":"x","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10}}`)
const done = event("[DONE]")

/** A stream of a chat as services other than OpenAI's may write it. */
const formats: Readonly<Record<string, ReadonlyArray<string>>> = {
  "two spaces before a finish": [content, event(choice("{}", `  "stop"`)), usage, done],
  "a tab before a finish": [content, event(choice("{}", `\t"stop"`)), usage, done],
  "a space before the colon of a finish": [content, stop.replace("finish_reason\":", "finish_reason\" :"), usage, done],
  "two spaces before a missing finish": [event(choice(`{"content":"a"}`, "  null")), stop, usage, done],
  "an event in two lines of data": [
    content,
    `data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":\ndata: "stop"}]}\n\n`,
    usage,
    done
  ],
  "[DONE] with a space after": [content, stop, usage, "data: [DONE] \n\n"],
  "[DONE] with a tab after": [content, stop, usage, "data: [DONE]\t\n\n"],
  "[DONE] without a space before": [content, stop, usage, "data:[DONE]\n\n"],
  "[DONE] without its blank line": [content, stop, usage, "data: [DONE]"],
  "spaces around the colon of the usage": [content, stop, usage.replace("\"usage\":{", "\"usage\" : {"), done],
  "carriage returns": [content, stop, usage, done].map((text) => text.replaceAll("\n", "\r")),
  "both line ends": [content, stop, usage, done].map((text) => text.replaceAll("\n", "\r\n")),
  "a byte order mark": [`\uFEFF${content}`, stop, usage, done]
}

/** How a stream may arrive. */
const arrivals: ReadonlyArray<readonly [string, (texts: ReadonlyArray<string>) => ReadonlyArray<string>]> = [
  ["event by event", (texts) => texts],
  ["all at once", (texts) => [texts.join("")]],
  ["character by character", (texts) => texts.flatMap((text) => [...text])]
]

for (const [arrival, cut] of arrivals) {
  describe(`a stream that comes ${arrival}`, () => {
    for (const [name, texts] of Object.entries(formats)) {
      it.effect(`is whole and billed with ${name}, and its usage is not shown`, () => {
        const headers = { "content-type": "text/event-stream" }
        const lbs = scripted([azure("east")], () => ({ status: 200, headers, body: cut(texts) }))
        return run(lbs, function*(lb) {
          const given = yield* answer(lb.request({ path: "/chat/completions", body: { ...hello, stream: true } }))
          const text = yield* answer(given.text)
          assert.include(text, "[DONE]")
          assert.notInclude(text, "usage")
          const { inFlight, state, totals } = yield* stateOf("east/gpt-4o")
          assert.deepInclude(totals, { succeeded: 1, failed: 0, promptTokens: 5 })
          assert.deepStrictEqual([inFlight, state], [0, "healthy"])
        })
      })
    }
  })
}

describe("a stream without any finish", () => {
  for (const finish of ["null", " null", "  null", "\tnull"]) {
    it(`is cut short, however that is written: ${JSON.stringify(finish)}`, () => {
      const bytes = new TextEncoder().encode(event(choice(`{"content":"a"}`, finish)))
      const { reader } = read([bytes])
      assert.isFalse(reader.isComplete)
      assert.isDefined(reader.failure)
    })
  }
})
