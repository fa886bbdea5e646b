/**
 * The service that holds the policy, and its layers.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Policy from "./Policy.ts"

/**
 * Service that chooses among candidates.
 *
 * **Example** (A policy of your own)
 *
 * ```ts
 * const cheapest = Selector.layer((candidates) => candidates.toSorted((a, b) => a.weight - b.weight)[0]!)
 * ```
 */
export class Selector extends Context.Service<Selector, {
  readonly choose: Policy.Policy
}>()("@evenkeel/core/routing/Selector") {
  /** Layer of any policy: one of `Policy`, or the caller's own function. */
  static layer(policy: Policy.Policy): Layer.Layer<Selector> {
    return Layer.succeed(Selector, { choose: policy })
  }

  /** Layer of the default: power of two choices, with `hot` from the configuration (`quota.hot`, 0.85). */
  static layerPowerOfTwoChoices(hot = 0.85): Layer.Layer<Selector> {
    return Selector.layer(Policy.powerOfTwoChoices(hot))
  }
}
