import * as SeededRandom from "#core/simulation/SeededRandom"
import type { SimulatedAnswer } from "#core/simulation/SimulatedAnswer"
import * as SimulatedService from "#core/simulation/SimulatedService"

/** A resource without jitter: the first token after 100 ms, then one every 10 ms. */
export const makeService = (
  options: Partial<SimulatedService.SimulatedServiceOptions> = {},
  deployment: Partial<SimulatedService.SimulatedServiceOptions["deployments"][number]> = {}
): SimulatedService.SimulatedService =>
  SimulatedService.make({
    name: "east",
    deployments: [{ name: "gpt", model: "gpt-4o", latency: steady, ...deployment }],
    ...options
  })

export const steady = { baseMs: 100, perPromptTokenMs: 0, perOutputTokenMs: 10, jitter: 0, errorMs: 5 }

export const hello = [{ role: "user", content: "Hello, how are you?" }]

export interface Asked {
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: unknown
  readonly now?: number
  readonly random?: () => number
}

export interface Played {
  readonly status: number | "refused" | "reset" | "hang"
  readonly headers: Readonly<Record<string, string>>
  readonly headersAt: number
  readonly parts: ReadonlyArray<{ readonly at: number; readonly data: string | Uint8Array }>
  readonly text: string
  readonly endAt: number
  readonly ending: string
}

/** Asks a service for a chat completion, or for what is given, without playing the answer. */
export const open = (service: SimulatedService.SimulatedService, asked: Asked = {}): SimulatedAnswer => {
  const body = asked.body ?? { model: service.deployments[0], messages: hello }
  return service.handle(
    {
      method: asked.method ?? "POST",
      path: asked.path ?? (service.provider === "azure" ? "/openai/v1/chat/completions" : "/v1/chat/completions"),
      headers: asked.headers ??
        (service.provider === "azure"
          ? { "api-key": service.apiKey }
          : { authorization: `Bearer ${service.apiKey}` }),
      body: typeof body === "string" ? body : JSON.stringify(body)
    },
    asked.now ?? 0,
    asked.random ?? SeededRandom.make(7)
  )
}

/** Asks, and plays the answer to its end. */
export const ask = (service: SimulatedService.SimulatedService, asked: Asked = {}): Played => {
  const answer = open(service, asked)
  const now = asked.now ?? 0
  if (answer._tag === "Broken") {
    if (answer.how === "hang") answer.abandoned(now)
    else answer.finished(now + answer.at)
    return { status: answer.how, headers: {}, headersAt: answer.at, parts: [], text: "", endAt: answer.at, ending: "" }
  }
  const parts: Array<{ at: number; data: string | Uint8Array }> = []
  let endAt = answer.headersAt
  for (;;) {
    const next = answer.parts.next()
    if (next.done === true) {
      if (next.value === "hang") answer.abandoned(now + endAt)
      else answer.finished(now + endAt)
      const text = parts.map(({ data }) => typeof data === "string" ? data : new TextDecoder().decode(data)).join("")
      const { headers, headersAt, status } = answer
      return { status, headers, headersAt, parts, text, endAt, ending: next.value }
    }
    parts.push(next.value)
    endAt = next.value.at
  }
}

/** The JSON of a body. */
export const json = (played: Played): any => JSON.parse(played.text)

/** The JSON of each event of a stream, `[DONE]` as it is. */
export const events = (played: Played): ReadonlyArray<any> =>
  played.text.split("\n\n").filter((event) => event !== "").map((event) => {
    const data = event.slice(event.indexOf("data: ") + "data: ".length)
    return data === "[DONE]" ? data : JSON.parse(data)
  })

/** What a chat stream says. */
export const textOf = (played: Played): string =>
  events(played).map((event) => event.choices?.[0]?.delta?.content ?? "").join("")
