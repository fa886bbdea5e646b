/**
 * Where the members of a fleet meet: one call says what a member did, and hears what all of them did.
 *
 * A store keeps counts, times and ids of resources, for as long as a window is: no prompts, no completions, no keys, no
 * sessions. `MemoryFleetStore` is one in memory, for tests; `@evenkeel/node` has the one over Redis or Valkey. What is on
 * the wire there is in docs/fleet.md.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"

/** The store cannot be reached, is too slow, or does not do what it was asked. */
export class FleetError extends Data.TaggedError("FleetError")<{
  /** What is wrong, in a few words and without any secret. */
  readonly message: string
}> {}

/** A change to what a member used in one step of the store's clock: a quarter of a second. */
export interface StepUse {
  /** Quarters of a second since 1970, of the store's clock. */
  readonly step: number
  readonly tokens: number
  readonly requests: number
  /** Of the tokens, those that are set aside and not sent. */
  readonly held: number
}

/** What a member says of one quota. */
export interface QuotaSaid {
  /** See `FleetKeys`. */
  readonly key: string
  /** The record that `uses` are changes of; `""` before any was heard. Changes of another record are not counted. */
  readonly record: string
  /** What changed since the exchange before: only what is new is said, once. */
  readonly uses: ReadonlyArray<StepUse>
  /**
   * Limits up to which the store may set room aside for this member: tokens and requests a minute, and requests of the
   * short slice; 0 where it is to set aside nothing, `null` for no limit.
   */
  readonly room: { readonly tokens: number | null; readonly requests: number | null; readonly slice: number | null }
  /** Limits that the service's own headers told, for those who have not heard of any; 0 where none did. */
  readonly told: { readonly tokens: number; readonly requests: number }
  /** What the service's headers showed as used, as a share of what the ledgers of all have; 0 where nothing was shown. */
  readonly share: number
}

/**
 * What a member tells of a deployment or a resource at once.
 *
 * - `cooldown`, `missing`: it is to be left alone, or does not exist.
 * - `open`: it fails, or its account is spent.
 * - `closed`: it answers again.
 */
export interface Mark {
  readonly kind: "cooldown" | "missing" | "open" | "closed"
  readonly key: string
  /** Milliseconds from now for which it holds; 0 for `closed`. */
  readonly for: number
}

/** What a member saw of failures in a row since the exchange before. */
export interface RowSaid {
  readonly key: string
  /** Failures that are new; below 0 where some were pardoned. */
  readonly failures: number
  /** Whether it answered this member meanwhile, after which so many failed, all of them in `failures`. */
  readonly answered: boolean
}

/** Who owns something that is stored: a hash of its id, and the key of the resource. */
export interface OwnerSaid {
  readonly id: string
  readonly resource: string
}

/** What a member says in one exchange. */
export interface Said {
  /** Of one run of a balancer: random, of no meaning. */
  readonly member: string
  /** What is exchanged together: the deployments of one model. */
  readonly realm: string
  /**
   * Grows by one with each exchange. The same number again is the same exchange again, whose reply was lost, with the same
   * content: it is counted once.
   */
  readonly sequence: number
  readonly quotas: ReadonlyArray<QuotaSaid>
  /** Tokens of requests that wait for room, the first in line first. The store sets room aside for them where there is. */
  readonly wants: ReadonlyArray<number>
  readonly marks: ReadonlyArray<Mark>
  readonly rows: ReadonlyArray<RowSaid>
  readonly owners: ReadonlyArray<OwnerSaid>
  /** Up to where the owners of others were heard; `""` for none. */
  readonly cursor: string
}

/** What a member hears of one quota, in the order in which they were asked for. */
export interface QuotaHeard {
  /** Which record it is: another one after the store was restarted, or the quota was not used for long. */
  readonly record: string
  /** Of the last minute and of the last slice, by all members; what is set aside for them included. */
  readonly tokens: number
  readonly requests: number
  readonly slice: number
  /** Of the tokens, those that are set aside and not sent. */
  readonly held: number
  /** What was set aside for this member now. */
  readonly granted: { readonly tokens: number; readonly requests: number }
  /** The limits that were told last; 0 where none were. */
  readonly told: { readonly tokens: number; readonly requests: number }
  /** The share that answers of the last ten to twenty seconds showed; 0 where too few did. */
  readonly share: number
}

/** A time that holds still. */
export interface MarkHeard extends Mark {
  /** Milliseconds since it was told. */
  readonly age: number
}

/** Failures in a row of all members. */
export interface RowHeard {
  readonly key: string
  readonly failures: number
  /** Milliseconds since the last of them was told. */
  readonly age: number
}

/** What a member hears in one exchange. */
export interface Heard {
  /** The store's clock, in milliseconds since 1970. */
  readonly now: number
  /** Members that spoke within the last ten seconds, this one included. */
  readonly members: number
  readonly quotas: ReadonlyArray<QuotaHeard>
  readonly marks: ReadonlyArray<MarkHeard>
  readonly rows: ReadonlyArray<RowHeard>
  readonly owners: ReadonlyArray<OwnerSaid>
  readonly cursor: string
}

/**
 * Service of the store.
 */
export class FleetStore extends Context.Service<FleetStore, {
  /** Says and hears, once. It may take as long as it likes: whoever calls it sets a limit. */
  readonly exchange: (said: Said) => Effect.Effect<Heard, FleetError>
}>()("@evenkeel/core/fleet/FleetStore") {}
