/**
 * Mistakes in the options beside a configuration: keys that there are not, and values that are something else.
 */
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type { ConfigIssue } from "../Errors.ts"
import { type Config, decode } from "./Config.ts"
import { isRecord, mismatch, unknownKey } from "./ConfigErrors.ts"

/** What an option must be, in words and in deed. */
export interface OptionRule {
  readonly expected: string
  readonly holds: (value: unknown) => boolean
}

/** An option that is a layer. */
export const aLayer = (example: string): OptionRule => ({
  expected: `a layer, such as \`${example}\``,
  holds: Layer.isLayer
})

/** The options of `LoadBalancer.layer`. */
export const layerRules: Readonly<Record<string, OptionRule>> = {
  selector: aLayer("Selector.layer(Policy.leastLoaded)"),
  healthMonitor: aLayer("HealthMonitor.layerNone"),
  telemetry: aLayer("Telemetry.layer({ logs: true })"),
  prices: aLayer("Prices.layerNone"),
  fleet: aLayer("RedisFleetStore.layer(…)")
}

/** Every mistake in these options. */
export const issuesOf = (
  options: unknown,
  rules: Readonly<Record<string, OptionRule>>
): ReadonlyArray<ConfigIssue> => {
  const context = { input: { options }, references: new Map() }
  if (!isRecord(options)) return [mismatch(context, ["options"], "an object")]
  const known = Object.keys(rules)
  return Object.keys(options).flatMap((key) => {
    const path = ["options", key]
    if (!Object.hasOwn(rules, key)) return [unknownKey(path, known)]
    const { expected, holds } = rules[key]!
    return options[key] === undefined || holds(options[key]) ? [] : [mismatch(context, path, expected)]
  })
}

/** Decodes a configuration, and looks at the options beside it: every mistake in either. */
export const decodeBeside = (
  config: unknown,
  options: unknown,
  rules: Readonly<Record<string, OptionRule>>
): Result.Result<Config, ReadonlyArray<ConfigIssue>> => {
  const decoded = decode(config)
  const issues = issuesOf(options, rules)
  if (issues.length === 0) return decoded
  return Result.fail([...(Result.isFailure(decoded) ? decoded.failure : []), ...issues])
}
