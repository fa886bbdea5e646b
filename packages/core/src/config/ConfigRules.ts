/**
 * Mistakes between values: names that must be unique, credentials that exclude each other, an endpoint that must fit its
 * provider.
 *
 * They are looked for in what the user wrote, whatever else is wrong with it, so that one report holds every mistake.
 * A value of the wrong type is passed over here: the schema reports it.
 */
import * as Result from "effect/Result"
import type { ConfigIssue } from "../Errors.ts"
import { type Context, formatPath, isRecord, type Path, showText, suggest } from "./ConfigErrors.ts"
import { defaults } from "./ConfigSchema.ts"
import { readDuration } from "./ConfigValues.ts"
import * as Endpoint from "./Endpoint.ts"

type Fields = Readonly<Record<PropertyKey, unknown>>

const listAt = (fields: Fields, key: string): ReadonlyArray<unknown> => {
  const value = fields[key]
  return Array.isArray(value) ? value : []
}

/**
 * Every mistake between values of a configuration.
 */
export const find = (context: Context): ReadonlyArray<ConfigIssue> => {
  const { input, references } = context
  if (!isRecord(input)) return []
  const issues: Array<ConfigIssue> = []

  const add = (path: Path, message: string) => issues.push({ path: formatPath(path), message })
  /** The value in quotes; the variable it came from instead, where it came from one. */
  const shown = (path: Path, value: string) => references.get(formatPath(path))?.label ?? showText(value)

  const unique = (list: ReadonlyArray<unknown>, at: Path): void => {
    const first = new Map<string, number>()
    list.forEach((item, index) => {
      const name = isRecord(item) ? item.name : undefined
      if (typeof name !== "string") return
      const earlier = first.get(name)
      if (earlier === undefined) first.set(name, index)
      else {
        const path = [...at, index, "name"]
        add(path, `${shown(path, name)} is already the name of ${formatPath([...at, earlier])}; names must be unique`)
      }
    })
  }

  const notBelow = (section: "health" | "failover", low: string, high: string): void => {
    const fields = isRecord(input[section]) ? input[section] : {}
    const fallback: Readonly<Record<string, unknown>> = defaults[section]
    const least = readDuration(fields[low] ?? fallback[low])
    const most = readDuration(fields[high] ?? fallback[high])
    if (least === undefined || most === undefined || most >= least) return
    const isDefault = fields[high] === undefined
    add(
      [section, high],
      `must not be below \`${low}\`${isDefault ? `, and its default (${most / 1000} seconds) is; give both` : ""}`
    )
  }

  const resources = listAt(input, "resources")
  unique(resources, ["resources"])
  resources.forEach((resource, index) => {
    if (!isRecord(resource)) return
    const at = ["resources", index]
    // judged by the provider that was meant, so that a slip in its name hides nothing
    const meant = { ...resource, provider: providerMeant(resource.provider) }
    issues.push(...credential(meant, at), ...endpoint(meant, at, context), ...connection(meant, at))
    unique(listAt(resource, "deployments"), [...at, "deployments"])
    issues.push(...deployments(meant, at))
  })

  const names = resources.flatMap((resource) =>
    isRecord(resource) && typeof resource.name === "string" ? [resource.name] : []
  )
  const wanted = input.defaultResource
  if (typeof wanted === "string" && names.length > 0 && !names.includes(wanted)) {
    const meant = suggest(wanted, names)
    const index = meant === undefined ? -1 : names.indexOf(meant)
    const hint = index < 0 ? "give the name of one" : `did you mean ${shown(["resources", index, "name"], meant!)}?`
    add(["defaultResource"], `${shown(["defaultResource"], wanted)} is not the name of a resource; ${hint}`)
  }

  notBelow("health", "openFor", "maxOpenFor")
  notBelow("health", "cooldown", "maxCooldown")
  notBelow("failover", "backoff", "maxBackoff")

  const check = isRecord(input.health) && isRecord(input.health.check) ? input.health.check : undefined
  if (check?.kind === "path" && check.path === undefined) {
    add(["health", "check", "path"], "is missing: `kind: \"path\"` needs one, such as \"/models\"")
  }
  if (check !== undefined && check.path !== undefined && check.kind !== "path") {
    add(["health", "check", "path"], "needs `kind: \"path\"`")
  }
  return issues
}

type Provider = "azure" | "openai" | "compatible"

const providers: ReadonlyArray<Provider> = ["azure", "openai", "compatible"]

const providerMeant = (given: unknown): Provider | undefined =>
  typeof given === "string" ? suggest(given, providers) as Provider | undefined : undefined

const credential = (resource: Fields, at: Path): Array<ConfigIssue> => {
  const { apiKey, auth, provider, scope } = resource
  const issues: Array<ConfigIssue> = []
  const add = (key: string, message: string) => issues.push({ path: formatPath([...at, key]), message })
  if (apiKey !== undefined && auth !== undefined) add("auth", "give either `apiKey` or `auth`, not both")
  if (apiKey === undefined && auth === undefined && (provider === "azure" || provider === "openai")) {
    const entra = provider === "azure" ? ", or `auth: \"entra\"`," : ""
    add("apiKey", `is missing: give the key${entra} or a function that gives a token as \`auth\``)
  }
  if (auth === "entra" && (provider === "openai" || provider === "compatible")) {
    add("auth", "Entra ID is for azure only; give `apiKey`, or a function that gives a token")
  }
  if (scope !== undefined && auth !== "entra") add("scope", "is only for `auth: \"entra\"`; remove it")
  return issues
}

/** Headers that are the balancer's or the connection's own. */
const ownHeaders = new Set([
  "accept",
  "accept-encoding",
  "api-key",
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

const connection = ({ endpoint, headers, tls }: Fields, at: Path): Array<ConfigIssue> => {
  const issues: Array<ConfigIssue> = []
  const add = (path: Path, message: string) => issues.push({ path: formatPath([...at, ...path]), message })
  const seen = new Set<string>()
  for (const name of isRecord(headers) ? Object.keys(headers) : []) {
    const lower = name.toLowerCase()
    const path = ["headers", name]
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) add(path, "is not the name of a header; give letters, digits and `-`")
    else if (lower === "authorization" || lower === "api-key") add(path, "is made of `apiKey` or `auth`; remove it")
    else if (ownHeaders.has(lower)) add(path, "is set by the balancer itself; remove it")
    else if (seen.has(lower)) add(path, "is given twice, in other letters; give it once")
    seen.add(lower)
  }
  if (!isRecord(tls)) return issues
  if (tls.cert !== undefined && tls.key === undefined) add(["tls", "key"], "is missing: give the private key of `cert`")
  if (tls.key !== undefined && tls.cert === undefined) add(["tls", "cert"], "is missing: give the certificate of `key`")
  if (typeof endpoint === "string" && /^http:/i.test(endpoint)) {
    add(["tls"], "is for https only, and the endpoint is plain http; remove it")
  }
  return issues
}

const endpoint = (resource: Fields, at: Path, context: Context): Array<ConfigIssue> => {
  const { allowInsecure, apiVersion, endpoint } = resource
  const provider = resource.provider as Provider | undefined
  const issues: Array<ConfigIssue> = []
  const path = [...at, "endpoint"]
  if (typeof endpoint === "string") {
    const parsed = Endpoint.parse(endpoint, provider ?? "compatible", allowInsecure === true)
    const label = context.references.get(formatPath(path))?.label
    const subject = label === undefined ? "" : `the value of ${label} `
    if (Result.isFailure(parsed)) {
      issues.push(...parsed.failure.map((message) => ({ path: formatPath(path), message: subject + message })))
    }
  } else if (endpoint === undefined && provider !== undefined && provider !== "openai") {
    const example = provider === "azure"
      ? "the resource's address, such as https://my-resource.openai.azure.com"
      : "the base URL, such as https://my-host.example/v1"
    issues.push({ path: formatPath(path), message: `is missing: give ${example}` })
  }
  if (apiVersion !== undefined && provider !== undefined && provider !== "azure") {
    issues.push({ path: formatPath([...at, "apiVersion"]), message: "is for azure only; remove it" })
  }
  return issues
}

const deployments = (resource: Fields, at: Path): Array<ConfigIssue> => {
  const { deployments, provider } = resource
  const issues: Array<ConfigIssue> = []
  const add = (path: Path, message: string) => issues.push({ path: formatPath(path), message })
  if (deployments === undefined) {
    if (provider === "azure") add([...at, "deployments"], "is missing: list at least one deployment of the resource")
    if (provider === "compatible") {
      add([...at, "deployments"], "is missing: list the models served here, or `[{ name: \"*\" }]` for every model")
    }
  }
  listAt(resource, "deployments").forEach((deployment, index) => {
    if (!isRecord(deployment)) return
    const { model, name } = deployment
    const path = [...at, "deployments", index]
    if (name === "*" && provider === "azure") {
      add(
        [...path, "name"],
        "Azure answers under a deployment's own name, so \"*\" cannot serve every model; list them"
      )
    } else if (name === "*" && model !== undefined && model !== "*") {
      add([...path, "model"], "\"*\" serves every model; leave `model` out, or give the deployment its own name")
    } else if (name !== "*" && model === "*") {
      add([...path, "model"], "only the deployment named \"*\" serves every model; give one model's name")
    }
  })
  return issues
}
