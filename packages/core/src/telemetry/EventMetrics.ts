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
import { counted, genAi, genAiNext } from "./Names.ts"
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

/**
 * Series of the events that are alike but for their figures: found once, because to look up each of them for each event
 * would take longer than to count it.
 */
class SeriesCache<A extends object> {
  private readonly meter: Meter
  private readonly depth: number
  private readonly make: () => A
  private places = new WeakMap<object, LabelTree<A>>()
  private size = 0
  private clearances = 0

  constructor(meter: Meter, depth: number, make: () => A) {
    this.meter = meter
    this.depth = depth
    this.make = make
  }

  get(place: object, labels: Labels): A {
    if (this.clearances !== this.meter.clearances || this.size > MAX_KINDS) this.forget()
    let tree = this.places.get(place)
    if (tree === undefined) this.places.set(place, tree = new LabelTree(this.depth))
    let found = tree.find(labels)
    if (found === undefined) {
      tree.set(labels, found = this.make())
      this.size++
    }
    return found
  }

  private forget(): void {
    this.places = new WeakMap()
    this.size = 0
    this.clearances = this.meter.clearances
  }
}

/** Series of one kind of attempt, as far as they are there; of tokens, by their type. */
interface AttemptSeries {
  attempts?: Count
  duration?: Distribution
  firstChunk?: Distribution
  selection?: Distribution
  cost?: Count
  readonly tokens: Array<Count>
  readonly usage: Array<Distribution>
  call?: Labels | undefined
}

/** Series of the streams of one deployment. */
interface StreamSeries {
  chunks?: Distribution
}

/** Series of one kind of request. */
interface RequestSeries {
  requests?: Count
  overhead?: Distribution
  placements?: Count
  whole?: Distribution
  duration?: Distribution
  firstChunk?: Distribution
  call?: Labels | undefined
}

/**
 * Counts what events tell.
 */
export class EventMetrics {
  private readonly meter: Meter
  private readonly isLatest: boolean
  private readonly errors = new Words()
  private readonly models = new Words()
  private readonly attempts: SeriesCache<AttemptSeries>
  private readonly requests: SeriesCache<RequestSeries>
  private readonly streams: SeriesCache<StreamSeries>
  private state: LiveState | undefined

  /** @param isLatest whether the names of the GenAI conventions in development are used */
  constructor(meter: Meter, isLatest: boolean) {
    this.meter = meter
    this.isLatest = isLatest
    this.attempts = new SeriesCache(meter, 9, () => ({ tokens: [], usage: [] }))
    this.requests = new SeriesCache(meter, 7, () => ({}))
    this.streams = new SeriesCache(meter, 2, () => ({}))
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
      case "FailedOver":
        return this.add(counted.failovers, [event.from, event.model, this.errors.of(event.errorType)])
      case "Hedged":
        return this.add(counted.hedges, [event.deployment, event.model])
      case "Panicked":
        return this.add(counted.panics, [event.deployment, event.model])
      case "SessionMoved":
        return this.add(counted.moves, [event.from, event.model, event.reason])
      case "BreakerOpened":
        this.add(counted.transitions, [event.target, event.name, "open", reasonWord(event.reason)])
        return this.ejected(event.target, event.name, event.reason)
      case "BreakerHalfOpened":
        return this.add(counted.transitions, [event.target, event.name, "half-open", undefined])
      case "BreakerClosed":
        return this.add(counted.transitions, [event.target, event.name, "closed", undefined])
      case "CooledDown":
        return this.add(counted.cooldowns, [event.deployment, reasonWord(event.reason)])
      case "DeploymentMissing":
        return this.add(counted.ejections, [event.deployment, "missing"])
      case "Checked": {
        const { duration, problem, resource } = event
        const outcome = problem === undefined ? "ok" : "failed"
        this.add(counted.checks, [resource, outcome, problem === undefined ? undefined : reasonWord(problem)])
        return this.meter.distribution(counted.checkDuration, [resource, outcome]).record(duration / 1000)
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
    const its = this.streams.get(place, [model, name])
    if (its.chunks === undefined) {
      const labels = [name, providerName(place.provider), model, place.address, String(place.port)]
      its.chunks = this.meter.distribution(this.isLatest ? genAiNext.perChunk : genAi.perChunk, labels)
    }
    its.chunks.record(gap / 1000)
    // they came together
    its.chunks.record(0, count - 1)
  }

  private add(instrument: Parameters<Meter["count"]>[0], labels: Labels, amount = 1): void {
    this.meter.count(instrument, labels).add(amount)
  }

  private attemptEnded(event: AttemptEnded): void {
    const { answer, attempt, firstByte, limits, model, operation, place, placement, role, streamed } = event
    const { deployment: id, duration, outcome } = attempt
    const { region } = place
    const error = this.errors.of(attempt.errorType)
    const answered = this.models.of(answer?.model)
    const flag = String(streamed)
    const its = this.attempts.get(place, [id, model, outcome, role, error, answered, placement, operation, flag])
    const { meter } = this
    its.attempts ??= meter.count(counted.attempts, [
      id,
      place.resource,
      region,
      String(place.tier),
      model,
      role,
      outcome,
      error
    ])
    its.attempts.add(1)
    its.duration ??= meter.distribution(counted.attemptDuration, [id, region, model, flag, outcome])
    its.duration.record(duration / 1000)
    if (streamed && firstByte !== undefined) {
      its.firstChunk ??= meter.distribution(counted.attemptFirstChunk, [id, region, model])
      its.firstChunk.record(firstByte / 1000)
    }
    if (event.selection !== undefined) {
      its.selection ??= meter.distribution(counted.selection, [model])
      its.selection.record(event.selection / 1000)
    }
    // a refusal has the word of the service, which may be like one of ours
    if (outcome === "failed" && error?.startsWith("timeout_")) {
      this.add(counted.stalls, [id, model, error.slice("timeout_".length)])
    }
    if (limits?.spilled !== undefined) this.add(counted.spillovers, [id, model])
    if (role === "hedge") this.hedged(event)
    if (event.usage !== undefined) this.billed(event, event.usage, answered, its)
  }

  private hedged({ attempt: { deployment, outcome }, firstByte, model, reserved, usage }: AttemptEnded): void {
    if (outcome === "success" || firstByte !== undefined) this.add(counted.hedgeWins, [deployment, model])
    const tokens = usage === undefined ? reserved : usage.promptTokens + usage.completionTokens
    this.add(counted.hedgeTokens, [deployment, model], tokens)
  }

  private billed(event: AttemptEnded, usage: Usage, answered: string | undefined, its: AttemptSeries): void {
    const { attempt: { deployment: id }, cost, model, operation, place, placement, role } = event
    const { region } = place
    const { isLatest, meter } = this
    const amounts = amountsOf(usage)
    for (let i = 0; i < amounts.length; i++) {
      if (amounts[i] === 0) continue
      its.tokens[i] ??= meter.count(counted.tokens, [id, region, model, types[i], placement ?? "none"])
      its.tokens[i]!.add(amounts[i]!)
    }
    if (cost === undefined) {
      this.add(counted.unpriced, [id, model, answered])
    } else {
      its.cost ??= meter.count(counted.cost, [id, region, model, role])
      its.cost.add(cost)
    }
    const labels = its.call ??= this.callOf(operation, model, answered, place)
    if (labels === undefined) return
    if (!isLatest) {
      for (let i = 0; i < amounts.length; i++) {
        if (types[i] === "cache_write" && amounts[i] === 0) continue
        its.usage[i] ??= meter.distribution(genAi.tokens, [...labels, types[i]])
        its.usage[i]!.record(amounts[i]!)
      }
      return
    }
    if (operation === "embeddings") {
      this.meter.distribution(genAiNext.embeddingsInputEach, labels).record(usage.promptTokens)
      return
    }
    // an answer's usage does not say which of its tokens were text
    const byModality = [...labels, "unknown"]
    this.add(genAiNext.input, byModality, usage.promptTokens)
    this.add(genAiNext.output, byModality, usage.completionTokens)
    this.add(genAiNext.cacheRead, byModality, usage.cachedTokens)
    this.add(genAiNext.cacheWrite, byModality, usage.cacheWriteTokens)
    this.add(genAiNext.reasoning, byModality, usage.reasoningTokens)
    this.meter.distribution(genAiNext.inputEach, labels).record(usage.promptTokens)
    this.meter.distribution(genAiNext.outputEach, labels).record(usage.completionTokens)
  }

  private requestEnded(event: RequestEnded): void {
    const { answer, duration, firstByte, limitedBy, model, operation, outcome, place, placement, waited } = event
    const answered = this.models.of(answer?.model)
    const flag = String(event.streamed)
    const its = this.requests.get(place ?? nowhere, [
      model,
      operation,
      outcome,
      limitedBy,
      answered,
      placement,
      flag
    ])
    const { meter } = this
    its.requests ??= meter.count(counted.requests, [model, operation, outcome, limitedBy])
    its.requests.add(1)
    its.whole ??= meter.distribution(counted.duration, [model, operation, flag, outcome])
    its.whole.record(duration / 1000)
    its.overhead ??= meter.distribution(counted.overhead, [operation])
    its.overhead.record(event.overhead / 1000)
    if (waited > 0) meter.distribution(counted.waits, [model]).record(waited / 1000)
    if (placement !== undefined && outcome === "success") {
      its.placements ??= meter.count(counted.placements, [event.deployment, model, placement])
      its.placements.add(1)
    }
    const labels = its.call ??= this.callOf(operation, model, answered, place)
    if (labels === undefined) return
    if (its.duration === undefined) {
      const error = outcome === "success" || outcome === "interrupted" ? undefined : outcome
      const total = this.isLatest
        ? operation === "embeddings" ? genAiNext.embeddings : genAiNext.inference
        : genAi.duration
      its.duration = meter.distribution(total, [...labels, error])
    }
    its.duration.record(duration / 1000)
    if (!event.streamed || firstByte === undefined) return
    its.firstChunk ??= meter.distribution(this.isLatest ? genAiNext.firstChunk : genAi.firstChunk, labels)
    its.firstChunk.record(firstByte / 1000)
  }

  /** Labels of the GenAI conventions, in the order of `Names.call`; nothing for what is no such operation. */
  private callOf(
    operation: Operation,
    model: string,
    answered: string | undefined,
    place: Place | undefined
  ): Labels | undefined {
    const name = operationName(operation)
    if (name === undefined) return undefined
    const provider = place?.provider ?? this.providerOf(model)
    return [name, provider && providerName(provider), model, answered, place?.address, place && String(place.port)]
  }

  /** Looks only: to ask for the group of a model would have a wildcard become a deployment. */
  private providerOf(model: string): Place["provider"] | undefined {
    return this.state?.deployments.all().find((deployment) => deployment.model === model)?.place.provider
  }

  private ejected(target: "deployment" | "resource", name: string, reason: string): void {
    if (target === "deployment") return this.add(counted.ejections, [name, reasonWord(reason)])
    for (const { id, resource } of this.state?.deployments.all() ?? []) {
      if (resource.name === name) this.add(counted.ejections, [id, `resource_${reasonWord(reason)}`])
    }
  }
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
