/**
 * A look at every resource and deployment, now and on purpose: what is wrong, where, and what to do about it.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { AttemptEnvironment } from "../attempt/AttemptRecord.ts"
import { cureOf } from "../attempt/Cure.ts"
import { issuesOf, type OptionRule } from "../config/OptionIssues.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { Deployments } from "../deployment/Deployments.ts"
import type { Resource } from "../deployment/Resource.ts"
import { stateOf } from "../deployment/Snapshot.ts"
import { invalidConfig, type LoadBalancerError } from "../Errors.ts"
import { monotonicMillis } from "../Time.ts"
import { askOneToken, probe } from "./HealthMonitor.ts"

/** Options of a check. */
export interface CheckOptions {
  /**
   * Whether each deployment is asked for one token, which costs a little, and finds those that do not exist before traffic
   * does. Default: false, which asks each resource for its list of models, or for `health.check.path`, for nothing.
   */
  readonly completion?: boolean | undefined
}

/** What was found of a resource or a deployment. */
export interface CheckResult {
  readonly kind: "resource" | "deployment"
  /** Name of the resource, or id of the deployment. */
  readonly name: string
  readonly host: string
  /** The model of a deployment. */
  readonly model: string | undefined
  readonly ok: boolean
  /** `throttled`: it answers, and tells to wait. `not asked`: nothing is known. */
  readonly state: "ok" | "throttled" | "failed" | "not asked"
  /** Whether it was ever asked, by this check or by traffic. Of one that never was nothing is known: it is `ok` so far. */
  readonly isAsked: boolean
  /** What is wrong, in the words of events and snapshots: `http 401`, `dns`, `missing`. */
  readonly problem: string | undefined
  /** What to do about it. */
  readonly cure: string | undefined
  /** Tokens and requests a minute, as far as the service's own headers told them. */
  readonly limits: { readonly tokens: number | undefined; readonly requests: number | undefined }
  /** Milliseconds that the answer took, where this check asked. */
  readonly duration: number | undefined
}

/** What was found. `String(report)` is a line for each. */
export class CheckReport {
  /** Whether nothing is wrong. */
  readonly ok: boolean
  /** Each resource, and after it its deployments. */
  readonly results: ReadonlyArray<CheckResult>

  constructor(results: ReadonlyArray<CheckResult>) {
    this.results = results
    this.ok = results.every(({ ok }) => ok)
  }

  toString(): string {
    return this.results.map(({ cure, host, isAsked, kind, name, problem }) => {
      const what = `${kind === "resource" ? "" : "  "}${name} (${host})`
      if (problem !== undefined) return `${what}: ${problem}. ${cure}`
      return isAsked ? `${what}: ok` : `${what}: not asked yet; \`completion: true\` asks it for one token`
    }).join("\n")
  }
}

/** Looks at everything, whether or not it is idle. What a completion finds counts as any other attempt does. */
export const take = (
  deployments: Deployments["Service"],
  environment: AttemptEnvironment,
  options: CheckOptions = {}
): Effect.Effect<CheckReport, LoadBalancerError> => {
  const issues = issuesOf(options, rules)
  if (issues.length > 0) return Effect.fail(invalidConfig("the options of the check", issues))
  return Effect.map(
    Effect.forEach(deployments.resources(), (resource) => ofResource(resource, deployments, environment, options), {
      concurrency: "unbounded"
    }),
    (results) => new CheckReport(results.flat())
  )
}

const rules: Readonly<Record<keyof CheckOptions, OptionRule>> = {
  completion: { expected: "true or false", holds: (value) => typeof value === "boolean" }
}

/** What was found of one, and how long it took. */
interface Finding {
  readonly problem: string | undefined
  readonly duration?: number
}

const ofResource = Effect.fnUntraced(function*(
  resource: Resource,
  deployments: Deployments["Service"],
  environment: AttemptEnvironment,
  { completion = false }: CheckOptions
) {
  const { path, timeout } = deployments.settings.health.check
  const answered = Effect.catch(probe(resource, environment.transport, path), ({ message }) => Effect.succeed(message))
  const whole = yield* timed(Effect.timeoutOrElse(answered, {
    duration: timeout,
    orElse: () => Effect.succeed("timeout")
  }))
  // what a `*` may become is nobody's claim
  const own = deployments.all().filter(({ id, resource: of, totals }) =>
    of === resource && (deployments.isNamed(id) || totals.attempts > 0)
  )
  const found = yield* Effect.forEach(own, (deployment) => {
    if (whole.problem !== undefined) return Effect.succeed<Finding>({ problem: whole.problem })
    return completion && deployment.model !== "*"
      ? timed(askOneToken(deployment, deployments, environment))
      : Effect.map(Clock.Clock, (clock): Finding => ({ problem: knownProblem(deployment, monotonicMillis(clock)) }))
  }, { concurrency: "unbounded" })
  const now = monotonicMillis(yield* Clock.Clock)
  return [
    resultOf(resource, resource.name, whole, undefined, now),
    ...own.map((deployment, i) => resultOf(resource, deployment.id, found[i]!, deployment, now))
  ]
})

const resultOf = (
  { place }: Resource,
  name: string,
  { duration, problem }: Finding,
  deployment: Deployment | undefined,
  now: number
): CheckResult => {
  const isAsked = deployment === undefined || deployment.totals.attempts > 0
  const told = deployment?.quota.told
  return {
    kind: deployment === undefined ? "resource" : "deployment",
    name,
    host: place.address,
    model: deployment?.model,
    ok: problem === undefined,
    state: problem !== undefined
      ? "failed"
      : !isAsked
      ? "not asked"
      : deployment !== undefined && stateOf(deployment, now).state === "cooling-down"
      ? "throttled"
      : "ok",
    isAsked,
    problem,
    cure: problem === undefined ? undefined : cureOf(problem),
    limits: { tokens: told?.tokens || undefined, requests: told?.requests || undefined },
    duration
  }
}

const timed = <E>(asking: Effect.Effect<string | undefined, E>): Effect.Effect<Finding, E> =>
  Effect.map(Effect.timed(asking), ([duration, problem]) => ({ problem, duration: Duration.toMillis(duration) }))

/** What traffic has found out. To be told to wait is no problem. */
const knownProblem = ({ breaker, cooldown }: Deployment, now: number): string | undefined =>
  cooldown.isMissing(now) ? "missing" : breaker.isClosed ? undefined : breaker.reason
