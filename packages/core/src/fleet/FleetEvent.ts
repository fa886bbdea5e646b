/**
 * What happens between a member and its fleet. `at` is milliseconds since 1970.
 */

/** The store answers: what the other members do is known. */
export interface FleetJoined {
  readonly _tag: "FleetJoined"
  readonly at: number
  /** Members that are heard, this one included. */
  readonly members: number
}

/** The store does not answer: this member goes on as one alone, and tries again. */
export interface FleetLost {
  readonly _tag: "FleetLost"
  readonly at: number
  /** What is wrong, without any secret. */
  readonly reason: string
}

/** Either of these. */
export type FleetEvent = FleetJoined | FleetLost
