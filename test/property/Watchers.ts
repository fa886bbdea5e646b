/**
 * What must always hold, as watchers of a scenario: each writes what is wrong into a list.
 */
import type { Deployment } from "#core/deployment/Deployment"
import { LoadBalancerError } from "@evenkeel/core"
import { Cause, Effect, Exit } from "effect"
import { inspect } from "node:util"
import { type Ended, keyOf, type Live, resourceNames, type Sent, type Watcher } from "./Play.ts"
import type { Scenario } from "./Scenario.ts"

/** Makes a watcher that writes what is wrong. */
export type Guarantee = (wrong: Array<string>, scenario: Scenario) => Watcher

/** Above what any request of a scenario reserves. */
const AMPLE = 200

const passes = ({ breaker, cooldown, draining, quota, resource }: Deployment, now: number): boolean =>
  !draining && breaker.allows(now) && resource.breaker.allows(now) && cooldown.allows(now) && quota.fits(now, AMPLE)

const isUsable = (deployment: Deployment, now: number): boolean =>
  passes(deployment, now) && deployment.breaker.isClosed && deployment.resource.breaker.isClosed
  && now >= deployment.cooldown.endsAt

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isSuccess(exit) ? undefined : Cause.squash(exit.cause)

const assertNothingInFlight = (wrong: Array<string>, { deployments, services }: Live): void => {
  for (const { id, inFlight, waiting } of deployments) {
    if (inFlight !== 0 || waiting !== 0) wrong.push(`${id}: ${inFlight} in flight, ${waiting} waiting`)
  }
  for (const service of services) {
    const { inFlight } = service.stats(0)
    if (inFlight !== 0) wrong.push(`${service.name}: ${inFlight} sockets`)
  }
}

export const nothingStays: Guarantee = (wrong, { checks }) => ({
  onQuiet: (live) =>
    Effect.gen(function*() {
      const { models } = yield* live.lb.snapshot
      for (const { name, waiting } of models) if (waiting !== 0) wrong.push(`${name}: ${waiting} wait in line`)
      // a check may be under way at any time
      if (checks !== "none") return
      assertNothingInFlight(wrong, live)
      for (const { breaker, id, resource } of live.deployments) {
        for (const { state } of [breaker, resource.breaker]) {
          if (state === "half-open") wrong.push(`${id}: a probe slot is taken`)
        }
      }
    }),
  onClosed: (live) => assertNothingInFlight(wrong, live)
})

/** The sends of each request, with the status of what answered them. */
class Routes {
  private readonly routes = new Map<number, Array<{ readonly sent: Sent; status: number | undefined }>>()

  /** The sends before this one, which is remembered. */
  before(sent: Sent): ReadonlyArray<{ readonly sent: Sent; readonly status: number | undefined }> {
    const route = this.routes.get(sent.request!) ?? []
    const before = [...route]
    route.push({ sent, status: undefined })
    this.routes.set(sent.request!, route)
    return before
  }

  answered(sent: Sent, status: number): void {
    const send = this.routes.get(sent.request!)?.find((send) => send.sent === sent)
    if (send !== undefined) send.status = status
  }
}

export const retriesAreBudgeted: Guarantee = (wrong, scenario) => {
  const routes = new Routes()
  const paid: Array<number> = []
  return {
    onResponse: (sent, status) => routes.answered(sent, status),
    onSend: (sent) => {
      if (sent.request === undefined) return
      const before = routes.before(sent)
      const last = before.at(-1)
      if (last === undefined) return
      const isRepeat = before.some(({ sent: { deployment } }) => deployment === sent.deployment)
      // a limit may also come inside a 200; what cannot be told apart is not held against the budget
      const mayBeThrottled = last.status === 429 || last.status === 200
      // a hedge is never free
      if (!sent.isHedge && !isRepeat && (before.length < 2 || mayBeThrottled)) return
      paid.push(sent.at)
      const recent = paid.filter((at) => at > sent.at - 10_000).length
      // the budget counts whole seconds, and so up to one more
      const requests = scenario.requests.filter(({ at }) => at <= sent.at && at > sent.at - 11_000).length
      const granted = Math.floor((scenario.budgetRatio / 10) * requests) + scenario.budgetPerSecond * 10
      if (recent > granted) wrong.push(`${recent} retries where ${granted} were granted, at ${sent.at}`)
    }
  }
}

export const noneTwiceWhileAnotherIsLeft: Guarantee = (wrong) => {
  const routes = new Routes()
  return {
    onResponse: (sent, status) => routes.answered(sent, status),
    onSend: (sent, { deployments }) => {
      if (sent.request === undefined) return
      const before = routes.before(sent)
      const tried = new Set(before.map(({ sent: { deployment } }) => deployment))
      // what a credential may not is left to others
      const denied = new Set(before.filter(({ status }) => status === 401).map(({ sent }) => sent.deployment.resource))
      // who was told to wait, by a 429 or inside a 200, is no judge of what another was told
      const isTold = before.some(({ status }) => status === 429 || status === 200)
      const isLeft = (other: Deployment) =>
        !tried.has(other) && !denied.has(other.resource) && passes(other, sent.at)
        && (!isTold || sent.at >= other.cooldown.opensAtForTold())
      if (!tried.has(sent.deployment)) return
      for (const other of deployments) {
        if (isLeft(other)) wrong.push(`${sent.deployment.id} again at ${sent.at} while ${other.id} is left`)
      }
    }
  }
}

/**
 * How soon, in ms, a request may try a time which only requests were told that nobody answered. It doubles with each, so
 * that few are refused within one such time.
 */
const TRIAL_PACE = 100

/** What a deployment told, and whom, until it answers one that tried. */
interface Told {
  readonly from: number
  to: number
  readonly by: Set<number | undefined>
  /** Requests that tried it, and how many of them were refused. */
  readonly triedBy: Set<number | undefined>
  refused: number
}

const routeOf = ({ deployment, request }: Sent): string => `${request} ${deployment.id}`

export const timesAreKept: Guarantee = (wrong, scenario) => {
  /** Whether a fault was on when it was sent: then its 200 may be none. */
  const isFaulty = ({ at, deployment }: Sent) =>
    scenario.faults.some(({ deployment: struck, everywhere, from, lasts }) => {
      const index = struck % scenario.deployments.length
      const isStruck = everywhere
        ? deployment.resource.name === resourceNames[scenario.deployments[index]!.resource]
        : deployment.name === `d${index}`
      return isStruck && at >= from && at <= from + lasts
    })
  const told = new Map<Deployment, Told>()
  /** Until when single refusals of a deployment are taken for their request's own, and how many came in a row. */
  const contradicted = new Map<Deployment, { readonly until: number; inARow: number }>()
  /** What was sent although its deployment counts as told to wait: where it is answered, it contradicts that. */
  const trials = new Set<Sent>()
  /** Where requests were sent last. */
  const sentTo = new Map<number | undefined, Deployment>()
  /** What requests were told themselves. */
  const own = new Map<string, number>()
  /** Requests that were told to wait, perhaps inside a 200. */
  const heard = new Set<number | undefined>()
  const answered = new Set<number | undefined>()
  /** When a request's last answer came, and which of them found nobody left to ask for a while. */
  const lastAnswerAt = new Map<number | undefined, number>()
  const rested = new Set<number | undefined>()
  return {
    onResponse: (sent, status, headers, { now }) => {
      const { deployment, request } = sent
      const known = told.get(deployment)
      const wasTold = heard.has(request)
      if (request !== undefined && (status === 200 || status === 429)) heard.add(request)
      lastAnswerAt.set(request, now())
      if (status === 200) {
        if (!isFaulty(sent)) answered.add(request)
        const doubt = contradicted.get(deployment)
        if (doubt !== undefined) doubt.inARow = 0
        if (!trials.has(sent)) return
        told.delete(deployment)
        contradicted.set(deployment, { until: now() + 60_000, inARow: 0 })
        return
      }
      const wait = Number(headers["retry-after-ms"])
      if (status !== 429 || !(wait > 0)) return
      const to = now() + wait
      if (request !== undefined) own.set(routeOf(sent), Math.max(to, own.get(routeOf(sent)) ?? 0))
      const doubt = contradicted.get(deployment)
      // the word of one request counts once, wherever it was told
      if (doubt !== undefined && now() < doubt.until && (wasTold ? doubt.inARow : ++doubt.inARow) < 5) return
      if (known === undefined || now() >= known.to) {
        told.set(deployment, { from: now(), to, by: new Set([request]), triedBy: new Set(), refused: 0 })
      } else {
        known.to = Math.max(to, known.to)
        known.by.add(request)
        if (!known.triedBy.delete(request)) return
        const most = Math.log2(1 + (known.to - known.from) / TRIAL_PACE) + 2
        if (++known.refused > most) wrong.push(`${deployment.id} refused ${known.refused} that tried its time`)
      }
    },
    onSend: (sent) => {
      const { at, deployment, isPanic, request } = sent
      if (at > (lastAnswerAt.get(request) ?? Infinity)) rested.add(request)
      // what is sent again was not answered by its 200
      answered.delete(request)
      sentTo.set(request, deployment)
      if (at < deployment.cooldown.endsAt) trials.add(sent)
      if (isPanic) return
      if (at < (own.get(routeOf(sent)) ?? 0) - 1) wrong.push(`${deployment.id} asked at ${at} by whom it told to wait`)
      const known = told.get(deployment)
      if (known === undefined || at <= known.from || at >= known.to - 1) return
      const isDoubted = [...known.by].every((by) => by !== undefined && (!answered.has(by) || rested.has(by)))
      if (isDoubted) {
        known.triedBy.add(request)
        return
      }
      wrong.push(`${deployment.id} asked at ${at}, told to wait until ${known.to}`)
    },
    onEnd: ({ exit, request }) =>
      Effect.sync(() => {
        // a caller that went away did not see the rest of its answer
        if (!Exit.isSuccess(exit)) return answered.delete(request)
        // an answer is one when it has ended
        const doubt = contradicted.get(sentTo.get(request)!)
        if (doubt !== undefined) doubt.inARow = 0
      })
  }
}

export const oneProbeAtATime: Guarantee = (wrong) => {
  const probes = new Set<string>()
  return {
    onSend: ({ at, deployment, isPanic }) => {
      if (isPanic) return
      const { breaker, id, resource } = deployment
      for (const [name, { epoch, state }] of [[id, breaker], [resource.name, resource.breaker]] as const) {
        if (state === "open") wrong.push(`${name}: sent through its open breaker at ${at}`)
        if (state !== "half-open") continue
        // an epoch of the breaker is one life of its half-open state
        const probe = `${name}#${epoch}`
        if (probes.has(probe)) wrong.push(`${name}: a second probe at ${at}`)
        probes.add(probe)
      }
    }
  }
}

const isOwnFault = new Set(["Rejected", "ContentFiltered", "StreamInterrupted"])

/** Whether an error's reason holds, as far as it can be told from outside. */
const holds = (
  error: LoadBalancerError,
  { at, request }: Ended,
  scenario: Scenario,
  retriesLeft: number
): boolean => {
  const { attempts, reason } = error
  const { at: begun, fate } = scenario.requests[request]!
  switch (reason._tag) {
    case "TimedOut":
      return reason.stage !== "total" || at - begun >= reason.limit || fate === "hurries"
    case "Throttled":
    case "Unavailable":
      switch (reason.limitedBy) {
        case "attempts":
          return attempts.length >= scenario.attempts ||
            attempts.filter(({ reason }) => /timeout/.test(reason)).length > 1
        case "budget":
          return retriesLeft < 1
        case "denied":
          return attempts.some(({ status }) => status === 401)
        case "told":
          return attempts.some(({ outcome }) => outcome === "throttled")
        case "side-effects":
          return fate === "stores"
        default:
          return false
      }
    default:
      return isOwnFault.has(reason._tag)
  }
}

export const refusalsHaveReasons: Guarantee = (wrong, scenario) => {
  return {
    onEnd: (ended, { deployments, lb, now }) =>
      Effect.gen(function*() {
        const error = errorOf(ended.exit)
        if (!(error instanceof LoadBalancerError)) return
        const usable = deployments.filter((deployment) => isUsable(deployment, now()))
        const { retriesLeft } = yield* lb.snapshot
        if (usable.length === 0 || holds(error, ended, scenario, retriesLeft)) return
        wrong.push(`${error.message} (at ${ended.at}, while ${usable.map(({ id }) => id).join(", ")} was usable)`)
      })
  }
}

export const generationsNeverMeet: Guarantee = (wrong, scenario) => ({
  onEnd: ({ exit, request, text }) =>
    Effect.sync(() => {
      const words = [...new Set(text.match(/<\w+:\d+>/g))]
      if (words.length > 1) wrong.push(`request ${request} got ${words.join(" and ")}`)
      const { fate, how } = scenario.requests[request]!
      if (how === "whole" || how === "responsesWhole") return
      const first = words[0] ?? ""
      // what reached the caller is the beginning of one generation, and all of it where it ended well
      const all = first === "" ? text : first.repeat(4)
      const isWhole = Exit.isSuccess(exit) && fate !== "stopsEarly"
      if (isWhole ? text !== all : !all.startsWith(text)) wrong.push(`request ${request} got ${text}`)
    })
})

export const keysNeverCross: Guarantee = (wrong) => {
  const printed: Array<string> = []
  const print = (value: unknown) => void printed.push(inspect(value, { depth: 12 }), JSON.stringify(value))
  return {
    onEvent: print,
    onEnd: ({ exit }) => Effect.sync(() => print(errorOf(exit) ?? null)),
    onQuiet: ({ lb }) => Effect.map(lb.snapshot, print),
    onOver: ({ services }) => {
      for (const service of services) {
        const foreign = service.stats(0).credentials.filter((credential) => credential !== keyOf(service.name))
        if (foreign.length > 0) wrong.push(`${service.name} was sent ${foreign.join(", ")}`)
      }
      for (const text of printed) if (text.includes("secret-of-")) wrong.push(`a key is printed: ${text}`)
    }
  }
}

export const nothingOutlivesTheScope: Guarantee = (wrong) => {
  let isClosed = false
  return {
    onClosed: (live) => {
      isClosed = true
      assertNothingInFlight(wrong, live)
    },
    onSend: ({ at, deployment }) => {
      if (isClosed) wrong.push(`${deployment.id} was asked at ${at}, after closing`)
    },
    onOver: (live, asleep) => {
      assertNothingInFlight(wrong, live)
      if (asleep !== 0) wrong.push(`${asleep} timers`)
    }
  }
}

/** A prompt's estimate may be short by all of it where another kind of request taught the model's ratio. */
const PROMPT = 6

export const theLedgerIsNeverLess: Guarantee = (wrong) => {
  const sends: Array<Sent> = []
  const compare = ({ deployments, now, services }: Live) => {
    for (const service of services) {
      const { deployments: stats } = service.stats(now())
      for (const { id, name, provisioned, quota, resource } of deployments) {
        // a provisioned deployment keeps a bucket, not a window
        if (resource.name !== service.name || provisioned) continue
        const { requests, tokens } = stats[name]!.usage
        const own = quota.tokensUsed(now()) - quota.othersTokensUsed(now())
        // what is larger than the limit counts as the limit
        const recent = sends.filter(({ at, deployment }) => deployment.id === id && at > now() - 60_000)
        const counted = Math.min(tokens, quota.tokenLimit) - PROMPT * recent.length
        if (own < counted) wrong.push(`${id}: ${own} tokens in the ledger, ${counted} at the service, at ${now()}`)
        if (quota.requestsUsed(now()) < requests) wrong.push(`${id}: requests at ${now()}`)
      }
    }
  }
  return {
    onTick: compare,
    onSend: (sent, live) => {
      sends.push(sent)
      compare(live)
    },
    onEnd: (_, live) => Effect.sync(() => compare(live))
  }
}
