/**
 * The ways to ask: each asks one question, tells what it hears as it comes, and ends when the answer has.
 */
import type { LoadBalancer } from "#core/LoadBalancer"
import * as SeededRandom from "#core/simulation/SeededRandom"
import * as Embeddings from "#core/simulation/SimulatedEmbeddings"
import { Cause, Effect, Exit, Option, Stream } from "effect"
import { APIError } from "openai"
import type { ChatCompletionChunk } from "openai/resources/chat/completions"
import type { ResponseStreamEvent } from "openai/resources/responses/responses"
import type { EffectBalancer, PromiseBalancer } from "./Balancers.ts"
import { OwnerLeft, SERVICE_CODE, ToldError, UnreadableEvent } from "./Ending.ts"
import { ask, type Question } from "./Reply.ts"
import { CHAT_MODEL, DIMENSIONS, EMBEDDING_MODEL, GUEST } from "./World.ts"

/** What a door is told of a call, and tells of it. */
export interface Call {
  readonly question: Question
  readonly session: string | undefined
  readonly signal: AbortSignal
  /** Takes a piece of what is said, of the generation of an id. Returns whether the caller wants no more. */
  readonly hear: (piece: string, id: string) => boolean
  /** Where a caller reads slowly. */
  readonly pause: () => Promise<void>
  /** The proper end of an answer was seen. */
  readonly finish: () => void
}

export type Door = (call: Call) => Promise<void>

export interface Balancers {
  readonly effect: EffectBalancer
  readonly promise: PromiseBalancer
}

/** Every door by name, and how often it is used relative to the others. */
export const doors = (balancers: Balancers): ReadonlyArray<readonly [name: string, weight: number, door: Door]> => [
  ["effect chat stream", 26, effectStream(balancers.effect, chatStream)],
  ["effect responses stream", 10, effectStream(balancers.effect, responsesStream)],
  ["effect chat", 4, effectWhole(balancers.effect)],
  ["effect embeddings", 2, effectEmbeddings(balancers.effect)],
  ["openai chat stream", 26, openaiChatStream(balancers.promise)],
  ["openai responses stream", 12, openaiResponsesStream(balancers.promise)],
  ["openai chat", 4, openaiChat(balancers.promise)],
  ["openai responses", 2, openaiResponses(balancers.promise)],
  ["openai embeddings", 2, openaiEmbeddings(balancers.promise)],
  ["openai conversation", 3, openaiConversation(balancers.promise)],
  ["fetch chat stream", 8, fetchStream(balancers.promise)],
  ["fetch chat", 4, fetchWhole(balancers.promise)]
]

const messagesOf = ({ question }: Call) => [{ role: "user" as const, content: ask(question) }]
const chatOf = (call: Call) => ({ model: CHAT_MODEL, messages: messagesOf(call) })
/** Not stored, which would make of it a request with side effects. */
const responseOf = ({ question }: Call) => ({ model: CHAT_MODEL, input: ask(question), store: false })
const embeddingOf = ({ question }: Call) => ({
  model: EMBEDDING_MODEL,
  input: ask(question),
  encoding_format: "float" as const
})

// --- what is heard ---------------------------------------------------------------------------------------------------

/** Each returns whether the caller wants no more. */
const hearChunk = (call: Call, chunk: ChatCompletionChunk): boolean => {
  const choice = chunk.choices[0]
  const wantsNoMore = call.hear(choice?.delta?.content ?? "", chunk.id)
  if (choice?.finish_reason === "stop") call.finish()
  return wantsNoMore
}

const hearEvent = (call: Call, event: ResponseStreamEvent): boolean => {
  if (event.type === "response.output_text.delta") return call.hear(event.delta, event.item_id)
  if (event.type === "response.completed") call.finish()
  return false
}

const hearWhole = (call: Call, text: string | null | undefined): void => {
  call.hear(text ?? "", "whole")
  call.finish()
}

/** A vector depends on nothing but its text, so what was asked is said in place of the right one. */
const hearVector = (call: Call, vector: ReadonlyArray<number> | undefined): void => {
  const { input } = embeddingOf(call)
  const prompt = {
    inputs: [input],
    characters: 0,
    extraTokens: 0,
    promptTokens: 0,
    dimensions: undefined,
    base64: false
  }
  const right = JSON.parse(Embeddings.body(prompt, EMBEDDING_MODEL, DIMENSIONS)) as Vectors
  const isRight = JSON.stringify(vector) === JSON.stringify(right.data[0]!.embedding)
  call.hear(isRight ? `${call.question.id}/` : "another vector", "whole")
  call.finish()
}

interface Vectors {
  readonly data: ReadonlyArray<{ readonly embedding: ReadonlyArray<number> }>
}

// --- Effect ----------------------------------------------------------------------------------------------------------

const ranThrough = async <A>(
  balancer: EffectBalancer,
  call: Call,
  effect: Effect.Effect<A, unknown>
): Promise<A> => {
  const exit = await balancer.run(effect, call.signal)
  if (Exit.isSuccess(exit)) return exit.value
  if (Cause.hasInterruptsOnly(exit.cause) && call.signal.aborted) throw call.signal.reason
  throw Option.getOrElse(Cause.findErrorOption(exit.cause), () => new Error(Cause.pretty(exit.cause)))
}

const sessionOf = ({ session }: Call) => session === undefined ? {} : { session }

type StreamOf = (lb: LoadBalancer["Service"], call: Call) => Stream.Stream<boolean, unknown>

const chatStream: StreamOf = (lb, call) =>
  Stream.map(lb.chatStream(chatOf(call), sessionOf(call)), (chunk) => hearChunk(call, chunk))

const responsesStream: StreamOf = (lb, call) =>
  Stream.map(lb.responsesStream(responseOf(call), sessionOf(call)), (event) => hearEvent(call, event))

const effectStream = (balancer: EffectBalancer, streamOf: StreamOf): Door => (call) =>
  ranThrough(
    balancer,
    call,
    streamOf(balancer.lb, call).pipe(
      Stream.tap(() => Effect.promise(call.pause)),
      Stream.takeUntil((wantsNoMore) => wantsNoMore),
      Stream.runDrain
    )
  )

const effectWhole = (balancer: EffectBalancer): Door => async (call) => {
  const answer = await ranThrough(balancer, call, balancer.lb.chat(chatOf(call), sessionOf(call)))
  hearWhole(call, answer.choices[0]?.message.content)
}

const effectEmbeddings = (balancer: EffectBalancer): Door => async (call) => {
  const answer = await ranThrough(balancer, call, balancer.lb.embeddings(embeddingOf(call)))
  hearVector(call, answer.data[0]?.embedding)
}

// --- the official client ---------------------------------------------------------------------------------------------

const clientOf = ({ client }: PromiseBalancer, { session }: Call) =>
  session === undefined ? client.openai : client.session(session)

/** Reads to the end, or until the caller breaks out of the loop. */
const read = async <A>(call: Call, items: AsyncIterable<A>, hear: (call: Call, item: A) => boolean): Promise<void> => {
  try {
    for await (const item of items) {
      if (hear(call, item)) break
      await call.pause()
    }
  } catch (error) {
    // the official client's, where an event that it was given is no JSON
    throw error instanceof SyntaxError ? new UnreadableEvent(error.message) : error
  }
}

const openaiChatStream = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  const stream = await clientOf(balancer, call).chat.completions.create({ ...chatOf(call), stream: true }, { signal })
  await read(call, stream, hearChunk)
}

const openaiResponsesStream = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  await readEvents(
    call,
    await clientOf(balancer, call).responses.create({ ...responseOf(call), stream: true }, { signal })
  )
}

const readEvents = async (call: Call, stream: AsyncIterable<ResponseStreamEvent>): Promise<void> => {
  let hasFailed = false
  await read(call, stream, (call, event) => {
    hasFailed ||= event.type === "response.failed"
    return hearEvent(call, event)
  })
  // given on as the service's last word, after which the official client ends the loop
  if (hasFailed) throw new ToldError({ error: { code: SERVICE_CODE } })
}

/** A stored response and one that goes on from it, which only the resource that made the first can give. */
const openaiConversation = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  const { responses } = clientOf(balancer, call)
  const stored = { ...responseOf(call), store: true }
  const first = await responses.create(stored, { signal })
  const isGuestHere = () => balancer.snapshot().resources.some(({ name }) => name === GUEST)
  const wasHere = isGuestHere()
  try {
    const stream = await responses.create({ ...stored, previous_response_id: first.id, stream: true }, { signal })
    await readEvents(call, stream)
  } catch (error) {
    const isUnknown = error instanceof APIError && error.message.includes(`'${first.id}' not found`)
    const isOfGuest = first.id.startsWith(`resp_${SeededRandom.hash(GUEST).toString(36)}`)
    throw isUnknown && isOfGuest && !(wasHere && isGuestHere()) ? new OwnerLeft() : error
  } finally {
    // the service would keep them all; nobody waits for it
    void responses.delete(first.id).catch(() => {})
  }
}

const openaiChat = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  const answer = await clientOf(balancer, call).chat.completions.create(chatOf(call), { signal })
  hearWhole(call, answer.choices[0]?.message.content)
}

const openaiResponses = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  const answer = await clientOf(balancer, call).responses.create(responseOf(call), { signal })
  hearWhole(call, answer.output_text)
}

const openaiEmbeddings = (balancer: PromiseBalancer): Door => async (call) => {
  const { signal } = call
  const answer = await clientOf(balancer, call).embeddings.create(embeddingOf(call), { signal })
  hearVector(call, answer.data[0]?.embedding)
}

// --- fetch -----------------------------------------------------------------------------------------------------------

const fetched = async ({ client }: PromiseBalancer, call: Call, stream: boolean): Promise<Response> => {
  const response = await client.fetch("https://api.openai.com/v1/chat/completions", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(call.session === undefined ? {} : { "x-session-id": call.session })
    },
    body: JSON.stringify({ ...chatOf(call), stream }),
    signal: call.signal
  })
  if (response.status !== 200) throw new ToldError(await response.json())
  return response
}

const fetchWhole = (balancer: PromiseBalancer): Door => async (call) => {
  const response = await fetched(balancer, call, false)
  const answer = await response.json() as { choices: ReadonlyArray<{ message: { content: string } }> }
  hearWhole(call, answer.choices[0]?.message.content)
}

const fetchStream = (balancer: PromiseBalancer): Door => async (call) => {
  const response = await fetched(balancer, call, true)
  await read(call, chunksOf(response.body!), hearChunk)
}

/** The chunks of a chat stream, as a plain client of server-sent events reads them. */
const chunksOf = async function*(body: ReadableStream<Uint8Array>): AsyncGenerator<ChatCompletionChunk> {
  const decoder = new TextDecoder()
  let text = ""
  // breaking out of it cancels the body
  for await (const bytes of body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(bytes, { stream: true })
    const events = text.split("\n\n")
    text = events.pop()!
    for (const event of events) {
      const data = event.replace(/^event: .*\n/, "").replace(/^data: /, "")
      if (data === "[DONE]") continue
      const chunk = JSON.parse(data) as ChatCompletionChunk
      if ("error" in chunk || event.startsWith("event: error")) throw new ToldError(chunk)
      yield chunk
    }
  }
}
