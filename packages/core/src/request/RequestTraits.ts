/**
 * Settings that a request names, for telemetry: how much, how varied, in which form. None of them is content.
 */
import { isRecord, textOf } from "./Json.ts"

const traitNames = [
  "max_tokens",
  "max_completion_tokens",
  "max_output_tokens",
  "temperature",
  "top_p",
  "frequency_penalty",
  "presence_penalty",
  "seed",
  "n",
  "reasoning_effort",
  "service_tier",
  "dimensions",
  "encoding_format"
]

/** Settings that parameters name; nothing where they name none. */
export const traitsOf = (
  parameters: Readonly<Record<string, unknown>>
): Readonly<Record<string, unknown>> | undefined => {
  let traits: Record<string, unknown> | undefined
  for (const name of traitNames) {
    const value = parameters[name]
    if (typeof value === "number" || typeof value === "string") (traits ??= {})[name] = value
  }
  const effort = parameters["reasoning"]
  if (isRecord(effort) && typeof effort["effort"] === "string") {
    traits = { ...traits, reasoning_effort: effort["effort"] }
  }
  const format = parameters["response_format"] ??
    (isRecord(parameters["text"]) ? parameters["text"]["format"] : undefined)
  if (isRecord(format) && typeof format["type"] === "string") traits = { ...traits, format: format["type"] }
  const { conversation } = parameters
  const id = textOf(conversation) ?? (isRecord(conversation) ? textOf(conversation["id"]) : undefined)
  return id === undefined ? traits : { ...traits, conversation: id }
}
