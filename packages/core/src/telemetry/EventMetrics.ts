/**
 * Events as metrics: everything that is counted or timed.
 */
import type { AnswerFacts } from "../attempt/AnswerFacts.ts"
import type { Place } from "../deployment/Deployment.ts"
import type { AttemptEnded, Event, RequestEnded } from "../Event.ts"
import type { Usage } from "../LoadBalancerError.ts"
import type { Operation } from "../request/LlmRequest.ts"
import type { OnChunks } from "./AttemptStory.ts"
import type { Labels, Meter } from "./Meter.ts"
import { counted, genAi, genAiNext } from "./Names.ts"
import { reasonWord } from "./ReasonWord.ts"
import { operationName, providerName } from "./Semantics.ts"
import type { LiveState } from "./Telemetry.ts"

/**
 * Counts what events tell.
 */
export class EventMetrics {
  private readonly meter: Meter
  private readonly isLatest: boolean
  private state: LiveState | undefined

  /** @param isLatest whether the names of the GenAI conventions in development are used */
  constructor(meter: Meter, isLatest: boolean) {
    this.meter = meter
    this.isLatest = isLatest
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
        return this.add(counted.failovers, [event.from, event.model, event.errorType])
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
        return this.meter.distribution(counted.checkDuration, [resource]).record(duration / 1000)
      }
      case "MembershipChanged":
      case "Waiting":
        return
    }
  }

  /** Told of each piece of a stream after its first. */
  readonly onChunks: OnChunks = (model, { operation }, { deployment }, gap, count) => {
    const name = operationName(operation)
    if (name === undefined) return
    const { address, port, provider } = deployment.place
    const instrument = this.isLatest ? genAiNext.perChunk : genAi.perChunk
    const labels = [name, providerName(provider), model, address, String(port)]
    const chunks = this.meter.distribution(instrument, labels)
    chunks.record(gap / 1000)
    // they came together
    if (count > 1) chunks.record(0, count - 1)
  }

  private add(instrument: Parameters<Meter["count"]>[0], labels: Labels, amount = 1): void {
    this.meter.count(instrument, labels).add(amount)
  }

  private attemptEnded(event: AttemptEnded): void {
    const { attempt: { deployment: id, duration, errorType, outcome }, firstByte, limits, model, role } = event
    const { region, resource, tier } = event.place
    this.add(counted.attempts, [id, resource, region, String(tier), model, role, outcome, errorType])
    this.meter.distribution(counted.attemptDuration, [id, region, model, outcome]).record(duration / 1000)
    if (event.streamed && firstByte !== undefined) {
      this.meter.distribution(counted.attemptFirstChunk, [id, region, model]).record(firstByte / 1000)
    }
    if (event.selection !== undefined) {
      this.meter.distribution(counted.selection, [model]).record(event.selection / 1000)
    }
    if (errorType?.startsWith("timeout_")) {
      this.add(counted.stalls, [id, model, errorType.slice("timeout_".length)])
    }
    if (limits?.spilled !== undefined) this.add(counted.spillovers, [id, model])
    if (role === "hedge") this.hedged(event)
    if (event.usage !== undefined) this.billed(event, event.usage)
  }

  private hedged({ attempt: { deployment, outcome }, firstByte, model, reserved, usage }: AttemptEnded): void {
    if (outcome === "success" || firstByte !== undefined) this.add(counted.hedgeWins, [deployment, model])
    const tokens = usage === undefined ? reserved : usage.promptTokens + usage.completionTokens
    this.add(counted.hedgeTokens, [deployment, model], tokens)
  }

  private billed(event: AttemptEnded, usage: Usage): void {
    const { answer, attempt: { deployment: id }, cost, model, operation, place, placement, role } = event
    const { region } = place
    const session = placement ?? "none"
    for (const [type, amount] of typesOf(usage)) {
      if (amount > 0) this.add(counted.tokens, [id, region, model, type, session], amount)
    }
    if (cost === undefined) this.add(counted.unpriced, [id, model, answer?.model])
    else this.add(counted.cost, [id, region, model, role], cost)
    const labels = this.callOf(operation, model, answer, place)
    if (labels === undefined) return
    if (!this.isLatest) {
      for (const [type, amount] of typesOf(usage)) {
        if (type === "cache_write" && amount === 0) continue
        this.meter.distribution(genAi.tokens, [...labels, type]).record(amount)
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
    const { answer, duration, firstByte, limitedBy, model, operation, outcome, placement } = event
    this.add(counted.requests, [model, operation, outcome, limitedBy])
    if (event.waited > 0) this.meter.distribution(counted.waits, [model]).record(event.waited / 1000)
    this.meter.distribution(counted.overhead, [operation]).record(event.overhead / 1000)
    if (placement !== undefined && outcome === "success") this.add(counted.placements, [model, placement])
    const labels = this.callOf(operation, model, answer, event.place)
    if (labels === undefined) return
    const error = outcome === "success" || outcome === "interrupted" ? undefined : outcome
    const total = this.isLatest
      ? operation === "embeddings" ? genAiNext.embeddings : genAiNext.inference
      : genAi.duration
    this.meter.distribution(total, [...labels, error]).record(duration / 1000)
    if (!event.streamed || firstByte === undefined) return
    const first = this.isLatest ? genAiNext.firstChunk : genAi.firstChunk
    this.meter.distribution(first, labels).record(firstByte / 1000)
  }

  /** Labels of the GenAI conventions, in the order of `Names.call`; nothing for what is no such operation. */
  private callOf(
    operation: Operation,
    model: string,
    answer: AnswerFacts | undefined,
    place: Place | undefined
  ): Labels | undefined {
    const name = operationName(operation)
    if (name === undefined) return undefined
    const provider = place?.provider ?? this.state?.deployments.group(model)?.deployments[0]?.resource.provider
    return [name, providerName(provider), model, answer?.model, place?.address, place && String(place.port)]
  }

  private ejected(target: "deployment" | "resource", name: string, reason: string): void {
    if (target === "deployment") return this.add(counted.ejections, [name, reasonWord(reason)])
    for (const { id, resource } of this.state?.deployments.all() ?? []) {
      if (resource.name === name) this.add(counted.ejections, [id, `resource_${reasonWord(reason)}`])
    }
  }
}

const typesOf = (usage: Usage): ReadonlyArray<readonly [type: string, amount: number]> => [
  ["input", usage.promptTokens],
  ["cached", usage.cachedTokens],
  ["cache_write", usage.cacheWriteTokens],
  ["output", usage.completionTokens],
  ["reasoning", usage.reasoningTokens]
]
