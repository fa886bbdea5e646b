/**
 * The simulated services of a scenario, which write down what they were sent.
 *
 * What a service draws for a request depends on the request alone: whoever it is sent by, and wherever it goes, its
 * answer is as long and as lucky. So clients differ by what they do, and by nothing else.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import type { SimulatedAnswer, SimulatedEnding, SimulatedPart, SimulatedParts } from "#core/simulation/SimulatedAnswer"
import type { SimulatedLatency } from "#core/simulation/SimulatedDeployment"
import * as SimulatedPool from "#core/simulation/SimulatedPool"
import * as SimulatedService from "#core/simulation/SimulatedService"
import type { Change, Place, Scenario } from "./Scenario.ts"

export const MODEL = "model"

/** One send, as the service that it reached saw it. */
export interface Sent {
  /** Index of the request; undefined for a check. */
  readonly request: number | undefined
  readonly place: string
  readonly at: number
  /** Of HTTP; or `refused`, `reset`, `hang`. */
  readonly status: number | string
}

/** What all places did so far. */
export interface Totals {
  readonly chargedTokens: number
  readonly promptTokens: number
  readonly cachedTokens: number
  /** Prompt that was not cached, and output, of the places of tier 1. */
  readonly firstTierTokens: number
}

export interface World {
  readonly services: ReadonlyArray<SimulatedService.SimulatedService>
  readonly sends: ReadonlyArray<Sent>
  /** Share of each place's quota in use, as the service counts it. */
  readonly utilisations: (now: number) => Readonly<Record<string, number>>
  readonly totals: () => Totals
  /** Begins or ends a fault. */
  readonly change: (change: Change) => void
}

export const makeWorld = (scenario: Scenario, seed: number): World => {
  const sends: Array<Sent> = []
  const resources = [...new Set(scenario.places.map(({ resource }) => resource))]
  const pooled = scenario.places.find(({ isPooled }) => isPooled === true)
  const pool = pooled && SimulatedPool.make({ name: "pool", tpm: pooled.tpm, rpm: (pooled.tpm / 1000) * 6 })
  const services = resources.map((name) => {
    const deployments = scenario.places.filter(({ resource }) => resource === name).map((place) =>
      deploymentOf(place, pool)
    )
    return watched(SimulatedService.make({ name, deployments }), seed, sends)
  })
  const serviceOf = (name: string) => services.find(({ deployments }) => deployments.includes(name))!
  const firstTier = new Set(scenario.places.filter(({ tier }) => (tier ?? 1) === 1).map(({ name }) => name))
  const stats = (now: number) => services.flatMap((service) => Object.entries(service.stats(now).deployments))
  return {
    services,
    sends,
    utilisations: (now) => Object.fromEntries(stats(now).map(([name, { usage }]) => [name, usage.utilization])),
    totals: () => {
      const totals = { chargedTokens: 0, promptTokens: 0, cachedTokens: 0, firstTierTokens: 0 }
      for (const [name, one] of stats(0)) {
        totals.chargedTokens += one.chargedTokens
        totals.promptTokens += one.promptTokens
        totals.cachedTokens += one.cachedTokens
        if (!firstTier.has(name)) continue
        totals.firstTierTokens += one.promptTokens - one.cachedTokens + one.completionTokens
      }
      return totals
    },
    change: (change) => {
      for (const name of change.places) {
        if (change.kind === "fault") serviceOf(name).fault(name, change.fault)
        if (change.kind === "clear") serviceOf(name).clear()
      }
      if (change.kind !== "outage") return
      for (const service of new Set(change.places.map(serviceOf))) service.fault("*", change.fault)
    }
  }
}

/** A deployment slows down by a few percent where all of its quota is in use, and much beyond. */
const deploymentOf = ({ isPooled, name, provisioned, tpm }: Place, pool: SimulatedPool.SimulatedPool | undefined) => {
  const usualTokens = 1300
  const usualSeconds = 2
  const inFlightWhenFull = (tpm / 60 / usualTokens) * usualSeconds
  const latency: Partial<SimulatedLatency> = {
    capacity: Math.max(20, 5 * inFlightWhenFull),
    jitter: 0.25,
    // a few at once, as Azure's content filter sends them
    tokensPerEvent: 5
  }
  return {
    name,
    model: MODEL,
    pool: isPooled === true ? pool : undefined,
    tpm,
    provisioned,
    latency,
    // Azure's six requests a minute for each thousand tokens
    rpm: provisioned === true ? undefined : (tpm / 1000) * 6
  }
}

const named = /"model":"([^"]+)".*?"user":"(\d+)"/

const watched = (
  service: SimulatedService.SimulatedService,
  seed: number,
  sends: Array<Sent>
): SimulatedService.SimulatedService => {
  const ownRandom = SeededRandom.make(SeededRandom.hash(`${service.name} ${seed}`))
  return {
    ...service,
    handle: (request, now) => {
      const [, place, user] = named.exec(request.body.slice(0, 200)) ?? []
      const random = user === undefined ? ownRandom : SeededRandom.make(SeededRandom.hash(`${user} of ${seed}`))
      const answer = service.handle(request, now, random)
      if (place !== undefined) {
        const status = answer._tag === "Http" ? answer.status : answer.how
        sends.push({ request: user === undefined ? undefined : Number(user), place, at: now, status })
      }
      return condensed(answer)
    }
  }
}

/** A stream whose first content comes when it does, and all the rest at its end: what is between tells nothing here. */
const condensed = (answer: SimulatedAnswer): SimulatedAnswer =>
  answer._tag === "Http" ? { ...answer, parts: condensedParts(answer.parts, answer.headersAt) } : answer

const condensedParts = function*(
  parts: SimulatedParts,
  headersAt: number
): Generator<SimulatedPart, SimulatedEnding, void> {
  let rest = ""
  let last = headersAt
  let hasBegun = false
  for (let next = parts.next();; next = parts.next()) {
    if (next.done === true) {
      if (rest !== "") yield { at: last, data: rest }
      return next.value
    }
    if (hasBegun) {
      rest += String(next.value.data)
      last = next.value.at
    } else {
      hasBegun = next.value.at > headersAt
      yield next.value
    }
  }
}
