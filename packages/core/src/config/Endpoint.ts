/**
 * The address of a resource, as people paste it.
 *
 * No message shows the address: a password or a key may be in it.
 */
import * as Result from "effect/Result"

/** Where OpenAI is. */
export const openAiEndpoint = "https://api.openai.com/v1"

const azureHost = /(?:^|\.)(?:openai\.azure|services\.ai\.azure|cognitiveservices\.azure|cognitive\.microsoft)\.[a-z]+$/
const portalHost = /^(?:portal|ai|oai)\.azure\.com$/
const openAiHost = /(?:^|\.)api\.openai\.com$/

/** Whether a host name, as `URL` writes it, is this machine. */
export const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host)

/**
 * Reads an endpoint: origin and base path, without a trailing slash; every mistake in it otherwise.
 *
 * For azure a trailing `/openai` or `/openai/v1` is taken off, as the API's path is chosen by `apiVersion`. For OpenAI's
 * own host without a path, `/v1` is added.
 */
export const parse = (
  text: string,
  provider: "azure" | "openai" | "compatible",
  allowInsecure: boolean
): Result.Result<string, ReadonlyArray<string>> => {
  const example = provider === "azure"
    ? "https://my-resource.openai.azure.com"
    : provider === "openai"
    ? openAiEndpoint
    : "https://my-host.example/v1"
  const url = /^https?:\/\/[^/]/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) {
    const hint = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? "" : "; an endpoint begins with https://"
    return Result.fail([`is not a URL${hint}; give one such as ${example}`])
  }
  const issues: Array<string> = []
  if (url.username !== "" || url.password !== "") {
    issues.push("has a user or password in it; credentials belong in `apiKey` or `auth`")
  }
  if (url.search !== "" || url.hash !== "") {
    const version = url.searchParams.has("api-version") ? ", and the version as `apiVersion`" : ""
    issues.push(`has a query or fragment; give only the part before it${version}`)
  }
  if (url.protocol === "http:" && !allowInsecure && !isLoopback(url.hostname)) {
    issues.push("is plain http to another machine; use https, or allow it with `allowInsecure: true`")
  }
  const isAzureHost = azureHost.test(url.hostname)
  if (provider === "azure" && openAiHost.test(url.hostname)) {
    issues.push("is OpenAI's own; set `provider: \"openai\"`, or give the Azure resource's address")
  }
  if (provider === "azure" && portalHost.test(url.hostname)) {
    issues.push(`is the address of a portal; give the resource's own, such as ${example}`)
  }
  if (provider === "openai" && isAzureHost) {
    issues.push("is an Azure resource; set `provider: \"azure\"`")
  }

  let base = url.pathname.replace(/\/+$/, "")
  if (provider === "azure") {
    if (/\/openai\/deployments(?:\/|$)/i.test(base)) {
      issues.push("names a deployment; give only the part before `/openai`, and the deployment in `deployments`")
    } else if (isAzureHost && /^\/api\/projects(?:\/|$)/i.test(base)) {
      issues.push("is that of a project; give only the part before `/api/projects`")
    } else {
      base = base.replace(/\/openai(?:\/v1)?$/i, "")
      if (base !== "" && (isAzureHost || /\/openai\//i.test(base))) {
        issues.push(`goes into the API's paths; give only the resource's address, such as ${example}`)
      }
    }
  } else if (/\/(?:chat\/completions|completions|responses|embeddings|models)$/i.test(base)) {
    issues.push(`is that of one operation; give the base URL, such as ${example}`)
  } else if (base === "" && openAiHost.test(url.hostname)) {
    base = "/v1"
  }
  return issues.length === 0 ? Result.succeed(url.origin + base) : Result.fail(issues)
}
