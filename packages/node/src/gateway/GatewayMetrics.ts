/**
 * What the gateway counts besides the balancer: of each key, which no balancer knows.
 */
import type { Usage } from "@evenkeel/core"
import { gatewayInstruments, Meter } from "@evenkeel/core/internal"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/**
 * Metrics of one gateway.
 */
export class GatewayMetrics {
  private readonly meter: Meter

  constructor(context: Context.Context<never>) {
    this.meter = Meter.of(context)
  }

  /** Reads what is open and under way whenever someone looks, while the scope is open. */
  observe(connections: () => number, underWay: () => number): Effect.Effect<void, never, Scope.Scope> {
    const reading = Effect.sync(() => [
      this.meter.observe(gatewayInstruments.connections, [], connections),
      this.meter.observe(gatewayInstruments.underWay, [], underWay)
    ])
    return Effect.asVoid(Effect.acquireRelease(reading, (stops) => Effect.sync(() => stops.forEach((stop) => stop()))))
  }

  /** @param status `undefined` where its client gave it up */
  answered(key: string | undefined, status: number | undefined): void {
    this.meter.count(gatewayInstruments.requests, [key, status === undefined ? undefined : String(status)]).add(1)
  }

  billed(key: string, model: string | undefined, { completionTokens, promptTokens }: Usage): void {
    this.meter.count(gatewayInstruments.tokens, [key, model, "input"]).add(promptTokens)
    this.meter.count(gatewayInstruments.tokens, [key, model, "output"]).add(completionTokens)
  }
}
