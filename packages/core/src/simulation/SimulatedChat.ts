/**
 * Chat completions: the body, and the stream of chunks.
 */
import { dataEvent, done, type SimulatedEnding, type SimulatedPart } from "./SimulatedAnswer.ts"
import { safeResults } from "./SimulatedErrors.ts"
import type { Served } from "./SimulatedExchange.ts"
import * as Generations from "./SimulatedGeneration.ts"
import type { Json } from "./SimulatedPrompt.ts"

type Generation = Generations.Generation
type Output = Generations.Output

/** How every answer, and every chunk of one, begins. */
const headOf = ({ created, deployment, id }: Served, object: string) => ({
  id: `chatcmpl-${id}`,
  object,
  created,
  model: deployment.model
})

/**
 * The body of a chat completion that is not streamed.
 */
export const body = (exchange: Served, generation: Generation): string => {
  const { azure } = exchange.resource
  return JSON.stringify({
    ...headOf(exchange, "chat.completion"),
    choices: generation.outputs.map((output, index) => ({
      index,
      message: { role: "assistant", content: textOf(output), refusal: null, annotations: [], ...toolCalls(output) },
      logprobs: null,
      finish_reason: output.finish,
      ...(azure ? { content_filter_results: filterResults(output) } : undefined)
    })),
    usage: usage(generation),
    service_tier: "default",
    system_fingerprint: "fp_simulated",
    ...(azure
      ? { prompt_filter_results: [{ prompt_index: 0, content_filter_results: safeResults }] }
      : undefined)
  })
}

/**
 * The chunks of a streamed chat completion.
 */
export const stream = function*(
  exchange: Served,
  generation: Generation
): Generator<SimulatedPart, SimulatedEnding, void> {
  const { deployment: { latency: { tokensPerEvent }, options: { asyncFilter } }, resource: { azure } } = exchange
  const { outputs, prompt: { includeUsage }, reasoningTokens, startsAt, steps } = generation
  const head = {
    ...headOf(exchange, "chat.completion.chunk"),
    service_tier: "default",
    system_fingerprint: "fp_simulated"
  }
  const tail = includeUsage ? { usage: null } : undefined
  const chunk = (choices: ReadonlyArray<unknown>): string => dataEvent({ ...head, choices, ...tail })
  const choice = (index: number, delta: unknown, finish: string | null = null): string =>
    chunk([{ index, delta, logprobs: null, finish_reason: finish }])

  if (azure) {
    yield { at: startsAt, data: promptFilterEvent }
  }
  for (let index = 0; index < outputs.length; index++) {
    const content = outputs[index]!.calls.length > 0 ? null : ""
    yield { at: startsAt, data: choice(index, { role: "assistant", content, refusal: null }) }
  }

  // The part of a content chunk around its text never changes, and most of a stream is content chunks.
  const around = outputs.map((_, index) => choice(index, { content: "\u0000" }).split("\"\\u0000\""))
  const cursors = outputs.map(() => 0)
  let offset = 0
  for (let step = reasoningTokens; step < steps;) {
    const from = step - reasoningTokens
    step = Math.min(steps, step + tokensPerEvent)
    const to = step - reasoningTokens
    const at = Generations.stepAt(generation, step - 1)
    generation.delivered = step
    for (let index = 0; index < outputs.length; index++) {
      const output = outputs[index]!
      if (output.calls.length > 0) {
        for (const delta of callDeltas(output, from, to)) yield { at, data: choice(index, { tool_calls: [delta] }) }
        continue
      }
      const text = output.pieces.slice(from, to).join("")
      if (text === "") continue
      cursors[index]! += text.length
      yield { at, data: around[index]![0]! + JSON.stringify(text) + around[index]![1]! }
    }
    if (asyncFilter === true && to - offset >= annotateEvery) {
      offset = to
      yield { at, data: annotation(cursors[0] ?? 0) }
    }
  }

  const at = Generations.endAt(generation)
  generation.delivered = steps
  for (let index = 0; index < outputs.length; index++) {
    yield { at, data: choice(index, {}, outputs[index]!.finish) }
  }
  if (asyncFilter === true) yield { at, data: annotation(cursors[0] ?? 0) }
  if (includeUsage) yield { at, data: dataEvent({ ...head, choices: [], usage: usage(generation) }) }
  yield { at, data: done }
  return "end"
}

/**
 * The events of a chat stream that tell of an error.
 */
export const errorEvents = (error: Json): ReadonlyArray<string> => [dataEvent({ error }), done]

const usage = (generation: Generation): unknown => ({
  prompt_tokens: generation.prompt.promptTokens,
  completion_tokens: generation.completionTokens,
  total_tokens: generation.prompt.promptTokens + generation.completionTokens,
  prompt_tokens_details: {
    cached_tokens: generation.cachedTokens,
    ...(generation.cacheWriteTokens > 0 ? { cache_write_tokens: generation.cacheWriteTokens } : {}),
    audio_tokens: 0
  },
  completion_tokens_details: {
    reasoning_tokens: generation.reasoningTokens,
    audio_tokens: 0,
    accepted_prediction_tokens: 0,
    rejected_prediction_tokens: 0
  }
})

const annotateEvery = 25

const promptFilterEvent = dataEvent({
  choices: [],
  created: 0,
  id: "",
  model: "",
  object: "",
  prompt_filter_results: [{ prompt_index: 0, content_filter_results: safeResults }]
})

const annotation = (end: number): string =>
  dataEvent({
    id: "",
    object: "",
    created: 0,
    model: "",
    choices: [{
      index: 0,
      finish_reason: null,
      content_filter_results: safeResults,
      content_filter_offsets: { check_offset: end, start_offset: 0, end_offset: end }
    }]
  })

const filterResults = (output: Output): unknown =>
  output.finish === "content_filter"
    ? { ...safeResults, violence: { filtered: true, severity: "medium" } }
    : safeResults

const textOf = (output: Output): string | null => output.calls.length > 0 ? null : output.pieces.join("")

const toolCalls = (output: Output): object | undefined =>
  output.calls.length === 0 ? undefined : {
    tool_calls: output.calls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: call.pieces.join("") }
    }))
  }

/** The deltas of the tokens from `from` up to `to`, counted over all calls of an output. */
const callDeltas = (output: Output, from: number, to: number): Array<unknown> => {
  const deltas: Array<unknown> = []
  let start = 0
  for (const [index, call] of output.calls.entries()) {
    const end = start + call.pieces.length
    if (start >= from && start < to) {
      deltas.push({ index, id: call.id, type: "function", function: { name: call.name, arguments: "" } })
    }
    const text = call.pieces.slice(Math.max(0, from - start), Math.max(0, to - start)).join("")
    if (text !== "") deltas.push({ index, function: { arguments: text } })
    start = end
  }
  return deltas
}
