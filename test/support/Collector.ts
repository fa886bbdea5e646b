/**
 * A collector on this machine: takes in whatever is exported to it.
 */
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders } from "node:http"
import type { AddressInfo } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"

/** One export. */
export interface Export {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Bytes as text: what is JSON can be parsed, and of what is not, the words can be found. */
  readonly text: string
}

export interface Collector extends AsyncDisposable {
  readonly url: string
  readonly exports: ReadonlyArray<Export>
  /** The next export, or one that came already, that is like this. */
  readonly find: (isLike: (given: Export) => boolean) => Promise<Export>
}

/** Starts one. `status` is what it answers with. */
export const startCollector = async (status = 200): Promise<Collector> => {
  const exports: Array<Export> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      exports.push({ path: request.url!, headers: request.headers, text: Buffer.concat(chunks).toString("utf8") })
      response.writeHead(status, { "content-type": request.headers["content-type"] }).end(
        request.headers["content-type"] === "application/json" ? "{}" : ""
      )
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    exports,
    find: async (isLike) => {
      for (let i = 0; i < 500; i++) {
        const found = exports.find(isLike)
        if (found !== undefined) return found
        await sleep(10)
      }
      throw new Error(`nothing of the kind was exported; there were ${exports.map(({ path }) => path).join(", ")}`)
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, "close")
    }
  }
}
