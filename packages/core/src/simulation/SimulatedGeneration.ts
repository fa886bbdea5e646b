/**
 * One answer of the simulated model: what it says, and when each token of it is ready.
 */
import * as SeededRandom from "./SeededRandom.ts"
import type { SimulatedReply } from "./SimulatedDeployment.ts"
import type { Served } from "./SimulatedExchange.ts"
import type { SimulatedPrompt } from "./SimulatedPrompt.ts"
import * as Text from "./SimulatedText.ts"

/**
 * One answer among `n`.
 */
export interface Output {
  /** Text, a token each. Empty if functions are called. */
  readonly pieces: ReadonlyArray<string>
  readonly calls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly pieces: ReadonlyArray<string> }>
  readonly finish: "stop" | "length" | "tool_calls" | "content_filter"
}

/**
 * What a generation is drawn from.
 */
export interface GenerationInput {
  readonly prompt: SimulatedPrompt
  readonly cachedTokens: number
  /** Prompt tokens that are billed as written to the cache. */
  readonly cacheWriteTokens: number
  readonly reasoningTokens: number
}

/**
 * What will be said, and when. Times are in ms after the request.
 */
export interface Generation extends GenerationInput {
  readonly outputs: ReadonlyArray<Output>
  /** All that is billed as output, reasoning included. */
  readonly completionTokens: number
  /** When the service begins a streamed answer. */
  readonly startsAt: number
  readonly firstTokenAt: number
  readonly perTokenMs: number
  /** Steps of decoding: reasoning, then the longest output. */
  readonly steps: number
  /** Steps that were handed out so far, if the answer is streamed. */
  delivered: number
}

/**
 * Draws a generation. Its reasoning is about as long as is given.
 */
export const make = (exchange: Served, input: GenerationInput): Generation => {
  const { deployment: { contextTokens, counters, latency, name, options }, random } = exchange
  const { cachedTokens, prompt } = input
  const reply = options.reply?.({ deployment: name, operation: exchange.route.operation, body: exchange.body })
  const slow = exchange.factorOf("slow")
  const load = 1 + (counters.inFlight / latency.capacity) ** 2
  const firstTokenAt = slow * load * SeededRandom.lognormal(random, latency.jitter) *
    (latency.baseMs + latency.perPromptTokenMs * (prompt.promptTokens - cachedTokens))
  const perTokenMs = slow * exchange.factorOf("slowDecoding") * load * latency.perOutputTokenMs *
    SeededRandom.lognormal(random, latency.jitter)
  const most = Math.max(1, Math.min(prompt.maxTokens ?? Infinity, contextTokens - prompt.promptTokens))
  const reasoningTokens = input.reasoningTokens === 0
    ? 0
    : Math.min(most, Math.max(1, Math.round(input.reasoningTokens * SeededRandom.lognormal(random, 0.5))))
  const outputs = Array.from(
    { length: prompt.choices },
    () => makeOutput(exchange, prompt, reply, most - reasoningTokens)
  )
  const lengths = outputs.map(lengthOf)
  const steps = reasoningTokens + Math.max(...lengths)
  return {
    ...input,
    reasoningTokens,
    outputs,
    completionTokens: reasoningTokens + lengths.reduce((sum, length) => sum + length, 0),
    startsAt: firstTokenAt / 2,
    firstTokenAt,
    perTokenMs,
    steps,
    delivered: prompt.stream ? 0 : steps
  }
}

const makeOutput = (
  { deployment, random, resource }: Served,
  prompt: SimulatedPrompt,
  reply: SimulatedReply | undefined,
  limit: number
): Output => {
  const seed = Math.floor(random() * 4_294_967_296)
  const own = SeededRandom.make(seed)
  const meant = Math.max(1, Math.round(deployment.meanTokens * SeededRandom.lognormal(own, 0.5)))
  const calls = typeof reply === "object" && reply.calls !== undefined
    ? reply.calls
    : reply === undefined
    ? prompt.calls.map((call) => ({ name: call.name, arguments: Text.makeValue(call.parameters, own) }))
    : []
  if (calls.length > 0) {
    let left = limit
    const cut = calls.map((call, index) => {
      const pieces = Text.cut(JSON.stringify(call.arguments)).slice(0, left)
      left -= pieces.length
      return { id: `call_${seed.toString(36)}${index}`, name: call.name, pieces }
    })
    return { pieces: [], calls: cut, finish: left === 0 ? "length" : "tool_calls" }
  }
  const text = typeof reply === "string" ? reply : reply?.text
  const whole = text !== undefined
    ? Text.cut(text)
    : prompt.schema === undefined
    ? Text.makeProse(Math.min(meant, limit + 1), seed)
    : Text.cut(JSON.stringify(Text.makeValue(prompt.schema, own)))
  const isFiltered = prompt.text.includes(resource.blockedAnswer)
  const pieces = whole.slice(0, isFiltered ? Math.min(limit, Math.ceil(whole.length / 4)) : limit)
  const finish = isFiltered ? "content_filter" : pieces.length < whole.length ? "length" : "stop"
  return { pieces, calls: [], finish }
}

/**
 * How many tokens an output has.
 */
export const lengthOf = (output: Output): number =>
  output.pieces.length + output.calls.reduce((sum, call) => sum + call.pieces.length, 0)

/**
 * When the token of one step of decoding is ready.
 */
export const stepAt = (self: Generation, step: number): number => self.firstTokenAt + step * self.perTokenMs

/**
 * When everything is said.
 */
export const endAt = (self: Generation): number => stepAt(self, Math.max(0, self.steps - 1))

/**
 * How many output tokens are billed if the answer ends now: those generated by `at`, and never more than handed out.
 */
export const billedBy = (self: Generation, at: number): number => {
  // what comes exactly then is there, whatever sums of fractions say
  const since = at - self.firstTokenAt + 0.001
  const generated = since < 0 ? 0 : self.perTokenMs === 0 ? self.steps : Math.floor(since / self.perTokenMs) + 1
  return tokensOf(self, Math.min(generated, self.steps, self.delivered))
}

/**
 * How many output tokens are billed for what was handed out.
 */
export const billedForDelivered = (self: Generation): number => tokensOf(self, self.delivered)

const tokensOf = (self: Generation, steps: number): number => {
  if (steps >= self.steps) return self.completionTokens
  const visible = Math.max(0, steps - self.reasoningTokens)
  return Math.min(steps, self.reasoningTokens) +
    self.outputs.reduce((sum, output) => sum + Math.min(lengthOf(output), visible), 0)
}
