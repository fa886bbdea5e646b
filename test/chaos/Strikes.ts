/**
 * All that a storm can do: each kind of strike, where it strikes, and how to tell that requests met it.
 */
import type { SimulatedFault } from "#core/simulation/SimulatedFault"
import { setTimeout as sleep } from "node:timers/promises"
import type { Balancer } from "./Balancers.ts"
import { SERVICE_CODE } from "./Ending.ts"
import type { Tally } from "./Tally.ts"
import { GUEST, type World } from "./World.ts"

/** What a strike may touch. */
export interface Struck {
  readonly world: World
  readonly balancers: ReadonlyArray<Balancer>
  readonly tally: Tally
  readonly random: () => number
}

/** A strike under way. */
export interface Strike {
  /** Requests that met it so far. */
  readonly met: () => number
  readonly end: () => Promise<void> | void
}

export interface StrikeKind {
  readonly name: string
  /** What of the world it takes for itself while it lasts; nothing when none is free. */
  readonly place: (struck: Struck, isFree: (place: string) => boolean) => string | undefined
  readonly begin: (struck: Struck, place: string) => Promise<Strike> | Strike
}

// --- faults of the service -------------------------------------------------------------------------------------------

/** More than any strike meets, so that what is left of it tells how many it met. */
const MANY = 1_000_000

const pick = <A>(items: ReadonlyArray<A>, random: () => number): A | undefined =>
  items[Math.floor(random() * items.length)]

/** A deployment, mostly of the first tier, which has the traffic. */
const oneDeployment: StrikeKind["place"] = ({ random, world }, isFree) => {
  const resources = random() < 0.85 ? world.firstTier : world.resources
  const places = resources.flatMap((resource) =>
    world.simulator.service(resource).deployments.map((name) => `${resource}/${name}`)
  )
  // those for embeddings have little of it
  const weighted = places.filter((place) => !place.includes("embed") || random() < 0.3)
  return pick(weighted.filter(isFree), random)
}

/** Something of one resource that has a name: its faults (`*`), its server, its key. */
const oneResource = (what: string): StrikeKind["place"] => ({ random, world }, isFree) =>
  pick(world.firstTier.map((resource) => `${resource}/${what}`).filter(isFree), random)

/** The faults of all resources, whatever strikes their deployments besides. */
const everywhere: StrikeKind["place"] = ({ world }, isFree) =>
  world.resources.every((resource) => isFree(`${resource}/*`)) ? EVERYWHERE : undefined

export const EVERYWHERE = "*"

/** Switches a fault on at one place. */
const strikeAt = (world: World, place: string, fault: SimulatedFault): { met: () => number; end: () => void } => {
  const [resource = "", target = ""] = place.split("/")
  const service = world.simulator.service(resource)
  service.fault(target, { ...fault, times: MANY })
  const met = () =>
    service.faults()[target]!.filter(({ times }) => times !== undefined).reduce(
      (sum, { times }) => sum + MANY - times!,
      0
    )
  return { met, end: () => service.clear(target) }
}

const fault = (name: string, struck: SimulatedFault | (() => SimulatedFault), where = oneDeployment): StrikeKind => ({
  name,
  place: where,
  begin: ({ world }, place) => strikeAt(world, place, typeof struck === "function" ? struck() : struck)
})

/** The same fault at many resources, each time with a detail of its own. */
const faultAtMany = (
  name: string,
  resources: (world: World) => ReadonlyArray<string>,
  struck: (random: () => number) => SimulatedFault
): StrikeKind => ({
  name,
  place: everywhere,
  begin: ({ random, world }) => {
    const strikes = resources(world).map((resource) => strikeAt(world, `${resource}/*`, struck(random)))
    return {
      met: () => strikes.reduce((sum, strike) => sum + strike.met(), 0),
      end: () => strikes.forEach((strike) => strike.end())
    }
  }
})

// --- more than faults ------------------------------------------------------------------------------------------------

/** The server is closed and opened again: connections break, and new ones are refused. */
const outage: StrikeKind = {
  name: "server down",
  place: oneResource("server"),
  begin: async ({ tally, world }, place) => {
    const resource = place.split("/")[0]!
    const before = tally.reasons.of(REFUSED)
    await world.simulator.down(resource)
    return {
      met: () => tally.reasons.of(REFUSED) - before,
      end: () => world.simulator.up(resource)
    }
  }
}

export const REFUSED = "failed: connect (ECONNREFUSED)"

/** The service takes another key for a while, as when one is rotated too early. */
const keyOfService: StrikeKind = {
  name: "key changed at the service",
  place: oneResource("key"),
  begin: ({ world }, place) => {
    const service = world.simulator.service(place.split("/")[0]!)
    const before = service.stats(Date.now()).unauthorized
    service.setCredentials({ apiKey: "rotated" })
    return {
      met: () => service.stats(Date.now()).unauthorized - before,
      end: () => service.setCredentials({ apiKey: service.apiKey })
    }
  }
}

/** The balancers are told another key for a while. */
const keyOfBalancers: StrikeKind = {
  name: "wrong key configured",
  place: oneResource("key"),
  begin: async ({ balancers, world }, place) => {
    const resource = place.split("/")[0]!
    const service = world.simulator.service(resource)
    const before = service.stats(Date.now()).unauthorized
    const given = world.configOf(resource)
    const tell = (config: typeof given) => Promise.all(balancers.map((balancer) => balancer.add(config)))
    await tell({ ...given, apiKey: "mistyped" })
    return {
      met: () => service.stats(Date.now()).unauthorized - before,
      end: async () => void (await tell(given))
    }
  }
}

/** The guest is drained, removed and added again. */
const membership: StrikeKind = {
  name: "guest drained, removed, added",
  // nobody else may tell of the guest meanwhile
  place: (_, isFree) => isFree(`${GUEST}/key`) ? `${GUEST}/key` : undefined,
  begin: async ({ balancers, random, world }) => {
    const ids = world.chatDeploymentsOf(GUEST).map((name) => `${GUEST}/${name}`)
    const all = (change: (balancer: Balancer, id: string) => Promise<unknown>) =>
      Promise.all(balancers.flatMap((balancer) => ids.map((id) => change(balancer, id))))
    let changes = 0
    await all((balancer, id) => balancer.drain(id))
    changes++
    await sleep(random() * 400)
    // removed while what it serves goes on
    await all((balancer, id) => balancer.remove(id))
    changes++
    return {
      met: () => changes,
      end: async () => {
        await Promise.all(balancers.map((balancer) => balancer.add(world.configOf(GUEST))))
      }
    }
  }
}

/** A deployment changes its tier and weight. */
const change: StrikeKind = {
  name: "tier and weight changed",
  place: (struck, isFree) => pick(weightsOf(struck.world).filter(isFree), struck.random),
  begin: async ({ balancers, random }, place) => {
    const id = place.slice(0, -WEIGHT.length)
    const update = (to: { tier: number; weight: number }) =>
      Promise.all(balancers.map((balancer) => balancer.update(id, to)))
    await update({ tier: random() < 0.5 ? 2 : 1, weight: 0.1 + random() * 5 })
    return { met: () => 1, end: async () => void (await update({ tier: 1, weight: 1 })) }
  }
}

const WEIGHT = "/weight"

const weightsOf = (world: World): ReadonlyArray<string> =>
  world.firstTier.flatMap((resource) => world.chatDeploymentsOf(resource).map((name) => `${resource}/${name}${WEIGHT}`))

// --- all of them -----------------------------------------------------------------------------------------------------

const some = { probability: 0.6 }

export const strikeKinds: ReadonlyArray<StrikeKind> = [
  fault("reset", { kind: "reset", ...some }),
  fault("hang before the headers", { kind: "hang", ...some }),
  fault("hang before the content", { kind: "hang", afterEvents: 2, ...some }),
  fault("stall in the content", { kind: "hang", afterEvents: 9, ...some }),
  fault("cut short", { kind: "cut", afterEvents: 10, ending: "end", ...some }),
  fault("cut short before the content", { kind: "cut", afterEvents: 1, ending: "end", ...some }),
  fault("reset in the content", { kind: "cut", afterEvents: 8, ending: "reset", ...some }),
  fault("truncated body", { kind: "truncated" }),
  fault("unreadable answer", { kind: "unreadable", ...some }),
  fault("empty answer", { kind: "empty", done: true, ...some }),
  fault("bad JSON before the content", { kind: "malformed", how: "json", afterEvents: 0, ...some }),
  fault("bad JSON in the content", { kind: "malformed", how: "json", afterEvents: 7, ...some }),
  fault("half a character in the content", { kind: "malformed", how: "utf8", afterEvents: 7, ...some }),
  fault("missing blank line in the content", { kind: "malformed", how: "blankLine", afterEvents: 7, ...some }),
  fault("error inside a 200", { kind: "errorInStream", code: SERVICE_CODE, type: SERVICE_CODE, ...some }),
  fault("throttled inside a 200", { kind: "errorInStream", ...some }),
  fault("error in the content", {
    kind: "errorInStream",
    code: SERVICE_CODE,
    type: SERVICE_CODE,
    afterEvents: 9,
    ...some
  }),
  fault("429 with a time", { kind: "throttle", retryAfterMs: 600 }),
  fault("429 without a time", { kind: "throttle", ...some }),
  fault("500", { kind: "status", status: 500, ...some }),
  fault("503 of a resource", { kind: "status", status: 503 }, oneResource("*")),
  fault("slow", { kind: "slow", factor: 6 }),
  fault("slow decoding", { kind: "slowDecoding", factor: 4 }),
  faultAtMany("429 everywhere", ({ resources }) => resources, (random) => ({
    kind: "throttle",
    retryAfterMs: Math.round(200 + random() * 800)
  })),
  faultAtMany("502 of the whole first tier", ({ firstTier }) => firstTier, () => ({ kind: "status", status: 502 })),
  outage,
  keyOfService,
  keyOfBalancers,
  membership,
  change
]
