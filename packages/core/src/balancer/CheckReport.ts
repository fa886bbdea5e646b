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
import { askOneToken, MODELS, probe, unanswered } from "./HealthMonitor.ts"

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
  /** What is worth a look though nothing fails, in sentences: it is `ok` all the same. */
  readonly warnings: ReadonlyArray<string>
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
    return this.results.map(({ cure, host, isAsked, kind, name, problem, warnings }) => {
      const what = `${kind === "resource" ? "" : "  "}${name} (${host})`
      if (problem !== undefined) return [`${what}: ${problem}. ${cure}`, ...warnings].join(" ")
      const state = isAsked ? "ok" : "not asked yet; `completion: true` asks it for one token"
      return `${what}: ${[state, ...warnings].join("; ")}`
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
  readonly warnings?: ReadonlyArray<string>
  readonly duration?: number
}

const ofResource = Effect.fnUntraced(function*(
  resource: Resource,
  deployments: Deployments["Service"],
  environment: AttemptEnvironment,
  { completion = false }: CheckOptions
) {
  const { path, timeout } = deployments.settings.health.check
  const [took, { problem, status }] = yield* probe(resource, environment.transport, path).pipe(
    Effect.catch(({ message }) => Effect.succeed(unanswered(message))),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.succeed(unanswered("timeout")) }),
    Effect.timed
  )
  // what a `*` may become is nobody's claim
  const own = deployments.all().filter(({ id, resource: of, totals }) =>
    of === resource && (deployments.isNamed(id) || totals.attempts > 0)
  )
  const found = yield* Effect.forEach(own, (deployment) => {
    // one whose list of models fails may answer all the same
    if (problem !== undefined) return Effect.succeed<Finding>({ problem })
    return completion && deployment.model !== "*"
      ? timed(askOneToken(deployment, deployments, environment))
      : Effect.map(Clock.Clock, (clock): Finding => ({ problem: knownProblem(deployment, monotonicMillis(clock)) }))
  }, { concurrency: "unbounded" })
  const now = monotonicMillis(yield* Clock.Clock)
  const whole: Finding = {
    problem: problem ?? (isFailing(status) ? `http ${status}` : undefined),
    warnings: isUnknown(status) ? doubtsOf(resource, status, path) : [],
    duration: Duration.toMillis(took)
  }
  return [
    resultOf(resource, resource.name, whole, undefined, now),
    ...own.map((deployment, i) => resultOf(resource, deployment.id, found[i]!, deployment, now))
  ]
})

/** The service itself fails. */
const isFailing = (status: number | undefined): boolean => status !== undefined && status >= 500 && !isUnknown(status)

/** It knows no such path, or sends elsewhere: a server is there, with TLS, and perhaps another one than was meant. */
const isUnknown = (status: number | undefined): status is number =>
  status !== undefined && (status === 404 || status === 405 || status === 501 || (status >= 300 && status < 400))

const doubtsOf = (
  { lastSuccessAt, provider }: Resource,
  status: number,
  path: string | undefined
): ReadonlyArray<string> => {
  const told = `http ${status} for ${path ?? MODELS}`
  if (path !== undefined) return [`${told}. It knows no such path: check \`endpoint\` and \`health.check.path\`.`]
  // where a request was answered, its base is right
  if (lastSuccessAt > -Infinity) return []
  return provider === "compatible"
    ? [`${told}, which not every service has: check \`endpoint\` if requests fail too.`]
    : [`${told}. ${cureOf("http 404")}`]
}

/** Where limits are known from both sides, and differ. */
const differencesOf = ({ config: { rpm, tpm }, quota: { told } }: Deployment): ReadonlyArray<string> => [
  ...differenceOf("tpm", "tokens", tpm, told.tokens),
  ...differenceOf("rpm", "requests", rpm, told.requests)
]

const differenceOf = (
  name: string,
  what: string,
  configured: number | undefined,
  told: number
): ReadonlyArray<string> => {
  if (configured === undefined || told === 0 || told === configured) return []
  const both = `${told.toLocaleString("en")} ${what} a minute, where \`${name}\` is ${configured.toLocaleString("en")}.`
  return [
    told < configured
      ? `The service allows less: ${both} Its limit is kept to.`
      : `You use less than you have: the service allows ${both}`
  ]
}

const resultOf = (
  { place }: Resource,
  name: string,
  { duration, problem, warnings = [] }: Finding,
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
    warnings: deployment === undefined ? warnings : differencesOf(deployment),
    limits: { tokens: told?.tokens || undefined, requests: told?.requests || undefined },
    duration
  }
}

const timed = <E>(asking: Effect.Effect<string | undefined, E>): Effect.Effect<Finding, E> =>
  Effect.map(Effect.timed(asking), ([duration, problem]) => ({ problem, duration: Duration.toMillis(duration) }))

/** What traffic has found out. To be told to wait is no problem. */
const knownProblem = ({ breaker, cooldown }: Deployment, now: number): string | undefined =>
  cooldown.isMissing(now) ? "missing" : breaker.isClosed ? undefined : breaker.reason
