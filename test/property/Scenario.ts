/**
 * Scenarios: some deployments, what goes wrong with them and when, and who asks for what. Plain data, so that a failing
 * one shrinks to the few things that matter and can be read.
 */
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { Schema } from "effect"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const list = <S extends Schema.Constraint>(item: S, minimum: number, maximum: number) =>
  Schema.Array(item).check(Schema.isMinLength(minimum), Schema.isMaxLength(maximum))

/** Everything that the service can do to a request, by name. */
export const faults = {
  failing: { kind: "status", status: 500 },
  overloaded: { kind: "status", status: 503 },
  conflict: { kind: "status", status: 409 },
  unauthorized: { kind: "status", status: 401 },
  refusing: { kind: "status", status: 422 },
  missing: { kind: "status", error: "deployment-not-found" },
  brieflyThrottled: { kind: "throttle", retryAfterMs: 700 },
  throttled: { kind: "throttle", retryAfterMs: 4000 },
  longThrottled: { kind: "throttle", retryAfterMs: 30_000 },
  throttledWithoutTime: { kind: "throttle" },
  broke: { kind: "throttle", error: "insufficient-quota" },
  unreachable: { kind: "refused" },
  unreachableInTime: { kind: "refused", because: "connect-timeout", afterMs: 900 },
  reset: { kind: "reset" },
  silent: { kind: "hang" },
  slow: { kind: "slow", factor: 30 },
  slowDecoding: { kind: "slowDecoding", factor: 400 },
  empty: { kind: "empty" },
  emptyDone: { kind: "empty", done: true },
  cutAtOnce: { kind: "cut", afterEvents: 1, ending: "end" },
  cutLater: { kind: "cut", afterEvents: 5, ending: "reset" },
  stalled: { kind: "hang", afterEvents: 1 },
  stalledLater: { kind: "hang", afterEvents: 5 },
  errorInside: { kind: "errorInStream", type: "server_error", code: "server_error" },
  limitInside: { kind: "errorInStream" },
  limitInsideLater: { kind: "errorInStream", afterEvents: 5 },
  malformed: { kind: "malformed", how: "json", afterEvents: 2 },
  malformedLater: { kind: "malformed", how: "utf8", afterEvents: 5 },
  truncated: { kind: "truncated" },
  unreadable: { kind: "unreadable" }
} satisfies Record<string, SimulatedFault>

export type FaultName = keyof typeof faults

const Deployment = Schema.Struct({
  /** Of three resources. */
  resource: int(0, 2),
  tier: int(1, 2),
  provisioned: Schema.Boolean,
  /** Requests of the usual size that its quota holds in a minute; 0 for no limit. */
  holds: Schema.Literals([0, 0, 0, 2, 5, 10, 20])
})

const Fault = Schema.Struct({
  deployment: int(0, 4),
  /** Whether it strikes the whole resource. */
  everywhere: Schema.Boolean,
  what: Schema.Literals(Object.keys(faults) as Array<FaultName>),
  from: int(0, 8000),
  lasts: int(500, 12_000),
  /** Whether it strikes only half of the requests. */
  sometimes: Schema.Boolean
})

const Request = Schema.Struct({
  at: int(0, 12_000),
  how: Schema.Literals(["whole", "stream", "responses", "responsesWhole"]),
  /** 0 for none. */
  session: int(0, 3),
  /** What its caller does: most wait for the end. */
  fate: Schema.Literals(["waits", "waits", "waits", "givesUp", "stopsEarly", "hurries", "stores"]),
  /** When it gives up, or what its deadline is, in ms; its thousandth is the number of events that it stops after. */
  patience: int(1, 6000)
})

/**
 * Schema for a scenario. `seed` is for everything that is random.
 */
export const Scenario = Schema.Struct({
  seed: int(0, 1_000_000),
  deployments: list(Deployment, 1, 5),
  faults: list(Fault, 0, 10),
  requests: list(Request, 1, 60),
  attempts: int(1, 4),
  maxWait: int(0, 10_000),
  /** In tenths. */
  budgetRatio: int(0, 5),
  budgetPerSecond: int(0, 1),
  hedges: Schema.Boolean,
  consecutiveFailures: int(1, 3),
  openFor: int(200, 3000),
  /** Active checks, every second where there are any. */
  checks: Schema.Literals(["none", "models", "completion"]),
  firstEvent: int(300, 3000),
  idle: int(300, 2000)
})

/**
 * One scenario.
 */
export type Scenario = typeof Scenario.Type

/** The total of every request that sets none, in ms: when all of them have surely ended. */
export const TOTAL = 20_000

/** Tokens of a usual request: all have prompts of one length, so that the estimate is exact once it was learned. */
export const USUAL = 60
