/**
 * What the service does with a request that found its deployment: generate, or embed.
 */
import type * as Answer from "./SimulatedAnswer.ts"
import * as Chat from "./SimulatedChat.ts"
import * as Damage from "./SimulatedDamage.ts"
import * as Deployment from "./SimulatedDeployment.ts"
import * as Embeddings from "./SimulatedEmbeddings.ts"
import * as Errors from "./SimulatedErrors.ts"
import type { Served, Settle, SimulatedExchange } from "./SimulatedExchange.ts"
import * as Fault from "./SimulatedFault.ts"
import * as Generation from "./SimulatedGeneration.ts"
import * as Prompt from "./SimulatedPrompt.ts"
import * as Responses from "./SimulatedResponses.ts"
import * as Store from "./SimulatedStore.ts"

/**
 * Answers a chat or responses request.
 */
export const generate = (exchange: Served): Answer.SimulatedAnswer => {
  const { body, deployment, now, resource, route } = exchange
  const { charactersPerToken, contextTokens, counters, options } = deployment
  const before = findBefore(exchange)
  const model = modelOf(deployment)
  const prompt = route.operation === "responses" ? Prompt.responses(body, before, model) : Prompt.chat(body, model)
  const { maxTokens, promptTokens } = prompt
  const cache = deployment.cache.lookup(`${deployment.model} ${prompt.cacheKey}`, prompt.text, charactersPerToken, now)
  const { cachedTokens } = cache
  const outputLimit = maxTokens === undefined ? undefined : maxTokens * prompt.choices
  const charge = Deployment.estimate(deployment, prompt, cachedTokens, outputLimit)
  const refused = admit(exchange, charge) ?? faultInside(exchange, charge)
  if (refused !== undefined) return refused

  /** Bills what was used, and corrects what was charged for it. */
  const bill = (at: number, prompt: number, cached: number, output: number): void => {
    counters.promptTokens += prompt
    counters.cachedTokens += cached
    counters.completionTokens += output
    deployment.limiter.correct(prompt - cached + output * (options.outputRatio ?? 1) - charge, at)
  }
  const asked = promptTokens + (maxTokens ?? 0)
  if (asked > contextTokens) {
    return exchange.refuse(Errors.contextLength(deployment.model, contextTokens, asked), {}, (at) => bill(at, 0, 0, 0))
  }
  if (resource.azure && prompt.text.includes(resource.blockedPrompt)) {
    return exchange.refuse(Errors.contentFilter, {}, (at) => bill(at, promptTokens, 0, 0))
  }

  const generation = Generation.make(exchange, {
    prompt,
    cachedTokens,
    cacheWriteTokens: options.billsCacheWrites === true
      ? Math.min(cache.writtenTokens, promptTokens - cachedTokens)
      : 0,
    reasoningTokens: options.reasoningTokens ?? (Responses.encrypts(body) ? 64 : 0)
  })
  cache.remember(now + generation.firstTokenAt)
  const settle: Settle = (at, finished) => {
    const output = finished ? Generation.billedForDelivered(generation) : Generation.billedBy(generation, at - now)
    bill(at, promptTokens, cachedTokens, output)
  }
  return route.operation === "responses" ? respond(exchange, generation, settle) : chat(exchange, generation, settle)
}

/**
 * Answers an embeddings request.
 */
export const embed = (exchange: Served): Answer.SimulatedAnswer => {
  const { body, deployment: { charactersPerToken, counters, latency, limiter, model, options } } = exchange
  const prompt = Embeddings.check(body, charactersPerToken)
  const { promptTokens } = prompt
  const charge = Deployment.estimate(exchange.deployment, prompt, 0, 0)
  const refused = admit(exchange, charge) ?? faultInside(exchange, charge)
  if (refused !== undefined) return refused
  const at = exchange.factorOf("slow") * (latency.baseMs + latency.perPromptTokenMs * promptTokens)
  return exchange.whole(Embeddings.body(prompt, model, options.dimensions ?? 1_536), at, (at) => {
    counters.promptTokens += promptTokens
    limiter.correct(promptTokens - charge, at)
  })
}

const modelOf = ({ charactersPerToken, options }: Deployment.SimulatedDeployment): Prompt.PromptModel => ({
  reasons: (options.reasoningTokens ?? 0) > 0,
  callsTools: options.callsTools === true,
  charactersPerToken
})

/** Charges a request, or answers 429. */
const admit = (exchange: Served, charge: number): Answer.SimulatedAnswer | undefined => {
  const { deployment: { counters, limiter, model, options }, now, resource } = exchange
  const refusal = limiter.admit(charge, now)
  if (refusal === undefined) {
    counters.admitted++
    counters.chargedTokens += charge
    return undefined
  }
  const headers = exchange.limitHeaders(refusal)
  if (refusal.limit === "size") {
    return exchange.refuse(Errors.requestTooLarge(model, limiter.usage(now).tpm!, charge), headers)
  }
  const isOfRequests = refusal.limit === "requests" && !resource.azure && options.throttleBody === undefined
  return exchange.throttle({
    retryAfterMs: refusal.retryAfterMs,
    error: isOfRequests ? "openai-requests-429" : undefined,
    headers
  })
}

/**
 * The fault that answers instead of a working service, if one strikes. What was charged stays charged.
 */
export const faultInside = (exchange: SimulatedExchange, charge = 0): Answer.SimulatedAnswer | undefined => {
  const { deployment, errorMs, struck } = exchange
  const settle: Settle = (at) => deployment?.limiter.correct(-charge, at)
  if (Fault.find(struck, "reset") !== undefined) return exchange.broken("reset", errorMs, settle)
  const hang = Fault.find(struck, "hang")
  if (hang !== undefined && hang.afterEvents === undefined) return exchange.broken("hang", 0, settle)
  const status = Fault.find(struck, "status")
  return status === undefined ? undefined : exchange.refuse(exchange.errorOf(status), status.headers, settle)
}

/**
 * Answers a request to compact a conversation, or to count the tokens of one. Neither costs quota here.
 */
export const compact = (exchange: Served): Answer.SimulatedAnswer => {
  const { body, created, deployment, id, resource, route } = exchange
  const prompt = Prompt.responses({ input: [], ...body }, findBefore(exchange), modelOf(deployment))
  const fault = faultInside(exchange)
  if (fault !== undefined) return fault
  const tokens = prompt.promptTokens
  if (route.operation === "inputTokens") {
    return exchange.json(JSON.stringify({ object: "response.input_tokens", input_tokens: tokens }))
  }
  const output = [{ id: `cmp_${id}`, type: "compaction", encrypted_content: `${resource.encryptedPrefix}${id}` }]
  const usage = { input_tokens: tokens, output_tokens: 1, total_tokens: tokens + 1 }
  return exchange.json(
    JSON.stringify({ id: `resp_${id}`, object: "response.compaction", created_at: created, output, usage })
  )
}

/** The text that a request goes on from. Everything that it refers to must be stored here. */
const findBefore = ({ body, resource: { azure, encryptedPrefix, store } }: Served): string => {
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

const chat = (exchange: Served, generation: Generation.Generation, settle: Settle): Answer.SimulatedAnswer =>
  generation.prompt.stream
    ? answerStream(
      exchange,
      generation,
      Chat.stream(exchange, generation),
      (fault) => Chat.errorEvents(Damage.errorBody(fault)),
      settle
    )
    : exchange.whole(Chat.body(exchange, generation), Generation.endAt(generation), settle)

const respond = (exchange: Served, generation: Generation.Generation, settle: Settle): Answer.SimulatedAnswer => {
  const { body, now, resource: { azure, store } } = exchange
  const end = Generation.endAt(generation)
  const isBackground = body["background"] === true
  const object = Responses.object(exchange, generation)
  const pending = Responses.object(exchange, generation, isBackground ? "queued" : "in_progress")
  const said = Responses.textOf(generation)
  const text = `${generation.prompt.text}\n${said}`
  const conversation = Responses.conversationId(body)
  if (conversation !== undefined) store.put(conversation, { ...store.get(conversation)!, text })
  if (body["store"] !== false) {
    store.put(String(object["id"]), { object, pending, readyAt: now + end, text })
    for (const item of object["output"] as ReadonlyArray<Prompt.Json>) {
      store.put(String(item["id"]), { object: item, text: said })
    }
  }
  if (generation.prompt.stream) {
    return answerStream(
      exchange,
      generation,
      Responses.stream(exchange, generation),
      (fault) => Responses.errorEvents(exchange, Damage.errorBody(fault), fault.shape ?? (azure ? "nested" : "flat")),
      settle
    )
  }
  return isBackground
    ? exchange.whole(JSON.stringify(pending), exchange.errorMs, settle)
    : exchange.whole(JSON.stringify(object), end, settle)
}

/** Answers with events, unless a fault spoils them. */
const answerStream = (
  exchange: Served,
  { startsAt }: Generation.Generation,
  parts: Answer.SimulatedParts,
  errorEvents: (fault: Fault.FaultOf<"errorInStream">) => ReadonlyArray<string>,
  settle: Settle
): Answer.SimulatedAnswer => {
  const { resource, struck } = exchange
  if (Fault.find(struck, "unreadable") !== undefined) return exchange.whole("", startsAt, settle)
  return exchange.http({
    status: 200,
    headers: {
      "content-type": resource.azure ? "text/event-stream" : "text/event-stream; charset=utf-8",
      ...exchange.limitHeaders()
    },
    headersAt: startsAt,
    parts: Damage.damage(parts, struck, startsAt, errorEvents)
  }, settle)
}
