/**
 * The options of one call: what its caller wants otherwise than the configuration has it.
 */
import * as Duration from "effect/Duration"
import type { Schedule } from "effect/Schedule"
import { defaults, type TimeoutsConfig } from "../config/Config.ts"
import { looksSecret, suggest } from "../config/ConfigErrors.ts"
import type { LoadBalancerError } from "../Errors.ts"
import { isRecord } from "../request/Json.ts"
import { invalidRequest, type RequestOptions } from "../request/LlmRequest.ts"
import type { Explanation } from "../routing/Explanation.ts"
import type { RetryContext } from "./RetrySchedule.ts"

/**
 * Options of one call, at every door.
 */
export interface CallOptions extends RequestOptions {
  /** Total deadline of this call, in milliseconds or as a duration. Default: `timeouts.total`. */
  readonly timeout?: Duration.Input | undefined
  /**
   * Time limits of this call's stages, in milliseconds or as durations. Default: `timeouts` of the model, else of the
   * balancer.
   */
  readonly timeouts?: { readonly [Stage in keyof TimeoutsConfig]?: Duration.Input | undefined } | undefined
  /** Attempts of this call, the first one included. Default: `failover.attempts`. */
  readonly attempts?: number | undefined
  /** Whether a stream whose first token is late is asked for a second time. Default: `failover.hedge`. */
  readonly hedge?: boolean | undefined
  /** Replaces the schedule of failover and retry for this call. */
  readonly schedule?: Schedule<unknown, RetryContext> | undefined
  /**
   * Whom this call is for, where one balancer serves several: while everything is throttled, they take turns by the tokens
   * that each was let through, and one that floods the line holds nobody else up. Calls without are of one together.
   */
  readonly tenant?: string | undefined
  /** Told why each attempt of this call goes where it goes. */
  readonly explain?: ((explanation: Explanation) => void) | undefined
}

/** Every option of a call; the type sees to it that none is left out. */
const callOptions: Readonly<Record<keyof CallOptions, true>> = {
  session: true,
  timeout: true,
  timeouts: true,
  attempts: true,
  hedge: true,
  schedule: true,
  explain: true,
  tenant: true,
  headers: true
}

const unknownOptionOf = (options: CallOptions): string | undefined => {
  for (const key in options) {
    if (!Object.hasOwn(callOptions, key)) return key
  }
  return undefined
}

/** The time limits of a call, in milliseconds. */
export const limitsOf = (given: NonNullable<CallOptions["timeouts"]>): Partial<TimeoutsConfig> => {
  // what is no object has no limit that is one
  if (!isRecord(given)) return { [String(given)]: NaN }
  const limits: Record<string, number> = {}
  for (const [stage, limit] of Object.entries(given)) {
    if (limit !== undefined) limits[stage] = millisOf(limit)
  }
  return limits
}

/** Milliseconds of a duration; `NaN` of what is none. */
export const millisOf = (duration: Duration.Input): number => {
  try {
    return Duration.toMillis(duration)
  } catch {
    return NaN
  }
}

/** What is wrong with the options of a call. */
export const problemOf = (options: CallOptions): LoadBalancerError | undefined => {
  const unknownOption = unknownOptionOf(options)
  if (unknownOption !== undefined) {
    const known = Object.keys(callOptions)
    const meant = suggest(unknownOption, known)
    const hint = meant === undefined
      ? `there are ${known.map((name) => `\`${name}\``).join(", ")}`
      : `did you mean \`${meant}\`?`
    return invalidRequest(`${showKey(unknownOption)} is no option of a call; ${hint}; nothing was sent.`)
  }
  const { attempts, tenant, timeout } = options
  if (tenant !== undefined && !(typeof tenant === "string" && tenant.length >= 1 && tenant.length <= 256)) {
    return invalidRequest("`tenant` is no text of 1 to 256 characters; nothing was sent.")
  }
  if (timeout !== undefined && !isPositive(millisOf(timeout))) return noDuration("timeout")
  const timeouts = options.timeouts === undefined ? undefined : limitsOf(options.timeouts)
  for (const stage in timeouts) {
    if (!Object.hasOwn(defaults.timeouts, stage)) {
      const known = Object.keys(defaults.timeouts).join(", ")
      return invalidRequest(`\`timeouts.${stage}\` is no time limit: there are ${known}; nothing was sent.`)
    }
    if (!isPositive(timeouts[stage as keyof TimeoutsConfig])) return noDuration(`timeouts.${stage}`)
  }
  if (attempts !== undefined && !(Number.isInteger(attempts) && attempts >= 1)) {
    return invalidRequest("`attempts` is no whole number from 1 on; nothing was sent.")
  }
  return undefined
}

const showKey = (key: string): string => looksSecret(key) ? "A key" : `\`${key}\``

const isPositive = (millis: number | undefined): boolean => millis !== undefined && millis > 0 && millis < Infinity

const noDuration = (option: string): LoadBalancerError =>
  invalidRequest(
    `\`${option}\` is no positive duration: give milliseconds, or a text such as "30 seconds"; nothing was sent.`
  )
