import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { answer, overHttp, run } from "../../support/Balanced.ts"
import { azure, completion, scripted } from "../../support/Scripted.ts"

describe("a form of a model with a limit of requests", () => {
  it.effect("keeps to the limit once that was lowered", () => {
    const lbs = scripted([azure("east", { name: "whisper", rpm: 120 })], () => completion, { failover: { maxWait: 0 } })
    const form = new FormData()
    form.append("model", "whisper")
    form.append("file", new File(["x"], "x.wav"))
    const ask = Effect.map(
      answer(HttpClient.execute(
        HttpClientRequest.bodyFormData(
          HttpClientRequest.post("https://api.openai.com/v1/audio/transcriptions"),
          form
        )
      )),
      ({ status }) => status
    )
    return run(overHttp(lbs), function*(_lb, _on, { members }) {
      assert.strictEqual(yield* ask, 200)
      yield* members.update("east/whisper", { rpm: 2 })
      const statuses = yield* Effect.replicateEffect(ask, 15)
      assert.isAtMost(statuses.filter((status) => status === 200).length, 1)
      assert.isAtMost(lbs.sends.length, 2)
      assert.isTrue(statuses.every((status) => status === 200 || status === 429))
    })
  })
})
