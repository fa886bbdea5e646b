/**
 * What stands before the service of the bench, in a process of its own whose CPU is measured: our gateway, or a plain proxy
 * of node:http that parses the body, as anyone would write it. Says its port, and its CPU time when it is asked.
 */
import { Gateway } from "#node/gateway/Gateway"
import { layerDecoded } from "#node/LoadBalancerLive"
import { decodeConfig } from "@evenkeel/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Result from "effect/Result"
import { Agent, createServer, request as httpRequest } from "node:http"
import type { AddressInfo } from "node:net"
import { apiVersion } from "./Canned.ts"
import { configOf } from "./Doors.ts"
import { ownCpu } from "./Measure.ts"

const [kind, endpoint] = [process.argv[2]!, process.argv[3]!]

const gateway = async (): Promise<number> => {
  const config = Result.getOrThrow(decodeConfig({ ...configOf(endpoint), gateway: { port: 0 } }))
  const runtime = ManagedRuntime.make(Gateway.layer(config.gateway).pipe(Layer.provide(layerDecoded(config))))
  const { url } = await runtime.runPromise(Effect.service(Gateway))
  return Number(new URL(url).port)
}

const proxy = (): Promise<number> => {
  const agent = new Agent({ keepAlive: true })
  const { hostname, port } = new URL(endpoint)
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = JSON.parse(Buffer.concat(chunks).toString("utf8")) as { readonly model: string }
      const text = JSON.stringify(body)
      const upstream = httpRequest({
        hostname,
        port,
        agent,
        method: "POST",
        path: `/openai/deployments/${body.model}/chat/completions?api-version=${apiVersion}`,
        headers: {
          "content-type": "application/json",
          "content-length": String(Buffer.byteLength(text)),
          "api-key": "bench-key"
        }
      }, (answer) => {
        const { connection: _, "transfer-encoding": __, "keep-alive": ___, ...headers } = answer.headers
        response.writeHead(answer.statusCode!, headers)
        answer.pipe(response)
      })
      response.on("close", () => upstream.destroy())
      upstream.on("error", () => response.destroy())
      upstream.end(text)
    })
  })
  server.keepAliveTimeout = 120_000
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port))
  })
}

process.on("message", () => process.send!(ownCpu()))
process.on("disconnect", () => process.exit(0))
process.send!(await (kind === "gateway" ? gateway() : proxy()))
