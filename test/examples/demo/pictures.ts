/**
 * Moments of a demo that the tests draw.
 */
import type { DeploymentSnapshot, Snapshot } from "@evenkeel/core"
import type { Served } from "../../../examples/demo/journal.ts"
import type { Canvas } from "../../../examples/demo/text.ts"
import type { Picture } from "../../../examples/demo/view.ts"

export const plain = (columns: number, rows: number): Canvas => ({ columns, rows, color: false })

export const deployment = (id: string, change: Partial<DeploymentSnapshot> = {}): DeploymentSnapshot => ({
  id,
  resource: id.split("/")[0]!,
  region: undefined,
  model: "gpt-4o",
  pool: undefined,
  tier: 2,
  weight: 1,
  provisioned: false,
  state: "healthy",
  reason: undefined,
  opensIn: undefined,
  inFlight: 3,
  waiting: 1,
  tokens: { used: 5_000, limit: 10_000, byOthers: 0 },
  requests: { used: 10, limit: 60 },
  utilisation: 0.5,
  latency: 1,
  decoding: 1,
  warmth: 1,
  cachedShare: 0.75,
  ...change,
  totals: {
    attempts: 100,
    succeeded: 100,
    throttled: 0,
    failed: 0,
    refused: 0,
    abandoned: 0,
    spilled: 0,
    promptTokens: 40_000,
    cachedTokens: 30_000,
    cacheWriteTokens: 0,
    completionTokens: 4_000,
    reasoningTokens: 0,
    cost: 0.1,
    unpriced: 0,
    ...change.totals
  }
})

export const snapshot = (...deployments: ReadonlyArray<DeploymentSnapshot>): Snapshot => ({
  resources: [],
  deployments,
  models: [],
  sessions: 0,
  fleet: undefined,
  retriesLeft: 10
})

/** Six deployments in every state that there is. */
export const troubled = snapshot(
  deployment("east/ptu", {
    tier: 1,
    provisioned: true,
    utilisation: 1.17,
    state: "cooling-down",
    reason: "http 429",
    opensIn: 1_200
  }),
  deployment("sweden/ptu", { tier: 1, provisioned: true, latency: 4.1 }),
  deployment("west/gpt-4o", { state: "open", reason: "connect (ECONNREFUSED)", opensIn: 2_300, inFlight: 0 }),
  deployment("france/gpt-4o", { state: "half-open", reason: "reset (UND_ERR_SOCKET)", opensIn: 0 }),
  deployment("japan/gpt-4o", { state: "draining" }),
  deployment("brazil/gpt-4o", { warmth: 0.4 })
)

export const picture = (change: Partial<Picture> = {}): Picture => ({
  elapsed: 12_000,
  duration: 20_000,
  answered: 1_312,
  perSecond: 24.6,
  errors: 0,
  snapshot: troubled,
  firstToken: (id) => id === "japan/gpt-4o" ? undefined : id === "sweden/ptu" ? 1_400 : 210,
  log: Array.from({ length: 30 }, (_, i) => ({ at: i * 400, text: `event ${i + 1} of thirty`, tone: undefined })),
  ...change
})

export const served = (deployment: string, startedAt: number, change: Partial<Served> = {}): Served => ({
  deployment,
  startedAt,
  endedAt: startedAt + 500,
  isSession: false,
  firstToken: 200,
  ...change
})
