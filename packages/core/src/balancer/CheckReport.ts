/**
 * A look at every resource and deployment, now and on purpose: what is wrong, where, and what to do about it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { AttemptEnvironment } from "../attempt/AttemptRecord.ts"
import { cureOf } from "../attempt/Cure.ts"
import { issuesOf, type OptionRule } from "../config/OptionIssues.ts"
import type { Deployment } from "../deployment/Deployment.ts"
import type { Deployments } from "../deployment/Deployments.ts"
import type { Resource } from "../deployment/Resource.ts"
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
  readonly ok: boolean
  /** Whether it was ever asked, by this check or by traffic. Of one that never was nothing is known: it is `ok` so far. */
  readonly isAsked: boolean
  /** What is wrong, in the words of events and snapshots: `http 401`, `dns`, `missing`. */
  readonly problem: string | undefined
  /** What to do about it. */
  readonly cure: string | undefined
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

const ofResource = Effect.fnUntraced(function*(
  resource: Resource,
  deployments: Deployments["Service"],
  environment: AttemptEnvironment,
  { completion = false }: CheckOptions
) {
  const { path, timeout } = deployments.settings.health.check
  const answered = Effect.catch(probe(resource, environment.transport, path), ({ message }) => Effect.succeed(message))
  const problem = yield* Effect.timeoutOrElse(answered, {
    duration: timeout,
    orElse: () => Effect.succeed("timeout")
  })
  const result = (
    kind: CheckResult["kind"],
    name: string,
    problem: string | undefined,
    isAsked = true
  ): CheckResult => {
    const cure = problem === undefined ? undefined : cureOf(problem)
    return { kind, name, host: resource.place.address, ok: problem === undefined, isAsked, problem, cure }
  }
  const own = deployments.all().filter((deployment) => deployment.resource === resource)
  const found = yield* Effect.forEach(own, (deployment) => {
    if (problem !== undefined) return Effect.succeed(problem)
    return completion && deployment.model !== "*"
      ? askOneToken(deployment, deployments, environment)
      : Effect.map(Clock.Clock, (clock) => knownProblem(deployment, monotonicMillis(clock)))
  }, { concurrency: "unbounded" })
  return [
    result("resource", resource.name, problem),
    ...own.map(({ id, totals }, i) => result("deployment", id, found[i], totals.attempts > 0))
  ]
})

/** What traffic has found out. To be told to wait is no problem. */
const knownProblem = ({ breaker, cooldown }: Deployment, now: number): string | undefined =>
  cooldown.isMissing(now) ? "missing" : breaker.isClosed ? undefined : breaker.reason
