/**
 * What the simulated model says: words, JSON that fits a schema, and their cutting into tokens.
 */
import * as SeededRandom from "./SeededRandom.ts"

/**
 * A JSON Schema, of which the common part is understood.
 */
export type JsonSchema = { readonly [key: string]: unknown } | boolean

/**
 * Makes `tokens` pieces of prose, the same for the same seed. Each is one token.
 */
export const makeProse = (tokens: number, seed: number): Array<string> => {
  const random = SeededRandom.make(seed)
  const pieces: Array<string> = []
  for (let i = 0; i < tokens; i++) {
    const word = words[Math.floor(random() * words.length)]!
    pieces.push(i === 0 ? word : i % 12 === 11 ? `${word}.`.padStart(word.length + 2) : ` ${word}`)
  }
  return pieces
}

/**
 * Cuts a given text into pieces of about one token.
 */
export const cut = (text: string): Array<string> => text.match(/[\s\S]{1,4}/gu) ?? []

/**
 * Makes a value that fits a schema: every property, the first choice, one item for an array.
 */
export const makeValue = (schema: JsonSchema, random: () => number, root = schema, depth = 0): unknown => {
  if (typeof schema === "boolean" || depth > 8) return null
  if (typeof schema["$ref"] === "string") {
    return makeValue(resolve(root, schema["$ref"]), random, root, depth + 1)
  }
  if ("const" in schema) return schema["const"]
  if (Array.isArray(schema["enum"])) return schema["enum"][Math.floor(random() * schema["enum"].length)]
  for (const choice of ["anyOf", "oneOf", "allOf"]) {
    const choices = schema[choice]
    // Late in a recursive schema, the last choice is more often the one that ends it.
    if (Array.isArray(choices)) return makeValue(choices.at(depth > 4 ? -1 : 0), random, root, depth + 1)
  }
  const type = Array.isArray(schema["type"]) ? schema["type"].at(depth > 4 ? -1 : 0) : schema["type"]
  const least = typeof schema["minimum"] === "number" ? schema["minimum"] : 0
  switch (type ?? (schema["properties"] === undefined ? "null" : "object")) {
    case "object": {
      const properties = (schema["properties"] ?? {}) as Record<string, JsonSchema>
      return Object.fromEntries(
        Object.entries(properties).map(([name, property]) => [name, makeValue(property, random, root, depth + 1)])
      )
    }
    case "array": {
      const length = typeof schema["minItems"] === "number" ? schema["minItems"] : depth > 4 ? 0 : 1
      const items = (schema["items"] ?? { type: "string" }) as JsonSchema
      return Array.from({ length }, () => makeValue(items, random, root, depth + 1))
    }
    case "string":
      return makeString(schema, random)
    case "integer":
      return Math.ceil(least + random() * 10)
    case "number":
      return least + Math.round(random() * 100) / 10
    case "boolean":
      return random() < 0.5
    default:
      return null
  }
}

const makeString = (schema: { readonly [key: string]: unknown }, random: () => number): string => {
  switch (schema["format"]) {
    case "date":
      return "2026-11-21"
    case "date-time":
      return "2026-11-21T12:00:00Z"
    case "email":
      return "someone@example.com"
    default: {
      const least = typeof schema["minLength"] === "number" ? schema["minLength"] : 1
      return words[Math.floor(random() * words.length)]!.padEnd(least, ".")
    }
  }
}

const resolve = (root: JsonSchema, reference: string): JsonSchema => {
  let found: unknown = root
  for (const step of reference.replace(/^#\/?/, "").split("/").filter((step) => step !== "")) {
    found = typeof found === "object" && found !== null ? (found as Record<string, unknown>)[step] : undefined
  }
  return typeof found === "object" && found !== null ? found as JsonSchema : true
}

const words = (
  "the a an of to in on by it is was as at and or so if but not all any few one two out off over under near " +
  "far calm wind wave keel hull sail mast deck port bow stern helm rope tide moon star sun sea lake shore bay " +
  "load ship boat crew trim even list roll pitch heel draft steer drift turn hold keep give take send wait"
).split(" ")
