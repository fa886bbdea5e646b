/**
 * What `/status` says, in the figures and words that people look at. The page and `evenkeel top` share it.
 *
 * @import { DeploymentSnapshot } from "@evenkeel/core"
 * @import { ActivityMark, ActivityTotals, Happening } from "../Activity.ts"
 * @import { Status } from "../OperatorPages.ts"
 */

/** @typedef {Happening["level"]} Level how something is: drawn as a mark and a colour */

/** @type {Readonly<Record<Level, string>>} each level's mark, so that none is told by its colour alone */
export const marks = { good: "●", warning: "▲", bad: "✕", neutral: "○" }

// --- what is derived ----------------------------------------------------------------------------------------------------

/**
 * @typedef {object} Rates
 * @property {number} requests a minute; so are the next four
 * @property {number} unanswered
 * @property {number} failovers
 * @property {number} throttled
 * @property {number} tokens prompts and completions
 * @property {number | undefined} cost USD an hour; `undefined` where no price is known
 * @property {number | undefined} cachedShare of the prompt tokens; `undefined` where there were none
 */

const MINUTE = 60_000

/**
 * What is between two marks.
 *
 * @param {ActivityTotals & { readonly at: number }} from
 * @param {ActivityTotals & { readonly at: number }} to
 * @returns {Rates}
 */
const ratesBetween = (from, to) => {
  // of what has only begun, too little is known to divide by it
  const minutes = Math.max(5000, to.at - from.at) / MINUTE
  /** @param {keyof ActivityTotals} key */
  const more = (key) => to[key] - from[key]
  const cost = more("cost")
  return {
    requests: more("requests") / minutes,
    unanswered: more("unanswered") / minutes,
    failovers: more("failovers") / minutes,
    throttled: more("throttled") / minutes,
    tokens: (more("promptTokens") + more("completionTokens")) / minutes,
    cost: cost === 0 && more("unpriced") > 0 ? undefined : 60 * cost / minutes,
    cachedShare: more("promptTokens") === 0 ? undefined : more("cachedTokens") / more("promptTokens")
  }
}

/**
 * Rates of the last minute, or of as much of it as there was.
 *
 * @param {Status} status
 * @returns {Rates}
 */
export const ratesOf = ({ gateway: { at, history, totals } }) => {
  const now = { at, ...totals }
  return ratesBetween(history.find((mark) => mark.at >= at - MINUTE) ?? history.at(-1) ?? now, now)
}

/**
 * Rates of the last minutes, the oldest first, with the time to the first token of each.
 *
 * @param {Status} status
 * @returns {ReadonlyArray<Rates & Pick<ActivityMark, "firstToken">>}
 */
export const seriesOf = ({ gateway: { history } }) =>
  history.slice(1).map((mark, i) => {
    const rates = ratesBetween(/** @type {ActivityMark} */ (history[i]), mark)
    return Object.assign(rates, { firstToken: mark.firstToken })
  })

/** Share of a quota from which on it decides where requests go, and times the peers' latency that are slow. */
export const HOT = 0.85
const SLOW = 2.5

/**
 * How a deployment is: a word for it, why, and how much it is worth to look at, the worst first.
 *
 * @param {DeploymentSnapshot} deployment
 * @returns {{ readonly level: Level, readonly word: string, readonly why: string, readonly rank: number }}
 */
export const conditionOf = ({ latency, opensIn, reason = "", state, utilisation, warmth }) => {
  const until = opensIn === undefined ? "" : opensIn > 0 ? `${duration(opensIn)} to go` : "awaits a trial"
  const why = [reason, until].filter((part) => part !== "").join(", ")
  switch (state) {
    case "open":
      return { level: "bad", word: "out", why, rank: 0 }
    case "half-open":
      return { level: "bad", word: "on trial", why: reason, rank: 1 }
    case "cooling-down":
      return { level: "warning", word: "throttled", why, rank: 2 }
    case "draining":
      return { level: "neutral", word: "draining", why: "", rank: 3 }
    case "healthy":
      if (latency >= SLOW) return { level: "warning", word: "slow", why: `${latency.toFixed(1)} x its peers`, rank: 4 }
      if (utilisation >= 1) return { level: "warning", word: "full", why: "its quota is used up", rank: 5 }
      if (warmth < 1) return { level: "good", word: "coming back", why: `at ${percent(warmth)} of its share`, rank: 6 }
      return { level: "good", word: "healthy", why: "", rank: 7 }
    default:
      return { level: "neutral", word: String(state), why, rank: 3 }
  }
}

/**
 * How all of it is, in one line.
 *
 * @param {Status} status
 * @returns {{ readonly level: Level, readonly text: string }}
 */
export const healthOf = (status) => {
  const { deployments, gateway, models } = status
  if (gateway.isDraining) return { level: "warning", text: "Stopping: it takes no new connection" }
  const without = models.filter(({ name }) => {
    const own = deployments.filter(({ model }) => model === name)
    return own.length > 0 && own.every(({ state }) => state !== "healthy")
  })
  if (without.length > 0) {
    const names = without.slice(0, 3).map(({ name }) => name).join(", ")
    const more = without.length > 3 ? ` and ${without.length - 3} more` : ""
    return { level: "bad", text: `No usable deployment for ${names}${more}` }
  }
  const unwell = deployments.filter(({ state }) => state !== "healthy").map(conditionOf).toSorted((a, b) =>
    a.rank - b.rank
  )
  const words = [...new Set(unwell.map(({ word }) => word))]
  const counts = words.map((word) => `${unwell.filter((one) => one.word === word).length} ${word}`)
  const of = `${deployments.length} deployment${deployments.length === 1 ? "" : "s"}`
  if (counts.length > 0) return { level: "warning", text: `${counts.join(", ")} of ${of}` }
  return { level: "good", text: deployments.length === 1 ? "Healthy" : `All ${of} healthy` }
}

/**
 * What each model has and uses. Deployments that share a quota count it once.
 *
 * @param {Status} status
 */
export const modelsOf = ({ deployments, models }) =>
  models.map(({ name, waiting }) => {
    const own = deployments.filter(({ model }) => model === name)
    const quotas = [...new Map(own.map((deployment) => [deployment.pool ?? deployment.id, deployment.tokens])).values()]
    const known = quotas.filter(({ limit }) => limit !== undefined)
    return {
      name,
      waiting,
      deployments: own.length,
      healthy: own.filter(({ state }) => state === "healthy").length,
      used: quotas.reduce((sum, { used }) => sum + used, 0),
      /** Of those deployments whose limit is known; `undefined` where none is. */
      limit: known.length === 0 ? undefined : known.reduce((sum, { limit }) => sum + (limit ?? 0), 0),
      usedOfLimit: known.reduce((sum, { used }) => sum + used, 0)
    }
  })

/** @type {Readonly<Record<string, string>>} why a deployment was chosen, in short */
const reasons = {
  policy: "preferred by load",
  "only-candidate": "no other passed",
  warm: "warm cache of its session",
  home: "home of its session",
  displaced: "its session's place was busy or out",
  panic: "best bet, all are failing",
  renewed: "again, with a new credential",
  hedge: "beside one that is late"
}

/** @param {string | undefined} because */
export const reasonOf = (because) => because === undefined ? "no deployment passed" : reasons[because] ?? because

// --- how it is written ------------------------------------------------------------------------------------------------

/**
 * `7`, `7.3`, `1,204`, `12.3k`, `1.24M`.
 *
 * @param {number} value
 */
export const count = (value) => {
  if (value >= 999_500) return `${(value / 1e6).toFixed(value >= 99.5e6 ? 0 : value >= 9.95e6 ? 1 : 2)}M`
  if (value >= 9_999.5) return `${(value / 1000).toFixed(value >= 99_950 ? 0 : 1)}k`
  return value.toLocaleString("en-US", { maximumFractionDigits: value < 9.95 ? 1 : 0 })
}

/** @param {number | undefined} share */
export const percent = (share) => share === undefined ? "–" : `${Math.round(share * 100)} %`

/**
 * `210 ms`, `1.4 s`, `12 s`; a dash for what is not known.
 *
 * @param {number | undefined} value
 */
export const millis = (value) =>
  value === undefined
    ? "–"
    : value < 999.5
    ? `${Math.round(value)} ms`
    : `${(value / 1000).toFixed(value < 9_950 ? 1 : 0)} s`

/**
 * `$0.0042`, `$3.20`, `$1,240`; a dash for what is not known.
 *
 * @param {number | undefined} usd
 */
export const money = (usd) => {
  if (usd === undefined) return "–"
  const digits = usd === 0 || usd >= 1000 ? 0 : usd < 0.1 ? 4 : 2
  return `$${usd.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`
}

/**
 * `45 s`, `12 min`, `3 h 4 min`, `3 d 4 h`.
 *
 * @param {number} value milliseconds
 */
export const duration = (value) => {
  const seconds = Math.ceil(value / 1000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`
}
