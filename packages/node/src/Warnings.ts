/**
 * What someone should look at, said once: a wrong key, a resource that cannot be reached, a deployment that does not exist.
 * Requests go elsewhere meanwhile, so that without a word half a fleet can be dead, unseen.
 */
import type { Deployments, Event } from "@evenkeel/core"
import { cureOf, reasonWord } from "@evenkeel/core/internal"

/** One warning. It holds no key, prompt or completion. */
export interface BalancerWarning {
  readonly code: "EVENKEEL_RESOURCE" | "EVENKEEL_DEPLOYMENT"
  /** Name of the resource, or id of the deployment. */
  readonly name: string
  readonly host: string
  /** In the words of events and snapshots: `http 401 invalid_api_key`, `dns`, `missing`. */
  readonly cause: string
  readonly cure: string
  /** All of it as one line. */
  readonly message: string
}

/** Warns as Node's own modules do: on stderr by default, and to whoever listens to the process for `warning`. */
export const emitWarning = ({ code, message }: BalancerWarning): void =>
  process.emitWarning(message, { type: "EvenkeelWarning", code })

/** What went wrong where, if it is something to be warned of. */
interface Trouble {
  readonly target: "resource" | "deployment"
  readonly name: string
  readonly cause: string
  /** Whether it still gets some traffic. */
  readonly isPartial?: boolean
}

const troubleOf = (event: Event): Trouble | undefined => {
  switch (event._tag) {
    case "BreakerOpened":
      return { target: event.target, name: event.name, cause: event.reason }
    case "DeploymentMissing":
      return { target: "deployment", name: event.deployment, cause: "missing" }
    case "Outlier":
      return { target: "deployment", name: event.deployment, cause: event.reason, isPartial: true }
    case "Checked":
      return event.problem === undefined
        ? undefined
        : { target: "resource", name: event.resource, cause: event.problem }
  }
  return undefined
}

/** Most warnings of one process: names come and go where deployments do. */
const MOST = 1_000

/** Warns of each trouble once: for each resource or deployment, and for each kind of cause. Returns what ends it. */
export const start = (deployments: Deployments["Service"], warn: (warning: BalancerWarning) => void): () => void => {
  const said = new Set<string>()
  return deployments.events.watch((event: Event) => {
    const trouble = troubleOf(event)
    if (trouble === undefined) return
    const { cause, isPartial, name, target } = trouble
    const key = `${target} ${name} ${reasonWord(cause)} ${isPartial === true}`
    if (said.has(key) || said.size >= MOST) return
    said.add(key)
    const place = target === "resource"
      ? deployments.resource(name)?.place
      : deployments.all().find(({ id }) => id === name)?.place
    const host = place?.address ?? "unknown host"
    const cure = cureOf(cause)
    const what = cause === "missing" ? "does not exist" : `fails (${cause})`
    const loses = trouble.isPartial === true
      ? `does worse than its peers (${cause}), and gets less traffic`
      : `${what}, and gets no traffic`
    const message = `The ${target} "${name}" at ${host} ${loses}. ${cure} This is said once.`
    warn({
      code: target === "resource" ? "EVENKEEL_RESOURCE" : "EVENKEEL_DEPLOYMENT",
      name,
      host,
      cause,
      cure,
      message
    })
  })
}
