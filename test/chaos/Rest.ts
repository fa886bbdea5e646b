/**
 * What must hold when nothing is wrong any more, when nothing is asked any more, and when everything is closed.
 */
import type { Snapshot } from "@evenkeel/core"
import { setTimeout as sleep } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import type { Balancer, EffectBalancer } from "./Balancers.ts"
import type { Tally } from "./Tally.ts"
import { CHAT_MODEL, type World } from "./World.ts"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** How long something may take to come about on a busy machine, in milliseconds. */
const PATIENCE = 20_000

/** Waits until nothing is said to be missing, and tells of what still is in the end. */
export const settle = async (tally: Tally, when: string, missing: () => ReadonlyArray<string>): Promise<void> => {
  const until = performance.now() + PATIENCE
  while (missing().length > 0 && performance.now() < until) await sleep(20)
  for (const what of missing()) tally.wrong(`${when}: ${what}`)
}

/** Once nothing is wrong, every deployment is well again and serves; all in one tier, so that each has traffic. */
export const recovered = async (
  tally: Tally,
  balancers: ReadonlyArray<Balancer>,
  world: World,
  when: string
): Promise<void> => {
  const ids = world.resources.flatMap((resource) =>
    world.chatDeploymentsOf(resource).map((name) => `${resource}/${name}`)
  )
  const tierOf = (id: string) => world.firstTier.includes(id.split("/")[0]!) ? 1 : 2
  const each = (tier: (id: string) => number) =>
    Promise.all(balancers.flatMap((balancer) => ids.map((id) => balancer.update(id, { tier: tier(id) }))))
  await each(() => 1)
  const before = balancers.map((balancer) => succeeded(balancer.snapshot()))
  await settle(tally, when, () =>
    balancers.flatMap((balancer, i) => {
      const snapshot = balancer.snapshot()
      const deployments = snapshot.deployments.filter(({ model }) => model === CHAT_MODEL)
      const unwell = deployments.filter(({ state }) => state !== "healthy")
        .map(({ id, opensIn, reason, state }) => `${balancer.name} has ${id} ${state} for ${opensIn} ms (${reason})`)
      const idle = deployments.filter(({ id, totals }) => totals.succeeded <= (before[i]!.get(id) ?? 0))
        .map(({ id }) => `${balancer.name} was not served by ${id}`)
      const gone = ids.filter((id) => deployments.every((deployment) => deployment.id !== id))
        .map((id) => `${balancer.name} lacks ${id}`)
      return [...unwell, ...idle, ...gone]
    }))
  await each(tierOf)
}

const succeeded = (snapshot: Snapshot): ReadonlyMap<string, number> =>
  new Map(snapshot.deployments.map(({ id, totals }) => [id, totals.succeeded]))

/** Once nothing is asked, nothing is in flight or waits, on either side of the sockets. */
export const nothingLeft = (
  tally: Tally,
  balancers: ReadonlyArray<Balancer>,
  world: World,
  when: string
): Promise<void> =>
  settle(tally, when, () => [
    ...balancers.flatMap((balancer) => {
      const { deployments, models } = balancer.snapshot()
      return [
        ...deployments.filter(({ inFlight, waiting }) => inFlight !== 0 || waiting !== 0)
          .map(({ id, inFlight, waiting }) =>
            `${balancer.name} has ${inFlight} in flight, ${waiting} waiting at ${id}`
          ),
        ...models.filter(({ waiting }) => waiting !== 0)
          .map(({ name, waiting }) => `${balancer.name} has ${waiting} in line for ${name}`)
      ]
    }),
    ...(world.inFlight() === 0 ? [] : [`the service has ${world.inFlight()} in flight`])
  ])

/** The checks' round, and the keepers of limits; for a moment, a check's own. */
const FIBERS_AT_REST = 6

/** Once nothing is asked, no fiber is left but those of the background. */
export const noFiberLeft = (tally: Tally, balancer: EffectBalancer, when: string, most = FIBERS_AT_REST) =>
  settle(tally, when, () => balancer.fibers() <= most ? [] : [`${balancer.fibers()} fibers are left`])

export const heapUsed = async (): Promise<number> => {
  // weak references and finalizers are settled by the second
  collectGarbage()
  await sleep(50)
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** What keeps this process alive: sockets, timers, immediates. */
const kept = (): ReadonlyArray<string> =>
  process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout|Immediate/.test(name))

/** Once the balancers are closed, no socket of theirs is left. */
export const noSocketLeft = (tally: Tally, world: World): Promise<void> =>
  settle(tally, "after closing", () => {
    const open = world.simulator.connections()
    return open === 0 ? [] : [`${open} connections are open`]
  })

/** Once the service is closed too, nothing keeps the process alive. */
export const nothingKept = async (tally: Tally): Promise<void> => {
  const until = performance.now() + PATIENCE
  let found = kept()
  while (found.length > 0 && performance.now() < until) {
    // a timer to wait with would be found too
    await new Promise((resolve) => setImmediate(resolve))
    found = kept().filter((name) => name !== "Immediate")
  }
  for (const name of found) tally.wrong(`after closing: a ${name} is left`)
}
