/**
 * A configuration of a page, played against simulated services in memory.
 */
import { type Config, EntraTokens, type Event, HealthMonitor, LoadBalancer, Telemetry } from "@evenkeel/core"
import { SimulatedService, SimulatedTransport } from "@evenkeel/core/simulation"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { TestClock } from "effect/testing"

const TOKEN = "token-of-entra"
const latency = { baseMs: 20, perPromptTokenMs: 0, perOutputTokenMs: 1, jitter: 0 }

type Resource = Config["resources"][number]

/** The service that a resource of a configuration stands for. */
const serviceOf = ({ auth, deployments, endpoint, name, provider }: Resource) =>
  SimulatedService.make({
    name,
    provider: provider === "azure" ? "azure" : "openai",
    origin: new URL(endpoint).origin,
    apiKey: auth._tag === "Key" ? Redacted.value(auth.key) : "none",
    bearerTokens: [TOKEN],
    deployments: deployments.map(({ model, name, provisioned, rpm, tpm }) => ({
      name,
      model,
      provisioned,
      rpm,
      tpm,
      latency,
      outputTokens: 20
    }))
  })

/** What a test of a configuration may do. */
export interface Played {
  readonly services: Readonly<Record<string, SimulatedService.SimulatedService>>
  /** Asks for a model, and gives the id of the deployment that answered. */
  readonly ask: (model: string) => Effect.Effect<string | undefined, unknown, LoadBalancer>
  readonly layer: Layer.Layer<LoadBalancer>
}

/** Plays it. What it says of a fleet is left out: one process is played. */
export const played = (config: Config): Played => {
  const services = config.resources.map(serviceOf)
  let answered: string | undefined
  const observe = (event: Event): void => {
    if (event._tag === "AttemptEnded" && event.attempt.outcome === "success") answered = event.attempt.deployment
  }
  const ask = Effect.fnUntraced(function*(model: string) {
    const lb = yield* LoadBalancer
    answered = undefined
    const request: Effect.Effect<unknown, unknown> = /embedding/.test(model)
      ? lb.embeddings({ model, input: "Keels." })
      : lb.chat({ model, messages: [{ role: "user", content: "Say hello." }], max_completion_tokens: 50 })
    const asked = yield* Effect.forkChild(request)
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(asked)
    return answered
  })
  return {
    services: Object.fromEntries(services.map((service) => [service.name, service])),
    ask,
    layer: LoadBalancer.layerDecoded({ ...config, fleet: undefined }, {
      healthMonitor: HealthMonitor.layerNone,
      telemetry: Telemetry.layerListener(observe)
    }).pipe(
      Layer.provide(SimulatedTransport.layer(services)),
      Layer.provide(Layer.succeed(EntraTokens, () => () => Promise.resolve(TOKEN)))
    )
  }
}
