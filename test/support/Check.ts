/**
 * Options of property tests: repeatable by default; `EVENKEEL_PROPERTY_RUNS=20000` looks longer, and
 * `EVENKEEL_PROPERTY_SEED=7` elsewhere.
 */
import { Schema } from "effect"

/** Runs of each property. */
export const runs = Number(process.env["EVENKEEL_PROPERTY_RUNS"] ?? 1000)

/** Where the search begins. */
export const seed = process.env["EVENKEEL_PROPERTY_SEED"] ?? "evenkeel"

/** The usual runs, over inputs of up to so many elements. */
export const check = ({ size = 40 }: { readonly size?: number } = {}) => ({
  arbitrary: { runs, seed, size, maxShrinks: 10_000 },
  timeout: 60_000 + runs * 60
})

/** Whole numbers of a range, ends included. */
export const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
