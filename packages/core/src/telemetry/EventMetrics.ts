/**
 * Events as metrics: everything that is counted or timed.
 */
import type { OnChunks } from "../attempt/AttemptRecord.ts"
import { reasonWord } from "../attempt/ReasonWord.ts"
import type { Place } from "../deployment/Resource.ts"
import type { Usage } from "../Errors.ts"
import type { AttemptEnded, Event, RequestEnded } from "../Event.ts"
import type { Operation } from "../request/LlmRequest.ts"
import { type Labels, LabelTree } from "./LabelTree.ts"
import type { LiveState } from "./LiveState.ts"
import { Count, type Distribution, type Meter } from "./Meter.ts"
import { counted, type Facts, genAi, genAiNext, type Instrument, labelsOf } from "./Names.ts"
import { operationName, providerName } from "./Semantics.ts"

/** Words of each kind that services may coin. */
const MAX_WORDS = 100

/** And how long each may be. */
const MAX_WORD = 100

/**
 * Words that services say of themselves: models, and codes of errors. One that says another each time must not use up the
 * series of all the others, so what comes late is `other`.
 */
class Words {
  private readonly known = new Set<string>()

  of(word: string | undefined): string | undefined {
    if (word === undefined || this.known.has(word)) return word
    if (this.known.size >= MAX_WORDS || word.length > MAX_WORD) return "other"
    this.known.add(word)
    return word
  }
}

/** Place of requests that no deployment answered. */
const nowhere = {}

/** How many kinds of events are remembered. */
const MAX_KINDS = 2000

/** Events that are alike but for their figures: what they are told by, and the series of it as far as they are there. */
class Kind {
  readonly facts: Facts
  private readonly meter: Meter
  private readonly series = new Map<Instrument, Count | Distribution>()
  /** The same by kinds of tokens. */
  private readonly ofTokens: Array<Kind> = []

  constructor(meter: Meter, facts: Facts) {
    this.meter = meter
    this.facts = facts
  }

  /** Counts so much, or records it so many times. */
  record(instrument: Instrument, value: number, times = 1): void {
    let series = this.series.get(instrument)
    if (series === undefined) {
      const labels = labelsOf(instrument, this.facts)
      series = instrument.kind === "counter"
        ? this.meter.count(instrument, labels)
        : this.meter.distribution(instrument, labels)
      this.series.set(instrument, series)
    }
    if (series instanceof Count) series.add(value)
    else series.record(value, times)
  }

  /** Of the tokens of a type, by its place in `types`. */
  tokens(type: number): Kind {
    return this.ofTokens[type] ??= new Kind(this.meter, { ...this.facts, tokenType: types[type] })
  }
}

/**
 * Kinds of events. Each series is found once, because to look up each of them for each event would take longer than to
 * count it.
 */
class Kinds {
  private readonly meter: Meter
  private readonly depth: number
  private places = new WeakMap<object, LabelTree<Kind>>()
  private size = 0
  private clearances = 0

  constructor(meter: Meter, depth: number) {
    this.meter = meter
    this.depth = depth
  }

  /** The kind of a place and of labels, if it is known. */
  find(place: object, labels: Labels): Kind | undefined {
    return this.clearances === this.meter.clearances ? this.places.get(place)?.find(labels) : undefined
  }

  add(place: object, labels: Labels, facts: Facts): Kind {
    if (this.clearances !== this.meter.clearances || this.size > MAX_KINDS) this.forget()
    let tree = this.places.get(place)
    if (tree === undefined) this.places.set(place, tree = new LabelTree(this.depth))
    const kind = new Kind(this.meter, facts)
    tree.set(labels, kind)
    this.size++
    return kind
  }

  private forget(): void {
    this.places = new WeakMap()
    this.size = 0
    this.clearances = this.meter.clearances
  }
}

/**
 * Counts what events tell.
 */
export class EventMetrics {
  private readonly meter: Meter
  private readonly isLatest: boolean
  private readonly errors = new Words()
  private readonly models = new Words()
  private readonly attempts: Kinds
  private readonly requests: Kinds
  private readonly streams: Kinds
  private state: LiveState | undefined

  /** @param isLatest whether the names of the GenAI conventions in development are used */
  constructor(meter: Meter, isLatest: boolean) {
    this.meter = meter
    this.isLatest = isLatest
    this.attempts = new Kinds(meter, 9)
    this.requests = new Kinds(meter, 7)
    this.streams = new Kinds(meter, 2)
  }

  /** Tells whose events these are. */
  attach(state: LiveState): void {
    this.state = state
  }

  observe(event: Event): void {
    switch (event._tag) {
      case "AttemptEnded":
        return this.attemptEnded(event)
      case "RequestEnded":
        return this.requestEnded(event)
      case "FailedOver": {
        const { from: deployment, model } = event
        return this.record(counted.failovers, { deployment, model, errorType: this.errors.of(event.errorType) })
      }
      case "Hedged":
        return this.record(counted.hedges, event)
      case "Panicked":
        return this.record(counted.panics, event)
      case "SessionMoved": {
        const { from: deployment, model, reason: moveReason } = event
        return this.record(counted.moves, { deployment, model, moveReason })
      }
      case "BreakerOpened": {
        const { name, target } = event
        const reason = reasonWord(event.reason)
        this.record(counted.transitions, { target, name, state: "open", reason })
        if (target === "deployment") return this.record(counted.ejections, { deployment: name, reason })
        for (const { id: deployment, resource } of this.state?.deployments.all() ?? []) {
          if (resource.name === name) this.record(counted.ejections, { deployment, reason: `resource_${reason}` })
        }
        return
      }
      case "BreakerHalfOpened":
      case "BreakerClosed": {
        const { name, target } = event
        return this.record(counted.transitions, {
          target,
          name,
          state: event._tag === "BreakerClosed" ? "closed" : "half-open"
        })
      }
      case "CooledDown":
        return this.record(counted.cooldowns, { deployment: event.deployment, reason: reasonWord(event.reason) })
      case "DeploymentMissing":
        return this.record(counted.ejections, { deployment: event.deployment, reason: "missing" })
      case "Checked": {
        const { duration, problem, resource } = event
        const outcome = problem === undefined ? "ok" : "failed"
        const check = { resource, outcome, reason: problem === undefined ? undefined : reasonWord(problem) }
        this.record(counted.checks, check)
        return this.record(counted.checkDuration, check, duration / 1000)
      }
      case "MembershipChanged":
      case "PoolChanged":
      case "Waiting":
        return
    }
  }

  /** Told of each piece of a stream after its first. */
  readonly onChunks: OnChunks = (model, { operation }, { deployment: { place } }, gap, count) => {
    const name = operationName(operation)
    if (name === undefined) return
    const labels = [model, name]
    const kind = this.streams.find(place, labels)
      ?? this.streams.add(place, labels, this.callOf(operation, model, place))
    const chunks = this.isLatest ? genAiNext.perChunk : genAi.perChunk
    kind.record(chunks, gap / 1000)
    // they came together
    kind.record(chunks, 0, count - 1)
  }

  /** Records of what is too seldom to be a kind. */
  private record(instrument: Instrument, facts: Facts, value = 1): void {
    new Kind(this.meter, facts).record(instrument, value)
  }

  private attemptEnded(event: AttemptEnded): void {
    const { answer, attempt, firstByte, limits, model, operation, place, placement, role, selection } = event
    const { deployment, duration, outcome } = attempt
    const errorType = this.errors.of(attempt.errorType)
    const responseModel = this.models.of(answer?.model)
    const streamed = String(event.streamed)
    const labels = [deployment, model, outcome, role, errorType, responseModel, placement, operation, streamed]
    const kind = this.attempts.find(place, labels) ?? this.attempts.add(place, labels, {
      ...this.callOf(operation, model, place),
      deployment,
      resource: place.resource,
      region: place.region,
      tier: String(place.tier),
      role,
      outcome,
      errorType,
      responseModel,
      streamed,
      session: placement ?? "none"
    })
    kind.record(counted.attempts, 1)
    kind.record(counted.attemptDuration, duration / 1000)
    if (event.streamed && firstByte !== undefined) {
      kind.record(counted.attemptFirstChunk, firstByte / 1000)
    }
    if (selection !== undefined) kind.record(counted.selection, selection / 1000)
    // a refusal has the word of the service, which may be like one of ours
    if (outcome === "failed" && errorType?.startsWith("timeout_")) {
      this.record(counted.stalls, { deployment, model, stage: errorType.slice("timeout_".length) })
    }
    if (limits?.spilled !== undefined) kind.record(counted.spillovers, 1)
    if (role === "hedge") hedged(kind, event)
    if (event.usage !== undefined) this.billed(kind, event, event.usage)
  }

  private billed(kind: Kind, { cost, operation }: AttemptEnded, usage: Usage): void {
    const amounts = amountsOf(usage)
    const isCall = kind.facts.operation !== undefined
    for (let i = 0; i < amounts.length; i++) {
      const amount = amounts[i]!
      if (amount > 0) kind.tokens(i).record(counted.tokens, amount)
      if (!isCall || this.isLatest || (types[i] === "cache_write" && amount === 0)) continue
      kind.tokens(i).record(genAi.tokens, amount)
    }
    if (cost === undefined) kind.record(counted.unpriced, 1)
    else kind.record(counted.cost, cost)
    if (!isCall || !this.isLatest) return
    if (operation === "embeddings") {
      kind.record(genAiNext.embeddingsInputEach, usage.promptTokens)
      return
    }
    kind.record(genAiNext.input, usage.promptTokens)
    kind.record(genAiNext.output, usage.completionTokens)
    kind.record(genAiNext.cacheRead, usage.cachedTokens)
    kind.record(genAiNext.cacheWrite, usage.cacheWriteTokens)
    kind.record(genAiNext.reasoning, usage.reasoningTokens)
    kind.record(genAiNext.inputEach, usage.promptTokens)
    kind.record(genAiNext.outputEach, usage.completionTokens)
  }

  private requestEnded(event: RequestEnded): void {
    const { answer, duration, firstByte, limitedBy, model, operation, outcome, place, placement, waited } = event
    const { isLatest } = this
    const responseModel = this.models.of(answer?.model)
    const streamed = String(event.streamed)
    const labels = [model, operation, outcome, limitedBy, responseModel, placement, streamed]
    const kind = this.requests.find(place ?? nowhere, labels) ?? this.requests.add(place ?? nowhere, labels, {
      ...this.callOf(operation, model, place),
      deployment: event.deployment,
      outcome,
      limitedBy,
      responseModel,
      streamed,
      session: placement,
      errorType: outcome === "success" || outcome === "interrupted" ? undefined : outcome
    })
    kind.record(counted.requests, 1)
    kind.record(counted.duration, duration / 1000)
    kind.record(counted.overhead, event.overhead / 1000)
    if (waited > 0) kind.record(counted.waits, waited / 1000)
    if (placement !== undefined && outcome === "success") kind.record(counted.placements, 1)
    if (kind.facts.operation === undefined) return
    const total = operation === "embeddings" ? genAiNext.embeddings : genAiNext.inference
    kind.record(isLatest ? total : genAi.duration, duration / 1000)
    if (!event.streamed || firstByte === undefined) return
    kind.record(isLatest ? genAiNext.firstChunk : genAi.firstChunk, firstByte / 1000)
  }

  /** What a call is told by in the GenAI conventions: of what is no such operation, its model and its own name alone. */
  private callOf(api: Operation, model: string, place: Place | undefined): Facts {
    const operation = operationName(api)
    const provider = place?.provider ?? this.providerOf(model)
    return {
      api,
      model,
      operation,
      provider: provider && providerName(provider),
      serverAddress: place?.address,
      serverPort: place && String(place.port),
      // an answer's usage does not say which of its tokens were text
      modality: "unknown"
    }
  }

  /** Looks only: to ask for the group of a model would have a wildcard become a deployment. */
  private providerOf(model: string): Place["provider"] | undefined {
    return this.state?.deployments.all().find((deployment) => deployment.model === model)?.place.provider
  }
}

const hedged = (kind: Kind, { attempt: { outcome }, firstByte, reserved, usage }: AttemptEnded): void => {
  if (outcome === "success" || firstByte !== undefined) kind.record(counted.hedgeWins, 1)
  const tokens = usage === undefined ? reserved : usage.promptTokens + usage.completionTokens
  kind.record(counted.hedgeTokens, tokens)
}

/** Kinds of tokens, in the order of `amountsOf`. */
const types = ["input", "cached", "cache_write", "output", "reasoning"] as const

const amountsOf = (usage: Usage): ReadonlyArray<number> => [
  usage.promptTokens,
  usage.cachedTokens,
  usage.cacheWriteTokens,
  usage.completionTokens,
  usage.reasoningTokens
]
