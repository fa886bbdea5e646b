/**
 * A case: what the service answers, and what a program does with the official client.
 */
import type { ConfigInput } from "@evenkeel/core"
import type { ClientOptions, OpenAI } from "openai"
import type { Play, Script } from "./Server.ts"

/** The API that the service speaks. `openai` stands for every service that is compatible with it. */
export type Api = "openai" | "azure-v1" | "azure-classic"

export interface Case {
  /** Unique. Its part before the first colon names its group. */
  readonly name: string
  readonly script: Script
  /** What a program does. What it returns, or throws, is compared, and whatever the service was sent for it. */
  readonly call: (client: OpenAI, play: Play) => unknown
  /** Default: `openai`. */
  readonly api?: Api
  /** Whether what the service was sent is left out of the comparison: it may be sent in any order, or not in time. */
  readonly ignoresSent?: boolean
  /** Where the service is, in place of the server's own address. */
  readonly origin?: string
  /** Options of the program's client. */
  readonly client?: Pick<
    ClientOptions,
    "timeout" | "maxRetries" | "defaultHeaders" | "defaultQuery" | "organization" | "project"
  >
  /** Whether it may meet a balancer that others used before: only where every answer is a good one. */
  readonly isShared?: boolean
  /** Settings of the balancer besides its resource. By default it sends once, as the bare client does. */
  readonly config?: Omit<Partial<ConfigInput>, "resources">
}

/** The same cases, run over one balancer for each door: where every answer is a good one. */
export const shared = (cases: ReadonlyArray<Case>): ReadonlyArray<Case> =>
  cases.map((given) => ({ ...given, isShared: true }))
