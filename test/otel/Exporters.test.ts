import { genAi, genAiNext, instruments } from "#core/telemetry/Names"
import { OtelMetrics, Resource } from "@effect/opentelemetry"
import { assert, describe, it } from "@effect/vitest"
import { Prometheus } from "@evenkeel/otel"
import { Effect, Layer, Metric } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { OtlpMetrics, OtlpSerialization } from "effect/observability"
import { Flusher } from "effect/observability/OtlpExporter"
import {
  asPrometheus,
  fromOtel,
  fromOtlp,
  fromPrometheus,
  fromSnapshot,
  type OtlpBody,
  type Point
} from "../support/Exported.ts"
import { tour } from "../support/Tour.ts"

const semantics = [["stable", genAiNext], ["latest", genAi]] as const

/** That every instrument in use is among them; of the two sets of GenAI names only one is. */
const assertAll = (points: ReadonlyArray<Point>, unused: object, nameOf: (name: string) => string = (name) => name) => {
  const names = new Set(points.map(({ name }) => name))
  const others = new Set<unknown>(Object.values(unused))
  const missing = instruments.filter((instrument) => !others.has(instrument) && !names.has(nameOf(instrument.name)))
  assert.deepStrictEqual(missing, [])
}

const collector = (bodies: Array<OtlpBody>) =>
  Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request) =>
      Effect.sync(() => {
        if (request.body._tag === "Uint8Array") {
          bodies.push(JSON.parse(new TextDecoder().decode(request.body.body)) as OtlpBody)
        }
        return HttpClientResponse.fromWeb(request, new Response("{}", { status: 200 }))
      })
    )
  )

describe("every instrument, with its unit, its attributes and its value, is", () => {
  for (const [genAi, unused] of semantics) {
    it.effect(`given to OpenTelemetry's SDK (${genAi} names)`, () =>
      tour(
        () =>
          Effect.gen(function*() {
            const expected = fromSnapshot(yield* Metric.snapshot)
            const producer = yield* OtelMetrics.makeProducer()
            const { errors, resourceMetrics } = yield* Effect.promise(() => producer.collect())
            assert.deepStrictEqual(errors, [])
            const points = fromOtel(resourceMetrics)
            assert.deepStrictEqual(points, expected)
            assertAll(points, unused)
          }).pipe(Effect.provide(Resource.layerEmpty)),
        { genAi }
      ))

    it.effect(`sent to a collector by OTLP (${genAi} names)`, () => {
      const bodies: Array<OtlpBody> = []
      const exporter = OtlpMetrics.layer({
        url: "http://collector.invalid/v1/metrics",
        resource: { serviceName: "test" }
      }).pipe(Layer.provide(OtlpSerialization.layerJson), Layer.provide(collector(bodies)))
      return tour(
        () =>
          Effect.gen(function*() {
            const expected = fromSnapshot(yield* Metric.snapshot)
            yield* (yield* Flusher).flush
            const points = fromOtlp(bodies[0]!)
            assert.deepStrictEqual(points, expected)
            assertAll(points, unused)
          }).pipe(Effect.provide(exporter)),
        { genAi }
      )
    })

    it.effect(`on the page that Prometheus reads (${genAi} names)`, () =>
      tour(
        () =>
          Effect.gen(function*() {
            const expected = asPrometheus(fromSnapshot(yield* Metric.snapshot))
            const points = fromPrometheus(yield* Prometheus.page)
            assert.deepStrictEqual(points, expected)
            assertAll(points, unused, (name) => asPrometheus([{ name, labels: "", unit: "", value: "" }])[0]!.name)
          }),
        { genAi }
      ))
  }
})
