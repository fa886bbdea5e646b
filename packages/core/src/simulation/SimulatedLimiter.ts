/**
 * Admission as the service does it: tokens and requests on standard deployments, a leaky bucket on provisioned ones.
 *
 * A standard deployment adds an estimate (prompt and output limit) to a token window and one to the request windows,
 * and never takes any of it back. A provisioned one adds the estimate to a bucket that drains all the time, refuses
 * above 100 %, and corrects the estimate both ways when the answer ends.
 */

/**
 * How one deployment is limited.
 */
export interface LimiterOptions {
  /** Tokens a minute: the limit of a standard deployment, the drain of a provisioned one. Absent: no limit. */
  readonly tpm?: number | undefined
  /** Requests a minute. Absent: no limit. Not used by provisioned deployments. */
  readonly rpm?: number | undefined
  readonly provisioned?: boolean | undefined
  /**
   * `sliding` (default): the last 60 s. `fixed`: whole minutes, beginning at a phase of the deployment's own. `bucket`:
   * what was used comes back continuously, all of a minute's limit in a minute, and no short slice is kept unless one is
   * given.
   */
  readonly window?: "sliding" | "fixed" | "bucket" | undefined
  /**
   * Whether a request of more tokens than a minute holds is refused, as OpenAI does. Default: it is admitted when nothing
   * else is in use, as on Azure.
   */
  readonly refusesTooLarge?: boolean | undefined
  /** Where whole minutes begin, in ms, for `fixed`. Default: each deployment has its own. */
  readonly phaseMs?: number | undefined
  /** The short slice in which requests are limited too: 10,000 (default) or 1,000 ms. 0, or a bucket's default: none. */
  readonly requestSliceMs?: number | undefined
  /** How much a provisioned deployment's bucket holds, as time of its drain. Default 10,000 ms. */
  readonly burstMs?: number | undefined
}

/**
 * Why a request was not admitted, and when one like it would be.
 */
export interface Refusal {
  /** `size`: no waiting mends that the request is larger than the limit. */
  readonly limit: "tokens" | "requests" | "utilization" | "size"
  /** `Infinity` for one that is too large. */
  readonly retryAfterMs: number
  /** What was in use before this request. */
  readonly used: number
}

/**
 * What is in use now.
 */
export interface LimiterUsage {
  /** The limit in force, if there is one. */
  readonly tpm: number | undefined
  readonly rpm: number | undefined
  /** Tokens charged in the window now; the bucket's level for a provisioned deployment. */
  readonly tokens: number
  readonly requests: number
  /** Milliseconds until nothing of it is left. */
  readonly tokensResetMs: number
  readonly requestsResetMs: number
  /** Share of the token limit in use, 1 being all of it; 0 without a limit. */
  readonly utilization: number
}

/**
 * Admission of one deployment.
 */
export interface SimulatedLimiter {
  /** Charges a request, or says why not. Nothing is charged for a refused one. */
  readonly admit: (tokens: number, now: number) => Refusal | undefined
  /** Corrects a charge by the difference to what was used. Does nothing on a standard deployment. */
  readonly correct: (difference: number, now: number) => void
  /** Adds use by other clients of the same quota, which is never refused. */
  readonly consume: (tokens: number, requests: number, now: number) => void
  /** Changes the limits while the service runs. What is in the windows stays. */
  readonly setLimits: (limits: { readonly tpm?: number | undefined; readonly rpm?: number | undefined }) => void
  readonly usage: (now: number) => LimiterUsage
}

/**
 * Creates the admission of one deployment.
 */
export const make = (options: LimiterOptions): SimulatedLimiter =>
  options.provisioned === true ? makeProvisioned(options) : makeStandard(options)

const minute = 60_000

const makeStandard = (options: LimiterOptions): SimulatedLimiter => {
  let { rpm, tpm } = options
  const sliceMs = options.requestSliceMs ?? (options.window === "bucket" ? 0 : 10_000)
  const makeWindow = (length: number, limit: () => number | undefined): Window => {
    switch (options.window) {
      case "fixed":
        return makeFixed(length, options.phaseMs ?? 0)
      case "bucket":
        return makeBucket(length, limit)
      default:
        return makeSliding(length)
    }
  }
  const sliceLimitOf = (rpm: number): number =>
    sliceMs === 0 ? Infinity : Math.max(1, Math.ceil(rpm * sliceMs / minute))
  const tokensUsed = makeWindow(minute, () => tpm)
  const requestsUsed = makeWindow(minute, () => rpm)
  const sliceUsed = makeWindow(sliceMs, () => rpm === undefined ? undefined : sliceLimitOf(rpm))

  return {
    admit(tokens, now) {
      if (rpm !== undefined) {
        const sliceLimit = sliceLimitOf(rpm)
        const used = requestsUsed.used(now)
        if (used + 1 > rpm || sliceUsed.used(now) + 1 > sliceLimit) {
          const freeAt = Math.max(requestsUsed.freeAt(1, rpm, now), sliceUsed.freeAt(1, sliceLimit, now))
          return { limit: "requests", retryAfterMs: Math.max(1, freeAt - now), used }
        }
      }
      const inUse = tokensUsed.used(now)
      if (options.refusesTooLarge === true && tpm !== undefined && tokens > tpm) {
        return { limit: "size", retryAfterMs: Infinity, used: inUse }
      }
      // The limit is checked against what is in use: a request larger than it is admitted when nothing else is.
      if (tpm !== undefined && inUse > 0 && inUse + tokens > tpm) {
        const freeAt = tokensUsed.freeAt(tokens, tpm, now)
        return { limit: "tokens", retryAfterMs: Math.max(1, freeAt - now), used: inUse }
      }
      tokensUsed.add(tokens, now)
      requestsUsed.add(1, now)
      sliceUsed.add(1, now)
      return undefined
    },
    correct() {},
    consume(tokens, requests, now) {
      tokensUsed.add(tokens, now)
      requestsUsed.add(requests, now)
      sliceUsed.add(requests, now)
    },
    setLimits(limits) {
      tpm = limits.tpm ?? tpm
      rpm = limits.rpm ?? rpm
    },
    usage(now) {
      const tokens = tokensUsed.used(now)
      return {
        tpm,
        rpm,
        tokens,
        requests: requestsUsed.used(now),
        tokensResetMs: tokensUsed.emptyAt(now) - now,
        requestsResetMs: requestsUsed.emptyAt(now) - now,
        utilization: tpm === undefined ? 0 : tokens / tpm
      }
    }
  }
}

const makeProvisioned = (options: LimiterOptions): SimulatedLimiter => {
  let { tpm } = options
  const bucket = makeBucket(minute, () => tpm)
  const size = (): number => (tpm ?? Infinity) * (options.burstMs ?? 10_000) / minute

  return {
    admit(tokens, now) {
      const used = bucket.used(now)
      if (used > size()) {
        return { limit: "utilization", retryAfterMs: Math.max(1, bucket.freeAt(0, size(), now) - now), used }
      }
      bucket.add(tokens, now)
      return undefined
    },
    correct: bucket.add,
    consume: (tokens, _requests, now) => bucket.add(tokens, now),
    setLimits(limits) {
      tpm = limits.tpm ?? tpm
    },
    usage(now) {
      const tokens = bucket.used(now)
      const tokensResetMs = bucket.emptyAt(now) - now
      return {
        tpm,
        rpm: undefined,
        tokens,
        requests: 0,
        tokensResetMs,
        requestsResetMs: 0,
        utilization: tokens / size()
      }
    }
  }
}

/**
 * What was used in the last stretch of time.
 */
interface Window {
  readonly used: (now: number) => number
  readonly add: (amount: number, now: number) => void
  /** The first time at which `amount` fits beside what is in use, or at which nothing is. */
  readonly freeAt: (amount: number, limit: number, now: number) => number
  readonly emptyAt: (now: number) => number
}

const makeSliding = (length: number): Window => {
  let times: Array<number> = []
  let amounts: Array<number> = []
  let head = 0
  let total = 0
  const forget = (now: number): void => {
    while (head < times.length && times[head]! + length <= now) total -= amounts[head++]!
    if (head > 1_024 && head * 2 > times.length) {
      times = times.slice(head)
      amounts = amounts.slice(head)
      head = 0
    }
  }
  return {
    used(now) {
      forget(now)
      return total
    },
    add(amount, now) {
      if (amount <= 0 || length === 0) return
      forget(now)
      times.push(now)
      amounts.push(amount)
      total += amount
    },
    freeAt(amount, limit, now) {
      forget(now)
      let left = total
      let at = now
      for (let i = head; i < times.length && left > 0 && left + amount > limit; i++) {
        left -= amounts[i]!
        at = times[i]! + length
      }
      return at
    },
    emptyAt(now) {
      forget(now)
      return head === times.length ? now : times[times.length - 1]! + length
    }
  }
}

/** What was used drains evenly, the limit in `length`. Where there is none, nothing is kept. */
const makeBucket = (length: number, limitOf: () => number | undefined): Window => {
  let level = 0
  let drainedAt = 0
  const drain = (now: number): number => {
    const limit = limitOf()
    level = limit === undefined || length === 0
      ? 0
      : Math.max(0, level - Math.max(0, now - drainedAt) * limit / length)
    drainedAt = Math.max(now, drainedAt)
    return level
  }
  const timeOf = (amount: number): number => Math.ceil(amount * length / (limitOf() ?? Infinity))
  return {
    used: drain,
    add(amount, now) {
      level = Math.max(0, drain(now) + amount)
    },
    freeAt: (amount, limit, now) => now + timeOf(Math.max(0, drain(now) - Math.max(0, limit - amount))),
    emptyAt: (now) => now + timeOf(drain(now))
  }
}

const makeFixed = (length: number, phase: number): Window => {
  let began = -Infinity
  let total = 0
  const beginningOf = (now: number): number => length === 0 ? now : now - (((now - phase) % length) + length) % length
  const used = (now: number): number => {
    const begins = beginningOf(now)
    if (begins !== began) {
      began = begins
      total = 0
    }
    return total
  }
  return {
    used,
    add(amount, now) {
      total = used(now) + amount
    },
    freeAt: (amount, limit, now) => used(now) === 0 || used(now) + amount <= limit ? now : beginningOf(now) + length,
    emptyAt: (now) => used(now) === 0 ? now : beginningOf(now) + length
  }
}
