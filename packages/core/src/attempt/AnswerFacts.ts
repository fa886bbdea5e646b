/**
 * What an answer says of itself, besides its content: for telemetry and prices.
 */
import type { Usage } from "../Errors.ts"
import { isRecord, recordOf, textOf as text } from "../request/Json.ts"
import type { Operation } from "../request/LlmRequest.ts"

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

/** A cookie is the resource's own affair with this balancer; a caller that answers with it would hand it on. */
export const withoutCookies = (headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  headers["set-cookie"] === undefined
    ? headers
    : Object.fromEntries(Object.entries(headers).filter(([name]) => name !== "set-cookie"))

/** Whether an answer holds nothing of what was asked for: a gateway may say 200 and something of its own. */
export const isEmpty = (answer: Readonly<Record<string, unknown>>, operation: Operation): boolean => {
  const { choices, data, output } = answer
  if (operation === "chat") return !Array.isArray(choices) || choices.length === 0
  return !Array.isArray(operation === "embeddings" ? data : output)
}

/**
 * Reads billed tokens from any `usage` object: chat's, responses' or embeddings'. Details may be absent or null.
 */
export const readUsage = (value: unknown): Usage | undefined => {
  const usage = recordOf(value)
  if (usage === undefined) return undefined
  const prompt = number(usage["prompt_tokens"] ?? usage["input_tokens"])
  if (prompt === undefined) return undefined
  const promptDetails = recordOf(usage["prompt_tokens_details"] ?? usage["input_tokens_details"])
  const outputDetails = recordOf(usage["completion_tokens_details"] ?? usage["output_tokens_details"])
  return {
    promptTokens: prompt,
    cachedTokens: number(promptDetails?.["cached_tokens"]) ?? 0,
    cacheWriteTokens: number(promptDetails?.["cache_write_tokens"]) ?? 0,
    completionTokens: number(usage["completion_tokens"] ?? usage["output_tokens"]) ?? 0,
    reasoningTokens: number(outputDetails?.["reasoning_tokens"]) ?? 0
  }
}

/** More than any answer has: what a service says beyond that would drown all that others count. */
const MAX_TOKENS = 1e9

const number = (value: unknown): number | undefined =>
  typeof value === "number" && value >= 0 && value <= MAX_TOKENS ? value : undefined
