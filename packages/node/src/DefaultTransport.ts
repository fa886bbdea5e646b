/**
 * The transport that this package takes by itself: undici on Node; on Bun and Deno, which have no undici, their own `fetch`.
 */
import { type Config, HttpClientTransport, type Transport } from "@evenkeel/core"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Runtime from "./Runtime.ts"
import * as UndiciTransport from "./UndiciTransport.ts"

/** Bun ends a fetch after five minutes, unless it is told not to: time is the balancer's. */
const unlimited = Layer.succeed(FetchHttpClient.RequestInit, { timeout: false } as RequestInit)

/** Layer of the transport for a configuration. */
export const layer = (
  { timeouts }: Pick<Config, "timeouts">,
  runtime: Runtime.Runtime = Runtime.current
): Layer.Layer<Transport> =>
  runtime === "node"
    ? UndiciTransport.layer({ connectTimeout: timeouts.connect })
    : HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer), Layer.provide(unlimited))
