/**
 * The dashboard's queries, as a Prometheus answers them that scrapes a balancer.
 */
import { queries } from "#otel/Dashboard"
import { contentType, page } from "#otel/Prometheus"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { listen } from "../support/PlainServer.ts"
import { pause } from "../support/Served.ts"
import { tour } from "../support/Tour.ts"
import { isInstalled, named, type Prometheus, startPrometheus } from "./Tools.ts"

const hasPrometheus = isInstalled("prometheus")

/** As Grafana fills a template in, with nothing chosen. */
const filled = (template: string): string => template.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*")

/** Queries that get no number, though they are asked again for as long as four seconds: a scrape may be late. */
const unansweredBy = async (prometheus: Prometheus): Promise<ReadonlyArray<string>> => {
  let open = queries().flatMap(({ expression, panel }) =>
    [expression.text, filled(expression.panel)].map((text) => ({ panel, text }))
  )
  const limit = performance.now() + 4_000
  while (open.length > 0 && performance.now() < limit) {
    const answers = await Promise.all(open.map(({ text }) => prometheus.query(text)))
    open = open.filter((_, i) => answers[i]!.every(({ value }) => value[1] === "NaN"))
    if (open.length > 0) await pause(200)
  }
  return open.map(({ panel, text }) => `${panel}: ${text}`)
}

describe("Prometheus", () => {
  it.effect.skipIf(!hasPrometheus)(
    named("answers every query of the dashboard from the page of a running balancer", hasPrometheus, "prometheus"),
    () =>
      Effect.gen(function*() {
        const registry: Metric.MetricRegistry = new Map()
        const text = Effect.provideService(page, Metric.MetricRegistry, registry)
        const server = yield* Effect.acquireRelease(
          Effect.promise(() =>
            listen((_, response) => response.writeHead(200, { "content-type": contentType }).end(Effect.runSync(text)))
          ),
          (server) => Effect.promise(() => server[Symbol.asyncDispose]())
        )
        const prometheus = yield* Effect.acquireRelease(
          Effect.promise(() => startPrometheus(new URL("/metrics", server.url))),
          (prometheus) => Effect.promise(() => prometheus[Symbol.asyncDispose]())
        )
        const scraped = (times: number) =>
          Effect.promise(async () => {
            const end = server.received.length + times
            // it looks for targets every five seconds, also at its start
            const limit = performance.now() + 9_000
            while (server.received.length < end && performance.now() < limit) await pause(20)
            assert.isAtLeast(server.received.length, end, "Prometheus does not scrape")
          })
        // once to have every series, and once more to see each grow
        yield* tour(() => scraped(2), {}, registry)
        const unanswered = yield* tour(
          () =>
            Effect.andThen(
              scraped(2),
              Effect.promise(() => unansweredBy(prometheus))
            ),
          {},
          registry
        )
        assert.deepStrictEqual(unanswered, [])
      }),
    30_000
  )
})
