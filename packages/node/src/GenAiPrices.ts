/**
 * Prices of Azure's and OpenAI's models from `@pydantic/genai-prices`.
 *
 * They are those of the installed release of that package: nothing is fetched. Azure's are those of global deployments;
 * those of a region or a data zone are often a little higher, and belong in the configuration as `price`.
 */
import { type PriceList, Prices, type TokenPrices } from "@evenkeel/core"
import type { calcPrice, ModelPrice } from "@pydantic/genai-prices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const DAY = 86_400_000

/** Models remembered for a day each: the longest unused is forgotten. */
const CAPACITY = 1_000

/** Longer than the name of any model. A name of a megabyte would be matched for 0.3 s, and remembered. */
const LONGEST_NAME = 200

/**
 * Looks prices up and remembers them. A compatible service has none: a model that one hosts oneself costs something else.
 *
 * @param calculate `calcPrice` of `@pydantic/genai-prices`; 46 µs, so it is asked once for a provider, model and UTC day
 */
export const make = (calculate: typeof calcPrice): Prices["Service"] => {
  const lookUp = (provider: string, model: string, day: number): PriceList | undefined => {
    try {
      const found = calculate({}, model, { providerId: provider, timestamp: new Date(day * DAY) })
      // prices that change with the hour are not those of a day
      return found === null || changesHourly(found.model.prices) ? undefined : toPriceList(found.model_price)
    } catch {
      return undefined
    }
  }
  const lists = new Map<string, PriceList | undefined>()
  let last: { provider: string; model: string; day: number; list: PriceList | undefined } | undefined
  return {
    find: ({ at, model, provider }) => {
      if (provider === "compatible" || model.length > LONGEST_NAME) return undefined
      const day = Math.floor(at / DAY)
      // one model after the other is the exception
      if (last?.model === model && last.provider === provider && last.day === day) return last.list
      const key = `${provider} ${day} ${model}`
      const list = lists.has(key) ? lists.get(key) : lookUp(provider, model, day)
      // put in again, so that the first is the longest unused
      lists.delete(key)
      lists.set(key, list)
      if (lists.size > CAPACITY) lists.delete(lists.keys().next().value!)
      last = { provider, model, day, list }
      return list
    }
  }
}

/**
 * The table takes twice as long to load as all of Evenkeel: it is loaded with the first balancer, not where this package is
 * only imported.
 */
const load = async (): Promise<Prices["Service"]> => table ??= make((await import("@pydantic/genai-prices")).calcPrice)

let table: Prices["Service"] | undefined

/** Layer that provides the prices, as soon as they are loaded. */
export const layer: Layer.Layer<Prices> = Layer.effect(Prices, Effect.promise(load))

/** Layer for what cannot wait while it is built: it knows no price until the table is loaded. */
export const layerLater: Layer.Layer<Prices> = Layer.sync(Prices, () => {
  // what it costs is unknown then, and nothing else
  load().catch(() => {})
  return { find: (query) => table?.find(query) }
})

/** Lets an effect begin when there are prices; without them, where a bundler left the table out. */
export const whenLoaded = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  table === undefined ? Effect.andThen(Effect.ignore(Effect.tryPromise(load)), effect) : effect

type Price = ModelPrice[string]

const changesHourly = (prices: NonNullable<ReturnType<typeof calcPrice>>["model"]["prices"]): boolean =>
  Array.isArray(prices) && prices.some(({ constraint }) => constraint?.type === "time_of_date")

const billable = new Set(["input_mtok", "cache_read_mtok", "cache_write_mtok", "output_mtok"])

/**
 * The prices of a table's row, or `undefined` where its tokens cannot be billed: those of sound and pictures are not told
 * apart from those of text. Searches are not tokens, and are left out.
 */
const toPriceList = (row: ModelPrice): PriceList | undefined => {
  const isBillable = Object.keys(row).every((field) => billable.has(field) || field.endsWith("_searches_kcount"))
  const prices = tokenPrices(row, (price) => typeof price === "object" ? price.base : price)
  if (!isBillable || prices === undefined) return undefined

  // the whole request is charged at a tier's prices when all its input tokens are more than `start`
  const tiers = Object.values(row).flatMap((price) => typeof price === "object" ? price.tiers : [])
  const starts = new Set(tiers.map(({ start }) => start))
  const [above] = starts
  if (above === undefined) return prices
  const long = tokenPrices(row, (price) => typeof price === "object" ? price.tiers.at(-1)?.price ?? price.base : price)
  // no model of Azure's or OpenAI's has a second limit
  return starts.size > 1 || long === undefined ? undefined : { ...prices, longContext: { ...long, above } }
}

/** The prices that `read` gives for each field. Embeddings have no output. */
const tokenPrices = (row: ModelPrice, read: (price: Price) => number | undefined): TokenPrices | undefined => {
  const input = read(row["input_mtok"])
  return input === undefined ? undefined : {
    input,
    cachedInput: read(row["cache_read_mtok"]),
    cacheWrite: read(row["cache_write_mtok"]),
    output: read(row["output_mtok"]) ?? 0
  }
}
