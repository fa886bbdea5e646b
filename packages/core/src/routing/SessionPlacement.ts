/**
 * Where a session's requests went, in words.
 */
import type { Refusal } from "../deployment/Gate.ts"

/**
 * Where a request of a session went: where its prompt cache is warm, elsewhere than that, or anywhere because it is warm
 * nowhere.
 */
export type SessionPlacement = "home" | "moved" | "new"

/** Why a session was served elsewhere than the time before. */
export type SessionMoveReason = Refusal | "failed" | "busy" | "slow" | "returned" | "other"
