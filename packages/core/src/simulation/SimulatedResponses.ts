/**
 * Responses: the object, and its stream of events.
 */
import { namedEvent, type SimulatedEnding, type SimulatedPart } from "./SimulatedAnswer.ts"
import type { Served } from "./SimulatedExchange.ts"
import * as Generations from "./SimulatedGeneration.ts"
import type { Json } from "./SimulatedPrompt.ts"

type Generation = Generations.Generation

/**
 * How far a response has come.
 */
export type ResponseStatus = "queued" | "in_progress" | "completed" | "incomplete" | "failed" | "cancelled"

/**
 * The response object, as far as it has come.
 */
export const object = (exchange: Served, generation: Generation, status = finalStatus(generation)): Json => {
  const over = status === "completed" || status === "incomplete"
  const { body: request, created, deployment, id } = exchange
  const conversation = conversationId(request)
  const output = over ? items(exchange, generation) : []
  return {
    id: `resp_${id}`,
    object: "response",
    created_at: created,
    status,
    background: request["background"] === true,
    error: null,
    incomplete_details: status === "incomplete" ? { reason: incompleteReason(generation) } : null,
    instructions: request["instructions"] ?? null,
    max_output_tokens: request["max_output_tokens"] ?? null,
    metadata: request["metadata"] ?? {},
    model: deployment.model,
    output,
    parallel_tool_calls: request["parallel_tool_calls"] ?? true,
    previous_response_id: request["previous_response_id"] ?? null,
    conversation: conversation === undefined ? null : { id: conversation },
    prompt_cache_key: request["prompt_cache_key"] ?? null,
    reasoning: request["reasoning"] ?? { effort: null, summary: null },
    service_tier: "default",
    store: request["store"] !== false,
    temperature: request["temperature"] ?? 1,
    text: request["text"] ?? { format: { type: "text" } },
    tool_choice: request["tool_choice"] ?? "auto",
    tools: request["tools"] ?? [],
    top_p: request["top_p"] ?? 1,
    truncation: request["truncation"] ?? "disabled",
    usage: over ? usage(generation) : null
  }
}

/**
 * What the response says, as text.
 */
export const textOf = (generation: Generation): string => {
  const output = generation.outputs[0]!
  return output.calls.length > 0
    ? output.calls.map((call) => call.pieces.join("")).join("\n")
    : output.pieces.join("")
}

/**
 * The events of a streamed response.
 */
export const stream = function*(
  exchange: Served,
  generation: Generation
): Generator<SimulatedPart, SimulatedEnding, void> {
  let sequence = 0
  const event = (at: number, type: string, fields: Json): SimulatedPart => ({
    at,
    data: namedEvent({ type, sequence_number: sequence++, ...fields })
  })
  const { tokensPerEvent } = exchange.deployment.latency
  const { reasoningTokens, startsAt } = generation
  const begun = object(exchange, generation, "in_progress")
  yield event(startsAt, "response.created", { response: begun })
  yield event(startsAt, "response.in_progress", { response: begun })

  const finished = object(exchange, generation)
  const end = Generations.endAt(generation)
  let step = 0
  for (const [outputIndex, item] of (finished["output"] as ReadonlyArray<Item>).entries()) {
    const at = Generations.stepAt(generation, step)
    yield event(at, "response.output_item.added", { output_index: outputIndex, item: unfinished(item) })
    if (item.type === "reasoning") {
      step = reasoningTokens
      generation.delivered = reasoningTokens
    } else {
      const place = { item_id: item.id, output_index: outputIndex }
      const message = item.type === "message"
      const content = message ? { ...place, content_index: 0 } : place
      const pieces = message
        ? generation.outputs[0]!.pieces
        : generation.outputs[0]!.calls.find((call) => call.id === item.call_id)!.pieces
      if (message) yield event(at, "response.content_part.added", { ...content, part: textPart("") })
      for (let from = 0; from < pieces.length; from += tokensPerEvent) {
        const delta = pieces.slice(from, from + tokensPerEvent)
        step += delta.length
        generation.delivered = step
        yield event(
          Generations.stepAt(generation, step - 1),
          message ? "response.output_text.delta" : "response.function_call_arguments.delta",
          { ...content, delta: delta.join(""), ...(message ? { logprobs: [] } : undefined) }
        )
      }
      const doneAt = Generations.stepAt(generation, Math.max(0, step - 1))
      const text = pieces.join("")
      if (message) {
        yield event(doneAt, "response.output_text.done", { ...content, text, logprobs: [] })
        yield event(doneAt, "response.content_part.done", { ...content, part: textPart(text) })
      } else {
        yield event(doneAt, "response.function_call_arguments.done", { ...content, name: item.name, arguments: text })
      }
    }
    yield event(Generations.stepAt(generation, Math.max(0, step - 1)), "response.output_item.done", {
      output_index: outputIndex,
      item
    })
  }
  generation.delivered = generation.steps
  yield event(end, `response.${finished["status"] as string}`, { response: finished })
  return "end"
}

/**
 * The events of a response that failed. Azure (`nested`) sends a bare `response.failed`, then an `error` that holds the
 * error; OpenAI (`flat`) sends an `error` that is the error.
 */
export const errorEvents = (
  { created, deployment, id }: Served,
  error: Json,
  shape: "nested" | "flat"
): ReadonlyArray<string> => {
  if (shape === "flat") return [namedEvent({ ...error, type: "error", sequence_number: 0 })]
  const response = {
    id: `resp_${id}`,
    object: "response",
    created_at: created,
    status: "failed",
    error: null,
    incomplete_details: null,
    model: deployment.model,
    output: [],
    usage: null
  }
  return [
    namedEvent({ type: "response.failed", sequence_number: 0, response }),
    namedEvent({ type: "error", sequence_number: 1, error })
  ]
}

/**
 * The conversation that a request belongs to.
 */
export const conversationId = (request: Json): string | undefined => {
  const conversation = request["conversation"]
  const id = typeof conversation === "object" && conversation !== null ? (conversation as Json)["id"] : conversation
  return typeof id === "string" ? id : undefined
}

/**
 * Whether a request wants its reasoning items encrypted.
 */
export const encrypts = ({ include }: Json): boolean =>
  Array.isArray(include) && include.includes("reasoning.encrypted_content")

type Item = Json & {
  readonly id: string
  readonly type: "reasoning" | "message" | "function_call"
  readonly call_id?: string
  readonly name?: string
}

const items = ({ body, id, resource }: Served, generation: Generation): ReadonlyArray<Item> => {
  const { reasoningTokens } = generation
  const output = generation.outputs[0]!
  const reasoning: ReadonlyArray<Item> = reasoningTokens === 0 ? [] : [{
    id: `rs_${id}`,
    type: "reasoning",
    summary: [],
    ...(encrypts(body) ? { encrypted_content: `${resource.encryptedPrefix}${id}` } : undefined)
  }]
  const status = output.finish === "stop" || output.finish === "tool_calls" ? "completed" : "incomplete"
  if (output.calls.length > 0) {
    return [
      ...reasoning,
      ...output.calls.map((call, index): Item => ({
        id: `fc_${id}${index}`,
        type: "function_call",
        status,
        call_id: call.id,
        name: call.name,
        arguments: call.pieces.join("")
      }))
    ]
  }
  // A limit that reasoning used up leaves no message.
  if (output.pieces.length === 0 && status === "incomplete") return reasoning
  return [...reasoning, {
    id: `msg_${id}`,
    type: "message",
    status,
    role: "assistant",
    content: [textPart(output.pieces.join(""))]
  }]
}

const unfinished = (item: Item): Json => {
  if (item.type === "reasoning") return { id: item.id, type: item.type, summary: [] }
  if (item.type === "message") return { ...item, status: "in_progress", content: [] }
  return { ...item, status: "in_progress", arguments: "" }
}

const textPart = (text: string): Json => ({ type: "output_text", annotations: [], logprobs: [], text })

const finalStatus = (generation: Generation): ResponseStatus => {
  const finish = generation.outputs[0]!.finish
  return finish === "stop" || finish === "tool_calls" ? "completed" : "incomplete"
}

const incompleteReason = (generation: Generation): string =>
  generation.outputs[0]!.finish === "content_filter" ? "content_filter" : "max_output_tokens"

const usage = (generation: Generation): Json => ({
  input_tokens: generation.prompt.promptTokens,
  input_tokens_details: { cached_tokens: generation.cachedTokens, cache_write_tokens: generation.cacheWriteTokens },
  output_tokens: generation.completionTokens,
  output_tokens_details: { reasoning_tokens: generation.reasoningTokens },
  total_tokens: generation.prompt.promptTokens + generation.completionTokens
})
