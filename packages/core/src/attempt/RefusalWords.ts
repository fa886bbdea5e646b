/**
 * The words of a refusal, in whatever form its body has them.
 */
import { isRecord, textOf } from "../request/Json.ts"

/** What FastAPI, and so most compatible services, say: a text, or what is wrong with which parameter, one by one. */
export const wordsOf = (value: unknown): string | undefined =>
  Array.isArray(value)
    ? textOf(excerpt(value.map(faultOf).filter((words) => words !== undefined).join("; ")))
    : faultOf(value)

const faultOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return textOf(value)
  const fields = isRecord(value) ? value : undefined
  const words = textOf(fields?.["msg"]) ?? textOf(fields?.["message"])
  const at = fields?.["loc"]
  return words !== undefined && Array.isArray(at) ? `${at.join(".")}: ${words}` : words
}

/** The first words of a body in which nobody finds a message. */
export const firstWords = (body: unknown): string => {
  if (body === "" || body === undefined) return ""
  try {
    return excerpt(JSON.stringify(body))
  } catch {
    return "what cannot be written"
  }
}

/** The first words of a body that is no JSON: enough to recognise it, never the whole page. */
export const excerpt = (text: string): string => {
  const words = text.slice(0, 1000).replaceAll(/<[^>]*>/g, " ").replaceAll(/\s+/g, " ").trim()
  return words.length > 200 ? `${words.slice(0, 200)}…` : words
}
