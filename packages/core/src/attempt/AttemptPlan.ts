/**
 * What an attempt is to do, what it shares with all others, and what it tells when it ends.
 */
import type { Clock } from "effect/Clock"
import type { TimeoutsConfig } from "../config/Config.ts"
import type { Prices } from "../config/Prices.ts"
import type { Permit } from "../deployment/Deployment.ts"
import type { Model } from "../deployment/Model.ts"
import type { Usage } from "../Errors.ts"
import type { EventHub } from "../EventHub.ts"
import type { LlmRequest } from "../request/LlmRequest.ts"
import type { Transport } from "../transport/Transport.ts"
import type { AnswerFacts } from "./AnswerFacts.ts"
import type { AttemptStory } from "./AttemptStory.ts"
import type { Deadlines } from "./Deadlines.ts"
import type { Outcome } from "./Outcome.ts"
import type { Charge } from "./Settlement.ts"

/** What every attempt of a balancer shares. */
export interface AttemptEnvironment {
  readonly transport: Transport["Service"]
  readonly clock: Clock
  readonly random: () => number
  readonly events: EventHub
  readonly deadlines: Deadlines
  readonly prices: Prices["Service"]
}

/** Told of a stream before it is handed over, so that whoever stops meanwhile can close it. */
export type OnOpen = (stream: { readonly close: () => void }) => void

/** A silence that ends an attempt only where there is somewhere else to go. */
export interface Patience {
  readonly millis: number
  readonly hasAnother: () => boolean
}

/** How an attempt ended. */
export interface Ended {
  readonly outcome: Outcome
  readonly usage: Usage | undefined
  /** Ids that only its resource knows. */
  readonly ids: ReadonlyArray<string>
  readonly answer: AnswerFacts | undefined
}

/** What one attempt is to do. */
export interface AttemptPlan {
  readonly request: LlmRequest
  readonly permit: Permit
  readonly group: Model
  readonly promptTokens: number
  readonly timeouts: TimeoutsConfig
  /** Time limits without the request's own. */
  readonly configured: TimeoutsConfig
  /** How long nothing may be heard, of content or a whole answer, before another deployment is asked, while one can be. */
  readonly patience: Patience | undefined
  /** The request's deadline: a time of the monotonic clock. */
  readonly deadline: number
  /** Whether the usage of a stream is asked for, of which the caller said nothing, and hidden. */
  readonly asksUsage: boolean
  /** Whether the credential was renewed for this attempt, so that another 401 is final. */
  readonly isRenewal: boolean
  readonly onOpen: OnOpen | undefined
  /** Which request of this balancer it belongs to; none where it is a check, whose one token cannot be to blame. */
  readonly source: number | undefined
  /** Whether the request was sent to this deployment before, though there are others. */
  readonly isRepeat: boolean
  /** Whether the request was told to wait before, anywhere: then being told so again is the same word. */
  readonly wasTold: boolean
  /** Takes what is to be judged once it is known whether a peer answers. Without it nobody learns that. */
  readonly onCharge: ((charge: Charge) => void) | undefined
  /** Told when the attempt ends, which for a stream is long after it succeeded. */
  readonly onEnd: ((ended: Ended) => void) | undefined
  readonly story: AttemptStory
}
