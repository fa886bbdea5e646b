/**
 * The official client without a balancer, and a way to compare what both give.
 */
import type { Simulator } from "#node/simulator/SimulatorServer"
import OpenAI from "openai"
import { urlOf } from "./Served.ts"

/** The official client, asking one Azure resource by itself. */
export const bareClient = (simulator: Simulator, name: string): OpenAI =>
  new OpenAI({
    apiKey: `${name}-key`,
    baseURL: `${urlOf(simulator, name)}/openai/v1`,
    maxRetries: 0,
    logLevel: "off"
  })

/** What differs between two answers to one question, whoever asks. */
const ofOneAnswer = new Set(["id", "item_id", "created", "created_at", "completed_at", "request_id"])

/** An answer without what differs, as plain data. A `usage` of null says nothing. */
export const alike = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, inner: unknown) => {
    if (ofOneAnswer.has(key)) return typeof inner
    return key === "usage" && inner === null ? undefined : inner
  }))
