/**
 * A resource: an Azure OpenAI resource, an OpenAI project, or any endpoint that speaks OpenAI's language.
 *
 * It is the failure domain of name, TLS and authentication, owns the connection pool and the responses stored on it,
 * and is the only thing that knows its key. URLs are built here and nowhere else: of what a caller asks for, only path
 * and query are used, and the result cannot leave the resource's own base.
 */
import type { ResourceConfig } from "../config/Config.ts"
import type { Connection } from "../transport/Transport.ts"
import { Breaker, type BreakerOptions } from "./Breaker.ts"
import type { Cooldown } from "./Cooldown.ts"
import type { Credential } from "./Credential.ts"

/** Where a deployment is. */
export interface Place {
  readonly resource: string
  readonly provider: ResourceConfig["provider"]
  readonly region: string | undefined
  readonly tier: number
  /** Host name and port of the resource. */
  readonly address: string
  readonly port: number
}

/** Paths remembered: of the classic API each deployment has its own. */
const MAX_PATHS = 1000

/** Paths, below the API's base, that Azure's classic API scopes by deployment. */
const deploymentScoped = new Set([
  "/chat/completions",
  "/completions",
  "/embeddings",
  "/audio/transcriptions",
  "/audio/translations",
  "/audio/speech",
  "/images/generations",
  "/images/edits"
])

/** What most paths are: nothing to decode, and no segment that begins with a dot. */
const plainPath = /^(?:\/[\w~-][\w.~-]*)+$/

/**
 * Whether a path below the API's base is safe to append: absolute, with segments that no decoding turns into `..`, a
 * slash or a backslash, and with neither query nor fragment in it.
 */
export const isSafePath = (path: string): boolean => {
  if (plainPath.test(path)) return true
  if (!path.startsWith("/") || path.includes("?") || path.includes("#") || path.includes("\\")) return false
  for (const segment of path.slice(1).split("/")) {
    const decoded = decode(segment)
    if (decoded === undefined || decoded === "" || decoded === "." || decoded === "..") return false
    // a slash, a backslash or a dot hidden behind an escape, even a doubled one
    if (/[/\\]|%(?:2e|2f|5c|00)/i.test(decoded) || control.test(decoded)) return false
  }
  return true
}

const control = /[^\x20-\x7e\x80-\uffff]/

/** Parameters under which services take keys. One that was meant for a resource must not reach another. */
const credentials = new Set([
  "api-key",
  "api_key",
  "apikey",
  "key",
  "subscription-key",
  "ocp-apim-subscription-key",
  "access_token",
  "token",
  "code",
  "sig"
])

/** A caller's query without keys, without a fragment, and without a version: that is the resource's own affair. */
const crossingQuery = (query: string): string =>
  query.split("#", 1)[0]!.split("&").filter((parameter) => {
    const [written = ""] = parameter.split("=", 1)
    const name = (decode(written) ?? written).toLowerCase()
    return !credentials.has(name) && name !== "api-version"
  }).join("&")

const decode = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/**
 * Live state of a resource.
 */
export class Resource {
  readonly name: string
  readonly provider: ResourceConfig["provider"]
  /** As it was configured last. */
  config: ResourceConfig
  readonly origin: string
  readonly breaker: Breaker
  /** Of its endpoints besides those of its deployments. */
  readonly cooldowns = new Map<string, Cooldown>()
  readonly apiVersion: string | undefined
  readonly place: Omit<Place, "tier">
  /** Whether chat streams are asked for their usage. */
  readonly streamUsage: boolean
  /** When it last answered anything. */
  lastAnswerAt = -Infinity
  /** When it last did what it was asked, and how often in a row since its last answer the credential was denied. */
  lastSuccessAt = -Infinity
  deniedInARow = 0
  /** How it is reached, and until when. */
  connection: Connection
  readonly #removal = new AbortController()
  private readonly root: string
  private readonly base: string
  private readonly paths = new Map<string, string>()
  #credential: Credential

  constructor(config: ResourceConfig, credential: Credential, health: BreakerOptions) {
    const url = new URL(config.endpoint)
    const root = url.pathname.replace(/\/+$/, "")
    const { name, provider, region } = config
    const port = url.port === "" ? (url.protocol === "http:" ? 80 : 443) : Number(url.port)
    this.place = { resource: name, provider, region, address: url.hostname, port }
    this.root = root
    this.name = name
    this.provider = provider
    this.config = config
    this.origin = url.origin
    this.apiVersion = config.provider === "azure" ? config.apiVersion : undefined
    this.base = config.provider !== "azure"
      ? root
      : `${root}${this.apiVersion === undefined ? "/openai/v1" : "/openai"}`
    this.streamUsage = config.streamUsage
    this.breaker = new Breaker(health)
    this.#credential = credential
    this.connection = { proxy: config.proxy, tls: config.tls, removed: this.#removal.signal }
  }

  get credential(): Credential {
    return this.#credential
  }

  /** Takes a new credential; what the old one failed at is forgotten. */
  renewCredential(credential: Credential, now: number): void {
    this.#credential = credential
    this.deniedInARow = 0
    this.breaker.reset(now)
  }

  /** It did what it was asked. */
  succeeded(now: number): void {
    this.lastSuccessAt = now
    this.deniedInARow = 0
  }

  /** Takes another proxy or other TLS settings: for new connections, while those that are open end in their own time. */
  reconnect({ proxy, tls }: Pick<ResourceConfig, "proxy" | "tls">): void {
    this.connection = { proxy, tls, removed: this.#removal.signal }
  }

  /** It is no more part of the live set. */
  remove(): void {
    this.#removal.abort()
  }

  /** It answered: its name, its TLS and its key are good. */
  answered(epoch: number, now: number): void {
    this.lastAnswerAt = now
    this.deniedInARow = 0
    this.breaker.succeed(epoch, now)
  }

  /**
   * Path and query, at this resource, of an endpoint such as `/chat/completions`.
   *
   * @param deployment the deployment's name, where the endpoint is about a model
   * @throws RangeError when the path is not safe; callers check with `isSafePath` first
   */
  pathOf(path: string, query: string, deployment: string | undefined): string {
    // only what names a deployment recurs; anything else may hold an id, and would fill the memory
    if (query !== "" || deployment === undefined) return this.buildPath(path, query, deployment)
    // only the classic API has the deployment in it; a wildcard's names, of which it has none, have no end
    const key = this.apiVersion === undefined ? path : `${deployment}\n${path}`
    let built = this.paths.get(key)
    if (built === undefined) {
      built = this.buildPath(path, query, deployment)
      if (this.paths.size < MAX_PATHS) this.paths.set(key, built)
    }
    return built
  }

  private buildPath(path: string, query: string, deployment: string | undefined): string {
    if (!isSafePath(path)) throw new RangeError(`"${path}" is not a path of the API`)
    const scope = this.apiVersion !== undefined && deployment !== undefined && deploymentScoped.has(path)
      ? `/deployments/${encodeURIComponent(deployment)}`
      : ""
    const version = this.apiVersion === undefined ? "" : `api-version=${encodeURIComponent(this.apiVersion)}`
    const asked = query === "" ? "" : crossingQuery(query)
    const search = asked === "" ? version : version === "" ? asked : `${asked}&${version}`
    const whole = `${this.base}${scope}${path}${search === "" ? "" : `?${search}`}`
    const url = new URL(whole, this.origin)
    if (url.origin !== this.origin || !url.pathname.startsWith(`${this.base}/`)) {
      throw new RangeError(`"${path}" leaves the API's base`)
    }
    return url.pathname + url.search
  }

  /** Where it is, in lower case: its host, its port where that is not the usual one, and the path of a proxy before it. */
  get address(): string {
    return `${this.origin.replace(/^https?:\/\//, "")}${this.root}`.toLowerCase()
  }

  /** Paths below which clients that were made for it ask: its API's base, and for Azure that of either API. */
  get basePaths(): ReadonlyArray<string> {
    return this.provider === "azure" ? [`${this.root}/openai/v1`, `${this.root}/openai`] : [this.root]
  }
}
