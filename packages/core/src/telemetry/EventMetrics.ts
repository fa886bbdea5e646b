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
import type { Count, Distribution, Meter } from "./Meter.ts"
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
  /** By the instruments' ids. */
  private readonly series: Array<Count | Distribution | undefined> = []
  /** The same by kinds of tokens. */
  private readonly ofTokens: Array<Kind> = []

  constructor(meter: Meter, facts: Facts) {
    this.meter = meter
    this.facts = facts
  }

  count(instrument: Instrument): Count {
    return (this.series[instrument.id] ??= this.meter.count(instrument, labelsOf(instrument, this.facts))) as Count
  }

  distribution(instrument: Instrument): Distribution {
    const found = this.series[instrument.id] ??= this.meter.distribution(instrument, labelsOf(instrument, this.facts))
    return found as Distribution
  }

  /** Of the tokens of a type, by its place among them. */
  tokens(type: number): Kind {
    return this.ofTokens[type] ??= new Kind(this.meter, { ...this.facts, tokenType: tokens[type]![0] })
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
    const tree = this.places.get(place) ?? new LabelTree(this.depth)
    this.places.set(place, tree)
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
        return this.add(counted.failovers, { deployment, model, errorType: this.errors.of(event.errorType) })
      }
      case "Hedged":
        return this.add(counted.hedges, event)
      case "Panicked":
        return this.add(counted.panics, event)
      case "SessionMoved": {
        const { from: deployment, model, reason: moveReason } = event
        return this.add(counted.moves, { deployment, model, moveReason })
      }
      case "BreakerOpened": {
        const { name, target } = event
        const reason = reasonWord(event.reason)
        this.add(counted.transitions, { target, name, state: "open", reason })
        if (target === "deployment") return this.add(counted.ejections, { deployment: name, reason })
        for (const { id: deployment, resource } of this.state?.deployments.all() ?? []) {
          if (resource.name === name) this.add(counted.ejections, { deployment, reason: `resource_${reason}` })
        }
        return
      }
      case "BreakerHalfOpened":
      case "BreakerClosed": {
        const { name, target } = event
        const state = event._tag === "BreakerClosed" ? "closed" : "half-open"
        return this.add(counted.transitions, { target, name, state })
      }
      case "CooledDown":
        return this.add(counted.cooldowns, { deployment: event.deployment, reason: reasonWord(event.reason) })
      case "DeploymentMissing":
        return this.add(counted.ejections, { deployment: event.deployment, reason: "missing" })
      case "Checked": {
        const { duration, problem, resource } = event
        const outcome = problem === undefined ? "ok" : "failed"
        const reason = problem === undefined ? undefined : reasonWord(problem)
        const check = new Kind(this.meter, { resource, outcome, reason })
        check.count(counted.checks).add(1)
        return check.distribution(counted.checkDuration).record(duration / 1000)
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
    const chunks = kind.distribution(this.isLatest ? genAiNext.perChunk : genAi.perChunk)
    chunks.record(gap / 1000)
    // they came together
    chunks.record(0, count - 1)
  }

  private add(instrument: Instrument, facts: Facts): void {
    this.meter.count(instrument, labelsOf(instrument, facts)).add(1)
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
    kind.count(counted.attempts).add(1)
    kind.distribution(counted.attemptDuration).record(duration / 1000)
    if (event.streamed && firstByte !== undefined) kind.distribution(counted.attemptFirstChunk).record(firstByte / 1000)
    if (selection !== undefined) kind.distribution(counted.selection).record(selection / 1000)
    // a refusal has the word of the service, which may be like one of ours
    if (outcome === "failed" && errorType?.startsWith("timeout_")) {
      this.add(counted.stalls, { deployment, model, stage: errorType.slice("timeout_".length) })
    }
    if (limits?.spilled !== undefined) kind.count(counted.spillovers).add(1)
    if (role === "hedge") hedged(kind, event)
    if (event.usage !== undefined) this.billed(kind, event, event.usage)
  }

  private billed(kind: Kind, { cost, operation }: AttemptEnded, usage: Usage): void {
    const isCall = kind.facts.operation !== undefined
    for (let i = 0; i < tokens.length; i++) {
      const [type, of] = tokens[i]!
      const amount = usage[of]
      const ofType = kind.tokens(i)
      if (amount > 0) ofType.count(counted.tokens).add(amount)
      if (!isCall || this.isLatest || (type === "cache_write" && amount === 0)) continue
      ofType.distribution(genAi.tokens).record(amount)
    }
    if (cost === undefined) kind.count(counted.unpriced).add(1)
    else kind.count(counted.cost).add(cost)
    if (!isCall || !this.isLatest) return
    if (operation === "embeddings") {
      kind.distribution(genAiNext.embeddingsInputEach).record(usage.promptTokens)
      return
    }
    kind.count(genAiNext.input).add(usage.promptTokens)
    kind.count(genAiNext.output).add(usage.completionTokens)
    kind.count(genAiNext.cacheRead).add(usage.cachedTokens)
    kind.count(genAiNext.cacheWrite).add(usage.cacheWriteTokens)
    kind.count(genAiNext.reasoning).add(usage.reasoningTokens)
    kind.distribution(genAiNext.inputEach).record(usage.promptTokens)
    kind.distribution(genAiNext.outputEach).record(usage.completionTokens)
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
    kind.count(counted.requests).add(1)
    kind.distribution(counted.duration).record(duration / 1000)
    kind.distribution(counted.overhead).record(event.overhead / 1000)
    if (waited > 0) kind.distribution(counted.waits).record(waited / 1000)
    if (placement !== undefined && outcome === "success") kind.count(counted.placements).add(1)
    if (kind.facts.operation === undefined) return
    const total = operation === "embeddings" ? genAiNext.embeddings : genAiNext.inference
    kind.distribution(isLatest ? total : genAi.duration).record(duration / 1000)
    if (!event.streamed || firstByte === undefined) return
    kind.distribution(isLatest ? genAiNext.firstChunk : genAi.firstChunk).record(firstByte / 1000)
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
  if (outcome === "success" || firstByte !== undefined) kind.count(counted.hedgeWins).add(1)
  const tokens = usage === undefined ? reserved : usage.promptTokens + usage.completionTokens
  kind.count(counted.hedgeTokens).add(tokens)
}

/** Types of tokens, and where a usage has them. */
const tokens = [
  ["input", "promptTokens"],
  ["cached", "cachedTokens"],
  ["cache_write", "cacheWriteTokens"],
  ["output", "completionTokens"],
  ["reasoning", "reasoningTokens"]
] as const
