/**
 * Balancers over small servers of a test's own, for what the simulator does not say.
 */
import type { ConfigInput } from "@evenkeel/core"
import { type Handler, json } from "./PlainServer.ts"
import { messages, pause } from "./Served.ts"

/** Where clients think that they speak to. */
export const base = "https://api.openai.com/v1"
export const chatUrl = `${base}/chat/completions`

export const jsonHeaders = { "content-type": "application/json" }

export const hello = { model: "m", messages }

/** A request with this body of JSON. */
export const post = (body: unknown): RequestInit => ({
  method: "POST",
  headers: jsonHeaders,
  body: JSON.stringify(body)
})

/** A resource at this address with one deployment, named after its model. */
export const service = (name: string, address: string, more: object = {}): ConfigInput["resources"][number] => ({
  name,
  provider: "compatible",
  endpoint: `${address}/v1`,
  deployments: [{ name: "m", ...more }]
})

/** Nothing is sent to these but what a test sends. */
export const balancing = (...resources: ConfigInput["resources"]): ConfigInput => ({
  resources,
  health: { check: { kind: "none" } }
})

export const answer = {
  id: "x",
  object: "chat.completion",
  choices: [{ index: 0, message: { role: "assistant", content: "Hello." }, finish_reason: "stop" }]
}

/** Answers a chat. */
export const completion: Handler = (_, response) => json(response, answer)

/** An event of a chat's stream. */
export const chunk = (content: string, finish: string | null = null): string =>
  `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta: { content }, finish_reason: finish }] })}\n\n`

/** The end of a chat's stream. */
export const stop = `${chunk("", "stop")}data: [DONE]\n\n`

/** An event of a response's stream. */
export const event = (type: string, more: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...more })}\n\n`

/** Streams these texts, one every so many milliseconds, and ends unless it is told to stall. */
export const streaming = (
  texts: ReadonlyArray<string>,
  options: { readonly every?: number; readonly stalls?: boolean; readonly type?: string } = {}
): Handler =>
(_, response) => {
  const { every = 20, stalls = false, type = "text/event-stream" } = options
  response.writeHead(200, { "content-type": type })
  const next = (i: number): void => {
    if (i < texts.length) response.write(texts[i])
    if (i < texts.length - 1) setTimeout(() => next(i + 1), every)
    else if (!stalls) response.end()
  }
  next(0)
}

/** What comes of it within a second and a half, or what it failed with. */
export const within = (promise: PromiseLike<unknown>): Promise<unknown> =>
  Promise.race([
    Promise.resolve(promise).catch((cause: unknown) => cause),
    pause(1_500).then(() => "nothing came of it")
  ])

/** The error of an answer of OpenAI's shape. */
export const errorOf = async (response: Response) =>
  (await response.json() as { readonly error: { readonly code: string; readonly message: string } }).error
