/**
 * Prompts and completions as attributes of spans: only where that was switched on.
 *
 * (GenAI conventions: `gen_ai.input.messages` and its like, as JSON, because spans cannot hold structures.) Bytes of images,
 * sounds and files are left out: nobody reads them in a trace, and there may be megabytes of them.
 */
import { parseBody } from "../attempt/ServiceError.ts"
import type { Batch } from "../attempt/SseReader.ts"
import { isRecord, type LlmRequest } from "../request/LlmRequest.ts"

/** An attribute and its value. */
type Attribute = readonly [name: string, value: string | ReadonlyArray<string>]

type Fields = Readonly<Record<string, unknown>>

/** A part of a message: text, a tool call, its result, something that is not text. */
interface Part extends Fields {
  readonly type: string
}

interface Message {
  readonly role: string
  readonly parts: ReadonlyArray<Part>
  readonly finish_reason?: string | undefined
}

/** What was asked, of the body that is sent. */
export const inputOf = ({ body, operation }: LlmRequest): ReadonlyArray<Attribute> => {
  const written = body.withModel(undefined)
  const parameters = typeof written === "string" ? parseBody(written) : undefined
  if (!isRecord(parameters) || (operation !== "chat" && operation !== "responses")) return []
  const found: Array<Attribute> = []
  const input = operation === "chat" ? parameters["messages"] : parameters["input"]
  if (typeof input === "string") found.push(json("gen_ai.input.messages", [{ role: "user", parts: partsOf(input) }]))
  else if (Array.isArray(input)) {
    const messages = input.filter(isRecord).map((item) => operation === "chat" ? messageOf(item) : itemOf(item))
    found.push(json("gen_ai.input.messages", messages))
  }
  const { instructions, stop, tools } = parameters
  const system = partsOf(instructions)
  if (system.length > 0) found.push(json("gen_ai.system_instructions", system))
  if (Array.isArray(tools)) found.push(json("gen_ai.tool.definitions", tools))
  const stops = (Array.isArray(stop) ? stop : [stop]).filter(isText)
  if (stops.length > 0) found.push(["gen_ai.request.stop_sequences", stops])
  return found
}

const json = (name: string, value: unknown): Attribute => [name, JSON.stringify(value)]

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** A message of a chat. */
const messageOf = (message: Fields): Message => {
  const { content, role, tool_call_id: id } = message
  if (typeof id === "string") return { role: text(role) ?? "tool", parts: [responseOf(id, content)] }
  return { role: text(role) ?? "user", parts: [...partsOf(content), ...refusalOf(message), ...callsOf(message)] }
}

/** An item of a response, or of what it was asked with. */
const itemOf = (item: Fields): Message => {
  const { call_id: id, role, type } = item
  if (type === undefined || type === "message") {
    return { role: text(role) ?? "user", parts: [...partsOf(item["content"]), ...refusalOf(item)] }
  }
  if (typeof type === "string" && type.endsWith("_output")) {
    return { role: "tool", parts: [responseOf(id, item["output"])] }
  }
  return { role: text(role) ?? "assistant", parts: itemPartsOf(item) }
}

const itemPartsOf = (item: Fields): ReadonlyArray<Part> => {
  const { call_id: id, name, type } = item
  switch (type) {
    case "message":
      return itemOf(item).parts
    case "reasoning":
      return [...textsOf(item["summary"]), ...textsOf(item["content"])].map((content) => ({
        type: "reasoning",
        content
      }))
    case "function_call":
    case "custom_tool_call":
      return [{ type: "tool_call", id, name, arguments: item["arguments"] ?? item["input"] }]
    default:
      // a tool of the service's own: what it was asked, and what it gave
      return typeof type === "string" ? [{ ...withoutBytes(item), type }] : []
  }
}

const textsOf = (parts: unknown): ReadonlyArray<string> =>
  Array.isArray(parts) ? parts.map((part) => isRecord(part) ? text(part["text"]) : undefined).filter(isText) : []

const isText = (value: unknown): value is string => typeof value === "string"

const responseOf = (id: unknown, response: unknown): Part => ({
  type: "tool_call_response",
  id,
  response: Array.isArray(response) ? partsOf(response) : response
})

const refusalOf = ({ refusal }: Fields): ReadonlyArray<Part> =>
  typeof refusal === "string" && refusal !== "" ? [{ type: "refusal", content: refusal }] : []

const callsOf = ({ function_call: single, tool_calls: calls }: Fields): ReadonlyArray<Part> => {
  const found = Array.isArray(calls) ? calls.filter(isRecord) : []
  if (isRecord(single)) found.push({ function: single })
  return found.map(({ custom, function: called, id }) => {
    const { arguments: given, input, name } = isRecord(called) ? called : isRecord(custom) ? custom : {}
    return { type: "tool_call", id, name, arguments: given ?? input }
  })
}

const partsOf = (content: unknown): ReadonlyArray<Part> => {
  if (typeof content === "string") return [{ type: "text", content }]
  return Array.isArray(content) ? content.filter(isRecord).map(partOf) : []
}

const partOf = (part: Fields): Part => {
  const { file, image_url: image, input_audio: audio, refusal, type } = part
  if (typeof part["text"] === "string") return { type: "text", content: part["text"] }
  if (typeof refusal === "string") return { type: "refusal", content: refusal }
  const url = isRecord(image) ? image["url"] : image
  if (typeof url === "string") return mediaOf("image", url)
  if (isRecord(audio)) return { type: "blob", modality: "audio", mime_type: `audio/${text(audio["format"]) ?? "wav"}` }
  const { file_id: id, file_url: at, filename: name } = isRecord(file) ? file : part
  const modality = type === "input_image" ? "image" : "file"
  if (typeof id === "string") return { type: "file", modality, file_id: id }
  if (typeof at === "string") return mediaOf(modality, at)
  if (isRecord(file) || type === "input_file") return { type: "blob", modality, name }
  return { ...withoutBytes(part), type: text(type) ?? "unknown" }
}

const mediaOf = (modality: string, uri: string): Part => {
  const [, mime] = /^data:([^;,]*)/.exec(uri) ?? []
  return mime === undefined ? { type: "uri", modality, uri } : { type: "blob", modality, mime_type: mime }
}

/** Fields that hold what only machines read, in the many forms that services have. */
const bytes: ReadonlySet<string> = new Set(["encrypted_content", "result", "data", "b64_json", "file_data"])

const withoutBytes = (fields: Fields): Fields =>
  Object.fromEntries(
    Object.entries(fields).filter(([name, value]) => !(bytes.has(name) && typeof value === "string"))
  )

interface Call extends Part {
  id: string
  name: string
  arguments: string
}

interface Choice {
  text: string
  refusal: string
  readonly calls: Map<number, Call>
  finish: string | undefined
}

/** Most choices and tool calls of one answer that are put together. */
const MAX_PIECES = 1000

/**
 * Collects what was answered, whole or piece by piece.
 */
export class CapturedOutput {
  private readonly choices = new Map<number, Choice>()
  private items: Array<unknown> = []
  private status: string | undefined

  /** Takes in a whole answer, or events of a stream. */
  take(content: Batch | Fields): void {
    if (!isBatch(content)) return this.takeAnswer(content)
    for (const { data, json } of content.events) {
      const event: unknown = json ?? parseBody(data)
      if (isRecord(event)) this.takeEvent(event)
    }
  }

  attributes(): ReadonlyArray<Attribute> {
    const messages = [...this.choices.entries()].toSorted(([a], [b]) => a - b).map(([, choice]) =>
      this.messageOf(choice)
    )
    if (this.items.length > 0) {
      // items of one answer, and what came of the one that was not finished
      const parts = [...this.items.filter(isRecord).flatMap(itemPartsOf), ...messages.flatMap(({ parts }) => parts)]
      return [json("gen_ai.output.messages", [{ role: "assistant", parts, finish_reason: this.status }])]
    }
    return messages.length === 0 ? [] : [json("gen_ai.output.messages", messages)]
  }

  private messageOf({ calls, finish, refusal, text }: Choice): Message {
    return {
      role: "assistant",
      parts: [...(text === "" ? [] : partsOf(text)), ...refusalOf({ refusal }), ...calls.values()],
      finish_reason: finish
    }
  }

  private takeAnswer(answer: Fields): void {
    this.takeResponse(answer)
    this.takeChoices(answer["choices"], "message")
  }

  private takeEvent(event: Fields): void {
    const { choices, delta, item, response, type } = event
    switch (type) {
      case "response.output_text.delta":
        if (typeof delta === "string") this.choiceOf(0).text += delta
        return
      case "response.refusal.delta":
        if (typeof delta === "string") this.choiceOf(0).refusal += delta
        return
      case "response.output_item.done":
        // it has in it what its deltas said
        this.choices.clear()
        if (this.items.length < MAX_PIECES) this.items.push(item)
        return
      case "response.completed":
      case "response.incomplete":
      case "response.failed":
        if (isRecord(response)) this.takeResponse(response)
        return
    }
    this.takeChoices(choices, "delta")
  }

  private takeResponse({ output, status }: Fields): void {
    this.status = text(status) ?? this.status
    if (!Array.isArray(output) || output.length === 0) return
    this.choices.clear()
    this.items = output
  }

  private takeChoices(choices: unknown, field: "message" | "delta"): void {
    if (Array.isArray(choices)) choices.forEach((choice, i) => isRecord(choice) && this.takeChoice(choice, field, i))
  }

  private takeChoice(choice: Fields, field: "message" | "delta", position: number): void {
    const { finish_reason: finish, index } = choice
    const at = typeof index === "number" ? index : position
    if (this.choices.size >= MAX_PIECES && !this.choices.has(at)) return
    const kept = this.choiceOf(at)
    if (typeof finish === "string") kept.finish = finish
    const piece = choice[field]
    if (!isRecord(piece)) return
    const { content, function_call: single, refusal, tool_calls: calls } = piece
    if (typeof content === "string") kept.text += content
    if (typeof refusal === "string") kept.refusal += refusal
    if (Array.isArray(calls)) calls.forEach((call, i) => isRecord(call) && takeCall(kept, call, i))
    if (isRecord(single)) takeCall(kept, { function: single }, 0)
  }

  private choiceOf(index: number): Choice {
    const choice = this.choices.get(index) ?? { text: "", refusal: "", calls: new Map(), finish: undefined }
    this.choices.set(index, choice)
    return choice
  }
}

const takeCall = ({ calls }: Choice, { custom, function: called, id, index }: Fields, position: number): void => {
  const at = typeof index === "number" ? index : position
  let call = calls.get(at)
  if (call === undefined) {
    if (calls.size >= MAX_PIECES) return
    calls.set(at, call = { type: "tool_call", id: "", name: "", arguments: "" })
  }
  if (typeof id === "string") call.id = id
  const { arguments: given, input, name } = isRecord(called) ? called : isRecord(custom) ? custom : {}
  if (typeof name === "string") call.name += name
  const more = given ?? input
  if (typeof more === "string") call.arguments += more
}

const isBatch = (content: Batch | Fields): content is Batch => "events" in content && "bytes" in content
