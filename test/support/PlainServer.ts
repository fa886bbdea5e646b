/**
 * A small HTTP server of a test's own, for answers that the simulator does not give.
 */
import * as Http from "node:http"
import type { AddressInfo, Socket } from "node:net"

/** A request as it arrived. */
export interface Received {
  readonly method: string
  readonly url: string
  readonly headers: Http.IncomingHttpHeaders
  readonly body: Buffer
}

export interface PlainServer extends AsyncDisposable {
  readonly url: string
  readonly received: ReadonlyArray<Received>
  /** Connections that were made so far, and those that are open. */
  readonly connections: () => { readonly made: number; readonly open: number }
}

export type Handler = (request: Received, response: Http.ServerResponse) => void

/** Listens on loopback until it is disposed of. */
export const listen = async (handler: Handler): Promise<PlainServer> => {
  const received: Array<Received> = []
  const open = new Set<Socket>()
  let made = 0
  const server = Http.createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("error", () => {})
    request.on("end", () => {
      const { headers, method = "", url = "" } = request
      const whole = { method, url, headers, body: Buffer.concat(chunks) }
      received.push(whole)
      handler(whole, response)
    })
  })
  server.on("connection", (socket) => {
    made++
    open.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => open.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    connections: () => ({ made, open: open.size }),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      })
  }
}

/** Answers with JSON. */
export const json = (response: Http.ServerResponse, value: unknown, status = 200): void => {
  const text = JSON.stringify(value)
  response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
  response.end(text)
}
