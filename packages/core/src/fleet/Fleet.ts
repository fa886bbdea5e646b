/**
 * A member of a fleet: a fiber that tells the others what this process does, and hears what they do.
 *
 * It is off the way of requests altogether: no request ever waits for the store. Several times a second it reads what the
 * ledgers counted, exchanges that, and tells the deployments what it heard. Where the store is slow, down, lost or full of
 * junk, this process goes on as one alone, what was heard last fades, and the fiber tries again by itself.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import { Deployments } from "../deployment/Deployments.ts"
import type { FleetSnapshot } from "../deployment/Snapshot.ts"
import type { ResourceOwners } from "../routing/ResourceOwners.ts"
import { monotonicMillis, watching } from "../Time.ts"
import type { FleetJoined, FleetLost } from "./FleetEvent.ts"
import { FleetMember } from "./FleetMember.ts"
import { FleetError, FleetStore } from "./FleetStore.ts"

/** How often is exchanged, in milliseconds: while a request waits for room, while there is traffic, and while there is none. */
const WAITING = 100
const ACTIVE = 250
const IDLE = 1000

/** So many milliseconds for each member, and each quota that it speaks of, at least: so the store has time for all of them. */
const PER_MEMBER = 1
const PER_QUOTA = 0.03

/** No member speaks less often, in milliseconds: what is heard is fresh for three seconds. */
const SLOWEST = 1900

/** An exchange that takes longer, in milliseconds, is given up, and is as good as none. */
const TIMEOUT = 1000

/** How soon it is tried again after a failure, in milliseconds; it doubles up to the longest. */
const FIRST_RETRY = 250
const LONGEST_RETRY = 10_000

/**
 * Service of the fleet that this process is a member of.
 */
export class Fleet extends Context.Service<Fleet, {
  /** How it is: who is heard, since when, and what share of each quota is ours. */
  readonly status: () => FleetSnapshot
  /** Shares who owns what is stored: what is remembered there is told, and what others tell is remembered. */
  readonly share: (owners: ResourceOwners) => void
}>()("@evenkeel/core/fleet/Fleet") {
  /** A member, for as long as the scope is open. */
  static readonly layer: Layer.Layer<Fleet, never, Deployments | FleetStore> = Layer.effect(
    Fleet,
    Effect.suspend(() => make)
  )
}

const make: Effect.Effect<Fleet["Service"], never, Deployments | FleetStore | Scope.Scope> = Effect.gen(function*() {
  const deployments = yield* Deployments
  const store = yield* FleetStore
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const now = () => monotonicMillis(clock)
  const { events } = deployments
  const member = new FleetMember(deployments, () => random.nextDoubleUnsafe())

  /** Done when something happened that is to be told at once. */
  let news = Deferred.makeUnsafe<void>()
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      events.watch((event: Parameters<FleetMember["notice"]>[0]) => {
        if (member.notice(event, now())) Deferred.doneUnsafe(news, Exit.void)
      })
    ),
    (stop) => Effect.sync(stop)
  )

  /** One exchange of everything, each model by itself. Returns what went wrong with each that failed, and whether all did. */
  const exchange = (every: number): Effect.Effect<{ readonly problem: string | undefined; readonly isAll: boolean }> =>
    Effect.suspend(() => {
      const each = member.realms().map((realm) =>
        Effect.suspend(() => {
          const sentAt = now()
          const said = realm.say(sentAt)
          return Effect.map(
            store.exchange(said),
            (heard) => member.hear(realm, said, heard, sentAt, now(), every)
          )
        }).pipe(
          Effect.timeoutOrElse({
            duration: TIMEOUT,
            orElse: () => Effect.fail(new FleetError({ message: "the store does not answer in time" }))
          }),
          Effect.matchCause({ onSuccess: () => undefined, onFailure: wordsOf })
        )
      )
      return Effect.map(Effect.all(each, { concurrency: "unbounded" }), (problems) => ({
        problem: problems.find((problem) => problem !== undefined),
        isAll: problems.length > 0 && problems.every((problem) => problem !== undefined)
      }))
    })

  let isHeard: boolean | undefined
  /** Tells that the store answers, or what is wrong, where that is news. */
  const tell = (problem: string | undefined) => {
    const isNews = isHeard !== (problem === undefined)
    isHeard = problem === undefined
    if (!isNews || !events.hasTroubleListeners) return
    const at = events.wallNow()
    if (problem === undefined) events.emit<FleetJoined>({ _tag: "FleetJoined", at, members: member.members })
    else events.emit<FleetLost>({ _tag: "FleetLost", at, reason: problem })
  }

  let failures = 0
  const pace = (): number => {
    if (failures > 0) return Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(failures - 1, 10))
    const wanted = member.isWaiting ? WAITING : member.isActive ? ACTIVE : IDLE
    return Math.max(wanted, Math.min(SLOWEST, member.members * (PER_MEMBER + member.spoken * PER_QUOTA)))
  }
  const round = Effect.suspend(() => {
    const every = pace()
    // spread by half, so that a fleet that started together, or lost its store together, does not speak together
    const pause = Effect.sleep(Math.ceil(every * (0.5 + random.nextDoubleUnsafe())))
    // what is told at once comes no sooner than a store that failed is tried again
    return Effect.andThen(failures > 0 ? pause : Effect.raceFirst(pause, Deferred.await(news)), () => {
      news = Deferred.makeUnsafe<void>()
      return Effect.map(exchange(1.5 * Math.max(ACTIVE, every)), ({ isAll, problem }) => {
        failures = isAll ? failures + 1 : 0
        tell(problem)
      })
    })
  })
  yield* Effect.forkScoped(watching(Effect.forever(round)))

  return Fleet.of({
    status: () => member.status(now(), isHeard === true),
    share: (owners) => member.share(owners)
  })
})

/** What went wrong, for people. */
const wordsOf = (cause: Cause.Cause<FleetError>): string => {
  const error = Cause.squash(cause)
  return error instanceof FleetError ? error.message : "what the store says cannot be read"
}
