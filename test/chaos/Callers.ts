/**
 * Callers that keep so many calls under way, each looking at every answer that it gets.
 */
import * as SeededRandom from "#core/simulation/SeededRandom"
import { setTimeout as sleep } from "node:timers/promises"
import type { Door } from "./Doors.ts"
import { isAbort, nameOf } from "./Ending.ts"
import { flawOf, type Question } from "./Reply.ts"
import type { Tally } from "./Tally.ts"
import { TOTAL_MILLIS } from "./World.ts"

/** How much later than its limit a call may end on a busy machine, in milliseconds. */
const MARGIN_MILLIS = 5_000

/** How long a call may take to end once its caller aborted it. */
const ABORT_MILLIS = 2_000

/** How long a door may take: a conversation is two calls. */
const limitOf = (door: string): number => TOTAL_MILLIS * (door.endsWith("conversation") ? 2 : 1) + MARGIN_MILLIS

const SESSIONS = 200

/** When and how a caller leaves before the end; most do not. */
interface Leaving {
  readonly abortAfter: number | undefined
  readonly breakAfterPieces: number
}

interface Planned {
  readonly door: Door
  readonly name: string
  readonly question: Question
  readonly session: string | undefined
  readonly leaving: Leaving
  readonly isSlowReader: boolean
}

export class Callers {
  /** Whether nothing is wrong any more, so that answers should be whole. */
  isCalm = false
  underWay = 0
  private isOn = false
  private loops: ReadonlyArray<Promise<void>> = []
  private serial = 0
  private readonly doors: ReadonlyArray<readonly [name: string, weight: number, door: Door]>
  private readonly tally: Tally
  private readonly randoms: ReadonlyArray<() => number>

  constructor(
    doors: ReadonlyArray<readonly [name: string, weight: number, door: Door]>,
    tally: Tally,
    seed: number,
    count: number
  ) {
    this.doors = doors
    this.tally = tally
    this.randoms = Array.from({ length: count }, (_, i) => SeededRandom.make(SeededRandom.hash(`caller ${i}`, seed)))
  }

  start(): void {
    this.isOn = true
    this.loops = this.randoms.map((random) => this.loop(random))
  }

  /** Ends when the last call has, which is bounded by the limits of a call. */
  async stop(): Promise<void> {
    this.isOn = false
    await Promise.all(this.loops)
  }

  private async loop(random: () => number): Promise<void> {
    await sleep(random() * 500)
    while (this.isOn) {
      this.underWay++
      await this.call(this.plan(random))
      this.underWay--
      // even if everything is refused at once, it is not asked without a pause
      await sleep(1 + random() * 20)
    }
  }

  private plan(random: () => number): Planned {
    const all = this.doors.reduce((sum, [, weight]) => sum + weight, 0)
    let drawn = random() * all
    const [name, , door] = this.doors.find(([, weight]) => (drawn -= weight) < 0) ?? this.doors[0]!
    const how = random()
    return {
      door,
      name,
      question: { id: `q${this.serial++}`, words: 15 + Math.floor(random() * 45) },
      session: random() < 0.3 ? `session-${Math.floor(random() * SESSIONS)}` : undefined,
      leaving: {
        abortAfter: how < 0.1 ? random() * random() * 3_000 : undefined,
        breakAfterPieces: how > 0.92 ? Math.ceil(random() * 15) : Infinity
      },
      isSlowReader: random() < 0.05
    }
  }

  private async call({ door, isSlowReader, leaving, name, question, session }: Planned): Promise<void> {
    const { tally } = this
    const { isCalm } = this
    const began = performance.now()
    const reason = new Error("the caller left")
    const controller = new AbortController()
    const { signal } = controller
    let heard = ""
    let pieces = 0
    let isFinished = false
    let hasLeft = false
    let abortedAt: number | undefined
    const ids = new Set<string>()
    const wrong = (what: string): void => tally.wrong(`${name} ${question.id}: ${what}`)
    const abort = leaving.abortAfter === undefined ? undefined : setTimeout(() => {
      abortedAt = performance.now()
      controller.abort(reason)
    }, leaving.abortAfter)
    const ended = door({
      question,
      session,
      signal,
      hear: (piece, id) => {
        if (piece === "") return false
        ids.add(id)
        heard += piece
        hasLeft ||= ++pieces >= leaving.breakAfterPieces
        return hasLeft
      },
      pause: () => isSlowReader && pieces % 8 === 0 ? sleep(20) as Promise<void> : Promise.resolve(),
      finish: () => void (isFinished = true)
    }).then(() => undefined, (error: unknown) => ({ error }))
    const failed = await this.inTime(ended, limitOf(name) + MARGIN_MILLIS, wrong)
    clearTimeout(abort)

    tally.doors.add(name)
    if (abortedAt !== undefined && performance.now() - abortedAt > ABORT_MILLIS) wrong("ended long after its abort")
    if (performance.now() - began > limitOf(name)) wrong("ended long after its limit")
    if (ids.size > 1) wrong(`is of several generations: ${[...ids].join(", ")}`)
    // an embedding says nothing but whose it is
    const flaw = name.endsWith("embeddings") && heard === `${question.id}/`
      ? undefined
      : flawOf(question, heard, isFinished && failed === undefined && !hasLeft)
    if (flaw !== undefined) wrong(flaw)

    const how = this.endingOf(failed, { hasLeft, isFinished, signal }, name, wrong)
    if (isCalm && !hasLeft && !signal.aborted) tally.calm.add(how)
  }

  /** Counts how a call ended, and says so. */
  private endingOf(
    failed: { readonly error: unknown } | undefined,
    seen: { readonly hasLeft: boolean; readonly isFinished: boolean; readonly signal: AbortSignal },
    name: string,
    wrong: (what: string) => void
  ): string {
    const { tally } = this
    const { hasLeft, isFinished, signal } = seen
    if (failed === undefined) {
      if (hasLeft) tally.left.add("broke out of the loop")
      else if (isFinished) tally.whole.add(name)
      // the official client ends the loop of whoever aborts
      else if (signal.aborted && name.startsWith("openai")) tally.left.add("aborted")
      else wrong("ended in silence, and not whole")
      return "whole"
    }
    const { error } = failed
    const known = nameOf(error)
    if (known !== undefined) {
      tally.errors.add(known)
      return known
    }
    if (signal.aborted && isAbort(error, signal.reason)) {
      tally.left.add(name.startsWith("effect") ? "interrupted" : "aborted")
      return "left"
    }
    wrong(`failed with what nobody documents: ${describe(error)}`)
    return "undocumented"
  }

  /** A call that does not end is told of, and left behind. */
  private async inTime<A>(ended: Promise<A>, limit: number, wrong: (what: string) => void): Promise<A | undefined> {
    let timer: NodeJS.Timeout | undefined
    const overdue = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        wrong("never ended")
        resolve(undefined)
      }, limit)
    })
    const first = await Promise.race([ended, overdue])
    clearTimeout(timer)
    return first
  }
}

const describe = (error: unknown): string =>
  error instanceof Error
    ? `${error.name}: ${error.message} ${error.stack?.split("\n")[1]?.trim() ?? ""}`
    : String(error)
