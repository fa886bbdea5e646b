/**
 * What a gateway did in the last minute, as figures with a curve each.
 *
 * @import { Status } from "../OperatorPages.ts"
 * @import { Rates } from "./model.js"
 */
import { find, tileOf } from "./elements.js"
import { count, millis, modelsOf, money, percent, ratesOf, seriesOf } from "./model.js"

/**
 * @typedef {object} Figure
 * @property {string} label
 * @property {string} per
 * @property {(rates: Rates, status: Status) => readonly [value: string, note: string]} show
 * @property {(mark: ReturnType<typeof seriesOf>[number]) => number | undefined} curve
 */

/** @param {Status} status */
const quotaInUse = (status) => {
  const models = modelsOf(status)
  const limit = models.reduce((sum, model) => sum + (model.limit ?? 0), 0)
  const used = models.reduce((sum, model) => sum + model.usedOfLimit, 0)
  return limit === 0 ? "" : `${percent(used / limit)} of quota in use`
}

/** @type {ReadonlyArray<Figure>} */
const figures = [
  {
    label: "Requests",
    per: "/ min",
    show: ({ requests }) => [count(requests), `${count(requests / 60)} a second`],
    curve: ({ requests }) => requests
  },
  {
    label: "Tokens",
    per: "/ min",
    show: ({ tokens }, status) => [count(tokens), quotaInUse(status)],
    curve: ({ tokens }) => tokens
  },
  {
    label: "First token",
    per: "median",
    show: (_, { gateway: { latencies: { answer, firstToken } } }) => {
      const whole = answer === undefined ? "" : `whole answers ${millis(answer.p50)}`
      return [millis(firstToken?.p50), firstToken === undefined ? whole : `p95 ${millis(firstToken.p95)}`]
    },
    curve: ({ firstToken }) => firstToken
  },
  {
    label: "Unanswered",
    per: "/ min",
    show: ({ requests, unanswered }) => {
      const share = requests === 0 ? 0 : unanswered / requests
      return [count(unanswered), `${share > 0 && share < 0.005 ? "< 1 %" : percent(share)} of requests`]
    },
    curve: ({ unanswered }) => unanswered
  },
  {
    label: "Failovers",
    per: "/ min",
    show: ({ failovers }, { gateway: { totals } }) => [count(failovers), `${count(totals.failovers)} in all`],
    curve: ({ failovers }) => failovers
  },
  {
    label: "429s of services",
    per: "/ min",
    show: ({ throttled }, { gateway: { totals } }) => [count(throttled), `${count(totals.throttled)} in all`],
    curve: ({ throttled }) => throttled
  },
  {
    label: "Cost",
    per: "/ h",
    show: ({ cost }, { gateway: { totals } }) => {
      const isKnown = totals.cost > 0 || totals.unpriced === 0
      return [money(cost), isKnown ? `${money(totals.cost)} in all` : "prices are not known"]
    },
    curve: ({ cost }) => cost
  },
  {
    label: "Cached prompt",
    per: "",
    show: ({ cachedShare }, { gateway: { totals: { cachedTokens, promptTokens } } }) => [
      percent(cachedShare),
      promptTokens === 0 ? "" : `${percent(cachedTokens / promptTokens)} in all`
    ],
    curve: ({ cachedShare }) => cachedShare
  }
]

const tiles = figures.map(({ label }) => tileOf(label))
find("tiles").append(...tiles.map(({ tile }) => tile))

/** @param {Status} status */
export const drawFigures = (status) => {
  const rates = ratesOf(status)
  const series = seriesOf(status)
  figures.forEach(({ curve, label, per, show }, i) => {
    const [value, note] = show(rates, status)
    tiles[i]?.draw(value, per, note, series.map((mark) => curve(mark) ?? 0))
    tiles[i]?.tile.classList.toggle("alarm", label === "Unanswered" && rates.unanswered > 0)
  })
}
