/**
 * A proxy between a member and its store, which delays, cuts, or leads elsewhere.
 */
import { createConnection, createServer, type Server, type Socket } from "node:net"

export class Proxy implements AsyncDisposable {
  /** Port that is led to, and milliseconds by which what comes back is late. */
  target: number
  delay = 0
  readonly port: number
  private readonly server: Server
  private readonly open: Set<Socket>

  private constructor(target: number, port: number, server: Server, open: Set<Socket>) {
    this.target = target
    this.port = port
    this.server = server
    this.open = open
  }

  static start(target: number): Promise<Proxy> {
    return new Promise((resolve) => {
      const open = new Set<Socket>()
      let proxy: Proxy | undefined
      const server = createServer((client) => {
        const upstream = createConnection(proxy!.target, "127.0.0.1")
        for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
          open.add(from)
          from.on("error", () => to.destroy())
          from.on("close", () => {
            open.delete(from)
            to.destroy()
          })
        }
        client.on("data", (data) => void upstream.write(data))
        upstream.on("data", (data) => {
          if (proxy!.delay === 0) client.write(data)
          else setTimeout(() => client.write(data), proxy!.delay)
        })
      })
      server.listen(0, "127.0.0.1", () => {
        proxy = new Proxy(target, (server.address() as { port: number }).port, server, open)
        resolve(proxy)
      })
    })
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.open) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.server.close(resolve))
  }
}
