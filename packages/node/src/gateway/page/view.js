/**
 * What the page shows of what the gateway says.
 *
 * @import { DeploymentSnapshot, FleetShare } from "@evenkeel/core"
 * @import { BriefDecision } from "../Decisions.ts"
 * @import { Status } from "../OperatorPages.ts"
 * @import { TenantSnapshot } from "../Tenants.ts"
 * @import { Column, Shown } from "./elements.js"
 */
import { field, find, make, say, tableOf } from "./elements.js"
import { drawFigures } from "./figures.js"
import { conditionOf, count, duration, healthOf, marks, millis, modelsOf, money, percent, reasonOf } from "./model.js"

/** @param {number} at */
export const timeOf = (at) => new Date(at).toLocaleTimeString([], { hourCycle: "h23" })

// --- deployments ------------------------------------------------------------------------------------------------------

/**
 * @param {number} used
 * @param {number | undefined} limit
 * @param {string} [without] what is said where there is no limit
 * @returns {Shown}
 */
const useOf = (used, limit, without = "no limit known") => {
  if (limit === undefined) return { text: count(used), small: without }
  const share = limit === 0 ? 1 : used / limit
  return { text: percent(share), small: `${count(used)} of ${count(limit)}`, share }
}

/** @typedef {DeploymentSnapshot & { readonly times: Status["gateway"]["latencies"] | undefined }} Deployment */

/** @param {ReadonlyArray<string | undefined | false>} parts */
const listed = (parts) => parts.filter((part) => part !== undefined && part !== false).join(" · ")

/** @type {ReadonlyArray<Column<Deployment>>} */
const columns = [
  {
    label: "State",
    kind: "condition",
    by: (deployment) => -conditionOf(deployment).rank,
    show: (deployment) => {
      const { level, why, word } = conditionOf(deployment)
      return { text: word, small: why, level }
    }
  },
  {
    label: "Deployment",
    isName: true,
    by: ({ id }) => id,
    show: ({ id, model, pool, provisioned, region, tier }) => ({
      text: id,
      small: listed([model, region, `tier ${tier}`, provisioned && "provisioned", pool && `pool ${pool}`])
    })
  },
  {
    label: "Tokens / min",
    kind: "use",
    by: ({ utilisation }) => utilisation,
    show: ({ tokens: { limit, used }, utilisation }) =>
      limit === undefined && utilisation > 0
        ? { text: percent(utilisation), small: count(used), share: utilisation }
        : useOf(used, limit)
  },
  {
    label: "Requests / min",
    kind: "number",
    by: ({ requests }) => requests.used,
    show: ({ requests: { limit, used } }) => ({
      text: count(used),
      small: limit === undefined ? "" : `of ${count(limit)}`
    })
  },
  {
    label: "In flight",
    kind: "number",
    by: ({ inFlight }) => inFlight,
    show: ({ inFlight, waiting }) => ({ text: String(inFlight), small: waiting === 0 ? "" : `${waiting} waiting` })
  },
  {
    label: "First token",
    kind: "number",
    by: ({ times }) => (times?.firstToken ?? times?.answer)?.p50 ?? 0,
    show: ({ times }) => {
      const shown = times?.firstToken ?? times?.answer
      const more = times?.firstToken === undefined ? "whole" : `p95 ${millis(shown?.p95)}`
      return { text: millis(shown?.p50), small: shown === undefined ? "" : more }
    }
  },
  {
    label: "Latency",
    kind: "number",
    by: ({ latency }) => latency,
    show: ({ decoding, latency }) => ({
      text: `${latency.toFixed(1)} x`,
      small: decoding >= 1.5 ? `decodes ${decoding.toFixed(1)} x` : ""
    })
  },
  {
    label: "Cached",
    kind: "number",
    by: ({ cachedShare }) => cachedShare,
    show: ({ cachedShare, totals }) => ({ text: totals.promptTokens === 0 ? "–" : percent(cachedShare) })
  },
  {
    label: "Answered",
    kind: "number",
    by: ({ totals }) => totals.succeeded,
    show: ({ totals: { refused, succeeded } }) => ({
      text: count(succeeded),
      small: refused === 0 ? "" : `${count(refused)} refused`
    })
  },
  {
    label: "Failed",
    kind: "number",
    by: ({ totals }) => totals.failed + totals.throttled,
    show: ({ totals: { failed, throttled } }) => ({
      text: count(failed),
      small: throttled === 0 ? "" : `${count(throttled)} × 429`
    })
  },
  {
    label: "Cost",
    kind: "number",
    by: ({ totals }) => totals.cost,
    show: ({ totals: { cost, unpriced } }) => ({ text: money(cost === 0 && unpriced > 0 ? undefined : cost) })
  }
]

/** Deployments that are drawn at first. */
const FIRST = 30

/** @type {Status | undefined} what was heard last */
let status
let isAllShown = false
let isReversed = false
/** What they are sorted by: those that need attention come first. */
let sorted = columns[0]

const deploymentTable = tableOf("deployments-table", columns, ({ id }) => id, (column) => {
  isReversed = sorted === column && !isReversed
  sorted = column
  drawDeployments()
})

const drawDeployments = () => {
  if (status === undefined) return
  const { deployments, gateway: { latenciesOf } } = status
  const wanted = field("filter").value.trim().toLowerCase()
  /** @type {Array<Deployment>} */
  const shown = []
  for (const deployment of deployments) {
    const { level, why, word } = conditionOf(deployment)
    if (field("unwell").checked && level === "good") continue
    const { id, model, pool, region, tier } = deployment
    if (!listed([id, model, region, pool, `tier ${tier}`, word, why]).toLowerCase().includes(wanted)) continue
    shown.push({ ...deployment, times: Object.hasOwn(latenciesOf, id) ? latenciesOf[id] : undefined })
  }
  const by = sorted?.by ?? (() => 0)
  const sign = isReversed ? -1 : 1
  shown.sort((a, b) => {
    const [x, y] = [by(a), by(b)]
    const first = typeof x === "number" ? Number(y) - x : x.localeCompare(String(y))
    return sign * first || a.model.localeCompare(b.model) || a.tier - b.tier || a.id.localeCompare(b.id)
  })
  deploymentTable.heads.forEach((head, i) => {
    if (columns[i] !== sorted) head.removeAttribute("aria-sort")
    else head.setAttribute("aria-sort", isReversed === (sorted?.isName === true) ? "descending" : "ascending")
  })
  deploymentTable.draw(isAllShown ? shown : shown.slice(0, FIRST))
  say(find("shown"), shown.length === deployments.length ? "" : `${shown.length} of ${deployments.length} match`)
  find("more").hidden = shown.length <= FIRST
  say(find("more"), isAllShown ? `Show the first ${FIRST}` : `Show all ${shown.length}`)
}

field("filter").addEventListener("input", drawDeployments)
field("unwell").addEventListener("change", drawDeployments)
find("more").addEventListener("click", () => {
  isAllShown = !isAllShown
  drawDeployments()
})

// --- models, keys and the fleet ---------------------------------------------------------------------------------------

/** @type {ReadonlyArray<Column<ReturnType<typeof modelsOf>[number]>>} */
const modelColumns = [
  { label: "Model", isName: true, show: ({ name }) => ({ text: name === "*" ? "any" : name }) },
  {
    label: "Healthy",
    kind: "whole",
    show: ({ deployments, healthy }) => {
      const level = healthy === deployments ? "good" : healthy === 0 ? "bad" : "warning"
      return { text: `${healthy} of ${deployments}`, level }
    }
  },
  {
    label: "Tokens / min",
    kind: "use",
    show: ({ limit, used, usedOfLimit }) => useOf(limit === undefined ? used : usedOfLimit, limit)
  },
  { label: "In line", kind: "number", show: ({ waiting }) => ({ text: String(waiting) }) }
]

/**
 * What a key used: it is counted for its limits alone.
 *
 * @param {TenantSnapshot} key
 * @param {"tokens" | "requests"} what
 * @returns {Shown}
 */
const useOfKey = ({ requests, tokens }, what) => {
  const { limit, used } = what === "tokens" ? tokens : requests
  const isCounted = tokens.limit !== undefined || requests.limit !== undefined
  return isCounted ? useOf(used, limit, "no limit") : { text: "–", small: "no limit" }
}

/** @type {ReadonlyArray<Column<TenantSnapshot>>} */
const keyColumns = [
  { label: "Key", isName: true, show: ({ name }) => ({ text: name }) },
  { label: "Tokens / min", kind: "use", show: (key) => useOfKey(key, "tokens") },
  { label: "Requests / min", kind: "use", show: (key) => useOfKey(key, "requests") },
  { label: "Streams", kind: "number", show: ({ streams }) => ({ text: String(streams) }) }
]

/** @type {ReadonlyArray<Column<FleetShare>>} */
const fleetColumns = [
  { label: "Deployment", isName: true, show: ({ deployment }) => ({ text: deployment }) },
  { label: "Tokens of all", kind: "number", show: ({ tokens }) => ({ text: count(tokens) }) },
  { label: "Of this one", kind: "number", show: ({ ownTokens }) => ({ text: count(ownTokens) }) }
]

const modelTable = tableOf("models-table", modelColumns, ({ name }) => name)
const keyTable = tableOf("keys-table", keyColumns, ({ name }) => name)
const fleetTable = tableOf("fleet-table", fleetColumns, ({ deployment }) => deployment)

/** @param {Status["fleet"]} fleet */
const drawFleet = (fleet) => {
  find("fleet").hidden = fleet === undefined
  if (fleet === undefined) return
  const { heardAgo, isHeard, members, shares } = fleet
  const heard = heardAgo === undefined ? "never heard" : `heard ${duration(heardAgo)} ago`
  const text = isHeard ? `${members} members, ${heard}` : `its store does not answer, ${heard}`
  say(find("fleet-note"), text, isHeard ? "note" : "warning")
  fleetTable.draw(shares)
}

// --- what happened ----------------------------------------------------------------------------------------------------

let drawnHappenings = ""

/** @param {Status["gateway"]["happenings"]} happenings */
const drawHappenings = (happenings) => {
  const stamp = happenings.map(({ at, count }) => `${at} ${count}`).join()
  if (stamp === drawnHappenings) return
  drawnHappenings = stamp
  find("happenings").replaceChildren(...happenings.map(({ about, at, count: times, level, more, what }) => {
    const text = ` ${what}${more === undefined ? "" : `, ${more}`}`
    const often = make("span", "note", times === 1 ? "" : ` × ${count(times)}`)
    return make(
      "li",
      "",
      make("time", "", timeOf(at)),
      make("span", "", make("span", level), make("b", "", about), text, often)
    )
  }))
}

/** Decisions that are shown. */
const SHOWN = 40

/** @param {ReadonlyArray<BriefDecision>} decisions those that were not shown yet, the newest first */
export const drawDecisions = (decisions) => {
  const list = find("decisions")
  list.prepend(...decisions.map(({ at, attempt, because, model, text, winner }) => {
    const reason = make("span", "note", `, ${attempt > 1 ? `attempt ${attempt}, ` : ""}${reasonOf(because)}`)
    const summary = make("summary", "", `${model} → `, make("b", "", winner ?? "nowhere"), reason)
    return make("li", "", make("time", "", timeOf(at)), make("details", "", summary, make("p", "", text)))
  }))
  while (list.childElementCount > SHOWN) list.lastElementChild?.remove()
}

// --- all of it --------------------------------------------------------------------------------------------------------

/**
 * @param {keyof typeof marks | ""} level
 * @param {string} text
 */
export const drawHealth = (level, text) => {
  say(find("health"), text, `pill ${level}`)
  document.title = `${level === "" ? "" : `${marks[level]} `}${text} · Evenkeel`
}

/** @param {Status} given */
export const draw = (given) => {
  status = given
  const { fleet, gateway, retriesLeft, sessions } = given
  const { happenings, keys, requests, uptime } = gateway
  const { level, text } = healthOf(given)
  drawHealth(level, text)
  const facts = [
    location.host,
    `up ${duration(uptime)}`,
    `${count(requests)} under way`,
    `${count(sessions)} sessions`,
    `${count(Math.floor(retriesLeft))} retries left`
  ]
  facts.forEach((fact, i) => say(find("facts").children[i] ?? find("facts").appendChild(make("li")), fact))
  drawFigures(given)
  drawDeployments()
  drawHappenings(happenings)
  modelTable.draw(modelsOf(given))
  keyTable.draw(keys)
  find("keys").hidden = keys.length === 0
  drawFleet(fleet)
}
