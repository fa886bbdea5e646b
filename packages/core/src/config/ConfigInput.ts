/**
 * What a user writes: the configuration as an object literal, as YAML or as JSON.
 *
 * Everything that has a default may be left out. A duration is a text such as `"10 seconds"`, a number of milliseconds,
 * or a `Duration`.
 *
 * It is written down and not derived from the schema, as this is where an editor finds what it shows of a key: TypeScript
 * 7.0 shows no comment of a key whose type is derived (its 7.1 does). Tests see to it that the schema takes the same.
 */
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"
import type { PriceList } from "./Prices.ts"

/**
 * A span of time: `"500 millis"`, `"10 seconds"`, `"5 minutes"`, a number of milliseconds, or a `Duration`.
 *
 * @category models
 */
export type DurationInput = number | `${number} ${Duration.Unit}` | Duration.Duration

/**
 * The whole configuration.
 *
 * **Example** (Two regions, one of them provisioned)
 *
 * ```ts
 * const config: ConfigInput = {
 *   resources: [
 *     {
 *       name: "eastus",
 *       provider: "azure",
 *       endpoint: "https://my-east.openai.azure.com",
 *       apiKey: process.env.EAST_KEY!,
 *       deployments: [{ name: "gpt-4o-ptu", model: "gpt-4o", provisioned: true }]
 *     },
 *     {
 *       name: "sweden",
 *       provider: "azure",
 *       endpoint: "https://my-sweden.openai.azure.com",
 *       auth: "entra",
 *       deployments: [{ name: "gpt-4o", tier: 2, tpm: 300_000, rpm: 1_800 }]
 *     }
 *   ],
 *   timeouts: { total: "2 minutes" }
 * }
 * ```
 *
 * @category models
 */
export interface ConfigInput {
  /** At least one. */
  readonly resources: ReadonlyArray<ResourceInput>
  /** Name of the resource for endpoints that name no model, such as files and batches. Default: the first. */
  readonly defaultResource?: string | undefined
  readonly session?: SessionInput | undefined
  readonly health?: HealthInput | undefined
  readonly failover?: FailoverInput | undefined
  readonly timeouts?:
    | TimeoutsInput & {
      /** Time limits of single models, over those of all: `{ "gpt-4o-mini": { firstContent: "1 minute" } }`. */
      readonly models?: { readonly [model: string]: TimeoutsInput } | undefined
    }
    | undefined
  /** Reserved: hedging has no settings yet. */
  readonly hedging?: Readonly<Record<string, never>> | undefined
  readonly quota?: QuotaInput | undefined
  /**
   * Where this process meets others that use the same deployments, so that they act as one. Without it, which is right
   * for one process, nothing is shared. Needs `@evenkeel/node` and the package `redis`.
   */
  readonly fleet?: FleetInput | undefined
  /** How `evenkeel serve` listens, and who may come in. No other door reads it. */
  readonly gateway?: GatewayInput | undefined
}

/**
 * The gateway, `evenkeel serve`: the balancer behind HTTP, for programs in any language.
 *
 * @category models
 */
export interface GatewayInput {
  /** The interface to listen on. Default: `127.0.0.1`, which only this machine reaches; any other needs `keys`. */
  readonly host?: string | undefined
  /** Default: 4000. 0 for any that is free. */
  readonly port?: number | undefined
  /**
   * A port of their own for the operator's pages (`/`, `/status`, `/metrics`, `/explain`), where no key is asked for: let
   * only your own network reach it. Without it they are on the port of the API, for the keys of operators.
   */
  readonly operator?: { readonly host?: string | undefined; readonly port: number } | undefined
  /** Who may come in. Without any, everybody on this machine. */
  readonly keys?: ReadonlyArray<GatewayKeyInput> | undefined
  /** Bytes that a request's body may have; more is answered 413. Default: 33,554,432 (32 MiB). */
  readonly maxBody?: number | undefined
  /** Bytes that the bodies of all requests under way may have together; more is answered 503. Default: 1,073,741,824 (1 GiB). */
  readonly maxBodies?: number | undefined
  /** Bytes that a request's headers may have; more is answered 431. Default: 16,384. */
  readonly maxHeaders?: number | undefined
  /** Connections that may be open; one more takes the place of an idle one, else it is answered 503. Default: 10,000. */
  readonly maxConnections?: number | undefined
  /** Requests that may be under way, those that wait included; more are answered 503. Default: 2,000. */
  readonly maxRequests?: number | undefined
  /** Within which a request has to be there whole, headers and body; else it is answered 408. Default: 60 seconds. */
  readonly receive?: DurationInput | undefined
  /** Within which a client has to read something of an answer that is there; else it is cut off. Default: 60 seconds. */
  readonly stall?: DurationInput | undefined
  /** For which a connection without a request is kept. Default: 65 seconds, longer than load balancers keep theirs. */
  readonly keepAlive?: DurationInput | undefined
  /** For which answers under way may take to end once the gateway is told to stop. Default: 30 seconds. */
  readonly grace?: DurationInput | undefined
}

/**
 * A key of the gateway's own, and what its holder may do.
 *
 * @category models
 */
export interface GatewayKeyInput {
  /** Shown in logs and metrics in place of the key. Unique. */
  readonly name: string
  /** The SHA-256 of the key in hexadecimal, so that the file holds no secret: `evenkeel key` makes a key and prints both. */
  readonly sha256?: string | undefined
  /** The key itself, as a reference to a variable: `${TEAM_A_KEY}`. */
  readonly key?: string | Redacted.Redacted<string> | undefined
  /** Whether it opens the operator's pages, too. Default: false. */
  readonly operator?: boolean | undefined
  /**
   * Models that it may use. Default: all. With a list, endpoints that name no model (files, batches) are closed to it, but
   * for what belongs to a response.
   */
  readonly models?: ReadonlyArray<string> | undefined
  /** Tokens and requests a minute. Default: no limit of its own. */
  readonly tpm?: number | undefined
  readonly rpm?: number | undefined
  /** Streams at a time. Default: no limit. */
  readonly streams?: number | undefined
}

/**
 * A Redis or Valkey at which processes share what each of them knows: how much of each quota they used, and what is to be
 * left alone. No prompt, completion, key or session. No request waits for it, and where it fails each goes on alone.
 *
 * @category models
 */
export interface FleetInput {
  /**
   * Its URL: `redis://host:6379`, or with TLS, a user of its access list and a database `rediss://user:password@host:6380/0`.
   * Kept as a secret.
   */
  readonly redis: string | Redacted.Redacted<string>
  /** How the names of its keys begin: fleets that shall know nothing of each other have different ones. Default: `evenkeel`. */
  readonly prefix?: string | undefined
  /** Whether it is a Cluster; the URL is then that of any of its nodes. Default: false. */
  readonly cluster?: boolean | undefined
  /** `entra`: with a token of Microsoft Entra ID in place of a password, as Azure Managed Redis takes it. */
  readonly auth?: "entra" | undefined
}

/**
 * An Azure OpenAI resource, an OpenAI project, or a service that speaks OpenAI's API.
 *
 * @category models
 */
export interface ResourceInput {
  /** Unique, without `/`. It appears in logs, metrics and errors. */
  readonly name: string
  readonly provider: "azure" | "openai" | "compatible"
  /**
   * - azure: the resource's address, such as `https://my-east.openai.azure.com`. Required.
   * - openai: defaults to `https://api.openai.com/v1`.
   * - compatible: the base URL, such as `http://localhost:8000/v1`. Required.
   */
  readonly endpoint?: string | undefined
  /** A date such as `2024-10-21` chooses Azure's classic API; left out, or `v1`, its v1 API. Azure only. */
  readonly apiVersion?: string | undefined
  /** Where it is, for logs and metrics. */
  readonly region?: string | undefined
  /** The key. Give this or `auth`; a compatible service may have neither. */
  readonly apiKey?: string | Redacted.Redacted<string> | undefined
  /** `"entra"` for Entra ID (azure only), or a function that gives a bearer token whenever it is asked. */
  readonly auth?: "entra" | (() => string | Promise<string>) | undefined
  /** Scope of the Entra ID token. Default: `https://ai.azure.com/.default`. */
  readonly scope?: string | undefined
  /**
   * Headers that every request to it carries, and no other resource's does, such as `Ocp-Apim-Subscription-Key` for an API
   * gateway. Their values are kept as secrets. Not those that the balancer sets, such as `authorization` and `api-key`.
   */
  readonly headers?: { readonly [name: string]: string | Redacted.Redacted<string> } | undefined
  /**
   * URL of the proxy to it, such as `http://user:password@proxy.example:3128`, or `"none"` for none. Default, on Node:
   * what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
   */
  readonly proxy?: string | Redacted.Redacted<string> | undefined
  readonly tls?: TlsInput | undefined
  /** Allows plain `http:` to another machine. Default: false, which allows it to this machine only. */
  readonly allowInsecure?: boolean | undefined
  /**
   * Whether chat streams ask for their usage (`stream_options.include_usage`) where their caller does not say, so that
   * tokens and costs are known; its chunk is taken out. What a caller says is kept. False for a service that minds: one that
   * refuses it is found out, at one more send an hour. Default: true.
   */
  readonly streamUsage?: boolean | undefined
  /** At least one, except for openai, where leaving it out serves every model. */
  readonly deployments?: ReadonlyArray<DeploymentInput> | undefined
}

/**
 * TLS to one resource, on Node. Its certificate is always verified.
 *
 * @category models
 */
export interface TlsInput {
  /** Certificates, in PEM, that are trusted in place of the well-known ones: a company's own authority. */
  readonly ca?: string | ReadonlyArray<string> | undefined
  /** The client's own certificate, in PEM. With `key`. */
  readonly cert?: string | undefined
  /** The private key of `cert`, in PEM, not encrypted. */
  readonly key?: string | Redacted.Redacted<string> | undefined
  /** The name that is asked for and verified, where it is not that of the endpoint. */
  readonly servername?: string | undefined
}

/**
 * One model deployed on one resource.
 *
 * @category models
 */
export interface DeploymentInput {
  /** Azure: the deployment's name. Elsewhere the model's, or `"*"` for every model. Unique in the resource. */
  readonly name: string
  /** The model that callers ask for. Default: `name`. */
  readonly model?: string | undefined
  /** Priority, 1 first. Default: 1. */
  readonly tier?: number | undefined
  /** Provisioned throughput (PTU). Default: false. */
  readonly provisioned?: boolean | undefined
  /** Share of the traffic relative to equals. Default: 1. */
  readonly weight?: number | undefined
  /**
   * Name of a quota that it shares with all deployments of its model that name it too, such as a subscription's over all
   * regions: limits that one of them gives are those of all. Not for provisioned throughput. Default: a quota of its own,
   * unless counters are seen to fall together.
   */
  readonly pool?: string | undefined
  /** Quota in tokens a minute. Default: what the service's headers tell. */
  readonly tpm?: number | undefined
  /** Quota in requests a minute. Default: what the service's headers tell. */
  readonly rpm?: number | undefined
  /**
   * What its tokens cost, in USD per million, in place of what any table of prices says; for a provisioned deployment
   * too. Default: none.
   */
  readonly price?: PriceList | undefined
}

/**
 * How sessions are kept at their prompt cache.
 *
 * @category models
 */
export interface SessionInput {
  /** Sessions remembered. Default: 10,000. */
  readonly capacity?: number | undefined
  /** How long a silent session is remembered. Default: 10 minutes. */
  readonly idle?: DurationInput | undefined
  /** Load, relative to the mean, above which a home sends its sessions elsewhere. At least 1. Default: 1.25. */
  readonly loadBound?: number | undefined
  /**
   * Requests a minute of one session that one deployment gets; what is more goes to further ones, since a prompt cache is
   * not warm for more. 0 for as many as there are. Default: 15.
   */
  readonly maxRate?: number | undefined
}

/**
 * When a deployment is taken out, and how it comes back.
 *
 * @category models
 */
export interface HealthInput {
  /** Failures in a row that open a breaker. Default: 5. */
  readonly consecutiveFailures?: number | undefined
  /** Share of successes below which a breaker opens, 0 to 1. Default: 0.8. */
  readonly successRatio?: number | undefined
  /** Samples in the window before `successRatio` counts. Default: 5. */
  readonly minimumSamples?: number | undefined
  /** Window of `successRatio`. Default: 30 seconds. */
  readonly window?: DurationInput | undefined
  /** How long a breaker stays open the first time; it doubles. Default: 5 seconds. */
  readonly openFor?: DurationInput | undefined
  /** Longest time a breaker stays open. Default: 5 minutes. */
  readonly maxOpenFor?: DurationInput | undefined
  /** Pause after a 429 that names no time. Default: 10 seconds. */
  readonly cooldown?: DurationInput | undefined
  /** A pause longer than this lets one request in per this time, as a probe. Default: 5 minutes. */
  readonly maxCooldown?: DurationInput | undefined
  /** Time in which a recovered or new deployment comes up to its full share; 0 for none. Default: 30 seconds. */
  readonly slowStart?: DurationInput | undefined
  /** Share at which slow start begins, 0 to 1. Default: 0.1. */
  readonly slowStartFloor?: number | undefined
  readonly check?: HealthCheckInput | undefined
}

/**
 * Active checks of idle or failing deployments.
 *
 * @category models
 */
export interface HealthCheckInput {
  /**
   * - `models`: lists the models. Free; proves name, TLS and key.
   * - `path`: asks for `path`. Free.
   * - `completion`: asks for one token. Costs a little, and is the only check that closes a deployment's breaker.
   * - `none`: no checks.
   *
   * Default: `models`.
   */
  readonly kind?: "models" | "path" | "completion" | "none" | undefined
  /** For `kind: "path"`: a path below the API's base, such as `/models`. */
  readonly path?: string | undefined
  /** Default: 30 seconds. */
  readonly interval?: DurationInput | undefined
  /** Default: 10 seconds. */
  readonly timeout?: DurationInput | undefined
}

/**
 * How a request moves on after a failure.
 *
 * @category models
 */
export interface FailoverInput {
  /** Attempts per request, the first included. Default: 3. */
  readonly attempts?: number | undefined
  /** Longest wait for a throttled deployment; 0 for none. Default: 10 seconds. */
  readonly maxWait?: DurationInput | undefined
  /** Requests to one model that may wait at a time, where tenants take turns; those beyond fail at once. Default: 1000. */
  readonly maxWaiting?: number | undefined
  /** Retries as a share of requests, 0 to 1. Default: 0.2. */
  readonly budgetRatio?: number | undefined
  /** Retries a second that are always granted. Default: 1. */
  readonly budgetPerSecond?: number | undefined
  /**
   * Whether a stream whose first token comes later than that of 19 in 20 is asked for beside, of another deployment. The
   * first to begin wins. It costs what the loser had begun, and draws on the retry budget. Default: false.
   */
  readonly hedge?: boolean | undefined
  /** First wait before the same deployment is tried again; it doubles. Default: 500 millis. */
  readonly backoff?: DurationInput | undefined
  /** Longest such wait. Default: 8 seconds. */
  readonly maxBackoff?: DurationInput | undefined
}

/**
 * Time limits of one request.
 *
 * @category models
 */
export interface TimeoutsInput {
  /** Name, TCP and TLS. Default: 10 seconds. */
  readonly connect?: DurationInput | undefined
  /** The whole request, over all attempts. Default: 30 minutes. */
  readonly total?: DurationInput | undefined
  /**
   * Streams: until the first event. Default: 60 seconds for the responses API, which begins at once; elsewhere nothing need
   * come before content, so that `firstContent` is the limit.
   */
  readonly firstEvent?: DurationInput | undefined
  /** Streams: until the first content. Default: 30 minutes. */
  readonly firstContent?: DurationInput | undefined
  /** Streams: between two events after that. Default: 2 minutes. */
  readonly idle?: DurationInput | undefined
}

/**
 * How quota is counted.
 *
 * @category models
 */
export interface QuotaInput {
  /** Share of a quota in use above which a deployment is hot, up to 1. Default: 0.85. */
  readonly hot?: number | undefined
  /** Slice of the minute over which requests are limited, up to a minute. Default: 10 seconds. */
  readonly requestSlice?: DurationInput | undefined
  /** Age above which a service's word about its quota is ignored. Default: 10 seconds. */
  readonly headerMaxAge?: DurationInput | undefined
}
