/**
 * What an attempt tells as it goes, so that someone can make a span of it.
 */
import type * as Tracer from "effect/Tracer"
import type { AttemptEnded } from "./AttemptEvent.ts"
import type { Batch } from "./SseReader.ts"

/** The trace of one attempt. It ends once. */
export interface AttemptTrace {
  /** Parent of what the transport does for it. */
  readonly span: Tracer.AnySpan
  /** Headers that carry the trace to the service, where that was asked for. */
  readonly headers: Readonly<Record<string, string>> | undefined
  /** The content of a stream begins. */
  readonly committed: () => void
  /** Whoever wants it is given the content: events as they were read, or a whole answer. */
  readonly content: ((content: Batch | Readonly<Record<string, unknown>>) => void) | undefined
  readonly ended: (event: AttemptEnded) => void
}
