/**
 * A small client around a plain policy: cooldown after a 429, three deployments at most, and nothing else.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as SimulatedTransport from "#core/simulation/SimulatedTransport"
import type { TransportResponse } from "#core/transport/Transport"
import { type Clock, Effect, Schedule } from "effect"
import { type Client, type Contender, parametersOf } from "./Client.ts"
import { type Ask, chargeOf } from "./Demand.ts"
import { PlainPlace, plainPolicies, type PlainPolicy } from "./PlainPolicies.ts"
import type { World } from "./World.ts"

const ATTEMPTS = 3
const COOLDOWN = 10_000
/** The limits of Evenkeel, so that a hang costs everyone as much. */
const FIRST_EVENT = 60_000
const TOTAL = 600_000

/** A send that another may make good. */
class SendFailed {
  readonly _tag = "SendFailed"
}

export const plainContenders: ReadonlyArray<Contender> = Object.entries(plainPolicies).map(([name, policy]) => ({
  name,
  make: (scenario, world, seed) =>
    Effect.sync(() => {
      const known = scenario.places.filter(({ isLater }) => isLater !== true)
      const places = known.map((place) => new PlainPlace(place, scenario.isTold))
      return makeClient(places, policy(), world, seed, scenario.isTold)
    })
}))

const makeClient = (
  places: Array<PlainPlace>,
  policy: PlainPolicy,
  world: World,
  seed: number,
  isTold: boolean
): Client => {
  const random = SeededRandom.make(seed)
  const transport = SimulatedTransport.make(world.services)

  const choose = (tried: ReadonlySet<PlainPlace>, now: number): PlainPlace | undefined => {
    const free = places.filter((place) => !tried.has(place) && place.coolUntil <= now)
    const tier = Math.min(...free.map(({ place }) => place.tier ?? 1))
    const candidates = free.filter(({ place }) => (place.tier ?? 1) === tier)
    return candidates.length === 0 ? undefined : policy(candidates, now, random)
  }

  const ask = (ask: Ask, onFirst: () => void) => {
    const tried = new Set<PlainPlace>()
    const attempt = Effect.clockWith((clock): Effect.Effect<void, unknown> => {
      const chosen = tried.size < ATTEMPTS ? choose(tried, clock.currentTimeMillisUnsafe()) : undefined
      if (chosen === undefined) return Effect.fail("no deployment is left")
      tried.add(chosen)
      return send(chosen, ask, onFirst, clock)
    })
    return attempt.pipe(
      Effect.retry({ while: (error) => error instanceof SendFailed, schedule: Schedule.forever }),
      Effect.timeout(TOTAL),
      Effect.asVoid
    )
  }

  const send = (chosen: PlainPlace, ask: Ask, onFirst: () => void, clock: Clock.Clock) => {
    const { place } = chosen
    const service = world.services.find(({ name }) => name === place.resource)!
    const startedAt = clock.currentTimeMillisUnsafe()
    let isPending = true
    const heard = (): void => {
      if (!isPending) return
      isPending = false
      chosen.pending--
      const now = clock.currentTimeMillisUnsafe()
      chosen.observe(now - startedAt, now)
    }
    const sent = transport.send({
      resource: place.resource,
      origin: service.origin,
      path: "/openai/v1/chat/completions",
      method: "POST",
      headers: { "api-key": service.apiKey, "content-type": "application/json" },
      body: JSON.stringify({
        model: place.name,
        ...parametersOf(ask),
        ...(ask.streamed ? { stream: true, stream_options: { include_usage: true } } : {})
      })
    })
    chosen.inFlight++
    chosen.pending++
    chosen.tokens.add(startedAt, chargeOf(ask))
    const first = Effect.tapError(sent, () => Effect.sync(heard))
    const inTime = ask.streamed ? Effect.timeout(first, FIRST_EVENT) : first
    return inTime.pipe(
      Effect.mapError(() => new SendFailed()),
      Effect.flatMap((response): Effect.Effect<void, SendFailed> => {
        if (response.status === 200) return read(response, ask.streamed, () => (heard(), onFirst()))
        heard()
        const wait = response.headers["retry-after-ms"]
        if (response.status === 429) {
          const until = clock.currentTimeMillisUnsafe() + (wait === undefined ? COOLDOWN : Number(wait))
          chosen.coolUntil = Math.max(chosen.coolUntil, until)
        }
        response.discard()
        return Effect.fail(new SendFailed())
      }),
      Effect.ensuring(Effect.sync(() => {
        heard()
        chosen.inFlight--
      }))
    )
  }

  return {
    ask,
    join: (place) => Effect.sync(() => void places.push(new PlainPlace(place, isTold))),
    leave: (place) => Effect.sync(() => void places.splice(places.findIndex((known) => known.place === place), 1))
  }
}

const content = /"content":"[^"]/

/** Reads an answer to its end, and tells of its first content. */
const read = (response: TransportResponse, streamed: boolean, onFirst: () => void): Effect.Effect<void, SendFailed> => {
  if (!streamed) return Effect.mapBoth(response.text, { onFailure: () => new SendFailed(), onSuccess: onFirst })
  const decoder = new TextDecoder()
  let hasBegun = false
  const pull = Effect.map(response.pull, (bytes) => {
    if (hasBegun || !content.test(decoder.decode(bytes))) return
    hasBegun = true
    onFirst()
  })
  return Effect.forever(pull).pipe(
    Effect.catchTag("Done", () => Effect.void),
    Effect.mapError(() => new SendFailed())
  )
}
