/**
 * What speaks against a resource at the start, while its breaker is closed for want of traffic: that nobody has looked at
 * it yet, or what was found. The gateway looks once, for free; the active checks go on from there.
 */
import type { Deployments, Event, LoadBalancer } from "@evenkeel/core"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** By the name of a resource. One that is well, or was not there at the start, is not in it. */
export type Doubts = ReadonlyMap<string, string>

/** Looks at every resource, in the background. Where free checks are switched off nothing is doubted. */
export const watch = (
  balancer: LoadBalancer["Service"],
  { events, resources, settings }: Deployments["Service"]
): Effect.Effect<Doubts, never, Scope.Scope> =>
  Effect.gen(function*() {
    const doubts = new Map<string, string>()
    const { kind } = settings.health.check
    if (kind === "none" || kind === "completion") return doubts
    for (const { name } of resources()) doubts.set(name, "not checked yet")
    const take = (name: string, problem: string | undefined): void => {
      if (problem === undefined) doubts.delete(name)
      else if (doubts.has(name)) doubts.set(name, problem)
    }
    const watcher = (event: Event): void => {
      if (event._tag === "Checked") take(event.resource, event.problem)
    }
    yield* Effect.acquireRelease(Effect.sync(() => events.watch(watcher)), (stop) => Effect.sync(stop))
    const look = Effect.map(balancer.check(), ({ results }) => {
      for (const { kind, name, problem } of results) if (kind === "resource") take(name, problem)
    })
    yield* Effect.forkScoped(Effect.ignore(look))
    return doubts
  })
