/**
 * Why an attempt went where it went: each deployment with what refused it or how loaded it was, what was drawn, and what
 * won. Plain data that reads as one paragraph.
 */
import * as Data from "effect/Data"
import type { Refusal } from "../deployment/Gate.ts"

/**
 * Why the winner won.
 *
 * - `policy`: the policy chose it among those that passed.
 * - `only-candidate`: no other passed.
 * - `warm`: the session was served there last.
 * - `home`: it is the session's home.
 * - `displaced`: the session's warm place and its home did not pass, or were too busy.
 * - `panic`: all are failing, and it is the likeliest to be back.
 * - `renewed`: the same again, with a new credential, or without asking for a stream's usage.
 * - `hedge`: beside an attempt that is slow to begin.
 */
export type Because = "policy" | "only-candidate" | "warm" | "home" | "displaced" | "panic" | "renewed" | "hedge"

/** One deployment of the model, as the choice saw it. */
export interface ExplainedDeployment {
  /** `resource/deployment`. */
  readonly id: string
  readonly tier: number
  /** What refused it; `undefined` where it passed. */
  readonly refusal: Refusal | undefined
  /** Whether that is the word of other members of the fleet, and nothing that was seen here. */
  readonly isFleetWord: boolean
  /** Whether this request was sent to it before. */
  readonly isTried: boolean
  /** Whether the policy compared it, rather than only drawing among its like. */
  readonly isCompared: boolean
  /** The pool whose quota it draws on, if it shares one. */
  readonly pool: string | undefined
  /** Tokens a minute, its part where it shares a quota, or `undefined` when no limit is known. */
  readonly capacity: number | undefined
  readonly weight: number
  /** Share of its weight while it comes back. */
  readonly warmth: number
  /** Share of its quota in use. */
  readonly utilisation: number
  /** Latency as a ratio to what is expected of the model. */
  readonly latency: number
  readonly inFlight: number
  /** Of those in flight, how many wait for their first byte. */
  readonly waiting: number
}

/** What an explanation holds. */
interface Explained {
  readonly model: string
  /** Attempts of the request, this one included; 1 where none was made. */
  readonly attempt: number
  /** Tokens that are reserved: prompt and possible output. */
  readonly tokens: number
  readonly session: string | undefined
  /** Which shard of the session, where that is hot; 0 where it is not. */
  readonly shard: number
  /** Where the session was served last. */
  readonly warm: string | undefined
  /** All deployments of the model, in order of tier. */
  readonly deployments: ReadonlyArray<ExplainedDeployment>
  /** Random numbers that the policy drew, each in [0, 1). */
  readonly draws: ReadonlyArray<number>
  /** `undefined` when no deployment passed. */
  readonly winner: string | undefined
  readonly because: Because | undefined
  /** Requests that wait in line, of all tenants. */
  readonly ahead: number
  /** Milliseconds until the first deployment may pass, where none does now and waiting helps. */
  readonly opensIn: number | undefined
}

/**
 * A choice, explained. `String(explanation)` is a paragraph for people.
 */
export class Explanation extends Data.Class<Explained> {
  /** The same with another winner, for what overrules the choice. */
  with(winner: string, because: Because): Explanation {
    return new Explanation({ ...this, winner, because })
  }

  override toString(): string {
    return describe(this)
  }
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

const seconds = (millis: number): string => `${Math.round(millis / 100) / 10} s`

const load = ({ latency, utilisation, waiting, warmth }: ExplainedDeployment): string =>
  `${percent(utilisation)} of its quota, ${latency.toFixed(1)} x the usual latency, ${waiting} waiting`
  + (warmth < 1 ? `, back at ${percent(warmth)} of its weight` : "")

/** What refused it, of which pool, and by whose word. */
const refusalIn = ({ isFleetWord, pool, refusal }: ExplainedDeployment): string => {
  const of = pool !== undefined && refusal?.startsWith("pool-") === true ? `, pool ${pool}` : ""
  return `${refusal}${of}${isFleetWord ? ", by the fleet's word" : ""}`
}

const reasons: Readonly<Record<Because, string>> = {
  policy: "the policy preferred it",
  "only-candidate": "no other passed",
  warm: "the session's cache is warm there",
  home: "it is the session's home",
  displaced: "the session's own place does not pass, is too busy, or is slow for it",
  panic: "all are failing, and it is the likeliest to be back",
  renewed: "its credential was renewed, or it refused to tell a stream's usage",
  hedge: "the attempt before is slow to begin"
}

const describe = (explanation: Explanation): string => {
  const { ahead, attempt, because, deployments, draws, model, opensIn, session, shard, tokens, winner } = explanation
  const won = deployments.find(({ id }) => id === winner)
  const part = shard === 0 ? "" : `, shard ${shard} as it is hot`
  const belongs = session === undefined ? "" : `, session ${session}${part}`
  const parts = [`Attempt ${attempt} of ${model}, about ${tokens} tokens${belongs}:`]
  if (won === undefined || because === undefined) {
    parts.push("no deployment passes.")
  } else {
    const others = deployments.filter((other) => other !== won && other.isCompared)
    const against = because === "policy" && others.length > 0
      ? `; compared with ${others.map((other) => `${other.id} (${load(other)})`).join(", ")}`
      : ""
    parts.push(`${won.id} of tier ${won.tier} (${load(won)}), because ${reasons[because]}${against}.`)
  }
  const refused = deployments.filter(({ refusal }) => refusal !== undefined)
  if (refused.length > 0) {
    parts.push(`Refused: ${refused.map((other) => `${other.id} (${refusalIn(other)})`).join(", ")}.`)
  }
  const tried = deployments.filter((other) => other.isTried && other !== won)
  if (tried.length > 0) parts.push(`Tried before: ${tried.map(({ id }) => id).join(", ")}.`)
  const passing = deployments.filter(({ refusal }) => won !== undefined && refusal === undefined)
  const worse = passing.filter(({ tier }) => tier > won!.tier)
  if (worse.length > 0) parts.push(`Of a worse tier: ${worse.map(({ id }) => id).join(", ")}.`)
  const slow = passing.filter((other) => other.tier < won!.tier && !other.isTried)
  if (slow.length > 0) parts.push(`Slower by far: ${slow.map((other) => `${other.id} (${load(other)})`).join(", ")}.`)
  if (ahead > 0) parts.push(`Waiting in line: ${ahead}.`)
  if (opensIn !== undefined) parts.push(`The first may pass in ${seconds(opensIn)}.`)
  if (draws.length > 0) parts.push(`Drawn: ${draws.map((draw) => draw.toFixed(3)).join(", ")}.`)
  return parts.join(" ")
}
