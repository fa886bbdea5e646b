import { it, assert } from "@effect/vitest"
import { Schema } from "effect"
import * as LlmRequest from "@evenkeel/core/request/LlmRequest"
import { check } from "./support/Check.ts"
const { jsonBody, sentParameters } = LlmRequest
it.prop("r", {
    parameters: Schema.Record(Schema.String, Schema.Json),
    model: Schema.String,
    name: Schema.String,
    hasModel: Schema.Boolean
  }, ({ hasModel, model, name, parameters }) => {
    const { model: _, ...rest } = parameters
    const text = JSON.stringify(rest)
    const a = JSON.parse(jsonBody(text).withModel(name) as string)
    const b = JSON.parse(JSON.stringify({ ...rest, model: name }))
    try { assert.deepStrictEqual(a, b) } catch (e) { console.log("THROW1"); throw e }
    const whole = hasModel ? { ...parameters, model } : parameters
    for (const operation of ["chat", "responses", "embeddings"] as const) {
      for (const stream of [false, true]) {
        const again = jsonBody(JSON.stringify(sentParameters(operation, whole, stream))).withModel(name)
        const { stream: __, stream_options: ___, ...untouched } = JSON.parse(again as string)
        const { stream: ____, stream_options: _____, ...given } = JSON.parse(JSON.stringify({ ...whole, model: name }))
        try { assert.deepStrictEqual(untouched, given) } catch (e) {
          console.log("THROW2", operation, stream, Object.keys(untouched).length, Object.keys(given).length)
          for (const k of new Set([...Object.keys(untouched), ...Object.keys(given)])) if (JSON.stringify(untouched[k]) !== JSON.stringify(given[k])) console.log("DIFF", JSON.stringify(k), k in untouched, k in given, JSON.stringify(untouched[k]), JSON.stringify(given[k]))
          throw e
        }
      }
    }
  }, { arbitrary: { runs: 4500, seed: "31302", size: 40 }, timeout: 60000 })
