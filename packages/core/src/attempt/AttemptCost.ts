/**
 * What one attempt cost, at the deployment that billed it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { costOf, type PriceList, Prices } from "../config/Prices.ts"
import type { Permit } from "../deployment/Deployment.ts"
import type { Usage } from "../Errors.ts"
import type { AnswerFacts } from "./AnswerFacts.ts"

/** The prices that there are, or none. */
export const pricesInUse: Effect.Effect<Prices["Service"]> = Effect.map(
  Effect.serviceOption(Prices),
  Option.getOrElse(() => ({ find: () => undefined }))
)

/**
 * Cost in USD, or `undefined` where nobody knows: the deployment's own price, nothing more where its throughput is paid for
 * by the hour, else the price of the model that answered, else of the model that was asked for.
 *
 * @param at milliseconds since 1970
 */
export const costOfAttempt = (
  { deployment, reservation: { spilled } }: Permit,
  usage: Usage,
  answer: AnswerFacts | undefined,
  prices: Prices["Service"],
  at: number
): number | undefined => {
  const { config: { price }, model, place: { provider }, provisioned } = deployment
  // what was spilled over was served, and is billed, by a standard deployment
  if (!spilled && price !== undefined) return costOf(price, usage, answer?.serviceTier)
  if (!spilled && provisioned) return 0
  try {
    let list: PriceList | undefined
    if (answer?.model !== undefined) list = prices.find({ provider, model: answer.model, at })
    list ??= prices.find({ provider, model, at })
    const cost = list === undefined ? undefined : costOf(list, usage, answer?.serviceTier)
    // a sum would not recover from what is no cost
    return cost !== undefined && cost >= 0 && cost < Infinity ? cost : undefined
  } catch {
    // prices that cannot be found, or are none, must not fail a request
    return undefined
  }
}
