/**
 * What goes wrong while the callers call, and when: shares of the demo's duration.
 */
import type { Simulator } from "@evenkeel/node"
import { setTimeout as sleep } from "node:timers/promises"
import { idOf } from "./fleet.ts"

export const killed = "west"
export const throttled = "sweden"
export const slowed = "france"
export const slowFactor = 5

/** What the script may touch. */
export interface Stage {
  readonly simulator: Simulator
  /** In milliseconds. */
  readonly duration: number
  /** Tells that something was done. */
  readonly note: (text: string) => void
}

/** When the script did what, in milliseconds since it began. */
export type Moments = Partial<Record<"killedAt" | "revivedAt" | "slowedAt" | "healedAt", number>>

/** Kills one deployment, throttles another and slows a third down; heals each after a while. */
export const threeFaults = async ({ duration, note, simulator }: Stage): Promise<Moments> => {
  const startedAt = performance.now()
  const moments: Moments = {}
  const service = (name: string) => simulator.service(name)
  const at = async (share: number, act: () => string | Promise<string>): Promise<number> => {
    await sleep(Math.max(0, share * duration - (performance.now() - startedAt)))
    note(await act())
    return performance.now() - startedAt
  }
  const killing = async () => {
    moments.killedAt = await at(0.1, () => {
      service(killed).fault("*", { kind: "reset" })
      return `${idOf(killed)} breaks down: it drops every new call`
    })
    // A stream that is half way to its caller cannot be moved, because the rest of another answer is no rest of it: its
    // caller would be told that it broke. So those that have begun may end before the plug is pulled.
    // oxlint-disable-next-line no-await-in-loop -- it looks again and again
    while (service(killed).stats(Date.now()).inFlight > 0) await sleep(5)
    await simulator.down(killed)
    note(`${idOf(killed)} is gone: it refuses every connection`)
    moments.revivedAt = await at(0.38, async () => {
      service(killed).clear()
      await simulator.up(killed)
      return `${idOf(killed)} is there again`
    })
  }
  const throttling = async () => {
    await at(0.48, () => {
      service(throttled).fault("*", { kind: "throttle", retryAfterMs: duration / 10 })
      return `${idOf(throttled)} begins to answer 429`
    })
    await at(0.68, () => {
      service(throttled).clear()
      return `${idOf(throttled)} answers again`
    })
  }
  const slowing = async () => {
    moments.slowedAt = await at(0.55, () => {
      service(slowed).fault("*", { kind: "slow", factor: slowFactor })
      return `${idOf(slowed)} becomes ${slowFactor} times as slow`
    })
    moments.healedAt = await at(0.8, () => {
      service(slowed).clear()
      return `${idOf(slowed)} is as fast as before`
    })
  }
  await Promise.all([killing(), throttling(), slowing()])
  return moments
}

/** Switches everything off for a while: no balancer can hide that. */
export const totalOutage = async ({ duration, note, simulator }: Stage): Promise<Moments> => {
  const all = simulator.resources.map(({ name }) => name)
  await sleep(0.4 * duration)
  await Promise.all(all.map((name) => simulator.down(name)))
  note("every deployment is switched off")
  await sleep(0.3 * duration)
  await Promise.all(all.map((name) => simulator.up(name)))
  note("every deployment is switched on again")
  return {}
}
