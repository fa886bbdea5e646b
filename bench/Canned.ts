/**
 * What is asked and answered in every measurement: the same for all doors.
 */

/** Deployment names of the bench server: each answers in its own way. */
export const deploymentNames = {
  /** A whole answer of 1 KB. */
  whole: "whole",
  /** A stream of 50 chunks, one every few milliseconds, as tokens come. */
  paced: "paced",
  /** The same stream at once: its first token in one packet, the rest in another. */
  burst: "burst",
  /** A stream of 64 chunks, one every 20 ms, of many at a time. */
  steady: "steady"
} as const

export type DeploymentName = keyof typeof deploymentNames

export const apiVersion = "2024-10-21"

/** Chunks of a stream, the role and the end included. */
export const CHUNKS = 50

const questionText = "Summarise in two sentences why a client should spread its requests over several deployments."

/** Parameters of a small question. */
export const question = (model: DeploymentName) => ({
  model,
  max_completion_tokens: 256,
  messages: [
    { role: "system" as const, content: "You are a terse assistant." },
    { role: "user" as const, content: questionText }
  ]
})

/** Parameters of a conversation whose JSON has about 100 KB. */
export const longQuestion = (model: DeploymentName) => {
  const paragraph = `${questionText} It said: "wait", then\nwent on. `.repeat(40)
  return {
    model,
    max_completion_tokens: 256,
    messages: Array.from({ length: 22 }, (_, i) => ({
      role: i % 2 === 0 ? "user" as const : "assistant" as const,
      content: `${i}: ${paragraph}`
    }))
  }
}

const answerOf = (content: string) => ({
  id: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
  object: "chat.completion",
  created: 1795219200,
  model: "gpt-4o-2024-11-20",
  system_fingerprint: "fp_b705f0c291",
  choices: [
    {
      index: 0,
      finish_reason: "stop",
      logprobs: null,
      message: { role: "assistant", content, refusal: null },
      content_filter_results: { hate: { filtered: false, severity: "safe" } }
    }
  ],
  usage: {
    prompt_tokens: 38,
    completion_tokens: 120,
    total_tokens: 158,
    prompt_tokens_details: { cached_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 0 }
  }
})

/** An answer of exactly 1 KB. */
export const answerText = JSON.stringify(answerOf("x".repeat(1024 - JSON.stringify(answerOf("")).length)))

/** Headers of an answer, as the service writes them; the limits are out of reach. */
export const answerHeaders: Readonly<Record<string, string>> = {
  "content-type": "application/json",
  "x-ratelimit-limit-tokens": "1000000000",
  "x-ratelimit-limit-requests": "100000000",
  "x-ratelimit-remaining-tokens": "999999000",
  "x-ratelimit-remaining-requests": "99999990",
  "x-request-id": "0d6c3a1e-6a36-4f6e-9b55-5c1c7c8b2f10",
  "apim-request-id": "5b1f7e58-0c1b-4d4f-a7c6-1f6f4b9f2a11",
  "x-ms-region": "East US",
  "strict-transport-security": "max-age=31536000; includeSubDomains; preload"
}

const event = (choices: ReadonlyArray<unknown>, usage?: unknown): string => {
  const chunk = {
    id: "chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012",
    object: "chat.completion.chunk",
    created: 1795219200,
    model: "gpt-4o-2024-11-20",
    system_fingerprint: "fp_b705f0c291",
    choices,
    usage: usage ?? null
  }
  return `data: ${JSON.stringify(chunk)}\n\n`
}

const choiceOf = (delta: unknown, finish_reason: string | null) => ({ index: 0, delta, logprobs: null, finish_reason })

/** Events of a stream of steady chunks. */
export const STEADY_CHUNKS = 64

/** Events of a stream; the last closes it, and is preceded by its usage where that was asked for. */
export const streamEvents = (withUsage: boolean, chunks = CHUNKS): ReadonlyArray<string> => [
  event([choiceOf({ role: "assistant", content: "", refusal: null }, null)]),
  ...Array.from({ length: chunks - 2 }, (_, i) => event([choiceOf({ content: ` word${i}` }, null)])),
  event([choiceOf({}, "stop")]),
  (withUsage ? event([], answerOf("").usage) : "") + "data: [DONE]\n\n"
]
