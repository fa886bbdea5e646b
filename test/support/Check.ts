/**
 * Options of property tests: repeatable by default, and longer or different by the environment, such as
 * `EVENKEEL_RUNS=20 EVENKEEL_SEED=$RANDOM`.
 */
import { Schema } from "effect"

/** So many runs over inputs of up to so many elements. */
export const check = (runs: number, size = 40) => ({
  arbitrary: {
    runs: runs * Number(process.env["EVENKEEL_RUNS"] ?? 1),
    size,
    seed: process.env["EVENKEEL_SEED"] ?? "evenkeel"
  },
  timeout: 60_000
})

/** Whole numbers of a range, ends included. */
export const integer = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))
