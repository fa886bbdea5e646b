/**
 * What an answer costs, from its tokens and the prices of its model.
 *
 * Prices are USD per million tokens, costs are USD. What is not known is `undefined`, never zero.
 */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { Usage } from "../Errors.ts"

/**
 * Prices of one model's tokens in USD per million.
 *
 * @category models
 */
export interface TokenPrices {
  /** Prompt tokens that were neither read from the prompt cache nor written to it. */
  readonly input: number
  /** Completion tokens, without those of reasoning. 0 for embeddings. */
  readonly output: number
  /** Prompt tokens read from the prompt cache. Default: `input`. */
  readonly cachedInput?: number | undefined
  /** Prompt tokens written to the prompt cache. Default: `input`. */
  readonly cacheWrite?: number | undefined
  /** Tokens of reasoning, which are part of the completion. Default: `output`. */
  readonly reasoning?: number | undefined
}

/**
 * Prices of one service tier, by the length of the prompt.
 *
 * @category models
 */
export interface ServicePrices extends TokenPrices {
  /** Prices of the whole request when its prompt has more than `above` tokens, cached ones included. Default: none. */
  readonly longContext?: TokenPrices & { readonly above: number } | undefined
}

/**
 * All prices of one model.
 *
 * **Example** (gpt-5.4 with its long context, and with a price for priority)
 *
 * ```ts
 * const gpt54: PriceList = {
 *   input: 2.5,
 *   cachedInput: 0.25,
 *   output: 15,
 *   longContext: { above: 272_000, input: 5, cachedInput: 0.5, output: 22.5 },
 *   serviceTiers: { priority: { input: 5, cachedInput: 0.5, output: 30 } }
 * }
 * ```
 *
 * @category models
 */
export interface PriceList extends ServicePrices {
  /**
   * Prices of service tiers, by the word in an answer's `service_tier`: `priority`, `ultrafast`, `flex`, `batch`. They
   * stand alone: a tier has no long-context prices but its own. `fast` is another word for `priority`, and either has the
   * other's prices where it has none. Default: `flex` and `batch` cost half, others are unknown.
   */
  readonly serviceTiers?: Readonly<Record<string, ServicePrices>> | undefined
}

/**
 * What an answer cost in USD, or `undefined` where its service tier has no known price.
 *
 * `(prompt - cached - written) * input + cached * cachedInput + written * cacheWrite + (completion - reasoning) * output +
 * reasoning * reasoning`, where no difference is below zero: services count cached, written and reasoning tokens as part
 * of the others, but do not promise it.
 *
 * @param serviceTier `service_tier` of the answer, which may differ from that of the request
 * @category pricing
 */
export const costOf = (list: PriceList, usage: Usage, serviceTier: string | undefined): number | undefined => {
  const { serviceTiers } = list
  if (serviceTier !== undefined && serviceTiers !== undefined) {
    for (const word of [serviceTier, sameTier[serviceTier]]) {
      if (word !== undefined && Object.hasOwn(serviceTiers, word)) return charge(serviceTiers[word]!, usage)
    }
  }
  switch (serviceTier) {
    case undefined:
    case "default":
    case "auto":
    case "standard":
      return charge(list, usage)
    case "batch":
    case "flex":
      // OpenAI: "tokens are priced at Batch API rates", which are half
      return charge(list, usage) / 2
    default:
      return undefined
  }
}

/** OpenAI's types say that an answer shows `priority` where `fast` was asked for; `fast` was seen too. */
const sameTier: Readonly<Record<string, string | undefined>> = Object.assign(Object.create(null), {
  fast: "priority",
  priority: "fast"
})

const charge = (prices: ServicePrices, usage: Usage): number => {
  const { cacheWriteTokens, cachedTokens, completionTokens, promptTokens, reasoningTokens } = usage
  const { longContext } = prices
  const { cacheWrite, cachedInput, input, output, reasoning } =
    longContext !== undefined && promptTokens > longContext.above ? longContext : prices
  const millionths = Math.max(0, promptTokens - cachedTokens - cacheWriteTokens) * input +
    cachedTokens * (cachedInput ?? input) +
    cacheWriteTokens * (cacheWrite ?? input) +
    Math.max(0, completionTokens - reasoningTokens) * output +
    reasoningTokens * (reasoning ?? output)
  return millionths / 1_000_000
}

/**
 * Which prices are wanted.
 *
 * @category models
 */
export interface PriceQuery {
  readonly provider: "azure" | "openai" | "compatible"
  /** The model's name, not the deployment's. */
  readonly model: string
  /** When it was used, in milliseconds since 1970: prices change. */
  readonly at: number
}

/**
 * Service that knows prices. `find` must not throw and must be quick; `undefined` is unknown.
 */
export class Prices extends Context.Service<Prices, {
  readonly find: (query: PriceQuery) => PriceList | undefined
}>()("@evenkeel/core/pricing/Prices") {
  /** Knows no price. */
  static readonly layerNone: Layer.Layer<Prices> = Layer.succeed(Prices, { find: () => undefined })

  /** Knows the prices of a table, by a model's exact name, whatever the provider and the time. */
  static layer(table: Readonly<Record<string, PriceList>>): Layer.Layer<Prices> {
    return Layer.succeed(Prices, { find: ({ model }) => Object.hasOwn(table, model) ? table[model] : undefined })
  }
}
