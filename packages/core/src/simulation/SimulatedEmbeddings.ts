/**
 * Embeddings: vectors of length 1 that depend on nothing but the text.
 */
import * as SeededRandom from "./SeededRandom.ts"
import { type Json, problem, type PromptSize } from "./SimulatedPrompt.ts"

/**
 * What an embeddings request asks for.
 */
export interface EmbeddingsPrompt extends PromptSize {
  /** One entry for each vector: its text, or its tokens written as one. */
  readonly inputs: ReadonlyArray<string>
  readonly dimensions: number | undefined
  readonly base64: boolean
}

/**
 * Checks an embeddings request.
 */
export const check = (body: Json, charactersPerToken: number): EmbeddingsPrompt => {
  const input = body["input"]
  if (input === undefined || input === null) return problem("Missing required parameter: 'input'.", "input")
  const several = Array.isArray(input) && typeof input[0] !== "number"
  const items: Array<unknown> = several ? input : [input]
  if (items.length === 0 || items.length > 2_048) {
    return problem("Invalid 'input': expected between 1 and 2048 inputs.", "input")
  }
  let characters = 0
  let extraTokens = 0
  let promptTokens = 0
  const inputs: Array<string> = []
  for (const item of items) {
    if (typeof item === "string" && item !== "") {
      inputs.push(item)
      characters += item.length
      promptTokens += Math.ceil(item.length / charactersPerToken)
    } else if (Array.isArray(item) && item.length > 0 && item.every((token) => Number.isInteger(token))) {
      inputs.push(item.join(" "))
      extraTokens += item.length
      promptTokens += item.length
    } else return problem("'$.input' is invalid. Please check the API reference.", "input")
  }
  const dimensions = body["dimensions"]
  if (dimensions !== undefined && !(Number.isInteger(dimensions) && (dimensions as number) > 0)) {
    return problem("Invalid 'dimensions': integer below minimum value. Expected a value >= 1.", "dimensions")
  }
  const format = body["encoding_format"] ?? "float"
  if (format !== "float" && format !== "base64") {
    return problem(`Invalid value: '${String(format)}'. Supported values are: 'float' and 'base64'.`, "encoding_format")
  }
  return {
    inputs,
    characters,
    extraTokens,
    promptTokens,
    dimensions: dimensions as number | undefined,
    base64: format === "base64"
  }
}

/**
 * The body of an embeddings answer.
 */
export const body = (prompt: EmbeddingsPrompt, model: string, dimensions: number): string =>
  JSON.stringify({
    object: "list",
    data: prompt.inputs.map((input, index) => {
      const vector = makeVector(input, prompt.dimensions ?? dimensions)
      return { object: "embedding", index, embedding: prompt.base64 ? toBase64(vector) : Array.from(vector) }
    }),
    model,
    usage: { prompt_tokens: prompt.promptTokens, total_tokens: prompt.promptTokens }
  })

const makeVector = (text: string, dimensions: number): Float32Array => {
  const random = SeededRandom.make(SeededRandom.hash(text))
  const vector = new Float32Array(dimensions)
  let square = 0
  for (let i = 0; i < dimensions; i++) {
    const value = random() * 2 - 1
    vector[i] = value
    square += value * value
  }
  const length = Math.sqrt(square)
  for (let i = 0; i < dimensions; i++) vector[i]! /= length
  return vector
}

/** Little-endian 32-bit numbers, as the service packs them. */
const toBase64 = (vector: Float32Array): string => {
  const view = new DataView(new ArrayBuffer(vector.length * 4))
  vector.forEach((value, index) => view.setFloat32(index * 4, value, true))
  const pieces: Array<string> = []
  for (let i = 0; i < view.byteLength; i += 8_192) {
    pieces.push(String.fromCharCode(...new Uint8Array(view.buffer, i, Math.min(8_192, view.byteLength - i))))
  }
  return btoa(pieces.join(""))
}
