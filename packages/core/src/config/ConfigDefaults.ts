/**
 * What holds where a configuration says nothing. Durations are milliseconds.
 */
export const defaults = {
  session: { capacity: 10_000, idle: 600_000, loadBound: 1.25, maxRate: 15 },
  health: {
    consecutiveFailures: 5,
    successRatio: 0.8,
    minimumSamples: 5,
    window: 30_000,
    openFor: 5_000,
    maxOpenFor: 300_000,
    cooldown: 10_000,
    maxCooldown: 300_000,
    slowStart: 30_000,
    slowStartFloor: 0.1,
    check: { kind: "models", path: undefined, interval: 30_000, timeout: 10_000 }
  },
  failover: {
    attempts: 3,
    maxWait: 10_000,
    maxWaiting: 1_000,
    hedge: false,
    budgetRatio: 0.2,
    budgetPerSecond: 1,
    backoff: 500,
    maxBackoff: 8_000
  },
  // Azure advises to wait up to 29 minutes for models that reason, streams included
  timeouts: { connect: 10_000, total: 1_800_000, firstEvent: undefined, firstContent: 1_800_000, idle: 120_000 },
  quota: { hot: 0.85, requestSlice: 10_000, headerMaxAge: 10_000 }
} as const

/**
 * How long nothing is heard of an attempt before that is a sign of a hang, and how long where the model was seen to reason.
 */
export const silence = { usual: 60_000, reasoning: 300_000 } as const

/** Where OpenAI is. */
export const openAiEndpoint = "https://api.openai.com/v1"

/** Scope of an Entra ID token, as Azure's documentation has it since 2026. */
export const entraScope = "https://ai.azure.com/.default"
