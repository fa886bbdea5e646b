/**
 * What a service's word about a request is about, besides the deployment: services limit each family of endpoints, and
 * each service tier, by itself, so what one is told says nothing of the others.
 */

/** Endpoints that only generate or tell something. Where they name a model, they are its deployment's own traffic. */
const generating = ["/completions", "/images/", "/audio/", "/moderations", "/tokenize"]

/** Whether an endpoint besides chat, responses and embeddings only generates or tells something. */
export const isGenerating = (path: string): boolean => generating.some((prefix) => path.startsWith(prefix))

/**
 * Service tiers with a capacity of their own. (Azure's `priority` has the quota of standard traffic; OpenAI's `fast` is
 * another word for it.)
 */
const tiersApart: ReadonlySet<unknown> = new Set(["flex", "ultrafast", "scale"])

/**
 * A scope: `undefined` for a deployment's own traffic; `images` and `flex` and their like for another kind of generation
 * and for a service tier, which have a limit of their own there; `/files` and its like for an endpoint of the resource.
 */
export const scopeOf = (
  operation: "chat" | "responses" | "embeddings" | "other",
  path: string,
  model: string | undefined,
  serviceTier: unknown
): string | undefined => {
  if (model === undefined || (operation === "other" && !isGenerating(path))) return `/${familyOf(path)}`
  if (operation === "other" && familyOf(path) !== "completions") return familyOf(path)
  return tiersApart.has(serviceTier) ? String(serviceTier) : undefined
}

const familyOf = (path: string): string => path.split("/", 2)[1] ?? ""

/** Whether a scope is an endpoint of the resource, which no model's quota and health have a part in. */
export const isEndpoint = (scope: string | undefined): scope is string => scope?.startsWith("/") === true
