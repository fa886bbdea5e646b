/**
 * Mistakes between values: names that must be unique, credentials that exclude each other, an endpoint that must fit its
 * provider.
 *
 * They are looked for in what the user wrote, whatever else is wrong with it, so that one report holds every mistake.
 * A value of the wrong type is passed over here: the schema reports it.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { ConfigIssue } from "../Errors.ts"
import { type Context, formatPath, isRecord, type Path, showText, suggest } from "./ConfigErrors.ts"
import { defaults } from "./ConfigSchema.ts"
import { readDuration } from "./ConfigValues.ts"
import * as Endpoint from "./Endpoint.ts"

export type Fields = Readonly<Record<PropertyKey, unknown>>

/** Where the rules put what they find. */
export interface Report {
  readonly add: (path: Path, message: string) => void
  /** What is shown of a value that came from a variable. */
  readonly labelOf: (path: Path) => string | undefined
}

/**
 * Every mistake that rules find in a configuration, of whatever kind it is.
 */
export const collect = (
  { input, references }: Context,
  rules: (input: Fields, report: Report) => void
): ReadonlyArray<ConfigIssue> => {
  if (!isRecord(input)) return []
  const issues: Array<ConfigIssue> = []
  rules(input, {
    add: (path, message) => void issues.push({ path: formatPath(path), message }),
    labelOf: (path) => references.get(formatPath(path))?.label
  })
  return issues
}

/**
 * Every mistake between values of a configuration.
 */
export const find = (context: Context): ReadonlyArray<ConfigIssue> => collect(context, between)

const between = (input: Fields, report: Report): void => {
  const resources = listAt(input, "resources")
  uniqueNames(resources, ["resources"], report)
  resources.forEach((resource, index) => {
    if (!isRecord(resource)) return
    const at = ["resources", index]
    // judged by the provider that was meant, so that a slip in its name hides nothing
    const meant = { ...resource, provider: providerMeant(resource.provider) }
    credential(meant, at, report)
    endpoint(meant, at, report)
    headers(meant, at, report)
    tls(meant, at, report)
    uniqueNames(listAt(meant, "deployments"), [...at, "deployments"], report)
    deployments(meant, at, report)
  })
  defaultResource(input.defaultResource, resources, report)
  pools(resources, report)
  notBelow(input, "health", "openFor", "maxOpenFor", report)
  notBelow(input, "health", "cooldown", "maxCooldown", report)
  notBelow(input, "failover", "backoff", "maxBackoff", report)
  check(fieldsAt(fieldsAt(input, "health"), "check"), report)
  fleet(fieldsAt(input, "fleet"), report)
  gateway(fieldsAt(input, "gateway"), report)
}

const fieldsAt = (fields: Fields, key: string): Fields => isRecord(fields[key]) ? fields[key] : {}

/** The list under a key; an empty one where there is none. */
export const listAt = (fields: Fields, key: string): ReadonlyArray<unknown> => {
  const value = fields[key]
  return Array.isArray(value) ? value : []
}

const nameOf = (item: unknown): string | undefined =>
  isRecord(item) && typeof item.name === "string" ? item.name : undefined

/** A value in quotes; the variable it came from instead, where it came from one. */
const shown = (value: string, path: Path, { labelOf }: Report): string => labelOf(path) ?? showText(value)

/** Finds names that are given twice. */
export const uniqueNames = (list: ReadonlyArray<unknown>, at: Path, report: Report): void => {
  const names = list.map(nameOf)
  names.forEach((name, index) => {
    const first = names.indexOf(name)
    if (name === undefined || first === index) return
    const path = [...at, index, "name"]
    const earlier = formatPath([...at, first])
    report.add(path, `${shown(name, path, report)} is already the name of ${earlier}; names must be unique`)
  })
}

const defaultResource = (wanted: unknown, resources: ReadonlyArray<unknown>, report: Report): void => {
  const names = resources.map((resource) => nameOf(resource)).filter((name) => name !== undefined)
  if (typeof wanted !== "string" || names.length === 0 || names.includes(wanted)) return
  const meant = suggest(wanted, names)
  const hint = meant === undefined
    ? "give the name of one"
    : `did you mean ${shown(meant, ["resources", names.indexOf(meant), "name"], report)}?`
  const path = ["defaultResource"]
  report.add(path, `${shown(wanted, path, report)} is not the name of a resource; ${hint}`)
}

/** Whoever shares a quota shares its limits. */
const pools = (resources: ReadonlyArray<unknown>, report: Report): void => {
  const given: Array<{ readonly of: string; readonly model: unknown; readonly value: unknown; readonly at: Path }> = []
  resources.forEach((resource, i) => {
    if (!isRecord(resource)) return
    listAt(resource, "deployments").forEach((deployment, j) => {
      if (!isRecord(deployment) || typeof deployment.pool !== "string") return
      const { model = deployment.name, pool, provisioned } = deployment
      const at = ["resources", i, "deployments", j]
      if (provisioned === true) {
        report.add([...at, "pool"], "is for quotas; provisioned throughput is its own. Remove it")
      }
      for (const limit of ["tpm", "rpm"]) {
        const value = deployment[limit]
        if (value === undefined) continue
        const of = `${limit} ${pool}`
        // what serves every model serves any of them, too
        const other = given.find((one) =>
          one.of === of && (one.model === model || one.model === "*" || model === "*") && one.value !== value
        )
        given.push({ of, model, value, at })
        if (other === undefined) continue
        const there = formatPath(other.at)
        const name = shown(pool, [...at, "pool"], report)
        report.add([...at, limit], `is not that of ${there}, though both draw on the pool ${name}; give one`)
      }
    })
  })
}

const notBelow = (input: Fields, section: "health" | "failover", low: string, high: string, { add }: Report): void => {
  const fields = fieldsAt(input, section)
  const fallback: Fields = defaults[section]
  const least = readDuration(fields[low] ?? fallback[low])
  const most = readDuration(fields[high] ?? fallback[high])
  if (least === undefined || most === undefined || most >= least) return
  const both = fields[high] === undefined ? `, and its default (${most / 1000} seconds) is; give both` : ""
  add([section, high], `must not be below \`${low}\`${both}`)
}

const check = ({ kind, path }: Fields, { add }: Report): void => {
  const at = ["health", "check", "path"]
  if (kind === "path" && path === undefined) add(at, "is missing: `kind: \"path\"` needs one, such as \"/models\"")
  if (kind !== "path" && path !== undefined) add(at, "needs `kind: \"path\"`")
}

const fleet = ({ auth, cluster, redis }: Fields, { add }: Report): void => {
  const text = Redacted.isRedacted(redis) ? Redacted.value(redis) : redis
  if (typeof text !== "string" || !URL.canParse(text)) return
  const { password, pathname, protocol } = new URL(text)
  if (cluster === true && /^\/[1-9]/.test(pathname)) {
    add(["fleet", "redis"], "a Cluster has database 0 only; leave it out")
  }
  if (auth !== "entra") return
  if (protocol === "redis:") add(["fleet", "redis"], "Entra ID needs TLS: give `rediss://`, as its token is a secret")
  if (password !== "") add(["fleet", "auth"], "give either a password in `redis` or `auth`, not both")
}

const gateway = (fields: Fields, report: Report): void => {
  const keys = listAt(fields, "keys")
  const { add } = report
  uniqueNames(keys, ["gateway", "keys"], report)
  keys.forEach((each, index) => {
    if (!isRecord(each)) return
    const at = ["gateway", "keys", index]
    if (each.key !== undefined && each.sha256 !== undefined) {
      add([...at, "sha256"], "give either `key` or `sha256`, not both")
    }
    if (each.key === undefined && each.sha256 === undefined) {
      add([...at, "sha256"], "is missing: give the SHA-256 of the key, which `evenkeel key` prints, or `key`")
    }
  })
  const { host = "127.0.0.1" } = fields
  if (typeof host !== "string" || Endpoint.isLoopback(host) || keys.length > 0) return
  add(
    ["gateway", "keys"],
    "is missing: whoever reaches this machine could spend your quota; give keys, or listen on 127.0.0.1"
  )
}

type Provider = "azure" | "openai" | "compatible"

const providers: ReadonlyArray<Provider> = ["azure", "openai", "compatible"]

const providerMeant = (given: unknown): Provider | undefined =>
  typeof given === "string" ? suggest(given, providers) as Provider | undefined : undefined

const credential = ({ apiKey, auth, provider, scope }: Fields, at: Path, { add }: Report): void => {
  if (apiKey !== undefined && auth !== undefined) add([...at, "auth"], "give either `apiKey` or `auth`, not both")
  if (apiKey === undefined && auth === undefined && (provider === "azure" || provider === "openai")) {
    const entra = provider === "azure" ? ", or `auth: \"entra\"`," : ""
    add([...at, "apiKey"], `is missing: give the key${entra} or a function that gives a token as \`auth\``)
  }
  if (auth === "entra" && (provider === "openai" || provider === "compatible")) {
    add([...at, "auth"], "Entra ID is for azure only; give `apiKey`, or a function that gives a token")
  }
  if (scope !== undefined && auth !== "entra") add([...at, "scope"], "is only for `auth: \"entra\"`; remove it")
}

const endpoint = (resource: Fields & { provider: Provider | undefined }, at: Path, { add, labelOf }: Report): void => {
  const { allowInsecure, apiVersion, endpoint, provider } = resource
  const path = [...at, "endpoint"]
  if (typeof endpoint === "string") {
    const parsed = Endpoint.parse(endpoint, provider ?? "compatible", allowInsecure === true)
    const label = labelOf(path)
    const subject = label === undefined ? "" : `the value of ${label} `
    if (Result.isFailure(parsed)) parsed.failure.forEach((message) => add(path, subject + message))
  } else if (endpoint === undefined && (provider === "azure" || provider === "compatible")) {
    const example = provider === "azure"
      ? "the resource's address, such as https://my-resource.openai.azure.com"
      : "the base URL, such as https://my-host.example/v1"
    add(path, `is missing: give ${example}`)
  }
  if (apiVersion !== undefined && (provider === "openai" || provider === "compatible")) {
    add([...at, "apiVersion"], "is for azure only; remove it")
  }
}

/** Headers that are the balancer's or the connection's own. */
const ownHeaders = new Set(
  ("accept accept-encoding connection content-encoding content-length content-type expect host keep-alive"
    + " proxy-authorization proxy-connection te trailer transfer-encoding upgrade").split(" ")
)

const headers = (resource: Fields, at: Path, { add }: Report): void => {
  const seen = new Set<string>()
  for (const name of Object.keys(fieldsAt(resource, "headers"))) {
    const lower = name.toLowerCase()
    const path = [...at, "headers", name]
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) add(path, "is not the name of a header; give letters, digits and `-`")
    else if (lower === "authorization" || lower === "api-key") add(path, "is made of `apiKey` or `auth`; remove it")
    else if (ownHeaders.has(lower)) add(path, "is set by the balancer itself; remove it")
    else if (seen.has(lower)) add(path, "is given twice, in other letters; give it once")
    seen.add(lower)
  }
}

const tls = ({ endpoint, tls }: Fields, at: Path, { add }: Report): void => {
  if (!isRecord(tls)) return
  const path = [...at, "tls"]
  if (tls.cert !== undefined && tls.key === undefined) {
    add([...path, "key"], "is missing: give the private key of `cert`")
  }
  if (tls.key !== undefined && tls.cert === undefined) {
    add([...path, "cert"], "is missing: give the certificate of `key`")
  }
  if (typeof endpoint === "string" && /^http:/i.test(endpoint)) {
    add(path, "is for https only, and the endpoint is plain http; remove it")
  }
}

const deployments = (resource: Fields, at: Path, { add }: Report): void => {
  const { provider } = resource
  if (resource.deployments === undefined && provider === "azure") {
    add([...at, "deployments"], "is missing: list at least one deployment of the resource")
  }
  if (resource.deployments === undefined && provider === "compatible") {
    add([...at, "deployments"], "is missing: list the models served here, or `[{ name: \"*\" }]` for every model")
  }
  listAt(resource, "deployments").forEach((deployment, index) => {
    if (!isRecord(deployment)) return
    const { model, name } = deployment
    const path = [...at, "deployments", index]
    const everyModel = name === "*"
    if (everyModel && provider === "azure") {
      const reason = "Azure answers under a deployment's own name"
      add([...path, "name"], `${reason}, so "*" cannot serve every model; list them`)
    } else if (everyModel && model !== undefined && model !== "*") {
      add([...path, "model"], "\"*\" serves every model; leave `model` out, or give the deployment its own name")
    } else if (!everyModel && model === "*") {
      add([...path, "model"], "only the deployment named \"*\" serves every model; give one model's name")
    }
  })
}
