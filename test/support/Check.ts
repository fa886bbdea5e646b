/**
 * Options of property tests: repeatable, and short by default; `EVENKEEL_PROPERTY_RUNS=1000`, as in `.ci/run`, looks longer,
 * and `EVENKEEL_PROPERTY_SEED=7` elsewhere.
 */
import { Schema } from "effect"

/** Runs of each property. */
export const runs = Number(process.env["EVENKEEL_PROPERTY_RUNS"] ?? 50)

/** Whether what takes minutes is run too. */
export const isThorough = runs >= 1000

/** Where the search begins. */
export const seed = process.env["EVENKEEL_PROPERTY_SEED"] ?? "evenkeel"

/** The usual runs, over inputs of up to so many elements. */
export const check = ({ size = 40 }: { readonly size?: number } = {}) => ({
  arbitrary: { runs, seed, size, maxShrinks: 10_000 },
  timeout: 60_000 + runs * 60
})

/** Whole numbers of a range, ends included. */
export const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
