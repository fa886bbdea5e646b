/**
 * What a request body asks for, after the checks that a real service makes.
 */
import * as Data from "effect/Data"
import * as Errors from "./SimulatedErrors.ts"
import type { JsonSchema } from "./SimulatedText.ts"

/**
 * How long a prompt is.
 */
export interface PromptSize {
  /** Characters of its text. */
  readonly characters: number
  /** Tokens that no text shows: images, or what was given as tokens. */
  readonly extraTokens: number
  /** What both are billed as. */
  readonly promptTokens: number
}

/**
 * A request body that passed the checks.
 */
export interface SimulatedPrompt extends PromptSize {
  /** Everything that makes up the prompt, in the order in which the prompt cache sees it. */
  readonly text: string
  /** The output limit, if the request sets one. */
  readonly maxTokens: number | undefined
  /** How many answers (`n`). */
  readonly choices: number
  readonly stream: boolean
  readonly includeUsage: boolean
  /** The schema that the answer must fit, if it must be JSON. */
  readonly schema: JsonSchema | undefined
  /** The functions that the answer calls. */
  readonly calls: ReadonlyArray<SimulatedFunction>
  readonly cacheKey: string
}

/**
 * A function that the request offers.
 */
export interface SimulatedFunction {
  readonly name: string
  readonly parameters: JsonSchema
}

/**
 * What of a model decides what a request may ask for, and how long it is.
 */
export interface PromptModel {
  readonly reasons: boolean
  readonly callsTools: boolean
  readonly charactersPerToken: number
}

/**
 * A parsed JSON object.
 */
export type Json = { readonly [key: string]: unknown }

/**
 * A request that the service does not accept. It is thrown wherever that is found.
 */
export class Problem extends Data.Error<{ readonly answer: Errors.ErrorResponse }> {}

/**
 * Does not accept a request.
 */
export const refuse = (answer: Errors.ErrorResponse): never => {
  throw new Problem({ answer })
}

/**
 * Does not accept a request that is the caller's mistake.
 */
export const problem = (message: string, param: string, code: string | null = null): never =>
  refuse(Errors.invalidRequest(message, param, code))

/**
 * Parses a request body; one that is no object gives nothing.
 */
export const parse = (body: string): Json | undefined => {
  try {
    const value: unknown = JSON.parse(body)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

/**
 * Checks a chat completions request.
 */
export const chat = (body: Json, model: PromptModel): SimulatedPrompt => {
  const messages = body["messages"]
  if (!Array.isArray(messages)) return problem("Missing required parameter: 'messages'.", "messages")
  if (messages.length === 0) {
    return problem("Invalid 'messages': empty array. Expected an array with minimum length 1.", "messages")
  }
  if (messages.length > 2_048) {
    return problem("Invalid 'messages': array too long. Expected at most 2048.", "messages", "array_above_max_length")
  }
  if (model.reasons && body["max_tokens"] !== undefined && body["max_tokens"] !== null) {
    return problem(
      "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
      "max_tokens",
      "unsupported_parameter"
    )
  }
  const maxTokens = readLimit(body, ["max_completion_tokens", "max_tokens"])
  const common = checkCommon(body)
  const choices = body["n"] ?? 1
  if (typeof choices !== "number" || !Number.isInteger(choices) || choices < 1 || choices > 128) {
    return problem("Invalid 'n': integer out of range. Expected a value between 1 and 128.", "n")
  }

  const text = new PromptText()
  text.addTools(body["tools"])
  text.addJson(body["response_format"])
  for (const [index, message] of messages.entries()) {
    if (!isObject(message) || typeof message["role"] !== "string") {
      return problem(`Missing required parameter: 'messages[${index}].role'.`, `messages[${index}].role`)
    }
    if (!text.addContent(message["content"])) {
      return problem(`Invalid type for 'messages[${index}].content'.`, `messages[${index}].content`)
    }
    text.addJson(message["tool_calls"])
  }
  const format = body["response_format"]
  const jsonSchema = isObject(format) && isObject(format["json_schema"]) ? format["json_schema"] : undefined
  return {
    ...text.done(model),
    ...common,
    maxTokens,
    choices,
    includeUsage: isObject(body["stream_options"]) && body["stream_options"]["include_usage"] === true,
    schema: jsonSchema !== undefined
      ? asSchema(jsonSchema["schema"])
      : isObject(format) && format["type"] === "json_object"
      ? anyObject
      : undefined,
    calls: callsOf(
      body,
      (tool) => isObject(tool["function"]) ? tool["function"] : undefined,
      model.callsTools && messages.at(-1)?.["role"] !== "tool"
    )
  }
}

/**
 * Checks a responses request. `before` is the text of the conversation that it continues.
 */
export const responses = (body: Json, before: string, model: PromptModel): SimulatedPrompt => {
  const input = body["input"]
  if (input === undefined || input === null) return problem("Missing required parameter: 'input'.", "input")
  if (typeof input !== "string" && !Array.isArray(input)) {
    return problem("Invalid type for 'input': expected a string or an array.", "input", "invalid_type")
  }
  const maxTokens = readLimit(body, ["max_output_tokens"])
  const common = checkCommon(body)

  const text = new PromptText()
  text.addTools(body["tools"])
  const format = isObject(body["text"]) && isObject(body["text"]["format"]) ? body["text"]["format"] : undefined
  if (format !== undefined && format["type"] !== "text") text.addJson(format)
  text.addContent(body["instructions"])
  text.addContent(before)
  for (const item of typeof input === "string" ? [input] : input) {
    if (typeof item === "string") text.addContent(item)
    else if (isObject(item)) {
      text.addContent(item["content"])
      text.addContent(item["arguments"])
      text.addContent(item["output"])
    }
  }
  return {
    ...text.done(model),
    ...common,
    maxTokens,
    choices: 1,
    includeUsage: true,
    schema: format?.["type"] === "json_schema"
      ? asSchema(format["schema"])
      : format?.["type"] === "json_object"
      ? anyObject
      : undefined,
    calls: callsOf(
      body,
      (tool) => tool["type"] === "function" ? tool : undefined,
      model.callsTools && (typeof input === "string" || input.at(-1)?.["type"] !== "function_call_output")
    )
  }
}

/** Gathers the text of a prompt, and what stands for images. */
class PromptText {
  private readonly pieces: Array<string> = []
  private extraTokens = 0

  /** Whether the content had a shape that the service knows. */
  addContent(content: unknown): boolean {
    if (content === undefined || content === null) return true
    if (typeof content === "string") {
      this.pieces.push(content)
      return true
    }
    if (!Array.isArray(content)) return false
    for (const part of content) {
      if (!isObject(part)) return false
      if (typeof part["text"] === "string") this.pieces.push(part["text"])
      else if (typeof part["refusal"] === "string") this.pieces.push(part["refusal"])
      else this.extraTokens += imageTokens
    }
    return true
  }

  addTools(tools: unknown): void {
    if (Array.isArray(tools) && tools.length > 0) this.addJson(tools)
  }

  addJson(value: unknown): void {
    if (isObject(value) || Array.isArray(value)) this.pieces.push(JSON.stringify(value))
  }

  done({ charactersPerToken }: PromptModel): PromptSize & { readonly text: string } {
    const { extraTokens } = this
    const text = this.pieces.join("\n")
    const promptTokens = Math.ceil(text.length / charactersPerToken) + extraTokens
    return { text, characters: text.length, extraTokens, promptTokens }
  }
}

const imageTokens = 85
const anyObject: JsonSchema = { type: "object", properties: { answer: { type: "string" } } }

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const asSchema = (value: unknown): JsonSchema => isObject(value) ? value : anyObject

const readLimit = (body: Json, names: ReadonlyArray<string>): number | undefined => {
  for (const name of names) {
    const value = body[name]
    if (value === undefined || value === null) continue
    if (typeof value !== "number" || !Number.isInteger(value)) {
      return problem(`Invalid type for '${name}': expected an integer.`, name, "invalid_type")
    }
    if (value < 1) {
      return problem(
        `Invalid '${name}': integer below minimum value. Expected a value >= 1, but got ${value} instead.`,
        name,
        "integer_below_min_value"
      )
    }
    return value
  }
  return undefined
}

const checkCommon = (body: Json): { readonly stream: boolean; readonly cacheKey: string } => {
  if (Array.isArray(body["tools"]) && body["tools"].length > 128) {
    return problem("Invalid 'tools': array too long. Expected at most 128.", "tools", "array_above_max_length")
  }
  const temperature = body["temperature"]
  if (temperature !== undefined && temperature !== null && !(Number(temperature) >= 0 && Number(temperature) <= 2)) {
    return problem("Invalid 'temperature': expected a value between 0 and 2.", "temperature")
  }
  for (const param of ["user", "prompt_cache_key", "safety_identifier"]) {
    const value = body[param]
    if (typeof value === "string" && value.length > 64) refuse(Errors.stringTooLong(param, 64, value.length))
  }
  const key = body["prompt_cache_key"]
  return { stream: body["stream"] === true, cacheKey: typeof key === "string" ? key : "" }
}

/** The function to call: the one that the request demands, or the first if it may and the model `likes` to. */
const callsOf = (
  body: Json,
  functionOf: (tool: Json) => Json | undefined,
  likes: boolean
): ReadonlyArray<SimulatedFunction> => {
  const choice = body["tool_choice"] ?? "auto"
  if (!Array.isArray(body["tools"]) || choice === "none" || (choice === "auto" && !likes)) return []
  const functions = body["tools"].filter(isObject).map(functionOf).filter((tool) => tool !== undefined)
  const named = isObject(choice) ? functionOf(choice)?.["name"] : undefined
  const wanted = functions.find((tool) => named === undefined || tool["name"] === named)
  if (wanted === undefined || typeof wanted["name"] !== "string") return []
  return [{ name: wanted["name"], parameters: asSchema(wanted["parameters"]) }]
}
