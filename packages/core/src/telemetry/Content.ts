/**
 * Prompts and completions as attributes of spans: only where that was switched on.
 *
 * (GenAI conventions: `gen_ai.input.messages` and its like, as JSON, because spans cannot hold structures.)
 */
import type { Batch } from "../attempt/EventStream.ts"
import { isRecord, type LlmRequest } from "../request/LlmRequest.ts"

/** An attribute and its value. */
type Attribute = readonly [name: string, value: string]

interface Message {
  readonly role: string
  readonly parts: ReadonlyArray<Readonly<Record<string, unknown>>>
  readonly finish_reason?: string
}

/** What was asked, of the body that is sent. */
export const inputOf = ({ body, operation }: LlmRequest): ReadonlyArray<Attribute> => {
  const text = body.withModel(undefined)
  const parameters: unknown = typeof text === "string" ? JSON.parse(text) : undefined
  if (!isRecord(parameters) || operation === "embeddings") return []
  const input = parameters["messages"] ?? parameters["input"]
  const messages = typeof input === "string"
    ? [{ role: "user", parts: partsOf(input) }]
    : Array.isArray(input)
    ? input.filter(isRecord).map(messageOf)
    : []
  const found: Array<Attribute> = [["gen_ai.input.messages", JSON.stringify(messages)]]
  const { instructions, tools } = parameters
  if (typeof instructions === "string") {
    found.push(["gen_ai.system_instructions", JSON.stringify(partsOf(instructions))])
  }
  if (Array.isArray(tools)) found.push(["gen_ai.tool.definitions", JSON.stringify(tools)])
  return found
}

const messageOf = (message: Readonly<Record<string, unknown>>): Message => {
  const { content, role, tool_call_id: id, tool_calls: calls, type, ...rest } = message
  const parts = id !== undefined
    ? [{ type: "tool_call_response", id, response: content }]
    : [...partsOf(content), ...callsOf(calls)]
  // an item of the responses API that is no message is a part by itself
  if (type !== undefined && type !== "message") return { role: String(role ?? "tool"), parts: [{ type, ...rest }] }
  return { role: String(role ?? "user"), parts }
}

const partsOf = (content: unknown): ReadonlyArray<Readonly<Record<string, unknown>>> => {
  if (typeof content === "string") return [{ type: "text", content }]
  if (!Array.isArray(content)) return []
  return content.filter(isRecord).map((part) =>
    typeof part["text"] === "string" ? { type: "text", content: part["text"] } : part
  )
}

const callsOf = (calls: unknown): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  Array.isArray(calls)
    ? calls.filter(isRecord).map(({ function: called, id }) =>
      isRecord(called)
        ? { type: "tool_call", id, name: called["name"], arguments: called["arguments"] }
        : { type: "tool_call", id }
    )
    : []

interface Choice {
  text: string
  calls: Array<{ id: string; name: string; arguments: string }>
  finish: string
}

/**
 * Collects what was answered, whole or piece by piece.
 */
export class CapturedOutput {
  private readonly choices = new Map<number, Choice>()
  private items: ReadonlyArray<unknown> | undefined

  /** Takes in a whole answer, or events of a stream. */
  take(content: Batch | Readonly<Record<string, unknown>>): void {
    if (!isBatch(content)) return this.takeAnswer(content)
    for (const { data, json } of content.events) {
      const event: unknown = json ?? parse(data)
      if (isRecord(event)) this.takeEvent(event)
    }
  }

  attributes(): ReadonlyArray<Attribute> {
    const messages = this.items === undefined
      ? [...this.choices.values()].map(({ calls, finish, text }): Message => ({
        role: "assistant",
        parts: [
          ...(text === "" ? [] : partsOf(text)),
          ...calls.map((call) => ({ type: "tool_call", ...call }))
        ],
        finish_reason: finish
      }))
      : this.items.filter(isRecord).map(messageOf)
    return messages.length === 0 ? [] : [["gen_ai.output.messages", JSON.stringify(messages)]]
  }

  private takeAnswer({ choices, output }: Readonly<Record<string, unknown>>): void {
    if (Array.isArray(output)) this.items = output
    if (!Array.isArray(choices)) return
    choices.filter(isRecord).forEach((choice, i) => this.takeChoice(choice, "message", i))
  }

  private takeEvent(event: Readonly<Record<string, unknown>>): void {
    const { choices, response, type } = event
    if (type === "response.completed" || type === "response.incomplete") {
      if (isRecord(response) && Array.isArray(response["output"])) this.items = response["output"]
    } else if (type === "response.output_text.delta" && typeof event["delta"] === "string") {
      this.choiceOf(0).text += event["delta"]
    }
    if (!Array.isArray(choices)) return
    choices.filter(isRecord).forEach((choice, i) => this.takeChoice(choice, "delta", i))
  }

  private takeChoice(choice: Readonly<Record<string, unknown>>, field: "message" | "delta", position: number): void {
    const { finish_reason: finish, index } = choice
    const kept = this.choiceOf(typeof index === "number" ? index : position)
    if (typeof finish === "string") kept.finish = finish
    const piece = choice[field]
    if (!isRecord(piece)) return
    if (typeof piece["content"] === "string") kept.text += piece["content"]
    const calls = piece["tool_calls"]
    if (!Array.isArray(calls)) return
    calls.filter(isRecord).forEach(({ function: called, id, index }, i) => {
      const at = typeof index === "number" && index >= 0 && index < 1000 ? index : i
      const call = kept.calls[at] ??= { id: "", name: "", arguments: "" }
      if (typeof id === "string") call.id = id
      if (!isRecord(called)) return
      if (typeof called["name"] === "string") call.name += called["name"]
      if (typeof called["arguments"] === "string") call.arguments += called["arguments"]
    })
  }

  private choiceOf(index: number): Choice {
    let choice = this.choices.get(index)
    if (choice === undefined) this.choices.set(index, choice = { text: "", calls: [], finish: "" })
    return choice
  }
}

const isBatch = (content: Batch | Readonly<Record<string, unknown>>): content is Batch =>
  "events" in content && "bytes" in content

const parse = (data: string): unknown => {
  try {
    return JSON.parse(data)
  } catch {
    return undefined
  }
}
