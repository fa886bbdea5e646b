/**
 * A balancer over a transport of canned answers, for what the simulated service does not say.
 */
import { Transport, type TransportRequest } from "#core/transport/Transport"
import {
  type ConfigInput,
  type Deployments,
  HealthMonitor,
  type LayerOptions,
  LoadBalancer,
  type LoadBalancerError,
  Telemetry
} from "@evenkeel/core"
import { Cause, Clock, Effect, Layer, Random } from "effect"

type ResourceInput = ConfigInput["resources"][number]

export interface Canned {
  readonly status: number
  /** Chunks of text as they are, or a value that is sent as JSON in one. */
  readonly body?: string | ReadonlyArray<string> | object
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds of virtual time until the answer begins. Default: none. */
  readonly after?: number
}

export interface Scripted {
  /** Every send, in order. */
  readonly sends: ReadonlyArray<TransportRequest>
  readonly layer: Layer.Layer<LoadBalancer | Deployments, LoadBalancerError>
}

/** A whole chat completion. */
export const completion: Canned = {
  status: 200,
  body: {
    id: "x",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content: "Hello." }, finish_reason: "stop" }],
    usage: { prompt_tokens: 5, completion_tokens: 5, total_tokens: 10 }
  }
}

/** A refusal of a prompt, or of its output, as too long. */
export const tooLong: Canned = {
  status: 400,
  body: { error: { message: "It is too long.", type: "invalid_request_error", code: "context_length_exceeded" } }
}

/** An Azure resource of one deployment, gpt-4o. */
export const azure = (
  name: string,
  deployment: Partial<NonNullable<ResourceInput["deployments"]>[number]> = {},
  more: Partial<ResourceInput> = {}
): ResourceInput => ({
  name,
  provider: "azure",
  endpoint: `https://${name}.openai.azure.com`,
  apiKey: `${name}-key`,
  deployments: [{ name: "gpt-4o", ...deployment }],
  ...more
})

/** A balancer whose every send is answered as the script says, at once unless it says otherwise; the script is told the time. */
export const scripted = (
  resources: ReadonlyArray<ResourceInput>,
  reply: (request: TransportRequest, now: number) => Canned,
  config: Omit<Partial<ConfigInput>, "resources"> = {},
  replace: LayerOptions = {}
): Scripted => {
  const sends: Array<TransportRequest> = []
  const transport = Layer.succeed(Transport, {
    send: (request) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        sends.push(request)
        const { after, body = {}, headers, status } = reply(request, now)
        const texts = Array.isArray(body) ? body : [typeof body === "string" ? body : JSON.stringify(body)]
        const chunks = texts.map((chunk: string) => new TextEncoder().encode(chunk))
        const response = {
          status,
          headers: { "content-type": "application/json", ...headers },
          text: Effect.succeed(texts.join("")),
          pull: Effect.suspend(() => {
            const chunk = chunks.shift()
            return chunk === undefined ? Cause.done() : Effect.succeed(chunk)
          }),
          abort: () => {},
          discard: () => {}
        }
        return after === undefined ? Effect.succeed(response) : Effect.delay(Effect.succeed(response), after)
      })
  })
  const layer = LoadBalancer.layer({ resources, ...config }, {
    healthMonitor: HealthMonitor.layerNone,
    telemetry: Telemetry.layerNoop,
    ...replace
  })
  // a balancer takes its random source when its layer is built
  const built = Layer.build(Layer.provide(layer, transport))
  return { sends, layer: Layer.effectContext(Random.withSeed(built, 1)) }
}

/** Names of the resources that were asked, in order. */
export const asked = ({ sends }: Scripted): ReadonlyArray<string> => sends.map(({ resource }) => resource)
