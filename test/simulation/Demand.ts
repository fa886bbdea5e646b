/**
 * What callers ask for, and when: the same for every client, from one seed.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import { capacityOf, type Scenario, type Traffic } from "./Scenario.ts"

/** One request of a caller. */
export interface Ask {
  readonly index: number
  /** ms since the beginning of the run. */
  readonly at: number
  readonly streamed: boolean
  readonly prompt: string
  readonly outputLimit: number | undefined
  readonly session: string | undefined
  /** Which of the balancers it is given to. */
  readonly balancer: number
}

const CHARACTERS = 4
const SYSTEM_TOKENS = 1500
const TURNS = 10
/** A prompt that is asked again and again, with a few words of its own. */
const HOT_TOKENS = 2000

/** Admission counts the prompt, and the output limit or this. */
const UNLIMITED_CHARGE = 16

const filler = "The quick brown fox jumps over the lazy dog while seven wizards box. ".repeat(8000)

/** Makes requests without end, in the order of their times. */
export const demandOf = function*(scenario: Scenario, seed: number): Generator<Ask, never, void> {
  const random = SeededRandom.make(SeededRandom.hash(`demand ${seed}`))
  const mean = 60_000 / perMinute(scenario)
  const shapes = shapesOf(scenario.traffic, random)
  let at = 0
  for (let index = 0;; index++) {
    // Poisson arrivals
    at += -Math.log(1 - random()) * mean
    const balancer = Math.floor(random() * scenario.balancers)
    yield { index, at: Math.round(at), balancer, ...shapes.next().value }
  }
}

/** Requests a minute that take the scenario's share of all capacity. */
export const perMinute = ({ load, places, traffic }: Scenario): number => {
  const shapes = shapesOf(traffic, SeededRandom.make(1))
  const samples = 5000
  let charged = 0
  for (let i = 0; i < samples; i++) charged += chargeOf(shapes.next().value)
  return (load * capacityOf(places)) / (charged / samples)
}

/** What admission counts for a request. */
export const chargeOf = ({ outputLimit, prompt }: Pick<Ask, "prompt" | "outputLimit">): number =>
  Math.ceil(prompt.length / CHARACTERS) + (outputLimit ?? UNLIMITED_CHARGE)

type Shape = Pick<Ask, "streamed" | "prompt" | "outputLimit" | "session">

const shapesOf = function*(traffic: Traffic, random: () => number): Generator<Shape, never, void> {
  const { hotShare = 0, longShare, longTokens, outputLimits, promptSpread, promptTokens, sessions, streamed } = traffic
  const talks = Array.from({ length: sessions }, (_, i) => ({ id: i, turn: Math.floor(random() * TURNS) }))
  let serial = sessions
  /** A prompt that shares its beginning with no other. */
  const alone = (): string => {
    const mean = random() < longShare ? longTokens : promptTokens
    const tokens = Math.min(100_000, Math.max(20, mean * SeededRandom.lognormal(random, promptSpread)))
    return `#${serial++} ${filler.slice(0, Math.round(tokens * CHARACTERS))}`
  }
  /** The next turn of a conversation: all that was said before, and a little more. */
  const inTalk = (): Pick<Shape, "prompt" | "session"> => {
    const isHot = hotShare > 0 && random() < hotShare
    if (isHot) return { prompt: `${filler.slice(0, HOT_TOKENS * CHARACTERS)}#${serial++}`, session: "hot" }
    const slot = Math.floor(random() * talks.length)
    const talk = talks[slot]!
    const own = Math.round((300 + 400 * talk.turn) * CHARACTERS)
    const prompt = `${filler.slice(0, SYSTEM_TOKENS * CHARACTERS)}#${talk.id} ${filler.slice(0, own)}`
    talks[slot] = talk.turn + 1 < TURNS ? { id: talk.id, turn: talk.turn + 1 } : { id: serial++, turn: 0 }
    return { prompt, session: `session-${talk.id}` }
  }
  while (true) {
    yield {
      streamed: random() < streamed,
      outputLimit: outputLimits[Math.floor(random() * outputLimits.length)],
      ...(sessions > 0 ? inTalk() : { prompt: alone(), session: undefined })
    }
  }
}
