/**
 * A balancer whose every send is answered as the script says, after as much virtual time as it says.
 */
import { Transport, type TransportRequest, type TransportResponse } from "#core/transport/Transport"
import { type ConfigInput, HealthMonitor, type LayerOptions, LoadBalancer, Telemetry } from "@evenkeel/core"
import { Cause, Effect, Layer, Random } from "effect"
import { azure, completion } from "./Scripted.ts"

export interface TimedReply {
  /** Milliseconds until the answer, or the first content of a stream; `never` for none. */
  readonly after: number | "never"
  readonly status?: number
  readonly body?: unknown
}

const event = (data: unknown): Uint8Array =>
  new TextEncoder().encode(`data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`)

const chunk = (content: string, finish: string | null) => ({
  id: "x",
  object: "chat.completion.chunk",
  choices: [{ index: 0, delta: { content }, finish_reason: finish }]
})

const answerOf = (request: TransportRequest, { after, body, status = 200 }: TimedReply) =>
  Effect.gen(function*() {
    const wait = after === "never" ? Effect.never : Effect.sleep(after)
    const isStream = status === 200 && String(request.headers["accept"]).includes("event-stream")
    if (!isStream) yield* wait
    const steps = [
      Effect.as(wait, event(chunk(request.resource, null))),
      ...[chunk("", "stop"), "[DONE]"].map((data) => Effect.succeed(event(data)))
    ]
    const response: TransportResponse = {
      status,
      headers: { "content-type": isStream ? "text/event-stream" : "application/json" },
      text: Effect.succeed(JSON.stringify(body ?? completion.body)),
      pull: Effect.suspend(() => steps.shift() ?? Cause.done()),
      abort: () => {},
      discard: () => {}
    }
    return response
  })

/** One deployment of gpt-4o for each name. `sends` are the names that were asked, in order. */
export const timed = (
  names: ReadonlyArray<string>,
  reply: (request: TransportRequest) => TimedReply,
  config: Omit<Partial<ConfigInput>, "resources"> = {},
  replace: LayerOptions = {}
) => {
  const sends: Array<string> = []
  const transport = Layer.succeed(Transport, {
    send: (request) =>
      Effect.suspend(() => {
        sends.push(request.resource)
        return answerOf(request, reply(request))
      })
  })
  const resources = names.map((name) => azure(name))
  const layer = LoadBalancer.layer({ resources, ...config }, {
    healthMonitor: HealthMonitor.layerNone,
    telemetry: Telemetry.layerNoop,
    ...replace
  })
  const built = Layer.build(Layer.provide(layer, transport))
  return { sends, layer: Layer.effectContext(Random.withSeed(built, 1)) }
}
