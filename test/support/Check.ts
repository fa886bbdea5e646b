/**
 * How much a run of the tests does: repeatable, and little by default. With `EVENKEEL_PROPERTY_RUNS=1000`, as in
 * `pnpm test:full` and `.ci/run`, it does all there is, and with `EVENKEEL_PROPERTY_SEED=7` it looks elsewhere.
 */
import { Schema } from "effect"

/** Runs of each property. */
export const runs = Number(process.env["EVENKEEL_PROPERTY_RUNS"] ?? 10)

/** Whether all is run, and what takes minutes too. */
export const isFull = runs >= 1000

/** How much of something a test takes: all of it in a full run, and less in a newcomer's. */
export const amount = <A>(all: A, less: A): A => isFull ? all : less

/** What a test takes of a list: all of it in a full run, and one of `every` in a newcomer's. */
export const sample = <A>(all: ReadonlyArray<A>, every: number): ReadonlyArray<A> =>
  amount(all, all.filter((_, i) => i % every === 0))

/** Where the search begins. */
export const seed = process.env["EVENKEEL_PROPERTY_SEED"] ?? "evenkeel"

/** The usual runs, over inputs of up to so many elements. */
export const check = ({ size = 40 }: { readonly size?: number } = {}) => ({
  arbitrary: { runs, seed, size, maxShrinks: 10_000 },
  timeout: 60_000 + runs * 60
})

/** Whole numbers of a range, ends included. */
export const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
