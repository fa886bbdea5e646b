/**
 * Who may come in: the holders of the gateway's own keys, and what each has used of its limits.
 *
 * Keys are known by their SHA-256 alone. All of them are compared, each in constant time, so that how long it takes tells
 * nothing of how much of a key was right.
 */
import type { GatewayConfig, Usage } from "@evenkeel/core"
import { Quota, type Reservation } from "@evenkeel/core/internal"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"

type KeyConfig = GatewayConfig["keys"][number]

/** Why a request is not let in now. */
export interface Refusal {
  readonly limit: "tokens" | "requests" | "streams"
  /** Milliseconds after which it may be tried again; `undefined` where it needs more than there ever is. */
  readonly retryAfter: number | undefined
}

/** What a request that was let in holds, until it is settled, once. */
export interface Admission {
  /** What it reserved of its limits, where it has any. */
  readonly reserved: { readonly quota: Quota; readonly reservation: Reservation } | undefined
  readonly isStream: boolean
}

/** What the holder of a key uses, and may use, a minute. */
export interface TenantSnapshot {
  readonly name: string
  readonly streams: number
  readonly tokens: { readonly used: number; readonly limit: number | undefined }
  readonly requests: { readonly used: number; readonly limit: number | undefined }
}

/** How soon a stream may be asked for again, in milliseconds: nobody knows when another ends. */
const STREAM_RETRY = 1000

/**
 * The holder of a key. Times are milliseconds of a monotonic clock.
 */
export class Tenant {
  readonly name: string
  isOperator = false
  /** Models that it may use; `undefined` for all. */
  models: ReadonlySet<string> | undefined
  /** Streams under way. */
  streams = 0
  private maxStreams = Infinity
  private quota: Quota | undefined

  constructor(name: string) {
    this.name = name
  }

  /** Takes over limits; what was used stays used. */
  configure({ models, operator, rpm, streams, tpm }: KeyConfig): void {
    this.isOperator = operator
    this.models = models === undefined ? undefined : new Set(models)
    this.maxStreams = streams ?? Infinity
    if (tpm === undefined && rpm === undefined) {
      this.quota = undefined
      return
    }
    // what was reserved too much comes back, as on no standard deployment: a tenant is billed for what it used
    this.quota ??= new Quota({ provisioned: true, requestSlice: WINDOW, headerMaxAge: 0 })
    this.quota.configure(tpm, rpm)
  }

  snapshot(now: number): TenantSnapshot {
    const { name, quota, streams } = this
    return {
      name,
      streams,
      tokens: { used: quota?.ownTokens.sum(now) ?? 0, limit: limitOf(quota?.tokenLimit) },
      requests: { used: quota?.ownRequests.sum(now) ?? 0, limit: limitOf(quota?.requestLimit) }
    }
  }

  /** Lets a request in, or says why not. */
  admit(now: number, tokens: number, isStream: boolean): Admission | Refusal {
    if (isStream && this.streams >= this.maxStreams) return { limit: "streams", retryAfter: STREAM_RETRY }
    const { quota } = this
    // the ledger of a deployment lets such a one through where nothing else is under way
    const isTooLarge = quota !== undefined && tokens > quota.tokenLimit
    if (quota !== undefined && (isTooLarge || !quota.fits(now, tokens))) {
      const limit = !isTooLarge && quota.ownRequests.sum(now) + 1 > quota.requestLimit ? "requests" : "tokens"
      return { limit, retryAfter: isTooLarge ? undefined : Math.max(1, Math.ceil(quota.timeUntilFits(now, tokens))) }
    }
    if (isStream) this.streams++
    const reserved = quota === undefined ? undefined : { quota, reservation: quota.reserve(now, tokens) }
    return { reserved, isStream }
  }

  /** A request that was let in has ended: with what it billed, where that is known; or nothing of it was sent. */
  settle({ isStream, reserved }: Admission, now: number, usage: Usage | "unsent" | undefined): void {
    if (isStream) this.streams--
    if (reserved === undefined) return
    const { quota, reservation } = reserved
    if (usage === "unsent") quota.refund(reservation, now)
    else quota.settle(reservation, now, usage && usage.promptTokens + usage.completionTokens)
  }
}

const WINDOW = 60_000

const limitOf = (limit: number | undefined): number | undefined => limit === Infinity ? undefined : limit

/**
 * All of them. Without any key everybody is let in, as nobody in particular.
 */
export class Tenants {
  /** By SHA-256. */
  private byHash: ReadonlyArray<{ readonly hash: Buffer; readonly tenant: Tenant }> = []
  private readonly everybody = new Tenant("everybody")

  constructor(keys: GatewayConfig["keys"]) {
    this.everybody.isOperator = true
    this.configure(keys)
  }

  /** Whether a key is asked for. */
  get isClosed(): boolean {
    return this.byHash.length > 0
  }

  /** Takes over other keys. A holder of the same name is the same, with what it used. */
  configure(keys: GatewayConfig["keys"]): void {
    const known = new Map(this.byHash.map(({ tenant }) => [tenant.name, tenant]))
    this.byHash = keys.map((config) => {
      const tenant = known.get(config.name) ?? new Tenant(config.name)
      tenant.configure(config)
      const hash = config.sha256 === undefined
        ? hashOf(Redacted.value(config.key!))
        : Buffer.from(config.sha256, "hex")
      return { hash, tenant }
    })
  }

  /** What each holds now, for the operator. */
  snapshot(now: number): ReadonlyArray<TenantSnapshot> {
    return this.byHash.map(({ tenant }) => tenant.snapshot(now))
  }

  /** Whose key it is: `Authorization: Bearer`, or Azure's `api-key`. */
  find(authorization: string | undefined, apiKey: string | undefined): Tenant | undefined {
    if (!this.isClosed) return this.everybody
    const given = /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1] ?? apiKey?.trim()
    if (given === undefined || given === "") return undefined
    const hash = hashOf(given)
    let found: Tenant | undefined
    for (const one of this.byHash) if (timingSafeEqual(one.hash, hash)) found = one.tenant
    return found
  }
}

const hashOf = (key: string): Buffer => createHash("sha256").update(key).digest()
