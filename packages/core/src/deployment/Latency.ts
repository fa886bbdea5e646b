/**
 * Latency as a ratio to what is expected, so that a long prompt on a fast deployment does not look slow.
 *
 * Streamed: time to first token over the uncached prompt. Not streamed: duration over the output tokens. Both become a
 * ratio to what the model's deployments took for the same size, of which each deployment keeps a PeakEWMA: up at once,
 * down slowly. Streams are timed to their end as well, so that one who decodes slowly is noticed. (Finagle's PeakEWMA; the sizes are those of reference simulations, where one unit of prompt is 7,000
 * tokens.)
 */

/**
 * What was timed, each with an expectation of its own: to the first token, to a whole answer, or from the first token to
 * the last.
 */
export type LatencyKind = "first-token" | "answer" | "decoding"

const PROMPT_UNIT = 7000
const OUTPUT_UNIT = 50
const MEMORY = 100

/** Past this many times what the slowest hundredth takes, something hangs. */
export const HANG_FACTOR = 3

/** Slower than another by this factor, a deployment is left whatever else speaks for it. */
export const FAR_SLOWER = 4

/**
 * Cost of a request relative to a tiny one of its kind.
 *
 * @param tokens uncached prompt tokens for `first-token`, output tokens for `answer` and `decoding`
 */
export const sizeOf = (kind: LatencyKind, tokens: number): number =>
  kind === "decoding"
    ? Math.max(1, tokens) / OUTPUT_UNIT
    : 1 + Math.max(0, tokens) / (kind === "first-token" ? PROMPT_UNIT : OUTPUT_UNIT)

/**
 * What a model's deployments take for one unit of size: a slow geometric mean for each kind, shared by all of them.
 */
export class ExpectedLatency {
  private readonly logs = { "first-token": 0, answer: 0, decoding: 0 }
  private readonly samples = { "first-token": 0, answer: 0, decoding: 0 }
  private readonly spread = {
    "first-token": new RatioHistogram(),
    answer: new RatioHistogram(),
    decoding: new RatioHistogram()
  }
  private lastAt: number | undefined
  private gaps = 0
  /** Mean time between two answers of the model, in milliseconds. */
  gap = 0

  /** An answer came. */
  answered(now: number): void {
    if (this.lastAt !== undefined) {
      this.gap += (Math.max(0, now - this.lastAt) - this.gap) / Math.min(++this.gaps, MEMORY)
    }
    this.lastAt = now
  }

  /** Takes in a measured time, in milliseconds, and returns it as a ratio to what was expected. */
  ratio(kind: LatencyKind, millis: number, size: number): number {
    const log = Math.log(Math.max(millis, 0.01) / size)
    const seen = this.samples[kind]++
    this.logs[kind] += (log - this.logs[kind]) / Math.min(seen + 1, MEMORY)
    const ratio = Math.exp(log - this.logs[kind])
    this.spread[kind].add(ratio)
    return ratio
  }

  /** The ratio that one answer in a hundred is slower than; `undefined` while too few were seen to say. */
  slowest(kind: LatencyKind): number | undefined {
    return this.spread[kind].quantile(0.99)
  }

  /** Milliseconds within which 19 of 20 requests of this size are answered; `undefined` while too few were seen to say. */
  usual(kind: LatencyKind, size: number): number | undefined {
    const ratio = this.spread[kind].quantile(0.95)
    const expected = this.expected(kind, size)
    return ratio === undefined || expected === undefined ? undefined : ratio * expected
  }

  /** The ratio of a time that is only a lower bound, such as an abandoned wait; it teaches nothing. */
  lowerBound(kind: LatencyKind, millis: number, size: number): number {
    return this.samples[kind] === 0 ? 1 : Math.exp(Math.log(Math.max(millis, 0.01) / size) - this.logs[kind])
  }

  /** Milliseconds expected for a request of this size; `undefined` before the first sample. */
  expected(kind: LatencyKind, size: number): number | undefined {
    return this.samples[kind] === 0 ? undefined : Math.exp(this.logs[kind]) * size
  }
}

const BUCKETS = 80
const PER_OCTAVE = 4
const LOWEST_OCTAVE = -6
const MIN_SAMPLES = 20
const MAX_SAMPLES = 2000

/** Histogram of ratios, four buckets to a doubling, that forgets by halves. */
class RatioHistogram {
  private readonly counts = new Float64Array(BUCKETS)
  private total = 0

  add(ratio: number): void {
    const index = Math.floor((Math.log2(ratio) - LOWEST_OCTAVE) * PER_OCTAVE)
    this.counts[Math.min(BUCKETS - 1, Math.max(0, index))]! += 1
    if (++this.total < MAX_SAMPLES) return
    this.total = 0
    for (let i = 0; i < BUCKETS; i++) {
      this.counts[i]! /= 2
      this.total += this.counts[i]!
    }
  }

  quantile(share: number): number | undefined {
    if (this.total < MIN_SAMPLES) return undefined
    let above = this.total * (1 - share)
    for (let i = BUCKETS - 1; i >= 0; i--) {
      above -= this.counts[i]!
      if (above < 0) return 2 ** ((i + 1) / PER_OCTAVE + LOWEST_OCTAVE)
    }
    return undefined
  }
}

/** As slow as anything is taken to be: what is slower is left no more, and would only be left for longer. */
const SLOWEST = 20

/** Answers that a typical one is the mean of, how many there must be, and how long it holds, in milliseconds. */
const TYPICAL_OF = 20
const TYPICAL_LEAST = 10
const TYPICAL_FOR = 300_000

/** A session counts again once so many others were heard: what one asks is no measure for all. */
const OTHERS_BETWEEN = 5

/** The mean of the ratios of one deployment of late. */
class TypicalRatio {
  private mean = 0
  private samples = 0
  private at = -Infinity
  private readonly latest = new Int32Array(OTHERS_BETWEEN)

  /** @param session hash of its session; 0 for none */
  add(ratio: number, session: number, now: number): void {
    if (session !== 0 && this.latest.includes(session | 0)) return
    this.latest[this.samples++ % OTHERS_BETWEEN] = session
    this.mean += (Math.min(ratio, SLOWEST) - this.mean) / Math.min(this.samples, TYPICAL_OF)
    this.at = now
  }

  /** It, where there were enough, and of late. */
  value(now: number): number | undefined {
    return this.samples < TYPICAL_LEAST || now - this.at > TYPICAL_FOR ? undefined : this.mean
  }
}

const DECAY = 10_000
const STRETCH = 10

/**
 * PeakEWMA of one deployment's latency ratios. It begins at 1, what its peers take, and returns there when nothing is
 * heard: an idle deployment is neither trusted for ever nor starved. The decay of 10 s is stretched to ten times the
 * time between samples where requests are rare: of the model's, not of its own, since one that is left because it is
 * slow hears little of itself.
 */
export class Latency {
  private value = 1
  private at = 0
  private decay = DECAY
  private samples = 0
  private newestStart = -Infinity
  /** What is typical of it, to compare others with. */
  readonly typical = new TypicalRatio()

  /** Ratio to the expected latency as of `now`, in milliseconds of a monotonic clock. */
  ratio(now: number): number {
    return this.samples === 0 ? 1 : 1 + (this.value - 1) * this.weight(now)
  }

  /**
   * Takes in a ratio: a higher one at once, a lower one slowly. One of an attempt that began before another that was
   * heard of already is older news, and is slow either way.
   *
   * @param startedAt when the attempt began
   * @param gap time between two samples of such a deployment, in milliseconds, where all get their share
   */
  observe(measured: number, now: number, startedAt = now, gap = 0): void {
    const ratio = Math.min(measured, SLOWEST)
    const isPeak = ratio > this.value && startedAt >= this.newestStart
    this.value = this.samples === 0 || isPeak ? ratio : ratio + (this.value - ratio) * this.weight(now)
    this.newestStart = Math.max(this.newestStart, startedAt)
    this.decay = Math.max(DECAY, STRETCH * gap)
    this.samples++
    this.at = now
  }

  /** Takes in a lower bound: it can only raise. */
  observeAtLeast(ratio: number, now: number, startedAt = now, gap = 0): void {
    if (ratio > this.ratio(now)) this.observe(ratio, now, startedAt, gap)
  }

  private weight(now: number): number {
    return Math.exp(-Math.max(0, now - this.at) / this.decay)
  }
}
