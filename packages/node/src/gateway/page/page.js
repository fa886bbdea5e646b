/**
 * The gateway's page: asks `/status` and `/decisions` again and again, and has them drawn.
 */
import { field, find, say } from "./elements.js"
import { duration } from "./model.js"
import { draw, drawDecisions, drawHealth, timeOf } from "./view.js"

/** Where an operator's key is kept, in this tab alone. */
const KEY = "evenkeel.key"
const EVERY = 2000
const EVERY_UNSEEN = 15_000
const LONGEST_PAUSE = 10_000
const TIMEOUT = 20_000
/** What was heard so many milliseconds ago is old. */
const OLD = 6000

let key = sessionStorage.getItem(KEY) ?? ""
let heardAt = 0
let lastDecision = 0
let failures = 0
let isPaused = false
/** Which poll it is: one that was begun anew leaves nothing of the one before. */
let turn = 0
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer

/** What the gateway refuses, in its own words. */
class Refused extends Error {
  /**
   * @param {number} status
   * @param {{ readonly code?: unknown, readonly message?: unknown } | undefined} error
   */
  constructor(status, error) {
    super(String(error?.message ?? `status ${status}`))
    this.isOfKey = status === 401 || error?.code === "not_an_operator"
  }
}

/** @param {string} path */
const get = async (path) => {
  const answer = await fetch(path, {
    headers: key === "" ? {} : { authorization: `Bearer ${key}` },
    signal: AbortSignal.timeout(TIMEOUT),
    cache: "no-store",
    redirect: "error"
  })
  if (answer.ok) return answer.json()
  const body = await answer.json().catch(() => undefined)
  throw new Refused(answer.status, body?.error)
}

/** @param {string} text what is wrong; empty where nothing is */
const complain = (text) => {
  say(find("trouble"), text)
  document.body.classList.toggle("stale", text !== "")
}

/** @param {string} why */
const askForKey = (why) => {
  key = ""
  heardAt = 0
  sessionStorage.removeItem(KEY)
  complain(why)
  drawHealth("", "A key is asked for")
  find("main").hidden = find("forget").hidden = true
  find("ask").hidden = false
  find("key").focus()
}

const poll = async () => {
  const mine = ++turn
  clearTimeout(timer)
  try {
    const [status, decisions] = await Promise.all([get("status"), get(`decisions?brief&after=${lastDecision}`)])
    if (mine !== turn) return
    draw(status)
    drawDecisions(decisions)
    failures = 0
    heardAt = Date.now()
    lastDecision = decisions[0]?.at ?? lastDecision
    complain("")
    find("ask").hidden = true
    find("main").hidden = false
    find("forget").hidden = key === ""
  } catch (error) {
    if (mine !== turn) return
    if (error instanceof Refused && error.isOfKey) return askForKey(key === "" ? "" : "This key is no operator's.")
    failures++
    const since = heardAt === 0 ? "" : ` since ${timeOf(heardAt)}`
    complain(
      error instanceof Refused
        ? `The gateway refuses: ${error.message}`
        : `The gateway does not answer${since}. It is asked again every few seconds.`
    )
    drawHealth("bad", "Not connected")
  }
  tellAge()
  const every = document.hidden ? EVERY_UNSEEN : EVERY
  if (!isPaused) timer = setTimeout(poll, failures === 0 ? every : Math.min(LONGEST_PAUSE, EVERY * failures))
}

/** How old what is shown is: an answer that is slow to come is seen to be. */
const tellAge = () => {
  const age = Date.now() - heardAt
  if (heardAt === 0) say(find("heard"), "")
  else if (isPaused) say(find("heard"), `paused at ${timeOf(heardAt)}`, "")
  else if (age > OLD) say(find("heard"), `heard ${duration(age)} ago`, "warning")
  else say(find("heard"), "live", "")
}

find("ask").addEventListener("submit", (event) => {
  event.preventDefault()
  key = field("key").value.trim()
  field("key").value = ""
  sessionStorage.setItem(KEY, key)
  void poll()
})
find("forget").addEventListener("click", () => {
  turn++
  clearTimeout(timer)
  askForKey("")
})
find("pause").addEventListener("click", () => {
  isPaused = !isPaused
  find("pause").setAttribute("aria-pressed", String(isPaused))
  clearTimeout(timer)
  tellAge()
  if (!isPaused) void poll()
})
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && !isPaused) void poll()
})
setInterval(tellAge, 1000)
void poll()
