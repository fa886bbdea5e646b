/**
 * `evenkeel check`: whether all that is configured answers.
 */
import { HealthMonitor, LoadBalancer, Prices, Telemetry } from "@evenkeel/core"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Terminal from "effect/Terminal"
import { layerDecoded } from "../LoadBalancerLive.ts"
import { render } from "./CheckTable.ts"
import { endWith } from "./Exit.ts"
import { readConfig } from "./Source.ts"

/** What it is given. */
export interface CheckInput {
  readonly completion: boolean
  readonly config: Option.Option<string>
  readonly json: boolean
}

/** Asks everything once, and prints what was found. */
export const run = Effect.fnUntraced(function*({ completion, config: file, json }: CheckInput) {
  const config = yield* readConfig(file)
  const report = yield* Effect.flatMap(LoadBalancer, (balancer) => balancer.check({ completion })).pipe(
    // who only looks joins no fleet
    Effect.provide(layerDecoded({ ...config, fleet: undefined }, {
      healthMonitor: HealthMonitor.layerNone,
      prices: Prices.layerNone,
      telemetry: Telemetry.layer({ logs: false })
    }))
  )
  const terminal = yield* Terminal.Terminal
  const width = (yield* terminal.columns) || Infinity
  const { canColor } = yield* TerminalCapabilities
  yield* Console.log(json ? JSON.stringify(report) : render(report, { width, hasColor: canColor }))
  yield* endWith(report.ok ? 0 : 1)
})
