/**
 * A choice among many deployments: all gates, then the policy.
 */
import * as Config from "#core/config/Config"
import { Deployments } from "#core/deployment/Deployments"
import { powerOfTwoChoices } from "#core/routing/Policy"
import { decide, type Query, type RouterOptions } from "#core/routing/Router"
import { monotonicMillis } from "#core/Time"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { figureOf } from "./Measure.ts"
import type { Row, Section } from "./Report.ts"

const MODEL = "gpt-4o"
const PER_RESOURCE = 5

/** Deployments of one model, with both limits known, so that no gate is spared; one in ten is cooling down. */
const fleetOf = (count: number) => {
  const config = Result.getOrThrow(Config.decode({
    resources: Array.from({ length: count / PER_RESOURCE }, (_, i) => ({
      name: `resource-${i}`,
      provider: "azure",
      endpoint: `https://resource-${i}.openai.azure.com`,
      apiKey: "bench-key",
      deployments: Array.from({ length: PER_RESOURCE }, (_, j) => ({
        name: `gpt-4o-${j}`,
        model: MODEL,
        tpm: 300_000 + 1000 * j,
        rpm: 1_800
      }))
    }))
  }))
  return Effect.runSync(
    Effect.gen(function*() {
      const deployments = yield* Deployments
      const clock = yield* Clock.Clock
      const now = monotonicMillis(clock)
      deployments.all().forEach((deployment, i) => {
        // some use, so that there are sums to read and utilisations that differ
        for (let used = 0; used < i % 7; used++) deployment.enter(now, 4_000)
        if (i % 10 === 9) deployment.cooldown.begin(now, 3_600_000, "bench")
      })
      return { group: deployments.group(MODEL)!, now }
    }).pipe(Effect.provide(Deployments.layer(config)))
  )
}

export interface ChoiceSizes {
  /** Choices among ten in one batch; fewer among more. */
  readonly choices: number
  readonly batches: number
}

const goals: Readonly<Record<number, number>> = { 10: 400, 100: 2000, 1000: 15_000 }

/** Batches before those that are measured. */
const WARMUP = 3

type Kind = "no session" | "a new session" | "a warm session"

export const choices = (sizes: ChoiceSizes): Section => {
  const rows: Array<Row> = []
  for (const kind of ["no session", "a new session", "a warm session"] as const) {
    for (const count of [10, 100, 1000]) {
      rows.push({
        what: `among ${count}, ${kind}`,
        unit: "ns",
        figure: figureOf(nanosPerChoice(count, kind, sizes)),
        goal: kind === "no session" ? goals[count] : undefined
      })
    }
  }
  return { title: "A choice among deployments: all gates, power of two choices, and the reservation", rows }
}

const nanosPerChoice = (count: number, kind: Kind, { batches, choices }: ChoiceSizes): ReadonlyArray<number> => {
  const { group, now } = fleetOf(count)
  const options: RouterOptions = { policy: powerOfTwoChoices(0.85), hot: 0.85, loadBound: 1.25, random: Math.random }
  const query: Query = {
    group,
    demand: {
      tokens: 600,
      promptTokens: 1400,
      isStandardOnly: false,
      hasStandard: true,
      scope: undefined,
      told: undefined,
      resources: undefined
    },
    tried: new Set(),
    session: kind === "no session" ? undefined : "user-42",
    shard: 0,
    warm: kind === "a warm session" ? group.deployments[count / 2] : undefined
  }
  const perBatch = Math.ceil(choices * 10 / count)
  // windows move on as they would: all batches together are a third of a minute
  const step = 20_000 / (perBatch * (batches + WARMUP))
  const figures: Array<number> = []
  let at = now
  let decided = 0
  for (let batch = -WARMUP; batch < batches; batch++) {
    const before = process.cpuUsage()
    for (let i = 0; i < perBatch; i++) {
      at += step
      const decision = decide(query, options, at)
      if (decision._tag !== "Decision") continue
      decided++
      // what was chosen last has changed when the next choice looks at it, as it has behind a real one
      const { quota } = decision.deployment
      quota.refund(quota.reserve(at, query.demand.tokens), at)
    }
    const { system, user } = process.cpuUsage(before)
    if (batch >= 0) figures.push((user + system) * 1000 / perBatch)
  }
  if (decided !== perBatch * (batches + WARMUP)) throw new Error(`${count} deployments, ${kind}: a choice found nobody`)
  return figures
}
