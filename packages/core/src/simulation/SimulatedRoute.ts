/**
 * Which operation a method and path stand for, in each of the three protocols.
 */
import { kinds } from "./SimulatedStore.ts"

/**
 * `v1` and `classic` are Azure's, `openai` is OpenAI's.
 */
export type Protocol = "v1" | "classic" | "openai"

/**
 * What the service can be asked to do.
 */
export type Operation =
  | "chat"
  | "responses"
  | "embeddings"
  | "compact"
  | "inputTokens"
  | "models"
  | "model"
  | "stored"

/**
 * A path that was understood.
 */
export interface Route {
  readonly protocol: Protocol
  readonly operation: Operation
  /** The deployment in the path (classic only). */
  readonly deployment: string | undefined
  /** The id in the path. */
  readonly id: string
  /** The segments of the path below the API's base. */
  readonly rest: ReadonlyArray<string>
  readonly apiVersion: string
}

/**
 * Reads a method and path. A path that a real service does not know gives nothing.
 */
export const parse = (provider: "azure" | "openai", method: string, pathAndQuery: string): Route | undefined => {
  const [path = "", query = ""] = pathAndQuery.split("?", 2)
  const segments = path.split("/").slice(1).map(decode)
  if (provider === "openai") {
    return segments[0] === "v1" ? withProtocol("openai", method, segments.slice(1), undefined, "v1") : undefined
  }
  if (segments[0] !== "openai") return undefined
  if (segments[1] === "v1") return withProtocol("v1", method, segments.slice(2), undefined, "v1")
  const apiVersion = new URLSearchParams(query).get("api-version") ?? ""
  if (!/^\d{4}-\d\d-\d\d(-preview)?$/.test(apiVersion)) return undefined
  if (segments[1] === "deployments") {
    const route = withProtocol("classic", method, segments.slice(3), segments[2], apiVersion)
    return route?.operation === "chat" || route?.operation === "embeddings" ? route : undefined
  }
  const route = withProtocol("classic", method, segments.slice(1), undefined, apiVersion)
  return route?.operation === "chat" || route?.operation === "embeddings" ? undefined : route
}

/**
 * Whether a dated API is older than responses are.
 */
export const isTooOld = (route: Route): boolean =>
  route.protocol === "classic" && route.apiVersion < "2025-03-01" && route.rest[0] === "responses"

const withProtocol = (
  protocol: Protocol,
  method: string,
  rest: ReadonlyArray<string>,
  deployment: string | undefined,
  apiVersion: string
): Route | undefined => {
  const operation = operationOf(method, rest)
  return operation === undefined ? undefined : { protocol, operation, deployment, id: rest[1] ?? "", rest, apiVersion }
}

const operationOf = (method: string, rest: ReadonlyArray<string>): Operation | undefined => {
  const operation = operations[`${method} ${rest.join("/")}`]
  if (operation !== undefined) return operation
  if (method === "GET" && rest[0] === "models" && rest.length === 2) return "model"
  return kinds[rest[0]!] !== undefined && methods.has(method) ? "stored" : undefined
}

const methods = new Set(["GET", "POST", "DELETE"])

const operations: Readonly<Record<string, Operation>> = {
  "POST chat/completions": "chat",
  "POST responses": "responses",
  "POST responses/compact": "compact",
  "POST responses/input_tokens": "inputTokens",
  "POST embeddings": "embeddings",
  "GET models": "models"
}

const decode = (segment: string): string => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
