/**
 * The control routes of the simulator: everything under `/++/`.
 */
import { SimulatedFault, type SimulatedService } from "@evenkeel/core/simulation"
import * as Schema from "effect/Schema"
import type { ServerResponse } from "node:http"

/**
 * Answers a request for a control route.
 */
export const answer = (
  service: SimulatedService.SimulatedService,
  method: string,
  url: string,
  body: string,
  response: ServerResponse
): void => {
  const control = routes[`${method} ${url}`]
  if (control === undefined) return send(response, 404, { error: `No control route ${method} ${url}` })
  try {
    send(response, 200, control(service, body))
  } catch (error) {
    send(response, 400, { error: error instanceof Error ? error.message : String(error) })
  }
}

const Faults = Schema.fromJsonString(Schema.Record(Schema.String, Schema.NullOr(Schema.Array(SimulatedFault))))
const Limits = Schema.fromJsonString(
  Schema.Record(
    Schema.String,
    Schema.Struct({ tpm: Schema.optional(Schema.Number), rpm: Schema.optional(Schema.Number) })
  )
)
const Consumed = Schema.fromJsonString(
  Schema.Struct({ deployment: Schema.String, tokens: Schema.Number, requests: Schema.optional(Schema.Number) })
)

const strict = { onExcessProperty: "error" } as const
const decodeFaults = Schema.decodeUnknownSync(Faults, strict)
const decodeLimits = Schema.decodeUnknownSync(Limits, strict)
const decodeConsumed = Schema.decodeUnknownSync(Consumed, strict)

const routes: Readonly<Record<string, (service: SimulatedService.SimulatedService, body: string) => unknown>> = {
  "GET /++/stats": (service) => service.stats(Date.now()),
  "GET /++/faults": (service) => service.faults(),
  "PATCH /++/faults": (service, body) => {
    const patch = decodeFaults(body)
    for (const [target, faults] of Object.entries(patch)) {
      service.clear(target)
      for (const fault of faults ?? []) service.fault(target, fault)
    }
    return service.faults()
  },
  "PATCH /++/limits": (service, body) => {
    for (const [deployment, limits] of Object.entries(decodeLimits(body))) service.setLimits(deployment, limits)
    return service.stats(Date.now()).deployments
  },
  "POST /++/consume": (service, body) => {
    const { deployment, requests, tokens } = decodeConsumed(body)
    service.consume(deployment, tokens, requests ?? 0, Date.now())
    return service.stats(Date.now()).deployments[deployment]
  }
}

const data = (body: object): string => `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`

/** How a resource is asked, and a command line for each route. */
export const examples = ({ apiKey, baseUrl, deployments, url }: {
  readonly apiKey: string
  readonly baseUrl: string
  readonly deployments: ReadonlyArray<string>
  readonly url: string
}): ReadonlyArray<{ readonly what: string; readonly curl: string }> => {
  const deployment = deployments[0]!
  const chat = data({ model: deployment, messages: [{ role: "user", content: "Hello" }] })
  const faults = `curl -X PATCH ${url}/++/faults`
  return [
    { what: "an answer", curl: `curl ${baseUrl}/chat/completions -H 'authorization: Bearer ${apiKey}' ${chat}` },
    { what: "what it did so far", curl: `curl ${url}/++/stats` },
    { what: "its faults", curl: `curl ${url}/++/faults` },
    { what: "everything takes five times as long", curl: `${faults} ${data({ "*": [{ kind: "slow", factor: 5 }] })}` },
    { what: "no fault any more", curl: `${faults} ${data({ "*": null })}` },
    {
      what: "other limits",
      curl: `curl -X PATCH ${url}/++/limits ${data({ [deployment]: { tpm: 10_000, rpm: 60 } })}`
    },
    { what: "use by other clients", curl: `curl ${url}/++/consume ${data({ deployment, tokens: 5_000, requests: 3 })}` }
  ]
}

const send = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { "content-type": "application/json" })
  response.end(JSON.stringify(value))
}
