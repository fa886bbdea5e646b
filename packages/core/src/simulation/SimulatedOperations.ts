/**
 * What the service does with a request that found its deployment: generate, or embed.
 */
import type * as Answer from "./SimulatedAnswer.ts"
import * as Chat from "./SimulatedChat.ts"
import * as Deployment from "./SimulatedDeployment.ts"
import * as Embeddings from "./SimulatedEmbeddings.ts"
import * as Errors from "./SimulatedErrors.ts"
import type { Settle, SimulatedExchange } from "./SimulatedExchange.ts"
import * as Fault from "./SimulatedFault.ts"
import * as Generation from "./SimulatedGeneration.ts"
import * as Prompt from "./SimulatedPrompt.ts"
import * as Responses from "./SimulatedResponses.ts"
import * as Store from "./SimulatedStore.ts"

/**
 * Answers a chat or responses request.
 */
export const generate = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  body: Prompt.Json
): Answer.SimulatedAnswer => {
  const { now, resource } = exchange
  const { contextTokens, counters, options } = deployment
  const operation = exchange.route!.operation
  const before = findBefore(exchange, body)
  const model = { reasons: (options.reasoningTokens ?? 0) > 0, callsTools: options.callsTools === true }
  const prompt = operation === "responses" ? Prompt.responses(body, before, model) : Prompt.chat(body, model)

  const promptTokens = Math.ceil(prompt.text.length / deployment.charactersPerToken) + prompt.extraTokens
  const cacheKey = `${deployment.model} ${prompt.cacheKey}`
  const cache = deployment.cache.lookup(cacheKey, prompt.text, deployment.charactersPerToken, now)
  const { cachedTokens } = cache
  const charge = Deployment.estimate(deployment, {
    characters: prompt.text.length,
    extraTokens: prompt.extraTokens,
    promptTokens,
    cachedTokens,
    outputLimit: prompt.maxTokens === undefined ? undefined : prompt.maxTokens * prompt.choices
  })
  const refused = admit(exchange, deployment, charge) ?? faultInside(exchange, deployment, charge)
  if (refused !== undefined) return refused

  /** Bills what was used, and corrects what was charged for it. */
  const bill = (at: number, prompt: number, cached: number, output: number): void => {
    counters.promptTokens += prompt
    counters.cachedTokens += cached
    counters.completionTokens += output
    deployment.limiter.correct(prompt - cached + output * (options.outputRatio ?? 1) - charge, at)
  }
  const asked = promptTokens + (prompt.maxTokens ?? 0)
  if (asked > contextTokens) {
    return exchange.refuse(Errors.contextLength(deployment.model, contextTokens, asked), {}, (at) => bill(at, 0, 0, 0))
  }
  if (resource.azure && prompt.text.includes(resource.blockedPrompt)) {
    return exchange.refuse(Errors.contentFilter, {}, (at) => bill(at, promptTokens, 0, 0))
  }

  const encrypts = Array.isArray(body["include"]) && body["include"].includes("reasoning.encrypted_content")
  const generation = Generation.make({
    prompt,
    promptTokens,
    cachedTokens,
    cacheWriteTokens: options.billsCacheWrites === true
      ? Math.min(cache.writtenTokens, promptTokens - cachedTokens)
      : 0,
    limit: Math.max(1, Math.min(prompt.maxTokens ?? Infinity, contextTokens - promptTokens)),
    meanTokens: deployment.meanTokens,
    reasoningTokens: options.reasoningTokens ?? (encrypts ? 64 : 0),
    filtered: prompt.text.includes(resource.blockedAnswer),
    reply: options.reply?.({ deployment: deployment.name, operation, body }),
    latency: deployment.latency,
    load: counters.inFlight,
    slow: exchange.factorOf("slow"),
    slowDecoding: exchange.factorOf("slowDecoding")
  }, exchange.random)
  cache.remember(now + generation.firstTokenAt)
  const settle: Settle = (at, finished) => {
    const output = finished ? Generation.billedForDelivered(generation) : Generation.billedBy(generation, at - now)
    bill(at, promptTokens, cachedTokens, output)
  }
  return operation === "responses"
    ? respond(exchange, deployment, body, prompt, generation, encrypts, settle)
    : chat(exchange, deployment, prompt, generation, settle)
}

/**
 * Answers an embeddings request.
 */
export const embed = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  body: Prompt.Json
): Answer.SimulatedAnswer => {
  const prompt = Embeddings.check(body, deployment.charactersPerToken)
  const charge = Deployment.estimate(deployment, {
    characters: prompt.characters,
    extraTokens: prompt.numberTokens,
    promptTokens: prompt.tokens,
    cachedTokens: 0,
    outputLimit: 0
  })
  const refused = admit(exchange, deployment, charge) ?? faultInside(exchange, deployment, charge)
  if (refused !== undefined) return refused
  const text = Embeddings.body(prompt, deployment.model, deployment.options.dimensions ?? 1_536)
  const { baseMs, perPromptTokenMs } = deployment.latency
  const at = exchange.factorOf("slow") * (baseMs + perPromptTokenMs * prompt.tokens)
  return exchange.served(text, at, (at) => {
    deployment.counters.promptTokens += prompt.tokens
    deployment.limiter.correct(prompt.tokens - charge, at)
  })
}

/** Charges a request, or answers 429. */
const admit = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  charge: number
): Answer.SimulatedAnswer | undefined => {
  const refusal = deployment.limiter.admit(charge, exchange.now)
  if (refusal === undefined) {
    deployment.counters.admitted++
    deployment.counters.chargedTokens += charge
    return undefined
  }
  if (refusal.limit === "size") {
    return exchange.refuse(
      Errors.requestTooLarge(deployment.model, deployment.limiter.usage(exchange.now).tpm!, charge),
      exchange.limitHeaders(refusal)
    )
  }
  return exchange.throttle({
    retryAfterMs: refusal.retryAfterMs,
    error: refusal.limit === "requests" && !exchange.resource.azure && deployment.options.throttleBody === undefined
      ? "openai-requests-429"
      : undefined,
    headers: exchange.limitHeaders(refusal)
  })
}

/**
 * The fault that answers instead of a working service, if one strikes. What was charged stays charged.
 */
export const faultInside = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment | undefined,
  charge: number
): Answer.SimulatedAnswer | undefined => {
  const { struck } = exchange
  const settle: Settle = (at) => deployment?.limiter.correct(-charge, at)
  if (Fault.find(struck, "reset") !== undefined) return exchange.broken("reset", exchange.errorMs, settle)
  const hang = Fault.find(struck, "hang")
  if (hang !== undefined && hang.afterEvents === undefined) return exchange.broken("hang", 0, settle)
  const status = Fault.find(struck, "status")
  return status === undefined ? undefined : exchange.refuse(exchange.errorOf(status), status.headers, settle)
}

/**
 * Answers a request to compact a conversation, or to count the tokens of one. Neither costs quota here.
 */
export const compact = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  body: Prompt.Json
): Answer.SimulatedAnswer => {
  const before = findBefore(exchange, body)
  const prompt = Prompt.responses({ input: [], ...body }, before, { callsTools: false })
  const fault = faultInside(exchange, deployment, 0)
  if (fault !== undefined) return fault
  const tokens = Math.ceil(prompt.text.length / deployment.charactersPerToken) + prompt.extraTokens
  if (exchange.route!.operation === "inputTokens") {
    return exchange.json(JSON.stringify({ object: "response.input_tokens", input_tokens: tokens }))
  }
  const { created, id, resource: { encryptedPrefix } } = exchange
  const output = [{ id: `cmp_${id}`, type: "compaction", encrypted_content: `${encryptedPrefix}${id}` }]
  const usage = { input_tokens: tokens, output_tokens: 1, total_tokens: tokens + 1 }
  return exchange.json(
    JSON.stringify({ id: `resp_${id}`, object: "response.compaction", created_at: created, output, usage })
  )
}

/** The text that a request goes on from. Everything that it refers to must be stored here. */
const findBefore = (exchange: SimulatedExchange, body: Prompt.Json): string => {
  const { azure, encryptedPrefix, store } = exchange.resource
  const find = (id: string, missing: Errors.ErrorResponse): string => (store.get(id) ?? Prompt.refuse(missing)).text
  const texts: Array<string> = []
  const previous = body["previous_response_id"]
  if (typeof previous === "string") texts.push(find(previous, Errors.unknownResponse(previous, azure)))
  const conversation = Responses.conversationId(body)
  if (conversation !== undefined) {
    const missing = Errors.notFound(`Conversation with id '${conversation}' not found.`, "conversation")
    const text = find(conversation, missing)
    if (texts.length === 0) texts.push(text)
  }
  const items = Array.isArray(body["input"]) ? body["input"] as ReadonlyArray<Prompt.Json | null> : []
  for (const item of items) {
    const encrypted = item?.["encrypted_content"]
    if (typeof encrypted === "string" && !encrypted.startsWith(encryptedPrefix)) {
      Prompt.refuse(Errors.invalidEncryptedContent)
    }
    if (item?.["type"] !== "item_reference") continue
    const id = String(item["id"])
    texts.push(find(id, Errors.notFound(`Item with id '${id}' not found.`, "input")))
  }
  for (const id of Store.referencesOf(body)) find(id, Store.missing(id))
  return texts.join("\n")
}

const chat = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  prompt: Prompt.SimulatedPrompt,
  generation: Generation.Generation,
  settle: Settle
): Answer.SimulatedAnswer => {
  const context: Chat.ChatContext = {
    id: `chatcmpl-${exchange.id}`,
    created: exchange.created,
    model: deployment.model,
    azure: exchange.resource.azure,
    includeUsage: prompt.includeUsage,
    tokensPerEvent: deployment.latency.tokensPerEvent,
    asyncFilter: deployment.options.asyncFilter === true
  }
  if (!prompt.stream) {
    return exchange.served(Chat.body(generation, context), Generation.endAt(generation), settle)
  }
  return answerStream(
    exchange,
    Chat.stream(generation, context),
    generation,
    (fault) => Chat.errorEvents(Fault.errorBody(fault)),
    settle
  )
}

const respond = (
  exchange: SimulatedExchange,
  deployment: Deployment.SimulatedDeployment,
  body: Prompt.Json,
  prompt: Prompt.SimulatedPrompt,
  generation: Generation.Generation,
  encrypts: boolean,
  settle: Settle
): Answer.SimulatedAnswer => {
  const { resource } = exchange
  const end = Generation.endAt(generation)
  const context: Responses.ResponseContext = {
    id: `resp_${exchange.id}`,
    created: exchange.created,
    model: deployment.model,
    request: body,
    tokensPerEvent: deployment.latency.tokensPerEvent,
    encryptedContent: encrypts ? `${resource.encryptedPrefix}${exchange.id}` : undefined
  }
  const object = Responses.object(generation, context)
  const pending = Responses.object(generation, context, body["background"] === true ? "queued" : "in_progress")
  const text = `${prompt.text}\n${Responses.textOf(generation)}`
  const conversation = Responses.conversationId(body)
  const { store } = resource
  if (conversation !== undefined) store.put(conversation, { ...store.get(conversation)!, text })
  if (body["store"] !== false) {
    store.put(context.id, { object, pending, readyAt: exchange.now + end, text })
    for (const item of object["output"] as ReadonlyArray<Prompt.Json>) {
      store.put(String(item["id"]), { object: item, text: Responses.textOf(generation) })
    }
  }
  if (!prompt.stream) {
    return body["background"] === true
      ? exchange.served(JSON.stringify(pending), exchange.errorMs, settle)
      : exchange.served(JSON.stringify(object), end, settle)
  }
  return answerStream(
    exchange,
    Responses.stream(generation, context),
    generation,
    (fault) =>
      Responses.errorEvents(context, Fault.errorBody(fault), fault.shape ?? (resource.azure ? "nested" : "flat")),
    settle
  )
}

/** Answers with events, unless a fault spoils them. */
const answerStream = (
  exchange: SimulatedExchange,
  parts: Answer.SimulatedParts,
  generation: Generation.Generation,
  errorEvents: (fault: Fault.FaultOf<"errorInStream">) => ReadonlyArray<string>,
  settle: Settle
): Answer.SimulatedAnswer => {
  const { startsAt } = generation
  if (Fault.find(exchange.struck, "unreadable") !== undefined) {
    return exchange.served("", startsAt, settle)
  }
  return exchange.http({
    status: 200,
    headers: {
      "content-type": exchange.resource.azure ? "text/event-stream" : "text/event-stream; charset=utf-8",
      ...exchange.limitHeaders()
    },
    headersAt: startsAt,
    parts: Fault.damage(parts, exchange.struck, startsAt, errorEvents)
  }, settle)
}
