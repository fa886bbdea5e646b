/**
 * What an answer says of itself, besides its content: for telemetry and prices.
 */
import { isRecord, textOf as text } from "../request/Json.ts"

/** Facts of one answer, as the service told them. */
export interface AnswerFacts {
  /** Of the completion or the response. */
  readonly id: string | undefined
  /** The model that answered, with its version: `gpt-4o-2024-11-20`. */
  readonly model: string | undefined
  /** How the service processed it, and charges for it: `default`, `flex`, `priority`. */
  readonly serviceTier: string | undefined
  readonly fingerprint: string | undefined
  /** Why each choice ended (`stop`, `length`), or the status of a response (`completed`, `incomplete`). */
  readonly finishReasons: ReadonlyArray<string>
}

/**
 * Collects them from whole answers, or from the pieces of a stream, whichever of them were parsed.
 */
export class AnswerReader implements AnswerFacts {
  id: string | undefined
  model: string | undefined
  serviceTier: string | undefined
  fingerprint: string | undefined
  finishReasons: ReadonlyArray<string> = []

  /** Takes in a completion, a chunk of one, a response, or a list of embeddings. */
  read(answer: Readonly<Record<string, unknown>>): void {
    this.id ??= text(answer["id"])
    this.model ??= text(answer["model"])
    this.serviceTier = text(answer["service_tier"]) ?? this.serviceTier
    this.fingerprint ??= text(answer["system_fingerprint"])
    const { choices } = answer
    if (Array.isArray(choices)) {
      for (const choice of choices) {
        const reason = isRecord(choice) ? text(choice["finish_reason"]) : undefined
        if (reason !== undefined) this.finishReasons = [...this.finishReasons, reason]
      }
    } else if (answer["object"] === "response") {
      const status = text(answer["status"])
      this.finishReasons = status === undefined || unfinished.has(status) ? [] : [status]
    }
  }
}

/** What a response is before its end: of a stream that was given up, it is the last that was heard. */
const unfinished: ReadonlySet<string> = new Set(["queued", "in_progress"])
