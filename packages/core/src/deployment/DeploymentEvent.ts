/**
 * What happens to deployments and resources. `at` is milliseconds since 1970.
 */

/** What happens to a breaker, of a deployment or of a resource. */
interface OfBreaker {
  readonly at: number
  readonly target: "deployment" | "resource"
  readonly name: string
}

/** A breaker opened: no traffic but one probe after `openFor` milliseconds. */
export interface BreakerOpened extends OfBreaker {
  readonly _tag: "BreakerOpened"
  readonly reason: string
  readonly openFor: number
}

/** An open breaker lets one request through, or one check, to see. */
export interface BreakerHalfOpened extends OfBreaker {
  readonly _tag: "BreakerHalfOpened"
}

/** A breaker closed: traffic returns, slowly. */
export interface BreakerClosed extends OfBreaker {
  readonly _tag: "BreakerClosed"
}

/** A deployment was told to wait, or does not exist; it gets no traffic for `coolFor` milliseconds. */
export interface CooledDown {
  readonly _tag: "CooledDown"
  readonly at: number
  readonly deployment: string
  /** The pool that is told to wait with it, where it is the shared quota that is used up. */
  readonly pool: string | undefined
  readonly reason: string
  readonly coolFor: number
}

/** The service does not know a configured deployment. Someone should look. */
export interface DeploymentMissing {
  readonly _tag: "DeploymentMissing"
  readonly at: number
  readonly deployment: string
}

/**
 * A deployment does worse than its peers: they answer what it fails or refuses, or it is slower by far. It gets less
 * traffic. Told once a minute at most.
 */
export interface Outlier {
  readonly _tag: "Outlier"
  readonly at: number
  readonly deployment: string
  /** What it does: `http 404`, `reset`, `timeout first-content`, `slow`. */
  readonly reason: string
  /** Share of its requests that fared well of late, as far as that is known. */
  readonly share: number
}

/**
 * Deployments that were not configured so share a quota: what is left of it falls for all of them at once. From now on they
 * are a pool, until their counters show otherwise. Say `pool` in the configuration, and none has to be found.
 */
export interface PoolChanged {
  readonly _tag: "PoolChanged"
  readonly at: number
  readonly model: string
  /** Name of the pool: the id of one of its deployments. */
  readonly pool: string
  /** Deployments that were found to belong to it, or not to. */
  readonly joined: ReadonlyArray<string>
  readonly left: ReadonlyArray<string>
}

/** The live set changed. */
export interface MembershipChanged {
  readonly _tag: "MembershipChanged"
  readonly at: number
  readonly deployment: string
  readonly change: "added" | "updated" | "draining" | "removed"
}

/** Anything of these. */
export type DeploymentEvent =
  | BreakerOpened
  | BreakerHalfOpened
  | BreakerClosed
  | CooledDown
  | DeploymentMissing
  | Outlier
  | PoolChanged
  | MembershipChanged
