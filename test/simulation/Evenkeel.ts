/**
 * Evenkeel as a contender: the balancer with its defaults.
 */
import { MemoryFleetStore } from "#core/fleet/MemoryFleetStore"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import { Transport } from "#core/transport/Transport"
import { type ConfigInput, Deployments, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Context, Effect, Layer, Random, Stream } from "effect"
import { type Contender, parametersOf } from "./Client.ts"
import type { Place, Scenario } from "./Scenario.ts"
import { MODEL, type World } from "./World.ts"

type ResourceInput = ConfigInput["resources"][number]

/** The store that the balancers of a world meet at, where they are a fleet. */
const stores = new WeakMap<World, MemoryFleetStore>()

const storeOf = (world: World): MemoryFleetStore => {
  const store = stores.get(world) ?? new MemoryFleetStore(() => ({ there: 2, back: 2 }))
  stores.set(world, store)
  return store
}

const contender = (name: string, isFleet: boolean): Contender => ({
  name,
  make: (scenario, world, seed) =>
    Effect.gen(function*() {
      const places = scenario.places.filter(({ isLater }) => isLater !== true)
      const resources = world.services.flatMap(({ name }) => resourceOf(scenario, world, name, places))
      const fleet = isFleet ? storeOf(world).layer : undefined
      const layer = LoadBalancer.layer({ resources }, { telemetry: Telemetry.layerNoop, fleet }).pipe(
        Layer.provide(Layer.succeed(Transport, SimulatedTransport.make(world.services)))
      )
      // built anew for each: what they share is the store alone
      const context = yield* Layer.build(Layer.fresh(layer)).pipe(Random.withSeed(seed), Effect.orDie)
      const lb = Context.get(context, LoadBalancer)
      const deployments = Context.get(context, Deployments)
      return {
        ask: (ask, onFirst) => {
          const parameters = { model: MODEL, ...parametersOf(ask) }
          const options = { session: ask.session }
          if (!ask.streamed) return Effect.asVoid(lb.chat(parameters, options))
          return Stream.runForEach(
            lb.chatStream(parameters, options),
            ({ choices }) => (choices[0]?.delta.content ?? "") === "" ? Effect.void : Effect.sync(onFirst)
          )
        },
        join: (place) =>
          Effect.orDie(Effect.forEach(resourceOf(scenario, world, place.resource, [place]), deployments.add)),
        leave: ({ name, resource }) => Effect.asVoid(deployments.remove(`${resource}/${name}`))
      }
    })
})

/** Balancers that know nothing of each other. */
export const evenkeel = contender("evenkeel", false)

/** The same as members of one fleet. */
export const evenkeelFleet = contender("evenkeel, a fleet", true)

/** A resource with these of its places; none where it has none of them. */
const resourceOf = (
  { isTold }: Scenario,
  { services }: World,
  name: string,
  places: ReadonlyArray<Place>
): ReadonlyArray<ResourceInput> => {
  const { apiKey, endpoint, provider } = services.find((service) => service.name === name)!.config()
  const deployments = places.filter(({ resource }) => resource === name).map((
    { isPooled, name, provisioned, tier, tpm }
  ) => ({
    name,
    model: MODEL,
    provisioned,
    tier,
    pool: isTold && isPooled === true ? "pool" : undefined,
    tpm: isTold ? tpm : undefined,
    rpm: isTold && provisioned !== true ? (tpm / 1000) * 6 : undefined
  }))
  return deployments.length === 0 ? [] : [{ name, provider, endpoint, apiKey, deployments }] as Array<ResourceInput>
}
